"""
Partial content: what parts of a representation are stored, and how more of them join.

Laws: parts join only where one strong entity-tag and one length name the same bytes; what does
not have exactly the bytes that its Content-Range states is no part. Spans are half-open, sorted,
neither overlapping nor touching. Fields of joined parts are `freshening`'s, ranges `conditional`'s.

Source: RFC 9111 §3.3, §3.4; RFC 9110 §14.4, §15.3.7.3.
"""

from __future__ import annotations

import re
from bisect import bisect_right

import msgspec

from edge.http.conditional import Span, only_value
from edge.http.fields import ENTITY_TAGS, OWS, Fields, saturating_int

CONTENT_RANGE = re.compile(rb"(?i:bytes) ([0-9]++)-([0-9]++)/([0-9]++)")
MAX_LENGTH = 10**15
"""A petabyte. Numbers beyond it have saturated, or are a joke."""

Part = tuple[int, bytes]
"""Where some content begins in its representation, and the content."""


class Extent(msgspec.Struct, frozen=True, gc=False):
    """Which bytes of which representation a 206 has."""

    start: int
    stop: int
    length: int
    """Of the whole representation."""
    etag: bytes
    """Strong."""


def extent_of(fields: Fields) -> Extent | None:
    """
    The extent of a 206 that can be stored and completed.

    None without a strong entity-tag, with an unknown length, or with several parts: those are for
    the client alone.

    Source: RFC 9110 §14.4; RFC 9111 §3.4, which takes no weak validator and so no date from us.
    """
    match = CONTENT_RANGE.fullmatch((only_value(fields, b"content-range") or b"").strip(OWS))
    etag = (only_value(fields, b"etag") or b"").strip(OWS)
    if match is None or not is_strong(etag):
        return None
    first, last, length = map(saturating_int, match.groups())
    if not first <= last < length <= MAX_LENGTH:
        return None
    return Extent(first, last + 1, length, etag)


def is_strong(etag: bytes) -> bool:
    """Whether a value is an entity-tag, and a strong one."""
    return etag[:1] == b'"' and ENTITY_TAGS.fullmatch(etag) is not None


def may_combine(one: Extent, other: Extent) -> bool:
    """
    Whether two extents are of the same bytes.

    Source: RFC 9111 §3.4, strong validators alone; that their lengths agree is our condition.
    """
    return one.etag == other.etag and one.length == other.length


def combine(parts: list[Part], start: int, content: bytes) -> list[Part]:
    """
    The parts with one more, joined with those it overlaps or touches; of doubled bytes the new.

    `parts` is what this gave before, at first empty; `content` is never empty.

    Cost: one copy of what is joined.
    """
    stop = start + len(content)
    before = [part for part in parts if part[0] + len(part[1]) < start]
    after = [part for part in parts if part[0] > stop]
    joined = parts[len(before) : len(parts) - len(after)]
    if joined:
        first, head = joined[0]
        last, tail = joined[-1]
        content = head[: max(start - first, 0)] + content + tail[max(stop - last, 0) :]
        start = min(first, start)
    return [*before, (start, content), *after]


def find_span(parts: list[Part], span: Span) -> bytes | None:
    """The content of a span, None where not all of it is there."""
    start, stop = span
    place = bisect_right(parts, start, key=lambda part: part[0]) - 1
    if place < 0:
        return None
    first, content = parts[place]
    return content[start - first : stop - first] if stop <= first + len(content) else None
