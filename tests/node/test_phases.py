"""The order of rules.md in live answers: rules, access, files, what is missing."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from edge.control.passwords import hash_password
from tests.support_serving import HOST, Site

TREE = {
    "index.html": "home",
    "about.html": "about page",
    "docs/index.html": "docs",
    "docs/guide.html": "guide",
    "app.js": "js",
    "private/plan.html": "plan",
    "gone.html": "it is gone",
    "404.html": "nothing here",
    "docs/404.html": "no such doc",
}
PASSWORD = hash_password("correct horse")
ELSEWHERE = """
proxy: {connect_to: {"api.example:443": "127.0.0.1:1", "ssr.example:443": "127.0.0.1:1"}}
"""
"""Where nobody listens: who is asked there gets 502."""


@pytest.fixture
def make(tmp_path):
    """A site with these rules, its worker serving."""

    async def make(*rules, app_yml="", headers="", tree=TREE, edge_yml=""):
        site = Site(tmp_path, app_yml, edge_yml)
        if rules:
            site.write_rules(*rules)
        if headers:
            site.write("customHttp.yml", headers)
        site.deploy(tree)
        await site.start()
        return site

    return make


async def seen(site, target="/", **options):
    """(status, location or content) of an answer."""
    answer = await site.ask(target, **options)
    return answer.status, answer.fields.get("location") or answer.content.decode()


# The order


async def test_rules_come_before_files(make):
    """A redirect and a rewrite win over a file that exists."""
    site = await make(("/about", "/docs/", "301"), ("/app.js", "/gone.html", "200"))

    assert await seen(site, "/about") == (301, "/docs/")
    assert await seen(site, "/app.js") == (200, "it is gone")
    assert await seen(site, "/about.html") == (200, "about page")


@pytest.mark.parametrize("status", ["404", "404-200", "fallback"])
async def test_rules_of_what_is_missing_never_hide_files_or_later_rules(make, status):
    """They stand first in the file and come last."""
    site = await make(("/<*>", "/index.html", status), ("/old", "/about", "302"))

    answered = 200 if status == "fallback" else 404
    assert await seen(site, "/old") == (302, "/about")
    assert await seen(site, "/about") == (200, "about page")
    assert await seen(site, "/docs") == (301, "/docs/")
    assert await seen(site, "/nowhere") == (answered, "home")


async def test_a_fallback_is_for_navigations(make):
    """A missing script stays an honest 404; a page that a browser goes to does not."""
    site = await make(("/<*>", "/index.html", "fallback"))

    assert await seen(site, "/deep/link") == (200, "home")
    assert await seen(site, "/missing.js") == (404, "nothing here")
    assert await seen(site, "/v1.2/x.y", accept="text/html,*/*") == (200, "home")
    assert (await seen(site, "/deep/link", method="POST"))[0] == 405


async def test_a_rewrite_whose_file_is_missing_goes_on_to_the_missing(make):
    """Step 3 sends it to 4, a miss there to 6, and then to the nearest 404 page."""
    site = await make(("/x", "/nowhere", "200"), ("/docs/y", "/nowhere", "200"))
    assert await seen(site, "/x") == (404, "nothing here")
    assert await seen(site, "/docs/y") == (404, "no such doc")

    site.write_rules(("/x", "/nowhere", "200"), ("/x", "/about.html", "404"))
    site.changes.reload()
    await site.follow()
    assert await seen(site, "/x") == (404, "about page")


async def test_a_rewrite_is_not_redirected_to_a_canonical_form(make):
    """`/docs` as a target is no file; `/docs/` and `/about` are."""
    site = await make(("/a", "/docs", "200"), ("/b", "/docs/", "200"), ("/c", "/about", "200"))

    assert await seen(site, "/a") == (404, "nothing here")
    assert await seen(site, "/b") == (200, "docs")
    assert await seen(site, "/c") == (200, "about page")


async def test_refusals_have_their_status_and_their_page(make):
    """403, 410 and 451, with the target's content where it exists, for any method."""
    site = await make(
        ("/a", "", "403"),
        ("/b", "/gone.html", "410"),
        ("/c", "/nowhere", "451"),
        ("/<*>", "", "403"),
    )

    assert (await seen(site, "/a"))[0] == 403
    assert await seen(site, "/b") == (410, "it is gone")
    assert (await seen(site, "/c"))[0] == 451
    assert (await seen(site, "/app.js", method="POST"))[0] == 403


