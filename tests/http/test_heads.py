"""A response whose head came before says the same as by the parser, or it has the parser say it."""

from __future__ import annotations

import pytest

from edge.errors import OriginError
from edge.http.heads import LONGEST, REMEMBERED, Heads
from edge.http.http1_client import End, Http1Client

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\nX-One: a\r\n\r\nhello"

REMEMBERED_CASES = {
    "content": FIVE,
    "no content": OK + b"Content-Length: 0\r\n\r\n",
    "an error": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
    "a connection that is kept": OK + b"Keep-Alive: timeout=7\r\nContent-Length: 2\r\n\r\nhi",
    "as long as it may be": OK + b"Content-Length: 1\r\nX: %b\r\n\r\nx" % (b"y" * (LONGEST - 39)),
    "an empty line in the content": OK + b"Content-Length: 8\r\n\r\na\r\n\r\nb\r\n",
}
PARSED_CASES = {
    "the end of the connection": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n",
    "no length": OK + b"\r\nhi",
    "nothing to have": b"HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "hints before it": b"HTTP/1.1 103 Early Hints\r\n\r\n" + FIVE,
    "a head that is too long": OK
    + b"Content-Length: 1\r\nX: %b\r\n\r\nx" % (b"y" * (LONGEST - 38)),
    "more behind it": FIVE + FIVE,
    "less than it says": FIVE[:-1],
}
CUTS = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
    "head and content": lambda data: [
        *data.partition(b"\r\n\r\n")[:2],
        data.partition(b"\r\n\r\n")[2],
    ],
}


def asked(heads: Heads | None, method: bytes = b"GET", *, tunnel: bool = False) -> Http1Client:
    """A client whose request is out."""
    wire = Http1Client(heads)
    wire.request(method, b"/", [(b"host", b"a.test")], tunnel=tunnel, ends=True)
    return wire


def said(wire: Http1Client, *pieces: bytes) -> tuple[object, ...]:
    """What a response says, and what becomes of its connection."""
    heads, content, ends = [], b"", []
    try:
        for event in [event for piece in pieces for event in wire.receive(piece)]:
            if isinstance(event, bytes):
                content += event
            elif isinstance(event, End):
                ends.append(event.trailers)
            else:
                heads.append((event.status, event.fields, event.version))
    except OriginError as error:
        ends.append(error.kind)
    return heads, content, ends, wire.reusable, wire.keeps_s, wire.has_begun


def known(data: bytes) -> Heads:
    """What is heard by a response that came before, and by that alone."""
    heads = Heads()
    said(asked(heads), data)
    return heads


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize(
    ("data", "is_remembered"),
    [(each, True) for each in REMEMBERED_CASES.values()]
    + [(each, False) for each in PARSED_CASES.values()],
    ids=[*REMEMBERED_CASES, *PARSED_CASES],
)
def test_the_same_again_says_the_same(data, is_remembered, cut):
    """However it comes, and whatever came before it."""
    heads = known(data)
    expected = said(asked(None), *cut(data))

    assert bool(heads._known) is is_remembered
    assert said(asked(heads), *cut(data)) == expected
    assert said(asked(heads), data) == said(asked(None), data)


@pytest.mark.parametrize("data", REMEMBERED_CASES.values(), ids=REMEMBERED_CASES.keys())
@pytest.mark.parametrize("behind", [b"", FIVE, b"\r\n", b"x"])
def test_what_comes_behind_it_is_nobodys(data, behind):
    """In the same piece, or later."""
    heads = known(data)

    assert said(asked(heads), data + behind) == said(asked(None), data + behind)
    assert said(asked(heads), data, behind) == said(asked(None), data, behind)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_head_that_is_not_whole_is_no_content(cut):
    """Cut within its empty line, where what came is as long as if it had that and content."""
    lines = OK + b"Content-Length: %d\r\nX-One: a"
    size = len(lines % 40) + cut - 3
    lines %= size
    data = lines + b"\r\n\r\n" + b"y" * size
    pieces = data[: len(lines) + cut], data[len(lines) + cut :]

    assert said(asked(known(data)), *pieces) == said(asked(None), *pieces)


def test_it_is_taken_from_memory():
    """One that zttp would not take shows it: with a head that is heard, it is not asked."""
    heads = known(FIVE)
    wire = asked(heads)
    wire._connection = None

    assert said(wire, FIVE.replace(b"hello", b"world"))[1] == b"world"


@pytest.mark.parametrize(("method", "tunnel"), [(b"HEAD", False), (b"POST", False), (b"GET", True)])
def test_another_question_is_not_answered_by_it(method, tunnel):
    """A HEAD has no content, though its head says how much there is."""
    heads = known(FIVE)
    data = FIVE if method != b"HEAD" else FIVE.removesuffix(b"hello")

    assert said(asked(heads, method, tunnel=tunnel), data) == said(
        asked(None, method, tunnel=tunnel), data
    )
    assert not known_by(method, data, tunnel=tunnel)._known


def known_by(method: bytes, data: bytes, *, tunnel: bool) -> Heads:
    """What such a question has heard."""
    heads = Heads()
    said(asked(heads, method, tunnel=tunnel), data)
    return heads


@pytest.mark.parametrize("lines", [b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_another_line_is_another_head(lines):
    """Nothing of what is known counts for it."""
    data = FIVE.replace(b"X-One: a\r\n", lines)

    assert said(asked(known(FIVE)), data) == said(asked(None), data)


def test_memory_has_a_bound():
    """Beyond it all are forgotten, so that the next ones have a place."""
    heads = Heads()
    for number in range(REMEMBERED + 2):
        said(asked(heads), FIVE.replace(b"a\r\n", b"%d\r\n" % number))

    assert 0 < len(heads._known) <= REMEMBERED
    heads.clear()
    assert not heads._known
