"""
Freshening: the fields of a stored response, what asks the origin about them, and what its answer
changes.

Laws: stored lines have lower-case names and a valid Date; nothing in them belongs to one
connection, to one client, or to the moment. An update replaces all lines of a name or none.
What the stored bytes depend on does not change without the bytes. No cookie that came with
a 304 gets into the store unless that 304 speaks to shared caches.

Source: RFC 9111 §3.1, §3.2, §4.3.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from edge.http.caching import Directives, Policy, may_store_cookie, response_directives
from edge.http.conditional import only_value
from edge.http.fields import (
    ENTITY_TAGS,
    OWS,
    FieldList,
    Fields,
    Line,
    format_http_date,
    is_token,
    split_list,
    weak_match,
)
from edge.http.freshness import Stored, cache_date, validators
from edge.http.hops import HOP_BY_HOP

PRECONDITIONS = frozenset(
    (b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since")
)
"""The client's own, which a request that validates for the store must not carry beside ours."""

NOT_STORED = HOP_BY_HOP | {b"age", b"trailer"}
"""
Of one connection or one proxy; Age, which is made anew; Trailer, for trailers are not stored.

Source: RFC 9111 §3.1, §5.1.
"""

NOT_UPDATED = NOT_STORED | frozenset((b"content-encoding", b"content-length", b"content-range"))
"""
What describes the stored bytes themselves. Content-Type is no such: nobody here looks into them.

Source: RFC 9111 §3.2, Content-Length as a MUST, the others for "the integrity of the stored
response".
"""

FRAMING = frozenset((b"content-length", b"content-range"))

NOT_IN_304 = frozenset(
    b"content-encoding content-language content-length content-range content-type".split()
)
"""Representation metadata that the client has already. Source: RFC 9110 §15.4.5."""


# Fields


def stored_fields(fields: Fields, directives: Directives, received_at: float) -> list[Line]:
    """
    The lines to store of a received response: all but those that may not be.

    Fields that `private` or `no-cache` names are left out, so that whatever is served from
    the store unvalidated has none of them.

    Source: RFC 9111 §3.1, §5.2.2.4, §5.2.2.7; RFC 9110 §6.6.1 for the Date.
    """
    excluded = NOT_STORED | connection_options(fields) | left_out(directives)
    return dated(lines_without(fields, excluded), received_at)


def freshen(
    lines: Iterable[Line], update: Fields, received_at: float, policy: Policy
) -> list[Line]:
    """
    The lines of a stored response after a 304, a 200 to HEAD, or a 206 that completes it.

    Every name in `update`, its fields as received, replaces what was stored of it. The caller then
    judges the result by `may_store` (see `ABOUT_REQUEST`) and describes it anew: lifetime, Vary
    and `no-store` may have changed. Doing it twice changes nothing.

    Source: RFC 9111 §3.2, §3.4, §4.3.4, §4.3.5.
    """
    excluded = NOT_UPDATED | connection_options(update)
    if not may_store_cookie(response_directives(update, policy.targeted), policy):
        excluded |= {b"set-cookie"}
    news = dated(lines_without(update, excluded), received_at)
    names = {name for name, _ in news}
    merged = [line for line in lines if line[0] not in names] + news
    restricted = left_out(response_directives(FieldList(merged), policy.targeted))
    return lines_without(merged, restricted)


def fields_of_304(lines: Iterable[Line]) -> list[Line]:
    """The lines of a 304 made from a stored response (RFC 9111 §4.3.2)."""
    return lines_without(lines, NOT_IN_304)


def framed(lines: Iterable[Line], length: int, content_range: bytes = b"") -> list[Line]:
    """
    The lines for sending `length` bytes: all of a representation, or the part that Content-Range
    (`conditional.content_range`) names.
    """
    rest = lines_without(lines, FRAMING)
    if content_range:
        rest.append((b"content-range", content_range))
    return [*rest, (b"content-length", b"%d" % length)]


def lines_without(lines: Iterable[Line], excluded: frozenset[bytes]) -> list[Line]:
    """The lines whose names are not excluded, names in lower case."""
    lowered = [(name.lower(), value) for name, value in lines]
    return [line for line in lowered if line[0] not in excluded]


