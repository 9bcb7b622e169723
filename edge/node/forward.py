"""
A request to an origin, and its answer: the steps of RFC 9110 §7.6 around one exchange.

Laws: what a client sends is framed anew, and so is what comes back; content passes as fast as the
slower end takes it. Nothing is sent twice that could do harm, nor after an answer began. A client
that goes away takes its request along.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from edge.errors import ContentTooLarge, OriginError, RequestError
from edge.http.fields import FieldList, saturating_int, split_list
from edge.http.forwarding import Gateway, Passage, request_fields, response_fields, trailer_fields
from edge.http.hops import offered_upgrade, split_plain
from edge.http.http1_client import End, Head
from edge.http.message import REASONS, Response, pass_head
from edge.http.relocation import MAPPED, Relocation
from edge.node.aims import aims_of
from edge.node.clients import Clients
from edge.node.origins import Origins
from edge.node.passages import client_authority, is_verified, scheme_of
from edge.node.tasks import spawn
from edge.node.tunnels import OriginTunnel
from edge.site.settings import Limits, Settings

if TYPE_CHECKING:
    from edge.http.message import Request
    from edge.node.origin import OriginConnection
    from edge.site.exchange import Exchange
    from edge.site.plan import Forward

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""Source: RFC 9110 §9.2.2."""

EVENT_STREAM: Final = b"text/event-stream"

SHARED: Final = (b"public", b"private", b"s-maxage", b"proxy-revalidate")
"""Directives about shared caches, which are to keep nothing of what is for one client."""

SMALL: Final = 256 * 1024
"""Content that is here with its head and is no more than this goes out in one piece."""


