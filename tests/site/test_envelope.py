"""What a branch puts on its responses: custom fields, who may store them, and for how long."""

from __future__ import annotations

import itertools

import pytest

from edge.site.envelope import BARE, MAX_LIFETIME, Envelope, Sharing, cache_control
from tests.support_site import UNHURRIED, compile_site

HSTS = (b"Strict-Transport-Security", b"max-age=31536000")
DAY = 86_400


def envelope(*custom, sharing=Sharing.ALL, lifetime=600, cap=600, noindex=False):
    """An envelope of these fields."""
    return Envelope(custom, sharing, lifetime=lifetime, cap=cap, noindex=noindex)


@pytest.mark.parametrize(
    ("sharing", "value"),
    [
        (Sharing.ALL, b"public, max-age=0, s-maxage=300"),
        (Sharing.ONE, b"private, max-age=0"),
        (Sharing.NONE, b"no-store"),
    ],
)
def test_who_may_store_is_told_where_no_header_says_it(sharing, value):
    """Browsers ask each time; what is for one client alone is in no shared cache downstream."""
    assert cache_control(sharing, 300) == value
    assert envelope(sharing=sharing, lifetime=300).cache_control == value
    assert envelope(sharing=sharing, lifetime=300).page_cache_control == value


def test_what_is_for_one_client_stays_stored_at_the_edge():
    """The edge asks for the password, and then has the file at hand."""
    assert envelope(sharing=Sharing.ONE, lifetime=300).lifetime == 300


def test_pages_are_fresh_for_ten_minutes_at_most():
    """In performance mode a file may be for a day; a redirect and what is missing may not."""
    fast = envelope(lifetime=DAY, cap=DAY)

    assert fast.lifetime == DAY
    assert fast.cache_control == b"public, max-age=0, s-maxage=86400"
    assert fast.page_cache_control == b"public, max-age=0, s-maxage=%d" % MAX_LIFETIME


@pytest.mark.parametrize(
    ("value", "cap", "lifetime"),
    [
        (b"s-maxage=30", 600, 30),
        (b"s-maxage=30, max-age=99", 600, 30),
        (b"max-age=99", 600, 99),
        (b"s-maxage=86400", 600, 600),
        (b"s-maxage=86400", DAY, DAY),
        (b"s-maxage=999999999", DAY, DAY),
        (b"public", 600, 200),
        (b"s-maxage=0", 600, 0),
        (b"s-maxage=soon", 600, 0),
        (b"no-store", 600, 0),
        (b"no-cache", 600, 0),
        (b"private, max-age=60", 600, 0),
        (b"", 600, 200),
    ],
)
@pytest.mark.parametrize("name", [b"Cache-Control", b"cache-control", b"CACHE-CONTROL"])
def test_an_operators_cache_control_rules_the_edge(name, value, cap, lifetime):
    """Within the cap; what it states for clients goes out as it was written."""
    custom = envelope((name, value), lifetime=200, cap=cap)

    assert custom.lifetime == lifetime
    assert custom.stated == value
    assert custom.dress([(b"Cache-Control", custom.cache_control)]) == [(name, value)]
    assert custom.dress([(b"Cache-Control", custom.page_cache_control)]) == [(name, value)]


def test_an_operators_cache_control_holds_also_behind_a_password():
    """A header says otherwise than `private`, and so it is."""
    custom = envelope((b"Cache-Control", b"public, s-maxage=60"), sharing=Sharing.ONE)

    assert custom.cache_control == b"public, s-maxage=60"
    assert custom.page_cache_control == b"public, s-maxage=60"
    assert envelope(sharing=Sharing.ONE).stated is None


# Answers that nobody may store


@pytest.mark.parametrize("name", [b"Cache-Control", b"cache-control"])
def test_what_nobody_may_store_stays_so_whatever_a_header_says(name):
    """The other fields of the operator are on it all the same."""
    custom = envelope(HSTS, (name, b"public, max-age=31536000, immutable"), noindex=True)
    closed = custom.closed()

    assert closed.cache_control == closed.page_cache_control == b"no-store"
    assert (closed.lifetime, closed.stated) == (0, None)
    assert closed.dress([(b"Cache-Control", b"no-store")]) == [
        (b"Cache-Control", b"no-store"),
        (b"X-Robots-Tag", b"noindex"),
        HSTS,
    ]


def test_a_closed_envelope_is_made_once():
    """Who floods a site with errors makes no objects; closing it again changes nothing."""
    custom = envelope(HSTS)

    assert custom.closed() is custom.closed()
    assert custom.closed().closed().fields == (HSTS,)
    assert custom.fields == (HSTS,)


