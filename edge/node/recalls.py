"""
Hits of stored answers that need no decision: what one address led to before, it leads to again.

Laws: only where host and target alone decide, in one snapshot; whatever else could make a
difference (a password, a country, cookies in the key, conditions, proxies on the way) takes the
long way. What is dropped from the shelf is not found here either, for nothing is stored here: an
entry tells what shows it (`Entry.undress`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.http import variants
from edge.http.message import REASONS, pass_head
from edge.http.variants import ACCEPT_ENCODING
from edge.node.files import WISHES, has_conditions
from edge.node.look import Look
from edge.node.passages import scheme_of
from edge.site.manifest import is_fingerprinted

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.http.manner import Wish
    from edge.http.message import Request, Response
    from edge.node.broker import Broker
    from edge.node.clients import Clients
    from edge.node.shelf import Entry
    from edge.site.exchange import Exchange
    from edge.site.snapshot import Branch, Site

REMEMBERED: Final = 20_000
"""
Addresses, or twice what is stored if that is more; their own bytes and a key each, 20 MiB at the
most usual lengths. Who is not among them costs 40 µs more.
"""

CODINGS: Final = 1024
"""Values of Accept-Encoding; browsers send a handful."""

PLAIN_VARY: Final = ((), (ACCEPT_ENCODING,))
"""What an answer may vary by: anything else is looked for in what its origin was sent."""

PROTO: Final = b"x-forwarded-proto"

MAX_DRESSES: Final = 4
"""Addresses that one stored answer is remembered for, each as it is sent there."""


class Recall:
    """What one address leads to."""

    __slots__ = (
        "branch",
        "counts_cookies",
        "facts",
        "hits",
        "key",
        "look",
        "name",
        "recent",
        "rule",
        "scheme",
        "site",
        "target",
        "told",
    )

    def __init__(
        self, site: Site, rule: int, key: bytes, scheme: bytes, facts: object = None
    ) -> None:
        assert site.branch is not None, "a site that is not configured leads nowhere"
        self.name = object()
        """What answers know it by, which must not hold rules that are gone."""
        self.site = site
        """As the snapshot had it that decided."""
        self.branch: Branch = site.branch
        self.rule = rule
        self.hits = self.branch.plan.hits
        """How often rules decided, by number."""
        self.key = key
        self.scheme = scheme
        self.facts = facts
        """What the log says of its requests."""
        self.counts_cookies = site.branch.cache.cookies != "none"
        self.target = b""
        """The target as it arrives, once it is recalled by that."""
        self.told = b""
        """What the log says of it, once it was asked."""
        self.look: Look | None = None
        """What it led to, where that is the same for all."""
        self.recent: dict[Wish, Look] = {}
        """What it led to by what of it was asked for, where that varies."""

    def count(self) -> None:
        """One more request that its rule decided."""
        self.hits[self.rule] = self.hits.get(self.rule, 0) + 1

    def is_same(self, other: Recall) -> bool:
        """Whether another one of the same address leads to the same."""
        return self.site is other.site and self.key == other.key and self.scheme == other.scheme


class Recalls:
    """Addresses and what they lead to, in one snapshot."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._clock = broker.origins.clock
        self._known: dict[tuple[bytes, bytes], Recall] = {}
        self._lines: dict[tuple[bytes, bytes], dict[bytes, Recall]] = {}
        """Scheme and authority → what request lines lead to, for fields that state no more."""
        self._codings: dict[bytes | None, bytes | None] = {}
        """Accept-Encoding as it arrives → what variants by coding are known by (1.4 µs less)."""

    def clear(self) -> None:
        """Another snapshot decides from now on."""
        self._known.clear()
        for lines in self._lines.values():
            lines.clear()  # they are known elsewhere too
        self._lines.clear()

    def hit(self, request: Request, site: Site, clients: Clients) -> Response | None:
        """The stored answer to a GET, if it is fresh and nothing else decides; else None."""
        recall = self._known.get((request.authority, request.target))
        if recall is None or recall.site is not site:
            return None  # what began before a swap may be remembered after it
        if not self._is_usual(request, recall) or has_conditions(request):
            return None
        is_trusted = clients.is_trusted(request.peer)
        if scheme_of(request, is_trusted=is_trusted) != recall.scheme:
            return None
        entry = self._find(recall.key, request)
        if entry is None:
            return None
        look = entry.dressed.get(recall.name)
        if look is None:
            return None
        entry.use()
        request.facts = recall.facts
        recall.count()
        self._shorten(request, recall, look, varies=bool(entry.stored.vary))
        return look.whole(self._clock)

    def _shorten(self, request: Request, recall: Recall, look: Look, *, varies: bool) -> None:
        """Have the same bytes, and other lines with the same fields, answered unparsed."""
        manner = request.manner
        assert manner is not None, "it was asked for conditions"
        found = recall.recent.get(manner.wish) if varies else recall.look
        if found is look and manner.stored:
            return
        if manner.authority != request.authority or request.fields.get(PROTO) is not None:
            return  # whose word that is depends on the peer
        manner.stored = lines = self._lines.setdefault((recall.scheme, request.authority), {})
        if len(recall.recent) >= WISHES:
            recall.recent.clear()
        if varies:
            recall.recent[manner.wish] = look
        recall.look = None if varies else look
        recall.target = request.target
        lines[b"GET %b HTTP/1.1" % request.target] = recall

    def _is_usual(self, request: Request, recall: Recall) -> bool:
        """Whether a request states nothing that makes another key, or another answer."""
        if not is_plain(request, counts_cookies=recall.counts_cookies):
            return False
        return not self._broker.policy.obeyed or request.fields.get(b"cache-control") is None

    def _find(self, key: bytes, request: Request) -> Entry | None:
        """The fresh answer under a key, where no more than the coding tells variants apart."""
        epoch, found = self._clock.epoch, None
        for entry in self._broker.shelf.variants(key):
            vary = entry.stored.vary
            if vary not in PLAIN_VARY:
                return None
            if entry.variant == (self._coding(request) if vary else b""):
                if found is not None:
                    return None  # which is the most recent one, `select` knows
                found = entry
        return found if found is not None and epoch < found.stored.fresh_until else None

    def _coding(self, request: Request) -> bytes | None:
        """What the request states about codings, as a variant by them alone is known."""
        accepted = request.fields.get(ACCEPT_ENCODING)
        if accepted not in self._codings:
            if len(self._codings) >= CODINGS:
                self._codings.clear()
            variant = variants.variant_key((ACCEPT_ENCODING,), request.fields)
            if accepted is not None and len(accepted) > variants.MAX_REMEMBERED:
                return variant
            self._codings[accepted] = variant
        return self._codings[accepted]

    def remember(
        self,
        exchange: Exchange,
        recall: Recall,
        entry: Entry,
        lines: list[Line],
        origin: bytes = b"",
    ) -> None:
        """
        Answer the next request of an address at once, if nothing but the address decides.

        What a request that states more led to is in a key of its own: it says nothing of others.
        """
        if not is_decided_by_address(exchange) or entry.stored.vary not in PLAIN_VARY:
            return
        if not self._is_usual(exchange.request, recall):
            return
        if len(self._known) >= max(REMEMBERED, 2 * len(self._broker.shelf)):
            self.clear()
        address = exchange.request.authority, exchange.request.target
        known = self._known.get(address)
        if known is None or not known.is_same(recall):
            known = self._known[address] = recall
            self._broker.shelf.room.settle()
        if len(entry.dressed) >= MAX_DRESSES:
            entry.undress()
        entry.dressed[known.name] = look_of(entry, lines, origin)


