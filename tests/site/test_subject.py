"""The way back from decoded characters to the bytes that arrived."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site.subject import Subject, parse_query


def subject(raw, query=None):
    """A request for a path."""
    return Subject(decode_path(raw), raw, query, "www.example", None, None)


@pytest.mark.parametrize(
    ("raw", "part", "arrived"),
    [
        (b"/docs/a", "a", b"a"),
        (b"/docs/%61b", "ab", b"%61b"),
        (b"/docs/%C3%a9!", "é", b"%C3%a9"),
        ("/docs/é!".encode(), "é", "é".encode()),
        (b"/docs/\xc3%A9!", "é", b"\xc3%A9"),
        (b"/docs/a%2fb", "a%2Fb", b"a%2fb"),
        (b"/docs/%41a%2Fb", "a%2Fb", b"a%2Fb"),
        (b"/x/../docs/%3F", "?", b"%3F"),
        (b"/x/%2e%2E/docs/%3Fa", "?a", b"%3Fa"),
        (b"/%E2%82%AC/\xf0\x9f\x98\x80z", "😀z", b"\xf0\x9f\x98\x80z"),
        (b"/docs/%252F", "%2F", b"%252F"),
    ],
)
def test_a_capture_is_what_arrived(raw, part, arrived):
    """Never decoded and encoded again."""
    request = subject(raw)
    start = request.path.index(part)

    assert request.arrived((start, start + len(part))) == arrived


@pytest.mark.parametrize(
    ("raw", "resolved"),
    [
        (b"/a/./b", b"/a/b"),
        (b"/a/../b/", b"/b/"),
        (b"/a/b/..", b"/a/"),
        (b"/a/%2e", b"/a/"),
        (b"/a/.%2E/%41", b"/%41"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/a//../b", b"/a/b"),
    ],
)
def test_dot_segments_are_resolved_in_the_bytes_too(raw, resolved):
    """As in the decoded path, and nothing else changes."""
    assert subject(raw).resolved == resolved


PARTS = st.sampled_from(
    [b"/", b"a", b".", b"..", b"%2e", b"%2F", b"%2f", b"%41", b"%C3%A9", b"%c3", b"\xa9", b"%25"]
)


@given(st.lists(PARTS, max_size=12).map(lambda parts: b"/" + b"".join(parts)))
def test_every_character_has_its_bytes(raw):
    """Each one's bytes decode to it, and all together are the path."""
    try:
        request = subject(raw)
    except MalformedRequest:
        return
    arrived = [request.arrived((at, at + 1)) for at in range(len(request.path))]

    assert b"".join(arrived) == request.resolved
    decoded = [unquote_to_bytes(each).decode() for each in arrived]
    assert "".join(decoded).replace("%2f", "%2F") == request.path
    assert set(map(len, decoded)) == {1}
    assert decode_path(request.resolved) == request.path


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", []),
        (b"a=1&b=2", [("a", "1", b"1"), ("b", "2", b"2")]),
        (b"&a&&b=", [("a", "", b""), ("b", "", b"")]),
        (b"a+b=c+d%2B", [("a b", "c d+", b"c%20d%2B")]),
        (b"a=%c0%af", [("a", "\ufffd\ufffd", b"%c0%af")]),
        (b"a=b=c", [("a", "b=c", b"b=c")]),
    ],
)
def test_a_query_is_read_as_browsers_write_it(query, parameters):
    """Key, value, value as it arrived."""
    assert parse_query(query) == parameters
    assert subject(b"/", query).parameters == parameters


def test_the_first_of_a_key_and_of_its_value_counts():
    """A rule asks for a key, or for a key with a value; both are one look-up."""
    values = subject(b"/", b"a=1&a=%31&b=2&a=3").values

    assert values[("a", None)] == values[("a", "1")] == b"1"
    assert values[("a", "3")] == b"3"
    assert ("b", "1") not in values
    assert subject(b"/").values == {}


def test_a_query_is_read_once():
    """Every rule that asks looks into the same dictionary."""
    request = subject(b"/", b"a=1")

    assert request.parameters is request.parameters
    assert request.values is request.values
