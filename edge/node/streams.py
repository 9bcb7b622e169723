"""
One client's HTTP/2 connection: many streams over one transport.

Laws: no stream holds up another. What a response has in memory waits as a view, not a copy; what
comes from a disk or an origin is pulled only as fast as its stream's windows and the transport
take it. Each turn gives every waiting stream one slice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import cast

from edge.errors import MalformedRequest, RequestError
from edge.http.http2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    REFUSED_STREAM,
    Content,
    End,
    Http2,
    Reset,
)
from edge.http.message import Request, Response, response_pairs
from edge.node.connection import Connection, Service
from edge.node.content import Inflow
from edge.node.tasks import spawn

SLICE = 32 * 1024
"""Content that one stream sends in its turn."""

RESETS_A_MINUTE = 100
"""Streams a client may give up in a minute before the connection ends (CVE-2023-44487)."""


class Stream:
    """What is under way on one stream."""

    __slots__ = ("answer", "content", "drained", "ends", "view")

    def __init__(self) -> None:
        self.answer: asyncio.Task[None] | None = None
        self.content: Inflow | None = None
        """The request's content while it arrives."""
        self.view: memoryview | None = None
        """Content of the response that waits for a window."""
        self.ends = False
        """Whether the response ends after `view`."""
        self.drained: asyncio.Future[None] | None = None


