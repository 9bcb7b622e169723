"""
One connection to an origin: one request at a time, its response as it comes.

Laws: reading stops while nobody takes what came; every wait has an end, found by `sweep` once a
second. A connection that is not exactly between two messages is never used again. Which connection
a request gets is `origins`' business.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final, Literal, cast

from edge.errors import OriginError, OriginFault, RequestError, bare
from edge.http.fields import Line
from edge.http.heads import Head, Heads
from edge.http.http1_client import Event, Http1Client
from edge.node.arrived import Arrived

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.crossing import Crossing

HIGH_WATER: Final = 256 * 1024
"""Bytes of a response that wait for their reader before the origin has to."""

PIECE: Final = 64 * 1024
"""Bytes of a request's content that are sent at a time."""

IDLE_S: Final = 60.0
"""Seconds that an unused connection is kept: as long as most servers keep theirs."""


class OriginConnection:
    """A connection, and the exchange under way on it; a protocol as `transport.Connection` is."""

    __slots__ = (
        "_arrived",
        "_backlog",
        "_clock",
        "_descriptor",
        "_direct",
        "_failure",
        "_heads",
        "_is_sending",
        "_patience",
        "_poll",
        "_reading",
        "_wire",
        "_writable",
        "crossing",
        "deadline",
        "expires",
        "is_closed",
        "is_reused",
        "on_arrival",
        "on_writable",
        "settings",
        "touched",
        "transport",
    )

    __deletable__ = ["transport"]  # noqa: RUF012  (mypyc's: a list in so many words)
    transport: asyncio.Transport

    def __init__(self, clock: Clock, settings: int = 0, heads: Heads | None = None) -> None:
        """`heads` of responses are remembered with those of other connections."""
        self._clock = clock
        self._heads = heads
        self.settings = settings
        """The number of the settings by which it was dialed."""
        self._wire = Http1Client(heads)
        self._arrived = Arrived()
        self._failure: OriginError | RequestError | None = None
        self._reading: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._patience: tuple[float, OriginFault] = (0.0, "connection_read_timeout")
        """Seconds that the reader waits at the most, and what it is called when they are over."""
        self._is_sending = False
        """Whether the request goes on: what it waits for is its client, not the origin."""
        self.deadline = inf
        """Until when the exchange has to be over, in monotonic seconds."""
        self._backlog = 0
        self._descriptor = -1
        self._direct = False
        """Whether it is known that nothing waits in the transport's queue."""
        self._poll = select.poll()
        self.expires = 0.0
        """Until when it may be used again, in monotonic seconds."""
        self.is_reused = False
        """Whether it had an exchange before this one: it may have been closed meanwhile."""
        self.is_closed = False
        self.crossing: Crossing | None = None
        """Whose response is awaited unparsed; nobody's once anything else happens."""
        self.on_arrival: Callable[[], None] | None = None
        """Called once, when the response is here in part or whole, or has failed; from `listen`."""
        self.on_writable: Callable[[], None] | None = None
        """Called when the transport takes more: of a tunnel, where nobody awaits it."""
        self.touched = clock.now
        """When the origin last got on with it, in monotonic seconds."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        descriptor = transport.get_extra_info("socket").fileno()
        self._poll.register(descriptor, select.POLLIN)
        if transport.get_extra_info("sslcontext") is None:
            self._descriptor = descriptor

    def eof_received(self) -> bool:
        """
        The origin said its last: a response that ends with its connection is whole now.

        Over TLS this is the other side's word (close_notify). Without it an attacker on the way may
        have cut the connection, and `connection_lost` is all that comes (RFC 9112 §9.8).
        """
        self._look()
        self._receive(b"")
        self._wake()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits is told."""
        self._look()
        if error is not None and self._descriptor >= 0 and self._failure is None:
            self._salvage()
        self.is_closed, self._descriptor, self._direct = True, -1, False
        if self._failure is None:
            retry: Literal["never", "if_reused"] = "never" if self._wire.has_begun else "if_reused"
            self._failure = OriginError("connection_terminated", "the connection broke", retry)
        self._wake()

    def _salvage(self) -> None:
        """
        Read what came in front of a reset.

        An origin that refuses an upload answers and closes; the write that meets its reset ends the
        transport before it has read the answer. The transport closes its socket after this call.
        """
        with suppress(OSError):
            while data := os.read(self._descriptor, HIGH_WATER):
                self._receive(data)

    def data_received(self, data: bytes) -> None:
        """Take what came; without a request it is nobody's, and the connection ends."""
        crossing = self.crossing
        if crossing is not None:
            self.crossing = None
            if crossing.take(data):
                return
        if self._receive(data):  # a head byte by byte is no progress
            self.touched = self._clock.now
        if self._arrived.size >= HIGH_WATER:
            self.transport.pause_reading()
        self._wake()

    def _receive(self, data: bytes) -> bool:
        """Whether it made an event."""
        try:
            events = self._wire.receive(data)
        except OriginError as error:
            self._fail(error)
            return False
        self._arrived.add(events)
        return bool(events)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """There is room again."""
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        if self.on_writable is not None:
            self.on_writable()

    def _fail(self, error: OriginError | RequestError) -> None:
        bare(error)
        if self._failure is None:
            self._failure = error
        self.transport.abort()

    def _wake(self) -> None:
        told = self.on_arrival
        if told is not None and (self._arrived or self._failure is not None):
            self.on_arrival = None
            told()
            return
        for waiting in (self._reading, self._writable if self.is_closed else None):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    # An exchange

    def _look(self) -> None:
        """Have a response that is not usual be looked at."""
        crossing, self.crossing = self.crossing, None
        if crossing is not None:
            crossing.unfold()

    def expect(self, method: bytes, target: bytes, fields: list[Line]) -> None:
        """Be ready to parse the response to a request that was sent."""
        self._wire = Http1Client(self._heads)
        self._wire.request(method, target, fields, ends=True)

    def begin(
        self,
        method: bytes,
        target: bytes,
        fields: list[Line],
        *,
        tunnel: bool = False,
        ends: bool = False,
    ) -> None:
        """Send a request's head; unless it `ends` there, `end` follows, after its content."""
        self.touched = self._clock.now
        self._is_sending = not ends
        if self.is_reused:
            self._wire = Http1Client(self._heads)
        self.put(self._wire.request(method, target, fields, tunnel=tunnel, ends=ends))

    async def send(self, chunk: bytes) -> None:
        """
        Send a piece of the request's content, as fast as the origin takes it.

        Raises:
            OriginError: the connection is gone.
        """
        for start in range(0, len(chunk), PIECE):  # framing copies, and the copy waits
            await self._write(self._wire.content(chunk[start : start + PIECE]))

    async def end(self, trailers: list[Line] | None = None) -> None:
        """Send the end of the request. Raises as `send`."""
        if data := self._wire.end(trailers):
            await self._write(data)
        self._is_sending = False
        self.touched = self._clock.now

    def write_raw(self, data: bytes) -> bool:
        """Send bytes of a tunnel; False when the transport's buffer is full with them."""
        if self.is_closed:
            return True
        self.touched = self._clock.now
        self._direct = False
        self.transport.write(data)
        return self._writable is None

    def write_end(self) -> None:
        """Nothing more is sent."""
        if not self.is_closed and self.transport.can_write_eof():
            self.transport.write_eof()

    def give_up(self, error: OriginError | RequestError) -> None:
        """The request cannot be sent to its end: whoever reads the answer gets `error`."""
        self._fail(error)
        self._wake()

    def put(self, data: bytes) -> None:
        """
        Write now, past the transport's queue while that is empty.

        Nobody's descriptor but its own: the transport is closed behind `connection_lost`, which
        forgets it, and tells of what the transport did not take.
        """
        if not self._direct:
            self._direct = self._descriptor >= 0 and not self.transport.get_write_buffer_size()
        try:
            sent = os.write(self._descriptor, data) if self._direct else 0
        except OSError:  # full, or broken: the transport finds out which
            sent = 0
        if sent < len(data):
            self._direct = False
            self.transport.write(memoryview(data)[sent:] if sent else data)

    async def _write(self, data: bytes) -> None:
        self._expect_no_failure()
        self.touched = self._clock.now
        self.put(data)
        if self._writable is not None:
            await self._writable
            self._expect_no_failure()

    def _expect_no_failure(self) -> None:
        """A call of its own: compiled (setup.py), what was None once is None after a wait, too."""
        if self._failure is not None:
            raise self._failure

    def listen(self, on_arrival: Callable[[], None], patience_s: float, fault: OriginFault) -> None:
        """
        Have `on_arrival` called in the call that brings the response, or the first of it.

        After `patience_s` it has failed, which is called `fault`.
        """
        self._patience = (patience_s, fault)
        self.on_arrival = on_arrival

    def whole(self) -> tuple[Head, bytes] | None:
        """The response where exactly all of it is here: head, content and an end with nothing."""
        return None if self._arrived.size >= HIGH_WATER else self._arrived.take_whole()

    async def next(self, patience_s: float, fault: OriginFault) -> Event:
        """
        The next event of the response.

        Raises:
            OriginError: it broke off, or nothing came for `patience_s`, which is called `fault`.
            RequestError: the client's content broke off.
        """
        while not self._arrived:
            self._expect_no_failure()
            self._patience = (patience_s, fault)
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None
        return self._take()

    def unread(self, event: Event) -> None:
        """Put the last event back."""
        self._arrived.put_back(event)

    def ready(self) -> Event | None:
        """The next event, if it is here already."""
        return self._take() if self._arrived else None

    def _take(self) -> Event:
        event = self._arrived.take()
        if type(event) is bytes and self._arrived.size < HIGH_WATER and not self.is_closed:
            self.transport.resume_reading()
        return event

    def sweep(self, now: float) -> None:
        """End a wait for the origin that took too long."""
        if self.is_closed:
            return
        if self.crossing is not None:
            if not self.crossing.is_late(now - self.touched):
                return
            self._look()
        if now > self.deadline:
            self._fail(OriginError("http_response_timeout", "the whole exchange took too long"))
            self._wake()
            return
        backlog = self.transport.get_write_buffer_size()
        if backlog != self._backlog:  # it takes what is sent, if slowly
            self._backlog = backlog
            self.touched = now
        patience, fault = self._patience
        if self._writable is not None:
            fault = "connection_write_timeout"
        elif (self._reading is None and self.on_arrival is None) or self._is_sending:
            return
        if now - self.touched > patience > 0:
            self._fail(OriginError(fault, f"the origin was silent for {patience:.0f} s"))
            self._wake()

    # Between exchanges

    def release(self) -> bool:
        """Whether it can take another request, now that its response was taken to the end."""
        if self.is_closed or self._failure is not None or self._arrived or not self._wire.reusable:
            return False
        self.keep(self._clock.now, self._wire.keeps_s)
        self.is_reused = True
        self.deadline = inf
        self._patience = (0.0, "connection_read_timeout")
        return True

    def keep(self, now: float, keeps_s: int | None) -> None:
        """Let it be used again for so many seconds as the origin says."""
        self.expires = now + (IDLE_S if keeps_s is None else min(IDLE_S, keeps_s - 1))

    def is_idle(self) -> bool:
        """
        Whether nothing came since it was released, not even its end that nobody has read yet.

        What came would answer the next request; and a request that may not be sent twice is lost
        on a connection that has ended. Cost: 0.8 µs.
        """
        if self.is_closed or self._failure is not None or self._clock.now > self.expires:
            return False
        return not self._poll.poll(0)

    def close(self) -> None:
        """End it, whatever is under way: nobody is to use it from now on."""
        self.on_arrival = self.crossing = None
        self.transport.abort()
        failure = self._failure or OriginError("connection_terminated", "the edge closed it")
        self._failure = bare(failure)
