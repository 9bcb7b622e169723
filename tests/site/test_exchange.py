"""One request from its rules to its outcome: the order of rules.md, without a node."""

from __future__ import annotations

import time

import pytest

from edge.errors import MalformedRequest
from edge.site.envelope import Sharing
from edge.site.exchange import (
    Content,
    Moved,
    Nothing,
    enter,
    envelope_of,
    follow,
    map_back,
    open_exchange,
)
from edge.site.expressions import Budget
from edge.site.plan import Forward, Redirect, Refuse, Rewrite
from edge.site.settings import Listen, Settings
from edge.site.snapshot import Site
from tests.support_site import (
    ACTIVE_AT,
    UNHURRIED,
    compile_site,
    decided,
    request_of,
    site_of,
    snapshot_of,
)

TREE = (
    "index.html",
    "about.html",
    "docs/index.html",
    "docs/404.html",
    "gone.html",
    "app.js",
    "404.html",
)
HASHED = "app-BxK3d9Qz.js"
NOW = ACTIVE_AT + 10_000
"""Long after the activation."""


def outcome(site, target="/", method="GET", epoch=NOW, **options):
    """What a request comes to, in short: status, file or location, and the rule's number."""
    return told(follow(decided(site, target, method, **options), epoch))


def told(found):
    """An outcome in short."""
    match found:
        case Content(asset, status, rule):
            return status, asset.entry.path, rule
        case Moved(location):
            return "moved", location.decode()
        case Nothing(status, rule):
            return status, None, rule
        case Redirect(status, location, rule):
            return status, location.decode(), rule
        case Forward(urls, rule):
            return "forward", *urls, rule
    return found


# Opening


@pytest.mark.parametrize("target", ["/%zz", "/..", "/a\\b", "/%00", "about", "/a#b"])
def test_what_is_no_path_is_refused_before_anything_is_decided(target):
    """No rule, no file and no password is asked about it."""
    site = site_of(TREE, rules=[("/<*>", "/", "301")])

    with pytest.raises(MalformedRequest):
        open_exchange(request_of(target), site, None, Budget(time.process_time))


def test_a_site_without_a_configuration_is_no_business_of_the_rules():
    """Whoever asks has answered 503 before."""
    with pytest.raises(AssertionError, match="answered before"):
        open_exchange(
            request_of("/"), Site("x", None, noindex=False), None, Budget(time.process_time)
        )


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        ("/a%20b?c=%20", "/a b", b"/a%20b", b"c=%20"),
        ("/a?", "/a", b"/a", b""),
        ("/a", "/a", b"/a", None),
        ("/x/../a?b?c", "/a", b"/x/../a", b"b?c"),
    ],
)
def test_rules_see_the_path_decoded_and_the_query_as_it_came(target, path, raw, query):
    """Split at the first question mark."""
    subject = decided(site_of(TREE), target).subject

    assert (subject.path, subject.raw, subject.query) == (path, raw, query)
    assert subject.host == "main.site.x.test"


# Step 1 and 3: the rules before files

RULES = [
    ("/about", "/docs/", "301"),
    ("/app.js", "/gone.html", "200"),
    ("/api/<*>", "https://api.example/<*>", "200"),
    ("/closed", "/gone.html", "410"),
    ("/bare", None, "403"),
    ("/lost", "/nowhere", "451"),
    ("/about", "/never", "302"),
]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/about", (301, "/docs/", 0)),
        ("/about.html", (200, "about.html", None)),
        ("/app.js", (200, "gone.html", 1)),
        ("/api/a?b", ("forward", "https://api.example/a?b", 2)),
        ("/closed", (410, "gone.html", 3)),
        ("/bare", (403, None, 4)),
        ("/lost", (451, None, 5)),
    ],
)
def test_rules_before_files_decide(target, expected):
    """The first that matches, also where a file is there; a refusal has its page where it is."""
    assert outcome(site_of(TREE, rules=RULES), target) == expected


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/about", (301, "/docs/", 0)),
        ("/api/a", ("forward", "https://api.example/a", 2)),
        ("/closed", (410, "gone.html", 3)),
        ("/bare", (403, None, 4)),
    ],
)
def test_redirects_refusals_and_servers_are_for_any_method(method, target, expected):
    """Only files are for reading alone."""
    assert outcome(site_of(TREE, rules=RULES), target, method) == expected


