"""
Answers of origins that are stored in parts (206), until they are whole.

Laws: parts stand on the shelf under a key of their own, so that nothing but a request for one range
ever finds them; they serve while they are fresh and are never validated. Parts of two different
representations never meet (`http.partial`). What has become whole is stored as any other answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from edge.http import conditional, freshening, freshness, partial
from edge.http.cache_status import Handling, cache_status
from edge.node.inquiry import Supply
from edge.node.shelf import Entry
from edge.site.keys import store_key

if TYPE_CHECKING:
    from edge.http.conditional import Span
    from edge.http.partial import Extent
    from edge.node.inquiry import Inquiry
    from edge.node.shelf import Shelf


def part_key(key: bytes) -> bytes:
    """What parts of an answer are stored under."""
    return store_key(key, b"parts")


def find_parts(shelf: Shelf, inquiry: Inquiry, now: float) -> Entry | None:
    """The fresh parts that a request for one range may be answered from."""
    if inquiry.method != b"GET" or inquiry.fields.get(b"range") is None:
        return None
    entry = shelf.select(inquiry, part_key(inquiry.key))
    if entry is None or now >= entry.stored.fresh_until or wanted_span(entry, inquiry) is None:
        return None
    return entry


def wanted_span(entry: Entry, inquiry: Inquiry) -> Span | None:
    """The one range of what parts are stored of that a request asks for."""
    stored, extent = entry.stored, extent_of(entry)
    spans = conditional.select_ranges(
        inquiry.fields, stored.etag, stored.last_modified, extent.length
    )
    return spans[0] if spans and len(spans) == 1 else None


def has_wanted(entry: Entry, inquiry: Inquiry) -> bool:
    """Whether the range that a request asks for is there: an origin may send another part."""
    span = wanted_span(entry, inquiry)
    return span is not None and partial.find_span(entry.parts, span) is not None


def extent_of(entry: Entry) -> Extent:
    """Of which representation the parts of an entry are."""
    assert entry.extent is not None, "what is stored in parts has one"
    return entry.extent


def present_part(entry: Entry, inquiry: Inquiry, now: float, handling: Handling) -> Supply | None:
    """The range that a request asks for; None where not all of it is there."""
    span = wanted_span(entry, inquiry)
    content = None if span is None else partial.find_span(entry.parts, span)
    if span is None or content is None:
        return None
    where = conditional.content_range(*span, extent_of(entry).length)
    age = b"%d" % freshness.current_age(entry.stored, now)
    return Supply(
        status=206,
        lines=[*freshening.framed(entry.lines, len(content), where), (b"age", age)],
        handling=cache_status(handling),
        content=content,
        number=entry.number,
    )


def joined(known: Entry | None, fresh: Entry, content: bytes) -> Entry:
    """What is stored in parts with one more, the newest fields first (RFC 9111 §3.4)."""
    extent = extent_of(fresh)
    parts = []
    if known is not None and partial.may_combine(extent_of(known), extent):
        parts = known.parts
    fresh.parts = partial.combine(parts, extent.start, content)
    return fresh


def whole(entry: Entry, key: bytes) -> Entry | None:
    """The answer that its parts have become; None while something is missing."""
    length = extent_of(entry).length
    content = partial.find_span(entry.parts, (0, length))
    if content is None:
        return None
    lines = freshening.framed(entry.lines, length)
    complete = Entry(key, entry.variant, replace(entry.stored, status=200), lines, content)
    complete.labels, complete.number = dict(entry.labels), entry.number
    return complete
