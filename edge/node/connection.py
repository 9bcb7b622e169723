"""
One client's HTTP/1.1 connection: bytes to requests, responses to bytes. HTTP/2 is in `streams`.

Laws: nothing is decided here but framing, order and pace. A response that is ready is written in
the same call that read its request (no task: 3.4-6 µs); a task exists only where something must
wait. One request, one answer: what goes wrong after an answer began can only end the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from edge.errors import MalformedRequest, RequestError, RequestTimedOut
from edge.http.http1 import CONTINUE, END, HTTP2_PREFACE
from edge.http.message import Request, Response
from edge.node.allowance import Allowance
from edge.node.cache import JOIN_BELOW
from edge.node.content import HIGH_WATER, Inflow, discard
from edge.node.later import Later
from edge.node.sending import UNREAD_CONTENT, Http1Sender
from edge.node.tasks import spawn
from edge.node.transport import GONE_SECONDS, Answer, Service

if TYPE_CHECKING:
    from edge.http.manner import Manner

__all__ = ["Http1Connection", "Service"]

BATCH = 128
"""Pieces of pipelined responses that are written at once; writev takes 1,024."""

QUIET_SECONDS = 2.0
"""A drain ends who was silent so long, by ticks of a second; others hear of it by an answer."""


class Http1Connection(Http1Sender):
    """HTTP/1.1, and the place where an HTTP/2 preface is noticed."""

    __slots__ = (
        "_began",
        "_fresh",
        "_head_since",
        "_pace",
        "_preface",
        "_unread",
    )

    def __init__(self, service: Service, sni: str | None = None) -> None:
        super().__init__(service, sni)
        self._fresh = True
        """Whether it is not known yet which protocol the client speaks."""
        self._preface = b""
        self._began = 0.0
        """When the last bytes came, in monotonic seconds."""
        self._unread = 0
        self._head_since = service.clock.now
        """When the unfinished head began to arrive; 0.0 between requests."""
        self._pace: Allowance | None = None
        """How slow the content may still be; made by the first sweep that sees some."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the worker's connections, or be refused."""
        self.connect(transport)
        if self.admit() and self.sni is not None:
            handshake = transport.get_extra_info("ssl_object")
            if handshake.selected_alpn_protocol() == "h2":
                self._fresh = False
                self.service.speak_http2(self, b"")

    def connection_lost(self, _: Exception | None) -> None:
        """Leave; whoever still works for this client is told."""
        self.leave()
        if self._content is not None:
            self._content.fail(MalformedRequest("the client went away"))
        if self._answer is not None:
            self._answer.cancel()
        asked, begun = self._asked, self._begun
        self._content = self._answer = self._asked = self._begun = None  # each holds this
        if asked is not None:
            self.service.ledger.give_up(self, asked, begun, self._sent, self._first)

    def eof_received(self) -> bool:
        """A client that sent everything may still wait for its answers."""
        self.half_closed = self.service.half_closes
        self.touched = self.clock.now
        if self.tunnel is not None:
            self.tunnel.finish()
            return True
        if self.lingering or not self.half_closed or not (self._answering or self.paused):
            return False
        self._end_input()
        return True

    def _end_input(self) -> None:
        """A half-closed client sends no more: content that lacks some never comes."""
        if self._answering and self._content is not None:
            self._fail(MalformedRequest("the content ended before its length"))

    def data_received(self, data: bytes) -> None:
        """Read requests and answer those that can be answered now."""
        began = monotonic()
        if not (self._wire.is_between and self.recall(data, began)) and not self.lingering:
            self._receive(data, began)

    def introduce(self, manner: Manner) -> None:
        """As below; the first bytes are those of a request then, and whole."""
        self._fresh, self._head_since = False, 0.0
        super().introduce(manner)

    def _receive(self, data: bytes, began: float) -> None:
        self._began = began
        self.touched = self.clock.now
        self.received += len(data)
        if self.tunnel is not None:
            if not self.tunnel.feed(data):
                self.transport.pause_reading()
            return
        if self._fresh:
            data = self._begin(data)
            if not data:
                return
        if (self._answering and self._content is None) or (self.paused and not self._answering):
            self._hold(data)
            return
        try:
            event = self._wire.receive(data)
            if event is not None:
                self._run(event)
            elif not self._head_since:
                self._head_since = self.touched
        except RequestError as error:
            self._fail(error)

    def _begin(self, data: bytes) -> bytes:
        """The first bytes: what HTTP/1.1 gets of them, nothing while they may be a preface."""
        if self._preface:
            data = self._preface + data
        if data.startswith(HTTP2_PREFACE):
            self._fresh = False
            self.service.speak_http2(self, data)
            return b""
        if HTTP2_PREFACE.startswith(data):
            self._preface = data
            self._wire.is_between = False
            return b""
        self._fresh = False
        self._preface = b""
        return data

    def _hold(self, data: bytes) -> None:
        """Keep pipelined bytes until the answer under way is done."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HIGH_WATER:
            self.transport.pause_reading()

    def _run(self, event: object) -> None:
        """Take events until they run out, an answer must wait, or the connection ends."""
        wire = self._wire
        output = self._output
        respond, ledger = self.service.respond, self.service.ledger
        while event is not None:
            if type(event) is Request:
                self._served += 1
                event.peer = self.peer
                event.sni = self.sni
                event.id = ledger.identify()
                event.began = self._began
                response = respond(event) if event.ends else None
                if (
                    type(response) is Response
                    and response.opening
                    and not wire.should_close()
                    and not self._is_last(event)
                ):
                    output += ledger.open(self, event, response)  # the common case
                    wire.start_next()
                elif not self._take_request(event, response):
                    break
            elif not self._take_content(event):
                break
            if output and (len(output) >= BATCH or len(output[-1]) >= JOIN_BELOW):
                self._flush()
            if (self._closing or self.paused) and not self._answering:
                break
            event = wire.next()
        self._head_since = 0.0
        if output:
            self._flush()
        if self._closing or self.half_closed:
            self._end()

    def _is_last(self, request: Request) -> bool:
        """Whether the response has to say what becomes of the connection."""
        return (
            self._closing
            or self._served >= self.service.requests_per_connection
            or request.version != b"1.1"
        )

    def _take_request(self, request: Request, answer: Answer | None) -> bool:
        """Answer one request; False when its answer has to wait."""
        if answer is None:
            self._expect_content(request)
            answer = self.service.respond(request)
        if type(answer) is Response and self._fits(answer.content):
            self._append(request, answer)
            if request.ends:
                self._wire.start_next()
            return True
        if self._output:
            self._flush()
        self._answering = True
        if isinstance(answer, Later):
            self.await_passing(request, answer)
            return False
        self._asked = request
        self._answer = spawn(self._answer_later(request, answer), "answer")
        if isinstance(answer, Coroutine):  # of a task that is cancelled before it began
            self._answer.add_done_callback(lambda _: answer.close())
        return not request.ends

    # Content of requests

    def _expect_content(self, request: Request) -> None:
        self._unread = 0
        self._expects = request.expects
        request.content = self._content = Inflow(self._on_taken)
        self._pace = None

    def _on_taken(self, size: int) -> None:
        """The handler took content; before the first of it, 100 (Continue) is due."""
        if self._content is None or self.transport.is_closing():
            return
        self.touched = self.clock.now
        if self._expects:
            self._expects = False
            self.send([CONTINUE])
        if size and self._content.size < HIGH_WATER:
            self.transport.resume_reading()

    def _take_content(self, event: object) -> bool:
        """One chunk of a request's content or its end; False when its answer is under way then."""
        content = cast("Inflow", self._content)
        if event is END:
            content.finish(self._wire.trailers)
            self._content = None
            if self._answering:
                return False
            self._wire.start_next()
        elif self._answering:
            content.feed(cast("bytes", event))
            if content.size >= HIGH_WATER:
                self.transport.pause_reading()
        else:
            self._unread += len(cast("bytes", event))
            if self._unread > UNREAD_CONTENT:
                self._closing = True
        return True

    # Answers that wait

    def take(self, request: Request, response: Response) -> None:
        """Write an answer that came by itself; what still comes of it is waited for."""
        if not self._fits(response.content) or self.transport.is_closing():
            self._answer = spawn(self._answer_later(request, response), "answer")
            return
        self._answer = None
        try:
            self._append(request, response)
            self._flush()
            self._answering = False
            self._resume()
        except Exception as error:  # noqa: BLE001  (it came in another connection's call)
            self.service.refuse(error)
            self.cut()

    async def _answer_later(self, request: Request, answer: Answer) -> None:
        try:
            request.inform = partial(self.interim, request)
            response = await self.settle(answer)
            if not self.transport.is_closing():
                await self._send(request, response)
                self._answering = False
            else:
                await discard(response.content)
        except Exception as error:  # noqa: BLE001  (content broke off; `refuse` logs what it was)
            self.service.refuse(error)
        finally:
            self._answer = request.inform = None  # it holds the request: no cycle may be left
            if self._answering:  # part of an answer is out: only the end is honest
                self.cut()
        if not self._answering:
            self._resume()

    def _resume(self) -> None:
        """The answer is written: go on with what the client sent meanwhile."""
        if self._closing or (self._content is not None and self._content.started):
            self._closing = True
            self.finish()
            return
        if self._content is None:
            self._wire.start_next()
        self.proceed()

    def proceed(self) -> None:
        """Read on: the answer under way is done, or the transport drained."""
        if self._answering or self.lingering or self.transport.is_closing():
            return
        if self._held:
            self._wire.hold(b"".join(self._held))
            self._held.clear()
            self._held_bytes = 0
        if not self.half_closed:
            self.transport.resume_reading()
        try:
            event = self._wire.next()
            if event is not None:
                self._run(event)
        except RequestError as error:
            self._fail(error)
        if self.half_closed:
            self._end_input()
            self._end()

    # The end

    def _fail(self, error: RequestError) -> None:
        """Answer what could not be understood, once, and end (errors are terminal)."""
        self._closing = True
        content, self._content = self._content, None
        if content is not None:
            content.fail(error)  # its handler answers, or has answered
        elif not self._answering:
            unknown = self.service.ledger.unknown(self._began)
            if error.asks_head:
                unknown.method = b"HEAD"
            self._append(unknown, self.service.refuse(error))
        if self._output:
            self._flush()
        if not self._answering:
            self.finish()

    def _end(self) -> None:
        """End, unless an answer is under way or a half-closed client is owed more of them."""
        if not self._answering and (self._closing or not self.paused):
            self.finish()

    def drain(self) -> None:
        """
        End after the answer under way; with none, after a second of silence.

        A busy client sends its next request within that second, and its answer says `close`.
        """
        self._closing = True
        reading = self._content is not None or (self._head_since and not self._fresh)
        if self._answering or reading or self.paused or self.lingering:
            return
        if self.clock.now - self.touched >= QUIET_SECONDS:
            self.transport.close()

    def expire(self, now: float) -> None:
        """Time limits: head 10 s in all, idle 60 s between requests, content 30 s of silence."""
        service = self.service
        content = self._content
        if content is not None:
            starved = content.is_awaited or not (content.started or content.size or self._expects)
            if starved and now - self.touched > service.idle_timeout:
                self._time_out("idle_timeout", "the content of the request stopped coming")
            elif self._is_slow(content, now, waits=starved):
                self._time_out("min_rate", "the content of the request came too slowly")
        elif self._answering:  # whoever makes the answer has limits of its own
            if self.half_closed and self.tunnel is None and now - self.touched > GONE_SECONDS:
                self.transport.abort()
        elif not self._head_since:
            if now - self.touched > service.keep_alive:
                self.finish()
        elif now - self._head_since > service.header_timeout:
            if self._fresh:
                service.counters.refuse("header_timeout")
                self.finish()
            else:
                self._time_out("header_timeout", "the head of the request took too long")

    def _is_slow(self, content: Inflow, now: float, *, waits: bool) -> bool:
        """Whether content comes by less than `min_rate`, and its consumer is not why."""
        rate, received = self.service.limits.min_rate, content.received + self._unread
        if not rate:
            return False
        if self._pace is None:
            self._pace = Allowance(now, received)
        return self._pace.is_spent(now, received, rate, waits=waits)

    def _time_out(self, reason: str, what: str) -> None:
        self.service.counters.refuse(reason)
        self._fail(RequestTimedOut(what))