async def test_another_method_meets_rules_before_it_is_refused(make):
    """A redirect is for any method; files, and what is missing, take GET, HEAD and OPTIONS."""
    site = await make(("/old", "/about", "308"), ("/<*>", "/index.html", "404"))

    assert await seen(site, "/old", method="POST") == (308, "/about")
    for path in ("/about", "/nowhere", "/docs"):
        assert (await seen(site, path, method="POST"))[0] == 405
        assert (await seen(site, path, method="OPTIONS"))[0] == 204


async def test_query_rules_decide_also_for_a_path_that_is_remembered(make):
    """What is remembered of a path never hides a rule that asks for more than the path."""
    site = await make(("/about?id=<x>", "/docs/<x>", "301"))
    for _ in range(2):
        assert await seen(site, "/about") == (200, "about page")
        assert await seen(site, "/about?id=7") == (301, "/docs/7")
        assert await seen(site, "/about?x=7") == (200, "about page")


async def test_a_placeholder_rule_with_a_query_is_not_forgotten_either(make):
    """Nor one whose path has a placeholder."""
    site = await make(("/<page>?old=1", "/docs/", "302"))
    for _ in range(2):
        assert await seen(site, "/about") == (200, "about page")
        assert await seen(site, "/about?old=1") == (302, "/docs/")


async def test_redirects_work_before_anything_is_deployed(make, tmp_path):
    """Rules need no files."""
    site = Site(tmp_path, 'domains: {example.com: {subdomains: {"": main}}}')
    site.write_rules(("/old", "/new", "301"))
    site.changes.reload()
    await site.start()

    assert await seen(site, "/old", host="example.com") == (301, "/new")
    assert (await seen(site, "/", host="example.com"))[0] == 404


async def test_an_origin_that_does_not_answer_is_a_clear_502(make):
    """For 200 and for fallback, whatever the method; files need none."""
    site = await make(
        ("/api/<*>", "https://api.example/<*>", "200"),
        ("/<*>", "https://ssr.example/<*>", "fallback"),
        edge_yml=ELSEWHERE,
    )

    answer = await site.ask("/api/x", method="POST")
    assert (answer.status, answer.fields["cache-control"]) == (502, "no-store")
    assert answer.fields["proxy-status"] == "edge; error=connection_refused"
    assert (await seen(site, "/nowhere"))[0] == 502
    assert await seen(site, "/about") == (200, "about page")


# Countries


async def test_a_country_decides_before_anything_is_remembered(make):
    """Each client gets its own country's answer; shared caches are told that there are several."""
    settings = "clients: {trusted_proxies: [192.0.2.0/24], country_header: X-Country}"
    site = await make(("/about", "/docs/", "302", "<US>, <ca>"), edge_yml=settings)
    for _ in range(2):
        assert await seen(site, "/about", x_country="US") == (302, "/docs/")
        assert await seen(site, "/about", x_country="CA") == (302, "/docs/")
        assert await seen(site, "/about", x_country="DE") == (200, "about page")
        assert await seen(site, "/about") == (200, "about page")
    answer = await site.ask("/about", x_country="DE")
    assert answer.fields["cache-control"] == "private, max-age=0"
    assert "public" in (await site.ask("/app.js")).fields["cache-control"]


async def test_a_country_header_of_somebody_else_counts_for_nothing(make):
    """It is believed from trusted proxies alone."""
    settings = "clients: {trusted_proxies: [10.0.0.0/8], country_header: X-Country}"
    site = await make(("/about", "/docs/", "302", "<US>"), edge_yml=settings)

    assert await seen(site, "/about", x_country="US") == (200, "about page")
    assert await seen(site, "/about", x_country="US", peer="10.1.2.3") == (302, "/docs/")


async def test_a_country_comes_from_the_database(make):
    """MaxMind's own test data: 2.125.160.216 is in Great Britain."""
    database = Path(__file__).parents[1] / "data" / "GeoIP2-Country-Test.mmdb"
    site = await make(
        ("/about", "/docs/", "302", "<GB>"), edge_yml=f"geoip: {{database: '{database}'}}"
    )
    assert await seen(site, "/about", peer="2.125.160.216") == (302, "/docs/")
    assert await seen(site, "/about", peer="192.0.2.1") == (200, "about page")


# Custom headers

