"""What an origin may know of a client: its scheme, the host it asked, credentials of its own."""

from __future__ import annotations

import pytest

from edge.http.fields import FieldList
from edge.node.passages import client_authority, is_verified, scheme_of
from edge.site.exchange import enter
from tests.support_site import compile_site, decided, request_of, site_of, snapshot_of

BASIC, BEARER = "Basic dXNlcjpzZWNyZXQ=", "Bearer abc"
RULES = [("/api/<*>", "http://one.test/<*>", "200")]
GUARDED = (
    "access: {users: {team: '$2b$04$abcdefghijklmnopqrstuuKyGAP5xYHBVvfUhEsLYpZWrLWLKWMMi'},"
    " exempt: ['/api/open/*']}"
)

VERIFIED = {
    ("no access", "/api/x", BASIC): False,
    ("no access", "/api/x", BEARER): False,
    ("guarded", "/api/x", BASIC): True,
    ("guarded", "/api/x", BEARER): True,
    ("guarded", "/api/open/x", BASIC): True,
    ("guarded", "/api/open/x", "bASIC x"): True,
    ("guarded", "/api/open/x", BEARER): False,
    ("guarded", "/api/open/x", ""): False,
}


@pytest.mark.parametrize(("case", "expected"), VERIFIED.items())
def test_credentials_that_are_ours_are_known(case, expected):
    """Those that were checked here, and those that a browser sends because they were once."""
    access, path, value = case
    site = site_of([], rules=RULES, app_yml=GUARDED if access == "guarded" else "")
    fields = {"authorization": value} if value else {}

    assert is_verified(decided(site, path, **fields)) == expected


def test_of_several_credentials_one_is_enough():
    """Whichever line a browser's stand on."""
    exchange = decided(site_of([], rules=RULES, app_yml=GUARDED), "/api/open/x")
    lines = [(b"authorization", value.encode()) for value in (BEARER, BASIC)]
    exchange.request.fields = FieldList(lines)

    assert is_verified(exchange)


@pytest.mark.parametrize("guarded", ["outer", "inner", "neither"])
def test_inside_another_host_both_may_have_asked(guarded):
    """What the first one checked is not for the origin of the second."""
    outer = compile_site(
        [], name="outer", app_yml=GUARDED if guarded == "outer" else "",
        rules=[("/<*>", "https://main.inner.x.test/<*>", "200")],
    )  # fmt: skip
    inner = compile_site(
        [], name="inner", app_yml=GUARDED if guarded == "inner" else "", rules=RULES
    )
    exchange = decided(outer.hosts[b"main.outer.x.test"], "/api/x", authorization=BEARER)
    found = enter(exchange, exchange.decision, snapshot_of(outer, inner))
    assert found is not None

    assert is_verified(found) == (guarded != "neither")


SCHEMES = {
    (b"https", True): b"https",
    (b"HTTPS", True): b"https",
    (b"http", True): b"http",
    (b"https", False): b"http",
    (b"ftp", True): b"http",
    (b"https, http", True): b"http",
    (None, True): b"http",
}


@pytest.mark.parametrize(("case", "expected"), SCHEMES.items())
def test_the_scheme_is_a_trusted_proxys_word(case, expected):
    """Or what it is here."""
    value, is_trusted = case
    request = request_of("/", **({"x-forwarded-proto": value.decode()} if value else {}))

    assert scheme_of(request, is_trusted=is_trusted) == expected


AUTHORITIES = {
    b"main.site.x.test": b"main.site.x.test",
    b"MAIN.site.X.test.": b"main.site.x.test",
    b"main.site.x.test:8080": b"main.site.x.test:8080",
    b"main.site.x.test:80": b"main.site.x.test",
    b"main.site.x.test:6666": b"main.site.x.test",
}


@pytest.mark.parametrize(("authority", "expected"), AUTHORITIES.items())
def test_the_host_is_canonical_with_a_port_that_is_ours(authority, expected):
    """Anything else would be a word of the client's that no cache key has."""
    exchange = decided(site_of([], rules=RULES), "/api/x")
    exchange.request.authority = authority

    assert client_authority(exchange, frozenset((b"8080",))) == expected
