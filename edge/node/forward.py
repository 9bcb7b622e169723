"""
A client's request that a rule sends elsewhere: to the store, or past it.

Laws: what may be answered from the store is asked of it, everything else goes through (`passing`);
either way the answer is dressed alike (`dressing`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from edge.errors import EdgeError
from edge.http.forwarding import Gateway, Passage, request_fields
from edge.http.hops import offered_upgrade
from edge.http.target import split_query
from edge.http.variants import ACCEPT_ENCODING, normal_accept_encoding
from edge.node.aims import places_of
from edge.node.clients import Clients
from edge.node.content import check_size, stated_size
from edge.node.dressing import Dress
from edge.node.inquiry import Inquiry
from edge.node.passages import client_authority, is_verified, names_of, scheme_of
from edge.node.passing import Passing
from edge.node.recalls import Recall, Recalls
from edge.node.ways import Way, Ways
from edge.site import keys
from edge.site.limits import Limits
from edge.site.settings import Settings

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.http.message import Request, Response
    from edge.node.inquiry import Supply
    from edge.node.later import Keeper
    from edge.node.origins import Origins
    from edge.node.shelf import Entry
    from edge.node.siblings import Siblings
    from edge.site.exchange import Exchange
    from edge.site.plan import Forward
    from edge.site.snapshot import Site

    Answer = Response | Awaitable[Response]

BY_METHOD: Final = b"edge; fwd=method"
BYPASSED: Final = b"edge; fwd=bypass"
PASSED: Final = b"edge; fwd=uri-miss"


class Forwarder:
    """Sends requests of a worker to the store and to origins."""

    def __init__(self, origins: Origins, store: Siblings, instance: bytes) -> None:
        """`instance` is what origins know the node by."""
        self.origins = origins
        self.store = store
        self.recalls = Recalls(store.broker)
        self.ways = Ways(store.broker)
        self.keeper: Keeper | None = None
        """Whoever makes responses of what goes wrong."""
        self._instance = instance
        self.configure(Settings())

    def configure(self, settings: Settings) -> None:
        """Go by these settings, and another snapshot, from now on."""
        self.recalls.clear()
        self.ways.clear()
        self.origins.heads.clear()
        self.clients = Clients(settings.clients)
        stated = settings.clients.country_header
        self.gateway = Gateway(self._instance, [stated.encode()] if stated else [])
        self.fields = request_fields
        """What makes the lines for origins; a tracer's, where requests are traced."""
        self.ports = frozenset(b"%d" % port for port in settings.listen.ports - {80, 443})
        """Ports that a client may name."""

    def lines(self, request: Request, passage: Passage) -> list[Line]:
        """
        The field lines for an origin, not to be changed: the client's, if it says the same again.

        Raises: as `request_fields`.
        """
        manner = request.manner
        is_whole = request.method == b"GET" and request.version == b"1.1"
        if manner is None or not is_whole or self.fields is not request_fields:
            return self.fields(request, passage, self.gateway)
        known = manner.passed
        if known is None or known[:2] != (request.peer, passage):
            lines = request_fields(request, passage, self.gateway)
            manner.passed = known = request.peer, passage, lines
        return known[2]

    @property
    def limits(self) -> Limits:
        """What origins and their answers may cost."""
        return self.origins.limits

    def pass_known(self, request: Request, site: Site) -> Passing | None:
        """The answer to a GET of an address that is known to lead past the store, on its way."""
        way = self.ways.find(request, site, self.clients)
        if way is None:
            return None
        request.facts = way.facts
        try:
            passing = Passing(self, way, request).begin()
        except EdgeError:
            return None  # the long way says the same
        way.dress.count()
        if len(way.places) == 1:
            self.ways.shorten(request, way, self, site)
        return passing

    def forward(self, exchange: Exchange, forward: Forward) -> Answer:
        """
        The answer, of an origin or of the store.

        Raises:
            OriginError: there is none; nothing of one has been sent.
            RequestError: the client's content broke off, or is too large.
        """
        return Call(self, exchange, forward).answer()


