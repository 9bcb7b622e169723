"""Every limit that a client or an origin meets is counted under its name, on a real node."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket

import pytest

from tests.node.test_access import USERS
from tests.support import eventually, running, write_tree
from tests.support_origin import originating

SETTINGS = """
limits: {request_line: 1KiB, fields: 2KiB, body: 1KiB, idle_timeout: 1s, handshakes: 2,
         handshake_timeout: 1s, origin_connections: 1, origin_queue: 1}
proxy: {allow: ["127.0.0.1:%d"]}
tls: {redirect_http: false}
"""
SLOW = r"</^/(?:a?){40}a{40}.*\d$/>"
"""A pattern that takes 40 ms for what it does not fit."""


@pytest.fixture(scope="module")
def origin():
    """One that answers when the test says so."""
    with originating() as found:
        found.on("/slow", lambda talk: (talk.wait(), talk.answer(b"done")))
        found.on("/take", lambda talk: talk.answer(str(len(talk.read())).encode()))
        yield found


@pytest.fixture(scope="module")
def node(tmp_path_factory, origin):
    """One worker whose limits are soon met."""
    folder = tmp_path_factory.mktemp("counted")
    rules = [
        {"source": "/o/<*>", "target": f"http://127.0.0.1:{origin.port}/<*>", "status": "200"},
        *[{"source": SLOW, "target": "", "status": "403"}] * 30,
    ]
    write_tree(folder, {"rules/site/redirects.json": json.dumps(rules)})
    with running(folder, 1, SETTINGS % origin.port, is_secure=True) as found:
        found.deploy(write_tree(folder / "v1", {"index.html": "hello"}))
        yield found


def counted(node, reason: str) -> int:
    """How often `/metrics` says that this limit was met."""
    text = node.admin("GET", "/metrics")[1]
    found = re.search(rf'^edge_refused_total{{reason="{reason}"}} (\d+)$', text, re.MULTILINE)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def counting(node, reason: str, count: int = 1):
    """What is done inside is counted so often, and once."""
    before = counted(node, reason)
    yield
    eventually(lambda: counted(node, reason) >= before + count)
    assert counted(node, reason) == before + count


def say(node, *lines: str, content: bytes = b"") -> socket.socket:
    """A connection that has sent a head and what belongs to it."""
    connection = socket.create_connection(("127.0.0.1", node.port), 30)
    host = "Host: main.site.edge.localhost"
    connection.sendall("\r\n".join([lines[0], host, *lines[1:], "", ""]).encode() + content)
    return connection


def status_of(connection: socket.socket) -> int:
    """What it was answered with."""
    with connection, connection.makefile("rb") as answer:
        return int(answer.readline().split()[1])


@pytest.mark.parametrize(
    ("reason", "lines", "status"),
    [
        ("request_line", [f"GET /{'a' * 2000} HTTP/1.1"], 414),
        ("fields", ["GET / HTTP/1.1", f"X: {'a' * 4000}"], 431),
        ("body", ["POST /o/take HTTP/1.1", "Content-Length: 2000"], 413),
        ("patterns", [f"GET /{'a' * 160}! HTTP/1.1"], 503),
    ],
)
def test_what_a_request_may_not(node, reason, lines, status):
    """Its line, its fields, its content, the time that its path takes to be compared."""
    with counting(node, reason):
        assert status_of(say(node, *lines)) == status


def test_content_that_stops_coming(node):
    """Of two bytes one is there."""
    with counting(node, "idle_timeout"):
        lines = ("POST /o/take HTTP/1.1", "Content-Length: 2")
        assert status_of(say(node, *lines, content=b"x")) == 408


def test_a_queue_that_is_full(node, origin):
    """One is answered, one waits, one is too many."""
    with counting(node, "origin_queue"):
        first = say(node, "GET /o/slow?1 HTTP/1.1")
        eventually(lambda: origin.of("/slow"))
        others = [say(node, f"GET /o/slow?{number} HTTP/1.1") for number in (2, 3)]
        eventually(lambda: counted(node, "origin_queue"))
    for count in (1, 2):
        eventually(lambda count=count: len(origin.of("/slow")) >= count)
        origin.of("/slow")[count - 1].go.set()
    assert sorted(map(status_of, [first, *others])) == [200, 200, 503]


def test_hands_that_are_not_shaken(node):
    """Of three that wait the first leaves at once, the others when their time is up."""
    address = ("127.0.0.1", node.https_port)
    late = counting(node, "handshake_timeout", 2)
    with contextlib.ExitStack() as waiting, counting(node, "handshakes"), late:
        for _ in range(3):
            waiting.enter_context(socket.create_connection(address, 30))


def test_guesses(tmp_path):
    """Those that have to wait are counted, wrong ones are not."""
    access = json.dumps({"access": {"users": {"ann": USERS["ann"]}}})
    with running(tmp_path, 1) as node:
        write_tree(tmp_path, {"rules/site/app.yml": access})
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "hello"}))
        asked = [
            status_of(say(node, "GET / HTTP/1.1", f"Authorization: {guess(number)}"))
            for number in range(12)
        ]
        assert set(asked) == {401, 429}
        eventually(lambda: counted(node, "logins") == asked.count(429))


def guess(number: int) -> str:
    """A wrong password, another one each time."""
    return f"Basic {base64.b64encode(f'ann:wrong {number}'.encode()).decode()}"
