"""
The sending half of an HTTP/2 connection: responses to frames, in turns.

Laws: no stream holds up another. What a response has in memory waits as a view, not a copy; what
comes from a disk or an origin is pulled only as fast as its stream's windows and the transport
take it. Each turn gives one waiting stream one slice, and never more is queued than `QUEUE`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from time import monotonic
from typing import cast

from edge.errors import MalformedRequest
from edge.http.http2 import NO_ERROR, Http2
from edge.http.message import CRLF, REQUEST_ID, Request, Response, response_pairs
from edge.node.allowance import Allowance
from edge.node.content import Inflow, pour
from edge.node.transport import Connection, Service

SLICE = 32 * 1024
"""Content that one stream sends in its turn."""

QUEUE = 64 * 1024
"""Content that is framed before it is handed to the transport."""


EMPTY = memoryview(b"")


def pairs_of(request: Request, response: Response) -> list[tuple[bytes, bytes]]:
    """All field lines of a response to one request."""
    if not request.id:
        return response_pairs(response)
    return [*response_pairs(response), (b"x-request-id", request.id)]


def size_of(request: Request, response: Response) -> int:
    """Bytes of a head, as HTTP/1.1 has it: what is left of it here depends on those before it."""
    named = len(REQUEST_ID) + len(request.id) + len(CRLF) if request.id else 0
    return len(response.head.lines) + len(response.block) + named


class Stream:
    """What is under way on one stream."""

    __slots__ = (
        "answer",
        "begun",
        "bytes",
        "content",
        "drained",
        "ends",
        "first",
        "headed",
        "moved",
        "pace",
        "request",
        "sent",
        "view",
    )

    def __init__(self, request: Request, now: float) -> None:
        self.request = request
        self.begun: Response | None = None
        """Its response, once that is on its way."""
        self.sent = 0
        """Bytes of content that were framed."""
        self.first = 0.0
        """When its head was, in monotonic seconds."""
        self.answer: asyncio.Task[None] | None = None
        self.content: Inflow | None = None
        """The request's content while it arrives."""
        self.view: memoryview | None = None
        """Content of the response that waits for a window."""
        self.headed = False
        """Whether the head of the response is out."""
        self.ends = False
        """Whether the response ends after `view`."""
        self.drained: asyncio.Future[None] | None = None
        self.moved = now
        """When the client last sent content or took some, in monotonic seconds."""
        self.bytes = 0
        """Content of the response that waited and has been sent."""
        self.pace: Allowance | None = None
        """How slow the client may still be; made by the first sweep that sees the stream wait."""

    def is_starved(self) -> bool:
        """Whether it waits for its client: for a window, or for content that was asked for."""
        if self.view is not None:
            return True
        return self.content is not None and self.content.is_awaited

    def abandon(self) -> None:
        """Tell whoever still works for it that nobody waits for it any more."""
        if self.content is not None:
            self.content.fail(MalformedRequest("the client gave up the request"))
            self.content = self.request.content = None
        if self.answer is not None:
            self.answer.cancel()
        if self.drained is not None:
            self.drained.cancel()