HEADERS = """
customHeaders:
  - pattern: '**'
    headers: [{key: Strict-Transport-Security, value: max-age=31536000}, {key: X-Which, value: all}]
  - pattern: '*.js'
    headers: [{key: Cache-Control, value: 'public, max-age=31536000, immutable'}]
  - pattern: /docs/*
    headers: [{key: X-Which, value: docs}, {key: cache-control, value: s-maxage=30}]
"""


async def test_custom_headers_are_on_every_response(make):
    """Files, 304s, ranges, redirects of rules and of paths, 404s, 405s, 416s, bad requests."""
    site = await make(("/old", "/new", "301"), ("/no", "", "403"), headers=HEADERS)
    etag = (await site.ask("/about")).fields["etag"]
    cases = {
        200: {"target": "/about"},
        304: {"target": "/about", "if_none_match": etag},
        206: {"target": "/about", "range": "bytes=0-1"},
        416: {"target": "/about", "range": "bytes=99-"},
        412: {"target": "/about", "if_match": '"other"'},
        301: {"target": "/old"},
        403: {"target": "/no"},
        404: {"target": "/nowhere"},
        405: {"target": "/about", "method": "POST"},
        204: {"target": "/about", "method": "OPTIONS"},
    }
    for status, case in cases.items():
        for _ in range(2):
            answer = await site.ask(**case)
            assert answer.status == status
            assert answer.fields["strict-transport-security"] == "max-age=31536000", status
            assert answer.fields["x-which"] == "all"
    moved = await site.ask("/docs")
    assert (moved.status, moved.fields["x-which"]) == (301, "all")
    assert (await site.ask("/docs/")).fields["x-which"] == "docs"


