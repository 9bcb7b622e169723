"""
What an attacker's bytes cost in memory: never a hundred times as many, whatever they are.

Each input is held by fifty connections at once, in front of an origin that takes nothing, or by
clients that read nothing. The worker's own memory is what is measured.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.node.test_floods import bomb
from tests.support import Node, eventually, running, write_tree
from tests.support_abuse import crowd, resident
from tests.support_wire import DATA, HELLO, frame, head

HOST = b"main.site.edge.localhost"
KIB, MIB = 1 << 10, 1 << 20
CROWD = 50
MOST = 100
"""Times the size of an input of 10 KiB or more. Source: design.md, Defaults for limits."""

SLACK = 8 * MIB
"""What a worker that does anything at all may come to take."""


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Node]:
    """One worker, with something large that is stored, and an origin that never answers."""
    folder = tmp_path_factory.mktemp("node")
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as origin:
        port = origin.getsockname()[1]
        settings = f'proxy: {{allow: ["127.0.0.1:{port}"]}}\n'
        settings += "tls: {mode: internal, redirect_http: false}\n"
        settings += "limits: {handshake_timeout: 60s, header_timeout: 60s}\n"
        with running(folder / "node", 1, settings, is_secure=True) as node:
            rule = f'[{{"source": "/o", "target": "http://127.0.0.1:{port}/", "status": "200"}}]'
            write_tree(node.folder / "rules" / "site", {"redirects.json": rule})
            files = {"index.html": "hello", "large.bin": os.urandom(MIB)}
            node.deploy(write_tree(folder / "v1", files))
            node.edge("reload")
            assert node.get("/large.bin")[0] == 200
            yield node


def http1(path: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A head."""
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: " + HOST, *lines, b"", b""])


def http2(stream: int, path: bytes, *, ends: bool = True) -> bytes:
    """A head to the site."""
    made = head(stream, method=b"GET" if ends else b"POST", path=path, ends=ends)
    made = made.replace(b":authority\x01a", b":authority" + bytes([len(HOST)]) + HOST)
    return (len(made) - 9).to_bytes(3, "big") + made[3:]


INPUTS = {
    "tiny chunks": (
        http1(b"/o", b"Transfer-Encoding: chunked", method=b"POST") + b"2\r\nxx\r\n" * 6000
    ),
    "tiny data": (HELLO + http2(1, b"/o", ends=False) + frame(DATA, 0, 1, b"xx") * 6000),
    "a bomb": HELLO + bomb(),
    "streams": HELLO + b"".join(http2(n, b"/o") for n in range(1, 200, 2)),
    "many fields": http1(b"/o", *(b"x%d: y" % n for n in range(95)), b"Z: " + b"z" * 15_000),
    "a head that does not end": http1(b"/", b"X: " + b"x" * 15_000)[:-4],
    "pipelined": http1(b"/o") + http1(b"/") * 5000,
    "large answers, pipelined": http1(b"/large.bin") * 300,
    "large answers, on streams": (
        HELLO + b"".join(http2(n, b"/large.bin") for n in range(1, 200, 2))
    ),
}


def cost_of(node: Node, connections: list[socket.socket], data: bytes) -> float:
    """Bytes of memory for each byte that the attackers got rid of, at its worst."""
    (pid,) = node.pids("worker")
    before, sent, most = resident(pid), 0, 0
    left = dict.fromkeys(connections, data)
    for _ in range(10):
        for each in connections:
            each.settimeout(0)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while left[each]:
                    number = each.send(left[each])
                    sent += number
                    left[each] = left[each][number:]
        node.get("/")  # by then the worker has read what there was
        most = max(most, resident(pid))
    return max(0, most - before - SLACK) / sent


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS.keys())
def test_memory_is_bounded_by_what_was_sent(node, data):
    """In clear text."""
    with crowd(node.port, CROWD) as attackers:
        assert cost_of(node, attackers, data) < MOST
    assert node.get("/")[0] == 200


def test_tiny_records_are_bounded_too(node):
    """A head that comes byte by byte, each in a record of its own; a hello that does not."""
    context = ssl.create_default_context(cadata=node.edge("certs", "--root").stdout)
    with contextlib.ExitStack() as stack:
        made = []
        for raw in stack.enter_context(crowd(node.https_port, CROWD)):
            made.append(context.wrap_socket(raw, server_hostname=HOST.decode()))
            stack.callback(made[-1].close)
        (pid,) = node.pids("worker")
        before, sent = resident(pid), 0
        for byte in http1(b"/o", b"X: " + b"x" * 200)[:-4]:
            for each in made:
                sent += each.send(bytes([byte])) + 22
        eventually(lambda: node.get("/")[0] == 200)
        assert max(0, resident(pid) - before - SLACK) / sent < MOST
