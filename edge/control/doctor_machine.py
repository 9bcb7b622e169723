"""
What the machine grants: descriptors, backlog, memory, and the programs that the node is made of.

Laws: figures of the node that runs, where one runs; else those of whoever asks, from whose shell it
would be started.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.control.patient import Finding, Patient, fine, warning, wrong
from edge.node.descriptors import MOST_RESERVED, for_connections

BACKLOG: Final = 4096
"""What the node asks for where it listens."""

LEAST: Final = 256
"""Descriptors below which a worker hardly starts."""

WORKER: Final = 64 << 20
"""Bytes of a worker with its snapshot; 1,000 apps of 10 branches take 57 MB."""

CONTROL: Final = 160 << 20
"""Bytes of control, with its ACME client."""

OVERHEAD: Final = 1.25
"""What a stored byte takes, heads and indexes included."""

PYTHON: Final = (3, 11)


def check_descriptors(patient: Patient) -> Iterator[Finding]:
    """How many files and sockets a worker may have open, against its connections."""
    yield judge_descriptors(descriptors(patient), patient.settings.limits.connections)


def descriptors(patient: Patient) -> int:
    """What a worker has; where none runs, what it would raise its own limit to."""
    for pid in patient.workers:
        try:
            return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        except (OSError, ValueError):  # another user's, or gone
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def judge_descriptors(limit: int, connections: int) -> Finding:
    """Connections beyond are refused; that is survived, and not meant."""
    possible = for_connections(limit)
    if possible >= connections:
        return fine(f"{limit:,} files and sockets a worker")
    wanted = connections + MOST_RESERVED
    remedy = f"LimitNOFILE={wanted} in the unit (ulimit -Hn {wanted}), or lower limits.connections"
    text = f"{limit:,} files and sockets a worker: {possible:,} connections, not {connections:,}"
    return (wrong if limit < LEAST else warning)(text, remedy)


def check_backlog(_: Patient) -> Iterator[Finding]:
    """How many connections may wait in a socket while its worker is busy or replaced."""
    yield judge_backlog(int(Path("/proc/sys/net/core/somaxconn").read_text()))


def judge_backlog(limit: int) -> Finding:
    """The kernel's cap is silent."""
    if limit >= BACKLOG:
        return fine(f"{BACKLOG:,} connections may wait in a socket")
    return warning(
        f"only {limit:,} connections may wait in a socket, not {BACKLOG:,}",
        f"sysctl -w net.core.somaxconn={BACKLOG}, and a file in /etc/sysctl.d",
    )


def check_memory(patient: Patient) -> Iterator[Finding]:
    """What the node may grow to, against what there is."""
    settings = patient.settings
    workers = worker_count(patient)
    wanted = int(settings.cache.memory * OVERHEAD) + workers * WORKER + CONTROL
    total, available = memory()
    yield judge_memory(wanted, total, total if patient.pids else available)


def worker_count(patient: Patient) -> int:
    """As the parent counts."""
    workers = patient.settings.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


def memory() -> tuple[int, int]:
    """(total, available) bytes, as far as this control group may use them."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = {
        name: int(rest.split()[0]) << 10 for name, _, rest in (x.partition(":") for x in lines)
    }
    total, available = found["MemTotal"], found["MemAvailable"]
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no limit is "max"
        return total, available
    return min(total, limit), min(available, limit)


def judge_memory(wanted: int, total: int, available: int) -> Finding:
    """What is more than the machine has, the kernel ends one day."""
    text = f"the node may grow to {size(wanted)}; "
    remedy = "lower cache.memory or workers, or give the machine more"
    if wanted > total:
        return wrong(f"{text}there are {size(total)}", remedy)
    if wanted > available:
        return warning(f"{text}{size(available)} of {size(total)} are free", remedy)
    return fine(f"{text}there are {size(total)}")


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def check_programs(_: Patient) -> Iterator[Finding]:
    """The interpreter, and the packages that this version was made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        yield wrong(f"Python {version}", "install Python 3.11 or later, and edge with it")
    try:
        told = importlib.metadata.requires("edge") or ()
    except importlib.metadata.PackageNotFoundError:
        remedy = "look as the node's user, or install edge by pip"
        yield warning(f"Python {version}; what edge needs cannot be read", remedy)
        return
    needed = [each for each in told if "extra ==" not in each]
    faults = [each for each in (judge_package(need, installed(need)) for need in needed) if each]
    yield from faults
    if not faults:
        found = f"Python {version}, and {len(needed)} packages as this version needs them"
        yield fine(f"{found}; {build()}")


def build() -> str:
    """Whether what every request passes is machine code (setup.py)."""
    source = importlib.util.find_spec("edge.node.clock")
    if source is not None and str(source.origin).endswith(".so"):
        return "compiled"
    return "not compiled: installed with gcc and python3-dev it would be a tenth faster"


def name_of(requirement: str) -> str:
    """The package that a requirement is about."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def installed(requirement: str) -> str | None:
    """The version there is of a requirement's package."""
    try:
        return importlib.metadata.version(name_of(requirement))
    except importlib.metadata.PackageNotFoundError:
        return None


def judge_package(requirement: str, version: str | None) -> Finding | None:
    """Whether a package is there, and the very one where it is pinned."""
    remedy = f"pip install '{requirement}' where edge is installed"
    if version is None:
        return wrong(f"{name_of(requirement)} is not installed", remedy)
    pinned = re.search(r"==\s*([^,;\s]+)", requirement)
    if pinned is not None and pinned[1] != version:
        text = f"{name_of(requirement)} is {version}, and this version is made for {pinned[1]}"
        return wrong(text, remedy)
    return None
