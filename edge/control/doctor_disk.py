"""
Whether the state folder can be trusted with certificates and deployments: room, kind, permissions.

Laws: one small file is written and taken away again, in the state folder; nothing else is changed.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.control import durable, occupants
from edge.control.doctor_machine import size
from edge.control.patient import Finding, Patient, fine, warning, wrong
from edge.node import orders
from edge.node.country import read_database
from edge.site.settings import Settings

LITTLE: Final = 100 << 20
"""Bytes below which a deploy or a certificate may not be written."""

FEW: Final = 1 << 30
"""Bytes below which one should look."""

FEW_NAMES: Final = 10_000
"""Inodes: a deployment of as many files takes them."""

FLEETING: Final = {
    "tmpfs": "in memory: a reboot forgets it",
    "ramfs": "in memory: a reboot forgets it",
    "overlay": "in the container: it goes with it",
}
REMOTE: Final = frozenset(
    ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.glusterfs"]
)
"""Kinds on which locks or renames may lie."""

OLD_DATABASE: Final = 90 * 86_400.0
"""Seconds after which addresses have moved to other countries."""

MOST: Final = 5
"""Files that are named, of those with the same fault."""


def check_disk(patient: Patient) -> Iterator[Finding]:
    """Room, kind, and whether what is written stays."""
    state = patient.places.state
    folder = nearest(state)
    found = os.statvfs(folder)
    yield judge_room(folder, found.f_bavail * found.f_frsize, found.f_favail, found.f_files)
    yield from judge_kind(state, kind_of(folder))
    yield try_to_write(folder)


def nearest(path: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def judge_room(folder: Path, free: int, names: int, all_names: int) -> Finding:
    """Room for content, and for names; some file systems do not count those."""
    remedy = f"free some, or move `state` ({folder}) to a larger disk"
    text = f"{folder}: {size(free)} free"
    if free < LITTLE:
        return wrong(text, remedy)
    if all_names and names < FEW_NAMES:
        return warning(f"{folder}: {names:,} more files may be made (inodes)", remedy)
    return warning(text, remedy) if free < FEW else fine(text)


def kind_of(folder: Path) -> str:
    """The file system that a folder is on, as the kernel calls it."""
    real = folder.resolve()
    best, kind = -1, ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        if real.is_relative_to(point) and len(point) >= best:  # the last one is on top
            best, kind = len(point), right.split()[0]
    return kind


def judge_kind(state: Path, kind: str) -> Iterator[Finding]:
    """State has to outlive the machine's and the container's life, and its locks have to hold."""
    if kind in FLEETING:
        remedy = "give `state` a disk; in a container, a volume"
        yield warning(f"{state} is {FLEETING[kind]} ({kind})", remedy)
    elif kind in REMOTE:
        remedy = "put `state` on a disk of this machine"
        yield warning(f"{state} is on another machine ({kind}): its locks may not hold", remedy)


def try_to_write(folder: Path) -> Finding:
    """Write, sync, rename and remove a file, as every change does."""
    file = folder / f"{durable.TEMPORARY}doctor-{secrets.token_hex(4)}"
    try:
        try:
            durable.write(file, b"written by edge doctor\n", mode=0o600)
        finally:
            file.unlink(missing_ok=True)
    except OSError as error:
        remedy = "give it to the node's user, and look at `mount` and `dmesg`"
        return wrong(f"{folder} cannot be written to: {error.strerror}", remedy)
    return fine(f"{folder}: written, synced, renamed and removed a file")


def check_log(patient: Patient) -> Iterator[Finding]:
    """Whether the access log can be written, and fits."""
    settings = patient.settings.access_log
    if settings.path is None:
        yield fine("there is no access log, as access_log.path says")
        return
    file = patient.path(settings.path)
    folder = nearest(file.parent)
    if not os.access(folder, os.W_OK, effective_ids=True):
        remedy = "give it to the node's user, or name another place in access_log.path"
        yield wrong(f"{folder} cannot be written to", remedy)
        return
    found = os.statvfs(folder)
    yield judge_log(file, settings.max_total, used(file), found.f_bavail * found.f_frsize)


def used(file: Path) -> int:
    """Bytes of an access log, with what was set aside."""
    if not file.parent.is_dir():
        return 0
    return sum(each.stat().st_size for each in file.parent.glob(f"{file.stem}*") if each.is_file())


def judge_log(file: Path, most: int, has: int, free: int) -> Finding:
    """A log that may grow beyond the disk takes it from certificates and deployments."""
    if most > has + free:
        return warning(
            f"{file} may grow to {size(most)}, and there is room for {size(has + free)}",
            "lower access_log.max_total",
        )
    return fine(f"{file} has {size(has)} of {size(most)}")


def check_permissions(patient: Patient) -> Iterator[Finding]:
    """Who may read keys and tokens."""
    state = patient.places.state
    faults = [*check_state(state), *own_secrets(patient), *lent_secrets(patient)]
    yield from faults
    if not faults:
        text = "keys and tokens are for their owner alone"
        yield fine(text if state.is_dir() else f"{state} is made 0700 by the first start")


def check_state(state: Path) -> Iterator[Finding]:
    """The state folder is its owner's alone: who may write there may do anything."""
    if not state.is_dir():
        return
    found = state.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        yield wrong(f"{state} is {mode:04o}: others may change it", f"chmod 700 {state}")
    elif mode & 0o077:
        yield warning(f"{state} is {mode:04o}: others may look into it", f"chmod 700 {state}")
    if os.geteuid() not in (0, found.st_uid):
        remedy = f"run as that user: sudo -u '#{found.st_uid}' edge …"
        yield warning(f"{state} belongs to user {found.st_uid}, not to you", remedy)


