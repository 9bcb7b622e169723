"""
Which connection a request has to come by: what clear text leads to, and whose TLS may carry it.

Laws: pure; settings, sites and names of certificates in, answers out. Both the data plane and
`explain` ask here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edge.site.certificates import covers
from edge.site.settings import Settings
from edge.site.snapshot import Site

READING: Final = (b"GET", b"HEAD")


def secure_port(settings: Settings) -> bytes | None:
    """What stands behind a host in URLs of https, `:8443` or nothing; None: http serves itself."""
    if not settings.listen.https or not settings.tls.redirect_http:
        return None
    port = settings.listen.https[0].rpartition(":")[2]
    return b"" if port == "443" else f":{port}".encode()


def secure_url(site: Site, port: bytes, target: bytes) -> bytes:
    """The same address by https, by the canonical host; `*` is the whole server."""
    return b"https://" + site.host.encode() + port + (b"/" if target == b"*" else target)


def secure_status(method: bytes) -> int:
    """301, or 308 where 301 would make clients ask with GET (RFC 9110 §15.4.9)."""
    return 301 if method in READING else 308


def may_share(begun: Site | None, site: Site, names: Iterable[str]) -> bool:
    """
    Whether a connection that was begun for one site may carry requests for another.

    Only where the certificate that was shown, of `names`, covers both, and both are of one app:
    that is what browsers rely on (RFC 9113 §9.1.1), and who has an app has all of it.
    """
    if begun is None or begun.branch is None or site.branch is None:
        return False
    return begun.branch.app == site.branch.app and any(covers(name, site.host) for name in names)
