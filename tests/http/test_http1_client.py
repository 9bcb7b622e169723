"""Responses out of HTTP/1.1 bytes, however they are cut, and what an origin must not say."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from edge.errors import OriginError
from edge.http.heads import Head
from edge.http.http1_client import MAX_HEAD, MAX_INTERIM, End, Http1Client

HOST = (b"host", b"a.test")
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
"""What nobody asked for."""

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def asked(method: bytes = b"GET", *, tunnel: bool = False) -> Http1Client:
    """A client whose request is out."""
    wire = Http1Client()
    wire.request(method, b"/", [HOST], tunnel=tunnel)
    wire.end()
    return wire


def bytewise(data: bytes) -> list[bytes]:
    """Each byte a piece of its own."""
    return [data[i : i + 1] for i in range(len(data))]


CUTS = {
    "whole": lambda data: [data],
    "byte by byte": bytewise,
    "in two": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
}


@pytest.fixture(params=CUTS.values(), ids=CUTS.keys())
def cut(request):
    """One way of cutting bytes into pieces."""
    return request.param


@pytest.fixture(params=[False, True], ids=["no tunnel", "a tunnel asked"])
def tunnel(request):
    """Whether the request offered an upgrade, which the response does not take."""
    return request.param


def read(wire: Http1Client, *pieces: bytes) -> tuple[list[int], bytes, list[Any] | None]:
    """Statuses, content, and the trailers of the end; None without an end."""
    statuses, content, trailers = [], b"", None
    for piece in pieces:
        for event in wire.receive(piece):
            assert trailers is None, "nothing comes behind the end"
            if isinstance(event, Head):
                statuses.append(event.status)
            elif isinstance(event, End):
                trailers = event.trailers
            else:
                content += event
    return statuses, content, trailers


def take(wire: Http1Client, pieces: list[bytes], found: list[object]) -> None:
    """Receive pieces into `found`, until one is refused."""
    for piece in pieces:
        found += wire.receive(piece)


# Whole responses: bytes, method, statuses, content, trailers, whether the connection stays

WHOLE = {
    "by length": (FIVE, b"GET", [200], b"hello", [], True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"GET", [200], b"", [], True),
    "the same length twice": (
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"GET", [200], b"hello", [], True,
    ),
    "in chunks": (
        CHUNKED + b"3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n", b"GET", [200], b"hello", [], True,
    ),
    "in chunks, spelled otherwise": (
        OK + b"transfer-encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET", [200], b"hello", [], True,
    ),
    "with trailers": (
        CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nB: 2\r\n\r\n",
        b"GET", [200], b"hello", [(b"x-sum", b"1"), (b"b", b"2")], True,
    ),
    "to HEAD, with a length": (
        OK + b"Content-Length: 5\r\n\r\n", b"HEAD", [200], b"", [], True,
    ),
    "to HEAD, in chunks": (CHUNKED, b"HEAD", [200], b"", [], True),
    "to HEAD, without framing": (OK + b"\r\n", b"HEAD", [200], b"", [], True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", [204], b"", [], True),
    "204 with a length": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"GET", [204], b"", [], True,
    ),
    "304 with a length": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"GET", [304], b"", [], True,
    ),
    "304 in chunks": (
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET", [304], b"", [], True,
    ),
    "that closes": (
        OK + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
        b"GET", [200], b"hello", [], False,
    ),
    "in chunks that closes": (
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET", [200], b"hello", [], False,
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"GET", [200], b"hello", [], False,
    ),
    "HTTP/1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"GET", [200], b"hello", [], True,
    ),
    "without a reason": (
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"GET", [200], b"hello", [], True,
    ),
    "behind 100": (
        b"HTTP/1.1 100 Continue\r\n\r\n" + FIVE, b"GET", [100, 200], b"hello", [], True,
    ),
    "behind hints": (HINTS * 2 + FIVE, b"GET", [103, 103, 200], b"hello", [], True),
    "behind as many as may be": (
        b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INTERIM + FIVE,
        b"GET", [*[102] * MAX_INTERIM, 200], b"hello", [], True,
    ),
    "with a large head": (
        OK + b"A: " + b"a" * (MAX_HEAD - 100) + b"\r\nContent-Length: 5\r\n\r\nhello",
        b"GET", [200], b"hello", [], True,
    ),
    "with obs-text": (
        OK + b"A: \xe4\xff\r\nContent-Length: 5\r\n\r\nhello", b"GET", [200], b"hello", [], True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE.keys())
def test_a_response_is_read_the_same_however_it_is_cut(cut, tunnel, case):
    """Heads, content and trailers; then whether the connection can be used again."""
    data, method, *expected, stays = case
    wire = asked(method, tunnel=tunnel)

    assert read(wire, *cut(data)) == tuple(expected)
    assert wire.reusable == stays


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE.keys())
def test_what_comes_behind_a_response_in_one_piece_ends_the_connection(tunnel, case):
    """It is no part of this response and answers no other: the connection is not used again."""
    data, method, *expected, _ = case
    wire = asked(method, tunnel=tunnel)

    assert read(wire, data + NEXT) == tuple(expected)
    assert not wire.reusable


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE.keys())
def test_what_comes_behind_a_response_later_is_refused(tunnel, case):
    """Bytes on a connection between two requests are an error, or ignored where it ends anyway."""
    data, method, *_, stays = case
    wire = asked(method, tunnel=tunnel)
    read(wire, data)

    if stays:
        with pytest.raises(OriginError) as caught:
            wire.receive(NEXT)
        assert caught.value.kind == "http_protocol_error"
    else:
        assert wire.receive(NEXT) == []


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE.keys())
def test_the_end_of_the_connection_behind_a_whole_response_is_nothing(cut, tunnel, case):
    """A response that was whole stays whole."""
    data, method, *expected, _ = case
    wire = asked(method, tunnel=tunnel)

    assert read(wire, *cut(data), b"") == tuple(expected)


# Ended by the connection


@pytest.mark.parametrize(
    "head", [OK + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n"], ids=["HTTP/1.1", "HTTP/1.0"]
)
def test_content_without_framing_ends_with_the_connection(cut, tunnel, head):
    """Whatever comes until then is content, even what looks like a response."""
    wire = asked(tunnel=tunnel)

    assert read(wire, *cut(head + b"hello" + NEXT)) == ([200], b"hello" + NEXT, None)
    assert read(wire, b"") == ([], b"", [])
    assert not wire.reusable


BROKEN_OFF = {
    "in the status line": b"HTTP/1.1 20",
    "in the head": OK + b"Content-Le",
    "in front of the content": OK + b"Content-Length: 5\r\n\r\n",
    "in the content": OK + b"Content-Length: 5\r\n\r\nhell",
    "behind 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "in front of a chunk": CHUNKED,
    "in a chunk's size": CHUNKED + b"5",
    "in a chunk": CHUNKED + b"5\r\nhell",
    "between chunks": CHUNKED + b"5\r\nhello\r\n",
    "in the last chunk": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "in the trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n",
}


@pytest.mark.parametrize("data", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_a_response_that_breaks_off_is_never_whole(cut, tunnel, data):
    """The end of the connection is an error, and the request is not for being sent again."""
    wire = asked(tunnel=tunnel)
    assert read(wire, *cut(data))[2] is None

    with pytest.raises(OriginError) as caught:
        wire.receive(b"")
    assert (caught.value.kind, caught.value.retry) == ("http_response_incomplete", "never")
    assert not wire.reusable


def test_a_connection_that_ends_without_a_byte_may_have_been_closed_before(tunnel):
    """Only then may a request be sent again, on a connection that had others."""
    wire = asked(tunnel=tunnel)
    assert not wire.has_begun

    with pytest.raises(OriginError) as caught:
        wire.receive(b"")
    assert (caught.value.kind, caught.value.retry) == ("connection_terminated", "if_reused")


# What no response may be

FRAMING = "http_protocol_error"
SIZE = "http_response_header_section_size"
CODING = "http_response_transfer_coding"
REFUSED = {
    "both framings": (
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        FRAMING,
    ),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", FRAMING),
    "a list of lengths": (OK + b"Content-Length: 5, 5\r\n\r\nhello", FRAMING),
    "a signed length": (OK + b"Content-Length: +5\r\n\r\nhello", FRAMING),
    "a length of 1_0": (OK + b"Content-Length: 1_0\r\n\r\nhello", FRAMING),
    "a length in hex": (OK + b"Content-Length: 0x5\r\n\r\nhello", FRAMING),
    "a length that is no number": (OK + b"Content-Length: five\r\n\r\nhello", FRAMING),
    "an empty length": (OK + b"Content-Length: \r\n\r\nhello", FRAMING),
    "a huge length": (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello", FRAMING),
    "a bad length without content": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: five\r\n\r\n", FRAMING,
    ),
    "gzip": (OK + b"Transfer-Encoding: gzip\r\n\r\nhello", FRAMING),
    "gzip in chunks": (
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", CODING,
    ),
    "chunks in chunks": (
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", FRAMING,
    ),
    "chunked twice": (
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FRAMING,
    ),
    "identity": (OK + b"Transfer-Encoding: identity\r\n\r\nhello", FRAMING),
    "xchunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", FRAMING),
    "no coding": (OK + b"Transfer-Encoding: \r\n\r\nhello", FRAMING),
    "204 in chunks": (
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FRAMING,
    ),
    "100 with a length": (
        b"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n" + FIVE, FRAMING,
    ),
    "103 in chunks": (
        b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE, FRAMING,
    ),
    "a chunk size of 0x5": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", FRAMING),
    "a chunk size of 0_5": (CHUNKED + b"0_5\r\nhello\r\n0\r\n\r\n", FRAMING),
    "a chunk size of +5": (CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", FRAMING),
    "a negative chunk size": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", FRAMING),
    "a blank behind a chunk size": (CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", FRAMING),
    "a huge chunk size": (CHUNKED + b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n", FRAMING),
    "an endless chunk size": (CHUNKED + b"0" * 70_000, FRAMING),
    "an endless chunk extension": (CHUNKED + b"5;" + b"a" * 70_000, FRAMING),
    "no chunk size": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", FRAMING),
    "a bare LF behind a chunk size": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", FRAMING),
    "a chunk longer than its size": (CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n", FRAMING),
    "a trailer without a name": (CHUNKED + b"0\r\n: 1\r\n\r\n", FRAMING),
    "a trailer with a blank name": (CHUNKED + b"0\r\nX Y: 1\r\n\r\n", FRAMING),
    "endless trailers": (
        CHUNKED + b"0\r\n" + b"X: 1\r\n" * 5_000, "http_response_trailer_section_size",
    ),
    "a bare LF behind the status": (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", FRAMING),
    "a bare LF behind a field": (OK + b"A: b\nContent-Length: 5\r\n\r\nhello", FRAMING),
    "an empty line in front": (b"\r\n" + FIVE, FRAMING),
    "a folded field": (OK + b"A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello", FRAMING),
    "a blank in front of a colon": (OK + b"Content-Length : 5\r\n\r\nhello", FRAMING),
    "NUL in a field": (OK + b"A: b\0c\r\n\r\n", FRAMING),
    "CR in a field": (OK + b"A: b\rc\r\n\r\n", FRAMING),
    "a line without a colon": (OK + b"hello\r\n\r\n", FRAMING),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", FRAMING),
    "HTTP/0.9": (b"<html>\r\n\r\nhello</html>\r\n\r\n", FRAMING),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", FRAMING),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", FRAMING),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", FRAMING),
    "status 099": (b"HTTP/1.1 099 OK\r\n\r\n", FRAMING),
    "status 600": (b"HTTP/1.1 600 OK\r\n\r\n", FRAMING),
    "a flood of interim responses": (
        b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIM + 1), FRAMING,
    ),
    "a head too large": (OK + b"A: " + b"a" * MAX_HEAD + b"\r\n\r\n", SIZE),
    "a field without an end": (OK + b"A: " + b"a" * 2 * MAX_HEAD, SIZE),
    "too many fields": (OK + b"A: b\r\n" * 101 + b"\r\n", SIZE),
    "fields without an end": (OK + b"A: b\r\n" * 5_000, SIZE),
}  # fmt: skip


@pytest.mark.parametrize(("data", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_framed_without_guessing_is_refused(cut, tunnel, data, kind):
    """However it is cut; the connection ends, and no such response is ever whole."""
    wire = asked(tunnel=tunnel)
    found: list[object] = []

    with pytest.raises(OriginError) as caught:
        take(wire, cut(data), found)
    assert (caught.value.kind, caught.value.retry) == (kind, "never")
    assert not any(isinstance(event, End) for event in found)
    assert not wire.reusable


def test_garbage_without_a_line_ends_with_its_connection(cut, tunnel):
    """What never becomes a line is no response either."""
    wire = asked(tunnel=tunnel)
    read(wire, *cut(b"SSH-2.0-OpenSSH_9.2"))

    with pytest.raises(OriginError) as caught:
        wire.receive(b"")
    assert caught.value.kind == "http_response_incomplete"


def test_content_for_head_ends_the_connection(cut, tunnel):
    """A response to HEAD has no content: what looks like it would answer the next request."""
    wire = asked(b"HEAD", tunnel=tunnel)
    found: list[object] = []
    with contextlib.suppress(OriginError):
        take(wire, cut(FIVE), found)
        assert not wire.reusable

    assert [type(event) for event in found] == [Head, End]


# 101


def test_bytes_behind_101_are_the_tunnels(cut):
    """None is lost, none is read: not even what looks like the end of a head."""
    wire = asked(tunnel=True)
    raw = b"\x81\x05hello\r\n\r\n" + NEXT

    assert read(wire, *cut(SWITCH + raw)) == ([101], raw, None)
    assert wire.is_tunnel
    assert read(wire, b"more", b"") == ([], b"more", [])
    assert not wire.reusable


def test_101_may_follow_interim_responses(cut):
    """Those are no tunnel yet."""
    wire = asked(tunnel=True)

    assert read(wire, *cut(HINTS + SWITCH + b"raw")) == ([103, 101], b"raw", None)


def test_a_tunnel_that_nobody_asked_for_is_refused(cut):
    """A client that offered no upgrade would read the tunnel's bytes as responses."""
    wire = asked(tunnel=False)

    with pytest.raises(OriginError, match="nobody asked"):
        take(wire, cut(SWITCH + NEXT), [])
    assert not wire.is_tunnel


