"""
Cases of HTTP/2 in one line each: the bytes that a client sends, and what has to become of them.

Bytes are those of a client that has said hello; where they are several pieces, each is sent when
the node has done all that it can about the one before. Field blocks are literals: they do not
depend on each other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.support_http2 import CONTINUATION, INITIAL_WINDOW_SIZE, StrictClient
from tests.support_http2_node import AUTHORITY
from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PRIORITY,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    frames,
    string,
)

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11
WHOLE = END_HEADERS | END_STREAM
LAST = 1001
"""A stream that no case uses."""

Check = Callable[[StrictClient], None]
Pair = tuple[bytes, bytes]


def literal(name: bytes, value: bytes, first: bytes = b"\0") -> bytes:
    """A field with a new name that is put into no table (RFC 7541 §6.2.2)."""
    return first + string(name) + string(value)


def block(*fields: Pair, method: bytes = b"GET", path: bytes = b"/small.txt") -> bytes:
    """The field block of a request."""
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path)]
    pseudo.append((b":authority", AUTHORITY))
    return b"".join(literal(*pair) for pair in (*pseudo, *fields))


def ask(
    stream: int = 1,
    *fields: Pair,
    method: bytes = b"GET",
    path: bytes = b"/small.txt",
    ends: bool = True,
) -> bytes:
    """A request without content, or its head."""
    flags = WHOLE if ends else END_HEADERS
    return frame(HEADERS, flags, stream, block(*fields, method=method, path=path))


def post(stream: int = 1, *fields: Pair) -> bytes:
    """The head of a request with content, which comes back from the origin."""
    return ask(stream, *fields, method=b"POST", path=b"/o/echo", ends=False)


def content(data: bytes = b"test", stream: int = 1, *, ends: bool = True) -> bytes:
    """A piece of content, the last one unless it is said."""
    return frame(DATA, END_STREAM if ends else 0, stream, data)


FIELD = literal(b"x-dummy", b"0")


def number(value: int) -> bytes:
    """What WINDOW_UPDATE has in it."""
    return struct.pack(">I", value)


def setting(*pairs: tuple[int, int]) -> bytes:
    """SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(size: int) -> bytes:
    """SETTINGS of the first window of streams."""
    return setting((INITIAL_WINDOW_SIZE, size))


def priority(stream: int, on: int = 0, weight: int = 255, *, alone: bool = False) -> bytes:
    """PRIORITY."""
    return frame(PRIORITY, 0, stream, number(on | alone << 31) + bytes([weight]))


def heads(payload: bytes, flags: int = WHOLE, stream: int = 1) -> bytes:
    """HEADERS."""
    return frame(HEADERS, flags, stream, payload)


def more(payload: bytes = FIELD, flags: int = END_HEADERS, stream: int = 1) -> bytes:
    """CONTINUATION."""
    return frame(CONTINUATION, flags, stream, payload)


def field(representation: bytes) -> bytes:
    """A request whose block ends in a field as it stands."""
    return heads(block() + representation)


def pseudo(*fields: tuple[bytes, bytes]) -> bytes:
    """A request of these fields alone."""
    return heads(b"".join(literal(*pair) for pair in fields))


# What has to become of it


def breaks(code: int) -> Check:
    """A connection error (RFC 9113 §5.4.1): GOAWAY with its code, then the end."""

    def check(client: StrictClient) -> None:
        client.until_closed()
        codes = [found for _, found in client.goaways]
        assert codes[-1:] == [code], f"GOAWAYs {codes}"

    return check


def resets(code: int, stream: int = 1) -> Check:
    """A stream error (§5.4.2): RST_STREAM with its code; the connection goes on."""

    def check(client: StrictClient) -> None:
        client.until(lambda: client.exchanges[stream].reset is not None)
        assert client.exchanges[stream].reset == code
        goes_on(client)

    return check


def answers(status: int = 200, stream: int = 1) -> Check:
    """A whole response; the connection goes on."""

    def check(client: StrictClient) -> None:
        client.until(lambda: client.exchanges[stream].is_done)
        found = client.exchanges[stream]
        assert (found.status, found.ended) == (status, True), f"reset: {found.reset}"
        goes_on(client)

    return check


def holds(size: int, stream: int = 1) -> Check:
    """A response of which so many bytes have come and no more can."""

    def check(client: StrictClient) -> None:
        client.settle()
        found = client.exchanges[stream]
        assert (found.status, len(found.content), found.is_done) == (200, size, False)

    return check


def ignores(client: StrictClient) -> None:
    """Nothing: no stream and no connection ends of it."""
    client.settle()
    assert not any(one.reset for one in client.exchanges.values())
    goes_on(client)


def goes_on(client: StrictClient) -> None:
    """A request later is answered as ever; one that needs no window."""
    last = client.begin(b"HEAD", LAST)
    client.put(ask(LAST, method=b"HEAD"))
    client.read(last)
    assert (last.status, client.goaways) == (200, [])


def play(client: StrictClient, data: bytes | tuple[bytes, ...], check: Check) -> None:
    """Send a case and look at what becomes of it."""
    for stream in range(1, 400, 2):
        client.begin(b"HEAD", stream).was_abused = True  # whatever it is: no length is expected
    *pieces, last = (data,) if isinstance(data, bytes) else data
    for piece in pieces:
        put(client, piece)
        client.settle()
    put(client, last)
    check(client)


def put(client: StrictClient, data: bytes) -> None:
    """Put by raw bytes; SETTINGS among them are to be confirmed, and windows to be kept."""
    client.put(data)
    for kind, flags, stream, payload in frames(data):
        if kind == SETTINGS and not flags & 1 and len(payload) % 6 == 0:
            client.expect(dict(struct.iter_unpack(">HI", payload)))
        elif kind == WINDOW_UPDATE and stream % 2:
            client.exchanges[stream].window += int.from_bytes(payload, "big")
