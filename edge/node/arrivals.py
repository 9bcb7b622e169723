"""
Where a request arrives: challenges of authorities, the host, the right connection, https.

Laws: before rules and passwords, whatever the host. What is found once is remembered by how it was
spelled, but for hosts that lead to https: whether they do is a question of the certificate's dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edge.errors import MalformedRequest, Misdirected
from edge.http.message import Request, Response
from edge.node.passages import scheme_of
from edge.site import pages
from edge.site.connections import READING, may_share, secure_port, secure_status, secure_url
from edge.site.hosts import parse_authority
from edge.site.settings import Settings
from edge.site.snapshot import Site, Snapshot, Spelling

if TYPE_CHECKING:
    from edge.node.clients import Clients
    from edge.node.clock import Clock
    from edge.node.notices import Notices
    from edge.node.tls import Contexts

CHALLENGE: Final = b"/.well-known/acme-challenge/"
"""Source: RFC 8555 §8.3."""


class Arrivals:
    """What stands between a connection and a site."""

    def __init__(self, clock: Clock, notices: Notices, contexts: Contexts) -> None:
        self._clock = clock
        self._notices = notices
        self._contexts = contexts
        self._https: bytes | None = None
        """The port behind a host, `:8443` or nothing; None where http leads nowhere else."""

    def configure(self, settings: Settings, held: Iterable[str]) -> None:
        """
        Lead to https from now on, or not, as the operator says.

        Only to addresses that are `held`: settings are reloaded, listeners are not.
        """
        addresses = [each for each in settings.listen.https if each in held]
        self._https = secure_port(addresses) if settings.tls.redirect_http else None

    def arrive(
        self, request: Request, snapshot: Snapshot, clients: Clients
    ) -> Site | Response | None:
        """
        The site of a request, or the answer that it gets whatever is there; None: nobody's host.

        Raises:
            MalformedRequest: its authority is none.
            Misdirected: its connection was begun for another host.
        """
        if not request.authority.isascii():  # several letters are mapped to one (RFC 3986 §3.2.2)
            raise MalformedRequest("the authority is not a host name")
        site = snapshot.resolve(request.authority)
        if site is None:
            return None
        if request.sni is not None:
            if request.sni != site.host:
                self._check(request.sni, site, snapshot)
            snapshot.know(spelling_of(request), site)
        elif self._https is None or self._contexts.find(site.host) is None:
            snapshot.know(spelling_of(request), site)
        elif self._is_led(request, site, clients):
            return self._lead(request, site, self._https)
        return site

    def answer_challenge(self, request: Request) -> Response | None:
        """
        What control wants answered under a token; None where it is none of ours.

        Raises:
            MalformedRequest: its authority is none.
        """
        if not request.target.startswith(CHALLENGE) or request.method not in READING:
            return None
        answer = self._contexts.challenges.http.get(token_of(request))
        if answer is None or parse_authority(request.authority) != answer.host:
            return None  # what is at this path is the app's business: it may come from elsewhere
        return self._notices.text(request, answer.content.encode())

    def is_asked(self, request: Request) -> bool:
        """Whether a request has a token that an authority got from control."""
        is_challenge = request.target.startswith(CHALLENGE)
        return is_challenge and token_of(request) in self._contexts.challenges.http

    def _check(self, sni: str, site: Site, snapshot: Snapshot) -> None:
        """
        Another host on the same connection: one of the same app, by the same certificate.

        That is what browsers do with HTTP/2 (RFC 9113 §9.1.1); anything else is 421 (§9.1.2).
        """
        certificate = self._contexts.find(sni)
        names = () if certificate is None else certificate.names
        if not may_share(snapshot.hosts.get(sni.encode()), site, names):
            raise Misdirected(f"this connection was made for {sni}, not for {site.host}")

    def _is_led(self, request: Request, site: Site, clients: Clients) -> bool:
        """Whether a request came in clear text, and https has a certificate that is valid now."""
        certificate = self._contexts.find(site.host)
        if certificate is None or not certificate.is_valid(self._clock.epoch):
            return False
        if request.method == b"CONNECT" or request.target.startswith(CHALLENGE):
            return False
        return scheme_of(request, is_trusted=clients.is_trusted(request.peer)) == b"http"

    def _lead(self, request: Request, site: Site, port: bytes) -> Response:
        """To the same address by https; the method is kept where it is not a reading one."""
        location = (b"Location", secure_url(site, port, request.target))
        status = secure_status(request.method)
        return self._notices.page(request, status, pages.SECURED, location)


def spelling_of(request: Request) -> Spelling:
    """What the site of a request is known by, once it has arrived."""
    return request.authority if request.sni is None else (request.sni, request.authority)


def token_of(request: Request) -> str:
    """What a challenge's target ends with."""
    return request.target[len(CHALLENGE) :].decode("latin-1")
