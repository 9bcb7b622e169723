"""What an HTTP/2 client sends is counted by kind, however its bytes are cut."""

from __future__ import annotations

import pytest

from edge.http.frames import Tally
from tests.support_wire import (
    DATA,
    HEADERS,
    HELLO,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    head,
)

PADDED, END_STREAM, GREASE = 8, 1, 0x2A

ALL = b"".join([
    HELLO,
    head(1, ends=False),
    frame(DATA, 0, 1, b"x" * 1000),
    frame(DATA, 0, 1, b"x"),
    frame(DATA, 0, 1),
    frame(DATA, PADDED, 1, b"\x05" + bytes(5)),
    frame(DATA, PADDED, 1, b"\x04" + bytes(5)),
    frame(DATA, PADDED, 1, b"\xff" + bytes(255)),
    frame(DATA, PADDED | END_STREAM, 1, b"\x05" + bytes(5)),
    frame(PING, 0, 0, bytes(8)),
    frame(PING, 1, 0, bytes(8)),
    frame(SETTINGS, 1, 0),
    frame(PRIORITY, 0, 3, bytes(5)),
    frame(GREASE, 0, 0, b"\0" * 300),
    frame(GREASE, 0, 0),
    frame(9, 4, 1, b"x"),
    frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    frame(RST_STREAM, 0, 1, bytes(4)),
    frame(DATA, END_STREAM, 1),
])  # fmt: skip


def counted(tally: Tally) -> dict[str, int]:
    """All of its numbers."""
    names = ("requests", "empty", "priorities", "resets", "settings", "pings", "updates")
    return {name: getattr(tally, name) for name in names}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9, 10, 11, 100, 10_000])
def test_frames_are_counted_however_they_are_cut(size):
    """Also where a head, or the byte that says how much padding there is, comes apart."""
    tally = Tally()
    for start in range(0, len(ALL), size):
        tally.read(ALL[start : start + size])

    assert counted(tally) == {
        "requests": 1, "empty": 3, "priorities": 3, "resets": 1, "settings": 2, "pings": 2,
        "updates": 1,
    }  # fmt: skip


def test_requests_and_content_are_no_noise():
    """Nobody compares anything for them."""
    tally = Tally()
    tally.read(HELLO)
    tally.is_noisy = False
    tally.read(head(1, ends=False) + frame(DATA, 0, 1, b"x" * 50) + frame(DATA, END_STREAM, 1))
    tally.read(frame(HEADERS, 5, 3, b"x" * 500))

    assert not tally.is_noisy
    tally.read(frame(PING, 0, 0, bytes(8)))
    assert tally.is_noisy


def test_a_new_minute_begins_at_nought():
    """All numbers; not the place in the stream of frames."""
    tally = Tally()
    tally.read(ALL[:-3])
    tally.clear()
    tally.read(ALL[-3:] + frame(PING, 0, 0, bytes(8)))

    assert sum(counted(tally).values()) == 1
