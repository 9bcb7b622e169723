"""Which file a path leads to, on a real state folder: steps 4 to 7 of the order in rules.md."""

from __future__ import annotations

import pytest

from tests.support_serving import HOST, Site

TREE = {
    "index.html": "home",
    "about.html": "about page",
    "both.html": "both page",
    "both/index.html": "both index",
    "docs/index.html": "docs",
    "docs/404.html": "no such doc",
    "docs/deep/page.html": "deep",
    "v1.0/index.html": "version",
    "release.notes.html": "notes",
    "plain": "no extension",
    "a b.txt": "blank",
    "100%.html": "percent",
    "grüße/ß.html": "umlaut",
    "app.js": "js",
    "404.html": "nothing here",
    "customHttp.yml": "customHeaders: []",
    "redirects.json": "[]",
    "docs/customHttp.yml": "a file like any other",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("handler"))
    site.deploy(TREE)
    return site


@pytest.fixture
async def site(built, tmp_path):
    """A worker that serves `TREE`."""
    return await built.copy_to(tmp_path).start()


# Look-up

FOUND = {
    "/": "home",
    "/index.html": "home",
    "/about": "about page",
    "/about.html": "about page",
    "/both": "both page",
    "/both/": "both index",
    "/docs/": "docs",
    "/docs/index.html": "docs",
    "/docs/deep/page": "deep",
    "/v1.0/": "version",
    "/release.notes.html": "notes",
    "/plain": "no extension",
    "/a%20b.txt": "blank",
    "/100%25": "percent",
    "/100%25.html": "percent",
    "/gr%C3%BC%C3%9Fe/%C3%9F": "umlaut",
    "/gr%c3%bc%c3%9fe/%c3%9f.html": "umlaut",
    "/grüße/ß": "umlaut",
    "/%61bout": "about page",
    "/docs/./deep/../deep/page": "deep",
    "/docs/%2e%2e/about": "about page",
    "/docs/deep/..": "docs",
    "/?": "home",
    "/about?x=1&x=%zz#": "about page",
    "/app.js?/../..": "js",
    "/docs/customHttp.yml": "a file like any other",
}


@pytest.mark.parametrize(("target", "content"), FOUND.items(), ids=FOUND.keys())
async def test_a_path_leads_to_its_file(site, target, content):
    """Exact files, directory indexes and clean URLs answer 200; a second time from the cache."""
    for verdict in ("edge; fwd=uri-miss; stored", "edge; hit; ttl=600"):
        answer = await site.ask(target)
        assert (answer.status, answer.content.decode()) == (200, content)
        assert answer.fields["cache-status"] == verdict


MISSING = {
    "/nothing": "nothing here",
    "/About": "nothing here",
    "/about/": "nothing here",
    "/plain/": "nothing here",
    "/release.notes": "nothing here",
    "/docs/nothing": "no such doc",
    "/docs/deep/nothing": "no such doc",
    "/docs/deep/": "no such doc",
    "/docs.html": "nothing here",
    "//": "nothing here",
    "//about": "nothing here",
    "/docs//": "no such doc",
    "/docs//index.html": "no such doc",
    "/docs%2Fdeep%2Fpage": "nothing here",
    "/docs%2findex.html": "nothing here",
    "/customHttp.yml": "nothing here",
    "/redirects.json": "nothing here",
    "/%63ustomHttp.yml": "nothing here",
    "/docs/../customHttp.yml": "nothing here",
}


@pytest.mark.parametrize(("target", "content"), MISSING.items(), ids=MISSING.keys())
async def test_a_path_without_a_file_gets_the_nearest_404_page(site, target, content):
    """What is not there is answered by the nearest 404.html up the tree, with status 404."""
    for _ in range(2):
        answer = await site.ask(target)
        assert (answer.status, answer.content.decode()) == (404, content)
    assert answer.fields["cache-control"] == "public, max-age=0, s-maxage=600"
    assert "accept-ranges" not in answer.fields


REDIRECTED = {
    "/docs": "/docs/",
    "/v1.0": "/v1.0/",
    "/docs?": "/docs/?",
    "/docs?a=b&c=%20&&d=ü?": "/docs/?a=b&c=%20&&d=%C3%BC?",
    "/docs?//evil.example": "/docs/?//evil.example",
    "/x/../docs": "/docs/",
    "/%64ocs": "/docs/",
}


@pytest.mark.parametrize(("target", "location"), REDIRECTED.items(), ids=REDIRECTED.keys())
async def test_a_directory_is_redirected_to_its_slash(site, target, location):
    """A path that only has an index gets 301, its query byte for byte but for what is no URL."""
    answer = await site.ask(target)
    assert answer.status == 301
    assert answer.fields["location"].encode("latin-1") == location.encode()