class Forwarder:
    """Sends requests of a worker to origins."""

    def __init__(self, origins: Origins, instance: bytes) -> None:
        """`instance` is what origins know the node by."""
        self.origins = origins
        self._instance = instance
        self.configure(Settings())

    def configure(self, settings: Settings) -> None:
        """Go by these settings from now on."""
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
        The origin's answer.

        Raises:
            OriginError: there is none; nothing of one has been sent.
            RequestError: the client's content broke off, or is too large.
        """
        call = Call(self, exchange, forward)
        try:
            return await call.run()
        except BaseException:
            call.abandon()
            raise


class Call:
    """One request to an origin, from its first try to the end of its answer."""

    def __init__(self, forwarder: Forwarder, exchange: Exchange, forward: Forward) -> None:
        self.forwarder = forwarder
        self.limits = forwarder.limits
        self.exchange = exchange
        self.rule = forward.rule
        self.client = client_authority(exchange, forwarder.ports)
        self.request: Request = exchange.request
        self.aims = aims_of(forwarder.origins, exchange, forward)
        self.take_aim()
        self.upgrade = offered_upgrade(self.request)
        self.is_trusted = forwarder.clients.is_trusted(self.request.peer)
        self.scheme = scheme_of(self.request, is_trusted=self.is_trusted)
        self.connection: OriginConnection | None = None
        self.upload: asyncio.Task[None] | None = None
        self.sent = False
        """Whether content of the client has been read: then it cannot be sent again."""

    def take_aim(self) -> None:
        """Turn to the best of the targets that are left."""
        aim = self.aims.pop(0)
        self.origin, self.authority, self.target, self.number = aim

    # Towards the origin

    async def run(self) -> Response:
        """The answer; of another target where the first one cannot be reached."""
        length = self.request.fields.get(b"content-length", b"")
        self.check_size(saturating_int(length) if length.isdigit() else 0)
        clock = self.forwarder.origins.clock
        while True:
            health = self.origin.health
            try:
                with health.watch(clock):
                    head = await self.exchange_heads()
                return await self.answer(head)
            except OriginError as error:
                is_unsent = error.retry == "yes" and not self.sent
                if not (is_unsent and self.aims and health.may_retry()):
                    raise
            self.take_aim()

    def check_size(self, size: int) -> None:
        """Refuse content that is too large: what it says, else what has come of it."""
        if self.limits.body and size > self.limits.body:
            raise ContentTooLarge(f"the content is larger than {self.limits.body} bytes")

    async def exchange_heads(self) -> Head:
        """The head of the final response; an idle connection may have closed under the request."""
        for is_retry in (False, True):
            try:
                return await self.ask(fresh=is_retry)
            except OriginError as error:
                if is_retry or not self.may_repeat(error):
                    raise
            self.release()
        raise AssertionError("the second try returns or raises")

    def may_repeat(self, error: OriginError) -> bool:
        """Whether sending the request again, on a new connection, can do no harm."""
        return (
            error.retry == "if_reused"
            and self.connection is not None
            and self.connection.is_reused
            and self.request.method in IDEMPOTENT
            and not self.sent
            and self.origin.health.may_retry()
        )

    async def ask(self, *, fresh: bool) -> Head:
        """Send the request, its content beside; the head of the final response."""
        lines = request_fields(self.request, self.passage(), self.forwarder.gateway)
        connection = self.connection = await self.origin.acquire(fresh=fresh)
        connection.begin(self.request.method, self.target, lines, tunnel=bool(self.upgrade))
        if self.request.ends:
            await connection.end()
        else:
            self.upload = spawn(self.send_content(connection), "upload")
        while True:
            event = await connection.next(self.limits.origin_first_byte, "http_response_timeout")
            assert isinstance(event, Head), "a head comes first"
            if event.status >= 200 or event.status == 101:
                return event
            self.inform(event)

    def passage(self) -> Passage:
        """What the origin is told about the client."""
        return Passage(
            host=self.authority,
            scheme=self.scheme,
            authority=self.client,
            is_trusted=self.is_trusted,
            is_verified=is_verified(self.exchange),
            upgrade=self.upgrade,
        )

    def inform(self, head: Head) -> None:
        """Pass an interim response on; 100 (Continue) is our own to send."""
        if self.request.inform is not None and head.status != 100:
            fields = response_fields(head.status, head.version, FieldList(head.fields), None)
            self.request.inform(head.status, fields)

    async def send_content(self, connection: OriginConnection) -> None:
        """The client's content, piece by piece; what goes wrong ends the exchange."""
        self.sent = True
        size = 0
        content = self.request.content
        assert content is not None, "a request that does not end has content"
        try:
            async for chunk in content:
                size += len(chunk)
                self.check_size(size)
                await connection.send(chunk)
            await connection.end(trailer_fields(content.trailers))
        except (OriginError, RequestError) as error:
            connection.give_up(error)
        except Exception:
            connection.give_up(OriginError("proxy_internal_error", "the content was not sent"))
            raise

    # Back to the client

    async def answer(self, head: Head) -> Response:
        """The response; its content too where that is here already."""
        envelope = self.exchange.envelope
        if head.status == 404:
            envelope = envelope.of_missing()
        is_mapped = any(name in MAPPED for name, _ in head.fields)
        way = way_back(self) if is_mapped else None
        fields = response_fields(head.status, head.version, FieldList(head.fields), way)
        lines = [(name.lower(), value) for name, value in envelope.dress(fields)]
        lines = for_one(lines) if envelope.is_for_one else lines
        lines.append((b"cache-status", b"edge; fwd=bypass"))
        if head.status == 101:
            return self.tunnel(lines)
        finished = pass_head(head.status, REASONS.get(head.status, b""), lines)
        names = {name for name, _ in lines}
        block = b"\r\n" if b"date" in names else self.forwarder.origins.clock.date + b"\r\n"
        if self.request.method == b"HEAD" or head.status in (204, 304):
            await self.skip_to_end()
            return Response(finished, block, None)
        content, is_whole = self.content_here()
        if is_whole:
            is_framed = b"content-length" in names
            if not is_framed:
                lines.append((b"content-length", b"%d" % len(content)))
                finished = pass_head(head.status, REASONS.get(head.status, b""), lines)
            return Response(finished, block, content)
        response = Response(finished, block, None, is_unframed=b"content-length" not in names)
        is_stream = dict(head.fields).get(b"content-type", b"").lower().startswith(EVENT_STREAM)
        limits = self.limits
        patience = limits.tunnel_idle if is_stream else limits.origin_between_bytes
        response.content = Relay(self, content, patience, response)
        return response

    def content_here(self) -> tuple[bytes, bool]:
        """What of the content came with the head, and whether it is all."""
        assert self.connection is not None, "an answer came over one"
        chunks: list[bytes] = []
        size = 0
        while size <= SMALL and (event := self.connection.ready()) is not None:
            if isinstance(event, End):
                if event.trailers:  # they need a stream to stand behind
                    self.connection.unread(event)
                    break
                self.release()
                return b"".join(chunks), True
            assert isinstance(event, bytes), "content follows a head"
            chunks.append(event)
            size += len(event)
        return b"".join(chunks), False

    async def skip_to_end(self) -> None:
        """A response without content is over with its head."""
        connection = self.connection
        assert connection is not None, "an answer came over one"
        while not isinstance(await connection.next(1.0, "http_response_incomplete"), End):
            pass
        self.release()

    def tunnel(self, lines: list[tuple[bytes, bytes]]) -> Response:
        """
        What follows is no HTTP, but a protocol that was offered (RFC 9110 §7.8).

        Raises:
            OriginError: it is another one.
        """
        taken, offered = (
            {each.lower() for each in split_plain([value])}
            for value in (dict(lines)[b"upgrade"], self.upgrade)
        )
        if not taken <= offered:
            raise OriginError("http_upgrade_failed", "101 for a protocol that nobody offered")
        connection, self.connection = self.connection, None
        assert connection is not None, "an answer came over one"
        tunnel = OriginTunnel(connection, self.origin, self.limits.tunnel_idle)
        head = pass_head(101, REASONS[101], lines)
        return Response(head, b"\r\n", tunnel, tunnel=tunnel)

    # The end

    def release(self) -> None:
        """Give the connection back; while content is still being sent it cannot be reused."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.upload is not None and not self.upload.done():
            self.upload.cancel()
            connection.close()
        self.upload = None
        self.origin.release(connection)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if self.connection is not None:
            self.connection.close()
        self.release()


class Relay:
    """The content of an answer as it comes; a reader that goes away ends the exchange."""

    def __init__(self, call: Call, first: bytes, patience_s: float, response: Response) -> None:
        """`first` is here already; what comes behind the content goes to `response`."""
        self._call = call
        self._first = first
        self._patience_s = patience_s
        self._response = response

    def __aiter__(self) -> Relay:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        if first:
            return first
        connection = self._call.connection
        if connection is None:
            raise StopAsyncIteration
        event = await connection.next(self._patience_s, "connection_read_timeout")
        if isinstance(event, End):
            self._call.release()
            self._response.trailers = trailer_fields(event.trailers)
            raise StopAsyncIteration
        assert isinstance(event, bytes), "content follows a head"
        return event

    async def aclose(self) -> None:
        """Nobody reads on; harmless after the end, and due even where nobody began."""
        self._call.abandon()


def way_back(call: Call) -> Relocation:
    """How an origin's Location is the client's, by the rule that led there."""
    rule = call.exchange.branch.plan.rules[call.rule]
    before, behind = rule.prefixes(call.number)
    return Relocation(
        scheme=rule.targets[call.number].scheme,
        authority=call.authority.lower(),
        client=call.scheme + b"://" + call.client,
        target_prefix=behind,
        source_prefix=before,
    )


def for_one(lines: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
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
