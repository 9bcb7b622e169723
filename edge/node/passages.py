"""
What an origin may know of the client that a request comes from: scheme, host, credentials.

Laws: only what a cache key has, or a trusted proxy says; what the edge verified itself stays here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.http.fields import OWS, Line
from edge.http.provenance import UNKNOWN
from edge.http.tracing import traces_of

if TYPE_CHECKING:
    from edge.http.message import Request
    from edge.site.exchange import Exchange


def is_verified(exchange: Exchange) -> bool:
    """
    Whether the credentials of a request are ours: they stay here.

    On a path that is exempt a browser sends them too; a token is the origin's own business there.
    Where a rule leads inside to another host, both may have asked for them.
    """
    inner, outer = exchange.branch, exchange.site.branch
    assert outer is not None, "a site that is not configured is answered before"
    if inner.access is None and outer.access is None:
        return False
    asked = exchange.subject.path if exchange.outer is None else exchange.outer
    if exchange.needs_password or outer.asks_password(asked):
        return True
    values = exchange.request.fields.getall(b"authorization")
    return any(value[:6].lower() == b"basic " for value in values)


def scheme_of(request: Request, *, is_trusted: bool) -> bytes:
    """What the client used: what a trusted proxy says, else what the connection is."""
    stated = request.fields.get(b"x-forwarded-proto", b"").lower() if is_trusted else b""
    if stated in (b"http", b"https"):
        return stated
    return b"http" if request.sni is None else b"https"


def client_authority(exchange: Exchange, ports: frozenset[bytes]) -> bytes:
    """
    What the client asked, canonical, with a port only where it is one that we listen on.

    Anything else would be a client's word that no cache key has.
    """
    host = exchange.site.host.encode()
    port = exchange.request.authority.rpartition(b":")[2]
    return host + b":" + port if port in ports else host


def names_of(lines: Sequence[Line]) -> list[bytes]:
    """What in the lines for an origin names the client: X-Forwarded-For's addresses, its trace."""
    stated = [value for name, value in lines if name == b"x-forwarded-for"]
    nodes = [node for value in stated for each in value.split(b",") if (node := each.strip(OWS))]
    return [node for node in nodes if node != UNKNOWN] + traces_of(lines)
