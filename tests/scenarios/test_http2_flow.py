"""Flow control both ways, and connections that end: no byte and no request is lost (RFC 9113)."""

from __future__ import annotations

import os
from collections import deque

import pytest

from tests.support_http2 import INITIAL_WINDOW_SIZE, LARGEST_FRAME, PADDED, Exchange, StrictClient
from tests.support_http2_cases import FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, goes_on
from tests.support_http2_node import FILES
from tests.support_origin import Talk
from tests.support_wire import DATA, END_STREAM, MIB, frame

LARGE = FILES["/large.bin"]
MAX_STREAM = 2**31 - 1
ASKED = int(os.environ.get("EDGE_TEST_REQUESTS", "4000"))
"""In CI; 10,000 and more by hand."""
AT_ONCE = 40


@pytest.fixture(autouse=True)
def _origin(target):
    """An origin that is slow."""
    target.origin.on("/slow", slow)


def slow(talk: Talk) -> None:
    """Read nothing of the content until the test says so."""
    talk.wait()
    talk.answer(b"%d" % len(talk.read()))


def waiting(target, count: int) -> Talk:
    """The request of that number which the origin has."""
    with target.origin._lock:
        assert target.origin._lock.wait_for(lambda: len(target.origin.of("/slow")) >= count, 20)
    return target.origin.of("/slow")[-1]


def open_up(client: StrictClient) -> None:
    """Windows that no answer here uses up."""
    client.set({INITIAL_WINDOW_SIZE: 4 * MIB})
    client.grant(8 * MIB)


# Down


@pytest.mark.parametrize("size", [1_000, 16_383, 16_385, 65_535])
def test_a_megabyte_through_small_windows(client, size):
    """A window of a stream that is opened whenever it is used up; the connection's likewise."""
    client.set({INITIAL_WINDOW_SIZE: size})
    client.settle()
    found = client.request(b"/large.bin")
    while not found.is_done:
        client.until(lambda: found.is_done or not found.window or not client.window)
        if not found.window:
            client.grant(size, found.stream)
        if not client.window:
            client.grant(65_535)
    assert found.content == LARGE


def test_several_share_a_connection_s_window(client):
    """Each of four gets its turn, though the window is never large enough for all."""
    client.set({INITIAL_WINDOW_SIZE: 2 * MIB})
    found = [client.request(b"/large.bin") for _ in range(4)]
    while not all(one.is_done for one in found):
        client.until(lambda: not client.window or all(one.is_done for one in found))
        sizes = [len(one.content) for one in found]
        assert max(sizes) <= 3 * min(sizes) + 100_000, "one of them is held up by the others"
        client.grant(50_000)
    assert [one.content for one in found] == [LARGE] * 4


def test_the_end_needs_no_window(client):
    """An answer that fills its window to the byte ends with it."""
    client.set({INITIAL_WINDOW_SIZE: len(FILES["/page.html"])})
    client.settle()
    found = client.request(b"/page.html")
    client.read(found)
    assert (found.window, found.content) == (0, FILES["/page.html"])


# Up


def test_an_upload_waits_for_its_origin(target, client):
    """One window of it is taken; others go on; then all of it arrives."""
    open_up(client)
    before = len(target.origin.of("/slow"))
    stalled = client.request(b"/o/slow", b"POST", ends=False)
    first = 65_535
    client.upload(stalled, LARGE[:first], ends=False)
    talk = waiting(target, before + 1)
    for _ in range(5):
        busy = client.request(b"/o/echo", b"POST", ends=False)
        client.upload(busy, LARGE[:200_000])
        client.read(busy)
        assert busy.content.endswith(LARGE[:200_000])
    talk.go.set()
    client.upload(stalled, LARGE[first:])
    client.read(stalled)
    assert stalled.content == b"%d" % len(LARGE)


def test_padding_counts_and_is_given_back(client):
    """Frames that are mostly padding use up windows as content does (§6.1)."""
    found = client.request(b"/o/echo", b"POST", ends=False)
    for number in range(600):
        client.until(lambda: min(found.credit, client.credit) >= 256)
        flags = PADDED | (END_STREAM if number == 599 else 0)
        client.send(frame(DATA, flags, found.stream, b"\xfa" + b"abcde" + bytes(250)))
        found.credit -= 256
        client.credit -= 256
    client.read(found)
    assert found.content.endswith(b"\n\n" + b"abcde" * 600)