@pytest.mark.parametrize("status", ["200", "fallback"])
def test_no_server_is_asked_to_echo_what_it_is_told(status):
    """TRACE would show a client what nobody but the origin is to know."""
    site = site_of(TREE, rules=[("/api/<*>", "https://api.example/<*>", status)])

    assert outcome(site, "/api/a", "TRACE") == (405, None, None)


def test_nothing_is_asked_of_an_app_without_rules():
    """Its files answer."""
    exchange = decided(site_of(TREE), "/about")

    assert exchange.decision is None
    assert told(follow(exchange, NOW)) == (200, "about.html", None)


def test_a_rewrite_is_looked_up_by_step_4_alone():
    """A folder without its slash is no target, and rules are not run on the target again."""
    site = site_of(
        TREE,
        rules=[
            ("/a", "/docs", "200"),
            ("/b", "/docs/", "200"),
            ("/c", "/about", "200"),
            ("/about", "/", "301"),
        ],
    )

    assert outcome(site, "/a") == (404, "404.html", None)
    assert outcome(site, "/b") == (200, "docs/index.html", 1)
    assert outcome(site, "/c") == (200, "about.html", 2)


def test_a_rewrite_that_misses_goes_on_with_the_path_that_was_asked_for():
    """To the rules of what is missing, then to its own nearest page."""
    rewrite = ("/docs/x", "/nowhere/y", "200")

    assert outcome(site_of(TREE, rules=[rewrite]), "/docs/x") == (404, "docs/404.html", None)
    late = ("/docs/<*>", "/gone.html", "404")
    assert outcome(site_of(TREE, rules=[late, rewrite]), "/docs/x") == (404, "gone.html", 0)
    assert outcome(site_of(TREE, rules=[rewrite]), "/docs/x", "POST") == (405, None, None)


def test_a_capture_that_leads_elsewhere_is_refused():
    """It makes no dot segment of a rewrite."""
    site = site_of(TREE, rules=[("/b?x=<x>", "/public/<x>", "200")])

    with pytest.raises(MalformedRequest):
        decided(site, "/b?x=../secret.html")


# Step 2: access

GUARDED = "access: {users: {ann: '$2b$04$" + "a" * 53 + "'}, exempt: [/open/*]}"
ANYBODY = "access: {users: {}}"


def guarded(*rules, app_yml=GUARDED):
    """A site that asks for a password."""
    return site_of(TREE, app_yml=app_yml, rules=rules)


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        (("/old", "/new", "301"), True),
        (("/old", "https://elsewhere.example", "301"), True),
        (("/old", "/about", "200"), True),
        (("/old", None, "403"), True),
        (("/old", "/about", "404"), True),
        (("https://main.site.x.test", "https://elsewhere.example", "301"), False),
        (("https://main.site.x.test", "https://elsewhere.example", "302"), False),
        (("https://main.site.x.test", "https://elsewhere.example", "200"), True),
        (("https://main.site.x.test", None, "403"), True),
        (("https://other.example", "https://elsewhere.example", "301"), True),
    ],
)
def test_a_password_stands_before_all_but_a_redirect_by_a_domain_rule(rule, asks):
    """An apex that sends to www asks nobody; what answers with content does."""
    assert decided(guarded(rule), "/old").needs_password is asks
    assert not decided(guarded(rule, app_yml=ANYBODY), "/old").needs_password


@pytest.mark.parametrize(
    ("target", "asks"),
    [
        ("/open/a", False),
        ("/open/x/../a", False),
        ("/open/../about", True),
        ("/open/%2e%2e/about", True),
        ("/open%2Fa", True),
        ("//open/a", True),
        ("/OPEN/a", True),
        ("/open", True),
    ],
)
def test_exempt_paths_are_those_that_decide(target, asks):
    """Decoded once, dot segments resolved, like everything that is decided."""
    assert decided(guarded(), target).needs_password is asks


@pytest.mark.parametrize(
    ("target", "asks"), [("/open/spa", True), ("/open/well", False), ("/about", True)]
)
def test_a_rewrite_of_an_exempt_path_opens_nothing_else(target, asks):
    """The path that it leads to has to be exempt as well; a redirect leads to a question."""
    site = guarded(
        ("/open/spa", "/index.html", "200"),
        ("/open/well", "/open/known.html", "200"),
        ("/open/away", "/about", "302"),
    )

    exchange = decided(site, target)
    assert exchange.needs_password is asks
    assert sharing_of(exchange) == ("one" if asks else "public")
    assert not decided(site, "/open/away").needs_password


