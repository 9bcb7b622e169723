"""What zttp gets to see where some streams are answered past it."""

from __future__ import annotations

import pytest

from edge.errors import MalformedRequest
from edge.http.sieve import Sieve

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PLAIN, INSERTING, OTHER = b"\x82\x84\xbe", b"\x82\x41\x01a", b"\x82\x85\xbe"
WHAT = object()


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """One frame."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def ask(stream: int, block: bytes = PLAIN, flags: int = 5) -> bytes:
    """HEADERS that are a whole request."""
    return frame(1, stream, block, flags)


def update(stream: int, size: int) -> bytes:
    """WINDOW_UPDATE."""
    return frame(8, stream, size.to_bytes(4, "big"))


def opened(*frames: bytes) -> Sieve:
    """One that has seen a preface and these."""
    sieve = Sieve()
    sieve.sift(PREFACE + b"".join(frames))
    return sieve


def answered(*streams: int, size: int = 100) -> Sieve:
    """One that has seen stream 1, and these that were answered past zttp."""
    sieve = opened(ask(1))
    for stream in streams:
        sieve.answer(stream, size)
    return sieve


FRAMES = [
    frame(4, 0, b"\0\4\0\0\0\7"),
    ask(1, INSERTING),
    ask(3, flags=4),
    frame(0, 3, b"x" * 3000),
    frame(0, 3, b"", 1),
    update(0, 5),
    update(3, 5),
    frame(3, 3, bytes(4)),
    frame(2, 5, bytes(5)),
    frame(6, 0, bytes(8)),
    frame(99, 7, b"who knows"),
]


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 100, 10_000])
def test_what_was_not_answered_past_it_is_all_there(size):
    """In whatever pieces it comes, byte by byte the same."""
    data, sieve = PREFACE + b"".join(FRAMES), Sieve()
    pieces = [sieve.sift(data[at : at + size]) for at in range(0, len(data), size)]

    assert b"".join(pieces) == data
    assert sieve.is_between
    assert sieve.window == 7


def test_a_frame_is_handed_on_whole():
    """But content, which is as it comes."""
    sieve, content = opened(), frame(0, 1, b"x" * 100)
    request = ask(1, flags=4)

    assert sieve.sift(request[:10]) == b""
    assert not sieve.is_between
    assert sieve.sift(request[10:] + content[:50]) == request + content[:50]
    assert sieve.sift(content[50:]) == content[50:]
    assert sieve.is_between


def test_a_frame_that_is_too_large_is_not_kept():
    """zttp ends the connection by its head."""
    head = b"\xff\xff\xff\x01\x04\0\0\0\x01"

    assert opened().sift(head + b"x" * 50) == head + b"x" * 50


@pytest.mark.parametrize("late", [update(5, 9), frame(3, 5, bytes(4)), frame(2, 5, bytes(5))])
def test_what_comes_late_is_kept_away(late):
    """Of a stream that zttp does not know; of one that it knows it is zttp's."""
    sieve = answered(3, 5)

    assert sieve.sift(late + ask(7)) == ask(7)
    assert sieve.sift(late) == late


@pytest.mark.parametrize("frame", [ask(5), ask(3), frame(0, 5, b"x"), ask(5, flags=4)])
def test_what_may_not_come_ends_the_connection(frame):
    """Nothing is begun or added on a stream that is over (RFC 9113 §5.1)."""
    with pytest.raises(MalformedRequest):
        answered(5).sift(frame)


def test_debts_are_paid_first():
    """zttp hears of what is left of a WINDOW_UPDATE: its window never grows beyond the client's."""
    sieve = answered(3, 5)

    assert sieve.debt == 200
    assert sieve.sift(update(0, 150)) == b""
    assert sieve.sift(update(0, 150)) == update(0, 100)
    assert sieve.debt == 0
    assert sieve.sift(update(0, 1)) == update(0, 1)


def test_an_update_of_nothing_is_an_error_of_zttps():
    """As is one of a wrong size, whatever is owed."""
    sieve, short = answered(3), frame(8, 0, b"\0\0\1")

    assert sieve.sift(update(0, 0) + short) == update(0, 0) + short
    assert not sieve.takes(update(0, 0))
    assert not sieve.takes(short)
    assert sieve.debt == 100


def test_what_is_none_of_zttps_business():
    """All of a debt or a part of it; what comes late of what it does not know."""
    sieve = answered(3)

    assert sieve.takes(update(0, 60))
    assert sieve.debt == 40
    assert not sieve.takes(update(0, 41))
    assert sieve.takes(update(3, 9))
    assert not sieve.takes(update(1, 9))
    assert not sieve.takes(update(5, 9))


def test_a_block_that_changes_nothing_is_remembered():
    """With what its owner has of it."""
    sieve = opened(ask(1), ask(3, OTHER))
    sieve.learn(3, WHAT)
    sieve.learn(5, WHAT)

    assert sieve.known == {OTHER: WHAT}


def test_a_priority_is_no_part_of_it():
    """Browsers name another stream in each."""
    sieve = opened(frame(1, 1, b"\x80\0\0\0\xff" + PLAIN, 0x25))
    sieve.learn(1, WHAT)

    assert sieve.known == {PLAIN: WHAT}


CHANGING = {
    "an insertion": ask(3, INSERTING),
    "trailers that insert": ask(1, INSERTING),
    "padding": ask(3, b"\0" + PLAIN, 5 | 8),
    "content to come": ask(3, flags=4),
    "fields to come": ask(3, flags=1),
    "fields that come": frame(9, 3, PLAIN, 4),
}


@pytest.mark.parametrize("what", CHANGING)
@pytest.mark.parametrize("order", [1, -1])
def test_beside_what_may_change_the_table_nothing_is_remembered(what, order):
    """Before or behind it, in one piece."""
    sieve = opened()
    sieve.sift(b"".join([ask(1), CHANGING[what]][::order]))
    sieve.learn(1, WHAT)
    sieve.learn(3, WHAT)

    assert sieve.known == {}


@pytest.mark.parametrize("what", CHANGING)
def test_what_may_change_the_table_makes_it_forget(what):
    """All of it."""
    sieve = opened(ask(1))
    sieve.learn(1, WHAT)
    sieve.sift(CHANGING[what])

    assert sieve.known == {}


def test_memory_has_a_bound():
    """Neither many blocks are kept nor long ones."""
    sieve = opened()
    for number in range(200):
        block = b"\x04\x03%03d" % number
        sieve.sift(ask(2 * number + 1, block))
        sieve.learn(2 * number + 1, WHAT)
    sieve.sift(ask(1001, b"\x04\x7f\xa1\x0f" + bytes(2080)))
    known = len(sieve.known)
    sieve.learn(1001, WHAT)

    assert known == len(sieve.known) <= 64