def test_content_that_nobody_wants_is_given_back(client):
    """What still comes on streams that were reset costs the connection no window (§6.9)."""
    open_up(client)
    for _ in range(8):
        found = client.request(b"/o/echo", b"POST", (b"content-length", b"1"), ends=False)
        found.was_abused = True
        client.put(frame(DATA, 0, found.stream, bytes(LARGEST_FRAME)))
        client.put(frame(DATA, END_STREAM, found.stream, bytes(LARGEST_FRAME)))
        client.credit -= 2 * LARGEST_FRAME
        client.until(lambda: client.credit >= 2 * LARGEST_FRAME)
        assert found.reset == PROTOCOL_ERROR
    last = client.request(b"/o/echo", b"POST", ends=False)
    client.upload(last, LARGE)
    client.read(last)
    assert last.content.endswith(LARGE)


def test_whoever_sends_past_its_window_is_reset(target, client):
    """A client without manners, to an origin that takes nothing: the rest is nobody's to keep."""
    count = len(target.origin.of("/slow"))
    found = client.request(b"/o/slow", b"POST", ends=False)
    client.send(b"")
    talk = waiting(target, count + 1)
    found.was_abused = True
    for _ in range(40):  # of what the kernel still takes for the origin, the node grants more
        for _ in range(50):
            client.put(frame(DATA, 0, found.stream, bytes(LARGEST_FRAME)))
        client.settle()
        if found.reset is not None:
            break
    assert found.reset == FLOW_CONTROL_ERROR
    talk.go.set()
    goes_on(client)


# Ends


class Follower:
    """
    Asks again and again, on a new connection whenever the node wants one.

    Half of its requests are the same to the byte, the others differ.
    """

    def __init__(self, target, way: str) -> None:
        self.target = target
        self.way = way
        self.answered: dict[int, int] = {}
        """How often, by request."""
        self.retried = 0
        self.connections = 0

    def ask(self, total: int) -> None:
        """So many requests, each until it is answered."""
        numbers = deque(range(total))
        while numbers:
            self.connections += 1
            with self.target.client(self.way) as client:
                self._use(client, numbers)

    def _use(self, client: StrictClient, numbers: deque[int]) -> None:
        """One connection, until it is told to end and does."""
        client.grant(2 * MIB)
        asked: dict[int, Exchange] = {}
        while not client.goaways and (numbers or asked):
            while numbers and len(asked) < AT_ONCE:
                number = numbers.popleft()
                query = b"?%d" % number if number % 2 else b""
                asked[number] = client.request(b"/small.txt" + query)
            client.send(b"")
            client.step()
            self._collect(asked)
        if client.goaways:
            client.until_closed()
            self._collect(asked)
            self._retry(client, asked, numbers)

    def _collect(self, asked: dict[int, Exchange]) -> None:
        for number, found in tuple(asked.items()):
            if found.ended:
                assert (found.status, found.content) == (200, b"small")
                self.answered[number] = self.answered.get(number, 0) + 1
                del asked[number]

    def _retry(self, client: StrictClient, asked: dict[int, Exchange], numbers: deque) -> None:
        """Those that the last GOAWAY says were not looked at; no other is without an answer."""
        last, code = client.goaways[-1]
        assert (code, client.goaways[0]) == (NO_ERROR, (MAX_STREAM, NO_ERROR))
        lost = [number for number, found in asked.items() if found.stream <= last]
        assert not lost, f"{len(lost)} requests without an answer"
        numbers.extend(asked)
        self.retried += len(asked)


@pytest.mark.parametrize("way", ["h2c", "tls"])
def test_many_requests_through_graceful_goaways(target, way):
    """Connections of a thousand requests each end in two steps (§6.8), and none is lost."""
    follower = Follower(target, way)
    follower.ask(ASKED // 2)
    assert len(follower.answered) == ASKED // 2
    assert set(follower.answered.values()) == {1}
    assert follower.connections >= ASKED // 2 // 1_200
