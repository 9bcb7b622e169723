"""
One client's HTTP/2 connection: many streams over one transport. Its sending half: `responses`.

Laws: as in `connection`. A stream that fails costs no other stream anything; what breaks the
rules of the connection, or costs more than it brings, ends it. An ordinary end is told in two
steps, so that no request on its way is lost (RFC 9113 §6.8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from time import monotonic
from types import NoneType
from typing import cast

from edge.errors import MalformedRequest, RequestError, RequestTimedOut
from edge.http.http2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    LAST_STREAM,
    NO_ERROR,
    REFUSED_STREAM,
    Content,
    End,
    Event,
    Farewell,
    Reset,
)
from edge.http.message import Request, Response
from edge.node.content import Inflow, discard
from edge.node.floods import Floods
from edge.node.later import Later
from edge.node.recurring import Http2Recaller
from edge.node.responses import Stream
from edge.node.tasks import spawn
from edge.node.transport import GONE_SECONDS, Answer, Connection, Service

RESETS_IN_ALL = 150
"""After so many a client is asked for a new connection: zttp breaks one off at 256."""

PATIENCE_SECONDS = 5.0
"""How long the first GOAWAY waits for a moment without streams: some clients (Python's h2) lose
those that are under way when it comes."""

PARTING_SECONDS = 1.0
"""Between the two GOAWAYs: by then the client has seen the first, whatever its round trip."""


class Http2Connection(Http2Recaller):
    """HTTP/2, whichever way it was agreed on."""

    __slots__ = (
        "_began",
        "_floods",
        "_leaving_since",
        "_parting_since",
        "_resets_in_all",
    )

    def __init__(self, service: Service, sni: str | None = None) -> None:
        super().__init__(service, sni)
        self._began = 0.0
        """When the last bytes came, in monotonic seconds."""
        self._leaving_since = 0.0
        """Since when the connection is to end, in monotonic seconds; 0.0 while it is not."""
        self._parting_since = 0.0
        """When the first GOAWAY went out; 0.0 before."""
        self._floods = Floods(self.wire, service.clock.now)
        self._resets_in_all = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The beginning where it is known before."""
        self.connect(transport)
        if self.admit():
            self.open()

    def open(self) -> None:
        """Our half of the preface."""
        self.send([self.wire.open()])

    def connection_lost(self, _: Exception | None) -> None:
        """Leave; every stream's worker is told."""
        self.leave()
        self._abandon_all()

    def eof_received(self) -> bool:
        """A client that sent everything may still wait for its answers."""
        self.half_closed = True
        self.touched = self.clock.now
        if self.lingering or not (self.streams or self.paused):
            return False
        self.closing = True
        for stream in self.streams.values():
            if stream.content is not None:
                stream.content.fail(MalformedRequest("the content ended before its length"))
                stream.content = None
        return True

    def data_received(self, data: bytes) -> None:
        """Read events, answer what can be answered now, send what the windows allow."""
        if self.lingering:
            return
        self._began = monotonic()
        if not self._leaving_since and self.may_recall():
            data = self.recall(data, self._began)
            if not data and not self.wire.tally.is_noisy:
                return
        self.received += len(data)
        self.wire.tally.read(data)
        if reason := self._floods.excess(self.service.limits, len(self.cut)):
            self._calm(reason)  # before any of it costs more than counting
            return
        try:
            events = self.wire.receive(data)
        except RequestError as error:
            if error.reason:
                self.service.counters.refuse(error.reason)
            self._break_off()
            return
        for event in events:
            self._take(event)
        if reason := self._floods.excess(self.service.limits, len(self.cut)):
            self._calm(reason)
            return
        if self._leaving_since and not self._parting_since:
            self._part(self.clock.now)  # in one write with the last answer, if it is whole
        self.pump()

    def _take(self, event: Event) -> None:
        kind = type(event)
        if kind is Request:
            self._take_request(cast("Request", event))
        elif kind is Content:
            self._take_content(cast("Content", event))
        elif kind is End:
            self._end_content(cast("End", event))
        elif kind is Farewell:
            self._take_farewell()
        else:
            self._take_reset(cast("Reset", event).stream)

    def _calm(self, reason: str) -> None:
        """End a connection that costs more than it brings."""
        self.service.counters.refuse(reason)
        self.wire.go_away(self._last, ENHANCE_YOUR_CALM)
        self._break_off()

    # Requests

    def _take_request(self, request: Request) -> None:
        self.touched = self.clock.now
        if self.closing or len(self.streams) >= self.service.max_streams:
            if not self.closing:
                self.service.counters.refuse("h2_streams")
                self._count_reset()
            self.cut.add(request.stream)
            self.wire.reset(request.stream, REFUSED_STREAM)
            return
        request.peer = self.peer
        request.sni = self.sni
        request.id = self.service.ledger.identify()
        request.began = self._began
        self._last = request.stream
        self._count_request()
        stream = None if request.ends else self._expect_content(request)
        error = self.wire.check(request)
        answer = self.service.refuse(error) if error else self.service.respond(request)
        if type(answer) is Response and type(answer.content) in (bytes, NoneType):
            self.send_response(request, stream, answer)
            if answer.opening and request.ends:
                self.learn(request, answer)
            return
        stream = self.streams[request.stream] = stream or Stream(request, self.touched)
        stream.answer = spawn(self._answer_later(request, stream, answer), "answer")
        if isinstance(answer, Coroutine):  # of a task that is cancelled before it began
            stream.answer.add_done_callback(lambda _: answer.close())
        elif isinstance(answer, Later):
            stream.answer.add_done_callback(lambda _: answer.cancel())

    def _expect_content(self, request: Request) -> Stream:
        stream = Stream(request, self.touched)
        stream.content = Inflow(lambda size: self._on_taken(request, stream, size))
        request.content = stream.content
        return stream

    def _count_request(self) -> None:
        """End long before zttp's ceiling of 4,096 streams."""
        self._served += 1
        limit, more = self.service.streams_per_connection, self.service.max_streams
        if self._served == limit + more:
            self._part(self.clock.now + PATIENCE_SECONDS)
        elif self._served == limit + 2 * more:
            self._stop()
        elif self._served == limit or self.service.draining:
            self._leave()

    def _take_content(self, event: Content) -> None:
        stream = self.streams.get(event.stream)
        if stream is None or stream.content is None:
            self.wire.forget(event.stream)
        else:
            stream.moved = self.clock.now
            stream.content.feed(event.data)

    def _end_content(self, event: End) -> None:
        self.end_of_content(event.stream)
        stream = self.streams.get(event.stream)
        if stream is not None and stream.content is not None:
            stream.content.finish(event.trailers)
            stream.content = None

    def _on_taken(self, request: Request, stream: Stream, size: int) -> None:
        """The handler took content; before the first of it, 100 (Continue) is due."""
        if stream.content is None or self.transport.is_closing():
            return
        stream.moved = self.clock.now
        if size:
            credit = self.wire.take(request.stream, size)
            if credit:
                self.send([credit])
        elif request.expects and not stream.headed:
            self.wire.send_interim(request.stream, 100, [])
            self.flush()

    def _take_reset(self, identifier: int) -> None:
        """Forget a stream that its client gave up, or that broke a rule."""
        stream = self.streams.pop(identifier, None)
        self.end_of_content(identifier)
        if stream is not None:
            self.abandon(stream)
        if identifier in self.cut:
            return
        self._count_reset()
        self._resets_in_all += 1
        if self._resets_in_all == RESETS_IN_ALL:
            self._leave()

    def _take_farewell(self) -> None:
        """End when what is under way is done, instead of at the end of the client's time."""
        if not self.closing:
            self._stop()

    def _count_reset(self) -> None:
        """One more; over the limit, nothing more is begun of what has come with it."""
        self._floods.count_reset()
        if self._floods.resets > self.service.limits.h2_resets:
            self.closing = True

    # Responses

    async def _answer_later(self, request: Request, stream: Stream, answer: Answer) -> None:
        try:
            request.inform = partial(self._inform, request, stream)
            response = await self.settle(answer)
            if self._is_open(request, stream):
                await self.send_later(request, stream, response)
            else:
                await discard(response.content)
        except Exception as error:  # noqa: BLE001  (content broke off; `refuse` logs what it was)
            self.service.refuse(error)
        finally:
            stream.answer = request.inform = None  # each holds the other
            if self._is_open(request, stream) and not stream.ends:  # cut off: the stream ends here
                self.cut_off(request.stream, INTERNAL_ERROR)
        self.pump()

    def _inform(
        self, request: Request, stream: Stream, status: int, fields: list[tuple[bytes, bytes]]
    ) -> None:
        """Send an interim response, if its stream still waits."""
        if self._is_open(request, stream) and not stream.headed:
            self.wire.send_interim(request.stream, status, fields)
            self.flush()

    def _is_open(self, request: Request, stream: Stream) -> bool:
        return self.streams.get(request.stream) is stream

    # The end

    def _leave(self) -> None:
        """Begin to end: in two steps, so that no request on its way is lost (RFC 9113 §6.8)."""
        if not self._leaving_since:
            self._leaving_since = self.clock.now
            self._served = max(self._served, self.service.streams_per_connection)

    def _part(self, now: float) -> None:
        """The step that is due: GOAWAY with the highest identifier, later with the last one."""
        if self.closing or not self._leaving_since:
            return
        if not self._parting_since:
            if not self.streams or now - self._leaving_since >= PATIENCE_SECONDS:
                self._parting_since = self.clock.now
                self.wire.go_away(LAST_STREAM, NO_ERROR)
                self.flush()
        elif now - self._parting_since >= PARTING_SECONDS:
            self._stop()

    def _stop(self) -> None:
        """The second GOAWAY: nothing after the last stream is served; end when all are done."""
        self.closing = True
        self.wire.go_away(self._last, NO_ERROR)

    def _break_off(self) -> None:
        """The connection broke a rule: what zttp or we had to say about it, then the end."""
        self._abandon_all()
        self.flush()
        self.finish()

    def _abandon_all(self) -> None:
        for stream in self.streams.values():
            self.abandon(stream)
        self.streams.clear()

    def drain(self) -> None:
        """End in two steps, from now on."""
        if not self.lingering:
            self._leave()
            self._part(self.clock.now)
            self.pump()

    def sweep(self, now: float) -> None:
        """Once a second: a new minute perhaps, and the time limits."""
        self._floods.sweep(now)
        super().sweep(now)

    def expire(self, now: float) -> None:
        """Time limits: idle between requests, streams that wait for their client, the parting."""
        for identifier, stream in tuple(self.streams.items()):
            if now - stream.moved > self.service.idle_timeout and stream.is_starved():
                self._time_out(identifier, stream, "idle_timeout")
            elif self.is_slow(identifier, stream, now):
                self._time_out(identifier, stream, "min_rate")
        if self.takes_too_little(now):
            self._calm("min_rate")
            return
        if not self.closing and not self.streams and now - self.touched > self.service.keep_alive:
            self._stop()
        if self.half_closed and now - self.touched > GONE_SECONDS and not self._moves(now):
            self.transport.abort()
            return
        self._part(now)
        self.pump()

    def _moves(self, now: float) -> bool:
        """Whether a client that sent its last byte still takes something."""
        return any(now - stream.moved <= GONE_SECONDS for stream in self.streams.values())

    def _time_out(self, identifier: int, stream: Stream, reason: str) -> None:
        self.service.counters.refuse(reason)
        if stream.headed or stream.content is None:
            self._count_reset()
            self.cut_off(identifier, CANCEL)
            return
        stream.content.fail(RequestTimedOut("the content of the request stopped coming"))
        stream.moved = self.clock.now
        stream.pace = None


def take_over(first: Connection, data: bytes) -> None:
    """Speak HTTP/2 on a connection whose first bytes were its preface, or which ALPN chose."""
    connection = Http2Connection(first.service, first.sni)
    first.leave()
    first.service.connections.add(connection)
    first.transport.set_protocol(connection)  # type: ignore[arg-type]
    connection.connect(first.transport)
    if first.service.seats is not None and first.sni is None:
        first.service.seats.take(connection, connection.peer)
    connection.open()
    if data:
        connection.data_received(data)
