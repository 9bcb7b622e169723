"""What tests of abuse share: many sockets at once, what a worker counts, and what it takes."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

from edge.node import orders
from tests.support import Node

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def refused(node: Node) -> dict[str, int]:
    """What all workers refused, by reason."""
    found: dict[str, int] = {}
    for pid in node.pids("worker"):
        place = node.folder / "var" / "run" / f"worker-{pid}.sock"
        reply = orders.ask(place, {"do": "counters"}, timeout_s=20)
        for reason, number in reply["counters"]["refused"].items():
            if number:
                found[reason] = found.get(reason, 0) + number
    return found


def resident(pid: int) -> int:
    """Bytes of memory that are a process's own."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE


def processor_seconds(pid: int) -> float:
    """Time that a process has had of a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def descriptors_of(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def as_many_as(wanted: int) -> int:
    """How many sockets this process may open of those; its limit is raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 500)


@contextlib.contextmanager
def crowd(port: int, size: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, each with its first bytes sent."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(size):
            made.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)))
            if first:
                made[-1].sendall(first)
        yield made


def rest_of(connection: socket.socket, timeout_s: float = 30.0) -> bytes:
    """Everything until the node ends a connection, however it does."""
    connection.settimeout(timeout_s)
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            received += data
    return received
