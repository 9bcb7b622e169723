"""
Back from an origin's URLs to the client's: what Location, Content-Location and Refresh may name.

Laws: only an absolute URL of the origin's own host is changed, for a relative one already leads to
the client's host; what is changed stays on the client's host, whatever the origin wrote.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from edge.http.fields import Line

MAPPED: Final = frozenset((b"location", b"content-location", b"refresh"))

ABSOLUTE: Final = re.compile(
    rb"(?:(https?):)?//([^/?#\\]*)((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL
)
REFRESH: Final = re.compile(
    rb"([0-9.]*+[;, \t]*+url[ \t]*+=[ \t]*+[\"']?)(.*)", re.IGNORECASE | re.DOTALL
)

DEFAULT_PORT: Final = {b"http": b":80", b"https": b":443"}


class Relocation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One rule's way back."""

    scheme: bytes
    """Of the target: `http` or `https`."""
    authority: bytes
    """Of the target, lower case."""
    client: bytes
    """Scheme and authority that the client asked: `https://example.com`."""
    target_prefix: bytes = b""
    """Path of the target before what was captured by `<*>`: `/api/` of `http://app/api/<*>`."""
    source_prefix: bytes = b""
    """Path of the source before it."""


def relocated(lines: list[Line], way: Relocation) -> list[Line]:
    """The lines of an answer, lower case, in the client's URLs."""
    return [(n, relocate(n, v, way)) if n in MAPPED else (n, v) for n, v in lines]


def relocate(name: bytes, value: bytes, way: Relocation) -> bytes:
    """The value of a `MAPPED` field, lower case, as the client should see it."""
    if name != b"refresh":
        return relocate_url(value, way)
    found = REFRESH.fullmatch(value)
    return found[1] + relocate_url(found[2], way) if found else value


def relocate_url(url: bytes, way: Relocation) -> bytes:
    """
    An absolute URL of the target's authority on the client's host; any other as it is.

    The scheme is not compared: an origin that is told X-Forwarded-Proto writes https about itself
    though it was asked in clear text. Ports that a scheme implies are dropped before.

    Source: RFC 3986 §3.2.3.
    """
    found = ABSOLUTE.fullmatch(url)
    if found is None:
        return url
    scheme = (found[1] or way.scheme).lower()
    if plain_authority(scheme, found[2]) != plain_authority(way.scheme, way.authority):
        return url
    return way.client + map_path(found[3], way)


def plain_authority(scheme: bytes, authority: bytes) -> bytes:
    """Lower case, without the port that the scheme implies."""
    return authority.lower().removesuffix(b":").removesuffix(DEFAULT_PORT[scheme])


def map_path(rest: bytes, way: Relocation) -> bytes:
    """
    Path, query and fragment through the rule; outside of its target as they are.

    What would not begin a path any more (`/base` taken from `/basement`) is not the rule's.
    """
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    if not rest.startswith(way.target_prefix):
        return rest
    mapped = way.source_prefix + rest[len(way.target_prefix) :]
    if not mapped or mapped[:1] in b"?#":
        return b"/" + mapped
    return mapped if mapped.startswith(b"/") else rest