@pytest.mark.parametrize("exempt", ["/open/*", "/**"])
@pytest.mark.parametrize(
    ("rule", "status", "page"),
    [
        (("/open/x", "/gone.html", "410"), 410, "gone.html"),
        (("/open/<*>", "/gone.html", "404"), 404, "gone.html"),
        (("/open/<*>", "/index.html", "fallback"), 200, "index.html"),
        (("/never", "/"), 404, "404.html"),
    ],
)
def test_what_an_exempt_path_is_answered_with_shows_nothing_that_is_guarded(
    exempt, rule, status, page
):
    """Of a refusal or of what is missing the page is left out where it needs a password."""
    site = guarded(rule, app_yml=GUARDED.replace("/open/*", f"'{exempt}'"))
    exchange = decided(site, "/open/x")

    assert not exchange.needs_password
    found = told(follow(exchange, NOW))
    if exempt == "/**":
        assert found[:2] == (status, page)
    else:
        assert found[:2] == (404 if status == 200 else status, None)


def sharing_of(exchange):
    """By whom a response may be stored, as its envelope tells."""
    value = exchange.envelope.cache_control
    return "one" if value == b"private, max-age=0" else value.split(b",")[0].decode()


@pytest.mark.parametrize(
    ("target", "app_yml", "rules", "sharing"),
    [
        ("/about", "", [], "public"),
        ("/about", GUARDED, [], "one"),
        ("/open/a", GUARDED, [], "public"),
        ("/about", ANYBODY, [], "public"),
        ("/about", "", [("/about", "/us", "302", "<US>")], "one"),
        ("/app.js", "", [("/about", "/us", "302", "<US>")], "public"),
        ("/about", "", [("/about", "/us", "404", "<US>")], "public"),
        ("/about", "", [("/<*>/x", "/us", "302", "<US>")], "public"),
        ("/about", "", [("/about", "/us", "302")], "public"),
    ],
)
def test_what_a_password_or_a_country_decides_is_for_one_client(target, app_yml, rules, sharing):
    """Shared caches downstream know neither; other paths stay public."""
    assert sharing_of(decided(site_of(TREE, app_yml=app_yml, rules=rules), target)) == sharing


def test_a_country_decides():
    """An unknown one satisfies no condition."""
    site = site_of(TREE, rules=[("/about", "/us", "302", "<US>"), ("/<*>", None, "403", "<DE>")])

    assert outcome(site, "/about", country="US") == (302, "/us", 0)
    assert outcome(site, "/about", country="DE") == (403, None, 1)
    assert outcome(site, "/about", country="FR") == (200, "about.html", None)
    assert outcome(site, "/about", country=None) == (200, "about.html", None)


# Steps 4 and 5: files


@pytest.mark.parametrize(
    ("target", "method", "expected"),
    [
        ("/about", "GET", (200, "about.html", None)),
        ("/about", "HEAD", (200, "about.html", None)),
        ("/about", "OPTIONS", (204, None, None)),
        ("/about", "POST", (405, None, None)),
        ("/about", "get", (405, None, None)),
        ("/docs", "GET", ("moved", "/docs/")),
        ("/docs", "HEAD", ("moved", "/docs/")),
        ("/docs", "POST", (405, None, None)),
        ("/docs", "OPTIONS", (204, None, None)),
        ("/nothing", "GET", (404, "404.html", None)),
        ("/nothing", "HEAD", (404, "404.html", None)),
        ("/nothing", "POST", (405, None, None)),
        ("/nothing", "OPTIONS", (204, None, None)),
    ],
)
def test_files_are_for_reading(target, method, expected):
    """And so is what is missing; a folder is redirected to for reading alone."""
    assert outcome(site_of(TREE), target, method) == expected


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?", "/docs/?"),
        ("/docs?a=b&c=%20&&d=?/../x", "/docs/?a=b&c=%20&&d=?/../x"),
        ("/x/../%64ocs?%zz", "/docs/?%zz"),
        ("/ü b%2Fc", "/%C3%BC%20b%2Fc/"),
        ("/docs?a b\tü", "/docs/?a%20b%09%C3%BC"),
        ("/docs?\r\nSet-Cookie: a=b", "/docs/?%0D%0ASet-Cookie:%20a=b"),
    ],
)
def test_a_canonical_form_keeps_the_query(target, location):
    """Byte for byte, but for what no field can hold; the path is encoded as browsers do."""
    site = site_of(["docs/index.html", "ü b%2Fc/index.html"])

    assert outcome(site, target) == ("moved", location)


# Steps 6 and 7: what is missing

LATE = [("/<*>", "/gone.html", "404"), ("/old", "/new", "302")]


