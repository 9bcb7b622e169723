"""Whatever bytes come: an answer or an end, never an exception; and paths that mean one thing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.errors import MalformedRequest
from edge.http.http1 import HTTP2_PREFACE
from edge.http.target import decode_path, encode_path
from edge.node.connection import Http1Connection
from edge.node.streams import Http2Connection
from tests.support_memory import MemoryTransport
from tests.support_wire import (
    DATA,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Server,
    frame,
    frames,
    head,
    response,
    small,
)

HELLO = PREFACE + frame(SETTINGS, 0, 0)
EXAMPLES = settings(max_examples=300, deadline=None)


def answer(request):
    """Every kind of answer that needs no loop."""
    return small(b"ok") if request.ends else response(request.method)


def play(pieces: list[bytes]) -> tuple[MemoryTransport, Server]:
    """A connection that gets these bytes until it ends."""
    server = Server(answer)
    server.service.requests_per_connection = 10**6
    wire = MemoryTransport()
    connection = Http1Connection(server.service)
    wire.set_protocol(connection)
    connection.connection_made(wire)
    for piece in pieces:
        if wire.ended:
            break
        if piece:
            wire.get_protocol().data_received(piece)
    return wire, server


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"GET /x HTTP/1.0\r\n",
        b"POST / HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"X: " + b"y" * 9000 + b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"\n",
        b"\0",
        b"SM\r\n\r\n",
    ]
)
HTTP1_BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(LINES, st.binary(max_size=5)), max_size=30).map(b"".join),
)
SIZES = st.lists(st.integers(min_value=1, max_value=40), max_size=40)


@EXAMPLES
@given(HTTP1_BYTES, SIZES)
@example(b"\r\n" * 5000, [])
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nGET / HTTP/1.1", [])
def test_any_bytes_get_answers_or_an_end(data, sizes):
    """No exception leaves `data_received`, and each request has one answer, in HTTP/1.1's shape."""
    wire, server = play(cut(data, sizes))
    written = bytes(wire.written)
    assert written.count(b"HTTP/1.1 ") == len(server.requests) + len(server.errors)
    assert len(server.errors) <= 1, "errors are terminal"
    assert not written or written.startswith(b"HTTP/1.1 ") or b"PRI" in data
    if server.errors:
        assert wire.ended


@EXAMPLES
@given(HTTP1_BYTES, SIZES)
def test_pieces_change_nothing(data, sizes):
    """The same bytes get the same requests and the same statuses however they are cut."""
    whole, pieces = play([data])[1], play(cut(data, sizes))[1]
    read = [(r.method, r.target, r.authority, r.ends) for r in whole.requests]
    assert [(r.method, r.target, r.authority, r.ends) for r in pieces.requests] == read


FRAMES = st.one_of(
    st.builds(
        frame,
        st.integers(min_value=0, max_value=10),
        st.integers(min_value=0, max_value=255),
        st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
        st.binary(max_size=30),
    ),
    st.sampled_from(
        [
            head(1),
            head(3, method=b"POST", ends=False),
            head(5, method=b"HEAD"),
            head(7, (b"expect", b"100-continue"), method=b"POST", ends=False),
            head(1, (b"X", b"y")),
            frame(DATA, 0, 3, b"x" * 1000),
            frame(DATA, 1, 3, b"x"),
            frame(DATA, 1, 7),
            frame(HEADERS, 5, 3, b"\0\1t\1v"),
            frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
            frame(WINDOW_UPDATE, 0, 1, b"\0\0\1\0"),
            frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"),
            frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff"),
            frame(PING, 0, 0, b"12345678"),
            frame(PING, 1, 0, b"12345678"),
            frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),
        ]
    ),
    st.binary(max_size=20),
)


@EXAMPLES
@given(st.lists(FRAMES, max_size=25).map(b"".join), SIZES)
def test_any_frames_get_frames_or_an_end(data, sizes):
    """No exception leaves `data_received`; what comes out are whole frames after our SETTINGS."""
    wire, server = play(cut(HELLO + data, sizes))
    assert isinstance(wire.get_protocol(), Http2Connection)
    written = bytes(wire.written)
    found = frames(written)
    assert sum(9 + len(payload) for *_, payload in found) == len(written)
    assert found[0][0] == SETTINGS
    responses = {stream for kind, _, stream, _ in found if kind == HEADERS}
    assert responses >= {request.stream for request in server.requests} or wire.ended


@pytest.mark.parametrize("cut_at", range(1, len(HTTP2_PREFACE)))
def test_a_broken_preface_is_answered_in_http1(cut_at):
    """A preface that goes wrong at any byte is an HTTP/1.1 mistake, not silence."""
    wire, _ = play([HTTP2_PREFACE[:cut_at], b"\0\r\n\r\n\r\n"])
    assert wire.written.startswith(b"HTTP/1.1 ")
    assert wire.ended


# Paths

SEGMENT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), max_size=6
)
RAW = st.one_of(
    st.binary(max_size=30),
    st.lists(
        st.sampled_from([b"/", b".", b"..", b"%2e", b"%2F", b"%25", b"%5c", b"a", b"%c3%a4", b"#"]),
        max_size=12,
    ).map(lambda parts: b"/" + b"".join(parts)),
)


@EXAMPLES
@given(RAW)
@example(b"/a/%2e%2e/%2e%2e/")
@example(b"/a/..//b")
def test_a_decoded_path_is_canonical(raw):
    """It starts with a slash, has no dot segments and no controls, or the request is refused."""
    try:
        path = decode_path(raw)
    except MalformedRequest:
        return
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "\\" not in path
    assert all(ord(character) > 0x1F and not 0x7F <= ord(character) <= 0x9F for character in path)
    assert decode_path(encode_path(path)) == path


@EXAMPLES
@given(st.lists(SEGMENT.filter(lambda segment: segment not in (".", "..")), max_size=5))
def test_an_encoded_path_is_the_path(segments):
    """What a Location says is decoded to the path it was made from."""
    path = "/" + "/".join(segments)
    if "%2f" not in path:
        assert decode_path(encode_path(path)) == path
    assert encode_path(path).isascii()
