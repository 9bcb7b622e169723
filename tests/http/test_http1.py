"""Requests out of HTTP/1.1 bytes, however they are cut, and the status of each mistake."""

from __future__ import annotations

import pytest

from edge.errors import MalformedRequest, RequestError
from edge.http.http1 import (
    END,
    HTTP2_PREFACE,
    Http1,
    Limits,
    encode_chunk,
    encode_end,
    encode_head,
    encode_interim,
)
from edge.http.message import Request, Response, finish_head
from edge.http.target import split_target

HOST = b"Host: a.test\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\n" + HOST + b"\r\n"


def events(wire: Http1, *pieces: bytes) -> list[object]:
    """Every event of `pieces`, a connection's way: receive, then next until nothing is left."""
    found = []
    open_content = False
    for piece in pieces:
        event = wire.receive(piece)
        while event is not None:
            found.append(event)
            if isinstance(event, Request):
                open_content = not event.ends
            elif event is END:
                open_content = False
            if not open_content:
                wire.start_next()
            event = wire.next()
    return found


def bytewise(data: bytes) -> list[bytes]:
    """Each byte a piece of its own."""
    return [data[i : i + 1] for i in range(len(data))]


CUTS = {
    "whole": lambda data: [data],
    "byte by byte": bytewise,
    "with trailing bytes": lambda data: [data + PLAIN],
    "in two": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
    "behind another": lambda data: [PLAIN + data],
    "behind another, in two": lambda data: [PLAIN + data[:9], data[9:]],
}


@pytest.fixture(params=CUTS.values(), ids=CUTS.keys())
def cut(request):
    """One way of cutting bytes into pieces."""
    return request.param


ACCEPTED = {
    "origin-form": (b"GET /a?b=c HTTP/1.1\r\n" + HOST, b"/a?b=c", b"a.test"),
    "absolute-form": (b"GET http://a.test/x?y HTTP/1.1\r\n" + HOST, b"/x?y", b"a.test"),
    "absolute-form, other case": (b"GET HTTP://A.test/ HTTP/1.1\r\n" + HOST, b"/", b"A.test"),
    "absolute-form without path": (b"GET http://a.test HTTP/1.1\r\n" + HOST, b"/", b"a.test"),
    "absolute-form, query alone": (b"GET http://a.test?q HTTP/1.1\r\n" + HOST, b"/?q", b"a.test"),
    "absolute-form without Host": (b"GET http://a.test/ HTTP/1.0\r\n", b"/", b"a.test"),
    "asterisk-form": (b"OPTIONS * HTTP/1.1\r\n" + HOST, b"*", b"a.test"),
    "authority-form": (b"CONNECT a.test:443 HTTP/1.1\r\n" + HOST, b"a.test:443", b"a.test"),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n", b"/", b""),
    "a later minor version": (b"GET / HTTP/1.2\r\n" + HOST, b"/", b"a.test"),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n", b"/", b""),
    "any token as method": (b"M-SEARCH / HTTP/1.1\r\n" + HOST, b"/", b"a.test"),
    "field without value": (b"GET / HTTP/1.1\r\nX:\r\n" + HOST, b"/", b"a.test"),
    "blanks around a value": (b"GET / HTTP/1.1\r\nHost: \t a.test \t\r\n", b"/", b"a.test"),
}


