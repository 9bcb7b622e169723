"""
One stored answer a node: which worker has it, the way there, and copies of what is asked often.

Laws: a key belongs to one worker, whoever got the request asks that one. What its owner dropped no
sibling serves from a copy any more, once the drop is answered. An owner that is gone is nobody's
trouble: the request goes to the origin, and nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from edge.errors import OriginError
from edge.http import caching, freshness, reuse, variants
from edge.http.caching import Reason
from edge.http.fields import IDENTITY, FieldList
from edge.http.heads import Head
from edge.http.http1_client import End
from edge.http.reuse import Reuse
from edge.http.variants import ACCEPT_ENCODING
from edge.node.addresses import Destination, OriginKey
from edge.node.counters import Counters
from edge.node.desk import ASK, DROP, ENCODER, LENGTH, TOLD, Told
from edge.node.errand import SMALL
from edge.node.fetch import varying_by_coding
from edge.node.inquiry import Inquiry, Supply
from edge.node.origin import OriginConnection
from edge.node.origins import Origin
from edge.node.shelf import Entry
from edge.node.tasks import spawn
from edge.site.keys import label_of_key

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.http.message import Inform
    from edge.node.broker import Broker
    from edge.node.clock import Clock
    from edge.site.limits import Limits

log = logging.getLogger("edge.siblings")

CONNECTIONS: Final = 8192
"""Exchanges with one sibling at a time; as many more wait."""

MARGIN_S: Final = 30.0
"""Seconds that a sibling may take longer than all it waits for itself."""

DROP_S: Final = 5.0
"""Seconds until a sibling that does not confirm a drop is left to itself (control replaces it)."""


class Siblings:
    """The store of the whole node, as one worker sees it."""

    def __init__(self, broker: Broker, places: Sequence[Path], slot: int) -> None:
        """`places` are the sockets of all workers, this one's own at `slot`."""
        self.broker = broker
        self.slot = slot
        self.place = places[slot]
        """Where siblings ask this worker."""
        links = Links(broker.origins.clock, broker.origins.limits)
        keys = [OriginKey("unix", str(place), 0, is_carried=False) for place in places]
        self._others = [Origin(key, links) for key in keys]
        self._links = links
        self._gone: dict[bytes, None] = {}
        """Labels of what siblings may have copies of, and was let go here."""
        self._told = 0.0
        """When it was last said that a sibling is gone, in monotonic seconds."""
        broker.shelf.on_lent_gone = self._on_gone

    # Asking

    def at_once(self, inquiry: Inquiry) -> Supply | None:
        """What this worker has itself, an original or a fresh copy."""
        if inquiry.owner(len(self._others)) == self.slot:
            return self.broker.at_once(inquiry)
        entry = self.broker.shelf.select(inquiry)
        if entry is None or inquiry.page not in entry.labels:
            return None  # its owner has to know all pages that a purge may name
        wishes = reuse.wishes_of(inquiry.fields, self.broker.policy)
        if reuse.reuse(entry.stored, wishes, self.broker.now) is not Reuse.FRESH:
            return None
        return self.broker.hit(entry, inquiry)

    async def ask(self, inquiry: Inquiry, inform: Inform | None = None) -> Supply:
        """The answer to what `at_once` has none for. Raises as `Broker.ask`."""
        owner, broker = inquiry.owner(len(self._others)), self.broker
        if owner == self.slot:
            return await broker.ask(inquiry, inform)
        if broker.is_unshared(inquiry):
            return await broker.go_alone(inquiry, inform, may_store=False)
        drops = broker.shelf.drops
        supply = await self._ask_owner(self._others[owner], inquiry, inform)
        if supply is None:
            return await broker.go_alone(inquiry, inform, may_store=False)
        if supply.entry is not None and drops == broker.shelf.drops:
            self._copy(supply.entry)
        return supply

    async def _ask_owner(
        self, sibling: Origin, inquiry: Inquiry, inform: Inform | None
    ) -> Supply | None:
        """
        What the owner answers; None when it is gone.

        Raises:
            OriginError: the origin's fault, as the owner met it.
        """
        limits = self.broker.origins.limits
        patience_s = limits.origin_first_byte + 4 * limits.origin_connect + MARGIN_S
        link = Link(sibling, limits.tunnel_idle)
        try:
            told = await link.ask(ENCODER.encode(inquiry), inform, patience_s)
        except OriginError as error:
            await link.aclose()
            self._tell(f"the worker at {sibling.key.host} does not answer: {error}")
            return None
        except BaseException:
            await link.aclose()
            raise
        if told.fault is not None:
            await link.aclose()
            raise OriginError(told.fault, told.problem)
        return await self._supplied(told, link, inquiry)

    async def _supplied(self, told: Told, link: Link, inquiry: Inquiry) -> Supply:
        """What was told as an answer; what is small and stored may be copied."""
        content = await link.content()
        if told.reason:
            self.broker.shelf.mark(inquiry.key, inquiry.target, Reason(told.reason))
        supply = Supply(
            status=told.status,
            lines=told.lines,
            handling=told.handling,
            content=content if told.has_content else None,
            number=told.number,
            trailers=link.trailers,
        )
        if told.may_copy and isinstance(content, bytes) and inquiry.method == b"GET":
            supply.entry = self._entry(told, content, inquiry)
        return supply

    # Copies

    def _entry(self, told: Told, content: bytes, inquiry: Inquiry) -> Entry | None:
        """A copy of what is fresh at its owner."""
        broker, fields = self.broker, FieldList(told.lines)
        directives = caching.response_directives(fields, broker.policy.targeted)
        arrival = freshness.arrival_of(fields, broker.now, broker.now)
        stored = freshness.describe(told.status, fields, directives, arrival, broker.policy)
        if stored.fresh_until <= broker.now:
            return None
        if inquiry.fields.get(ACCEPT_ENCODING) == IDENTITY:
            stored = varying_by_coding(stored)
        variant = variants.variant_key(stored.vary, inquiry.fields) or b""
        lines = [line for line in told.lines if line[0] != b"age"]
        entry = Entry(inquiry.key, variant, stored, lines, content)
        entry.labels = dict.fromkeys([*inquiry.labels, inquiry.page, *told.tags])
        entry.is_copy, entry.number = True, told.number
        return entry

    def _copy(self, entry: Entry) -> None:
        """Keep a copy, known by all pages that the one before was known by."""
        shelf = self.broker.shelf
        for other in shelf.variants(entry.key):
            if other.variant == entry.variant:
                entry.labels.update(other.labels)
        shelf.put(entry)

    # Letting go

    async def drop(self, labels: list[bytes]) -> None:
        """
        Have every worker drop what is under the labels; back when they have.

        Twice: before its owner had dropped it, a sibling may have made another copy.
        """
        for _ in range(2):
            self.broker.drop(labels)
            await self._tell_others(labels)

    async def _tell_others(self, labels: list[bytes]) -> None:
        others = [other for slot, other in enumerate(self._others) if slot != self.slot]
        if others:
            value = ENCODER.encode(labels)
            await asyncio.gather(*[self._drop_at(other, value) for other in others])

    async def _drop_at(self, sibling: Origin, value: bytes) -> None:
        link = Link(sibling, DROP_S)
        try:
            await link.tell(DROP, value, DROP_S)
        except OriginError as error:  # one that is gone has nothing stored
            self._tell(f"the worker at {sibling.key.host} confirms no drop: {error}")
        finally:
            await link.aclose()

    def _on_gone(self, key: bytes) -> None:
        """Siblings are to let go of their copies; many at once are told together."""
        if not self._gone and len(self._others) > 1:
            spawn(self._drop_copies(), "drop copies")
        self._gone[label_of_key(key)] = None

    async def _drop_copies(self) -> None:
        labels, self._gone = list(self._gone), {}
        await self._tell_others(labels)

    def _tell(self, trouble: str) -> None:
        """Once a second at the most: every request may meet it."""
        if self.broker.origins.clock.now > self._told:
            self._told = self.broker.origins.clock.now
            log.warning("%s", trouble)

    def sweep(self, now: float) -> None:
        """Once a second: waits that took too long, connections that nobody uses."""
        self._links.limits = linked(self.broker.origins.limits)
        for other in self._others:
            other.sweep(now)

    def close(self) -> None:
        """End every connection."""
        for other in self._others:
            other.close()