def look_of(entry: Entry, lines: list[Line], origin: bytes) -> Look:
    """What a stored answer looks like by `lines`, which are all but Age and Cache-Status."""
    stored = entry.stored
    head = pass_head(stored.status, REASONS.get(stored.status, b""), lines)
    born = stored.received_at - stored.initial_age
    lived = born, round(stored.fresh_until - born, 3), stored.initial_age
    return Look(head, entry.content, lived, origin=origin)


def is_plain(request: Request, *, counts_cookies: bool) -> bool:
    """Whether a request states nothing that makes another key."""
    get = request.fields.get
    if not request.ends or get(b"upgrade") is not None:
        return False
    if get(b"via") is not None or get(b"cdn-loop") is not None:
        return False
    return not counts_cookies or get(b"cookie") is None


def is_decided_by_address(exchange: Exchange) -> bool:
    """Whether every request with the same host, target and method is decided alike."""
    branch, subject = exchange.branch, exchange.subject
    plan = branch.plan
    if exchange.outer is not None or branch.access is not None or plan.asks_country(subject):
        return False
    if exchange.decision is not None:
        return True
    return (
        branch.previous is None
        and not is_fingerprinted(subject.path)
        and not plan.asks_country_of_missing(subject)
        and not plan.asks_navigation(subject)
    )
