"""
Cache-Status: what this cache did with a request, in the words that its RFC has for it.

Laws: a hit was not forwarded, and what was forwarded says why; nothing that a client wrote can end
a value early. Here: one member of the list. Whoever sends it appends it to what came from upstream.

Source: RFC 9211 §2.
"""

from __future__ import annotations

import enum
import re

import msgspec

from edge.http.fields import is_token

CACHE = b"edge"
"""Our name in the list, a Token."""

UNPRINTABLE = re.compile(rb"[^ -~]")
QUOTED = re.compile(rb'["\\]')


class Forwarded(enum.Enum):
    """Why a request went to the origin (`fwd`); more specific reasons before `miss`."""

    BYPASS = b"bypass"
    """The cache was configured not to handle it."""

    METHOD = b"method"
    """Its method cannot be answered from a cache."""

    URI_MISS = b"uri-miss"
    """Nothing is stored for its URI."""

    VARY_MISS = b"vary-miss"
    """What is stored for its URI answers other requests."""

    MISS = b"miss"
    """Nothing that is stored could answer it, and it is not known which of the two."""

    REQUEST = b"request"
    """A fresh response was there, and the request's own directives did not allow it."""

    STALE = b"stale"
    """What was there had to be validated first."""

    PARTIAL = b"partial"
    """Only parts of the range that was asked for were there."""


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about one request."""

    forwarded: Forwarded | None = None
    """None: it was a hit."""
    forward_status: int | None = None
    """The origin's status where it is not the one that is sent, e.g. 304."""
    ttl: int | None = None
    """Seconds of freshness that are left; negative when it is stale."""
    is_stored: bool = False
    is_collapsed: bool = False
    key: bytes = b""
    """Empty: not told."""
    detail: bytes = b""
    """A word of our own, such as a `Reason`; empty: none."""


HIT = Handling()


def cache_status(handling: Handling) -> bytes:
    """
    Our member of Cache-Status: `edge; hit; ttl=60`.

    Source: RFC 9211 §2.1-2.8; RFC 8941 §4.1.
    """
    parts = [CACHE]
    if handling.forwarded is None:
        parts.append(b"hit")
    else:
        parts.append(b"fwd=" + handling.forwarded.value)
        parts += forward_parts(handling)
    if handling.ttl is not None:
        parts.append(b"ttl=%d" % handling.ttl)
    if handling.key:
        parts.append(b"key=" + sf_string(handling.key))
    if handling.detail:
        parts.append(b"detail=" + sf_word(handling.detail))
    return b"; ".join(parts)


def forward_parts(handling: Handling) -> list[bytes]:
    """What is told only of a request that was forwarded."""
    parts = []
    if handling.forward_status is not None:
        parts.append(b"fwd-status=%d" % handling.forward_status)
    if handling.is_stored:
        parts.append(b"stored")
    if handling.is_collapsed:
        parts.append(b"collapsed")
    return parts


def sf_word(value: bytes) -> bytes:
    """A Token where the value can be one, else a String (RFC 9211 §2.8 takes both)."""
    return value if is_token(value) and value[:1].isalpha() else sf_string(value)


def sf_string(value: bytes) -> bytes:
    """A String of any bytes; what it cannot hold is percent-encoded (RFC 8941 §3.3.3)."""
    printable = UNPRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], value)
    return b'"%b"' % QUOTED.sub(rb"\\\g<0>", printable)
