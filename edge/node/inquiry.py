"""
What is asked of the store, and what it answers: values that travel between workers.

Laws: an inquiry has all that whoever owns its key needs to ask the origin itself; nothing in it
tells who the client is but what the origin is told anyway. Its lines are those for the origin, so
that what is compared with a stored answer's Vary is what its origin saw.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from edge.http import variants
from edge.http.fields import FieldList, Line
from edge.http.message import Tunnel
from edge.site import keys

if TYPE_CHECKING:
    from edge.node.shelf import Entry


class Inquiry(msgspec.Struct, kw_only=True, dict=True):
    """One request as the store sees it: GET or HEAD, without content."""

    method: bytes
    lines: list[Line]
    """For the origin, Host first; of the client's cookies only those that make a difference."""
    urls: tuple[str, ...]
    """The targets, with the query that makes a difference."""
    is_carried: bool
    """Whether a rule inside a deployment names them: it reaches less."""
    key: bytes
    app: str
    branch: str
    host: str
    """The hostname that the client asked."""
    page: bytes
    """Label of the address that the client asked."""
    cookie: bytes = b""
    """All cookies, where there are others than those that make a difference."""
    clients: list[bytes] = []
    """What names the client in `lines`: an answer that repeats it is for nobody else."""

    @cached_property
    def fields(self) -> FieldList:
        """`lines` to look names up in."""
        return FieldList(self.lines)

    @property
    def labels(self) -> list[bytes]:
        """What purges find the answer by, but for pages and tags."""
        return [
            keys.label_of_app(self.app),
            keys.label_of_branch(self.app, self.branch),
            keys.label_of_host(self.host),
            keys.label_of_key(self.key),
            *[keys.label_of_target(self.app, url) for url in self.urls],
        ]

    @property
    def target(self) -> bytes:
        """Label of the first of its targets."""
        return keys.label_of_target(self.app, self.urls[0])

    def variant(self, vary: tuple[bytes, ...]) -> bytes | None:
        """
        What the request states in the fields that a Vary names (RFC 9111 §4.1).

        None where it can match nothing: what varies by Cookie is for nobody who has other cookies
        than the key knows.
        """
        if self.cookie and b"cookie" in vary:
            return None
        return variants.variant_key(vary, self.fields)

    def selects(self, entry: Entry) -> bool:
        """Whether the request selects a stored answer."""
        return self.variant(entry.stored.vary) == entry.variant

    @property
    def any_page(self) -> bytes:
        """Label of an answer that has more addresses than are counted."""
        return keys.label_of_pages(self.host)

    def owner(self, workers: int) -> int:
        """Which of the workers stores the answer: one for all variants of a URL."""
        return zlib.crc32(b"%b %b" % (self.app.encode(), self.urls[0].encode())) % workers


class Supply(msgspec.Struct, kw_only=True):
    """An answer on its way to a client: of the store, or of an origin."""

    status: int
    lines: list[Line]
    """In the origin's URLs."""
    handling: bytes
    """Our member of Cache-Status."""
    content: bytes | AsyncIterator[bytes] | None
    number: int = 0
    """Which of the targets it came from."""
    trailers: list[Line] = []
    """Filled once the content is read to its end."""
    tunnel: Tunnel | None = None
    reason: bytes = b""
    """Why it is not stored; the next request may go to the origin at once."""
    entry: Entry | None = None
    """What is stored, where it is that as it is."""
