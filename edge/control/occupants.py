"""
Who has a port: what the kernel says in /proc, without a program that may not be installed.

Laws: reads only. Processes of other users show their sockets to root alone; then a port is taken
and nobody is named.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

LISTENS: Final = "0A"
"""TCP_LISTEN, as /proc/net/tcp has it."""

PROC: Final = Path("/proc")


class Occupant(NamedTuple):
    """A process that listens."""

    pid: int
    name: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} (pid {self.pid})"


def occupants(host: str, port: int, proc: Path = PROC) -> list[Occupant]:
    """Whoever listens where this address cannot be listened on too."""
    wanted = {
        inode
        for table in ("tcp", "tcp6")
        for address, number, inode in listening(proc / "net" / table)
        if number == port and collide(host, address)
    }
    return sorted(holders(wanted, proc)) if wanted else []


def collide(one: str, other: str) -> bool:
    """Whether two addresses cannot have a listener each at one port."""
    wild = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    if one == other or "::" in (one, other):  # :: takes IPv4 as well, unless it says otherwise
        return True
    is_same_family = (":" in one) == (":" in other)
    return is_same_family and bool({one, other} & wild)


def listening(table: Path) -> Iterator[tuple[str, int, str]]:
    """(address, port, inode) of every listening socket of one table."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:  # no IPv6 here
        return
    for line in lines:
        fields = line.split()
        if fields[3] == LISTENS:
            address, _, port = fields[1].partition(":")
            yield decode(address), int(port, 16), fields[9]


def decode(text: str) -> str:
    """An address as the kernel prints it: words of the machine's own byte order, in hexadecimal."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"{'<' if sys.byteorder == 'little' else '>'}{len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def holders(inodes: Collection[str], proc: Path = PROC) -> Iterator[Occupant]:
    """Processes that have one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.iterdir():
        if folder.name.isdigit() and has_one(folder / "fd", wanted):
            yield Occupant(int(folder.name), name_of(folder))


def has_one(folder: Path, wanted: Collection[str]) -> bool:
    """Whether a process has one of these open; it may be another user's, or just gone."""
    try:
        return any(target(link) in wanted for link in folder.iterdir())
    except OSError:
        return False


def target(link: Path) -> str:
    """What a descriptor is; empty if it was closed meanwhile."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def name_of(folder: Path) -> str:
    """What a process is called."""
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "a process"


def lock_holder(file: Path, proc: Path = PROC) -> int | None:
    """
    Who has signed a lock (`handover.sign`) and has it open; nobody tries to take it.

    /proc/locks would not do: it names who took the lock first, and after an upgrade another has it.
    """
    try:
        pid, found = int(file.read_text().strip() or 0), file.stat()
    except (OSError, ValueError):
        return None
    return pid if pid and has_open(proc / str(pid) / "fd", found) else None


def has_open(folder: Path, wanted: os.stat_result) -> bool:
    """Whether a process has a file open; of another user's it is believed."""
    try:
        return any(same(link, wanted) for link in folder.iterdir())
    except PermissionError:
        return True
    except OSError:
        return False


def same(link: Path, wanted: os.stat_result) -> bool:
    """Whether a descriptor is that file; it may have been closed meanwhile."""
    try:
        return os.path.samestat(link.stat(), wanted)
    except OSError:
        return False
