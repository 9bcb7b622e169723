"""
The 147 cases of h2spec (github.com/summerwind/h2spec, its strict one too), by its own numbers.

It asks whether a server does one of several things; here each case has the one that this node
does. Where RFC 9113 has taken back what RFC 7540 asked for, that is what is held, with the reason.
"""

from __future__ import annotations

import struct

import pytest

from tests.support_http2 import (
    MOST_WINDOW,
    PADDED,
    PRIORITIZED,
    PUSH_PROMISE,
)
from tests.support_http2_cases import (
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    WHOLE,
    answers,
    ask,
    block,
    breaks,
    content,
    field,
    heads,
    holds,
    ignores,
    literal,
    more,
    number,
    play,
    post,
    priority,
    pseudo,
    resets,
    setting,
    window,
)
from tests.support_http2_node import AUTHORITY
from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

CANCEL, UNKNOWN = b"\0\0\0\x08", b"\0\0\0\xff"
MOST = struct.pack(">I", MOST_WINDOW)
GREASE = 0x16


METHOD, SCHEME, PATH = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/small.txt")
HOST = (b":authority", AUTHORITY)
AGENT, TEST = b"\x0auser-agent\x06h2spec", b"\x06x-test\x06h2spec"
AGENT_CODED = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4"
TEST_CODED = b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"