class Http2Connection(Connection):
    """HTTP/2 with prior knowledge or by ALPN."""

    __slots__ = (
        "_closing",
        "_last",
        "_minute",
        "_resets",
        "_served",
        "_streams",
        "_wire",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._wire = Http2(service.wire, service.max_streams)
        self._streams: dict[int, Stream] = {}
        self._served = 0
        self._last = 0
        self._closing = False
        self._minute = service.clock.now
        self._resets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The beginning when ALPN chose h2."""
        self.connect(transport)
        self.service.connections.add(self)
        self.transport.write(self._wire.open())

    def connection_lost(self, _: Exception | None) -> None:
        """Leave; every stream's worker is told."""
        self.service.connections.discard(self)
        for stream in self._streams.values():
            self._abandon(stream)
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        """Read events, answer what can be answered now, send what the windows allow."""
        self.touched = self.clock.now
        try:
            events = self._wire.receive(data)
        except RequestError:
            self.transport.write(self._wire.flush())
            self.transport.close()
            return
        for event in events:
            if type(event) is Request:
                self._take_request(event)
            elif type(event) is Content:
                self._take_content(event)
            elif type(event) is End:
                self._end_content(event.stream)
            else:
                self._take_reset(cast("Reset", event))
        self._pump()

    # Requests

    def _take_request(self, request: Request) -> None:
        if self._refuses_stream():
            self._wire.reset(request.stream, REFUSED_STREAM)
            return
        self._last = request.stream
        self._count_request()
        stream = Stream()
        if not request.ends:
            stream.content = request.content = Inflow(lambda size: self._on_taken(request, size))
        error = self._wire.check(request)
        response = self.service.refuse(error) if error else self.service.respond(request)
        if type(response) is Response and (
            response.content is None or type(response.content) is bytes
        ):
            self._send(request.stream, stream, response)
        else:
            self._streams[request.stream] = stream
            stream.answer = spawn(self._answer_later(request, stream, response), "answer")

    def _refuses_stream(self) -> bool:
        """Whether there are too many, or the last one that we promised to serve has come."""
        return self._closing or len(self._streams) >= self.service.max_streams

    def _count_request(self) -> None:
        """Announce the end long before zttp's ceiling of 4,096 streams (RFC 9113 §6.8)."""
        self._served += 1
        limit = self.service.streams_per_connection
        if self._served == limit or (self.service.draining and self._served < limit):
            self._served = limit
            self._wire.go_away()
        elif self._served == limit + self.service.max_streams:
            self._stop()

    def _stop(self) -> None:
        """The second GOAWAY: nothing after the last stream is served; end when all are done."""
        self._closing = True
        self._wire.go_away(self._last)

    def _take_content(self, event: Content) -> None:
        stream = self._streams.get(event.stream)
        if stream is None or stream.content is None:
            self._wire.forget(event.stream)
        else:
            stream.content.feed(event.data)

    def _end_content(self, identifier: int) -> None:
        stream = self._streams.get(identifier)
        if stream is not None and stream.content is not None:
            stream.content.finish()
            stream.content = None

    def _on_taken(self, request: Request, size: int) -> None:
        if size == 0 and request.expects:
            self._wire.send_continue(request.stream)
            self.transport.write(self._wire.flush())
        elif size and not self.transport.is_closing():
            self.transport.write(self._wire.take(request.stream, size))

    def _take_reset(self, event: Reset) -> None:
        """Forget the stream; too many a minute end the connection."""
        stream = self._streams.pop(event.stream, None)
        self._wire.forget(event.stream)
        if stream is not None:
            self._abandon(stream)
        if self.clock.now - self._minute > 60:
            self._minute, self._resets = self.clock.now, 0
        self._resets += 1
        if self._resets > RESETS_A_MINUTE:
            self._wire.go_away(self._last, ENHANCE_YOUR_CALM)
            self.transport.write(self._wire.flush())
            self.transport.close()

    def _abandon(self, stream: Stream) -> None:
        if stream.content is not None:
            stream.content.fail(MalformedRequest("the client gave up the request"))
        if stream.answer is not None:
            stream.answer.cancel()
        if stream.drained is not None and not stream.drained.done():
            stream.drained.cancel()

    # Responses

    async def _answer_later(
        self, request: Request, stream: Stream, response: Response | Awaitable[Response]
    ) -> None:
        try:
            if type(response) is not Response:
                response = await cast("Awaitable[Response]", response)
            await self._send_later(request.stream, stream, response)
        except RequestError:
            self._wire.reset(request.stream, CANCEL)
            self._streams.pop(request.stream, None)
        stream.answer = None
        self._pump()

    async def _send_later(self, identifier: int, stream: Stream, response: Response) -> None:
        content = response.content
        if content is None or type(content) is bytes:
            self._send(identifier, stream, response)
            return
        self._wire.send_head(identifier, response.head.status, response_pairs(response), ends=False)
        async for chunk in content:  # type: ignore[union-attr]
            stream.view = memoryview(chunk)
            stream.drained = asyncio.get_running_loop().create_future()
            self._pump()
            if stream.view is not None:
                await stream.drained
        stream.drained = None
        self._wire.end(identifier)
        self._finish(identifier, stream)

    def _send(self, identifier: int, stream: Stream, response: Response) -> None:
        """Queue a response whose content is in memory; the rest waits for its windows."""
        content = response.content
        pairs = response_pairs(response)
        self._wire.send_head(identifier, response.head.status, pairs, ends=not content)
        if not content:
            self._finish(identifier, stream)
            return
        view = memoryview(cast("bytes", content))
        sent = self._wire.send_content(identifier, view[:SLICE])
        if sent == len(view):
            self._wire.end(identifier)
            self._finish(identifier, stream)
        else:
            stream.view = view[sent:]
            stream.ends = True
            self._streams[identifier] = stream

    def _finish(self, identifier: int, stream: Stream) -> None:
        """The response is complete; content still arriving is not wanted (RFC 9113 §8.1)."""
        self._streams.pop(identifier, None)
        if stream.content is not None:
            self._wire.reset(identifier, NO_ERROR)

    def _pump(self) -> None:
        """Give each waiting stream its slice, turn after turn, while windows and transport take."""
        if self.transport.is_closing():
            return
        self._flush()
        while not self.paused and self._turn():
            self._flush()
        if self._closing and not self._streams:
            self.transport.close()

    def _flush(self) -> None:
        output = self._wire.flush()
        if output:
            self.send([output])

    def _turn(self) -> bool:
        """One slice for every waiting stream; whether anything moved."""
        moved = False
        for identifier, stream in list(self._streams.items()):
            if stream.view is None:
                continue
            sent = self._wire.send_content(identifier, stream.view[:SLICE])
            if sent:
                moved = True
                self.touched = self.clock.now
                self._advance(identifier, stream, sent)
        return moved

    def _advance(self, identifier: int, stream: Stream, sent: int) -> None:
        view = cast("memoryview", stream.view)
        if sent < len(view):
            stream.view = view[sent:]
            return
        stream.view = None
        if stream.ends:
            self._wire.end(identifier)
            self._finish(identifier, stream)
        elif stream.drained is not None and not stream.drained.done():
            stream.drained.set_result(None)

    def pause_writing(self) -> None:
        """A client that does not read is not read from either: its answers would pile up."""
        self.paused = True
        self.transport.pause_reading()

    def proceed(self) -> None:
        """Send on after the transport drained."""
        self.transport.resume_reading()
        self._pump()

    # The end

    def drain(self) -> None:
        """Two GOAWAYs: the second at the next sweep, when late requests have arrived."""
        if self._served < self.service.streams_per_connection:
            self._served = self.service.streams_per_connection
            self._wire.go_away()
        elif not self._closing:
            self._stop()
        self._pump()

    def sweep(self, now: float) -> None:
        """Time limits: idle between requests, and no progress while something is under way."""
        idle = now - self.touched
        if self._streams:
            if idle > self.service.idle_timeout:
                self.transport.abort()
        elif idle > self.service.keep_alive:
            self._stop()
            self._pump()


def take_over(first: Connection, data: bytes) -> None:
    """Speak HTTP/2 on a connection whose first bytes were its preface."""
    connection = Http2Connection(first.service)
    first.transport.set_protocol(connection)
    first.service.connections.discard(first)
    connection.connection_made(first.transport)
    connection.data_received(data)
