"""
What a client must not do by RFC 9113 and RFC 7541, and what this node makes of it.

Frames, states, windows and field compression; messages have a table of their own, and what h2spec
looks at is not repeated here. A stream error may be made a connection error (§5.4.1).
"""

from __future__ import annotations

import pytest

from tests.support_http2 import (
    MOST_WINDOW,
    PADDED,
    PRIORITIZED,
    PUSH_PROMISE,
)
from tests.support_http2_cases import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FIELD,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
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
    more,
    number,
    play,
    post,
    priority,
    resets,
    setting,
    window,
)
from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

CANCEL = number(8)
GREASE = 0x2A
LARGE = bytes(16_385)
MORE_THAN_64_BITS = b"\xff" * 9 + b"\x7f"


def update(size: int, stream: int = 0) -> bytes:
    """WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream, number(size))


FRAMES = {
    "§4.1 a reserved bit": (frame(HEADERS, WHOLE, 1 | 1 << 31, block()), answers()),
    "§4.1 flags of HEADERS": (heads(block(), WHOLE | 0xD2), answers()),
    "§4.1 flags of DATA": (post() + frame(DATA, END_STREAM | 0xF6, 1, b"test"), answers()),
    "§4.1 flags of SETTINGS": (frame(SETTINGS, 0xFE, 0, b"\0\3\0\0\0\x64"), ignores),
    "§4.1 flags of PRIORITY": (frame(PRIORITY, 0xFF, 1, bytes(5)), ignores),
    "§4.1 flags of WINDOW_UPDATE": (frame(WINDOW_UPDATE, 0xFF, 0, number(1)), ignores),
    "§4.2 a large SETTINGS": (frame(SETTINGS, 0, 0, LARGE), breaks(FRAME_SIZE_ERROR)),
    "§4.2 a large PING": (frame(PING, 0, 0, LARGE), breaks(FRAME_SIZE_ERROR)),
    "§4.2 a large CONTINUATION": (
        heads(block(), END_STREAM) + more(LARGE),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§4.2 a large unknown frame": (frame(GREASE, 0, 0, LARGE), breaks(FRAME_SIZE_ERROR)),
    "§4.2 HEADERS without their padding": (heads(b"", WHOLE | PADDED), breaks(FRAME_SIZE_ERROR)),
    "§4.2 HEADERS without their priority": (
        heads(bytes(4), WHOLE | PRIORITIZED),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§4.2 DATA without its padding": (
        post() + frame(DATA, PADDED, 1),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§5.5 an unknown frame of a stream": (frame(GREASE, 0xFF, 7, b"x" * 100) + ask(), answers()),
    "§5.5 an unknown frame in a block": (
        heads(block(), END_STREAM) + frame(GREASE, 0, 1, b"x") + more(),
        breaks(PROTOCOL_ERROR),
    ),
    "§6.1 padding of all there is": (
        post() + frame(DATA, END_STREAM | PADDED, 1, b"\4" + bytes(4)),
        answers(),
    ),
    "§6.1 padding of a byte more": (
        post() + frame(DATA, END_STREAM | PADDED, 1, b"\5" + bytes(4)),
        breaks(PROTOCOL_ERROR),
    ),
    "§6.1 padding that is not zero": (
        post() + frame(DATA, END_STREAM | PADDED, 1, b"\2test!!"),  # MAY be an error
        answers(),
    ),
    "§6.2 padding of all there is": (
        heads(b"\4" + bytes(4), WHOLE | PADDED),
        resets(PROTOCOL_ERROR),
    ),
    "§6.2 padding over a priority": (
        heads(b"\1" + bytes(5), WHOLE | PADDED | PRIORITIZED),
        breaks(FRAME_SIZE_ERROR),  # as §4.2 has it of a frame too small for what it must have
    ),
    "§6.2 padding and a priority": (
        heads(b"\3" + bytes(5) + block() + bytes(3), WHOLE | PADDED | PRIORITIZED),
        answers(),
    ),
    "§6.3 a long PRIORITY": (frame(PRIORITY, 0, 1, bytes(6)), breaks(FRAME_SIZE_ERROR)),
    "§6.4 a long RST_STREAM": (
        window(0) + ask() + frame(RST_STREAM, 0, 1, bytes(5)),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§6.5 a confirmation with settings": (
        frame(SETTINGS, 1, 0, b"\0\3\0\0\0\x64"),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§6.5 a confirmation of nothing": (frame(SETTINGS, 1, 0), ignores),
    "§6.5 no settings": (setting(), ignores),
    "§6.5 the same again": (setting((4, 9), (4, 3)) + ask(), holds(3)),
    "§6.5.2 pushes, which we never send": (setting((2, 1)), ignores),
    "§6.5.2 no streams of ours": (setting((3, 0)) + ask(), answers()),
    "§6.5.2 the largest frames": (setting((5, (1 << 24) - 1)) + ask(), answers()),
    "§6.5.2 a short list of fields": (setting((6, 0)) + ask(), answers()),  # advisory
    "RFC 9218 §2.1 no priorities": (setting((9, 1)), ignores),
    "§6.7 a long PING": (frame(PING, 0, 0, bytes(9)), breaks(FRAME_SIZE_ERROR)),
    "§6.8 a short GOAWAY": (frame(GOAWAY, 0, 0, bytes(7)), breaks(FRAME_SIZE_ERROR)),
    "§6.8 a GOAWAY with reasons": (
        frame(GOAWAY, 0, 0, bytes(8) + b"because"),
        breaks(NO_ERROR),
    ),
    "§6.9 a long WINDOW_UPDATE": (
        frame(WINDOW_UPDATE, 0, 0, bytes(3) + b"\1\0"),
        breaks(FRAME_SIZE_ERROR),
    ),
    "§6.9 a reserved bit": (update(1 | 1 << 31), ignores),
    "§6.10 a CONTINUATION of nothing": (more(), breaks(PROTOCOL_ERROR)),
    "§6.10 a CONTINUATION of another": (
        heads(block(), END_STREAM) + more(stream=3),
        breaks(PROTOCOL_ERROR),
    ),
    "§6.10 an empty one": (heads(block(), END_STREAM) + more(b""), answers()),
    "§6.10 an empty head": (heads(b"", END_STREAM) + more(block()), answers()),
    "§10.5.1 one in too many": (
        heads(b"", END_STREAM) + more(b"", 0) * 17,
        breaks(ENHANCE_YOUR_CALM),
    ),
}
STATES = {
    "§5.1 idle: PRIORITY_UPDATE": (frame(0x10, 0, 0, number(1) + b"u=1") + ask(), answers()),
    "§5.1 idle: a push": (
        frame(PUSH_PROMISE, END_HEADERS, 3, number(2) + block()),
        breaks(PROTOCOL_ERROR),
    ),
    "§5.1 open: a push": (
        post() + frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + block()),
        breaks(PROTOCOL_ERROR),
    ),
    "§5.1 half-closed: content": (
        post() + content() + content(),
        resets(STREAM_CLOSED),
    ),
    # zttp takes HEADERS on a stream that it has no use for as a bad identifier (§5.1.1).
    "§5.1 half-closed: trailers": (post() + content() + heads(FIELD), breaks(PROTOCOL_ERROR)),
    "§5.1 half-closed: a window": (window(0) + ask() + update(3, 1), holds(3)),
    "§5.1 closed: a window": ((ask(), update(1, 1)), ignores),
    # An error of the stream would be a frame on a closed one, which §5.1 has nobody send.
    "§5.1 closed: no window": ((ask(), update(0, 1)), ignores),
    "§5.1 closed: a reset": ((ask(), frame(RST_STREAM, 0, 1, CANCEL)), ignores),
    "§5.1 closed: a priority": ((ask(), priority(1)), ignores),
    "§5.1 reset: a window": ((post() + frame(RST_STREAM, 0, 1, CANCEL), update(1, 1)), ignores),
    "§5.1 reset: a reset": (
        (post() + frame(RST_STREAM, 0, 1, CANCEL), frame(RST_STREAM, 0, 1, CANCEL)),
        ignores,
    ),
    "§5.1.1 a stream of ours": (frame(DATA, 0, 2, b"x"), breaks(PROTOCOL_ERROR)),
    "§5.1.1 a window of ours": (update(1, 2), breaks(PROTOCOL_ERROR)),
    "§5.1.1 a reset of ours": (frame(RST_STREAM, 0, 2, CANCEL), breaks(PROTOCOL_ERROR)),
    "§5.1.1 one that was passed over": (ask(5) + update(1, 3), ignores),
    "§5.1.1 content of one passed over": (ask(5) + content(stream=3), resets(STREAM_CLOSED, 3)),
    "§8.1 content behind trailers": (
        post() + content(ends=False) + heads(FIELD) + content(),
        resets(STREAM_CLOSED),
    ),
    "§8.1 trailers twice": (post() + heads(FIELD) + heads(FIELD), breaks(PROTOCOL_ERROR)),
}
WINDOWS = {
    "§6.9.1 a window of a stream": (
        window(0) + post() + update(MOST_WINDOW, 1) + update(1, 1),
        resets(FLOW_CONTROL_ERROR),
    ),
    "§6.9.1 the largest": (window(0) + ask() + update(MOST_WINDOW, 1), answers()),
    "§6.9.1 one of the connection": (
        update(MOST_WINDOW - 65_535) + update(1),
        breaks(FLOW_CONTROL_ERROR),
    ),
    "§6.9.1 the largest of the connection": (update(MOST_WINDOW - 65_535) + ask(), answers()),
    "§6.9.2 settings over a window": (
        window(1) + post() + update(MOST_WINDOW - 1, 1) + window(2),
        breaks(FLOW_CONTROL_ERROR),
    ),
    "§6.9.2 settings below a window": ((window(3) + ask(), window(0) + update(2, 1)), holds(3)),
}
COMPRESSED = {
    "RFC 7541 §2.3.3 behind the static table": (field(b"\xbe"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §2.3.3 behind the dynamic table": (
        field(b"\x40\1a\1b\xbe\xbf"),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §2.3.3 a name behind it": (field(b"\x0f\x30\1b"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §4.2 after a field": (
        heads(b"\x82\x20" + block()[11:]),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §4.2 three at the beginning": (heads(b"\x20\x21\x20" + block()), answers()),
    "RFC 7541 §4.2 of the largest": (heads(b"\x3f\xe1\x1f" + block()), answers()),
    "RFC 7541 §4.4 larger than the table": (
        heads(block() + b"\x40\1a\x7f\xa1\x1e" + bytes([0x61]) * 4000 + b"\x40\1c\1d\xbe"),
        answers(),
    ),
    "RFC 7541 §4.4 gone from the table": (
        heads(b"\x3f\x09" + block() + b"\x40\1a\1b\x40\1c\1d\xbf"),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §5.1 an index without end": (field(MORE_THAN_64_BITS), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.1 a length without end": (
        field(b"\0\1a" + b"\x7f" + MORE_THAN_64_BITS),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §5.1 a table without end": (
        heads(b"\x3f" + MORE_THAN_64_BITS + block()),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §5.1 a length of 64 bits": (
        field(b"\0\1a\x7f" + b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\1"),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §5.1 half a number": (field(b"\xff"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.1 a number with zeros": (
        field(b"\0\1a\1b\xff\x80\x80\0"),
        breaks(COMPRESSION_ERROR),
    ),
    "RFC 7541 §5.2 half a name": (field(b"\0\5a"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.2 half a value": (field(b"\0\1a\5b"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.2 no value": (field(b"\0\1a"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.2 nothing but padding": (field(b"\0\1a\x81\xff"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §5.2 EOS alone": (field(b"\0\1a\x84\xff\xff\xff\xff"), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §6.1 index 0 in front": (heads(b"\x80" + block()), breaks(COMPRESSION_ERROR)),
    "RFC 7541 §6.3 a byte too large": (heads(b"\x3f\xe2\x1f" + block()), breaks(COMPRESSION_ERROR)),
    "§4.3 a block cut inside of a field": (
        heads(block()[:40], END_STREAM) + more(block()[40:]),
        answers(),
    ),
    "§4.3 a bad block of a trailer": (post() + heads(b"\x80"), breaks(COMPRESSION_ERROR)),
    "§4.3 a bad block of a stream that ended": (
        (ask(), heads(b"\x80")),
        breaks(PROTOCOL_ERROR),  # the identifier is looked at first
    ),
    "§10.3 a field of 16 KiB and more": (
        heads(block() + b"\0\1a\x7f\x81\x80\1" + b"x" * 16_000, END_STREAM) + more(b"y" * 512),
        answers(431),
    ),
}
CASES = FRAMES | STATES | WINDOWS | COMPRESSED
NAMES = [name.replace("§", "") for name in CASES]


@pytest.mark.parametrize(("way", "pieces"), [("h2c", 1), ("tls", 1), ("h2c", 500)])
@pytest.mark.parametrize(("data", "check"), CASES.values(), ids=NAMES)
def test_case(target, data, check, way, pieces):
    """What the bytes of a client lead to, however they arrive."""
    with target.client(way) as client:
        client.pieces = pieces
        play(client, data, check)


FIRST = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "HEADERS": ask(),
    "WINDOW_UPDATE": update(1),
    "PRIORITY": priority(1),
    "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)),
    "an unknown frame": frame(GREASE, 0, 0, b"x"),
}


@pytest.mark.parametrize("way", ["h2c", "tls"])
@pytest.mark.parametrize("data", FIRST.values(), ids=FIRST.keys())
def test_settings_come_first(target, data, way):
    """Anything else behind the preface makes it an invalid one (§3.4)."""
    with target.client(way) as client:
        client.begin_with(PREFACE + data + frame(SETTINGS, 0, 0))
        breaks(PROTOCOL_ERROR)(client)


def test_a_confirmation_is_taken_for_settings(target):
    """It is a SETTINGS frame, of nothing; zttp looks at no more than that."""
    with target.client("h2c") as client:
        client.begin_with(PREFACE + frame(SETTINGS, 1, 0))
        ignores(client)