class Http2Sender(Connection):
    """Streams, and their responses on the way out."""

    __slots__ = ("_early", "_pace", "_queued", "_waiting", "closing", "cut", "streams", "wire")

    def __init__(self, service: Service, sni: str | None = None) -> None:
        super().__init__(service, sni)
        self.wire = Http2(service.wire, service.max_streams)
        self.streams: dict[int, Stream] = {}
        """What is under way."""
        self.closing = False
        """Whether the connection ends when nothing is under way any more."""
        self.cut: set[int] = set()
        """Streams that we reset: what still arrives on them is nobody's offense."""
        self._early: set[int] = set()
        """Streams answered in full while their content still arrives."""
        self._waiting: deque[int] = deque()
        """Streams with a view, next one first."""
        self._queued = 0
        self._pace: Allowance | None = None
        """While the connection's window is what all streams wait for."""

    async def send_later(self, request: Request, stream: Stream, response: Response) -> None:
        """Send a response whose content comes piece by piece; returns when all is handed over."""
        content = response.content
        if content is None or type(content) is bytes or request.method == b"HEAD":
            self.send_response(request, stream, response)
            return
        stream.headed = True
        stream.begun, stream.first = response, monotonic()
        identifier = request.stream
        self.wire.send_head(
            identifier, response.head.status, pairs_of(request, response), ends=False
        )
        await pour(content, partial(self._send_chunk, identifier, stream))
        self.wire.end(identifier, response.trailers)
        self._enter(stream)
        self._finish(identifier, stream)

    async def _send_chunk(self, identifier: int, stream: Stream, chunk: bytes) -> None:
        """Returns when the windows and the transport took all of it."""
        stream.drained = asyncio.get_running_loop().create_future()
        self._wait(identifier, stream, memoryview(chunk))
        self.pump()
        if stream.view is None:
            await asyncio.sleep(0)  # other connections have their turn
        else:
            await stream.drained

    def send_response(self, request: Request, stream: Stream | None, response: Response) -> None:
        """Queue a response whose content is in memory; what its windows do not take waits."""
        identifier = request.stream
        view = EMPTY
        if response.content and request.method != b"HEAD":
            view = memoryview(cast("bytes", response.content))
        if stream is not None:
            stream.headed = True
        most = 0 if self.paused else SLICE
        sent = self.wire.send_answer(
            identifier, response.head.status, pairs_of(request, response), view, most
        )
        self._count_queued(sent)
        if sent == len(view):
            self.service.ledger.enter(self, request, response, sent + size_of(request, response))
            self._finish(identifier, stream)
            return
        stream = self.streams[identifier] = stream or Stream(request, self.clock.now)
        stream.headed = stream.ends = True
        stream.begun, stream.first, stream.sent = response, monotonic(), sent
        self._wait(identifier, stream, view[sent:])

    def _wait(self, identifier: int, stream: Stream, view: memoryview) -> None:
        stream.view = view
        stream.moved = self.clock.now
        self._waiting.append(identifier)

    def _finish(self, identifier: int, stream: Stream | None) -> None:
        """The response is complete; content still arriving is not wanted (RFC 9113 §8.1)."""
        self.touched = self.clock.now
        self.streams.pop(identifier, None)
        self.wire.forget(identifier)
        if stream is not None:
            stream.request.content = None  # it holds the stream
            if stream.content is not None:
                self._early.add(identifier)

    def _enter(self, stream: Stream) -> None:
        """Its answer is over."""
        response = cast("Response", stream.begun)
        size = stream.sent + size_of(stream.request, response)
        self.service.ledger.enter(self, stream.request, response, size, stream.first)

    def abandon(self, stream: Stream) -> None:
        """Let go of one that ends before its answer does."""
        stream.abandon()
        response = stream.begun
        size = 0 if response is None else stream.sent + size_of(stream.request, response)
        self.service.ledger.give_up(self, stream.request, response, size, stream.first)

    def cut_off(self, identifier: int, code: int) -> None:
        """Reset a stream of ours."""
        stream = self.streams.pop(identifier, None)
        if stream is not None:
            self.abandon(stream)
        self.cut.add(identifier)
        if not self.transport.is_closing():
            self.wire.reset(identifier, code)

    # Turns

    def pump(self) -> None:
        """Give waiting streams their slices, in turn, while windows and transport take them."""
        if self.lingering or self.transport.is_closing():
            return
        if self._early:
            self._reset_early()
        self.flush()
        if self._waiting:
            self._take_turns()
        if self.closing and not self.streams:
            self.finish()

    def end_of_content(self, identifier: int) -> None:
        """No more content comes on a stream: none has to be refused or credited."""
        self.wire.forget(identifier)
        self._early.discard(identifier)

    def _reset_early(self) -> None:
        for identifier in self._early:
            self.cut.add(identifier)
            self.wire.reset(identifier, NO_ERROR)
        self._early.clear()

    def flush(self) -> None:
        """Hand over what is framed."""
        self._queued = 0
        output = self.wire.flush()
        if output:
            self.send([output])

    def _count_queued(self, size: int) -> None:
        self._queued += size
        if self._queued > QUEUE:
            self.flush()

    def _take_turns(self) -> None:
        stuck = 0
        while stuck < len(self._waiting) and not self.paused:
            identifier = self._waiting.popleft()
            stream = self.streams.get(identifier)
            if stream is None or stream.view is None:
                continue
            sent = self.wire.send_content(identifier, stream.view[:SLICE])
            stuck = 0 if sent else stuck + 1
            stream.sent += sent
            if sent < len(stream.view):
                stream.view = stream.view[sent:]
                self._waiting.append(identifier)
            else:
                self._complete_view(identifier, stream)
            if sent:
                stream.moved = self.clock.now
                stream.bytes += sent
                self._count_queued(sent)
        self.flush()

    def _complete_view(self, identifier: int, stream: Stream) -> None:
        stream.view = None
        if stream.ends:
            self.wire.end(identifier)
            self._enter(stream)
            self._finish(identifier, stream)
        elif stream.drained is not None and not stream.drained.done():
            stream.drained.set_result(None)

    # Pace

    def is_slow(self, identifier: int, stream: Stream, now: float) -> bool:
        """Whether a stream's client alone is why it brings, or takes, less than `min_rate`."""
        rate, content = self.service.limits.min_rate, stream.content
        if not rate or (content is None and stream.view is None):
            return False
        if stream.pace is None:
            stream.pace = Allowance(now, stream.bytes)
        total = stream.bytes + (0 if content is None else content.received)
        if stream.view is not None:
            waits = bool(self.wire.blames(identifier))
        else:
            waits = stream.is_starved()
        return stream.pace.is_spent(now, total, rate, waits=waits)

    def takes_too_little(self, now: float) -> bool:
        """Whether the connection's window lets less than `min_rate` through, for all streams."""
        rate = self.service.limits.min_rate
        waiting = [each for each, stream in self.streams.items() if stream.view is not None]
        if not rate or not waiting or self.wire.blames(waiting[0]) is not None:
            self._pace = None
            return False
        if self._pace is None:
            self._pace = Allowance(now, self.wire.sent)
        return self._pace.is_spent(now, self.wire.sent, rate)

    def pause_writing(self) -> None:
        """A client that does not read is not read from either: its answers would pile up."""
        self.paused = True
        if not self.half_closed:
            self.transport.pause_reading()

    def proceed(self) -> None:
        """Send on after the transport drained."""
        if self.lingering or self.transport.is_closing():
            return
        if not self.half_closed:
            self.transport.resume_reading()
        self.pump()
