"""
Origin servers and their connections: who gets one, who waits, who is not asked at all.

Laws: bounded: connections an origin, requests that wait for one, idle connections. A request that
may have reached an origin is sent again only where that can do no harm. An origin that fails again
and again is left alone for a while, and asked by one request at a time after that.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from edge.errors import OriginError, OriginFault
from edge.http.heads import Heads
from edge.node.counters import Counters
from edge.node.health import RETRY_RESERVE, Health
from edge.node.origin import OriginConnection
from edge.node.roots import system_context

if TYPE_CHECKING:
    from edge.node.addresses import Addresses, Destination, OriginKey
    from edge.node.clock import Clock
    from edge.site.limits import Limits

MAX_TRIES: Final = 4
"""Addresses of one name that are dialed in turn: each may take the whole time for connecting."""

FORGET_S: Final = 60.0
"""Seconds after which an origin that nobody asks is forgotten, its failures too."""


class Resolver(Protocol):
    """Where origins are."""

    async def resolve(self, host: str, port: int, *, is_carried: bool) -> list[Destination]:
        """Addresses to dial, the best first."""


class Pool(Protocol):
    """What an origin's connections are made by."""

    clock: Clock
    counters: Counters
    settings: int
    """Their number: it counts up with every change."""

    @property
    def limits(self) -> Limits:
        """As the operator has them."""

    @property
    def addresses(self) -> Resolver:
        """By name."""

    async def dial(self, key: OriginKey, address: Destination, settings: int) -> OriginConnection:
        """A new connection to one address."""


class Origin:
    """One origin server."""

    def __init__(self, key: OriginKey, pool: Pool) -> None:
        self.key = key
        self.name = name_of(key)
        """As `/metrics` has it."""
        self.health = Health()
        self.touched = pool.clock.now
        """When somebody last meant to ask it, in monotonic seconds."""
        self._pool = pool
        self._idle: deque[OriginConnection] = deque()
        """Used last, last."""
        self.busy: set[OriginConnection] = set()
        self._opening = 0
        """Connections that are begun, or promised to one who waited."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._reached: Destination | None = None
        """The address that took the last connection: the next one is tried there first."""

    @property
    def counters(self) -> Counters:
        """Where its requests are counted."""
        return self._pool.counters

    def count(self, app: str, result: str, times: int = 1) -> None:
        """Count what requests came to: `2xx`, `5xx`, or the kind of their failure."""
        self.counters.count_origin(app, self.name, result, times)

    @property
    def outstanding(self) -> int:
        """Requests under way and waiting."""
        return len(self.busy) + self._opening + len(self._waiting)

    async def acquire(self, *, fresh: bool = False) -> OriginConnection:
        """
        A connection for one exchange; `fresh` for one that had none.

        Raises:
            OriginError: none can be had.
        """
        await self._take_turn()
        try:
            connection = None if fresh else self._reuse()
            if connection is None:
                connection = await self._open()
        except BaseException:
            self._pass_turn()
            raise
        self._opening -= 1
        self.busy.add(connection)
        return connection

    def take(self) -> OriginConnection | None:
        """A connection for one exchange that is there, and nobody's turn before."""
        if len(self.busy) + self._opening >= self._pool.limits.origin_connections:
            return None
        connection = self._reuse()
        if connection is not None:
            self.busy.add(connection)
        return connection

    def admit(self) -> OriginConnection | None:
        """The same for one more request that tries; None too where the last one failed."""
        health = self.health
        connection = None if health.failures else self.take()
        if connection is None:
            return None
        if health.retries < RETRY_RESERVE:
            health.thrive()
        self.touched = connection.touched = self._pool.clock.now
        return connection

    # Turns

    async def _take_turn(self) -> None:
        limits = self._pool.limits
        if len(self.busy) + self._opening < limits.origin_connections:
            self._opening += 1
            return
        if len(self._waiting) >= limits.origin_queue:
            raise OriginError("connection_limit_reached", "too many requests wait for it", "yes")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(limits.origin_first_byte):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_turn()  # it came in the very moment of giving up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                problem = "no connection came free"
                raise OriginError("connection_limit_reached", problem, "yes") from error
            raise

    def _pass_turn(self) -> None:
        """A place came free: it is the first one's of those who wait, and nobody else's."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._opening -= 1

    # Connections

    def _reuse(self) -> OriginConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle():
                return connection
            connection.close()
        return None

    async def _open(self) -> OriginConnection:
        """Dial the addresses in turn, those that were checked and no others."""
        key, pool = self.key, self._pool
        settings = pool.settings
        found = await pool.addresses.resolve(key.host, key.port, is_carried=key.is_carried)
        if self._reached in found:
            found = [self._reached, *(each for each in found if each != self._reached)]
        failure: OriginError | None = None
        for address in found[:MAX_TRIES]:
            try:
                connection = await pool.dial(key, address, settings)
            except OriginError as error:
                failure = error
            else:
                self._reached = address
                return connection
        assert failure is not None, "a name without addresses is an error of its own"
        raise failure

    def release(self, connection: OriginConnection) -> None:
        """Give a connection back; one that is not between two messages ends."""
        if connection not in self.busy:
            return
        self.busy.remove(connection)
        if connection.settings == self._pool.settings and connection.release():
            self._idle.append(connection)
        else:
            connection.close()
        if self._waiting:
            self._opening += 1
            self._pass_turn()

    def put_back(self, connection: OriginConnection, keeps_s: int | None) -> None:
        """The same after a response that was taken whole, unparsed: 40 bytecodes for 100."""
        pool = self._pool
        if connection.settings != pool.settings or self._waiting:
            self.release(connection)
            return
        self.busy.remove(connection)
        connection.keep(pool.clock.now, keeps_s)
        self._idle.append(connection)

    def sweep(self, now: float) -> None:
        """End waits that took too long, and connections that nobody used for long."""
        for connection in tuple(self.busy):
            connection.sweep(now)
        for connection in tuple(self._idle):
            if connection.is_closed or now > connection.expires:
                self._idle.remove(connection)
                connection.close()

    def close_idle(self) -> None:
        """End the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """End every connection."""
        self.close_idle()
        for connection in tuple(self.busy):
            connection.close()

    def is_unused(self, now: float) -> bool:
        """Whether nothing is known of it that matters."""
        return not (self._idle or self.outstanding) and now - self.touched > FORGET_S