def own_secrets(patient: Patient) -> Iterator[Finding]:
    """What the node wrote itself: nobody else may read it, and it is one user's."""
    places = patient.places
    token = patient.path(patient.settings.admin.token_file)
    files = [each for each in (token, places.alarms, places.audit) if each.exists()]
    for top in (places.tls, places.tokens):
        files += [Path(folder, name) for folder, _, names in os.walk(top) for name in names]
    yield from exposed(files, 0o077, "wrong")
    if places.state.is_dir():
        owner = places.state.stat().st_uid
        strange = [each for each in files if each.lstat().st_uid != owner]
        for file in strange[:MOST]:
            remedy = f"chown --reference={places.state} {file}"
            yield wrong(f"{file} is another user's than {places.state}", remedy)


def lent_secrets(patient: Patient) -> Iterator[Finding]:
    """What the operator keeps: a group may read it, the world need not."""
    named = [patient.path(each) for each in secret_files(patient.settings)]
    for file in named:
        if not os.access(file, os.R_OK, effective_ids=True):
            remedy = "edge.yml names it: put it there, and let the node's user read it"
            yield wrong(f"{file} cannot be read", remedy)
    files = [*(each for each in named if each.exists())]
    files += patient.path(patient.settings.certs).glob("*.pem")
    yield from exposed(files, 0o007, "warning")


def secret_files(settings: Settings) -> list[str]:
    """Files with secrets that `edge.yml` names."""
    found = [settings.smtp.password_file if settings.smtp is not None else None]
    acme = settings.tls.acme
    for each in filter(None, (acme, acme.fallback)):
        found.append(each.eab.hmac_key_file if each.eab is not None else None)
        found.append(each.dns.key_file if each.dns is not None else None)
    return [each for each in found if each is not None]


def exposed(files: list[Path], bits: int, level: str) -> Iterator[Finding]:
    """Those that more people may read than should."""
    found = [each for each in files if not each.is_symlink() and each.stat().st_mode & bits]
    for file in found[:MOST]:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = f"{file} is {mode:04o}: others may read it"
        judge = wrong if level == "wrong" else warning
        yield judge(text, f"chmod {mode & ~bits & 0o777:o} {file}")
    if len(found) > MOST:
        yield warning(f"and {len(found) - MOST} more files like these", "the same for them")


def check_leftovers(patient: Patient) -> Iterator[Finding]:
    """Processes and sockets of a node that did not end as it should have."""
    run = patient.places.run
    sockets = sorted(run.glob("*-*.sock")) if run.is_dir() else []
    dead = [each for each in sockets if orders.listening_pid(each) is None]
    yield judge_processes(patient)
    if dead:
        yield fine(f"{len(dead)} sockets of processes that are dead: the next start removes them")


def judge_processes(patient: Patient) -> Finding:
    """A parent with workers, nothing, or workers without one."""
    if patient.parent is not None:
        name = occupants.name_of(occupants.PROC / str(patient.parent))
        who = occupants.Occupant(patient.parent, name)
        return fine(f"the node runs: {who}, {len(patient.workers)} workers")
    if patient.workers:
        return warning(
            f"the node's parent is dead; {len(patient.workers)} workers serve on",
            "start the node: `edge serve` takes their sockets, and no connection is refused",
        )
    return fine("no node runs on this configuration")


def check_geoip(patient: Patient) -> Iterator[Finding]:
    """The database of countries can be read, and is of this year."""
    name = patient.settings.geoip.database
    if name is None:
        return
    file = patient.path(name)
    try:
        database = read_database(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "put a country MMDB there, readable for the node's user"
        yield wrong(f"geoip.database: {file}: {reason}", remedy)
        return
    yield judge_database(database.description, time.time() - database.built)


def judge_database(description: str, age: float) -> Finding:
    """Addresses move."""
    if age > OLD_DATABASE:
        text = f"geoip.database: {description}, {age / 86_400:.0f} days old"
        return warning(text, "replace the file; the node reads it again by itself")
    return fine(f"geoip.database: {description}")