class Call:
    """One request that a rule sends elsewhere."""

    def __init__(self, forwarder: Forwarder, exchange: Exchange, forward: Forward) -> None:
        self.forwarder = forwarder
        self.exchange = exchange
        self.forward = forward
        self.request: Request = exchange.request
        self.choice = exchange.branch.cache
        self.client = client_authority(exchange, forwarder.ports)
        self.is_trusted = forwarder.clients.is_trusted(self.request.peer)
        self.scheme = scheme_of(self.request, is_trusted=self.is_trusted)
        self.upgrade = offered_upgrade(self.request)
        self.dress = Dress(
            exchange.branch, exchange.envelope, forward, self.scheme + b"://" + self.client
        )

    def answer(self) -> Answer:
        """The answer. Raises as `Forwarder.forward`."""
        request = self.request
        is_retired = self.exchange.branch.retired  # its name may be another's by now
        is_read = request.method in (b"GET", b"HEAD") and request.ends and not self.upgrade
        if is_retired or not is_read:
            length = request.fields.get(b"content-length", b"")
            check_size(stated_size(length), self.forwarder.limits.body)
            is_method = request.method not in (b"GET", b"HEAD") and not self.upgrade
            return self.pass_on(self.way(BY_METHOD if is_method else BYPASSED))
        cookies = request.fields.getall(b"cookie")
        chosen = keys.chosen_cookies(cookies, self.choice.cookies)
        key = self.key(keys.chosen_query(self.forward.urls[0], self.choice.query), chosen)
        is_authorized = request.fields.get(b"authorization") is not None
        broker = self.forwarder.store.broker
        if broker.reason_to_pass(key, is_authorized=is_authorized) is not None:
            way = self.way(PASSED, key)
            self.forwarder.ways.remember(self.exchange, way)
            return self.pass_on(way)
        inquiry = self.inquiry(key, chosen, cookies)
        supply = self.forwarder.store.at_once(inquiry)
        if supply is None:
            return self.ask_store(inquiry)
        if supply.entry is not None and request.method == b"GET":
            self.remember(inquiry, supply.entry)
        return self.dressed(supply)

    def pass_on(self, way: Way) -> Answer:
        """The answer of an origin."""
        passing = Passing(self.forwarder, way, self.request)
        return passing.begin() if self.request.ends else passing.run()

    def way(self, handling: bytes, key: bytes = b"") -> Way:
        """Past the store; where there is a key, the origin is asked as what is stored is."""
        branch = self.exchange.branch
        urls = self.chosen_urls() if key else self.forward.urls
        return Way(
            dress=self.dress,
            passage=self.passage(),
            places=places_of(urls, is_carried=branch.carries_rules),
            handling=handling,
            key=key,
            target=keys.label_of_target(branch.app, urls[0]) if key else b"",
            facts=self.request.facts,
        )

    def dressed(self, supply: Supply) -> Response:
        """The answer as it is sent."""
        return self.dress.response(supply, self.forwarder.origins.clock.date)

    # Towards the store

    async def ask_store(self, inquiry: Inquiry) -> Response:
        """What the store gets. Raises as `Forwarder.forward`."""
        if self.exchange.branch.retired:  # since it was looked at
            return await Passing(self.forwarder, self.way(BYPASSED), self.request).run()
        return self.dressed(await self.forwarder.store.ask(inquiry, self.request.inform))

    def inquiry(self, key: bytes, chosen: bytes, cookies: list[bytes]) -> Inquiry:
        """The request as the store sees it."""
        exchange = self.exchange
        everything = keys.chosen_cookies(cookies, "all")
        lines = self.shared_lines(chosen)
        return Inquiry(
            method=self.request.method,
            lines=lines,
            urls=self.chosen_urls(),
            is_carried=exchange.branch.carries_rules,
            key=key,
            app=exchange.branch.app,
            branch=exchange.branch.name,
            host=exchange.site.host,
            page=self.page(),
            cookie=b"" if len(chosen) == len(everything) else everything,
            clients=names_of(lines),
        )

    def chosen_urls(self) -> tuple[str, ...]:
        """The targets, with the query that makes a difference."""
        return tuple(keys.chosen_query(url, self.choice.query) for url in self.forward.urls)

    def shared_lines(self, cookies: bytes) -> list[Line]:
        """
        The lines for the origin, without what differs from client to client and is in no key.

        Via says HTTP/1.1 whatever the client speaks: else its version would be in the answer.
        """
        request = self.request
        accepted = b",".join(request.fields.getall(ACCEPT_ENCODING))
        overrides = {ACCEPT_ENCODING: normal_accept_encoding(accepted), b"cookie": cookies}
        passage = self.passage(overrides)
        address = self.forwarder.clients.address(request.peer, request.fields)
        if (request.version, request.peer) != (b"1.1", address):
            request = replace(request, version=b"1.1", peer=address)
        return self.forwarder.fields(request, passage, self.forwarder.gateway)

    def key(self, url: str, cookies: bytes) -> bytes:
        """What the answer is stored under, but for its Vary; proxies on the way are part of it."""
        fields = self.request.fields
        return keys.store_key(
            self.exchange.branch.key,
            self.scheme + b"://" + self.client,
            url.encode(),
            cookies,
            b",".join(fields.getall(b"via")),
            b",".join(fields.getall(b"cdn-loop")),
        )

    def page(self) -> bytes:
        """The label of the address that the client asked."""
        exchange = self.exchange
        path = exchange.subject.path if exchange.outer is None else exchange.outer
        query = split_query(self.request.target)[1]
        asked = "" if query is None else "?" + query.decode("latin-1")
        chosen = keys.chosen_query(asked, exchange.branch.cache.query)
        return keys.label_of_page(exchange.site.host, path, chosen.encode("latin-1"))

    def remember(self, inquiry: Inquiry, entry: Entry) -> None:
        """The next request like this one is answered without being decided."""
        lines = self.dress.lines(entry.stored.status, entry.lines, entry.number)
        facts, rule = self.request.facts, self.forward.rule
        recall = Recall(self.exchange.site, rule, inquiry.key, self.scheme, facts)
        origin = self.dress.origin(entry.number)
        self.forwarder.recalls.remember(self.exchange, recall, entry, lines, origin)

    def passage(self, overrides: dict[bytes, bytes] | None = None) -> Passage:
        """What the origin is told about the client; its own name comes with the target."""
        return Passage(
            host=b"",
            scheme=self.scheme,
            authority=self.client,
            is_trusted=self.is_trusted,
            is_verified=is_verified(self.exchange),
            upgrade=self.upgrade,
            is_shared=overrides is not None,
            overrides=overrides or {},
        )
