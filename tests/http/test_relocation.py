"""Where an origin sends the client: on the client's own host, never on another by mistake."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http.relocation import Relocation, relocate, relocated

PLAIN = Relocation(scheme=b"http", authority=b"app:3000", client=b"https://example.com")
UNDER = Relocation(
    scheme=b"https",
    authority=b"api.example.net",
    client=b"https://example.com:8443",
    target_prefix=b"/v2/",
    source_prefix=b"/api/",
)
DOMAIN = Relocation(
    scheme=b"http", authority=b"app", client=b"https://example.com", target_prefix=b"/base"
)


@pytest.mark.parametrize(
    ("way", "value", "expected"),
    [
        (PLAIN, b"http://app:3000/login?a=b#c", b"https://example.com/login?a=b#c"),
        (PLAIN, b"HTTP://APP:3000/Login", b"https://example.com/Login"),
        (PLAIN, b"https://app:3000/login", b"https://example.com/login"),
        (PLAIN, b"//app:3000/login", b"https://example.com/login"),
        (PLAIN, b"http://app:3000", b"https://example.com/"),
        (PLAIN, b"http://app:3000?x", b"https://example.com/?x"),
        (PLAIN, b"http://app:3000//evil.example/", b"https://example.com//evil.example/"),
        # somebody else's
        (PLAIN, b"http://app/login", b"http://app/login"),
        (PLAIN, b"http://app:3001/", b"http://app:3001/"),
        (PLAIN, b"http://user@app:3000/", b"http://user@app:3000/"),
        (PLAIN, b"http://app:3000\\x", b"http://app:3000\\x"),
        (PLAIN, b"http://app:3000.evil.example/", b"http://app:3000.evil.example/"),
        (PLAIN, b"ftp://app:3000/", b"ftp://app:3000/"),
        (PLAIN, b"https://other.example/", b"https://other.example/"),
        # relative ones lead to the client's host already
        (PLAIN, b"/login", b"/login"),
        (PLAIN, b"login", b"login"),
        (PLAIN, b"?page=2", b"?page=2"),
        (PLAIN, b"", b""),
        # through the rule
        (UNDER, b"https://api.example.net/v2/users/1", b"https://example.com:8443/api/users/1"),
        (UNDER, b"https://api.example.net:443/v2/", b"https://example.com:8443/api/"),
        (UNDER, b"https://api.example.net:/v2/", b"https://example.com:8443/api/"),
        (UNDER, b"http://api.example.net/v2/x", b"https://example.com:8443/api/x"),
        (UNDER, b"http://api.example.net:80/v2/x", b"https://example.com:8443/api/x"),
        (UNDER, b"http://api.example.net:443/v2/", b"http://api.example.net:443/v2/"),
        (UNDER, b"https://api.example.net/v2", b"https://example.com:8443/v2"),
        (UNDER, b"https://api.example.net/login", b"https://example.com:8443/login"),
        (UNDER, b"/v2/users/1", b"/v2/users/1"),
        (DOMAIN, b"http://app/base/x", b"https://example.com/x"),
        (DOMAIN, b"http://app/base", b"https://example.com/"),
        (DOMAIN, b"http://app/base?x=1", b"https://example.com/?x=1"),
        (DOMAIN, b"http://app/basement", b"https://example.com/basement"),
        (DOMAIN, b"http://app/base.evil.example", b"https://example.com/base.evil.example"),
    ],
)
def test_an_absolute_url_of_the_origin_is_the_clients(way, value, expected):
    """Its own authority with any scheme, nothing that only looks like it."""
    assert relocate(b"location", value, way) == expected
    assert relocate(b"content-location", value, way) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"5; url=http://app:3000/x", b"5; url=https://example.com/x"),
        (b"0;URL='http://app:3000/x'", b"0;URL='https://example.com/x'"),
        (b'0, url = "http://app:3000/x"', b'0, url = "https://example.com/x"'),
        (b"5; url=/x", b"5; url=/x"),
        (b"5", b"5"),
    ],
)
def test_a_refresh_is_mapped_where_it_names_a_url(value, expected):
    """As browsers read it."""
    assert relocate(b"refresh", value, PLAIN) == expected


PARTS = rb"http: https: // / app :3000 \ @ ? # .evil a /base base %2e .. : evil.example".split()
PIECES = st.lists(st.sampled_from(PARTS), max_size=8).map(b"".join)


@given(PIECES, st.sampled_from([PLAIN, DOMAIN, UNDER]))
@example(b"http://app/base.evil", DOMAIN)
def test_what_is_mapped_stays_on_the_clients_host(value, way):
    """Either untouched, or on the host that the client asked."""
    mapped = relocate(b"location", value, way)

    if mapped != value:
        parts = urlsplit(mapped)
        assert b"%b://%b" % (parts.scheme, parts.netloc) == way.client
        assert parts.path.startswith(b"/")


def test_only_what_names_a_page_is_mapped():
    """Other fields may hold URLs too, for readers that know the origin."""
    lines = [
        (b"location", b"http://app:3000/a"),
        (b"content-location", b"/b"),
        (b"refresh", b"0;url=http://app:3000/c"),
        (b"link", b"<http://app:3000/d>"),
    ]

    assert relocated(lines, PLAIN) == [
        (b"location", b"https://example.com/a"),
        (b"content-location", b"/b"),
        (b"refresh", b"0;url=https://example.com/c"),
        (b"link", b"<http://app:3000/d>"),
    ]
