"""
A stored answer as one client gets it: whole, a part, or the word that its copy is good.

Laws: whatever is sent has its Age; what conditions and ranges ask is decided by the stored
validators alone (RFC 9111 §4.3.2). Nothing is changed by being presented.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from edge.http import conditional, freshening, freshness
from edge.http.cache_status import Handling, cache_status
from edge.http.conditional import Precondition
from edge.node.inquiry import Supply

if TYPE_CHECKING:
    from edge.http.conditional import Span
    from edge.http.fields import Line
    from edge.node.inquiry import Inquiry
    from edge.node.shelf import Entry

Content = tuple[int, list["Line"], bytes | None]
"""Status, lines and content."""


def present(entry: Entry, inquiry: Inquiry, now: float, handling: Handling) -> Supply:
    """The answer to a request that selects a stored response."""
    status, lines, content = select(entry, inquiry)
    age = b"%d" % freshness.current_age(entry.stored, now)
    return Supply(
        status=status,
        lines=[*lines, (b"age", age)],
        handling=cache_status(handling),
        content=None if inquiry.method == b"HEAD" or status == 204 else content,
        number=entry.number,
        entry=entry if lines is entry.lines else None,
    )


def select(entry: Entry, inquiry: Inquiry) -> Content:
    """What of it the conditions and the range of a request ask for."""
    stored, fields = entry.stored, inquiry.fields
    if is_unchanged(entry, inquiry):
        return 304, freshening.fields_of_304(entry.lines), None
    if stored.status == 200 and inquiry.method == b"GET" and fields.get(b"range") is not None:
        length = len(entry.content)
        spans = conditional.select_ranges(fields, stored.etag, stored.last_modified, length)
        if spans is not None:
            return select_parts(entry, spans)
    return stored.status, entry.lines, entry.content


def is_unchanged(entry: Entry, inquiry: Inquiry) -> bool:
    """Whether the client's own copy is what is stored; an error page is nobody's copy."""
    stored, fields = entry.stored, inquiry.fields
    if not 200 <= stored.status < 300:
        return False
    state = conditional.evaluate(b"GET", fields, stored.etag, stored.modified)
    return state is Precondition.NOT_MODIFIED


def select_parts(entry: Entry, spans: list[Span]) -> Content:
    """206 with one part or several, or 416."""
    content, length = entry.content, len(entry.content)
    if not spans:
        unsatisfied = (b"content-range", conditional.unsatisfied_range(length))
        return 416, [unsatisfied, (b"content-length", b"0")], b""
    if len(spans) == 1:
        start, stop = spans[0]
        where = conditional.content_range(start, stop, length)
        return 206, freshening.framed(entry.lines, stop - start, where), content[start:stop]
    return 206, *several(entry, spans)


def several(entry: Entry, spans: list[Span]) -> tuple[list[Line], bytes]:
    """Lines and content of several parts in one answer (RFC 9110 §15.3.7.2)."""
    boundary = secrets.token_hex(12).encode()
    kind = dict(entry.lines).get(b"content-type", b"")
    size, preambles, closing = conditional.multipart_layout(
        spans, kind, len(entry.content), boundary
    )
    rest = freshening.lines_without(entry.lines, frozenset((b"content-type",)))
    lines = freshening.framed(rest, size)
    lines.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
    parts = zip(preambles, spans, strict=True)
    pieces = [preamble + entry.content[start:stop] for preamble, (start, stop) in parts]
    return lines, b"".join(pieces) + closing
