"""
Who answers a request that may be answered from the store: a stored answer, or a flight.

Laws: the order is RFC 9111's: select, reuse, else validate or fetch, then store. Many that ask the
same are one request to the origin, unless its last answer could not be shared: those do not wait
for each other. What the settings say decides what counts; the decisions are `edge.http`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from edge.errors import OriginError
from edge.http import reuse, variants
from edge.http.cache_status import Forwarded, Handling
from edge.http.caching import Policy, Reason, lasting, may_store
from edge.http.fields import FieldList, Line
from edge.http.freshening import PRECONDITIONS, lines_without
from edge.http.freshness import arrival_of, describe, is_useful, remaining
from edge.http.reuse import Reuse, Wishes
from edge.http.tracing import TRACEPARENT
from edge.node.aims import aims_of
from edge.node.content import stated_size
from edge.node.errand import Errand, Message
from edge.node.fetch import ABOUT_CONDITIONS, Manner
from edge.node.flight import Flight
from edge.node.inquiry import Inquiry, Supply
from edge.node.parts import find_parts, part_key, present_part
from edge.node.presenting import present
from edge.site.keys import TAG

if TYPE_CHECKING:
    from edge.http.fields import Fields
    from edge.http.freshness import Stored
    from edge.http.heads import Head
    from edge.http.message import Inform
    from edge.node.origins import Origins
    from edge.node.shelf import Entry, Shelf
    from edge.site.settings import CacheSettings

ROUNDS: Final = 3
"""Times that a request waits for another one's answer before it goes by itself."""

UNSHARED: Final = (b"authorization", b"if-match", b"if-unmodified-since", b"range")
"""With one of these a request goes by itself: its answer is for those who have the same."""

WITH_COOKIES: Final = b"with cookies"
"""In place of a variant: those who wait learn only whether to go without theirs."""

NO_STORE: Final = (b"cache-control", b"no-store")

PERSONAL: Final = PRECONDITIONS | {b"authorization", b"cache-control", b"range", TRACEPARENT}
"""What is left out where nobody waits for the answer."""


class Sent(msgspec.Struct):
    """A request that was passed on."""

    method: bytes
    lines: list[Line]
    key: bytes
    """What its answer might be stored under."""
    target: bytes
    """Label of what it leads to."""


