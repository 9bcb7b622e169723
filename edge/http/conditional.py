"""
Preconditions and ranges: whether to answer, with what part, and how parts are framed.

Here lives the decision on an existing representation, given its validators and length. Reading
content, choosing the representation and composing the head happen elsewhere. Nothing raises for
anything a client can send: what is not understood is answered in the safe way, which for reading
is the whole representation and for writing a refusal.

Source: RFC 9110 §13, §14, §15.3.7, §15.5.17, §17.15.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from edge.http.fields import (
    OWS,
    parse_entity_tags,
    parse_http_date,
    saturating_int,
    strong_match,
    weak_match,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.http.fields import Fields

Span = tuple[int, int]
"""Half-open [start, stop) in bytes of the representation, never empty."""

READING = frozenset((b"GET", b"HEAD"))
UNCONDITIONAL = frozenset((b"CONNECT", b"OPTIONS", b"TRACE"))
"""Methods that select no representation; their preconditions MUST be ignored (§13.2.1)."""


class Precondition(enum.Enum):
    """What the preconditions of a request ask for."""

    PROCEED = enum.auto()
    """Perform the method."""

    NOT_MODIFIED = enum.auto()
    """Answer 304: the client's copy is good."""

    FAILED = enum.auto()
    """Answer 412: the client's assumption is wrong."""


def evaluate(method: bytes, fields: Fields, etag: bytes, last_modified: int | None) -> Precondition:
    """
    What the preconditions of a request say about an existing representation.

    `etag` is the entity-tag as sent, or b"" for none; `last_modified` is in epoch seconds, None
    when unknown. Dates that are invalid or given twice are ignored. A broken If-Match is false. A
    broken If-None-Match hides If-Modified-Since and matches nothing for GET and HEAD, so they
    are answered in full, and everything for other methods, so nothing is overwritten.

    Source: RFC 9110 §13.2.2.
    """
    if method in UNCONDITIONAL:
        return Precondition.PROCEED
    if not is_as_expected(fields, etag, last_modified):
        return Precondition.FAILED
    if is_news(method, fields, etag, last_modified):
        return Precondition.PROCEED
    return Precondition.NOT_MODIFIED if method in READING else Precondition.FAILED


def is_as_expected(fields: Fields, etag: bytes, last_modified: int | None) -> bool:
    """
    Whether If-Match holds or, in its absence, If-Unmodified-Since.

    Source: RFC 9110 §13.2.2 steps 1 and 2.
    """
    expected = list_value(fields, b"if-match")
    if expected is not None:
        return any_match(parse_entity_tags(expected) or (), etag, strong_match)
    since = date_value(fields, b"if-unmodified-since")
    return since is None or last_modified is None or last_modified <= since


def is_news(method: bytes, fields: Fields, etag: bytes, last_modified: int | None) -> bool:
    """
    Whether If-None-Match holds or, in its absence and when reading, If-Modified-Since.

    Source: RFC 9110 §13.2.2 steps 3 and 4.
    """
    known = list_value(fields, b"if-none-match")
    if known is not None:
        tags = parse_entity_tags(known)
        return method in READING if tags is None else not any_match(tags, etag, weak_match)
    if method not in READING or last_modified is None:
        return True
    since = date_value(fields, b"if-modified-since")
    return since is None or last_modified > since


def any_match(
    tags: tuple[bytes, ...], etag: bytes, matches: Callable[[bytes, bytes], bool]
) -> bool:
    """Whether the entity-tag of the representation is among the tags; the asterisk is any."""
    return tags == (b"*",) or any(matches(tag, etag) for tag in tags)


def list_value(fields: Fields, name: bytes) -> bytes | None:
    """The field's value with all its lines joined (RFC 9110 §5.3), None when it is absent."""
    if fields.get(name) is None:
        return None
    return b", ".join(fields.getall(name))


def only_value(fields: Fields, name: bytes) -> bytes | None:
    """The field's value when it has exactly one line, else None."""
    value = fields.get(name)
    if value is None or len(fields.getall(name)) > 1:
        return None
    return value


def date_value(fields: Fields, name: bytes) -> int | None:
    """Epoch seconds of a date field, None when absent, invalid or given twice."""
    value = only_value(fields, name)
    return None if value is None else parse_http_date(value)


# Ranges

MAX_RANGES = 16
"""Parts of one answer: readers of PDF ask for a handful, and each part costs a read and a head."""

RANGE_SPEC = re.compile(rb"([0-9]*+)-([0-9]*+)")


