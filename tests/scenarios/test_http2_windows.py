"""The same request again and again on one HTTP/2 connection: windows, and streams' numbers."""

from __future__ import annotations

import struct

import pytest

from tests.support_http2 import (
    INITIAL_WINDOW_SIZE,
    MOST_WINDOW,
)
from tests.support_http2_node import FILES, MANY, SMALL, check, get
from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    WINDOW_UPDATE,
    frame,
)

PAGE, LARGE = FILES["/page.html"], FILES["/large.bin"]
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED = 1, 3, 5
WHOLE = END_HEADERS | END_STREAM
ONE = struct.pack(">I", 1)


# Windows


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 65_535, MOST_WINDOW])
def test_a_first_window_that_changes_between_them(client, size):
    """Never more than it allows, and everything once it does (RFC 9113 §6.9.2)."""
    client.read(*get(client, 3))
    client.set({INITIAL_WINDOW_SIZE: size})
    found = get(client, 10)
    client.settle()
    assert [one.content for one in found] == [SMALL[:size]] * 10
    assert [one.ended for one in found] == [size >= len(SMALL)] * 10
    client.set({INITIAL_WINDOW_SIZE: 65_535})
    found += get(client, 3)
    client.read(*found)
    check(found)


def test_a_window_that_is_opened_bit_by_bit(plain):
    """A byte at a time, beside streams that need none."""
    plain.read(*get(plain, 3))
    plain.set({INITIAL_WINDOW_SIZE: 0})
    found = get(plain, 3)
    for size in range(len(SMALL)):
        plain.settle()
        assert [one.content for one in found] == [SMALL[:size]] * 3
        plain.read(plain.request(b"/small.txt", b"HEAD"))
        for one in found:
            plain.grant(1, one.stream)
    plain.read(*found)
    check(found)


def test_a_window_below_nothing(plain):
    """What was sent counts when the first window shrinks: so much more has to be granted."""
    plain.read(*get(plain, 3, b"/page.html"))
    found = get(plain, 1, b"/large.bin")
    plain.until(lambda: len(found[0].content) == 35_535)  # what the connection had left
    plain.set({INITIAL_WINDOW_SIZE: 1000})
    plain.grant(1 << 21)
    found += get(plain, 5, b"/page.html")
    plain.settle()
    assert (len(found[0].content), found[0].window) == (35_535, 1000 - 35_535)
    assert [len(one.content) for one in found[1:]] == [1000] * 5
    plain.grant(35_535 - 1000 + 7, found[0].stream)
    plain.settle()
    assert len(found[0].content) == 35_542
    plain.set({INITIAL_WINDOW_SIZE: 1 << 21})
    plain.read(*found)
    assert found[0].content == LARGE
    check(found[1:], PAGE)


def test_a_connection_that_runs_out_and_is_filled_bit_by_bit(client):
    """Six pages and a half fit the first window; all of them come whole, whatever is granted."""
    client.read(client.request(b"/page.html", b"HEAD"))
    found = get(client, 12, b"/page.html")
    client.settle()
    assert client.window == 0
    assert sum(len(one.content) for one in found) == 65_535
    late = get(client, 2)
    for size in (1, 2, 3, 499, 9_000, 1, 1, 16_385, 10_000):
        client.grant(size)
        client.settle()
        assert client.window == 0, "everything that was granted is of use to somebody"
    client.grant(65_535)
    client.read(*found, *late)
    check(found, PAGE)
    check(late)


def test_one_that_cannot_go_on_holds_up_no_other(plain):
    """A stream whose own window is used up waits alone."""
    plain.grant(1 << 24)
    plain.set({INITIAL_WINDOW_SIZE: 9_999})
    waiting = get(plain, 5, b"/page.html")
    found = get(plain, MANY)
    plain.read(*found)
    check(found)
    assert [len(one.content) for one in waiting] == [9_999] * 5
    for one in waiting:
        plain.grant(1, one.stream)
    plain.read(*waiting)
    check(waiting, PAGE)


def test_empty_answers_need_no_window(plain):
    """HEAD and 304 go out though nothing else may."""
    plain.set({INITIAL_WINDOW_SIZE: 0})
    first = plain.request(b"/small.txt", b"HEAD")
    plain.read(first)
    condition = (b"if-none-match", first.fields[b"etag"])
    found = [plain.request(b"/small.txt", b"GET", condition) for _ in range(MANY)]
    found += [plain.request(b"/small.txt", b"HEAD") for _ in range(MANY)]
    plain.read(*found)
    assert [one.status for one in found] == [304] * MANY + [200] * MANY


@pytest.mark.parametrize("before", [0, MANY])
def test_a_window_of_the_connection_has_an_end(plain, before):
    """2³¹-1 after what was sent is taken off, and not one more (RFC 9113 §6.9.1)."""
    found = get(plain, before)
    plain.read(*found)
    plain.grant(MOST_WINDOW - plain.window)
    plain.settle()
    plain.put(frame(WINDOW_UPDATE, 0, 0, ONE))
    plain.until_closed()
    assert plain.goaways[-1][1] == FLOW_CONTROL_ERROR


def test_uploads_meanwhile(client):
    """A megabyte goes up on one stream while the same request is answered on others."""
    client.grant(1 << 22)
    client.set({INITIAL_WINDOW_SIZE: 1 << 22})
    upload = client.request(b"/o/echo", b"POST", ends=False)
    found = []
    for start in range(0, len(LARGE), 65_536):
        found += get(client, 3)
        client.upload(upload, LARGE[start : start + 65_536], ends=start + 65_536 == len(LARGE))
    client.read(upload, *found)
    check(found)
    assert upload.content.endswith(b"\n\n" + LARGE)


# Identifiers


@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize("step", ["the same", "backwards", "even", "none", "skipped"])
def test_identifiers_only_grow(client, times, step):
    """Odd ones, each above the last (RFC 9113 §5.1.1); nothing else is answered."""
    first, second = client.begin(stream=5), client.begin(stream=9)
    for one in (first, second):
        client.put(frame(HEADERS, WHOLE, one.stream, client.block(b"/small.txt")))
    found = [first, second, *get(client, times)]
    client.read(*found)
    last = client.next_stream - 2
    stream = {"the same": last, "backwards": 5, "even": last + 1, "none": 0, "skipped": 7}[step]
    client.put(frame(HEADERS, WHOLE, stream, client.block(b"/small.txt")))
    client.until_closed()
    check(found)
    assert client.goaways[-1] in [(last, PROTOCOL_ERROR), (last, STREAM_CLOSED)]


@pytest.mark.parametrize("ends", [False, True], ids=["open", "ended"])
def test_content_on_what_was_answered(plain, ends):
    """DATA behind END_STREAM breaks the stream or the connection; nothing is answered twice."""
    found = get(plain, 5)
    plain.read(*found)
    found[-1].was_abused = True
    plain.put(frame(DATA, END_STREAM if ends else 0, found[-1].stream, b"x"))
    plain.put(frame(PING, 0, 0, b"the end."))
    while not plain.closed and not plain.pongs:
        plain.send(b"")
        plain.step()
    check(found)
    assert plain.closed or found[-1].reset == STREAM_CLOSED
    assert [code for _, code in plain.goaways] in ([], [STREAM_CLOSED], [PROTOCOL_ERROR])
