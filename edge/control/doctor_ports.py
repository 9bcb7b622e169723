"""
Whether the node can listen where it is told to.

Laws: a port is tried as the node takes it, and closed before anybody could connect. What this very
node holds is well.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from edge.control.occupants import Occupant, occupants
from edge.control.patient import Finding, Patient, fine, wrong

NET_BIND_SERVICE: Final = 1 << 10
"""CAP_NET_BIND_SERVICE. Source: linux/capability.h."""

UNPRIVILEGED: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

MAX_UNIX: Final = 107
"""Bytes of a Unix socket's path. Source: unix(7)."""


def check_ports(patient: Patient) -> Iterator[Finding]:
    """One finding an address."""
    listen = patient.settings.listen
    for address in (*listen.http, *listen.https, listen.admin):
        if address.startswith("unix:"):
            yield check_unix(Path(address[5:]))
            continue
        host, _, port = address.rpartition(":")
        fault = try_to_bind(host.strip("[]"), int(port))
        if fault != errno.EACCES:  # `check_privileged` says it
            found = occupants(host.strip("[]"), int(port)) if fault == errno.EADDRINUSE else []
            yield judge_port(address, fault, found, patient.pids)


def try_to_bind(host: str, port: int) -> int:
    """The error of taking an address and giving it back; 0 for none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def judge_port(
    address: str, fault: int, found: Collection[Occupant], own: Collection[int]
) -> Finding:
    """What an attempt to bind means."""
    if not fault:
        return fine(f"{address} is free")
    if fault == errno.EADDRNOTAVAIL:
        return wrong(
            f"{address} is no address of this machine",
            "`ip address` lists those there are; correct `listen` in edge.yml",
        )
    if fault != errno.EADDRINUSE:
        return wrong(f"{address}: {os.strerror(fault)}", "correct `listen` in edge.yml")
    if any(each.pid in own for each in found):
        return fine(f"{address} is this node's")
    if not found:
        remedy = "run `edge doctor` as root to see who; stop it, or change `listen` in edge.yml"
        return wrong(f"{address} is taken by a process of another user", remedy)
    who = ", ".join(map(str, found))
    return wrong(f"{address} is taken by {who}", "stop it, or change `listen` in edge.yml")


def check_unix(path: Path) -> Finding:
    """A Unix socket's folder is there, can be written to, and its path is not too long."""
    if len(os.fsencode(path)) > MAX_UNIX:
        return wrong(f"unix:{path} is longer than {MAX_UNIX} bytes", "give it a shorter path")
    if not path.parent.is_dir():
        return wrong(f"unix:{path}: there is no folder {path.parent}", f"mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK, effective_ids=True):
        return wrong(
            f"unix:{path}: {path.parent} cannot be written to",
            "give that folder to the node's user, or name another one in `listen.admin`",
        )
    return fine(f"unix:{path} can be made")


def check_privileged(patient: Patient) -> Iterator[Finding]:
    """Whether ports that the kernel keeps for root may be taken."""
    listen = patient.settings.listen
    admin = () if listen.admin.startswith("unix:") else (listen.admin,)
    ports = sorted({int(each.rpartition(":")[2]) for each in (*listen.http, *listen.https, *admin)})
    yield judge_privileged(
        ports, first_free_port(), may_bind=has_capability(), is_running=bool(patient.pids)
    )


def first_free_port() -> int:
    """The lowest port that everybody may take."""
    try:
        return int(UNPRIVILEGED.read_text())
    except OSError:
        return 1024


def has_capability() -> bool:
    """Whether this process may take the others."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) & NET_BIND_SERVICE)
    return False


def judge_privileged(
    ports: Collection[int], start: int, *, may_bind: bool, is_running: bool
) -> Finding:
    """Ports below the kernel's line need a capability."""
    low = [port for port in ports if 0 < port < start]
    names = ", ".join(map(str, low))
    if not low:
        return fine(f"no port below {start} is asked for")
    if may_bind:
        return fine(f"{names}: this user may take ports below {start}")
    if is_running:
        return fine(f"{names}: the node that runs has them, this user could not take them")
    return wrong(
        f"{names}: this user may not take ports below {start}",
        "start the node by packaging/edge.service, which has CAP_NET_BIND_SERVICE, or: "
        f"sysctl -w net.ipv4.ip_unprivileged_port_start={min(low)}",
    )