@pytest.mark.parametrize(("lines", "target", "authority"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_request_is_read_the_same_however_it_is_cut(cut, lines, target, authority):
    """Target and authority are the same whole, byte by byte and among others."""
    found = events(Http1(Limits()), *cut(lines + b"\r\n"))
    wanted = [event for event in found if event.target != b"/plain"]
    assert [(event.target, event.authority, event.ends) for event in wanted] == [
        (target, authority, True)
    ]


LONG = b"x" * 70_000
REFUSED = {
    "no version": (b"GET /\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "blank in the target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method that is no token": (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "lower-case protocol": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    "HTTP/2 line": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "HTTP/3 line": (b"GET / HTTP/3.7\r\n" + HOST + b"\r\n", 505),
    "preface gone wrong": (HTTP2_PREFACE[:-1] + b"?", 505),
    "no Host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "blank before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "folded line": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
    "CR in a value": (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        400,
    ),
    "signed length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
    "length beyond counting": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        400,
    ),
    "length beside chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        400,
    ),
    "length beside another coding": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n",
        400,
    ),
    "chunked not last": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        400,
    ),
    "another coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "another coding, then chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "long line": (b"GET /" + b"x" * 8200 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "endless line": (b"GET /" + LONG, 414),
    "endless nothing": (LONG, 400),
    "endless method": (LONG + b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "UTF-8 in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "fragment in the query": (b"GET /?q#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "https in clear text": (b"GET https://a.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 421),
    "two Hosts in 1.0": (b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "two Hosts in 1.2": (b"GET / HTTP/1.2\r\n" + HOST + HOST + b"\r\n", 400),
    "the same length twice": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        400,
    ),
    "chunked, and an empty line of codings": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n",
        501,
    ),
    "one long field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + LONG + b"\r\n\r\n", 431),
    "long fields together": (
        b"GET / HTTP/1.1\r\n" + HOST + (b"X: " + b"y" * 700 + b"\r\n") * 30 + b"\r\n",
        431,
    ),
    "many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n", 431),
    "Host that differs from the target": (b"GET http://b.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "user in the target": (b"GET http://u@a.test/ HTTP/1.0\r\n\r\n", 400),
    "target without authority": (b"GET http:///x HTTP/1.0\r\n\r\n", 400),
    "fragment in the target": (b"GET http://a.test/#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "another scheme": (b"GET ftp://a.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "asterisk for GET": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "relative target": (b"GET foo HTTP/1.1\r\n" + HOST + b"\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_has_its_status_however_it_is_cut(cut, data, status):
    """What is refused is refused with the same status whole, byte by byte and among others."""
    with pytest.raises(RequestError) as caught:
        events(Http1(Limits()), *cut(data))
    assert caught.value.status == status, caught.value


CONTENT = {
    "by length": (b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "in chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        b"hello",
    ),
    "in chunks, by another case": (b"transfer-encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
    "with trailers": (
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\n\r\n",
        b"x",
    ),
    "none in chunks": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
}


@pytest.mark.parametrize(("rest", "content"), CONTENT.values(), ids=CONTENT.keys())
def test_content_is_read_the_same_however_it_is_cut(cut, rest, content):
    """A request gives its head, its content and its end, and leaves what follows alone."""
    wire = Http1(Limits())
    found = events(wire, *cut(b"POST / HTTP/1.1\r\n" + HOST + rest))
    found = [event for event in found if getattr(event, "target", b"") != b"/plain"]
    assert found[0].ends is False
    assert b"".join(found[1:-1]) == content
    assert found[-1] is END
    assert wire.trailers == ([(b"Digest", b"y")] if b"Digest" in rest else [])


BROKEN_CONTENT = {
    "chunk longer than said": b"5\r\nhelloX\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "size beyond counting": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size that is none": b"x\r\nhello\r\n0\r\n\r\n",
    "long extension": b"5;" + LONG + b"\r\nhello\r\n0\r\n\r\n",
    "folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
}


@pytest.mark.parametrize("rest", BROKEN_CONTENT.values(), ids=BROKEN_CONTENT.keys())
def test_broken_chunks_are_refused_however_they_are_cut(cut, rest):
    """Chunked content that leaves its grammar is 400 (or 431 for its size)."""
    data = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + rest
    with pytest.raises(RequestError) as caught:
        events(Http1(Limits()), *cut(data))
    assert caught.value.status in (400, 431)


def test_endless_trailers_are_refused():
    """Trailers are held to a size as fields are."""
    data = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    with pytest.raises(RequestError) as caught:
        events(Http1(Limits()), data, *[b"T: x\r\n"] * 20_000)
    assert caught.value.status == 431


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\r\n" + PLAIN],
        bytewise(b"\r\n" + PLAIN),
        [b"\r\n", PLAIN],
        [b"\r", b"\n" + PLAIN],
        [PLAIN, b"\r\n" + PLAIN],
        [PLAIN, *bytewise(b"\r\n" + PLAIN)],
        [PLAIN + b"\r\n" + PLAIN],
        [PLAIN + b"\r\n", PLAIN],
        [PLAIN + b"\r\n" + PLAIN + b"\r\n" + PLAIN],
    ],
    ids=[
        "whole",
        "byte by byte",
        "apart",
        "cut in the middle",
        "later",
        "later, byte by byte",
        "pipelined",
        "pipelined, apart",
        "pipelined twice",
    ],
)
def test_an_empty_line_before_a_request_is_ignored(pieces):
    """One CRLF before a request line counts for nothing (RFC 9112 §2.2)."""
    found = events(Http1(Limits()), *pieces)
    assert {event.target for event in found} == {b"/plain"}
    assert len(found) == b"".join(pieces).count(b"GET")


def test_two_empty_lines_are_refused():
    """More than one empty line is no request."""
    with pytest.raises(MalformedRequest):
        events(Http1(Limits()), b"\r\n\r\n" + PLAIN)


def test_garbage_before_an_empty_line_is_not_skipped():
    """A line that was begun before the CRLF is refused with what follows it."""
    with pytest.raises(MalformedRequest):
        events(Http1(Limits()), PLAIN + b"GARBAGE", b"\r\n" + PLAIN)


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_an_empty_line_in_content_begins_no_request(apart):
    """Chunked content that begins with a CRLF is broken content, never a new request."""
    upload = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    smuggled = b"\r\n" + PLAIN
    with pytest.raises(MalformedRequest):
        events(Http1(Limits()), *([upload, smuggled] if apart else [upload + smuggled]))


def test_content_that_looks_like_an_empty_line_is_content():
    """An empty line is skipped at the start of a message alone."""
    wire = Http1(Limits())
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\n"
    found = events(wire, head, b"\r\n", b"\r\n\r\n", PLAIN)
    assert b"".join(found[1:3]) == b"\r\n\r\n\r\n"
    assert found[-1].target == b"/plain"


def test_held_bytes_are_read_later_in_order():
    """What is held while an answer is under way comes out of `next`."""
    wire = Http1(Limits())
    assert wire.receive(PLAIN).target == b"/plain"
    wire.hold(b"GET /second HTTP/1.1\r\n")
    wire.hold(HOST + b"\r\n" + PLAIN)
    wire.start_next()
    assert wire.next().target == b"/second"
    wire.start_next()
    assert wire.next().target == b"/plain"
    wire.start_next()
    assert wire.next() is None


@pytest.mark.parametrize("cut", range(1, 4))
def test_what_waits_behind_content_is_no_empty_line(cut):
    """Bytes that are no request, and whose end alone was held: they are not read past."""
    begun, end = b"\0GET / HTTP/1.1\r\n" + HOST + b"\r\n", b"0\r\n\r\n"
    wire = Http1(Limits())
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert wire.receive(head + end + begun[:-cut]).method == b"POST"
    assert wire.next() is END
    wire.start_next()
    with pytest.raises(MalformedRequest):
        feed_held(wire, begun[-cut:] + PLAIN)


def feed_held(wire: Http1, data: bytes) -> None:
    """Its first byte was held, the others come behind it."""
    wire.hold(data[:1])
    wire.next()
    wire.receive(data[1:])


def test_a_held_mistake_has_its_status():
    """A mistake behind a held request keeps its own status."""
    wire = Http1(Limits())
    wire.receive(PLAIN)
    wire.hold(PLAIN + b"GET / HTTP/2.0\r\n\r\n")
    wire.start_next()
    wire.next()
    wire.start_next()
    with pytest.raises(RequestError) as caught:
        wire.next()
    assert caught.value.status == 505


LIMITS = {
    "line": (Limits(line_bytes=200), b"GET /" + b"x" * 140 + b" HTTP/1.1\r\n" + HOST, 414),
    "field bytes": (Limits(field_bytes=500), b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 90, 431),
    "field count": (Limits(field_count=3), b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 3, 431),
}


@pytest.mark.parametrize(("limits", "data", "status"), LIMITS.values(), ids=LIMITS.keys())
def test_the_operators_limits_hold_however_a_request_is_cut(cut, limits, data, status):
    """A smaller limit refuses what the default takes."""
    if len(cut(PLAIN)[0]) <= len(PLAIN):  # a whole PLAIN in front must not hide what is tested
        events(Http1(Limits()), data + b"\r\n")
    with pytest.raises(RequestError) as caught:
        events(Http1(limits), *cut(data + b"\r\n"))
    assert caught.value.status == status


@pytest.mark.parametrize("first", [400, 7_900, 8_500], ids=str)
def test_a_head_that_begins_behind_another_is_measured_whole(first):
    """A field section over its limit is refused wherever the segments cut it."""
    head = b"GET / HTTP/1.1\r\n" + HOST + (b"X: " + b"y" * 1000 + b"\r\n") * 17 + b"\r\n"
    with pytest.raises(RequestError) as caught:
        events(Http1(Limits()), PLAIN + head[:first], head[first:])
    assert caught.value.status == 431


def test_content_does_not_count_towards_the_next_head():
    """A head in pieces after much content is held to its own size only."""
    wire = Http1(Limits())
    upload = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000
    found = events(wire, upload + PLAIN[:10], *bytewise(PLAIN[10:]))
    assert found[-1].target == b"/plain"


KEPT = {
    "1.1": (PLAIN, False),
    "1.1 close": (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", True),
    "1.1 close among others": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: x, CLOSE\r\n\r\n",
        True,
    ),
    "1.0": (b"GET / HTTP/1.0\r\n\r\n", True),
    "1.0 keep-alive": (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", False),
    "1.0 both": (b"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", True),
}


@pytest.mark.parametrize(("data", "closes"), KEPT.values(), ids=KEPT.keys())
def test_persistence_is_what_the_client_asked_for(data, closes):
    """HTTP/1.1 stays unless told to close, HTTP/1.0 goes unless told to stay (RFC 9112 §9.3)."""
    wire = Http1(Limits())
    wire.receive(data)
    assert wire.should_close() is closes


@pytest.mark.parametrize(("version", "expects"), [(b"1.1", True), (b"1.0", False)], ids=str)
def test_http10_expects_nothing(version, expects):
    """100-continue is an expectation of HTTP/1.1 clients alone (RFC 9110 §10.1.1)."""
    head = b"POST / HTTP/%b\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    assert Http1(Limits()).receive(head % version).expects is expects


def test_https_may_be_named_on_a_secured_connection():
    """The absolute form of https is for connections that are secured (RFC 9110 §7.4)."""
    data = b"GET https://a.test/x HTTP/1.1\r\n" + HOST + b"\r\n"
    (event,) = events(Http1(Limits(), sni="a.test"), data)
    assert (event.target, event.authority) == (b"/x", b"a.test")


def test_split_target_leaves_connect_alone():
    """The authority-form means something to CONNECT only."""
    assert split_target(b"CONNECT", b"b.test:443", b"a.test") == (b"b.test:443", b"a.test")
    with pytest.raises(MalformedRequest):
        split_target(b"GET", b"b.test:443", b"a.test")


@pytest.mark.parametrize("option", [b"", b"close", b"keep-alive"], ids=str)
def test_encode_head_says_what_becomes_of_the_connection(option):
    """The connection option stands between the finished lines and those of this second."""
    response = Response(finish_head(200, [(b"X", b"y")]), b"Date: now\r\n\r\n", b"")
    line = b"Connection: " + option + b"\r\n" if option else b""
    assert encode_head(response, option) == (
        b"HTTP/1.1 200 OK\r\nX: y\r\n" + line + b"Date: now\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("trailers", "expected"),
    [
        (None, b"0\r\n\r\n"),
        ([], b"0\r\n\r\n"),
        ([(b"X-Sum", b"1"), (b"X-B", b"")], b"0\r\nX-Sum: 1\r\nX-B: \r\n\r\n"),
    ],
)
def test_content_in_chunks_has_one_end(trailers, expected):
    """The last chunk, trailers if there are any, an empty line (RFC 9112 §7.1)."""
    assert encode_end(trailers) == expected


def test_a_chunk_has_its_length_and_is_never_the_last():
    """Nothing makes no chunk: one of no length would end the content."""
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""


def test_an_interim_response_is_whole():
    """A status line, fields, an empty line, and nothing behind it."""
    assert encode_interim(100, []) == b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = encode_interim(103, [(b"Link", b"</a.css>; rel=preload")])

    assert hints == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
