"""
Connections that are opened, answered once, and held: the other process of `scale.py idle`.

    python bench/holding.py PORT COUNT [CERTIFICATE]

With a certificate they speak TLS and trust no other. It says `ready` when all have had an answer,
and when its stdin ends how many are still open.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from processes import HOST, NotStarted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT_A_TIME = 8
"""Connections that are opened at once: both sides of a handshake have work."""


@contextlib.contextmanager
def held(port: int, count: int, trusted: Path | None = None) -> Iterator[Any]:
    """
    `count` connections from a process of their own, each after one answer, until the block ends.

    Gives a function that says how many are still open; it may be called once.
    """
    command = [sys.executable, __file__, str(port), str(count)]
    command += [str(trusted)] if trusted else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            if holder.stdout.readline().strip() != "ready":
                raise NotStarted(f"{count} connections could not be opened")

            def survivors() -> int:
                assert holder.stdin
                assert holder.stdout
                holder.stdin.close()
                return int(holder.stdout.readline())

            yield survivors
        finally:
            holder.stdin.close()
            holder.stdout.read()


def hold(port: int, count: int, context: ssl.SSLContext | None) -> None:
    """The other end of `held`: open, ask once, wait until stdin ends, count those still open."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        connections = list(threads.map(partial(opened, port), [context] * count))
    print("ready", flush=True)
    sys.stdin.read()
    print(sum(is_open(connection) for connection in connections), flush=True)


def opened(port: int, context: ssl.SSLContext | None) -> socket.socket:
    """
    One connection after one answer.

    Of TLS only the socket is kept: the server cannot tell, and 10,000 sessions would be here too.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    if context is not None:
        connection = context.wrap_socket(connection, server_hostname=HOST)
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    answer = connection.recv(65_536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not answered with 200: {answer[:80]!r}")
    return socket.socket(fileno=connection.detach())


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has not ended it, whatever it has said before."""
    connection.settimeout(0)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    hold(
        int(sys.argv[1]),
        int(sys.argv[2]),
        ssl.create_default_context(cafile=sys.argv[3]) if sys.argv[3:] else None,
    )
