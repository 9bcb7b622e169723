"""
Clients that give up, by the thousand, and one that stops reading: nothing of them stays.

`EDGE_GIVEN_UP=10000` has as many as reliability.md promises for.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.support import Node, eventually, running, write_tree
from tests.support_abuse import crowd, descriptors_of, resident
from tests.support_wire import HELLO, frame

HOST = b"main.site.edge.localhost"
MIB = 1 << 20
CROWD = 50
GIVEN_UP = int(os.environ.get("EDGE_GIVEN_UP", "1600"))
FEW = 3
"""What a worker may come to have at its first use of something."""

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: to close is to reset."""

ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\nCache-Control: no-store\r\n\r\n"
"""1 GiB."""


class Origin:
    """Takes every request; never answers one, or pours as fast as it is let."""

    def __init__(self) -> None:
        self.poured = 0
        """Bytes that were taken of what it pours."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if b"/pour" not in connection.recv(1 << 16):
                while connection.recv(1 << 16):
                    pass
                return
            connection.sendall(ENDLESS)
            for _ in range(1024):
                connection.sendall(bytes(MIB))
                self.poured += MIB

    def close(self) -> None:
        """Take no more."""
        self._listener.close()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """One for all tests."""
    made = Origin()
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory, origin) -> Iterator[Node]:
    """One worker, with something large, in front of it."""
    folder = tmp_path_factory.mktemp("given-up")
    settings = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
    with running(folder / "node", 1, settings) as node:
        target = f"http://127.0.0.1:{origin.port}/<*>"
        rules = json.dumps([{"source": "/o/<*>", "target": target, "status": "200"}])
        write_tree(node.folder / "rules" / "site", {"redirects.json": rules})
        node.deploy(
            write_tree(folder / "v1", {"index.html": "hello", "large.bin": bytes(20 * MIB)})
        )
        node.edge("reload")
        assert node.get("/")[0] == 200
        yield node


def get(path: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A head."""
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: " + HOST, *lines, b"", b""])


def literal(name: bytes, value: bytes) -> bytes:
    """A field line of HTTP/2 that is not indexed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def streams(path: bytes) -> bytes:
    """Twenty requests of one HTTP/2 connection."""
    pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", HOST), (b":path", path)]
    block = b"".join(literal(*pair) for pair in pairs)
    return HELLO + b"".join(frame(1, 5, number, block) for number in range(1, 40, 2))


REQUESTS = {
    "what an origin never answers": get(b"/o/never"),
    "an upload that breaks off": get(b"/o/never", b"Content-Length: 100000", method=b"POST") + b"x",
    "a large file": get(b"/large.bin"),
    "what an origin pours": get(b"/o/pour"),
    "streams that an origin never answers": streams(b"/o/never"),
    "streams of a large file": streams(b"/large.bin"),
    "half a head": get(b"/")[:-10],
}


def state_of(node: Node) -> tuple[int, int]:
    """Tasks of the worker, and descriptors."""
    (worker,) = node.admin("GET", "/v1/status")[1]["workers"]
    return worker["tasks"], descriptors_of(worker["pid"])


@pytest.mark.parametrize("is_reset", [False, True])
def test_who_gives_up_leaves_no_task_and_no_descriptor(node, is_reset):
    """Whatever was asked, and however the connection ends: a thousand more, nothing more."""
    before = state_of(node)
    for _ in range(GIVEN_UP // CROWD // len(REQUESTS) // 2 + 1):
        for data in REQUESTS.values():
            with crowd(node.port, CROWD, data) as clients:
                for each in clients if is_reset else ():
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    most = [each + FEW for each in before]
    eventually(lambda: all(now <= each for now, each in zip(state_of(node), most, strict=True)), 60)

    assert node.get("/")[0] == 200


def test_who_stops_reading_costs_next_to_nothing(node, origin):
    """Of a gigabyte that an origin would pour: what is not taken is not asked for."""
    (pid,) = node.pids("worker")
    node.get("/")
    before, poured = resident(pid), origin.poured
    with crowd(node.port, 1, get(b"/o/pour")) as (client,):
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        still = eventually(lambda: stands_still(node, origin))
        grown = resident(pid) - before

    assert still - poured < 64 * MIB, "the kernel's buffers on the way, and no more"
    assert grown < 8 * MIB


def stands_still(node: Node, origin: Origin) -> int:
    """How much was poured, if that does not grow while the node answers others."""
    poured = origin.poured
    for _ in range(200):
        assert node.get("/")[0] == 200
    return poured if poured and poured == origin.poured else 0
