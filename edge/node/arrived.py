"""
What came of an origin's response and nobody took yet.

Laws: no I/O; the order of what came is kept, and how many bytes of content there are is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import cast

from edge.http.heads import Head
from edge.http.http1_client import End, Event


class Arrived:
    """Events of one response."""

    __slots__ = ("_events", "size")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self.size = 0
        """Bytes of content among them."""

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Iterable[Event]) -> None:
        """More came."""
        self._events += events
        for event in events:
            if type(event) is bytes:
                self.size += len(event)

    def take(self) -> Event:
        """The next event; there has to be one."""
        event = self._events.popleft()
        if type(event) is bytes:
            self.size -= len(event)
        return event

    def put_back(self, event: Event) -> None:
        """Have it be the next one again."""
        self._events.appendleft(event)
        if type(event) is bytes:
            self.size += len(event)

    def take_whole(self) -> tuple[Head, bytes] | None:
        """The response where exactly all of it is here: head, content and an end with nothing."""
        events = self._events
        if len(events) < 2:
            return None
        head, *pieces, end = events
        if type(end) is not End or end.trailers or type(head) is not Head or head.status < 200:
            return None
        if len(pieces) > 1:
            if not all(type(each) is bytes for each in pieces):
                return None
            pieces = [b"".join(cast("list[bytes]", pieces))]
        content = pieces[0] if pieces else b""
        if type(content) is not bytes:
            return None
        events.clear()
        self.size = 0
        return head, content