GENERIC = {
    "1/1": (b"", ignores),
    "2/1": (priority(1), ignores),
    "2/2": (window(0) + ask() + frame(WINDOW_UPDATE, 0, 1, number(1)), holds(1)),
    "2/3": (window(0) + ask() + priority(1) + frame(WINDOW_UPDATE, 0, 1, number(1)), holds(1)),
    "2/4": (ask() + frame(RST_STREAM, 0, 1, CANCEL), ignores),
    "2/5": ((ask(), priority(1)), answers()),
    "3.1/1": (post() + content(), answers()),
    "3.1/2": (post() + content(ends=False) + content(), answers()),
    "3.1/3": (post() + frame(DATA, END_STREAM | PADDED, 1, b"\6test" + bytes(6)), answers()),
    "3.2/1": (ask(), answers()),
    "3.2/2": (heads(b"\6" + block() + bytes(6), WHOLE | PADDED), answers()),
    "3.2/3": (heads(bytes(4) + b"\xff" + block(), WHOLE | PRIORITIZED), answers()),
    "3.3/1": (priority(1, weight=0) + ask(), answers()),
    "3.3/2": (priority(1, weight=255) + ask(), answers()),
    "3.3/3": (priority(3, on=1) + ask(), answers()),
    "3.3/4": (priority(1, alone=True) + ask(), answers()),
    "3.3/5": (priority(3) + ask(), answers()),
    "3.4/1": (post() + frame(RST_STREAM, 0, 1, CANCEL), ignores),
    "3.5/1": (setting((3, 100)), ignores),
    "3.7/1": (frame(PING, 0, 0, bytes(8)), ignores),
    "3.8/1": (frame(GOAWAY, 0, 0, bytes(8)), breaks(NO_ERROR)),
    "3.9/1": (frame(WINDOW_UPDATE, 0, 0, number(1)) + ask(), answers()),
    "3.9/2": (window(0) + ask() + frame(WINDOW_UPDATE, 0, 1, number(1)), holds(1)),
    "3.10/1": (heads(block(), END_STREAM) + more(), answers()),
    "3.10/2": (heads(block(), END_STREAM) + more(flags=0) + more(), answers()),
    "4/1": (ask(), answers()),
    "4/2": (ask(method=b"HEAD"), answers()),
    "4/3": (post() + content(), answers()),
    "4/4": (post() + content(ends=False) + heads(literal(b"x-test", b"ok")), answers()),
    "5/1": (field(b"\xba"), answers()),
    "5/2": (field(b"\x40" + AGENT_CODED), answers()),
    "5/3": (field(b"\x40" + AGENT), answers()),
    "5/4": (field(b"\x40" + TEST), answers()),
    "5/5": (field(b"\x40" + TEST_CODED), answers()),
    "5/6": (field(b"\x00" + AGENT), answers()),
    "5/7": (field(b"\x00" + AGENT_CODED), answers()),
    "5/8": (field(b"\x00" + TEST), answers()),
    "5/9": (field(b"\x00" + TEST_CODED), answers()),
    "5/10": (field(b"\x10" + AGENT), answers()),
    "5/11": (field(b"\x10" + AGENT_CODED), answers()),
    "5/12": (field(b"\x10" + TEST), answers()),
    "5/13": (field(b"\x10" + TEST_CODED), answers()),
    "5/14": (heads(b"\x20" + block()), answers()),
    "5/15": (heads(b"\x20\x3f\xe1\x1f" + block()), answers()),
}
HPACK = {
    "2.3.3/1": (field(b"\xc6"), breaks(COMPRESSION_ERROR)),
    "2.3.3/2": (field(b"\x7f\x07\x04test"), breaks(COMPRESSION_ERROR)),
    "4.2/1": (field(b"\x21"), breaks(COMPRESSION_ERROR)),
    "5.2/1": (field(b"\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), breaks(COMPRESSION_ERROR)),
    "5.2/2": (field(b"\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), breaks(COMPRESSION_ERROR)),
    "5.2/3": (
        field(b"\0\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f"),
        breaks(COMPRESSION_ERROR),
    ),
    "6.1/1": (field(b"\x80"), breaks(COMPRESSION_ERROR)),
    "6.3/1": (heads(b"\x3f\xe2\x1f" + block()), breaks(COMPRESSION_ERROR)),
}
FRAMES = {
    "3.5/1": (b"", ignores),
    # "3.5/2" is a test of its own
    "4.1/1": (frame(GREASE, 0, 0, bytes(8)), ignores),
    "4.1/2": (frame(PING, 0x16, 0, bytes(8)), ignores),
    "4.1/3": (frame(PING, 0, 1 << 31, bytes(8)), ignores),
    "4.2/1": (post() + content(bytes(16_384)), answers()),
    "4.2/2": (post() + content(bytes(16_385)), breaks(FRAME_SIZE_ERROR)),
    "4.2/3": (heads(block() + bytes(16_385)), breaks(FRAME_SIZE_ERROR)),
    "4.3/1": (heads(b"\x40"), breaks(COMPRESSION_ERROR)),
    "4.3/2": (heads(block(), 0) + priority(1) + more(), breaks(PROTOCOL_ERROR)),
    "4.3/3": (heads(block(), 0) + ask(3) + more(), breaks(PROTOCOL_ERROR)),
    "5.1/1": (content(), breaks(PROTOCOL_ERROR)),
    "5.1/2": (frame(RST_STREAM, 0, 1, CANCEL), breaks(PROTOCOL_ERROR)),
    "5.1/3": (frame(WINDOW_UPDATE, 0, 1, number(100)), breaks(PROTOCOL_ERROR)),
    "5.1/4": (more(block()), breaks(PROTOCOL_ERROR)),
    "5.1/5": (window(0) + ask() + content(), resets(STREAM_CLOSED)),
    # A stream error may be a connection error (§5.4.1); zttp finds the identifier first (§5.1.1).
    "5.1/6": (window(0) + ask() + ask(), breaks(PROTOCOL_ERROR)),
    "5.1/7": (window(0) + ask() + more(block()), breaks(PROTOCOL_ERROR)),
    "5.1/8": (post() + frame(RST_STREAM, 0, 1, CANCEL) + content(), resets(STREAM_CLOSED)),
    "5.1/9": (post() + frame(RST_STREAM, 0, 1, CANCEL) + ask(), breaks(PROTOCOL_ERROR)),
    "5.1/10": (post() + frame(RST_STREAM, 0, 1, CANCEL) + more(), breaks(PROTOCOL_ERROR)),
    # RFC 7540 has a connection error of it, which h2spec misses; RFC 9113 §5.1 says MAY.
    "5.1/11": ((ask(), content()), resets(STREAM_CLOSED)),
    "5.1/12": ((ask(), ask()), breaks(PROTOCOL_ERROR)),
    "5.1/13": ((ask(), more()), breaks(PROTOCOL_ERROR)),
    "5.1.1/1": (ask(2), breaks(PROTOCOL_ERROR)),
    "5.1.1/2": (ask(5) + ask(3), breaks(PROTOCOL_ERROR)),
    "5.1.2/1": (
        (window(0) + b"".join(map(ask, range(1, 203, 2))), window(100), b""),
        resets(REFUSED_STREAM, 201),
    ),
    # RFC 9113 §5.3.2 has priorities and what streams depend on say nothing any more.
    "5.3.1/1": (heads(number(1) + b"\xff" + block(), WHOLE | PRIORITIZED), answers()),
    "5.3.1/2": (priority(1, on=1), ignores),
    "5.4.1/1": (frame(PING, 0, 3, bytes(8)), breaks(PROTOCOL_ERROR)),
    "5.4.1/2": (frame(PING, 0, 3, bytes(8)), breaks(PROTOCOL_ERROR)),
    "5.5/1": (frame(GREASE, 0, 0, bytes(8)), ignores),
    "5.5/2": (heads(block(), END_STREAM) + frame(GREASE, 0, 0, bytes(8)), breaks(PROTOCOL_ERROR)),
    "6.1/1": (content(stream=0), breaks(PROTOCOL_ERROR)),
    "6.1/2": (window(0) + ask() + content(), resets(STREAM_CLOSED)),
    "6.1/3": (
        post(1, (b"content-length", b"4")) + frame(DATA, END_STREAM | PADDED, 1, b"\6Test"),
        breaks(PROTOCOL_ERROR),
    ),
    "6.2/1": (heads(block(), END_STREAM) + priority(1) + more(), breaks(PROTOCOL_ERROR)),
    "6.2/2": (heads(block(), END_STREAM) + ask(3), breaks(PROTOCOL_ERROR)),
    "6.2/3": (ask(0), breaks(PROTOCOL_ERROR)),
    "6.2/4": (heads(b"\xff" + block(), WHOLE | PADDED), breaks(PROTOCOL_ERROR)),
    "6.3/1": (priority(0), breaks(PROTOCOL_ERROR)),
    "6.3/2": (window(0) + ask() + frame(PRIORITY, 0, 1, b"\x80\0\0\1"), breaks(FRAME_SIZE_ERROR)),
    "6.4/1": (frame(RST_STREAM, 0, 0, CANCEL), breaks(PROTOCOL_ERROR)),
    "6.4/2": (frame(RST_STREAM, 0, 1, CANCEL), breaks(PROTOCOL_ERROR)),
    "6.4/3": (window(0) + ask() + frame(RST_STREAM, 0, 1, b"\0\0\0"), breaks(FRAME_SIZE_ERROR)),
    "6.5/1": (frame(SETTINGS, 1, 0, b"\0"), breaks(FRAME_SIZE_ERROR)),
    "6.5/2": (frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"), breaks(PROTOCOL_ERROR)),
    "6.5/3": (frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64\0\2\0"), breaks(FRAME_SIZE_ERROR)),
    "6.5.2/1": (setting((2, 2)), breaks(PROTOCOL_ERROR)),
    "6.5.2/2": (window(1 << 31), breaks(FLOW_CONTROL_ERROR)),
    "6.5.2/3": (setting((5, 16_383)), breaks(PROTOCOL_ERROR)),
    "6.5.2/4": (setting((5, 1 << 24)), breaks(PROTOCOL_ERROR)),
    "6.5.2/5": (setting((0xFF, 1)), ignores),
    "6.5.3/1": (setting((4, 100), (4, 1)) + ask(), holds(1)),
    "6.5.3/2": (setting((2, 0)), ignores),
    "6.7/1": (frame(PING, 0, 0, b"h2spec\0\0"), ignores),
    "6.7/2": (frame(PING, 1, 0, b"invalid\0") + frame(PING, 0, 0, b"h2spec\0\0"), ignores),
    "6.7/3": (frame(PING, 0, 1, bytes(8)), breaks(PROTOCOL_ERROR)),
    "6.7/4": (frame(PING, 0, 0, bytes(6)), breaks(FRAME_SIZE_ERROR)),
    "6.8/1": (frame(GOAWAY, 0, 1, bytes(8)), breaks(PROTOCOL_ERROR)),
    "6.9/1": (frame(WINDOW_UPDATE, 0, 0, number(0)), breaks(PROTOCOL_ERROR)),
    "6.9/2": (window(0) + ask() + frame(WINDOW_UPDATE, 0, 1, number(0)), resets(PROTOCOL_ERROR)),
    "6.9/3": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), breaks(FRAME_SIZE_ERROR)),
    "6.9.1/1": (window(1) + ask(), holds(1)),
    "6.9.1/2": (frame(WINDOW_UPDATE, 0, 0, MOST) * 2, breaks(FLOW_CONTROL_ERROR)),
    "6.9.1/3": (post() + frame(WINDOW_UPDATE, 0, 1, MOST) * 2, resets(FLOW_CONTROL_ERROR)),
    "6.9.2/1": ((window(0), ask() + window(1)), holds(1)),
    "6.9.2/2": ((window(3), ask(), window(2), frame(WINDOW_UPDATE, 0, 1, number(2))), holds(4)),
    "6.9.2/3": (window(1 << 31), breaks(FLOW_CONTROL_ERROR)),
    "6.10/1": (heads(block(), END_STREAM) + more(flags=0) + more(), answers()),
    "6.10/2": (heads(block(), 0) + more(flags=0) + content(), breaks(PROTOCOL_ERROR)),
    "6.10/3": (heads(block(), END_STREAM) + more(stream=0), breaks(PROTOCOL_ERROR)),
    "6.10/4": (ask() + more(), breaks(PROTOCOL_ERROR)),
    "6.10/5": (heads(block(), END_STREAM) + more() + more(), breaks(PROTOCOL_ERROR)),
    "6.10/6": (heads(block(), 0) + content() + more(), breaks(PROTOCOL_ERROR)),
    "7/1": (frame(GOAWAY, 0, 0, bytes(4) + UNKNOWN), breaks(NO_ERROR)),
    "7/2": (post() + frame(RST_STREAM, 0, 1, UNKNOWN), ignores),
}
MESSAGES = {
    "8.1/1": (
        post() + content(ends=False) + heads(literal(b"x-test", b"ok"), END_HEADERS),
        resets(PROTOCOL_ERROR),
    ),
    "8.1.2/1": (ask(1, (b"X-TEST", b"ok")), resets(PROTOCOL_ERROR)),
    "8.1.2.1/1": (ask(1, (b":test", b"ok")), resets(PROTOCOL_ERROR)),
    "8.1.2.1/2": (ask(1, (b":status", b"200")), resets(PROTOCOL_ERROR)),
    "8.1.2.1/3": (
        post() + content(ends=False) + heads(literal(b":method", b"POST")),
        resets(PROTOCOL_ERROR),
    ),
    "8.1.2.1/4": (pseudo((b"x-test", b"ok"), METHOD, SCHEME, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.2/1": (ask(1, (b"connection", b"keep-alive")), resets(PROTOCOL_ERROR)),
    "8.1.2.2/2": (ask(1, (b"trailers", b"test"), (b"te", b"trailers, deflate")),
                  resets(PROTOCOL_ERROR)),
    "8.1.2.3/1": (ask(path=b""), resets(PROTOCOL_ERROR)),
    "8.1.2.3/2": (pseudo(SCHEME, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.3/3": (pseudo(METHOD, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.3/4": (pseudo(METHOD, SCHEME, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.3/5": (pseudo(METHOD, METHOD, SCHEME, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.3/6": (pseudo(METHOD, SCHEME, SCHEME, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.3/7": (pseudo(METHOD, SCHEME, PATH, PATH, HOST), resets(PROTOCOL_ERROR)),
    "8.1.2.6/1": (post(1, (b"content-length", b"1")) + content(), resets(PROTOCOL_ERROR)),
    "8.1.2.6/2": (
        post(1, (b"content-length", b"1")) + content(ends=False) + content(),
        resets(PROTOCOL_ERROR),
    ),
    "8.2/1": (frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + block()), breaks(PROTOCOL_ERROR)),
}  # fmt: skip
CASES = {
    f"{part}/{name}": case
    for part, cases in (("generic", GENERIC), ("hpack", HPACK), ("http2", FRAMES | MESSAGES))
    for name, case in cases.items()
}


def test_all_of_them_are_here():
    """44 generic ones, 8 of HPACK, and 95 of HTTP/2, of which one is beside the table."""
    assert (len(GENERIC), len(HPACK), len(FRAMES | MESSAGES)) == (44, 8, 94)


@pytest.mark.parametrize(("way", "pieces"), [("h2c", 1), ("tls", 1), ("h2c", 500)])
@pytest.mark.parametrize(("data", "check"), CASES.values(), ids=CASES.keys())
def test_case(target, data, check, way, pieces):
    """What the bytes of a client lead to, however they arrive."""
    with target.client(way) as client:
        client.pieces = pieces
        play(client, data, check)


def test_http2_3_5_2_over_tls(target):
    """An invalid preface (§3.4): GOAWAY where HTTP/2 was agreed on."""
    with target.client("tls") as client:
        client.begin_with(b"INVALID CONNECTION PREFACE\r\n\r\n")
        breaks(PROTOCOL_ERROR)(client)


def test_http2_3_5_2(target):
    """In the clear such bytes are HTTP/1.1, and no good one."""
    with target.connect("h2c") as connection:
        connection.sendall(b"INVALID CONNECTION PREFACE\r\n\r\n")
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
