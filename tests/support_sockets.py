"""Which process has a connection, as the kernel tells it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable

SOCK_DIAG = 4
"""The protocol of AF_NETLINK; messages are those of <linux/inet_diag.h>."""

SOCK_DIAG_BY_FAMILY = 20
"""Kind of a question for one socket, and of its answer."""

ANY = 0xFFFF_FFFF
"""Every state, and no cookie."""


def inode_of(port: int, client: tuple[str, int]) -> int:
    """
    The inode of the server's end of a connection to a port of 127.0.0.1; 0 while nobody took it.

    One socket is asked for: `/proc/net/tcp` would list all of the machine, for tens of milliseconds
    after tests that made thousands.
    """
    address, number = client
    ends = (port, number, socket.inet_aton("127.0.0.1"), socket.inet_aton(address))
    asked = struct.pack("=BBxxI", socket.AF_INET, socket.IPPROTO_TCP, ANY)
    asked += struct.pack("!HH4s12x4s12x", *ends) + struct.pack("=III", 0, ANY, ANY)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(asked), SOCK_DIAG_BY_FAMILY, 1, 0, 0) + asked)
        answer = kernel.recv(4096)
    (kind,) = struct.unpack_from("=H", answer, 4)
    if kind != SOCK_DIAG_BY_FAMILY:  # an error: there is none
        return 0
    (peer,) = struct.unpack_from("!H", answer, 22)
    (inode,) = struct.unpack_from("=I", answer, 84)
    return inode if peer == number else 0  # the listener answers for those that are to come


def holder(pids: Iterable[int], inode: int) -> int | None:
    """The one of these processes that has a socket open."""
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        for number in os.listdir(folder):  # noqa: PTH208 - a thousand scenes ask this
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{number}") == f"socket:[{inode}]":  # noqa: PTH115
                    return pid
    return None
