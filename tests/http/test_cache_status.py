"""Cache-Status members against the examples of RFC 9211 and against hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.cache_status import HIT, Forwarded, Handling, cache_status, sf_string, sf_word
from edge.http.caching import Reason
from edge.http.fields import is_field_value
from edge.http.targeted import parse_dictionary


@pytest.mark.parametrize(
    ("handling", "expected"),
    [
        (HIT, b"edge; hit"),
        (Handling(ttl=376), b"edge; hit; ttl=376"),
        (Handling(ttl=-412), b"edge; hit; ttl=-412"),
        (Handling(forwarded=Forwarded.URI_MISS), b"edge; fwd=uri-miss"),
        (
            Handling(forwarded=Forwarded.URI_MISS, is_stored=True, ttl=60),
            b"edge; fwd=uri-miss; stored; ttl=60",
        ),
        (
            Handling(forwarded=Forwarded.STALE, forward_status=304, ttl=60),
            b"edge; fwd=stale; fwd-status=304; ttl=60",
        ),
        (Handling(forwarded=Forwarded.MISS, is_collapsed=True), b"edge; fwd=miss; collapsed"),
        (
            Handling(forwarded=Forwarded.BYPASS, detail=b"no-store"),
            b"edge; fwd=bypass; detail=no-store",
        ),
        (Handling(ttl=1, detail=b"two words"), b'edge; hit; ttl=1; detail="two words"'),
        (Handling(key=b'https://a/"x"\\'), b'edge; hit; key="https://a/\\"x\\"\\\\"'),
        (Handling(key=b"\xc3\xa9\r\n"), b'edge; hit; key="%C3%A9%0D%0A"'),
        (Handling(is_stored=True, is_collapsed=True, forward_status=200), b"edge; hit"),
    ],
)
def test_members(handling, expected):
    """A hit has no forward parameters, a forward has no hit (RFC 9211 §2)."""
    assert cache_status(handling) == expected


@pytest.mark.parametrize("forwarded", Forwarded)
def test_every_forward_reason_is_a_word_of_the_rfc(forwarded):
    """The words of RFC 9211 §2.2."""
    words = b"bypass method uri-miss vary-miss miss request stale partial".split()

    assert forwarded.value in words


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_needs_no_quotes(reason):
    """Why a response is not stored is a token in `detail`."""
    assert sf_word(reason.value) == reason.value


def test_what_begins_with_a_digit_is_no_token():
    """A Token begins with a letter (RFC 8941 §3.3.4)."""
    assert sf_word(b"h2") == b"h2"
    assert sf_word(b"304") == b'"304"'
    assert sf_word(b"") == b'""'


@given(st.binary(max_size=40))
def test_any_bytes_stay_inside_their_string(value):
    """A key or a detail cannot end the member or the line."""
    handling = Handling(key=value, detail=value)
    text = cache_status(handling)
    members = parse_dictionary(text)

    assert is_field_value(text)
    assert members == {b"edge": True}
    assert parse_dictionary(b"a=" + sf_string(value)) is not None