class Links:
    """What connections to siblings are made by; stands where `Origins` does for origins."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.clock = clock
        self.counters = Counters()
        """Of what no client asked for."""
        self.limits = linked(limits)
        self.settings = 0
        self.addresses = self

    async def resolve(self, host: str, port: int, *, is_carried: bool) -> list[Destination]:
        """A sibling's socket is its address."""
        del is_carried
        return [Destination(0, host, port)]

    async def dial(self, key: OriginKey, address: Destination, settings: int) -> OriginConnection:
        """
        A connection to a sibling.

        Raises:
            OriginError: it is gone.
        """
        del address
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(  # type: ignore[type-var]
                lambda: OriginConnection(self.clock, settings), key.host
            )
        except OSError as error:
            raise OriginError("connection_refused", str(error)) from error
        return connection


def linked(limits: Limits) -> Limits:
    """Limits of connections to siblings: what is behind them has its own."""
    return replace(limits, origin_connections=CONNECTIONS, origin_queue=CONNECTIONS)


class Link:
    """One exchange with a sibling; iterating gives the content of its answer."""

    def __init__(self, sibling: Origin, patience_s: float) -> None:
        self.trailers: list[Line] = []
        self._sibling = sibling
        self._patience_s = patience_s
        self._connection: OriginConnection | None = None
        self._first = b""

    async def tell(
        self, target: bytes, value: bytes, patience_s: float, inform: Inform | None = None
    ) -> None:
        """
        Send a value, and wait until it is answered.

        Raises:
            OriginError: the sibling is gone, or silent.
        """
        connection = self._connection = await self._sibling.acquire()
        lines = [(b"host", b"sibling"), (b"content-length", b"%d" % len(value))]
        connection.begin(b"POST", target, lines, tunnel=False)
        await connection.send(value)
        await connection.end()
        while True:
            event = await connection.next(patience_s, "http_response_timeout")
            assert isinstance(event, Head), "a head comes first"
            if event.status >= 300:
                raise OriginError("proxy_internal_error", f"it answered {event.status}")
            if event.status >= 200:
                return
            if inform is not None:
                inform(event.status, event.fields)

    async def ask(self, value: bytes, inform: Inform | None, patience_s: float) -> Told:
        """The head of the answer to an inquiry. Raises as `tell`."""
        await self.tell(ASK, value, patience_s, inform)
        data = await self._at_least(LENGTH.size)
        size = LENGTH.size + LENGTH.unpack_from(data)[0]
        self._first = data
        data = await self._at_least(size)
        self._first = data[size:]
        return TOLD.decode(data[LENGTH.size : size])

    async def _at_least(self, size: int) -> bytes:
        data, self._first = self._first, b""
        while len(data) < size:
            chunk = await self._next()
            if chunk is None:
                raise OriginError("http_response_incomplete", "the answer has no head")
            data += chunk
        return data

    async def _next(self) -> bytes | None:
        """The next piece, None after the last."""
        if self._connection is None:
            return None
        event = await self._connection.next(self._patience_s, "connection_read_timeout")
        if isinstance(event, End):
            self.trailers += event.trailers
            self._release()
            return None
        assert isinstance(event, bytes), "content follows a head"
        return event

    async def content(self) -> bytes | Link:
        """The content, in one piece where it is here already."""
        connection, size = self._connection, 0
        pieces = [self._first]
        while connection is not None and size <= SMALL:
            event = connection.ready()
            if event is None:
                break
            if isinstance(event, End):
                self.trailers += event.trailers
                self._release()
                return b"".join(pieces)
            assert isinstance(event, bytes), "content follows a head"
            pieces.append(event)
            size += len(event)
        self._first = b"".join(pieces)
        return self if self._connection is not None else self._first

    def __aiter__(self) -> Link:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        chunk = first or await self._next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._sibling.release(connection)

    async def aclose(self) -> None:
        """Nobody reads on; harmless after the end."""
        if self._connection is not None:
            self._connection.close()
        self._release()