class Broker:
    """Answers inquiries from what a worker stores, and from origins."""

    def __init__(self, origins: Origins, shelf: Shelf) -> None:
        self.origins = origins
        self.shelf = shelf
        self.policy = Policy()
        self.max_object = 0
        self._flights: dict[tuple[bytes, bytes], Flight] = {}
        """Those that others may wait for, by key and variant."""
        self._varies: dict[bytes, tuple[bytes, ...]] = {}
        """What an answer that still comes varies by, by key."""
        self._flying: set[Flight] = set()

    def configure(self, settings: CacheSettings) -> None:
        """Go by these settings from now on; by others, what was not stored may be."""
        obeyed = frozenset(map(str.encode, settings.client_directives))
        policy = Policy(heuristic=settings.heuristic, obeyed=obeyed, is_partial_stored=True)
        if (policy, settings.max_object) != (self.policy, self.max_object):
            self.shelf.forget_reasons()
        self.policy, self.max_object = policy, settings.max_object

    @property
    def now(self) -> int:
        """Epoch seconds."""
        return self.origins.clock.epoch

    def seconds(self) -> float:
        """The loop's, for durations."""
        return asyncio.get_running_loop().time()

    def errand(self, inquiry: Inquiry, message: Message) -> Errand:
        """The way to the origin."""
        aims = aims_of(self.origins, inquiry.urls, is_carried=inquiry.is_carried)
        return Errand(self.origins, aims, message)

    # Asking

    def at_once(self, inquiry: Inquiry) -> Supply | None:
        """What needs nobody else: a stored answer that may serve, or 504 where that is wished."""
        entry = self.shelf.select(inquiry)
        wishes = reuse.wishes_of(inquiry.fields, self.policy)
        if entry is None:
            return self._part(inquiry, wishes)
        outcome = reuse.reuse(entry.stored, wishes, self.now)
        if outcome is Reuse.UNAVAILABLE:
            return unavailable()
        if outcome is Reuse.VALIDATE:
            return None
        if outcome is Reuse.STALE_WHILE_REVALIDATE:
            self._refresh(inquiry, entry)
        return self.hit(entry, inquiry)

    def _part(self, inquiry: Inquiry, wishes: Wishes | None) -> Supply | None:
        """What is stored in parts alone, or nothing."""
        parts = find_parts(self.shelf, inquiry, self.now) if wishes is None else None
        if parts is not None:
            handling = Handling(ttl=remaining(parts.stored, self.now))
            return present_part(parts, inquiry, self.now, handling)
        return unavailable() if wishes and wishes.only_if_cached else None

    def hit(self, entry: Entry, inquiry: Inquiry) -> Supply:
        """A stored answer that serves."""
        if inquiry.page not in entry.labels:
            self.shelf.name_page(entry, inquiry.page, inquiry.any_page)
        handling = Handling(ttl=remaining(entry.stored, self.now))
        return present(entry, inquiry, self.now, handling)

    async def ask(self, inquiry: Inquiry, inform: Inform | None = None) -> Supply:
        """
        The answer to a request whose key is this worker's.

        Raises:
            OriginError: there is none, and nothing stored may stand in for it.
        """
        for _ in range(ROUNDS):
            supply = self.at_once(inquiry)
            if supply is not None:
                return supply
            if self._goes_alone(inquiry):
                break
            supply = await self._join(inquiry, inform)
            if supply is not None:
                return supply
        return await self.go_alone(inquiry, inform)

    def _goes_alone(self, inquiry: Inquiry) -> bool:
        """Whether nobody else's answer can be this request's."""
        if inquiry.method != b"GET" or self.is_unshared(inquiry):
            return True
        get = inquiry.fields.get
        if any(get(name) is not None for name in UNSHARED):
            return True
        stored = self.shelf.variants(inquiry.key)
        return bool(inquiry.cookie) and any(b"cookie" in each.stored.vary for each in stored)

    def is_unshared(self, inquiry: Inquiry) -> bool:
        """Whether the last answer of a key could not be stored, for this request's like."""
        reason = self.shelf.reason(inquiry.key)
        if reason is Reason.AUTHORIZATION:
            return inquiry.fields.get(b"authorization") is not None
        return reason is not None

    def reason_to_pass(self, key: bytes, *, is_authorized: bool) -> Reason | None:
        """Why a request need not be asked of any store: its last answer, and nothing is there."""
        reason = self.shelf.reason(key)
        if reason is None or self.shelf.variants(key):
            return None
        if reason is Reason.CLIENT or reason is Reason.ERROR:
            return None  # only content tells of the one, only the next answer of the other
        if reason is Reason.AUTHORIZATION and not is_authorized:
            return None  # another one's answer may be stored
        return reason

    def look_again(self, sent: Sent, head: Head) -> Reason | None:
        """Why an answer that was passed on could not be stored; if it could, the next one is."""
        known, lines = self.shelf.reason(sent.key), head.fields
        if sent.method != b"GET" or head.status in ABOUT_CONDITIONS:
            return known
        if forbids(head):
            return known  # nearly always, for a fiftieth of the price
        fields = FieldList(lines)
        verdict = may_store(b"GET", FieldList(sent.lines), head.status, fields, self.policy)
        reason = verdict.reason
        if reason is None:
            arrival = arrival_of(fields, self.now, self.now)
            directives = verdict.directives
            stored = describe(head.status, fields, directives, arrival, self.policy)
            reason = self.refusal(fields, stored)
        if reason is None and known is Reason.TOO_LARGE and fields.get(b"content-length") is None:
            return known  # it may be as large again
        self.shelf.mark(sent.key, sent.target, lasting(head.status, reason))
        return reason

    def refusal(self, fields: Fields, stored: Stored) -> Reason | None:
        """Why an answer that the RFC lets be stored is not."""
        if not is_useful(stored):
            return Reason.USELESS
        is_large = stated_size(fields.get(b"content-length", b"")) > self.max_object
        return Reason.TOO_LARGE if is_large else None

    def _lacks_cookies(self, inquiry: Inquiry) -> bool:
        """
        Whether a request has cookies that the key leaves out, and nothing is known of its answers.

        It is sent with them, for a login must not break, and its answer is not stored. Others that
        come meanwhile learn from its head whether to go without.
        """
        return bool(inquiry.cookie) and not self.shelf.knows(inquiry.key)

    async def _join(self, inquiry: Inquiry, inform: Inform | None) -> Supply | None:
        """Wait for the flight that others wait for, or be the first."""
        names = self._flight_key(inquiry)
        flight = self._flights.get(names)
        if flight is not None and flight.is_outdated():
            self._spoil(flight)
            flight = None
        is_plain = flight is not None or not self._lacks_cookies(inquiry)
        if not is_plain:
            names = inquiry.key, WITH_COOKIES
            flight = self._flights.get(names)
        is_first = flight is None
        if flight is None:
            entry = self.shelf.select(inquiry)
            manner = Manner(forwarded=self._why(inquiry, entry), is_plain=is_plain)
            flight = Flight(self, inquiry, entry, manner, inform)
            self._depart(flight, names)
        return await flight.wait(inquiry, is_first=is_first)

    def _flight_key(self, inquiry: Inquiry) -> tuple[bytes, bytes]:
        """What those wait for who state the same in what answers vary by, if that is known."""
        stored = self.shelf.variants(inquiry.key)
        vary = stored[-1].stored.vary if stored else self._varies.get(inquiry.key, ())
        return inquiry.key, variants.variant_key(vary, inquiry.fields) or b""

    async def go_alone(
        self, inquiry: Inquiry, inform: Inform | None = None, *, may_store: bool = True
    ) -> Supply:
        """The answer to a request that nobody shares. Raises as `ask`."""
        entry = self.shelf.select(inquiry)
        forwarded = self._why(inquiry, entry)
        if inquiry.cookie or not may_store:
            entry = None  # what is stored was not asked for with these
        manner = Manner(
            forwarded=forwarded,
            is_plain=not inquiry.cookie and self._is_plain(inquiry),
            may_store=may_store,
        )
        flight = Flight(self, inquiry, entry, manner, inform)
        self._flying.add(flight)
        supply = await flight.wait(inquiry, is_first=True)
        if supply is None:
            raise OriginError("proxy_internal_error", "a request that nobody shares has no answer")
        return supply

    def _is_plain(self, inquiry: Inquiry) -> bool:
        """Whether the client's own conditions are better left out: a whole answer can be stored."""
        if inquiry.method != b"GET" or self.is_unshared(inquiry):
            return False
        get = inquiry.fields.get
        return all(get(name) is None for name in UNSHARED[1:])

    def _why(self, inquiry: Inquiry, entry: Entry | None) -> Forwarded:
        """Why the origin is asked."""
        if entry is not None:
            is_fresh = self.now < entry.stored.fresh_until
            return Forwarded.REQUEST if is_fresh else Forwarded.STALE
        if find_parts(self.shelf, inquiry, self.now) is not None:
            return Forwarded.PARTIAL
        return Forwarded.VARY_MISS if self.shelf.variants(inquiry.key) else Forwarded.URI_MISS

    def _refresh(self, inquiry: Inquiry, entry: Entry) -> None:
        """Validate what serves stale, with nobody's credentials, unless somebody does already."""
        names = self._flight_key(inquiry)
        if names in self._flights:
            return
        lines = lines_without(inquiry.lines, PERSONAL)
        anonymous = replace(inquiry, method=b"GET", cookie=b"", lines=lines)
        manner = Manner(forwarded=Forwarded.STALE, is_background=True)
        flight = Flight(self, anonymous, entry, manner)
        self._depart(flight, names)

    # Flights

    def _depart(self, flight: Flight, names: tuple[bytes, bytes]) -> None:
        """Others may wait for it too."""
        flight.names = names
        self._flights[names] = flight
        self._flying.add(flight)

    def close(self, flight: Flight) -> None:
        """Nobody new is to wait for it."""
        if self._flights.get(flight.names) is flight:
            del self._flights[flight.names]
            self._varies.pop(flight.names[0], None)

    def end(self, flight: Flight) -> None:
        """It is over."""
        self.close(flight)
        self._flying.discard(flight)

    def varies(self, flight: Flight, vary: tuple[bytes, ...]) -> None:
        """What the answer of a flight varies by is known before it is stored."""
        if self._flights.get(flight.names) is not flight:
            return
        del self._flights[flight.names]
        key, fields = flight.names[0], flight.fetch.inquiry.fields
        flight.names = key, variants.variant_key(vary, fields) or b""
        self._flights[flight.names] = flight
        self._varies[key] = vary

    def keep(self, entry: Entry, pages: dict[bytes, bytes]) -> bool:
        """Store an answer of these addresses; whether there was room."""
        self.shelf.forget(part_key(entry.key))
        self.shelf.unmark(entry.key)
        for page, any_page in pages.items():
            self.shelf.name_page(entry, page, any_page)
        return self.shelf.put(entry)

    # Letting go

    def drop(
        self,
        labels: Iterable[bytes],
        *,
        soft: bool = False,
        within: frozenset[bytes] | None = None,
    ) -> int:
        """Let go of what is under any of the labels, on its way too; how many were stored."""
        wanted = frozenset(labels)
        has_tags = any(label.startswith(TAG) for label in wanted)
        for flight in tuple(self._flying):
            fetch = flight.fetch
            if within is not None and not within & fetch.labels:
                continue
            is_meant = wanted & fetch.labels or wanted & fetch.pages.keys()
            if is_meant or (has_tags and flight.landing is None):
                self._spoil(flight)
        return self.shelf.drop(wanted, self.now, soft=soft, within=within)

    def clear(self, *, soft: bool = False) -> int:
        """The same for everything."""
        for flight in tuple(self._flying):
            self._spoil(flight)
        return self.shelf.clear(self.now, soft=soft)

    def _spoil(self, flight: Flight) -> None:
        flight.fetch.is_spoiled = True
        self.close(flight)


def forbids(head: Head) -> bool:
    """Whether a Cache-Control says not to store; one that only seems to is judged another time."""
    if NO_STORE in head.fields:
        return True
    return any(
        name == b"cache-control" and (b"no-store" in value or b"private" in value)
        for name, value in head.fields
    )


def unavailable() -> Supply:
    """Nothing stored may serve, and the client wants nothing else (RFC 9111 §5.2.1.7)."""
    return Supply(
        status=504, lines=[(b"content-length", b"0")], handling=b"edge; fwd=request", content=b""
    )