def select_ranges(
    fields: Fields, etag: bytes, last_modified: int | None, length: int
) -> list[Span] | None:
    """
    The spans that a GET asks for, of a representation of `length` bytes.

    Returns:
        None to answer with the whole representation: no Range, another unit, one that is
        malformed, given twice or unreasonable, or an If-Range that does not hold.
        `[]` to answer 416: nothing of what is asked exists.
        Else spans within [0, length) that neither overlap nor touch, in the order of their first
        appearance; more than one makes a multipart answer.

    Source: RFC 9110 §14.2, §13.1.5; preconditions come first (`evaluate`).
    """
    value = only_value(fields, b"range")
    if value is None or not if_range_holds(fields, etag, last_modified):
        return None
    specs = parse_ranges(value)
    if specs is None:
        return None
    spans = [span for spec in specs if (span := resolve_range(spec, length))]
    # Who asks for more bytes than there are is confused or an attacker (§17.15); a single span
    # never does.
    if sum(stop - start for start, stop in spans) > length:
        return None
    return coalesce(spans)


def if_range_holds(fields: Fields, etag: bytes, last_modified: int | None) -> bool:
    """
    Whether there is no If-Range, or it names exactly this representation.

    Source: RFC 9110 §13.1.5; an entity-tag compares strongly, a date exactly.
    """
    if fields.get(b"if-range") is None:
        return True
    validator = only_value(fields, b"if-range")
    if validator is None:
        return False
    if validator.endswith(b'"'):
        return strong_match(validator, etag)
    return last_modified is not None and parse_http_date(validator) == last_modified


def parse_ranges(value: bytes) -> list[tuple[int | None, int | None]] | None:
    """
    The range-specs of a Range in bytes, None when it is invalid or has more than sixteen.

    Each is (first position, last position), (first position, None) or (None, suffix length).

    Source: RFC 9110 §14.1.1, §14.1.2.
    """
    unit, _, range_set = value.partition(b"=")
    if unit.lower() != b"bytes":
        return None
    elements = [element for part in range_set.split(b",") if (element := part.strip(OWS))]
    if not 1 <= len(elements) <= MAX_RANGES:
        return None
    specs = [spec for element in elements if (spec := parse_range_spec(element))]
    return specs if len(specs) == len(elements) else None


def parse_range_spec(element: bytes) -> tuple[int | None, int | None] | None:
    """One range-spec, its numbers saturating far beyond any length; None when it is invalid."""
    match = RANGE_SPEC.fullmatch(element)
    if match is None or element == b"-":
        return None
    first, last = (saturating_int(digits) if digits else None for digits in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return first, last


def resolve_range(spec: tuple[int | None, int | None], length: int) -> Span | None:
    """
    The span of a range-spec in a representation, None when it is unsatisfiable.

    Source: RFC 9110 §14.1.2; stricter in one case: an empty representation satisfies no range,
    since no Content-Range could describe the part.
    """
    first, last = spec
    if first is None:
        start, stop = max(length - (last or 0), 0), length
    else:
        start, stop = first, length if last is None else min(last + 1, length)
    return (start, stop) if start < stop else None


def coalesce(spans: list[Span]) -> list[Span]:
    """
    Spans with those that overlap or touch made one, each in the place of its first member.

    Source: RFC 9110 §15.3.7.2.
    """
    if len(spans) < 2:
        return spans
    merged: list[tuple[int, Span]] = []
    for (start, stop), place in sorted((span, place) for place, span in enumerate(spans)):
        if merged and start <= merged[-1][1][1]:
            first_place, (first_start, last_stop) = merged.pop()
            merged.append((min(first_place, place), (first_start, max(last_stop, stop))))
        else:
            merged.append((place, (start, stop)))
    return [span for _, span in sorted(merged)]


# Partial answers


def content_range(start: int, stop: int, length: int) -> bytes:
    """The Content-Range of a 206 or of a part for [start, stop) (RFC 9110 §14.4)."""
    return b"bytes %d-%d/%d" % (start, stop - 1, length)


def unsatisfied_range(length: int) -> bytes:
    """The Content-Range of a 416 (RFC 9110 §15.5.17)."""
    return b"bytes */%d" % length


def multipart_layout(
    spans: list[Span], content_type: bytes, length: int, boundary: bytes
) -> tuple[int, list[bytes], bytes]:
    """
    The frame of a `multipart/byteranges; boundary=…` body.

    Args:
        spans: as `select_ranges` gave them, at least one.
        content_type: of the representation; b"" when it has none.
        length: of the whole representation.
        boundary: a token of at most 70 characters that does not occur in the content; draw it
            at random.

    Returns:
        (content length of the answer, one preamble per span, closing). The body is preamble 0,
        span 0, preamble 1, span 1, …, closing.

    Source: RFC 9110 §14.6, §15.3.7.2; RFC 2046 §5.1.
    """
    kind = b"Content-Type: %s\r\n" % content_type if content_type else b""
    head = b"\r\n--%s\r\n%sContent-Range: %s\r\n\r\n"
    preambles = [head % (boundary, kind, content_range(*span, length)) for span in spans]
    # The line break belongs to the delimiter, and the first delimiter opens the body.
    preambles[0] = preambles[0].removeprefix(b"\r\n")
    closing = b"\r\n--%s--\r\n" % boundary
    content = sum(stop - start for start, stop in spans)
    return content + sum(map(len, preambles)) + len(closing), preambles, closing