def dated(lines: list[Line], received_at: float) -> list[Line]:
    """The lines with one valid Date: the first they have, or when they came (RFC 9110 §6.6.1)."""
    dates = [value for name, value in lines if name == b"date"]
    if len(dates) == 1 and cache_date(dates[0], received_at) is not None:
        return lines
    rest = [line for line in lines if line[0] != b"date"]
    valid = [value for value in dates[:1] if cache_date(value, received_at) is not None]
    return [*rest, (b"date", valid[0] if valid else format_http_date(int(received_at)))]


def connection_options(fields: Fields) -> frozenset[bytes]:
    """The names in Connection, lower-case (RFC 9110 §7.6.1)."""
    values = fields.getall(b"connection")
    return frozenset(name.lower() for value in values for name in split_list(value))


def left_out(directives: Directives) -> frozenset[bytes]:
    """The names of fields that may not be served from the store unvalidated."""
    return directives.named(b"private") | directives.named(b"no-cache")


# Validating


def conditional_fields(stored: Stored) -> list[Line]:
    """
    The lines that make a request ask whether a stored response is still good; none: it cannot.

    Entity-tag and date as received, both where there are both. Whoever sends it leaves out the
    client's own (`PRECONDITIONS`) and its Range. Other variants' entity-tags are not listed:
    a 304 for one of those would answer what this client did not ask.

    Source: RFC 9111 §4.3.1.
    """
    lines = []
    if is_sendable(stored.etag):
        lines.append((b"if-none-match", stored.etag))
    if stored.last_modified_line:
        lines.append((b"if-modified-since", stored.last_modified_line))
    return lines


def is_sendable(etag: bytes) -> bool:
    """
    Whether an entity-tag can stand in If-None-Match: a valid one, or a bare word without quotes.

    The word is what some origins make and want back; an asterisk would match anything.
    """
    return ENTITY_TAGS.fullmatch(etag) is not None or (is_token(etag) and b"*" not in etag)


def identify(candidates: Sequence[Stored], update: Fields) -> list[int]:
    """
    Which of the stored responses that a request could have selected a 304 is about.

    Returns:
        Places in `candidates`: all with its strong entity-tag; else the most recent one that its
        weak entity-tag or its date fits; a 304 without validators is about the only one there is,
        for it answers our own conditions. None: it updates nothing; ask again unconditionally.

    Source: RFC 9111 §4.3.4; looser in the last case, where a stored validator is not repeated.
    """
    etag = (only_value(update, b"etag") or b"").strip(OWS)
    date = only_value(update, b"last-modified") or b""
    if not etag and not date:
        return [0] if len(candidates) == 1 else []
    if etag and not etag.startswith(b"W/"):
        return [place for place, each in enumerate(candidates) if each.etag == etag]
    fitting = [place for place, each in enumerate(candidates) if fits(each, etag, date)]
    return [max(fitting, key=lambda place: recency(candidates[place]))] if fitting else []


def fits(stored: Stored, etag: bytes, date: bytes) -> bool:
    """Whether a weak entity-tag or, without one on both sides, a date is that of a response."""
    if etag and stored.etag:
        return weak_match(etag, stored.etag)
    modified = cache_date(date, stored.received_at)
    return modified is not None and modified == stored.last_modified


def recency(stored: Stored) -> tuple[int, float]:
    """What orders stored responses in time: Date, then arrival (RFC 9111 §4, last paragraph)."""
    return stored.date, stored.received_at


def mark_stale(stored: Stored, now: float) -> Stored:
    """The response as one whose lifetime has ended; what may happen after it, may happen now."""
    return replace(stored, fresh_until=min(stored.fresh_until, now))


# HEAD


class HeadEffect(enum.Enum):
    """What a response to HEAD does to a stored response to GET."""

    UPDATE = enum.auto()
    """`freshen` it."""

    STALE = enum.auto()
    """`mark_stale` it: it describes something else."""

    NONE = enum.auto()


def head_effect(stored: Stored, length: int, status: int, fields: Fields) -> HeadEffect:
    """
    What a response to HEAD does to a stored response to GET with `length` bytes of content.

    Only a 200 does anything, and only what it states is compared.

    Source: RFC 9111 §4.3.5.
    """
    if status != 200:
        return HeadEffect.NONE
    etag, modified, _ = validators(status, fields, stored.received_at)
    stated = fields.get(b"content-length", b"").strip(OWS)
    is_same = (
        stored.status == 200
        and etag in (b"", stored.etag)
        and modified in (None, stored.last_modified)
        and stated in (b"", b"%d" % length)
    )
    return HeadEffect.UPDATE if is_same else HeadEffect.STALE