def test_rules_of_what_is_missing_come_last():
    """Wherever they stand, they hide neither files nor redirects."""
    site = site_of(TREE, rules=LATE)

    assert outcome(site, "/old") == (302, "/new", 1)
    assert outcome(site, "/about") == (200, "about.html", None)
    assert outcome(site, "/docs") == ("moved", "/docs/")
    assert outcome(site, "/nothing") == (404, "gone.html", 0)


@pytest.mark.parametrize(
    ("target", "method", "accept", "expected"),
    [
        ("/deep/link", "GET", "", (200, "index.html", 0)),
        ("/deep/link", "HEAD", "", (200, "index.html", 0)),
        ("/v1.2/x.y", "GET", "text/html,*/*", (200, "index.html", 0)),
        ("/missing.js", "GET", "*/*", (404, "404.html", None)),
        ("/deep/link", "POST", "text/html", (405, None, None)),
        ("/deep/link", "OPTIONS", "text/html", (204, None, None)),
    ],
)
def test_a_fallback_is_for_navigations(target, method, accept, expected):
    """What the client accepts is asked about; a script stays an honest 404."""
    site = site_of(TREE, rules=[("/<*>", "/index.html", "fallback")])

    assert outcome(site, target, method, accept=accept) == expected


def test_a_fallback_to_a_server_is_for_any_method():
    """Whatever no file answers, with its query; files come first, for reading."""
    site = site_of(TREE, rules=[("/<*>", "https://ssr.example/<*>", "fallback")])

    assert outcome(site, "/api/x.json?y", "POST") == (
        "forward",
        "https://ssr.example/api/x.json?y",
        0,
    )
    assert outcome(site, "/nothing") == ("forward", "https://ssr.example/nothing", 0)
    assert outcome(site, "/docs", "POST") == ("forward", "https://ssr.example/docs", 0)
    assert outcome(site, "/about") == (200, "about.html", None)
    assert outcome(site, "/about", "POST") == (405, None, None)


@pytest.mark.parametrize("status", ["404", "404-200", "fallback"])
def test_a_page_that_does_not_exist_leaves_the_nearest_one(status):
    """Its rule is not named then."""
    site = site_of(TREE, rules=[("/<*>", "/nowhere", status)])

    assert outcome(site, "/docs/x") == (404, "docs/404.html", None)


def test_without_any_page_there_is_the_nodes_own():
    """Nothing chose it."""
    assert outcome(site_of(["index.html"]), "/nothing") == (404, None, None)
    assert outcome(site_of(None), "/") == (404, None, None)
    assert outcome(site_of(None), "/", "POST") == (405, None, None)


def test_rules_work_before_anything_is_deployed():
    """They need no files."""
    site = site_of(None, rules=RULES)

    assert outcome(site, "/about") == (301, "/docs/", 0)
    assert outcome(site, "/closed") == (410, None, 3)
    assert outcome(site, "/app.js") == (404, None, None)


# Files of earlier deployments


def test_a_file_that_only_earlier_deployments_have_answers():
    """As long as it is kept, before any fallback; for reading alone."""
    rules = [("/<*>", "/index.html", "fallback")]
    site = site_of(TREE, retained={HASHED: NOW + 1}, rules=rules)
    found = follow(decided(site, f"/{HASHED}", accept="text/html"), NOW)

    assert (found.asset.entry.path, found.status, found.rule) == (HASHED, 200, None)
    assert (found.asset.deployment, found.retained) == ("older", True)
    assert outcome(site, f"/{HASHED}", "HEAD") == (200, HASHED, None)
    assert outcome(site, f"/{HASHED}", "POST") == (405, None, None)
    later = outcome(site, f"/{HASHED}", epoch=NOW + 1, accept="text/html")
    assert later == (200, "index.html", 0)


def test_a_file_of_the_tree_is_not_looked_for_elsewhere():
    """What serves has it already."""
    site = site_of([*TREE, HASHED], retained={HASHED: NOW + 1})

    assert follow(decided(site, f"/{HASHED}"), NOW).retained is False


def test_what_is_not_loaded_is_asked_for():
    """Once it is there the answer comes; other names never ask for it."""
    site = site_of(TREE, retained={HASHED: NOW + 1})
    retained = site.branch.retained
    files, retained.files = retained.files, None
    exchange = decided(site, f"/{HASHED}")

    assert follow(exchange, NOW) is retained
    assert outcome(site, "/nothing.js") == (404, "404.html", None)
    retained.files = files
    assert told(follow(exchange, NOW)) == (200, HASHED, None)


