"""
What the fields of a request say that answers of files depend on: looked up once for many requests.

Laws: a client that keeps its connection sends the same field lines again and again; bytes that are
the same mean the same. Ten look-ups (1.2 µs) become one comparison. Nothing here decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.http.fields import Fields


class Manner:
    """The fields of a request, as far as they were asked."""

    __slots__ = (
        "accept_encoding",
        "agent",
        "authority",
        "fields",
        "forwarded",
        "is_conditional",
        "is_read",
        "lead",
        "referer",
        "told",
    )

    accept_encoding: bytes | None
    agent: bytes | None
    referer: bytes | None
    forwarded: bytes | None
    """X-Forwarded-For."""
    is_conditional: bool
    """Whether less than the whole representation is asked for (RFC 9110 §13.1, §14.2)."""

    def __init__(self, authority: bytes, fields: Fields) -> None:
        self.authority = authority
        self.fields = fields
        self.is_read = False
        """Whether the rest is there."""
        self.lead: bytes | None = None
        """How the log begins with a GET of it, where all of its connection begin alike."""
        self.told: bytes | None = None
        """What the log says of what it says about itself, once it was asked."""

    def read(self) -> Manner:
        """Look everything up."""
        get = self.fields.get
        self.accept_encoding = get(b"accept-encoding")
        self.agent = get(b"user-agent")
        self.referer = get(b"referer")
        self.forwarded = get(b"x-forwarded-for")
        self.is_conditional = (
            get(b"if-none-match") is not None
            or get(b"if-modified-since") is not None
            or get(b"range") is not None
            or get(b"if-match") is not None
            or get(b"if-unmodified-since") is not None
        )
        self.is_read = True
        return self
