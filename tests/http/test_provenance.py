"""Who asked and which way it went, told to whoever is next; and requests that come back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import OriginError
from edge.http.provenance import (
    BALANCED,
    MAX_TRANSLATED,
    check_loop,
    client_lines,
    path_lines,
    trusted_client_lines,
    via,
)

OWN = b"edge-3f2a"


def told(met, peer="192.0.2.9"):
    """X-Forwarded-For and Forwarded behind a trusted proxy."""
    lines = dict(trusted_client_lines(met, peer, b"https", b"example.com"))
    return lines[b"x-forwarded-for"], lines[b"forwarded"]


@pytest.mark.parametrize(
    ("peer", "authority", "chain", "forwarded"),
    [
        (
            "203.0.113.9",
            b"example.com",
            b"203.0.113.9",
            b"for=203.0.113.9;host=example.com;proto=https",
        ),
        (
            "2001:db8::9",
            b"example.com:8443",
            b"2001:db8::9",
            b'for="[2001:db8::9]";host="example.com:8443";proto=https',
        ),
        ("fe80::1%eth0", b"", b"fe80::1", b'for="[fe80::1]";proto=https'),
        ("", b"[::1]", b"unknown", b'for=unknown;host="[::1]";proto=https'),
        ("1.2.3.4", b'a"\\b', b"1.2.3.4", b'for=1.2.3.4;host="a\\"\\\\b";proto=https'),
    ],
)
def test_a_client_is_named(peer, authority, chain, forwarded):
    """IPv6 quoted and in brackets, a Unix socket unknown, no host where there was none."""
    expected = {
        b"x-forwarded-for": chain,
        b"x-forwarded-proto": b"https",
        b"forwarded": forwarded,
    }
    if authority:
        expected[b"x-forwarded-host"] = authority

    assert dict(client_lines(peer, b"https", authority)) == expected


@pytest.mark.parametrize(
    ("met", "chain", "forwarded"),
    [
        ({}, b"", b""),
        ({b"x-forwarded-for": [b""], b"forwarded": [b""]}, b"", b""),
        ({b"x-forwarded-for": [b"203.0.113.9"]}, b"203.0.113.9, ", b"for=203.0.113.9, "),
        (
            {b"x-forwarded-for": [b"203.0.113.9:443,, 2001:db8::1", b"[2001:db8::2]:80"]},
            b"203.0.113.9:443,, 2001:db8::1, [2001:db8::2]:80, ",
            b'for="203.0.113.9:443", for="[2001:db8::1]", for="[2001:db8::2]:80", ',
        ),
        (
            {b"x-forwarded-for": [b'bob, "x, 203.0.113.9']},
            b'bob, "x, 203.0.113.9, ',
            b"for=unknown, for=unknown, for=203.0.113.9, ",
        ),
        (
            {b"forwarded": [b"for=a;by=b, For=c", b"for=d"], b"x-forwarded-for": [b"1.2.3.4"]},
            b"1.2.3.4, ",
            b"for=a;by=b, For=c, for=d, ",
        ),
        # an open quote would swallow what follows: it is left out
        ({b"forwarded": [b'for="a, for=b', b'for="\\"']}, b"", b""),
        ({b"forwarded": [b'for="a', b'for="b, \\"c"']}, b"", b'for="b, \\"c", '),
    ],
)
def test_a_trusted_proxy_is_appended_to(met, chain, forwarded):
    """What it said comes first; without Forwarded its X-Forwarded-For is translated."""
    own = b"for=192.0.2.9;host=example.com;proto=https"

    assert told(met) == (chain + b"192.0.2.9", forwarded + own)


def test_a_long_chain_is_translated_in_part():
    """The last elements, as many as are looked at anywhere."""
    chain, forwarded = told({b"x-forwarded-for": [b", ".join([b"1.2.3.4"] * 1000)]})

    assert chain.count(b",") == 1000
    assert forwarded.count(b",") == MAX_TRANSLATED


@given(st.binary(max_size=40))
@example(b'a="\\')
@example(b'a="b"c=d')
def test_what_is_stated_never_hides_what_is_appended(stated):
    """Behind what passes, a reader of quoted strings finds our own element."""
    inside = False
    if BALANCED.fullmatch(stated):
        escaped = False
        for byte in stated:
            if inside and escaped:
                escaped = False
            elif inside and byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                inside = not inside

    assert not inside


# Which way


@pytest.mark.parametrize(
    ("met", "version", "expected"),
    [
        ({}, b"1.1", [(b"via", b"1.1 edge-3f2a"), (b"cdn-loop", b"edge-3f2a")]),
        ({}, b"2", [(b"via", b"2.0 edge-3f2a"), (b"cdn-loop", b"edge-3f2a")]),
        ({}, b"1.0", [(b"via", b"1.0 edge-3f2a"), (b"cdn-loop", b"edge-3f2a")]),
        (
            {b"via": [b"1.1 a, 1.0 b", b"", b"2 c"], b"cdn-loop": [b"x; y=1", b"z"]},
            b"1.1",
            [(b"via", b"1.1 a, 1.0 b, 2 c, 1.1 edge-3f2a"), (b"cdn-loop", b"x; y=1, z, edge-3f2a")],
        ),
        (
            {b"cdn-loop": [b"x"]},
            b"1.1",
            [(b"via", b"1.1 edge-3f2a"), (b"cdn-loop", b"x, edge-3f2a")],
        ),
    ],
)
def test_the_way_is_one_step_longer(met, version, expected):
    """One line each, whatever was there."""
    assert list(path_lines(met, version, OWN)) == expected


def test_an_unknown_version_is_said_as_it_is():
    """No guess about a protocol of tomorrow."""
    assert via({}, b"3", b"edge") == (b"via", b"3 edge")


@pytest.mark.parametrize(
    "met",
    [
        {b"cdn-loop": [b"edge-3f2a"]},
        {b"cdn-loop": [b"other, EDGE-3F2A ; hops=1"]},
        {b"cdn-loop": [b"other", b"edge-3f2a"]},
        {b"via": [b"1.1 edge-3f2a"]},
        {b"via": [b"1.0 fred, HTTP/1.1\tEdge-3f2a (comment)"]},
        # hidden behind what a client left open
        {b"cdn-loop": [b'x; y=", edge-3f2a']},
        {b"via": [b"1.1 x (, 1.1 edge-3f2a"]},
    ],
)
def test_a_request_that_was_here_is_refused(met):
    """508, and said so in RFC 9209's word."""
    with pytest.raises(OriginError, match="came back") as caught:
        check_loop(met, OWN)

    assert (caught.value.status, caught.value.kind) == (508, "proxy_loop_detected")
    assert caught.value.retry == "never"


@pytest.mark.parametrize(
    "met",
    [
        {},
        {b"cdn-loop": [b"edge, edge-3f2b, other; id=edge-3f2a"], b"via": [b"", b"1.1"]},
        {b"via": [b"1.1 edge, 1.1 edge-3f2b, edge-3f2a"]},
    ],
)
def test_a_request_from_another_node_is_not(met):
    """Two nodes in a row are a chain."""
    check_loop(met, OWN)


@given(st.lists(st.binary(max_size=20), max_size=3), st.lists(st.binary(max_size=20), max_size=3))
def test_every_loop_is_found(ways, loops):
    """Whatever is in front of what we appended, the second time it is seen."""
    try:
        lines = dict(path_lines({b"via": ways, b"cdn-loop": loops}, b"1.1", OWN))
        for name, value in lines.items():
            with pytest.raises(OriginError):
                check_loop({name: [value]}, OWN)
    except OriginError:
        pytest.fail("appending does not judge")
