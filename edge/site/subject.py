"""
What a rule sees of a request, and the way back from decoded characters to the bytes that arrived.

Here: one request as the rule language reads it. Not here: rules (`pattern`, `template`). Matching
is over the decoded path; what was captured leaves percent-encoded as it arrived, never decoded and
encoded again, so that `%3F` cannot turn into a `?`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from edge.site.expressions import Budget

DOTS: Final = re.compile(rb"/(?:\.|%2[Ee])")
"""Where a segment may be `.` or `..`."""

TOKEN: Final = re.compile(rb"%2[Ff]|%[0-9A-Fa-f]{2}|.", re.DOTALL)

Span = tuple[int, int]
Captures = Mapping[str, Span | bytes]
"""Name → where in the decoded path it is, or the bytes of a parameter of the query."""

NOTHING: Final[Captures] = {}


class Subject(msgspec.Struct):
    """One request. What costs something is worked out when a rule asks for it."""

    path: str
    """As `target.decode_path` returns it."""
    raw: bytes
    """The same path as it arrived."""
    query: bytes | None
    host: str
    """Canonical."""
    country: str | None
    """Upper case; None when unknown."""
    budget: Budget
    """One for all subjects of a request."""
    _resolved: bytes | None = None
    _offsets: list[int] | None = None
    _parameters: list[tuple[str, str, bytes]] | None = None
    _values: dict[tuple[str, str | None], bytes] | None = None

    @property
    def resolved(self) -> bytes:
        """The path as it arrived, but for its dot segments."""
        if self._resolved is None:
            self._resolved = resolve_dots(self.raw) if DOTS.search(self.raw) else self.raw
        return self._resolved

    @property
    def parameters(self) -> list[tuple[str, str, bytes]]:
        """Key and value decoded, and the value as it arrived, in the order of the query."""
        if self._parameters is None:
            self._parameters = parse_query(self.query or b"")
        return self._parameters

    @property
    def values(self) -> dict[tuple[str, str | None], bytes]:
        """
        The first value of a key (with None), and of a key that has that value, as it arrived.

        A dictionary, so that neither many rules nor many parameters multiply.
        """
        if self._values is None:
            self._values = {}
            for key, value, arrived in self.parameters:
                self._values.setdefault((key, value), arrived)
                self._values.setdefault((key, None), arrived)
        return self._values

    def arrived(self, span: Span) -> bytes:
        """The bytes that became these characters of `path`."""
        start, end = span
        raw = self.resolved
        if len(raw) == len(self.path):  # every escape but %2F makes the decoded path shorter
            return raw[start:end]
        if self._offsets is None:
            self._offsets = find_offsets(raw)
        return raw[self._offsets[start] : self._offsets[end]]


def resolve_dots(raw: bytes) -> bytes:
    """The path without dot segments; one that leaves the root was refused when it was decoded."""
    segments: list[bytes] = []
    plain = b""
    for segment in raw.split(b"/")[1:]:
        plain = segment.replace(b"%2e", b".").replace(b"%2E", b".")
        if plain == b"..":
            segments.pop()
        elif plain != b".":
            segments.append(segment)
    if plain in (b".", b".."):
        segments.append(b"")
    return b"/" + b"/".join(segments)


def find_offsets(raw: bytes) -> list[int]:
    """Where in `raw` each character of the decoded path begins, and the end."""
    offsets: list[int] = []
    for found in TOKEN.finditer(raw):
        token, at = found[0], found.start()
        if token in (b"%2F", b"%2f"):  # stays three characters
            offsets += at, at + 1, at + 2
        elif (token if len(token) == 1 else unquote_to_bytes(token))[0] & 0xC0 != 0x80:
            offsets.append(at)  # not a continuation byte of UTF-8
    return [*offsets, len(raw)]


def parse_query(query: bytes) -> list[tuple[str, str, bytes]]:
    """
    The parameters of a query: key, value, value as it arrived (a `+` as `%20`).

    Source: the URL standard's application/x-www-form-urlencoded parser, which browsers write for.
    """
    parameters = []
    for pair in query.split(b"&"):
        if pair:
            key, _, value = pair.replace(b"+", b"%20").partition(b"=")
            parameters.append((decode(key), decode(value), value))
    return parameters


def decode(value: bytes) -> str:
    """Percent-decoded; what is not UTF-8 equals nothing that an operator can write."""
    return unquote_to_bytes(value).decode("utf-8", "replace")