def test_the_bare_one_adds_nothing_and_is_for_nobody():
    """It is for what belongs to no branch."""
    fields = [(b"Server", b"edge")]

    assert BARE.dress(fields) == fields
    assert BARE.cache_control == BARE.page_cache_control == b"no-store"


# Dressing


def test_custom_fields_take_the_place_of_the_nodes_own():
    """Of the same name, whatever its case; the rest stays in its order."""
    custom = envelope((b"SERVER", b"ours"), HSTS)
    fields = [(b"Server", b"edge"), (b"ETag", b'"x"')]

    assert custom.dress(fields) == [(b"ETag", b'"x"'), (b"SERVER", b"ours"), HSTS]


def test_vary_is_merged():
    """What the node varies by is true whatever an operator adds."""
    custom = envelope((b"vary", b"Origin, accept-encoding"))

    assert custom.dress([(b"Vary", b"Accept-Encoding")]) == [(b"Vary", b"Accept-Encoding, Origin")]


def test_dressing_leaves_what_it_was_given_alone():
    """A head may be made of the same fields twice."""
    fields = [(b"Server", b"edge")]
    for each in (envelope(), envelope(HSTS), envelope(noindex=True)):
        assert each.dress(fields) is not fields
        each.dress(iter(fields))
    assert fields == [(b"Server", b"edge")]


def test_crawlers_stay_away_from_default_and_automatic_hosts():
    """Unless the operator says something else about crawlers."""
    mark = (b"X-Robots-Tag", b"noindex")

    assert envelope(noindex=True).dress([]) == [mark]
    assert envelope().dress([]) == []
    own = (b"x-robots-tag", b"noarchive")
    assert envelope(own, noindex=True).dress([]) == [own]


# Of a site

HEADERS = """
customHeaders:
  - {pattern: '*.js', headers: [{key: Cache-Control, value: s-maxage=30}]}
  - {pattern: /docs/*, headers: [{key: X-Which, value: docs}]}
"""
APP = """
domains: {example.com: {subdomains: {"": main}, auto_subdomains: ["*"]}}
cache: {default_s_maxage: 300}
"""


def test_equal_envelopes_of_a_site_are_one_object():
    """A stored response is told apart by it: paths with the same entries share what is stored."""
    site = compile_site(["a"], headers=HEADERS).hosts[b"main.site.x.test"]

    assert site.envelope("/a.js", Sharing.ALL, UNHURRIED) is site.envelope(
        "/b/c.js", Sharing.ALL, UNHURRIED
    )
    different = [
        site.envelope(path, sharing, UNHURRIED)
        for path, sharing in itertools.product(("/a", "/a.js", "/docs/a", "/docs/a.js"), Sharing)
    ]
    assert len(set(map(id, different))) == len(different)


def test_an_envelope_says_what_its_branch_and_its_host_are():
    """Lifetime and cap are the branch's, whether crawlers may come the host's."""
    app = compile_site(["a"], headers=HEADERS, app_yml=APP)
    own = app.hosts[b"example.com"].envelope("/a", Sharing.ALL, UNHURRIED)
    script = app.hosts[b"example.com"].envelope("/a.js", Sharing.ALL, UNHURRIED)

    assert (own.lifetime, own.noindex) == (300, False)
    assert own.cache_control == b"public, max-age=0, s-maxage=300"
    assert (script.lifetime, script.cache_control) == (30, b"s-maxage=30")
    for host in (b"main.example.com", b"main.site.x.test"):
        assert app.hosts[host].envelope("/a", Sharing.ALL, UNHURRIED).noindex


@pytest.mark.parametrize(
    ("app_yml", "lifetime"),
    [
        ("cache: {default_s_maxage: 9999999}", 600),
        ("{cache: {default_s_maxage: 9999999}, branches: {main: {performance_mode: true}}}", DAY),
    ],
)
def test_the_cap_is_the_branchs(app_yml, lifetime):
    """A day in performance mode, else ten minutes."""
    long = HEADERS.replace("s-maxage=30", "s-maxage=1000000000")
    site = compile_site(["a"], headers=long, app_yml=app_yml).hosts[b"main.site.x.test"]

    assert site.envelope("/a", Sharing.ALL, UNHURRIED).lifetime == lifetime
    assert site.envelope("/a.js", Sharing.ALL, UNHURRIED).lifetime == lifetime
