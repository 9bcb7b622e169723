"""
One client's connection: bytes to requests, responses to bytes. HTTP/1.1 here, HTTP/2 in `streams`.

Laws: nothing is decided here but framing, order and pace. A response that is ready is written in
the same call that read its request (no task: 3.4-6 µs); a task exists only where something must
wait. Every wait has an end: `sweep` looks once a second (a timer a request costs 2 µs).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import NoneType
from typing import TYPE_CHECKING, cast

from edge.errors import MalformedRequest, RequestError, RequestTimedOut
from edge.http.http1 import CONTINUE, END, HTTP2_PREFACE, Http1, Limits, encode_head
from edge.http.message import Request, Response
from edge.node.cache import JOIN_BELOW
from edge.node.content import HIGH_WATER, Inflow
from edge.node.tasks import spawn

if TYPE_CHECKING:
    from edge.node.clock import Clock

Answer = Response | Awaitable[Response]
Respond = Callable[[Request], Answer]

UNREAD_CONTENT = 64 * 1024
"""Bytes of unwanted content that are read past to keep a connection; beyond, it ends."""

LINGER_SECONDS = 2.0
"""How long an ended connection still reads, so that the response is not lost to a reset."""


class Service:
    """What all connections of a worker share."""

    def __init__(
        self,
        clock: Clock,
        respond: Respond,
        refuse: Callable[[RequestError], Response],
        speak_http2: Callable[[Connection, bytes], None],
    ) -> None:
        self.clock = clock
        self.respond = respond
        self.refuse = refuse
        """Turns any error into the response for it: the handler's `error_response`."""
        self.speak_http2 = speak_http2
        """Hands a connection over to HTTP/2; given in, since `streams` stands on this module."""
        self.wire = Limits()
        self.header_timeout = 10.0
        self.idle_timeout = 30.0
        self.keep_alive = 60.0
        self.requests_per_connection = 1000
        self.streams_per_connection = 1000
        self.max_streams = 100
        self.max_connections = 10_000
        self.draining = False
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.refused = 0


