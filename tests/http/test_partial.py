"""Parts of a representation: what is one, which join, and that joined bytes are the bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.fields import FieldList
from edge.http.partial import (
    Extent,
    combine,
    extent_of,
    find_span,
    may_combine,
)

WHOLE = bytes(range(48, 98))
LENGTH = len(WHOLE)


def part(*lines: tuple[bytes, bytes], etag: bytes = b'"a"') -> FieldList:
    """The fields of a 206."""
    return FieldList([(b"etag", etag), *lines])


# Extents


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes 0-4/10", (0, 5, 10)),
        (b" Bytes 5-9/10\t", (5, 10, 10)),
        (b"bytes 0-0/1", (0, 1, 1)),
        (b"bytes 007-9/10", (7, 10, 10)),
        (b"bytes 0-0/1000000000000000", (0, 1, 10**15)),
    ],
)
def test_extents(value, expected):
    """First, last and length make a half-open span (RFC 9110 §14.4)."""
    assert extent_of(part((b"content-range", value))) == Extent(*expected, b'"a"')


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes */10",
        b"bytes 0-4/*",
        b"bytes 4-3/10",
        b"bytes 0-10/10",
        b"bytes 0-4/0",
        b"bytes=0-4/10",
        b"bytes  0-4/10",
        b"bytes 0-4",
        b"lines 0-4/10",
        b"bytes 0-4/10, bytes 5-9/10",
        b"bytes -4/10",
        b"bytes 0-4/10\n",
        b"bytes 0-4/1000000000000001",
        b"bytes 0-4/" + b"9" * 30,
        b"bytes 0-" + b"9" * 30 + b"/" + b"9" * 31,
    ],
    ids=repr,
)
def test_no_extents(value):
    """What is unsatisfied, unknown, impossible or of another unit is no part to keep."""
    assert extent_of(part((b"content-range", value))) is None


@pytest.mark.parametrize("etag", [b"", b"a", b'W/"a"', b"*", b'"a" "b"', b'"a'])
def test_only_a_strong_entity_tag_makes_parts_of_one_thing(etag):
    """Nothing may be combined under another validator (RFC 9111 §3.4)."""
    assert extent_of(part((b"content-range", b"bytes 0-4/10"), etag=etag)) is None


def test_fields_given_twice_say_nothing():
    """Neither of two ranges or two tags is more true than the other."""
    twice = (b"content-range", b"bytes 0-4/10")

    assert extent_of(part(twice, twice)) is None
    assert extent_of(part(twice, (b"etag", b'"a"'))) is None
    assert extent_of(FieldList([])) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Extent(5, 10, 10, b'"a"'), True),
        (Extent(5, 10, 10, b'"b"'), False),
        (Extent(5, 10, 11, b'"a"'), False),
    ],
)
def test_parts_of_the_same_bytes_combine(other, expected):
    """One entity-tag and one length."""
    assert may_combine(Extent(0, 5, 10, b'"a"'), other) == expected


# Parts

SPANS = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).filter(lambda s: s[0] < s[1])


def stored(spans: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    """Parts that came in this order."""
    parts: list[tuple[int, bytes]] = []
    for start, stop in spans:
        parts = combine(parts, start, WHOLE[start:stop])
    return parts


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 2), (4, 6)], [(0, WHOLE[0:2]), (4, WHOLE[4:6])]),
        ([(4, 6), (0, 2)], [(0, WHOLE[0:2]), (4, WHOLE[4:6])]),
        ([(0, 2), (2, 4)], [(0, WHOLE[0:4])]),
        ([(2, 4), (0, 2)], [(0, WHOLE[0:4])]),
        ([(0, 3), (2, 5)], [(0, WHOLE[0:5])]),
        ([(0, 9), (2, 5)], [(0, WHOLE[0:9])]),
        ([(2, 5), (0, 9)], [(0, WHOLE[0:9])]),
        ([(0, 2), (4, 6), (8, 9), (1, 5)], [(0, WHOLE[0:6]), (8, WHOLE[8:9])]),
    ],
)
def test_parts_join(spans, expected):
    """Parts that overlap or touch become one, the others stay apart."""
    assert stored(spans) == expected


def test_of_doubled_bytes_the_new_count():
    """They should be the same; if they are not, the later answer is the better guess."""
    assert combine([(0, b"aaaa")], 1, b"bb") == [(0, b"abba")]


@given(st.lists(SPANS, max_size=8), SPANS)
def test_parts_are_the_bytes_they_came_from(spans, wanted):
    """In any order: sorted, apart, true; a span is there exactly when all its bytes came."""
    parts = stored(spans)
    covered = {place for start, stop in spans for place in range(start, stop)}
    start, stop = wanted

    assert all(WHOLE[first : first + len(content)] == content for first, content in parts)
    assert all(one[0] + len(one[1]) < other[0] for one, other in pairwise(parts))
    is_there = covered.issuperset(range(start, stop))
    assert find_span(parts, wanted) == (WHOLE[start:stop] if is_there else None)


@given(st.binary(max_size=40), st.binary(max_size=10))
def test_any_bytes_are_an_extent_or_none(value, etag):
    """Reading a 206 never raises."""
    extent = extent_of(part((b"content-range", value), etag=etag))

    assert extent is None or extent.start < extent.stop <= extent.length
