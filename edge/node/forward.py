"""
A client's request to an origin, and the answer as the client gets it.

Laws: what may be answered from the store is asked of it, everything else goes through; either way
the answer gets the operator's fields here, as it is sent. A change that went through is told to the
store before its answer is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from edge.errors import OriginError
from edge.http.fields import FieldList, Line, split_list
from edge.http.forwarding import Gateway, Passage, request_fields
from edge.http.hops import offered_upgrade, split_plain
from edge.http.http1_client import Head
from edge.http.invalidation import SAFE, invalidated_targets
from edge.http.message import REASONS, Response, pass_head
from edge.http.relocation import MAPPED, Relocation, relocated
from edge.http.tags import without_tags
from edge.http.target import split_query
from edge.http.variants import ACCEPT_ENCODING, normal_accept_encoding
from edge.node.aims import aims_of
from edge.node.broker import Sent
from edge.node.clients import Clients
from edge.node.errand import Errand, Message, check_size, stated_size
from edge.node.inquiry import Inquiry, Supply
from edge.node.passages import client_authority, is_verified, names_of, scheme_of
from edge.node.recalls import Recall, Recalls
from edge.node.tasks import spawn
from edge.node.tunnels import OriginTunnel
from edge.site import keys
from edge.site.settings import Limits, Settings

if TYPE_CHECKING:
    from edge.http.message import Request
    from edge.node.origins import Origins
    from edge.node.shelf import Entry
    from edge.node.siblings import Siblings
    from edge.site.exchange import Exchange
    from edge.site.plan import Forward

SHARED: Final = (b"public", b"private", b"s-maxage", b"proxy-revalidate")
"""Directives about shared caches, which are to keep nothing of what is for one client."""

OTHER_METHODS: Final = {
    b"x-http-method": b"", b"x-http-method-override": b"", b"x-method-override": b"",
}  # fmt: skip
"""Left out of what is stored: frameworks take these for the method, and no key has them."""

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
        self._instance = instance
        self.configure(Settings())

    def configure(self, settings: Settings) -> None:
        """Go by these settings, and another snapshot, from now on."""
        self.recalls.clear()
        self.clients = Clients(settings.clients)
        stated = settings.clients.country_header
        self.gateway = Gateway(self._instance, [stated.encode()] if stated else [])
        self.ports = frozenset(b"%d" % port for port in settings.listen.ports - {80, 443})
        """Ports that a client may name."""

    @property
    def limits(self) -> Limits:
        """What origins and their answers may cost."""
        return self.origins.limits

    async def forward(self, exchange: Exchange, forward: Forward) -> Response:
        """
        The answer, of an origin or of the store.

        Raises:
            OriginError: there is none; nothing of one has been sent.
            RequestError: the client's content broke off, or is too large.
        """
        return await Call(self, exchange, forward).run()


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

    async def run(self) -> Response:
        """The answer. Raises as `Forwarder.forward`."""
        request = self.request
        is_retired = self.exchange.branch.retired  # its name may be another's by now
        is_read = request.method in (b"GET", b"HEAD") and request.ends and not self.upgrade
        if is_retired or not is_read:
            length = request.fields.get(b"content-length", b"")
            check_size(stated_size(length), self.forwarder.limits.body)
            is_method = request.method not in (b"GET", b"HEAD") and not self.upgrade
            return self.dress(await self.pass_through(BY_METHOD if is_method else BYPASSED))
        cookies = request.fields.getall(b"cookie")
        chosen = keys.chosen_cookies(cookies, self.choice.cookies)
        key = self.key(keys.chosen_query(self.forward.urls[0], self.choice.query), chosen)
        is_authorized = request.fields.get(b"authorization") is not None
        broker = self.forwarder.store.broker
        reason = broker.reason_to_pass(key, is_authorized=is_authorized)
        if reason is not None:
            return self.dress(await self.pass_through(PASSED, key))
        return self.dress(await self.ask_store(self.inquiry(key, chosen, cookies)))

    # Towards the store

    async def ask_store(self, inquiry: Inquiry) -> Supply:
        """What the store has or gets. Raises as `run`."""
        store = self.forwarder.store
        supply = store.at_once(inquiry)
        if supply is None:
            return await store.ask(inquiry, self.request.inform)
        if supply.entry is not None and self.request.method == b"GET":
            self.remember(inquiry, supply.entry)
        return supply

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
        passage = self.passage({**OTHER_METHODS, **overrides})
        address = self.forwarder.clients.address(request.peer, request.fields)
        if (request.version, request.peer) != (b"1.1", address):
            request = replace(request, version=b"1.1", peer=address)
        return request_fields(request, passage, self.forwarder.gateway)

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
        lines = self.lines(entry.stored.status, entry.lines, entry.number)
        recall = Recall(self.exchange.site, self.forward.rule, inquiry.key, self.scheme)
        self.forwarder.recalls.remember(self.exchange, recall, entry, lines)

    # Past the store

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

    async def pass_through(self, handling: bytes, key: bytes = b"") -> Supply:
        """
        The answer to what no store may answer, or is known not to. Raises as `run`.

        `key` is what it might be stored under some day: whether it can be is looked at each time.
        """
        forwarder, request, urls = self.forwarder, self.request, self.forward.urls
        if key:  # told apart, and asked, as what is stored is
            urls = self.chosen_urls()
        is_carried = self.exchange.branch.carries_rules
        message = Message(
            method=request.method,
            lines=request_fields(request, self.passage(), forwarder.gateway),
            content=None if request.ends else request.content,
            upgrade=self.upgrade,
            inform=request.inform,
        )
        origins = forwarder.origins
        errand = Errand(origins, aims_of(origins, urls, is_carried=is_carried), message)
        try:
            head = await errand.run()
            if request.method not in SAFE:
                await self.invalidate(head, errand.number)
            if key:
                target = keys.label_of_target(self.exchange.branch.app, urls[0])
                sent = Sent(request.method, message.lines, key, target)
                reason = forwarder.store.broker.look_again(sent, head)
                handling += b"" if reason is None else b"; detail=" + reason.value
            return await self.passed(errand, head, handling)
        except BaseException:
            errand.abandon()
            raise

    async def passed(self, errand: Errand, head: Head, handling: bytes) -> Supply:
        """An answer that goes on as it comes."""
        supply = Supply(
            status=head.status,
            lines=head.fields,
            handling=handling,
            content=None,
            number=errand.number,
            trailers=errand.trailers,
        )
        if head.status == 101:
            check_upgrade(head, self.upgrade)
            idle_s = self.forwarder.limits.tunnel_idle
            supply.content = supply.tunnel = OriginTunnel(*errand.take_connection(), idle_s)
        else:
            supply.content = await errand.content(head)
        return supply

    async def invalidate(self, head: Head, number: int) -> None:
        """Have what a change has made wrong dropped everywhere (RFC 9111 §4.4)."""
        url = self.forward.urls[number].encode()
        fields = FieldList(head.fields)
        targets = invalidated_targets(self.request.method, head.status, url, fields)
        if targets:
            app, query = self.exchange.branch.app, self.exchange.branch.cache.query
            chosen = [keys.chosen_query(target.decode("latin-1"), query) for target in targets]
            labels = [keys.label_of_target(app, url) for url in chosen]
            # whoever made the change may go away: it is made all the same
            await asyncio.shield(spawn(self.forwarder.store.drop(labels), "drop"))

    # Back to the client

    def dress(self, supply: Supply) -> Response:
        """The answer as it is sent."""
        lines = self.lines(supply.status, supply.lines, supply.number)
        lines.append((b"cache-status", supply.handling))
        names = {name for name, _ in lines}
        content, tunnel = supply.content, supply.tunnel
        if type(content) is bytes and b"content-length" not in names and supply.status != 304:
            lines.append((b"content-length", b"%d" % len(content)))
        return Response(
            pass_head(supply.status, REASONS.get(supply.status, b""), lines),
            b"\r\n" if b"date" in names or tunnel else self.forwarder.origins.clock.date + b"\r\n",
            content,
            is_unframed=not isinstance(content, bytes | None) and b"content-length" not in names,
            trailers=supply.trailers,
            tunnel=tunnel,
        )

    def lines(self, status: int, lines: list[Line], number: int) -> list[Line]:
        """The field lines of an answer with the client's URLs and the operator's fields."""
        envelope = self.exchange.envelope
        if status == 404:
            envelope = envelope.of_missing()
        if any(name in MAPPED for name, _ in lines):
            lines = relocated(lines, self.way_back(number))
        lines = without_tags(lines)
        if not envelope.is_bare:
            lines = [(name.lower(), value) for name, value in envelope.dress(lines)]
        return for_one(lines) if envelope.is_for_one else lines

    def way_back(self, number: int) -> Relocation:
        """How an origin's Location is the client's, by the rule that led there."""
        rule = self.exchange.branch.plan.rules[self.forward.rule]
        before, behind = rule.prefixes(number)
        authority = self.forward.urls[number].partition("://")[2].partition("/")[0]
        return Relocation(
            scheme=rule.targets[number].scheme,
            authority=authority.lower().encode(),
            client=self.scheme + b"://" + self.client,
            target_prefix=behind,
            source_prefix=before,
        )


def check_upgrade(head: Head, offered: bytes) -> None:
    """
    What follows a 101 is no HTTP, but a protocol that was offered (RFC 9110 §7.8).

    Raises:
        OriginError: it is another one.
    """
    taken = {each.lower() for each in split_plain([dict(head.fields)[b"upgrade"]])}
    if not taken <= {each.lower() for each in split_plain([offered])}:
        raise OriginError("http_upgrade_failed", "101 for a protocol that nobody offered")


def for_one(lines: list[Line]) -> list[Line]:
    """
    The fields of an answer that a password or a country decided: no shared cache may keep it.

    What an origin says of browsers stays, behind `private`, which nothing it wrote can swallow.
    """
    kept, own = [], [b"private"]
    for name, value in lines:
        if name == b"cache-control":
            own += [each for each in split_list(value) if not each.lower().startswith(SHARED)]
        elif name != b"surrogate-control" and not name.endswith(b"-cache-control"):
            kept.append((name, value))  # the others would win over it (RFC 9213 §2.2)
    return [*kept, (b"cache-control", b", ".join(own))]
