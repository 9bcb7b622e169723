"""The generator for large files: it counts whole answers, and a wrong one ends it."""

from __future__ import annotations

import subprocess

import pytest

from tests.support_bench import figures, generators
from tests.support_origin import originating

SIZE = 300_000


def taken(origin) -> subprocess.CompletedProcess[str]:
    """What it prints of a fifth of a second with three connections."""
    request = "GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n"
    command = [generators.taker(), str(origin.port), "3", "0.2", request]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def answer(status: str, size: int, told: int | None = None) -> bytes:
    """An answer with so much content, and what its head says of it."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size if told is None else told}\r\n\r\n"
    return head.encode() + b"x" * size


@pytest.fixture
def origin():
    """A real server, of the test's own."""
    with originating() as found:
        yield found


def test_whole_answers_are_counted(origin):
    """As many as were asked for, but for those on their way at the end."""

    def script(talk):
        talk.send(answer("200 OK", SIZE))

    origin.on("/file", script)
    run = figures.parse_taken(taken(origin).stdout, SIZE)

    asked = len(origin.of("/file"))
    assert asked - 3 <= run.requests <= asked
    assert run.seconds >= 0.2
    assert 0 < run.p99_s < run.seconds


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer("404 Not Found", 10), "an answer is not 200"),
        (answer("200 OK", 10, 5), "more than Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no Content-Length"),
    ],
)
def test_trouble_is_no_figure(origin, said, why):
    """It says what came, and ends."""
    origin.on("/file", lambda talk: talk.send(said))
    done = taken(origin)

    assert done.returncode == 1
    assert why in done.stderr
