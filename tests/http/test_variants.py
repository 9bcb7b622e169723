"""Keys of variants: who shares one, who does not, and that no value passes for another."""

from __future__ import annotations

import time
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.fields import FieldList, acceptable_codings
from edge.http.variants import (
    MAX_REMEMBERED,
    matches,
    normal_accept_encoding,
    normal_value,
    variant_key,
    vary_names,
)


def request(*lines: tuple[bytes, bytes]) -> FieldList:
    """A request's fields."""
    return FieldList(list(lines))


# Names


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        ([b""], ()),
        ([b"Foo"], (b"foo",)),
        ([b"Foo, bar", b"FOO"], (b"bar", b"foo")),
        ([b" , Foo,, "], (b"foo",)),
        ([b"*"], None),
        ([b"*, *"], None),
        ([b"", b"*"], None),
        ([b"Foo, *"], None),
        ([b"Foo bar"], None),
        ([b'"Foo"'], None),
        ([b"Foo\xe9"], None),
    ],
    ids=repr,
)
def test_names_in_vary(values, expected):
    """Names are lower-case and sorted; an asterisk, or what is no name, matches nobody (§4.1)."""
    assert vary_names(FieldList([(b"vary", value) for value in values])) == expected


def test_what_is_encoded_varies_by_accept_encoding():
    """Who did not ask for gzip is not given it because an origin forgot to say Vary."""
    encoded = (b"content-encoding", b"gzip")

    assert vary_names(FieldList([encoded])) == (b"accept-encoding",)
    assert vary_names(FieldList([encoded, (b"vary", b"*")])) is None
    assert vary_names(FieldList([encoded, (b"vary", b"Accept-Encoding, Foo")])) == (
        b"accept-encoding",
        b"foo",
    )


# Keys


def test_no_names_match_everybody():
    """A response without Vary has one key for all."""
    assert variant_key((), request((b"foo", b"1"))) == variant_key((), request())


def test_the_asterisk_matches_nobody():
    """Not even the request that it was stored for."""
    assert variant_key(None, request()) is None
    assert not matches(None, None, request())
    assert not matches((b"foo",), None, request())


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ([(b"foo", b"1")], [(b"foo", b"1")], True),
        ([(b"foo", b"1")], [(b"foo", b"2")], False),
        ([(b"foo", b"1")], [], False),
        ([(b"foo", b"")], [], False),
        ([(b"foo", b"a")], [(b"foo", b"A")], False),
        ([(b"foo", b" 1\t")], [(b"foo", b"1")], True),
        ([(b"foo", b"1"), (b"foo", b"2")], [(b"foo", b"1, 2")], True),
        ([(b"foo", b"1,2")], [(b"foo", b"1, 2")], False),
        ([(b"foo", b"2"), (b"foo", b"1")], [(b"foo", b"1, 2")], False),
        ([(b"bar", b"1")], [(b"foo", b"1")], False),
        ([(b"foo", b"1"), (b"other", b"x")], [(b"foo", b"1"), (b"other", b"y")], True),
        ([(b"foo", b"1;bar=0:")], [(b"foo", b"1"), (b"bar", b"")], False),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], [(b"cookie", b"a=1; b=2")], True),
        ([(b"cookie", b"a=1,b")], [(b"cookie", b"a=1, b")], False),
        ([(b"accept", b"a/b,c/d")], [(b"accept", b"a/b , c/d")], True),
        ([(b"accept", b"a/b")], [(b"accept", b"A/B")], False),
        ([(b"accept-language", b"en,de")], [(b"accept-language", b"EN , De")], True),
        ([(b"accept-language", b"en,de")], [(b"accept-language", b"de,en")], False),
        ([(b"accept-encoding", b"gzip, deflate")], [(b"accept-encoding", b"GZIP")], True),
        ([(b"accept-encoding", b"gzip")], [(b"accept-encoding", b"br")], False),
        ([(b"accept-encoding", b"")], [], True),
        ([(b"accept-encoding", b"identity")], [], True),
        ([(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")],
         [(b"accept-encoding", b"gzip,br")], True),
    ],
)  # fmt: skip
def test_who_shares_a_variant(one, other, is_same):
    """One key exactly where the fields are known to say the same (RFC 9111 §4.1)."""
    names = (b"accept", b"accept-encoding", b"accept-language", b"bar", b"cookie", b"foo")
    key = variant_key(names, request(*one))

    assert matches(names, key, request(*other)) == is_same


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        (b"accept-charset", [b"UTF-8,", b" iso-8859-1"], b"utf-8, iso-8859-1"),
        (b"accept-language", [b"De,en;q=0.5"], b"de, en;q=0.5"),
        (b"accept", [b"a/B,,c/d"], b"a/B, c/d"),
        (b"access-control-request-headers", [b"x-a,x-b"], b"x-a, x-b"),
        (b"prefer", [b'a="x,y",b'], b'a="x,y", b'),
        (b"foo", [b" a,b ", b""], b"a,b, "),
        (b"cookie", [b"a=1 ", b"b=2"], b"a=1; b=2"),
        (b"accept-encoding", [b"br", b"x-gzip"], b"br, gzip"),
    ],
)
def test_one_spelling(name, values, expected):
    """What goes into a key, and to the origin (RFC 9110 §5.3)."""
    assert normal_value(name, values) == expected