def test_a_fingerprinted_name_that_nobody_has_gets_no_page_of_the_site():
    """Only a rule can give it one: a script is not answered with HTML by itself."""
    other = "/other-BxK3d9Qz.js"

    assert outcome(site_of(TREE), other) == (404, None, None)
    assert outcome(site_of(TREE, retained={HASHED: NOW + 1}), other) == (404, None, None)
    assert outcome(site_of(TREE, rules=LATE), other) == (404, "gone.html", 0)


def is_kept(exchange):
    """Whether anybody may remember the answer."""
    return b"no-store" not in envelope_of(exchange, follow(exchange, NOW)).cache_control


@pytest.mark.parametrize(
    ("target", "method", "may"),
    [
        ("/about", "GET", True),
        ("/nothing", "GET", True),
        ("/closed", "GET", True),
        ("/bare", "GET", False),
        ("/lost", "GET", False),
        ("/about.html", "POST", False),
        ("/about.html", "OPTIONS", False),
        ("/other-BxK3d9Qz.js", "GET", False),
        (f"/{HASHED}", "GET", True),
    ],
)
def test_what_may_be_remembered(target, method, may):
    """Files and honest 404s; not a name whose file may come with the next deploy, nor refusals."""
    site = site_of(TREE, rules=RULES[1:6], retained={HASHED: NOW + 1})
    exchange = decided(site, target, method)

    assert is_kept(exchange) is may


def test_a_rules_page_for_a_fingerprinted_name_is_not_remembered():
    """Neither is what it says about it."""
    exchange = decided(site_of(TREE, rules=LATE), "/other-BxK3d9Qz.js")

    assert not is_kept(exchange)
    exchange = decided(site_of(TREE, rules=LATE), "/other.js")
    assert is_kept(exchange)


LASTING = """
customHeaders:
  - {pattern: '**', headers: [{key: X-Own, value: a}]}
  - {pattern: '/year/**', headers: [{key: Cache-Control, value: 'public, max-age=31536000'}]}
  - {pattern: '/for-ever/**', headers: [{key: Cache-Control, value: immutable}]}
  - {pattern: '/edge/**', headers: [{key: Cache-Control, value: 's-maxage=30'}]}
"""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/year/x.js", b"public, max-age=0, s-maxage=600"),
        ("/for-ever/x.js", b"public, max-age=0, s-maxage=600"),
        ("/edge/x.js", b"s-maxage=30"),
        ("/x.js", b"public, max-age=0, s-maxage=600"),
    ],
)
def test_no_404_is_for_browsers_to_keep(path, said):
    """What is said of files that are there is not said of one that is not; the rest stays."""
    exchange = decided(site_of(TREE, headers=LASTING), path)

    envelope = envelope_of(exchange, follow(exchange, NOW))
    assert (envelope.page_cache_control, dict(envelope.fields)[b"X-Own"]) == (said, b"a")
    assert envelope is envelope_of(exchange, follow(exchange, NOW))


def test_a_country_asked_by_rules_of_what_is_missing_concerns_that_alone():
    """Files are for everybody; what such a rule could decide is for the client alone."""
    site = site_of(TREE, rules=[("/<*>", "/about.html", "404-200", "<US>")])

    for path, said in (("/about.html", b"public"), ("/nothing", b"private")):
        exchange = decided(site, path)
        outcome = follow(exchange, NOW)
        assert envelope_of(exchange, outcome).cache_control.startswith(said), path


# Performance mode

FAST = "branches: {main: {performance_mode: true}}"
HEADERS = """
customHeaders:
  - {pattern: /short*, headers: [{key: Cache-Control, value: s-maxage=30}]}
  - {pattern: /long*, headers: [{key: Cache-Control, value: s-maxage=86400}]}
  - {pattern: /never*, headers: [{key: Cache-Control, value: no-store}]}
"""
PAGES = ("short.html", "long.html", "never.html", "other.html", "page.html", "404.html")


def performing(rules=(), headers=HEADERS):
    """A branch in performance mode that had and has `PAGES`."""
    return site_of(PAGES, previous=PAGES, app_yml=FAST, headers=headers, rules=rules)


