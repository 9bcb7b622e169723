"""
Ways past the store, and those that are known: what one address led to before, it leads to again.

Laws: as with `recalls`, only where host and target alone decide, in one snapshot; whatever else
could make a difference takes the long way. Whether anything may be stored is asked each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from edge.node.crossing import Lane
from edge.node.passages import scheme_of
from edge.node.recalls import is_decided_by_address, is_plain

if TYPE_CHECKING:
    from edge.http.forwarding import Passage
    from edge.http.message import Request
    from edge.node.aims import Place
    from edge.node.broker import Broker
    from edge.node.clients import Clients
    from edge.node.dressing import Dress
    from edge.node.forward import Forwarder
    from edge.site.exchange import Exchange
    from edge.site.snapshot import Site

REMEMBERED: Final = 10_000
"""Addresses: 2 KiB each at the most usual lengths."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes, and how it comes back."""

    dress: Dress
    passage: Passage
    places: tuple[Place, ...]
    """The targets; asked as what is stored is, where the answer might be."""
    handling: bytes
    """Why no store is asked."""
    key: bytes = b""
    """What the answer might be stored under some day: whether it can be is looked at each time."""
    target: bytes = b""
    """Label of what it leads to, where there is a key."""
    facts: object = None
    """What the log says of its requests."""


class Ways:
    """Addresses of which it is known that they lead past the store."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._known: dict[tuple[bytes, bytes], tuple[Site, Way]] = {}
        self._lanes: dict[tuple[bytes, bytes], dict[bytes, Lane]] = {}
        """Scheme and authority → where request lines lead, for fields that state no more."""

    def clear(self) -> None:
        """Another snapshot decides from now on."""
        self._known.clear()
        for lanes in self._lanes.values():
            lanes.clear()  # they are known elsewhere too
        self._lanes.clear()

    def shorten(self, request: Request, way: Way, forwarder: Forwarder, site: Site) -> None:
        """Have other lines with the same fields go the same way unparsed."""
        manner = request.manner
        if manner is None or manner.authority != request.authority or request.version != b"1.1":
            return
        names = way.passage.scheme, request.authority
        manner.ways = lanes = self._lanes.setdefault(names, {})
        line = b"GET %b HTTP/1.1" % request.target
        lane = lanes.get(line)
        if lane is None or lane.way is not way:
            lanes[line] = Lane(forwarder, site, way, request.target)

    def find(self, request: Request, site: Site, clients: Clients) -> Way | None:
        """The way of a GET, if nothing but its address decides and nothing is stored by now."""
        known = self._known.get((request.authority, request.target))
        if known is None or known[0] is not site:
            return None  # what began before a swap may be remembered after it
        way = known[1]
        if not is_plain(request, counts_cookies=way.dress.branch.cache.cookies != "none"):
            return None
        is_trusted, passage = clients.is_trusted(request.peer), way.passage
        if is_trusted is not passage.is_trusted:
            return None
        if scheme_of(request, is_trusted=is_trusted) != passage.scheme:
            return None
        is_authorized = request.fields.get(b"authorization") is not None
        reason = self._broker.reason_to_pass(way.key, is_authorized=is_authorized)
        return None if reason is None else way

    def remember(self, exchange: Exchange, way: Way) -> None:
        """The next request like this one goes the same way without being decided (45 µs)."""
        request, branch = exchange.request, exchange.branch
        if request.method != b"GET" or not is_decided_by_address(exchange):
            return
        if not is_plain(request, counts_cookies=branch.cache.cookies != "none"):
            return
        if len(self._known) >= REMEMBERED:
            self.clear()
        self._known[request.authority, request.target] = exchange.site, way