def test_only_one_response_may_refuse_an_upgrade(cut):
    """After it, what comes is not searched for a 101 again."""
    wire = asked(tunnel=True)
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: %d\r\n\r\n" % len(SWITCH)

    assert read(wire, *cut(refusal + SWITCH)) == ([426], SWITCH, [])
    assert not wire.is_tunnel
    assert wire.reusable


# Fields


def test_names_are_in_lower_case():
    """As HTTP/2 has them; values stay as they came."""
    (head,) = asked(b"HEAD").receive(OK + b"X-One: A\r\nx-ONE: b\r\n\r\n")[:1]

    assert head == Head(200, [(b"x-one", b"A"), (b"x-one", b"b")], b"1.1")


KEEPS = {
    b"": None,
    b"Keep-Alive: timeout=5\r\n": 5,
    b"Keep-Alive: timeout=5, max=100\r\n": 5,
    b"keep-alive: max=100, TIMEOUT = 72\r\n": 72,
    b"Keep-Alive: max=100\r\n": None,
    b"Keep-Alive: mytimeout=5\r\n": None,
    b"Keep-Alive: timeout=-5\r\n": None,
    b"Keep-Alive: timeout=99999999999\r\n": None,
    b"Keep-Alive: 300\r\n": None,
}


@pytest.mark.parametrize(("line", "seconds"), KEEPS.items())
def test_an_origin_says_how_long_it_keeps_a_connection(line, seconds):
    """As far as it can be understood."""
    wire = asked()
    wire.receive(OK + line + b"Content-Length: 0\r\n\r\n")

    assert wire.keeps_s == seconds