ODD = st.text(alphabet="=:;0123,a- ", max_size=6).map(str.encode)
LINES = st.lists(st.tuples(st.sampled_from([b"foo", b"bar", b"a"]), ODD), max_size=4)


@given(LINES, LINES)
def test_keys_tell_all_values_apart(one, other):
    """Two requests share a key exactly when each field, its lines joined, is the same."""
    names = (b"a", b"bar", b"foo")
    said = [
        [normal_value(name, request(*lines).getall(name)) or None for name in names]
        for lines in (one, other)
    ]
    absent = [[not request(*lines).getall(name) for name in names] for lines in (one, other)]

    is_same = said[0] == said[1] and absent[0] == absent[1]
    assert (variant_key(names, request(*one)) == variant_key(names, request(*other))) == is_same


# Accept-Encoding


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b"identity"),
        (b"identity", b"identity"),
        (b"gzip, deflate, br, zstd", b"br, zstd, gzip"),
        (b"zstd, br, gzip", b"br, zstd, gzip"),
        (b"gzip;q=1, br;q=0.1", b"br, gzip"),
        (b"gzip;q=1, br;q=0", b"gzip"),
        (b"deflate", b"identity"),
        (b"*", b"br, zstd, gzip"),
        (b"*;q=0", b"identity;q=0"),
        (b"gzip, *;q=0", b"gzip, identity;q=0"),
        (b"gzip, identity;q=0", b"gzip, identity;q=0"),
        (b"\xff" * 20, b"identity"),
        (b"x," * MAX_REMEMBERED + b"gzip", b"identity"),
        (b"gzip" + b" " * MAX_REMEMBERED, b"gzip"),
    ],
    ids=repr,
)
def test_accept_encoding_in_one_spelling(value, expected):
    """What is accepted of what we know, in one order, without weights (RFC 9110 §12.5.3)."""
    assert normal_accept_encoding(value) == expected


def test_there_are_sixteen_normal_forms():
    """Every combination of three codings and identity, and no other."""
    weights = [b"br;q=%d, zstd;q=%d, gzip;q=%d, identity;q=%d" % (a, b, c, d)
               for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]  # fmt: skip

    assert len({normal_accept_encoding(value) for value in weights}) == 16


@given(st.text(alphabet="brgzipstd;q=0.15,* ", max_size=40).map(str.encode) | st.binary())
def test_normal_forms_accept_what_the_client_accepts(value):
    """What an origin may answer to the normal form, it might have answered to the field."""
    normal = normal_accept_encoding(value)

    assert set(acceptable_codings(normal)) == set(acceptable_codings(value))
    assert normal_accept_encoding(normal) == normal


def test_order_of_codings_makes_no_variant():
    """A list of accepted codings is one variant in any order."""
    values = {b", ".join(order) for order in permutations((b"gzip", b"br", b"zstd", b"deflate"))}

    assert len({normal_accept_encoding(value) for value in values}) == 1


# Anything


@given(
    st.lists(st.tuples(st.sampled_from([b"vary", b"content-encoding"]), st.binary(max_size=20))),
    LINES | st.lists(st.tuples(st.just(b"accept-language"), st.binary(max_size=20))),
)
def test_any_bytes_have_a_key_or_none(response, lines):
    """Whatever Vary says and whatever a client sends: no exception, and who stored it matches."""
    names = vary_names(FieldList(response))
    key = variant_key(names, request(*lines))

    assert matches(names, key, request(*lines)) == (names is not None)


def test_long_values_take_linear_time():
    """A hundred kilobytes in each kind of field take milliseconds."""
    fields = request(
        (b"accept-language", b'"a,' * 30_000),
        (b"accept-encoding", b"a," * 50_000),
        (b"foo", b", " * 50_000),
    )
    began = time.process_time()
    variant_key((b"accept-encoding", b"accept-language", b"foo"), fields)

    assert time.process_time() - began < 1