def name_of(key: OriginKey) -> str:
    """Scheme, host, and the port where it is not the usual one."""
    usual = 443 if key.scheme == "https" else 80
    return f"{key.scheme}://{key.host}" + ("" if key.port == usual else f":{key.port}")


class Origins:
    """All origins of a worker."""

    def __init__(
        self,
        clock: Clock,
        addresses: Addresses,
        limits: Limits,
        counters: Counters | None = None,
    ) -> None:
        self.clock = clock
        self.counters = counters or Counters()
        self.addresses = addresses
        self.limits = limits
        self.context = system_context()
        self.heads = Heads()
        """Heads of their answers, as they are sent by the snapshot that decides now."""
        self.settings = 0
        """Their number: it counts up with every change."""
        self.known: dict[OriginKey, Origin] = {}
        """Those that somebody asked of late."""

    def configure(self, addresses: Addresses, limits: Limits, context: ssl.SSLContext) -> None:
        """
        Go by other settings from now on; what is under way goes on by the old ones.

        Connections are not used again: they may lead where nobody may go any more.
        """
        self.settings += 1
        for origin in self.known.values():
            origin.close_idle()
        self.addresses, self.limits, self.context = addresses, limits, context

    def find(self, key: OriginKey) -> Origin:
        """The origin of a key."""
        origin = self.known.get(key)
        if origin is None:
            origin = self.known[key] = Origin(key, self)
        origin.touched = self.clock.now
        return origin

    async def dial(self, key: OriginKey, address: Destination, settings: int) -> OriginConnection:
        """
        A new connection to one address; over TLS the certificate has to be the name's.

        Raises:
            OriginError: there is none to be had.
        """
        loop = asyncio.get_running_loop()
        is_secure = key.scheme == "https"
        connection = OriginConnection(self.clock, settings, self.heads)
        try:
            async with asyncio.timeout(self.limits.origin_connect):
                await loop.create_connection(  # type: ignore[type-var]
                    lambda: connection,
                    address.address,
                    address.port,
                    family=address.family,
                    ssl=self.context if is_secure else None,
                    server_hostname=key.host.strip("[]") if is_secure else None,
                )
        except BaseException as error:
            with suppress(AttributeError):  # it got none yet
                del connection.transport  # closed without a word, and each holds the other
            if isinstance(error, OSError):
                raise translate(error) from error
            raise
        return connection

    def sweep(self) -> None:
        """Once a second: waits, idle connections, origins that nobody asks any more."""
        now = self.clock.now
        for key, origin in tuple(self.known.items()):
            origin.sweep(now)
            if origin.is_unused(now):
                del self.known[key]

    def close(self) -> None:
        """End every connection."""
        for origin in self.known.values():
            origin.close()


def translate(error: OSError) -> OriginError:
    """Why there is no connection, in RFC 9209's words; nothing of the request has left."""
    kind: OriginFault = "destination_ip_unroutable"
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = "tls_certificate_error"
    elif isinstance(error, ssl.SSLError):
        is_alert = "ALERT" in (getattr(error, "reason", None) or "")
        kind = "tls_alert_received" if is_alert else "tls_protocol_error"
    elif isinstance(error, TimeoutError):
        kind = "connection_timeout"
    elif isinstance(error, ConnectionRefusedError):
        kind = "connection_refused"
    elif isinstance(error, ConnectionError):
        kind = "connection_terminated"
    return OriginError(kind, str(error) or "it did not answer in time", "yes")