class Connection(asyncio.Protocol):
    """The part that both protocols share: the transport, its pace and its end."""

    __slots__ = (
        "_descriptor",
        "_writable",
        "clock",
        "paused",
        "service",
        "touched",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self.service = service
        self.clock = service.clock
        self.paused = False
        self.touched = service.clock.now
        """When bytes last moved, in monotonic seconds."""
        self._writable: asyncio.Future[None] | None = None
        self._descriptor = -1

    def pause_writing(self) -> None:
        """The transport's buffer is full: stop making output."""
        self.paused = True

    def resume_writing(self) -> None:
        """The transport's buffer drained."""
        self.paused = False
        self.touched = self.clock.now
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self.proceed()

    def proceed(self) -> None:
        """Go on with what waited for the transport."""

    async def writable(self) -> None:
        """Wait until the transport takes more."""
        while self.paused:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def connect(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport; one in clear text is written to by its descriptor."""
        self.transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("sslcontext") is None:
            connected = transport.get_extra_info("socket")
            self._descriptor = -1 if connected is None else connected.fileno()

    def send(self, output: list[bytes]) -> None:
        """
        Write now, past the transport's queue while that is empty (108k for 92k requests/s).

        Only where the transport is known to be open: a closed one's descriptor is another's.
        """
        transport = self.transport
        if len(output) > 1 and sum(map(len, output)) < JOIN_BELOW:
            output = [b"".join(output)]
        if self._descriptor < 0 or self.paused or transport.get_write_buffer_size():
            transport.writelines(output)
            return
        try:
            if len(output) == 1:
                sent = os.write(self._descriptor, output[0])
            else:
                sent = os.writev(self._descriptor, output)
        except BlockingIOError:
            sent = 0
        except OSError:
            transport.abort()
            return
        for piece in output:
            if sent < len(piece):
                transport.write(memoryview(piece)[sent:] if sent else piece)
            sent = max(0, sent - len(piece))

    def drain(self) -> None:
        """Finish what runs, then end."""
        raise NotImplementedError

    def sweep(self, now: float) -> None:
        """End the connection if it outlived a limit."""
        raise NotImplementedError

    def expire(self) -> None:
        """End without ceremony: close, or abort if the peer does not even take what is written."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()


class Http1Connection(Connection):
    """HTTP/1.1, and the place where an HTTP/2 preface is noticed."""

    __slots__ = (
        "_answer",
        "_answering",
        "_closing",
        "_content",
        "_expects",
        "_fresh",
        "_head_since",
        "_held",
        "_lingering",
        "_served",
        "_unread",
        "_wire",
    )

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._wire = Http1(service.wire)
        self._fresh = True
        """Whether no byte has come yet."""
        self._served = 0
        self._closing = False
        self._answering = False
        self._answer: asyncio.Task[None] | None = None
        self._content: Inflow | None = None
        self._expects = False
        self._unread = 0
        self._held = 0
        self._lingering = 0.0
        self._head_since = service.clock.now
        """When the unfinished head began to arrive; 0.0 between requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the worker's connections, or be refused cleanly when there are too many."""
        self.connect(transport)
        service = self.service
        service.accepted += 1
        if len(service.connections) >= service.max_connections:
            service.refused += 1
            transport.close()
        else:
            service.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Leave; whoever still works for this client is told."""
        self.service.connections.discard(self)
        if self._content is not None:
            self._content.fail(MalformedRequest("the client went away"))
        if self._answer is not None:
            self._answer.cancel()

    def eof_received(self) -> bool:
        """A client that sent everything may still wait for its answers."""
        if self._content is not None:
            self._content.fail(MalformedRequest("the content ended before its length"))
        self._closing = True
        return self._answering

    def data_received(self, data: bytes) -> None:
        """Read requests and answer those that can be answered now."""
        self.touched = self.clock.now
        if self._lingering:
            return
        try:
            if self._fresh:
                data = self._begin(data)
            if self.paused or (self._answering and self._content is None):
                self._hold(data)
                return
            event = self._wire.receive(data) if data else None
            if event is not None:
                self._run(event)
            elif not self._head_since:
                self._head_since = self.touched
        except RequestError as error:
            self._refuse(error)

    def _begin(self, data: bytes) -> bytes:
        """The first bytes: HTTP/2 by prior knowledge, or HTTP/1.1 after an optional CRLF."""
        self._fresh = False
        if data.startswith(HTTP2_PREFACE[:16]):
            self.service.speak_http2(self, data)
            return b""
        return data.removeprefix(b"\r\n")  # RFC 9112 §2.2: an empty line before is ignored

    def _hold(self, data: bytes) -> None:
        """Keep pipelined bytes until the answer under way is done."""
        self._wire.hold(data)
        self._held += len(data)
        if self._held > HIGH_WATER:
            self.transport.pause_reading()

    def _run(self, event: object) -> None:
        """Take events until they run out, an answer must wait, or the connection ends."""
        wire = self._wire
        output: list[bytes] = []
        while event is not None:
            if type(event) is Request:
                self._served += 1
                response = self.service.respond(event) if event.ends else None
                if (
                    type(response) is Response
                    and response.whole
                    and not wire.should_close()
                    and not self._is_last(event)
                ):
                    output.append(response.whole)  # the common case: shared, finished bytes
                    wire.start_next()
                elif not self._take_request(event, response, output):
                    break
            elif event is END:
                if not self._end_content():
                    break
            else:
                self._take_content(cast("bytes", event))
            if self._closing or self.paused:
                break
            event = wire.next()
        self._head_since = 0.0
        if output:
            self.send(output)
        if self._closing and not self._answering:
            self._finish_closing()

    def _is_last(self, request: Request) -> bool:
        """Whether the response has to say what becomes of the connection."""
        return (
            self._closing
            or self._served >= self.service.requests_per_connection
            or request.version != b"1.1"
        )

    def _take_request(self, request: Request, answer: Answer | None, output: list[bytes]) -> bool:
        """Answer one request; False when its answer has to wait."""
        if answer is None:
            self._expect_content(request)
            answer = self.service.respond(request)
        if type(answer) is Response and type(answer.content) in (bytes, NoneType):
            self._append(request, answer, output)
            if request.ends:
                self._wire.start_next()
            return True
        if output:
            self.send(output)
            output.clear()
        self._answering = True
        self._answer = spawn(self._answer_later(request, answer), "answer")
        return not request.ends

    def _append(self, request: Request, response: Response, output: list[bytes]) -> None:
        """Finished bytes of a response whose content is in memory."""
        option = self._connection_option(request, response)
        content = response.content
        if not option:
            output.append(response.head.lines + response.block)
        else:
            output.append(encode_head(response, option))
        if content is not None:
            output.append(cast("bytes", content))

    def _connection_option(self, request: Request, response: Response) -> bytes:
        """`close`, `keep-alive` (HTTP/1.0 that asked) or nothing (RFC 9112 §9.3)."""
        if (
            self._wire.should_close()
            or self._served >= self.service.requests_per_connection
            or response.closes
            or self._closing
            or (self._content is not None and self._refuses_content(request))
        ):
            self._closing = True
            return b"close"
        return b"keep-alive" if request.version == b"1.0" else b""

    def _refuses_content(self, request: Request) -> bool:
        """Whether content that nobody read is too much, or too unsure, to read past."""
        if cast("Inflow", self._content).started:
            return False
        length = request.fields.get(b"content-length", b"")
        return request.expects or not length.isdigit() or int(length) > UNREAD_CONTENT

    # Content of requests

    def _expect_content(self, request: Request) -> None:
        self._unread = 0
        self._expects = request.expects
        request.content = self._content = Inflow(self._on_taken)

    def _on_taken(self, size: int) -> None:
        """The handler took content; before the first of it, 100 (Continue) is due."""
        if self._expects:
            self._expects = False
            self.transport.write(CONTINUE)
        if size and self._content is not None and self._content.size < HIGH_WATER:
            self.transport.resume_reading()

    def _take_content(self, data: bytes) -> None:
        content = cast("Inflow", self._content)
        if self._answering:
            content.feed(data)
            if content.size > HIGH_WATER:
                self.transport.pause_reading()
            return
        self._unread += len(data)
        if self._unread > UNREAD_CONTENT:
            self._closing = True

    def _end_content(self) -> bool:
        """The request is whole; False while its answer is still under way."""
        cast("Inflow", self._content).finish()
        self._content = None
        if self._answering:
            return False
        self._wire.start_next()
        return True

    # Answers that wait

    async def _answer_later(
        self, request: Request, response: Response | Awaitable[Response]
    ) -> None:
        try:
            if type(response) is not Response:
                response = await cast("Awaitable[Response]", response)
            await self._send(request, response)
        except RequestError as error:
            self._answering = False
            self._refuse(error)
            return
        self._answering = False
        self._answer = None
        self._resume()

    async def _send(self, request: Request, response: Response) -> None:
        content = response.content
        if content is None or type(content) is bytes:
            output: list[bytes] = []
            self._append(request, response, output)
            self.transport.writelines(output)
            return
        option = self._connection_option(request, response)
        self.transport.write(encode_head(response, option))
        async for chunk in content:  # type: ignore[union-attr]
            self.transport.write(chunk)
            if self.paused:
                await self.writable()
            self.touched = self.clock.now

    def _resume(self) -> None:
        """The answer is written: go on with what the client sent meanwhile."""
        if self._closing or (self._content is not None and self._content.started):
            self._closing = True
            self._finish_closing()
            return
        if self._content is None:
            self._wire.start_next()
        self.proceed()

    def proceed(self) -> None:
        """Read on: the answer under way is done, or the transport drained."""
        if self._answering or self.transport.is_closing():
            return
        self._held = 0
        self.transport.resume_reading()
        try:
            self._run(self._wire.next())
        except RequestError as error:
            self._refuse(error)

    # The end

    def _refuse(self, error: RequestError) -> None:
        """Answer what could not be understood, once, and end (errors are terminal)."""
        if self._content is not None:
            self._content.fail(error)
        if self._answering:  # part of an answer may be out: only the end is honest
            self.transport.abort()
            return
        response = self.service.refuse(error)
        self.transport.write(encode_head(response, b"close"))
        if type(response.content) is bytes:
            self.transport.write(response.content)
        self._closing = True
        self._finish_closing()

    def _finish_closing(self) -> None:
        """Half-close, and read on a moment so that the response is not lost to a reset."""
        if self.transport.is_closing():
            return
        if self._content is None or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingering = self.clock.now + LINGER_SECONDS
        self.transport.write_eof()

    def drain(self) -> None:
        """End now if nothing is under way, else after the answer."""
        self._closing = True
        if not self._answering and not self.transport.get_write_buffer_size():
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Time limits: head 10 s in all, idle 60 s between requests, 30 s without progress."""
        service = self.service
        if self._lingering:
            if now > self._lingering:
                self.transport.abort()
        elif self._answering or self._content is not None or self.paused:
            if now - self.touched > service.idle_timeout:
                self.transport.abort()
        elif not self._head_since:
            if now - self.touched > service.keep_alive:
                self.expire()
        elif now - self._head_since > service.header_timeout:
            if self._fresh:
                self.expire()
            else:
                self._refuse(RequestTimedOut("the head of the request took too long"))