async def test_a_later_entry_wins_and_rules_the_lifetime_at_the_edge(make):
    """`s-maxage` of the operator is the edge's, capped; the client sees what was written."""
    site = await make(headers=HEADERS)
    await site.ask("/docs/guide")
    answer = await site.ask("/docs/guide")
    assert answer.fields["cache-control"] == "s-maxage=30"
    assert answer.fields["cache-status"] == "edge; hit; ttl=30"
    await site.ask("/app.js")
    answer = await site.ask("/app.js")
    assert answer.fields["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.fields["cache-status"] == "edge; hit; ttl=600"


async def test_an_error_is_never_stored_whatever_a_header_says(make):
    """`*.js` is immutable for a year: not the 404 of a fingerprinted name, nor a 405."""
    site = await make(headers=HEADERS)
    assert (await site.ask("/app-BxK3d9Qz.js")).fields["cache-control"] == "no-store"
    assert (await site.ask("/app.js", method="PUT")).fields["cache-control"] == "no-store"


async def test_headers_follow_the_path_that_was_asked_not_the_rewritten_one(make):
    """A rewrite has the headers of its own address."""
    site = await make(("/script", "/app.js", "200"), headers=HEADERS)
    assert "immutable" not in (await site.ask("/script")).fields["cache-control"]
    assert "immutable" in (await site.ask("/app.js")).fields["cache-control"]


async def test_a_change_of_headers_alone_is_seen_at_once(make):
    """What was stored with the old ones is not sent again."""
    site = await make(headers=HEADERS)
    await site.ask("/about")
    site.write("customHttp.yml", HEADERS.replace("value: all", "value: new"))
    site.changes.reload()
    await site.follow()
    assert (await site.ask("/about")).fields["x-which"] == "new"


async def test_a_monorepos_file_has_one_entry_an_app(make):
    """The entry whose appRoot is the app's; without app_root none."""
    mono = """
applications:
  - appRoot: apps/other
    customHeaders: [{pattern: '**', headers: [{key: X-Which, value: other}]}]
  - appRoot: apps/shop
    customHeaders: [{pattern: '**', headers: [{key: X-Which, value: shop}]}]
"""
    site = await make(headers=mono, app_yml="app_root: apps/shop")
    assert (await site.ask("/about")).fields["x-which"] == "shop"
    site.configure("")
    site.changes.reload()
    await site.follow()
    assert "x-which" not in (await site.ask("/about")).fields


# What a deployment carries


async def test_what_a_deployment_carries_wins_for_it_and_is_never_served(make):
    """Rules and headers of the deployment's root replace the folder's, and roll back with it."""
    site = await make(("/old", "/folder", "301"), headers=HEADERS)
    carried = {
        **TREE,
        "redirects.json": '[{"source": "/old", "target": "/carried", "status": "302"}]',
        "customHttp.yml": "customHeaders: [{pattern: '**', headers: [{key: X-Which, value: own}]}]",
    }
    assert await seen(site, "/old") == (301, "/folder")
    await site.redeploy(carried)
    assert await seen(site, "/old") == (302, "/carried")
    assert (await site.ask("/about")).fields["x-which"] == "own"
    for name in ("/redirects.json", "/customHttp.yml"):
        assert (await site.ask(name)).status == 404
    site.changes.rollback("site", "main")
    await site.follow()
    assert await seen(site, "/old") == (301, "/folder")
    assert (await site.ask("/about")).fields["x-which"] == "all"


async def test_empty_rules_of_a_deployment_are_rules_too(make):
    """A deployment that carries none on purpose has none."""
    site = await make(("/old", "/folder", "301"))
    await site.redeploy({**TREE, "redirects.json": "[]"})
    assert (await seen(site, "/old"))[0] == 404


# Access

LOCKED = f"access: {{users: {{team: '{PASSWORD}'}}, exempt: [/.well-known/*, /app.js]}}"


def login(password="correct horse", user="team"):
    """Credentials of RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_a_password_stands_before_everything(make):
    """Files, redirects, 404s, other methods: 401 with the host as realm, and nothing else."""
    site = await make(("/old", "/new", "301"), ("/no", "", "403"), app_yml=LOCKED)
    for target in ("/", "/about", "/old", "/no", "/nowhere", "/docs", "/app-BxK3d9Qz.js"):
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            answer = await site.ask(target, method=method)
            assert answer.status == 401, (target, method)
            assert answer.fields["www-authenticate"] == f'Basic realm="{HOST}", charset="UTF-8"'
            assert answer.fields["cache-control"] == "no-store"
            assert "location" not in answer.fields


async def test_the_right_password_opens(make):
    """The first time by a slow hash, then from memory; what is sent is private and stored."""
    site = await make(("/old", "/new", "301"), app_yml=LOCKED)
    for _ in range(2):
        assert await seen(site, "/old", authorization=login()) == (301, "/new")
        answer = await site.ask("/about", authorization=login())
        assert (answer.status, answer.content) == (200, b"about page")
        assert answer.fields["cache-control"] == "private, max-age=0"
    assert answer.fields["cache-status"] == "edge; hit; ttl=600"


@pytest.mark.parametrize(
    "header",
    [login("wrong horse"), login(user="nobody"), "Basic !!!", "Bearer x", "", login()[:-4]],
)
async def test_a_wrong_password_does_not(make, header):
    """Nor an unknown user, another scheme or garbage."""
    site = await make(app_yml=LOCKED)
    answer = await site.ask("/about", authorization=header)
    assert (answer.status, b"about" in answer.content) == (401, False)


async def test_two_lines_of_credentials_are_none(make):
    """Which of them counts would be a guess."""
    site = await make(app_yml=LOCKED)
    request = site.request("/about", authorization=login())
    request.fields.lines.append((b"authorization", login("x").encode()))
    answer = await site.answer(request)
    assert answer.status == 401


async def test_exempt_paths_need_no_password_and_only_they(make):
    """However the others are spelled."""
    site = await make(app_yml=LOCKED, tree={**TREE, ".well-known/x": "well known"})
    assert await seen(site, "/.well-known/x") == (200, "well known")
    assert await seen(site, "/app.js") == (200, "js")
    for target in (
        "/.well-known/../about",
        "/.well-known/%2e%2e/about",
        "/.well-known/x/../../about",
        "/app.js/../about",
        "/.well-known%2F..%2Fabout",
        "//app.js",
        "/APP.js",
    ):
        assert (await seen(site, target))[0] == 401, target


async def test_a_redirect_by_a_domain_rule_needs_no_password(make):
    """An apex → www redirect does not ask; www does."""
    app_yml = LOCKED + '\ndomains: {example.com: {subdomains: {"": main, www: main}}}'
    site = await make(
        ("https://example.com", "https://www.example.com", "301"),
        ("/old", "/new", "301"),
        app_yml=app_yml,
    )

    answer = await seen(site, "/a?b=c", host="example.com")
    assert answer == (301, "https://www.example.com/a?b=c")
    assert (await seen(site, "/old", host="www.example.com"))[0] == 401


async def test_a_branch_has_its_own_access(make):
    """The exact branch's, else the app's; an empty one opens."""
    app_yml = LOCKED + "\nbranches: {main: {access: {users: {}}}}"
    site = await make(app_yml=app_yml)
    site.deploy(TREE, branch="next")
    await site.follow()
    assert await seen(site, "/about") == (200, "about page")
    assert (await seen(site, "/about", host="next.site.edge.localhost"))[0] == 401


async def test_guessing_is_slowed_down(make):
    """After some wrong passwords a client waits, and is told how long; others do not."""
    site = await make(app_yml=LOCKED)
    statuses = []
    for number in range(8):
        answer = await site.ask("/about", authorization=login(f"guess number {number}"))
        statuses.append(answer.status)
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert int(answer.fields["retry-after"]) >= 1
    assert answer.fields["cache-control"] == "no-store"
    assert (await seen(site, "/about", authorization=login(), peer="198.51.100.7"))[0] == 200


async def test_many_logins_at_once_cost_one_hash(make):
    """The same credentials wait for the same answer."""
    site = await make(app_yml=LOCKED)
    answers = await asyncio.gather(*(site.ask("/about", authorization=login()) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}


# Inside to another host

DOMAINS = 'domains: {mydomain.com: {subdomains: {"": main, www: main, docs: docs}}}'


async def test_a_target_on_a_host_of_this_node_is_looked_up_inside(make):
    """The guide's rewrite of mydomain.com to www.mydomain.com, path and query along."""
    site = await make(
        ("https://mydomain.com", "https://www.mydomain.com", "200"),
        ("/<*>", "/index.html", "fallback"),
        app_yml=DOMAINS,
    )

    assert await seen(site, "/about?x=1", host="mydomain.com") == (200, "about page")
    assert await seen(site, "/docs", host="mydomain.com") == (301, "/docs/")
    assert await seen(site, "/deep/link", host="mydomain.com") == (200, "home")
    assert await seen(site, "/missing.js", host="mydomain.com") == (404, "nothing here")
    assert (await seen(site, "/about", host="mydomain.com", method="POST"))[0] == 405


async def test_inside_another_branch_answers_with_its_own_files(make):
    """A folder of one host is another branch's site."""
    site = await make(("/manual/<*>", "https://docs.mydomain.com/<*>", "200"), app_yml=DOMAINS)
    site.deploy({"index.html": "manual", "a/index.html": "part a", "b.html": "b"}, branch="docs")
    await site.follow()

    host = "www.mydomain.com"
    assert await seen(site, "/manual/", host=host) == (200, "manual")
    assert await seen(site, "/manual/b", host=host) == (200, "b")
    assert await seen(site, "/manual/a", host=host) == (301, "/manual/a/")
    assert await seen(site, "/manual/a/", host=host) == (200, "part a")
    assert await seen(site, "/manual/%2e%2e/about", host=host) == (200, "about page")


async def test_inside_the_access_of_that_host_holds(make):
    """Another app's rule opens nobody's door."""
    site = await make(("/peek/<*>", "https://secret.example/<*>", "200"))
    site.configure(LOCKED + '\ndomains: {secret.example: {subdomains: {"": main}}}', app="secret")
    site.changes.reload()
    site.deploy({"index.html": "secret"}, app="secret")
    await site.follow()

    assert (await seen(site, "/peek/"))[0] == 401
    answer = await site.ask("/peek/", authorization=login())
    assert (answer.status, answer.content) == (200, b"secret")
    assert answer.fields["cache-control"] == "private, max-age=0"


async def test_two_hosts_that_send_each_other_round_end(make):
    """Rules before files are not run inside, and what is missing goes inside once."""
    site = await make(("/<*>", "https://docs.mydomain.com/<*>", "fallback"), app_yml=DOMAINS)
    site.deploy({"x.html": "x"}, branch="docs")
    await site.follow()

    assert (await seen(site, "/nowhere", host="www.mydomain.com"))[0] == 508


# Slow patterns


async def test_a_pattern_that_takes_too_long_is_503_and_never_no_match(make, caplog):
    """Counted, and told once a second however often it happens."""
    site = await make((r"</^/(?:a?){40}a{40}.*\d$/>", "", "403"), headers=HEADERS)
    target = "/" + "a" * 8000 + "!"
    answers = [await site.ask(target) for _ in range(3)]

    assert {answer.status for answer in answers} == {503}
    assert answers[0].fields["strict-transport-security"] == "max-age=31536000"
    assert site.worker.status()["slow_patterns"] == 3
    assert sum("answered with 503" in each.message for each in caplog.records) <= 2
