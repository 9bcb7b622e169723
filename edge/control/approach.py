"""
How a request gets to its site, in words: by TLS with which certificate, or led there.

Laws: only what the documents of the workers say; a node without https has nothing to tell.
"""

from __future__ import annotations

from datetime import UTC, datetime

from edge.errors import MalformedRequest
from edge.http.message import Request
from edge.site.certificates import Certificate, Keyring, Names
from edge.site.connections import secure_port, secure_status, secure_url
from edge.site.explain import Trail
from edge.site.rehearsal import World
from edge.site.snapshot import Site

ISSUED_BY = {"files": "your own folder", "internal": "the node's own authority", "acme": "ACME"}


def lead(url: str, request: Request, world: World, keyring: Keyring) -> Trail | None:
    """The trail of a request in clear text that is led to https; None for all others."""
    port = secure_port(world.snapshot.settings)
    found = find(request, world, keyring)
    if port is None or found is None or not url.strip().lower().startswith("http://"):
        return None
    site, certificate = found
    if certificate is None or not certificate.is_valid(world.epoch):
        return None
    location = secure_url(site, port, request.target).decode("latin-1")
    return Trail(
        url=(request.authority + request.target).decode(errors="replace"),
        method=request.method.decode("latin-1"),
        status=secure_status(request.method),
        location=location,
        steps=[
            f"http leads to https, since {site.host} has a certificate: {tell(certificate)}",
            f"what is answered there: edge explain {location}",
        ],
    )


def tell_certificate(request: Request, world: World, keyring: Keyring) -> list[str]:
    """What a client is shown before its request; nothing where no TLS is spoken."""
    found = find(request, world, keyring)
    if found is None or not world.snapshot.settings.listen.https:
        return []
    site, certificate = found
    if certificate is None:
        return [f"https: {site.host} has no certificate, and is refused (see `edge domains`)"]
    if not certificate.is_valid(world.epoch):
        return [f"https: the certificate is not valid now: {tell(certificate)}"]
    return [f"https: {tell(certificate)}"]


def find(
    request: Request, world: World, keyring: Keyring
) -> tuple[Site, Certificate | None] | None:
    """The site of a request and its certificate; None where nobody claims its host."""
    try:
        site = world.snapshot.resolve(request.authority)
    except MalformedRequest:
        return None
    return None if site is None else (site, Names(keyring.certificates).find(site.host))


def tell(certificate: Certificate) -> str:
    """A certificate in a line."""
    names = ", ".join(certificate.names[:3]) + (", …" if len(certificate.names) > 3 else "")
    until = datetime.fromtimestamp(certificate.not_after, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{names}, by {ISSUED_BY[certificate.source]} ({certificate.issuer}), until {until}"
