"""
What HTTP/1.1 and HTTP/2 connections share: the transport, its pace, its time limits and its end.

Laws: nothing is known here of requests and frames. Every wait has an end: `sweep` looks once a
second (a timer a request costs 2 µs). A connection ends by half-closing and reading on a moment,
so that its last bytes are not lost to a reset; only a peer that takes nothing is aborted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

from edge.http.http1 import Limits
from edge.http.manner import Manners
from edge.http.message import Request, Response
from edge.node.allowance import Allowance, acknowledged
from edge.node.cache import JOIN_BELOW
from edge.node.counters import Counters
from edge.node.ledger import Ledger
from edge.site.limits import Limits as Bounds

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.shares import Seats

Answer = Response | Awaitable[Response]
Respond = Callable[[Request], Answer]

LINGER_SECONDS = 2.0
"""How long an ended connection still reads, so that the response is not lost to a reset."""

GONE_SECONDS = 5.0
"""
How long a client that sent its last byte waits for the next one of an answer that takes time.

Nearly all of them have gone, and cannot say so otherwise before something is written to them.
"""

REFUSED_AT_ONCE = 100
"""Connections over the limit that are told so at the same time; the rest is just dropped."""

REFUSED_A_SECOND = 500
"""Refused connections that are told so in a second: each reads on a moment, and takes 5 KiB."""

TURNED_AWAY = b"HTTP/1.1 %b\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BUSY = TURNED_AWAY % b"503 Service Unavailable"
TOO_MANY = TURNED_AWAY % b"429 Too Many Requests"
"""For refused connections: the answers no handler makes, since they must cost nothing."""


NOTHING_TOLD: Final[dict[bytes, bytes]] = {}


class Service:
    """What all connections of a worker share."""

    def __init__(
        self,
        clock: Clock,
        respond: Respond,
        refuse: Callable[[Exception], Response],
        speak_http2: Callable[[Connection, bytes], None],
        ledger: Ledger | None = None,
    ) -> None:
        self.clock = clock
        self.ledger = ledger or Ledger(Counters())
        self.counters = self.ledger.counters
        self.respond = respond
        self.manners = Manners()
        """What heads that were accepted before say, and where it leads in this snapshot."""
        self.world = object()
        """Another one with each snapshot."""
        self.recalls = False
        """Whether a head that is known by these is answered without anybody being asked."""
        self.refuse = refuse
        """Turns any error into the response for it: the handler's `error_response`."""
        self.speak_http2 = speak_http2
        """Hands a connection over to HTTP/2; given in, since `streams` stands on this module."""
        self.limits = Bounds()
        """As the operator wrote them, for what is asked once a second at most."""
        self.wire = Limits()
        self.header_timeout = 10.0
        self.idle_timeout = 30.0
        self.keep_alive = 60.0
        self.half_closes = True
        """Whether a client that said its last may wait for answers."""
        self.requests_per_connection = 1000
        self.streams_per_connection = 1000
        self.max_streams = 100
        self.max_connections = 10_000
        self.most_connections = 1 << 30
        """As many as there are descriptors for, whatever the operator says."""
        self.draining = False
        self.connections: set[Connection] = set()
        self.seats: Seats | None = None
        """Connections by client, where these are bounded."""
        self.sheds = False
        """Whether memory runs out: nobody new is let in."""
        self.told = 0
        """Refusals of this second that said why."""
        self.accepted = 0

    def configure(self, limits: Bounds) -> None:
        """
        Bound connections as the operator says; those that are open too, but for their heads.

        Called with every snapshot: what was remembered of another one is forgotten here.
        """
        self.forget()
        for connection in self.connections:  # whose word counts may be another's now
            connection.told, connection.lead = NOTHING_TOLD, None
        self.limits = limits
        self.wire = Limits(limits.request_line, limits.fields, limits.field_count)
        self.header_timeout = limits.header_timeout
        self.idle_timeout = limits.idle_timeout
        self.keep_alive = limits.keep_alive
        self.requests_per_connection = limits.requests_per_connection
        self.streams_per_connection = limits.h2_streams_per_connection
        self.max_streams = limits.h2_streams
        self.max_connections = min(limits.connections, self.most_connections)

    def forget(self) -> None:
        """Look at every request anew: what decides them is not what it was."""
        self.manners.clear()
        self.world = object()

    def bars(self, peer: str) -> str:
        """Why one more connection is refused; empty where it is not."""
        if len(self.connections) >= self.max_connections:
            return "connections"
        if self.sheds:
            return "memory"
        if self.seats is not None and not self.seats.has_room(peer):
            return "client_connections"
        return ""


