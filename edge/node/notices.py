"""
What the node itself answers: redirects, refusals, errors, and what methods there are.

Laws: a page is made of its envelope, so that an operator's fields are on it too; what nobody may
store is sent in a closed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.http.message import Request, Response, finish_head
from edge.node.access import Verdict, challenge
from edge.site import pages
from edge.site.envelope import BARE, Envelope
from edge.site.exchange import Exchange, Nothing

if TYPE_CHECKING:
    from edge.node.clock import Clock

ALLOW = (b"Allow", b"GET, HEAD, OPTIONS")
METHODS = pages.render("Method not allowed", "This address answers GET, HEAD and OPTIONS.")


class Notices:
    """Pages of this second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def page(
        self,
        request: Request | None,
        status: int,
        content: bytes,
        *fields: tuple[bytes, bytes],
        envelope: Envelope = BARE,
    ) -> Response:
        """One page. Without a request the connection could not be understood, and ends."""
        head = pages.page_head(status, content, *fields, envelope=envelope)
        body = None if request is not None and request.method == b"HEAD" else content
        return Response(head, self._block(), body, closes=request is None)

    def _block(self) -> bytes:
        return self._clock.date + b"\r\n"

    def text(self, request: Request, content: bytes) -> Response:
        """Plain text that nobody may store."""
        fields = [
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", b"%d" % len(content)),
            (b"Cache-Control", b"no-store"),
            (b"Server", b"edge"),
        ]
        body = None if request.method == b"HEAD" else content
        return Response(finish_head(200, fields), self._block(), body)

    def redirect(self, exchange: Exchange, status: int, location: bytes) -> Response:
        """30x by a rule, or to the canonical form of a path."""
        content = pages.render("Moved", "The page is at " + location.decode("latin-1"))
        field = (b"Location", location)
        return self.page(exchange.request, status, content, field, envelope=exchange.envelope)

    def nothing(self, exchange: Exchange, outcome: Nothing, envelope: Envelope) -> Response:
        """What is missing, refused, or no method of files."""
        request, status = exchange.request, outcome.status
        if status in (204, 405):
            return self.other_method(request, envelope.closed())
        if status == 404 and exchange.branch.active is None:
            return self.page(request, 404, pages.NOT_DEPLOYED, envelope=envelope.closed())
        return self.page(request, status, pages.REFUSED[status], envelope=envelope)

    def other_method(self, request: Request, envelope: Envelope = BARE) -> Response:
        """204 for OPTIONS, else 405; both say which methods there are."""
        if request.method != b"OPTIONS":
            return self.page(request, 405, METHODS, ALLOW, envelope=envelope)
        head = finish_head(204, envelope.dress((ALLOW, (b"Server", b"edge"))))
        return Response(head, self._block(), None)

    def refuse(self, exchange: Exchange, verdict: Verdict) -> Response:
        """Who has not said who it is, or not rightly; the realm is the host that was asked."""
        request, envelope = exchange.request, exchange.envelope.closed()
        if verdict.status == 401:
            field = (b"WWW-Authenticate", challenge(exchange.site.host))
            return self.page(request, 401, pages.PASSWORD, field, envelope=envelope)
        content = pages.TOO_MANY if verdict.status == 429 else pages.BUSY
        wait = (b"Retry-After", b"%d" % verdict.retry_after)
        return self.page(request, verdict.status, content, wait, envelope=envelope)

    def unknown_host(self, request: Request) -> Response:
        """404 for a host that nobody claims."""
        host = request.authority.decode("utf-8", "replace")
        return self.page(request, 404, pages.unknown_host(host))