# Requests


def sent(fields: list[tuple[bytes, bytes]], *chunks: bytes, trailers: Any = None) -> bytes:
    """A POST as it goes out."""
    wire = Http1Client()
    out = wire.request(b"POST", b"/a?b", [HOST, *fields], tunnel=False)
    return out + b"".join(map(wire.content, chunks)) + wire.end(trailers)


def test_a_request_with_a_length_goes_out_as_it_is():
    """Trailers have no room behind it."""
    expected = b"POST /a?b HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello"
    length = (b"content-length", b"5")

    assert sent([length], b"hel", b"", b"lo") == expected
    assert sent([length], b"hello", trailers=[(b"x-sum", b"1")]) == expected


def test_a_request_in_chunks_ends_with_its_trailers():
    """An empty piece is not the last chunk."""
    coding = (b"transfer-encoding", b"chunked")
    head = b"POST /a?b HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n"

    assert sent([coding], b"hel", b"", b"lo") == head + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    assert sent([coding], trailers=[(b"x", b"1")]) == head + b"0\r\nx: 1\r\n\r\n"


@pytest.mark.parametrize("chunks", [[b"hell"], [b"hello", b"o"]], ids=["short", "long"])
def test_a_request_that_is_not_as_long_as_it_said_has_no_end(chunks):
    """Neither padded nor cut: the origin never sees a whole one."""
    with pytest.raises(OriginError) as caught:
        sent([(b"content-length", b"5")], *chunks)
    assert caught.value.kind == "proxy_internal_error"


UNSENDABLE = {
    "a target with a blank": (b"/a b", (b"a", b"b")),
    "a target with CRLF": (b"/a\r\nB: c", (b"a", b"b")),
    "a value with CRLF": (b"/", (b"a", b"b\r\nc: d")),
    "a name with a blank": (b"/", (b"a b", b"c")),
}


@pytest.mark.parametrize(("target", "field"), UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_a_request_that_would_split_is_not_sent(target, field):
    """Whatever got there, nothing of it goes on the wire."""
    wire = Http1Client()
    with pytest.raises(OriginError) as caught:
        wire.request(b"GET", target, [HOST, field], tunnel=False)
    assert caught.value.kind == "proxy_internal_error"