@pytest.mark.parametrize(
    ("target", "lifetime"), [("/short", 30), ("/long", 86_400), ("/never", 0), ("/other", 600)]
)
@pytest.mark.parametrize("rewritten", [False, True])
def test_each_path_keeps_the_previous_answer_for_its_own_time(target, lifetime, rewritten):
    """By the path that was asked for, wherever a rule leads."""
    site = performing(rules=[("/<*>", "/page.html", "200")] if rewritten else [])

    for seconds in (0, lifetime - 1, lifetime, 100_000):
        found = follow(decided(site, target), ACTIVE_AT + seconds)
        assert found.asset.deployment == ("old" if seconds < lifetime else "new"), seconds


@pytest.mark.parametrize(
    ("purged", "expected"),
    [
        ((), ["old", "old", "old"]),
        (("other.html",), ["new", "old", "old"]),
        (("/other",), ["new", "old", "old"]),
        (("page.html",), ["old", "new", "new"]),
        (("/page",), ["old", "new", "old"]),
    ],
)
def test_what_was_purged_of_it_is_not_kept(purged, expected):
    """A file wherever it is asked for, an address whatever it leads to; all else stays."""
    site = performing(rules=[("/also", "/page.html", "200")])
    site.branch.purged = frozenset(purged)
    found = [follow(decided(site, path), ACTIVE_AT) for path in ("/other", "/page", "/also")]

    assert [each.asset.deployment for each in found] == expected


def test_a_fallback_keeps_its_content_too():
    """It is an answer of 200; a refusal's page is the current one."""
    site = performing(rules=[("/<*>", "/page.html", "fallback"), ("/no", "/page.html", "410")])

    assert follow(decided(site, "/deep"), ACTIVE_AT + 599).asset.deployment == "old"
    assert follow(decided(site, "/deep"), ACTIVE_AT + 600).asset.deployment == "new"
    assert follow(decided(site, "/no"), ACTIVE_AT).asset.deployment == "new"


def test_what_is_missing_is_told_by_the_current_deployment():
    """Only answers of 200 stay."""
    site = performing(rules=[("/by-rule", "/page.html", "404")])

    for path in ("/by-rule", "/nothing"):
        assert follow(decided(site, path), ACTIVE_AT).asset.deployment == "new", path


# Inside to another host

OUTER = 'domains: {shop.test: {subdomains: {"": main}}}'
INNER = (
    "index.html",
    "a/index.html",
    "b.html",
    "docs.html",
    "404.html",
    HASHED,
)
LISTEN = Settings(listen=Listen(http=("127.0.0.1:8080",), https=("0.0.0.0:8443",)))


def inside(target, *rules, app_yml="", inner_rules=(), settings=LISTEN, method="GET", **options):
    """The exchange inside that a request to `shop.test` comes to, and its outcome in short."""
    outer = compile_site(TREE, name="shop", app_yml=OUTER, rules=rules)
    inner = compile_site(INNER, name="docs", app_yml=app_yml, rules=inner_rules, **options)
    exchange = decided(outer.hosts[b"shop.test"], target, method)
    assert isinstance(exchange.decision, Forward)
    entered = enter(exchange, exchange.decision, snapshot_of(outer, inner, settings=settings))
    return entered, None if entered is None else told(follow(entered, NOW))


HOST = "https://main.docs.x.test"
MANUAL = ("/manual/<*>", f"{HOST}/<*>", "200")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/manual/", (200, "index.html", None)),
        ("/manual/b", (200, "b.html", None)),
        ("/manual/b.html?x", (200, "b.html", None)),
        ("/manual/a/", (200, "a/index.html", None)),
        ("/manual/a", ("moved", "/manual/a/")),
        ("/manual/a?b=/c", ("moved", "/manual/a/?b=/c")),
        ("/manual/x/nothing", (404, "404.html", None)),
        ("/manual//b", (404, "404.html", None)),
    ],
)
def test_a_host_of_this_node_is_looked_up_inside(target, expected):
    """With its own files, at the path that the rule makes; redirects lead to where it was asked."""
    entered, told_ = inside(target, MANUAL)

    assert told_ == expected
    assert entered.outer == target.partition("?")[0]


def test_what_is_asked_inside_is_what_the_url_says():
    """Decoded once more from its bytes, with the query; country and budget are the request's."""
    entered, _ = inside("/manual/%C3%BC%2F%25?q=%20&b", MANUAL)

    assert (entered.subject.path, entered.subject.raw) == ("/ü%2F%", b"/%C3%BC%2F%25")
    assert entered.subject.query == b"q=%20&b"
    assert entered.subject.host == "main.docs.x.test"
    assert inside("/manual/b", MANUAL)[0].subject.query is None
    assert inside("/manual/b?", MANUAL)[0].subject.query == b""


