"""
What systemd and a service say to each other: sockets that it gives, and how the service is.

Laws: the environment is all there is to it (sd_listen_fds(3), sd_notify(3)); without it nothing
happens. Sockets are for the process that they were given to, and for nobody else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Final

FIRST: Final = 3
"""The first descriptor that is given (SD_LISTEN_FDS_START)."""

PATIENCE_S: Final = 5.0
"""Seconds for a word that is said once; signs of life do not wait, the next one comes soon."""


def given() -> list[tuple[str, socket.socket]]:
    """Name and socket of each that this very process was started with."""
    number, names = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_FDNAMES", "")
    is_ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(key, None)
    if not is_ours or not number.isdecimal():
        return []
    named = names.split(":") + ["unknown"] * int(number)
    found = []
    for descriptor, name in zip(range(FIRST, FIRST + int(number)), named, strict=False):
        os.set_inheritable(descriptor, False)  # noqa: FBT003  (the os module's own)
        with contextlib.suppress(OSError):  # whatever it is, it is no socket
            found.append((name, socket.socket(fileno=descriptor)))
    return found


def is_told() -> bool:
    """Whether somebody wants to know how the service is."""
    return "NOTIFY_SOCKET" in os.environ


def notify(*assignments: str, patience_s: float = PATIENCE_S) -> None:
    """
    Say how the service is; a manager that is not there cannot be told, and need not be.

    Nor is one that does not listen: after `patience_s` it has not heard. The kernel keeps ten
    words for it (net.unix.max_dgram_qlen), and then has whoever speaks wait.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(patience_s)
        sender.sendto("\n".join(assignments).encode(), address)


def reloading() -> tuple[str, str]:
    """What is said when a reload begins; READY=1 ends it (Type=notify-reload)."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_s() -> float | None:
    """Seconds between two signs of life, half of what the manager allows; None: it wants none."""
    allowed, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not allowed.isdecimal() or pid not in (None, str(os.getpid())):
        return None
    return int(allowed) / 2e6 or None
