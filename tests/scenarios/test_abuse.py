"""Attackers at a real node: each is ended at its deadline, and everybody else is answered."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Self

import pytest

from tests.node.test_floods import FLOODS
from tests.support import Node, eventually, running, write_tree
from tests.support_abuse import as_many_as, crowd, refused, resident, rest_of
from tests.support_hostile import Wire
from tests.support_wire import GOAWAY, HELLO, frames

HOST = "main.site.edge.localhost"
KIB = 1 << 10
WORKERS = 2
HEAD = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ".encode()


@pytest.fixture
def node(tmp_path, request) -> Iterator[Node]:
    """A node that serves a page."""
    settings = getattr(request, "param", "")
    with running(tmp_path / "node", WORKERS, settings) as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "hello"}))
        yield node


class Neighbour(threading.Thread):
    """An honest client: one request after the other, each on a connection of its own."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.answers: Counter[object] = Counter()
        self.is_over = threading.Event()

    def run(self) -> None:
        """Ask until told to stop; what goes wrong is an answer too."""
        while not self.is_over.is_set():
            try:
                status, _, content = self.node.get("/")
                self.answers[status, content] += 1
            except OSError as error:
                self.answers[repr(error)] += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.join()


def ended(connections: list[socket.socket], timeout_s: float) -> Counter[bytes]:
    """How the node ends each of them: the first line of what it says."""
    found: Counter[bytes] = Counter()
    with selectors.DefaultSelector() as selector:
        heard = dict.fromkeys(connections, b"")
        for each in connections:
            each.settimeout(0)
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout_s)
            assert ready, f"{len(selector.get_map())} are still there: {found}"
            for key, _ in ready:
                each = key.fileobj
                try:
                    data = each.recv(KIB)
                except ConnectionError:
                    data = b""
                heard[each] += data
                if not data:
                    selector.unregister(each)
                    found[heard[each].partition(b"\r\n")[0]] += 1
    return found


@pytest.mark.parametrize("node", ["limits: {header_timeout: 4s}\n"], indirect=True)
def test_slowloris_ends_at_its_deadline(node):
    """5,000 heads that never end: all 408, honest requests all answered, little memory each."""
    size = as_many_as(5000)
    pids = node.pids("worker")
    before = sum(map(resident, pids))
    with Neighbour(node) as neighbour:
        with crowd(node.port, size, HEAD) as slow:
            most = sum(map(resident, pids)) - before
            for each in slow:
                each.send(b"x")  # a drip does not extend the deadline
            assert ended(slow, 20) == {b"HTTP/1.1 408 Request Timeout": size}
        eventually(lambda: neighbour.answers)
    assert set(neighbour.answers) == {(200, b"hello")}
    assert most < size * 16 * KIB
    assert refused(node) == {"header_timeout": size}


def test_floods_end_their_connection_alone(node):
    """Every flood at once, ten times each: ENHANCE_YOUR_CALM, and the neighbours see nothing."""
    wire = Wire(node.port)
    with Neighbour(node) as neighbour, contextlib.closing(wire):
        for data, reason in FLOODS.values():
            with crowd(node.port, 10, HELLO) as attackers:
                for each in attackers:
                    each.settimeout(10)
                    each.sendall(data)
                codes = {calm_of(rest_of(each)) for each in attackers}
            assert codes == {11}, reason
            assert wire.ask(HOST.encode(), b"/").status == 200
    assert set(neighbour.answers) == {(200, b"hello")}
    expected = Counter(reason for _, reason in FLOODS.values())
    assert refused(node) == {reason: 10 * number for reason, number in expected.items()}


def calm_of(answer: bytes) -> int:
    """The code of the last GOAWAY."""
    codes = [p[4:8] for kind, _, _, p in frames(answer) if kind == GOAWAY and len(p) >= 8]
    return int.from_bytes(codes[-1], "big") if codes else -1