def test_country_and_time_are_the_same_inside():
    """One request has one budget for patterns."""
    outer = compile_site(TREE, name="shop", rules=[MANUAL])
    inner = compile_site(INNER, name="docs")
    exchange = decided(outer.hosts[b"main.shop.x.test"], "/manual/b", country="US")
    entered = enter(exchange, exchange.decision, snapshot_of(outer, inner))

    assert entered.subject.country == "US"
    assert entered.subject.budget is exchange.subject.budget


def test_rules_before_files_are_not_run_inside():
    """So that no two hosts send a request round; those of what is missing are."""
    rules = [("/b", "/x", "301"), ("/<*>", "/docs.html", "404")]

    assert inside("/manual/b", MANUAL, inner_rules=rules)[1] == (200, "b.html", None)
    assert inside("/manual/x", MANUAL, inner_rules=rules)[1] == (404, "docs.html", 1)
    assert inside("/manual/x", MANUAL, inner_rules=rules, method="POST")[1] == (405, None, None)


def test_inside_the_access_of_that_host_holds():
    """What it guards is for one client; what it exempts, and what nobody guards, is not."""
    guarded_, _ = inside("/manual/b", MANUAL, app_yml=GUARDED)
    exempt, _ = inside("/manual/open/b", MANUAL, app_yml=GUARDED)
    free, _ = inside("/manual/b", MANUAL)

    assert [each.needs_password for each in (guarded_, exempt, free)] == [True, False, False]
    assert [sharing_of(each) for each in (guarded_, exempt, free)] == ["one", "public", "public"]


def test_a_redirect_by_a_domain_rule_outside_opens_nothing_inside():
    """Inside there is no decision that could need no password."""
    rule = ("https://shop.test", f"{HOST}/<*>", "200")

    assert inside("/b", rule, app_yml=GUARDED)[0].needs_password


def test_the_headers_are_those_of_the_address_that_was_asked_for():
    """With its own entries, at its own path."""
    mark = "customHeaders: [{pattern: /manual/*, headers: [{key: X-Which, value: outer}]}]"
    other = "customHeaders: [{pattern: '**', headers: [{key: X-Which, value: inner}]}]"
    for app_yml in ("", GUARDED):
        outer = compile_site(TREE, name="shop", headers=mark, rules=[MANUAL])
        inner = compile_site(INNER, name="docs", headers=other, app_yml=app_yml)
        exchange = decided(outer.hosts[b"main.shop.x.test"], "/manual/b")
        entered = enter(exchange, exchange.decision, snapshot_of(outer, inner))
        assert entered.envelope.fields == ((b"X-Which", b"outer"),)
        assert entered.envelope.noindex


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example",
        "https://main.docs.x.test:9000",
        "http://x.test",
    ],
)
def test_another_server_is_not_inside(target):
    """An unknown host, or a port that is none of this node's."""
    assert inside("/manual/b", ("/manual/<*>", f"{target}/<*>", "200"))[0] is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://main.docs.x.test",
        "http://main.docs.x.test",
        "HTTPS://MAIN.docs.X.test",
        "https://main.docs.x.test:443",
        "http://main.docs.x.test:80",
        "http://main.docs.x.test:8080",
        "https://main.docs.x.test:8443",
    ],
)
def test_a_host_is_inside_however_it_is_spelled(origin):
    """Either scheme, the ports that this node listens on and those that the world knows it by."""
    assert inside("/manual/b", ("/manual/<*>", f"{origin}/<*>", "200"))[1] == (200, "b.html", None)


def test_a_host_by_a_capture_is_inside_too():
    """Whatever its case."""
    rule = ("/at/<name>/<*>", "https://<name>.docs.x.test/<*>", "200")

    assert inside("/at/main/b", rule)[1] == (200, "b.html", None)
    assert inside("/at/MAIN/b", rule)[1] == (200, "b.html", None)
    assert inside("/at/other/b", rule)[0] is None


def test_a_host_without_a_configuration_is_not_inside():
    """Nothing is known of its access."""
    outer = compile_site(TREE, name="shop", rules=[MANUAL])
    inner = compile_site(INNER, name="docs", app_yml=None)
    exchange = decided(outer.hosts[b"main.shop.x.test"], "/manual/b")

    assert enter(exchange, exchange.decision, snapshot_of(outer, inner)) is None


def test_several_servers_to_choose_from_are_not_inside():
    """A list is balanced over by whoever asks servers."""
    urls = (f"{HOST}/<*>", "https://other.example/<*>")

    assert inside("/manual/b", ("/manual/<*>", urls, "200"))[0] is None