class Connection:
    """
    One client's transport.

    A protocol of asyncio's by its methods: what is compiled (setup.py) has no base elsewhere.
    """

    __slots__ = (
        "_acknowledged",
        "_allowance",
        "_backlog",
        "_descriptor",
        "_direct",
        "_writable",
        "clock",
        "half_closed",
        "lead",
        "lingering",
        "once",
        "paused",
        "peer",
        "port",
        "received",
        "service",
        "sni",
        "told",
        "touched",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, service: Service, sni: str | None = None) -> None:
        self.service = service
        self.clock = service.clock
        self.sni = sni
        """The host that TLS was begun for, its address where no name was sent; None without TLS."""
        self.paused = False
        """Whether the transport's buffer is full."""
        self.half_closed = False
        """Whether the client sent its last byte."""
        self.lingering = 0.0
        """Until when an ended connection reads on, in monotonic seconds; 0.0 before its end."""
        self.touched = service.clock.now
        """When the client last did its part, in monotonic seconds."""
        self.peer = ""
        """Address of the client's end; empty on a Unix socket."""
        self.port: int | None = None
        self.received = 0
        """Bytes since the last answer was entered."""
        self.told = NOTHING_TOLD
        """What the log says of it, by method, once it was asked."""
        self.lead: bytes | None = None
        """The same of a GET."""
        self.once = b""
        """Likewise of the one that is answered now, where each may be another client's."""
        self._backlog = 0
        self._acknowledged: int | None = 0
        self._allowance: Allowance | None = None
        """While the client has more to take than the kernel holds."""
        self._writable: asyncio.Future[None] | None = None
        self._descriptor = -1
        self._direct = False
        """Whether it is known that nothing waits in the transport's queue."""

    # The beginning

    def connect(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport; one in clear text is written to by its descriptor."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer, self.port = peer[:2]
        if transport.get_extra_info("sslcontext") is None:
            connected = transport.get_extra_info("socket")
            self._descriptor = -1 if connected is None else connected.fileno()

    def admit(self) -> bool:
        """Join the worker's connections, or be refused cleanly when there are too many."""
        service = self.service
        service.accepted += 1
        reason = service.bars(self.peer) if self.sni is None else ""  # with TLS it has been asked
        if not reason:
            service.connections.add(self)
            if service.seats is not None and self.sni is None:
                service.seats.take(self, self.peer)
            return True
        service.counters.refuse(reason)
        room = service.max_connections - len(service.connections)
        if room > -REFUSED_AT_ONCE and service.told < REFUSED_A_SECOND:
            service.told += 1
            service.connections.add(self)
            self.send([TOO_MANY if reason == "client_connections" else BUSY])
            self.finish()
        else:
            self.transport.abort()
        return False

    def leave(self) -> None:
        """The connection is over."""
        self.service.connections.discard(self)
        if self.service.seats is not None:
            self.service.seats.leave(self)

    # Pace

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
        raise NotImplementedError

    async def settle(self, answer: Answer) -> Response:
        """The response of an answer, or of the error that came instead."""
        if type(answer) is Response:
            return answer
        try:
            return await cast("Awaitable[Response]", answer)
        except Exception as error:  # noqa: BLE001  (`refuse` is where errors become responses)
            return self.service.refuse(error)

    async def writable(self) -> None:
        """Wait until the transport takes more; give way to other connections at least once."""
        if not self.paused:
            await asyncio.sleep(0)
        while self.paused:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def send(self, output: list[bytes]) -> None:
        """Write now, pieces of a message or of several."""
        if len(output) == 1:
            self.send_one(output[0])
        elif sum(map(len, output)) < JOIN_BELOW:
            self.send_one(b"".join(output))
        elif self.paused or not (self._direct or self._is_drained()):
            self.transport.writelines(output)
        else:
            try:
                sent = os.writev(self._descriptor, output)
            except OSError as error:
                self._send_rest(output, error)
            else:
                self._send_rest(output, sent)

    def send_one(self, message: bytes) -> None:
        """
        Write now, past the transport's queue while that is empty (108k for 92k requests/s).

        Only where the transport is known to be open: a closed one's descriptor is another's.
        """
        if not self._direct and not self._is_drained():
            self.transport.write(message)
            return
        try:
            sent = os.write(self._descriptor, message)
        except OSError as error:
            self._send_rest([message], error)
            return
        if sent != len(message):
            self._send_rest([message], sent)

    def _is_drained(self) -> bool:
        """Whether nothing waits in the queue of a transport that may be passed by."""
        self._direct = self._descriptor >= 0 and not self.transport.get_write_buffer_size()
        return self._direct

    def _send_rest(self, output: list[bytes], sent: int | OSError) -> None:
        """Leave to the transport what the kernel did not take."""
        if isinstance(sent, OSError):
            if not isinstance(sent, BlockingIOError):
                self.transport.abort()
                return
            sent = 0
        self._direct = False
        for piece in output:
            if sent < len(piece):
                self.transport.write(memoryview(piece)[sent:] if sent else piece)
            sent = max(0, sent - len(piece))

    # The end

    def finish(self) -> None:
        """Send what is left, half-close, and read on a moment; nothing is answered any more."""
        transport = self.transport
        if self.lingering or transport.is_closing():
            return
        self.lingering = self.clock.now + LINGER_SECONDS
        if self.half_closed or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        transport.resume_reading()

    def drain(self) -> None:
        """Finish what runs, then end."""
        raise NotImplementedError

    def sweep(self, now: float) -> None:
        """End the connection if it outlived a limit: once a second, for every connection."""
        backlog = self.transport.get_write_buffer_size()
        if backlog != self._backlog:
            self._backlog = backlog
            self.touched = now
        if backlog:
            self._expect_taken(now)
            return
        self._allowance = None
        if not self.lingering:
            self.expire(now)
        elif now > max(self.lingering, self.touched + LINGER_SECONDS):
            self.transport.abort()

    def _expect_taken(self, now: float) -> None:
        """End a connection whose client takes nothing of what waits for it, or too little."""
        taken = acknowledged(self.transport.get_extra_info("socket"))
        if taken != self._acknowledged:
            self._acknowledged = taken
            self.touched = now
        if now - self.touched > self.service.idle_timeout:
            self.refuse("idle_timeout")
        elif taken is not None and (rate := self.service.limits.min_rate):
            if self._allowance is None:
                self._allowance = Allowance(now, taken)
            elif self._allowance.is_spent(now, taken, rate):
                self.refuse("min_rate")

    def refuse(self, reason: str) -> None:
        """End a connection for a limit, in the middle of whatever it is."""
        self.service.counters.refuse(reason)
        self.transport.abort()

    def expire(self, now: float) -> None:
        """The limits of a connection whose client has taken everything that was written."""
        raise NotImplementedError
