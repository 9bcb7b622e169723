"""
What a branch puts on its responses besides what they are: custom fields, who may store them.

Laws: made once for each set of header entries that a path can match, and shared: a stored response
is told apart by its envelope's identity. An operator's fields are on every response; an error that
nobody may store stays so whatever an operator's Cache-Control says (a stored 404 of a fingerprinted
file outlives the deploy that brings it), and no 404 is for browsers to keep.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from edge.http.fields import Line, delta_seconds, parse_cache_control
from edge.site.headers import apply, edge_lifetime

MAX_LIFETIME = 600
"""Seconds that anything but a file in performance mode is fresh, at the edge and downstream."""


class Sharing(Enum):
    """Who may store a response, where no custom Cache-Control says it."""

    ALL = "all"
    """Everybody: `public`."""
    ONE = "one"
    """The client alone: what a password or a country decided. The edge stores it all the same."""
    NONE = "none"
    """Nobody."""


class Envelope:
    """The fields of responses to some paths of one site."""

    __slots__ = (
        "_closed",
        "_default",
        "_of_missing",
        "_sharing",
        "cache_control",
        "fields",
        "is_for_one",
        "lifetime",
        "noindex",
        "page_cache_control",
        "size",
        "stated",
    )

    def __init__(
        self,
        custom: tuple[Line, ...],
        sharing: Sharing,
        *,
        lifetime: int,
        cap: int,
        noindex: bool = False,
    ) -> None:
        """`lifetime` is the branch's default, `cap` the most that a header may ask for."""
        stated = [value for name, value in custom if name.lower() == b"cache-control"]
        if sharing is Sharing.NONE:
            custom = tuple(field for field in custom if field[0].lower() != b"cache-control")
            stated = []
        self.fields = custom
        self.size = sum(len(name) + len(value) + 4 for name, value in custom)
        """Bytes of the custom field lines."""
        self.noindex = noindex
        """Whether crawlers are told to stay away."""
        self.stated = stated[0] if stated else None
        """The operator's own Cache-Control."""
        self.lifetime = edge_lifetime(stated, lifetime, cap) if stated else lifetime
        """Seconds that a file is fresh at the edge."""
        self.cache_control = self.stated or cache_control(sharing, lifetime)
        """What clients and caches downstream are told of a file."""
        shorter = min(lifetime, MAX_LIFETIME)
        self.page_cache_control = self.stated or cache_control(sharing, shorter)
        """The same of a redirect and of what is missing."""
        self._sharing = sharing
        self._default = lifetime
        self.is_for_one = sharing is Sharing.ONE and not stated
        """Whether no cache but the client's may keep it, whatever an origin says."""
        self._closed: Envelope | None = None
        self._of_missing: Envelope | None = None

    def closed(self) -> Envelope:
        """The same for an answer that nobody may store."""
        if self._sharing is Sharing.NONE:
            return self
        if self._closed is None:
            none = Sharing.NONE
            self._closed = Envelope(self.fields, none, lifetime=0, cap=0, noindex=self.noindex)
        return self._closed

    def of_missing(self) -> Envelope:
        """
        The same for a 404: a Cache-Control that lets browsers keep what is there is not for it.

        Its file may come with the next deploy, and nobody can take back "a year, immutable".
        """
        directives = parse_cache_control([self.stated or b""])
        is_lasting = b"immutable" in directives or delta_seconds(directives.get(b"max-age"))
        if not is_lasting:
            return self
        if self._of_missing is None:
            custom = tuple(each for each in self.fields if each[0].lower() != b"cache-control")
            shorter = min(self._default, MAX_LIFETIME)
            self._of_missing = Envelope(
                custom, self._sharing, lifetime=shorter, cap=shorter, noindex=self.noindex
            )
        return self._of_missing

    def dress(self, fields: Iterable[Line]) -> list[Line]:
        """The fields of a response with those that an operator set in their place."""
        lines = list(fields)
        if self.noindex:
            lines.append((b"X-Robots-Tag", b"noindex"))
        return apply(lines, self.fields) if self.fields else lines


def cache_control(sharing: Sharing, lifetime: int) -> bytes:
    """Browsers ask each time; shared caches may answer for as long as the edge does."""
    if sharing is Sharing.NONE:
        return b"no-store"
    if sharing is Sharing.ONE:
        return b"private, max-age=0"
    return b"public, max-age=0, s-maxage=%d" % lifetime


BARE = Envelope((), Sharing.NONE, lifetime=0, cap=0)
"""For answers that belong to no branch."""