@pytest.mark.parametrize(
    ("port", "is_own"),
    [("", True), (":80", True), (":443", True), (":8080", True), (":8443", True), (":8081", False)],
)
def test_ports_of_this_node(port, is_own):
    """Those it listens on, and the schemes' own, which something in front may map."""
    outer = compile_site(TREE, name="shop", rules=[("/manual/<*>", f"{HOST}{port}/<*>", "200")])
    snapshot = snapshot_of(outer, compile_site(INNER, name="docs"), settings=LISTEN)
    exchange = decided(outer.hosts[b"main.shop.x.test"], "/manual/b")

    assert (enter(exchange, exchange.decision, snapshot) is not None) is is_own


# Canonical forms inside


@pytest.mark.parametrize(
    ("outer", "inner", "found", "mapped"),
    [
        ("/manual/a", "/a", "/a/", "/manual/a/"),
        ("/a", "/x/a", "/x/a/", "/a/"),
        ("/manual/a/", "/a/", "/a", "/manual/a"),
        ("/latest", "/v2", "/v2/", None),
        ("/manual/", "/a", "/a/", None),
        ("/a", "/a/", "/a", None),
        ("/m/", "/docs/", "/docs", None),
        ("/", "/docs/", "/docs", None),
        ("//evil.example", "/evil.example", "/evil.example/", None),
    ],
)
def test_a_canonical_form_is_told_in_the_words_of_the_client(outer, inner, found, mapped):
    """Where the two paths end alike; and never as an address of another host, nor as nothing."""
    assert map_back(outer, inner, found) == mapped


@pytest.mark.parametrize(
    ("policy", "rule", "target", "expected"),
    [
        ("add", ("/latest", f"{HOST}/b", "200"), "/latest", (200, "b.html", None)),
        ("strip", ("/latest", f"{HOST}/a/", "200"), "/latest", (200, "a/index.html", None)),
        ("strip", ("/", f"{HOST}/a/", "200"), "/", (200, "a/index.html", None)),
        ("auto", ("/latest", f"{HOST}/a", "200"), "/latest", (404, "404.html", None)),
        ("add", MANUAL, "/manual/b", ("moved", "/manual/b/")),
        ("strip", MANUAL, "/manual/a/", ("moved", "/manual/a")),
        ("leave", MANUAL, "/manual/a", (200, "a/index.html", None)),
    ],
)
def test_what_cannot_be_redirected_is_answered(policy, rule, target, expected):
    """A target that a rule names is content, as it is within one site (step 4)."""
    assert inside(target, rule, app_yml=f"trailing_slash: {policy}")[1] == expected


def test_a_canonical_form_inside_keeps_the_query_of_the_client():
    """Not that of the rule's target."""
    rule = ("/manual/<*>", f"{HOST}/<*>?from=rule", "200")

    assert inside("/manual/a?x=1", rule)[1] == ("moved", "/manual/a/?x=1")
    assert inside("/manual/a", rule)[1] == ("moved", "/manual/a/")


# Performance mode inside


def test_inside_the_previous_deployment_answers_no_longer_than_its_own_branch_lets_it():
    """What is outside may be fresh for a day: the manifest inside is not loaded for so long."""
    long = "customHeaders: [{pattern: '**', headers: [{key: Cache-Control, value: s-maxage=9999}]}]"
    outer = compile_site(TREE, name="shop", app_yml=FAST, headers=long, rules=[MANUAL])
    inner = compile_site(INNER, name="docs", app_yml=FAST, previous=INNER)
    branch = inner.branches["main"]
    exchange = decided(outer.hosts[b"main.shop.x.test"], "/manual/b")
    entered = enter(exchange, exchange.decision, snapshot_of(outer, inner))

    assert entered.envelope.lifetime == 9999
    assert follow(entered, ACTIVE_AT + 599).asset.deployment == "old"
    branch.previous.manifest = None
    assert list(branch.trees(ACTIVE_AT + 600)) == []
    assert follow(entered, ACTIVE_AT + 600).asset.deployment == "new"


def test_every_kind_of_decision_is_told():
    """The names that this module passes on are those of the plan."""
    site = site_of(TREE, rules=RULES)

    assert isinstance(decided(site, "/app.js").decision, Rewrite)
    assert isinstance(decided(site, "/bare").decision, Refuse)
    assert sharing_of(decided(site, "/bare")) == "public"
    assert site.envelope("/bare", Sharing.ALL, UNHURRIED) is decided(site, "/bare").envelope
