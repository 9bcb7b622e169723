"""
Variants: which request fields select a stored response, and when two requests select the same.

Laws: two requests have one key exactly when, for each name in Vary, they state the same thing; a
field that is absent states something else than an empty one. Values are put into one spelling only
where the RFC of their field says that spellings mean the same, and never by dropping an order that
origins are known to read. `normal_value` is also what goes to the origin: what is forwarded
as the key has it cannot be answered differently under that key.

Source: RFC 9111 §4.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from edge.http.fields import (
    CODINGS,
    IDENTITY,
    OWS,
    Fields,
    acceptable_codings,
    is_token,
    split_list,
)

ACCEPT_ENCODING = b"accept-encoding"

MAX_REMEMBERED = 128
"""Bytes of a value whose normal form is remembered: with 1,024 of them, 128 KiB at the most."""

CASELESS_LISTS = frozenset((b"accept-charset", b"accept-language"))
"""Lists of case-insensitive elements. Source: RFC 9110 §8.3.2, §12.5.4 with RFC 4647 §2."""

LISTS = CASELESS_LISTS | frozenset((b"accept", b"access-control-request-headers", b"prefer"))
"""Lists whose whitespace means nothing. Whoever invented `Foo` may think otherwise of theirs."""


def vary_names(fields: Fields) -> tuple[bytes, ...] | None:
    """
    The names in a response's Vary, lower-case, sorted; None where no request can match again.

    What is no field name is taken for the asterisk: nobody knows what it selects by. A response
    with a content coding varies by Accept-Encoding, also where its origin does not say so.

    Source: RFC 9110 §12.5.5; stricter in these two.
    """
    names = {name.lower() for value in fields.getall(b"vary") for name in split_list(value)}
    if b"*" in names or not all(map(is_token, names)):
        return None
    if fields.get(b"content-encoding") is not None:
        names.add(ACCEPT_ENCODING)
    return tuple(sorted(names))


def variant_key(names: Iterable[bytes] | None, request: Fields) -> bytes | None:
    """
    What a request states in the fields of `names` (from `vary_names`); None never matches.

    Values carry their length, so that none can pass for the next field. A key is as long as the
    values are: whoever stores it counts it, and bounds the variants of one URL.

    Source: RFC 9111 §4.1. Cost: 0.2 µs without names, 1.2 µs for Accept-Encoding.
    """
    if names is None:
        return None
    return b"".join([statement(name, request.getall(name)) for name in names])


def matches(names: tuple[bytes, ...] | None, key: bytes | None, request: Fields) -> bool:
    """Whether a request selects what was stored under `key` for `names`."""
    return key is not None and variant_key(names, request) == key


def statement(name: bytes, values: list[bytes]) -> bytes:
    """One field in a key."""
    if not values and name != ACCEPT_ENCODING:
        return b"%b;" % name
    value = normal_value(name, values)
    return b"%b=%d:%b;" % (name, len(value), value)


def normal_value(name: bytes, values: list[bytes]) -> bytes:
    """
    All lines of a field (lower-case `name`) as one value, in one spelling.

    Any recipient may join lines by a comma, so that much holds for unknown fields too. Cookie
    lines, which HTTP/2 may split, join by a semicolon (RFC 9113 §8.2.3).

    Source: RFC 9110 §5.3; RFC 9111 §4.1, "known to have identical semantics".
    """
    if name == ACCEPT_ENCODING:
        return normal_accept_encoding(b",".join(values))
    if name in LISTS:
        joined = b", ".join(element for value in values for element in split_list(value))
        return joined.lower() if name in CASELESS_LISTS else joined
    between = b"; " if name == b"cookie" else b", "
    return between.join([value.strip(OWS) for value in values])


def normal_accept_encoding(value: bytes) -> bytes:
    """
    Accept-Encoding as one of sixteen values: those of br, zstd and gzip that are accepted.

    Weights go, for whatever an origin then chooses is accepted; so do codings that we could not
    undo. A refusal of identity stays. Without a field nothing is known, so identity is asked for:
    the answer to nobody's wish must be readable for everybody.

    Source: RFC 9110 §12.5.3. Why closed: CVE-2024-35296, and one stored response a browser.
    Cost: 0.1 µs for what browsers send, since it is remembered; 7 µs else.
    """
    return remembered(value) if len(value) <= MAX_REMEMBERED else closed(value)


def closed(value: bytes) -> bytes:
    """The same, worked out."""
    accepted = acceptable_codings(value)
    stated = [coding for coding in CODINGS if coding in accepted]
    if IDENTITY not in accepted:
        stated.append(b"identity;q=0")
    return b", ".join(stated) or IDENTITY


remembered = lru_cache(1024)(closed)