@pytest.mark.parametrize(
    "target",
    ["/%zz", "/%", "/a%00b", "/a\\b", "/a%5Cb", "/%ff", "/..", "/docs/../..", "/%2e%2e/", "/a#b"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_path_that_two_readers_could_read_differently_is_refused(site, target, method):
    """Bad escapes, controls, backslashes and paths above the root are 400; HEAD has no content."""
    answer = await site.ask(target, method=method)
    assert answer.status == 400
    assert bool(answer.content) == (method == "GET")


async def test_a_long_path_of_a_name_with_a_dot_stays_inside(site):
    """A path made of nothing but dot segments is resolved once, then looked up."""
    answer = await site.ask("/" + "docs/../" * 500 + "about")
    assert answer.content == b"about page"


async def test_only_plain_spellings_are_remembered(site):
    """Inventing spellings of a path does not fill the worker's memory."""
    for number in range(200):
        await site.ask("/" + "./" * number + "about")
        await site.ask(f"/?{number}")
        await site.ask("/%61bout")
    found = site.worker._handler.snapshot.known[HOST.encode()].found
    assert set(found) == {b"/about", b"/"}


TRAILING = [
    ("auto", "/docs", 301, "/docs/"),
    ("auto", "/both", 200, "both page"),
    ("auto", "/both/", 200, "both index"),
    ("auto", "/about/", 404, "nothing here"),
    ("add", "/about", 301, "/about/"),
    ("add", "/about/", 200, "about page"),
    ("add", "/about.html", 200, "about page"),
    ("add", "/docs", 301, "/docs/"),
    ("add", "/docs/", 200, "docs"),
    ("add", "/both/", 200, "both index"),
    ("add", "/app.js", 200, "js"),
    ("add", "/plain", 200, "no extension"),
    ("add", "/", 200, "home"),
    ("add", "/nothing", 404, "nothing here"),
    ("strip", "/about", 200, "about page"),
    ("strip", "/about/", 301, "/about"),
    ("strip", "/docs/", 301, "/docs"),
    ("strip", "/docs", 200, "docs"),
    ("strip", "/both/", 301, "/both"),
    ("strip", "/both", 200, "both page"),
    ("strip", "/v1.0/", 301, "/v1.0"),
    ("strip", "/v1.0", 200, "version"),
    ("strip", "/", 200, "home"),
    ("strip", "/nothing/", 404, "nothing here"),
    ("leave", "/docs", 200, "docs"),
    ("leave", "/docs/", 200, "docs"),
    ("leave", "/about", 200, "about page"),
    ("leave", "/about/", 404, "nothing here"),
    ("leave", "/both", 200, "both page"),
]


@pytest.mark.parametrize(
    ("policy", "target", "status", "result"), TRAILING, ids=[f"{c[0]} {c[1]}" for c in TRAILING]
)
async def test_trailing_slashes_follow_the_policy(tmp_path, policy, target, status, result):
    """`add` and `strip` redirect to their one form, `leave` never, `auto` only for directories."""
    site = Site(tmp_path, f"trailing_slash: {policy}")
    site.deploy(TREE)
    await site.start()
    answer = await site.ask(target + "?q")
    assert answer.status == status
    if status == 301:
        assert answer.fields["location"] == result + "?q"
        assert (await site.ask(result)).status == 200, "the redirect leads somewhere"
    else:
        assert answer.content.decode() == result


async def test_a_redirect_names_no_other_host(site):
    """However the path begins, a Location stays on this host."""
    for target in ("//docs", "///docs", "/.//docs", "//evil.example/docs", "/%2Fdocs"):
        answer = await site.ask(target)
        assert (answer.status, "location" in answer.fields) == (404, False)


@pytest.mark.parametrize("value", ["null", "missing.html"])
async def test_without_a_404_page_the_built_in_one_answers(tmp_path, value):
    """`not_found: null`, or a page that is not there, gives the node's own page."""
    site = Site(tmp_path, f"not_found: {value}")
    site.deploy(TREE)
    await site.start()
    answer = await site.ask("/docs/nothing")
    assert answer.status == 404
    assert b"Page not found" in answer.content
    assert answer.fields["cache-control"] == "public, max-age=0, s-maxage=600"


async def test_two_workers_give_the_same_answer(site):
    """What a client sees does not depend on the worker, but for age and verdict of the cache."""
    other = await site.sibling()
    for target in (*FOUND, *MISSING, *REDIRECTED):
        one, two = await site.ask(target), await other.ask(target)
        for answer in (one, two):
            for name in ("date", "age", "cache-status"):
                answer.fields.pop(name, None)
        assert (one.status, one.fields, one.content) == (two.status, two.fields, two.content)
