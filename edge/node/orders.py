"""
What the processes of a node say to each other: one JSON line each way over a Unix socket.

Every worker and the control process listen in `run/`; the socket's name says who it is
(`worker-PID.sock`, `control-PID.sock`). Who may open the folder (0700) may give orders. The order
`listeners` hands over the listening sockets themselves (SCM_RIGHTS): that is the handover.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import EdgeError

log = logging.getLogger("edge.orders")

Reply = dict[str, Any]
MAX_LINE = 1024 * 1024
BACKLOG = 100
"""Whoever orders; more than that wait."""

CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7))."""

MAX_DESCRIPTORS = 250
"""The kernel passes 253 in one message (SCM_MAX_FD)."""


class Listeners:
    """Listening sockets by name (`http 127.0.0.1:8080`); one name may have several."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, socket.socket]] = []

    def add(self, name: str, listener: socket.socket) -> None:
        """Keep a socket under its name."""
        self.entries.append((name, listener))

    def names(self) -> set[str]:
        """The names there are."""
        return {name for name, _ in self.entries}

    def addresses(self, kind: str) -> set[str]:
        """Where one kind (`http`, `https`) is listened."""
        return {name.partition(" ")[2] for name in self.names() if name.startswith(f"{kind} ")}

    def close(self) -> None:
        """Close them all in this process; another may still have them open."""
        for _, listener in self.entries:
            listener.close()


async def listen(
    path: Path, answer: Callable[[Reply], Awaitable[Reply]], listeners: Listeners
) -> asyncio.AbstractServer:
    """Take orders at `path`; `answer` maps each to its reply."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if not line:
                return  # somebody only looked whether we live (`listening_pid`)
            order = json.loads(line)
            if order["do"] == "listeners":
                _send_listeners(writer, listeners)
            else:
                writer.write(msgspec.json.encode(await answer(order)) + b"\n")
                await writer.drain()
        except Exception as error:  # whoever orders is told why not, whatever it is
            log.warning("an order failed: %s", error, exc_info=not isinstance(error, EdgeError))
            writer.write(json.dumps({"error": str(error) or repr(error)}).encode() + b"\n")
        finally:
            writer.close()

    listener = listening_at(path)
    return await asyncio.start_unix_server(converse, sock=listener, limit=MAX_LINE)


def listening_at(path: Path) -> socket.socket:
    """
    A Unix socket that has its name only once it listens.

    Between the two it would refuse whoever looks, and be taken for one of the dead (`living`).
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    born = path.with_suffix(".new")
    born.unlink(missing_ok=True)
    listener.bind(os.fspath(born))
    listener.listen(BACKLOG)
    born.replace(path)
    return listener


def _send_listeners(writer: asyncio.StreamWriter, listeners: Listeners) -> None:
    """Names and descriptors in one message; the transport itself cannot carry descriptors."""
    open_ones = [each for each in listeners.entries if each[1].fileno() >= 0]  # none in a drain
    names = [name for name, _ in open_ones]
    descriptors = [listener.fileno() for _, listener in open_ones]
    transport = writer.get_extra_info("socket")
    with socket.socket(fileno=os.dup(transport.fileno())) as raw:
        socket.send_fds(raw, [json.dumps({"names": names}).encode() + b"\n"], descriptors)


def ask(path: Path, order: Reply, timeout_s: float = 5.0) -> Reply:
    """
    Give one order and wait for its reply. Blocking: loops call it in a thread.

    Raises:
        OSError: nobody listens there, or the reply did not come in time.
    """
    reply, _ = _converse(path, order, timeout_s, descriptors=0)
    return reply


def take_listeners(path: Path, timeout_s: float = 5.0) -> Listeners:
    """
    The listening sockets of the process at `path`, as sockets of this process.

    Raises:
        OSError: it gives none, or does not answer in time.
    """
    reply, descriptors = _converse(path, {"do": "listeners"}, timeout_s, MAX_DESCRIPTORS)
    if "names" not in reply:
        raise ConnectionError(f"{path.name} gives no sockets: {reply.get('error')}")
    taken = Listeners()
    for name, descriptor in zip(reply["names"], descriptors, strict=True):
        taken.add(name, socket.socket(fileno=descriptor))
    return taken


def _converse(
    path: Path, order: Reply, timeout_s: float, descriptors: int
) -> tuple[Reply, list[int]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(os.fspath(path))
        connection.sendall(json.dumps(order).encode() + b"\n")
        received: list[int] = []
        line = b""
        while not line.endswith(b"\n"):
            chunk, passed, _, _ = socket.recv_fds(connection, MAX_LINE, descriptors)
            received.extend(passed)
            if not chunk:
                raise ConnectionError(f"{path.name} hung up before its reply")
            line += chunk
        return json.loads(line), received


def peers(run: Path, kind: str) -> list[tuple[int, Path]]:
    """
    (pid, socket) of the living processes of a kind; sockets of dead ones are removed.

    Who lives is asked of the socket, never of the number in its name: after a reboot that number
    is a stranger's, and who gets it here may kill it.
    """
    found = []
    for path in sorted(run.glob(f"{kind}-*.sock")):
        pid = listening_pid(path)
        if pid is None:
            with contextlib.suppress(OSError):  # a disk that takes nothing stops no order
                path.unlink()
        else:
            found.append((pid, path))
    return found


def listening_pid(path: Path) -> int | None:
    """The process that listens at a Unix socket (SO_PEERCRED), or None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid: int = CREDENTIALS.unpack(credentials)[0]
    return pid


def socket_path(run: Path, kind: str) -> Path:
    """Where this process listens for orders."""
    return run / f"{kind}-{os.getpid()}.sock"
