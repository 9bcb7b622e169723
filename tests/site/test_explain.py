"""The trail of a request: what is told is what is decided, and why."""

from __future__ import annotations

import itertools
import time

import pytest

from edge.http.fields import FieldList
from edge.site.explain import ALL_TOLD, explain
from edge.site.rehearsal import World, make_request
from edge.site.settings import Listen, Settings
from tests.support_site import ACTIVE_AT, compile_site, snapshot_of

TREE = ("index.html", "about.html", "docs/index.html", "docs/404.html", "404.html", "app.js")
HASHED = "app-BxK3d9Qz.js"
HOST = "main.site.x.test"
NOW = ACTIVE_AT + 10_000
"""Long after the activation."""

GUARDED = "access: {users: {ann: '$2b$04$" + "a" * 53 + "'}, exempt: [/open/*]}\n"


def world_of(*apps, epoch=NOW, clock=time.process_time, load=lambda _: None, settings=None):
    """Apps, some time after they were activated."""
    return World(snapshot_of(*apps, settings=settings), epoch, clock, load)


def ask(world, target="/", method="GET", host=HOST, country=None, **fields):
    """The trail of a request."""
    lines = FieldList([(name.encode(), value.encode()) for name, value in fields.items()])
    request = make_request(host.encode(), target.encode(), method.encode(), lines)
    return explain(request, world, country)


def trail_of(target="/", *, tree=TREE, method="GET", host=HOST, country=None, epoch=NOW, **app):
    """The trail of a request to one app."""
    return ask(world_of(compile_site(tree, **app), epoch=epoch), target, method, host, country)


def tried(trail):
    """Each rule that was asked: its number, whether it matched, and why not."""
    return [(each.rule, each.matched, each.why) for each in trail.tried]


# Who answers


def test_a_host_that_nobody_claims():
    """404, and nothing about any app."""
    trail = trail_of(host="nobody.test")

    assert (trail.status, trail.app) == (404, None)
    assert trail.steps == ["no app of this node claims this hostname"]


def test_an_app_that_never_had_a_configuration():
    """503, and what to do about it."""
    trail = trail_of(app_yml=None)

    assert trail.status == 503
    assert trail.steps == [
        "the app never had a valid configuration; `edge check` says where the mistake is"
    ]


def test_rules_that_came_with_the_deployment_are_named_as_such():
    """Who edits the folder's in vain is told why."""
    rules = [("/a", "/b", "301")]
    told = "the rules are those that the deployment carries, not the folder's"

    assert told in trail_of("/a", rules=rules, carried=True).steps
    assert told not in trail_of("/a", rules=rules).steps


@pytest.mark.parametrize(
    ("host", "target", "reason"),
    [
        ("a b", "/", "the authority is not a host name"),
        ("x:99999", "/", "the authority's port is not a number up to 65535"),
        (HOST, "/%zz", "the path holds a % that begins no escape"),
        (HOST, "/..", "the path leaves the root"),
    ],
)
def test_what_is_refused_before_anything_is_decided(host, target, reason):
    """400, with the reason that the client gets."""
    trail = trail_of(target, host=host)

    assert trail.status == 400
    assert trail.steps == [f"the request is refused: {reason}"]


def test_the_trail_names_the_request():
    """Host and target as they came, also where they are not ASCII."""
    trail = trail_of("/a?b", host="bücher.test", method="PUT", country="DE")

    assert (trail.url, trail.method, trail.country) == ("bücher.test/a?b", "PUT", "DE")


def test_the_trail_names_who_answers():
    """App, branch and the deployment that serves."""
    trail = trail_of()

    assert (trail.app, trail.branch, trail.deployment) == ("site", "main", "new")
    assert trail.steps[0] == f"{HOST}: app site, branch main, new"


def test_a_branch_without_a_deployment():
    """It is said, and the answer is the node's own page."""
    trail = trail_of(tree=None)

    assert (trail.deployment, trail.status, trail.file) == (None, 404, None)
    assert trail.steps == [
        f"{HOST}: app site, branch main, nothing deployed",
        "nothing is there; the node's own page says so",
    ]


# Rules


def test_rules_are_told_up_to_the_one_that_matches():
    """Each with its number, its line, and why it is not meant."""
    rules = [
        ("/old", "/new"),
        ("/<*>/x", "/y"),
        ("https://other.test", "/", "302"),
        ("/a", "/us", "302", "<US>"),
        ("</^/b/>", "/c", "308"),
        ("/a?id=<id>", "/q"),
        ("/a", "/b", "307"),
        ("/a", "/never"),
    ]
    trail = trail_of("/a", rules=rules)

    assert tried(trail) == [
        (0, False, "the path is not /old"),
        (1, False, "it never matches: <*> stands elsewhere than at the end"),
        (2, False, "the host is not other.test"),
        (3, False, "the country is unknown, not US"),
        (4, False, "the path does not match </^/b/>"),
        (5, False, "the query has no 'id'"),
        (6, True, "it matches"),
    ]
    assert trail.steps[1:] == [
        "  rule [0] on line 1, 301 /old: the path is not /old",
        "  rule [1] on line 1, 301 /<*>/x: it never matches: <*> stands elsewhere than at the end",
        "  rule [2] on line 1, 302 https://other.test: the host is not other.test",
        "  rule [3] on line 1, 302 /a: the country is unknown, not US",
        "  rule [4] on line 1, 308 </^/b/>: the path does not match </^/b/>",
        "  rule [5] on line 1, 301 /a?id=<id>: the query has no 'id'",
        "→ rule [6] on line 1, 307 /a: it matches",
    ]
    assert (trail.status, trail.location, trail.passed_over) == (307, "/b", 0)
    one = trail.tried[3]
    assert (one.line, one.source, one.status) == (1, "/a", "302")


@pytest.mark.parametrize(("country", "status"), [("US", 302), ("DE", 200), (None, 200)])
def test_rules_depend_on_the_country(country, status):
    """And so do caches downstream: what was decided for one is for nobody else."""
    trail = trail_of("/about", country=country, rules=[("/about", "/us", "302", "<US>")])

    assert trail.status == status
    assert trail.fields[0] == ("Cache-Control", "private, max-age=0")


def test_as_many_rules_as_a_screen_holds_are_all_told():
    """Also those that could not match."""
    rules = [(f"/other/{number}", "/x") for number in range(100)]
    trail = trail_of("/a", rules=rules)

    assert ([number for number, _, _ in tried(trail)], trail.passed_over) == (list(range(100)), 0)


def test_of_many_rules_only_those_are_told_that_could_match():
    """The others are counted; which of them matches is the same."""
    many = [(f"/other/{number}", "/x") for number in range(ALL_TOLD)]
    rules = [("/a", "/us", "302", "<US>"), *many, ("/a", "/b")]
    trail = trail_of("/a", rules=rules)

    assert tried(trail) == [
        (0, False, "the country is unknown, not US"),
        (ALL_TOLD + 1, True, "it matches"),
    ]
    assert trail.passed_over == ALL_TOLD
    assert trail.steps[1] == f"{ALL_TOLD} rules are about other paths, folders or hosts"


MISSING = [
    ("/old", "/new", "301"),
    ("/<*>", "/index.html", "fallback"),
    ("/<*>", "/about.html", "404"),
]


def test_rules_of_what_is_missing_come_after_the_look_up():
    """With a line between the two kinds."""
    trail = trail_of("/none", rules=MISSING)

    assert tried(trail) == [(0, False, "the path is not /old"), (1, True, "it matches")]
    assert trail.steps[2:] == [
        "no file is there: the rules of what is missing are asked",
        "→ rule [1] on line 1, fallback /<*>: it matches",
        "the rule's target is index.html",
    ]
    assert (trail.status, trail.file) == (200, "/index.html")


def test_rules_of_what_is_missing_may_not_match_either():
    """They are told all the same, before the page that answers."""
    rules = [("/x/<*>", "/index.html", "fallback"), ("/y", "/about.html", "404")]
    trail = trail_of("/none", rules=rules)

    assert tried(trail) == [
        (0, False, "the path does not fit /x/<*>"),
        (1, False, "the path is not /y"),
    ]
    assert trail.steps[1] == "no file is there: the rules of what is missing are asked"
    assert (trail.status, trail.file) == (404, "/404.html")


NO_PAGE = "it is for pages: GET or HEAD, without an extension or with Accept: text/html"


def test_a_fallback_is_not_for_what_a_page_needs():
    """A missing script is told as what it is answered with: by the next rule."""
    world = world_of(compile_site(TREE, rules=MISSING))
    trail = ask(world, "/none.js")

    assert tried(trail)[1:] == [(1, False, NO_PAGE), (2, True, "it matches")]
    assert (trail.status, trail.file) == (404, "/about.html")
    assert ask(world, "/none.js", accept="text/html,*/*").file == "/index.html"


def test_a_fallback_to_another_server_is_for_everything():
    """Files first, then the server that renders pages and answers POST."""
    trail = trail_of("/api.json", method="POST", rules=[("/<*>", "https://o.test/<*>", "fallback")])

    assert tried(trail) == [(0, True, "it matches")]
    assert trail.origins == ["https://o.test/api.json"]


@pytest.mark.parametrize("target", ["/about", "/app.js", "/docs/", "/docs", "/old"])
def test_rules_of_what_is_missing_are_not_told_where_something_is(target):
    """A file, a redirect to its address, a redirect by a rule."""
    trail = trail_of(target, rules=MISSING)

    assert [number for number, _, _ in tried(trail)] == [0]
    assert not any("no file is there" in step for step in trail.steps)


@pytest.mark.parametrize(
    ("method", "target", "status", "is_missing"),
    [
        ("POST", "/about", 405, False),
        ("OPTIONS", "/app.js", 204, False),
        ("POST", "/rewritten", 405, False),
        ("POST", "/lost", 405, True),
        ("POST", "/none", 405, True),
        ("OPTIONS", "/none", 204, True),
        ("POST", "/docs", 405, True),
        ("POST", "/gone", 410, False),
    ],
)
def test_methods_that_files_do_not_have(method, target, status, is_missing):
    """A file that is there is not told as missing, whatever the answer."""
    rules = [
        ("/rewritten", "/about", "200"),
        ("/lost", "/nowhere", "200"),
        ("/gone", None, "410"),
        ("/<*>", "/index.html", "404"),
    ]
    trail = trail_of(target, method=method, rules=rules)

    assert (trail.status, trail.file) == (status, None)
    assert any("no file is there" in step for step in trail.steps) == is_missing
    assert any(number == 3 for number, _, _ in tried(trail)) == is_missing
    reasons = {
        405: "files are for GET and HEAD alone",
        204: "OPTIONS is answered with the methods that files have",
    }
    assert (trail.steps[-1] == reasons.get(status)) == (status in reasons)


def test_options_have_no_lifetime():
    """Nothing is said of storing what nobody stores."""
    assert "Cache-Control" not in dict(trail_of("/about", method="OPTIONS").fields)
    assert "Cache-Control" in dict(trail_of("/about", method="POST").fields)


def test_the_previous_deployment_has_files_too():
    """Performance mode: what the new one lacks is not missing yet."""
    trail = trail_of(
        "/old.html",
        method="POST",
        tree=["index.html"],
        previous=["old.html"],
        app_yml="branches: {main: {performance_mode: true}}",
        rules=[("/<*>", "/index.html", "404")],
        epoch=ACTIVE_AT + 1,
    )

    assert (trail.status, tried(trail)) == (405, [])


@pytest.mark.parametrize(
    ("target", "status", "file", "reason"),
    [
        ("/page", 200, "/about.html", "the rule's target is about.html"),
        ("/lost", 404, "/404.html", "nothing is there; 404.html is the nearest page that says so"),
        ("/closed", 410, "/about.html", "the rule's target is about.html"),
        ("/bare", 403, None, "→ rule [3] on line 1, 403 /bare: it matches"),
    ],
)
def test_rewrites_and_refusals(target, status, file, reason):
    """The target's content, where it is there."""
    rules = [
        ("/page", "/about", "200"),
        ("/lost", "/nowhere", "200"),
        ("/closed", "/about", "410"),
        ("/bare", None, "403"),
    ]
    trail = trail_of(target, rules=rules)

    assert (trail.status, trail.file, trail.location) == (status, file, None)
    assert trail.steps[-1] == reason


def test_an_early_rule_that_answers_leaves_no_question_of_missing_files():
    """A refusal with its page, or a rewrite to a file: neither looks further."""
    rules = [("/page", "/about", "200"), ("/closed", "/about", "410"), ("/<*>", "/a", "404")]

    for target in ("/page", "/closed"):
        assert "no file is there" not in " ".join(trail_of(target, rules=rules).steps)


# Patterns take time


def test_a_slow_pattern_is_answered_with_503():
    """As live traffic is; never as if the rule did not match."""
    rules = [("</^/(?:a?){40}a{40}.*[0-9]$/>", None, "403")]
    trail = trail_of("/" + "a" * 8000, rules=rules)

    assert (trail.status, trail.file) == (503, None)
    assert trail.steps[1] == "  rule [0] on line 1 takes too long to be told"
    assert trail.steps[-1].startswith("answered with 503, never with «no match»: the patterns of")


def test_telling_takes_no_time_from_deciding():
    """Patterns that are only told do not run down the clock of those that decide."""
    ticks = itertools.count()
    rules = [("</^/a/x/>", "/y"), ("</^/a/y/>", "/y"), ("</^/none/>", "/about.html", "404")]
    world = world_of(compile_site(TREE, rules=rules), clock=lambda: float(next(ticks)))
    trail = ask(world, "/none")

    assert trail.steps[1:4] == [
        "  rule [0] on line 1, 301 </^/a/x/>: the path does not match </^/a/x/>",
        "  rule [1] on line 1 takes too long to be told",
        "no file is there: the rules of what is missing are asked",
    ]
    assert (trail.status, trail.file) == (404, "/about.html")


def test_loading_takes_no_time_from_deciding():
    """A large manifest is read between the rules before files and those after."""
    now = [0.0]

    def load(_):
        now[0] += 1.0

    rules = [("</^/a/x/>", "/y"), ("</^/none/>", "/about.html", "404")]
    world = world_of(compile_site(TREE, rules=rules), clock=lambda: now[0], load=load)
    trail = ask(world, "/none")

    assert (now, trail.status, trail.file) == ([1.0], 404, "/about.html")


# Access


DOMAIN = 'domains: {one.test: {subdomains: {"": main}}}\n'


def test_a_password_is_told_without_anything_secret():
    """Whether it asks, in whose name; what would be seen with it is told all the same."""
    trail = trail_of("/about", app_yml=GUARDED)

    assert (trail.password, trail.status, trail.file) == (True, 200, "/about.html")
    assert trail.steps[1] == f"a password is asked for, realm {HOST}"
    assert trail.fields[0] == ("Cache-Control", "private, max-age=0")


@pytest.mark.parametrize(
    ("target", "host", "reason"),
    [
        ("/open/x", HOST, "no password is asked for: the path is exempt"),
        ("/x", "one.test", "no password is asked for: a redirect by a domain rule needs none"),
    ],
)
def test_why_no_password_is_asked_for(target, host, reason):
    """An exempt path, or a redirect that reveals nothing."""
    trail = trail_of(
        target,
        host=host,
        app_yml=GUARDED + DOMAIN,
        rules=[("https://one.test", "https://www.one.test", "301")],
    )

    assert (trail.password, reason in trail.steps) == (False, True)


def test_without_access_nothing_is_said_about_it():
    """Most sites are for everybody."""
    assert not any("password" in step for step in trail_of("/about").steps)


# Files


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/about.html", "about.html is the file of this path"),
        ("/about", "about.html is the page of this path (clean URL)"),
        ("/", "index.html is the page of this path (clean URL)"),
        ("/docs/x", "nothing is there; docs/404.html is the nearest page that says so"),
    ],
)
def test_why_this_file(target, reason):
    """How the path led to it."""
    trail = trail_of(target)

    assert trail.steps[-1] == reason
    assert trail.file is not None


def test_a_file_that_has_another_address():
    """The redirect that the tree makes, not a rule."""
    trail = trail_of("/docs?a=1")

    assert (trail.status, trail.location, trail.file) == (301, "/docs/?a=1", None)
    assert trail.steps[-1] == "the file has another address: a slash more or less"
    assert trail.verdict == "made anew each time; caches downstream go by Cache-Control"


def test_a_file_that_only_an_earlier_deployment_has():
    """Asset retention: an old page's scripts."""
    rules = [("/<*>", "/index.html", "404")]
    trail = trail_of(f"/{HASHED}", retained={HASHED: NOW + 1}, rules=rules)

    assert (trail.status, trail.file) == (200, f"/{HASHED}")
    assert trail.steps[1:] == [f"asset retention: only deployment older has {HASHED}"]


def test_a_file_of_the_previous_deployment():
    """Performance mode: for how long, and which deployment."""
    trail = trail_of(
        "/about.html",
        previous=TREE,
        app_yml="branches: {main: {performance_mode: true}}\ncache: {default_s_maxage: 100}",
        epoch=ACTIVE_AT + 30,
    )

    assert (trail.deployment, trail.file) == ("new", "/about.html")
    assert trail.steps[-1] == "performance mode: deployment old answers for 70 s more"


@pytest.mark.parametrize(
    ("target", "purged", "elapsed", "told"),
    [
        ("/about", ["about.html"], 30, True),
        ("/about", ["index.html"], 30, False),
        ("/about", ["about.html"], 100, False),
        ("/rewritten", ["about.html"], 30, True),
        ("/rewritten", ["/rewritten"], 30, True),
        ("/gone", ["gone.html"], 30, True),
        ("/never", ["/never"], 30, False),
        ("/gone.html", ["gone.html"], 30, False),
    ],
)
def test_a_purge_ends_performance_mode_for_a_file(target, purged, elapsed, told):
    """It is said as long as the deployment before would have answered."""
    site = compile_site(
        TREE,
        previous=[*TREE, "gone.html"],
        rules=[("/rewritten", "/about.html", "200"), ("/gone.html", "/", "301")],
        app_yml="branches: {main: {performance_mode: true}}\ncache: {default_s_maxage: 100}",
    )
    site.branches["main"].purged = frozenset(purged)
    trail = ask(world_of(site, epoch=ACTIVE_AT + elapsed), target)

    sentence = "performance mode: what deployment old answered here was purged"
    assert (sentence in trail.steps) is told


def test_a_file_that_the_previous_deployment_lacks():
    """Performance mode has nothing to say about it."""
    trail = trail_of(
        "/about.html",
        previous=["index.html"],
        app_yml="branches: {main: {performance_mode: true}}",
        epoch=ACTIVE_AT + 30,
    )

    assert trail.steps[-1] == "about.html is the file of this path"


# Headers and caches


HEADERS = """
customHeaders:
  - {pattern: '*.html', headers: [{key: X-One, value: '1'}]}
  - {pattern: '/docs/*', headers: [{key: Cache-Control, value: s-maxage=30}]}
  - {pattern: '*.js', headers: [{key: cache-control, value: no-store}, {key: Vary, value: X}]}
"""


@pytest.mark.parametrize(
    ("target", "patterns", "fields"),
    [
        ("/about.html", ["*.html"], [("X-Robots-Tag", "noindex"), ("X-One", "1")]),
        ("/about", [], [("X-Robots-Tag", "noindex")]),
        ("/docs/", ["/docs/*"], [("X-Robots-Tag", "noindex"), ("Cache-Control", "s-maxage=30")]),
        (
            "/docs/x.html",
            ["*.html", "/docs/*"],
            [("X-Robots-Tag", "noindex"), ("X-One", "1"), ("Cache-Control", "s-maxage=30")],
        ),
    ],
)
def test_custom_headers(target, patterns, fields):
    """Which patterns apply, in order, and what comes of them beside Cache-Control."""
    trail = trail_of(target, headers=HEADERS)
    default = [("Cache-Control", "public, max-age=0, s-maxage=600")]

    assert trail.headers == patterns
    assert trail.fields == ([] if "/docs/*" in patterns else default) + fields


def test_a_domain_of_ones_own_is_for_crawlers():
    """Only the node's own names tell them to stay away."""
    assert trail_of(host="one.test", app_yml=DOMAIN).fields == [
        ("Cache-Control", "public, max-age=0, s-maxage=600")
    ]


@pytest.mark.parametrize(
    ("target", "app_yml", "lifetime", "verdict"),
    [
        ("/about.html", "", 600, "stored at the edge for 600 s by default (at most 600 s)"),
        ("/docs/", "", 30, "stored at the edge for 30 s by «s-maxage=30» (at most 600 s)"),
        ("/app.js", "", 0, "not stored at the edge by «no-store»"),
        ("/about", "cache: {default_s_maxage: 0}", 0, "not stored at the edge by default"),
        ("/no-BxK3d9Qz.css", "", None, "made anew each time"),
        (
            "/about",
            "branches: {main: {performance_mode: true}}",
            600,
            "stored at the edge for 600 s by default (at most 86400 s); a deploy ends it",
        ),
    ],
)
def test_what_caches_do_with_a_file(target, app_yml, lifetime, verdict):
    """How long the edge has it, and who says so."""
    trail = trail_of(target, headers=HEADERS, app_yml=app_yml)

    assert trail.lifetime == lifetime
    assert trail.verdict.startswith(verdict)


def test_a_page_about_a_missing_asset_is_stored_nowhere():
    """The next deploy may bring it, so what the operator says about caches does not count."""
    rules = [("/<*>", "/about.html", "404")]
    trail = trail_of("/no-BxK3d9Qz.js", headers=HEADERS, rules=rules)

    assert (trail.status, trail.file, trail.lifetime) == (404, "/about.html", 0)
    assert trail.fields == [
        ("Cache-Control", "no-store"),
        ("X-Robots-Tag", "noindex"),
        ("Vary", "X"),
    ]
    assert trail.verdict == "stored nowhere: the next deploy may bring a file of this name"


# Other servers, and hosts of this node


def test_another_server():
    """It is named, and what it says is its own business."""
    trail = trail_of("/api/x?y", rules=[("/api/<*>", "https://api.test/<*>", "200")])

    assert (trail.status, trail.origins) == (0, ["https://api.test/x?y"])
    assert trail.steps[-1] == "the answer is that of https://api.test/x?y"


CHOICES = {
    "": ("https://api.test/x?a=1&b=2", "query (all), cookies (none)"),
    "cache: {query: none}": ("https://api.test/x", "query (none), cookies (none)"),
    "cache: {query: [b, c], cookies: [sid, lang]}": (
        "https://api.test/x?b=2", "query (b, c), cookies (sid, lang)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("app_yml", "expected"), CHOICES.items())
def test_what_tells_answers_of_a_server_apart(app_yml, expected, method):
    """As the app chooses; what is stored there is another one's to say."""
    rules = [("/api/<*>", "https://api.test/<*>", "200")]
    trail = trail_of("/api/x?a=1&b=2", rules=rules, app_yml=app_yml, method=method)
    key, told = expected

    assert (trail.keys, trail.stored) == ([key], [])
    assert trail.verdict == (
        f"stored if the origin's answer allows it (RFC 9111); told apart by {told} "
        "and what it varies by"
    )


def test_a_change_at_a_server_is_not_stored():
    """It goes through."""
    trail = trail_of("/api/x", rules=[("/api/<*>", "https://api.test/<*>", "200")], method="PUT")

    assert trail.keys == []
    assert trail.verdict == "PUT is passed on; its answer is never stored"


def test_several_servers_to_choose_from():
    """All are named, and none is looked for inside."""
    urls = (f"https://{HOST}/", "https://b.test/")
    trail = trail_of("/api", rules=[("/api", urls, "200")])

    assert (trail.status, trail.origins) == (0, list(urls))
    assert trail.steps[-1] == f"the answer is that of {urls[0]} or {urls[1]}"


def inside(rules=(), *, app_yml="", port=""):
    """The trail of `/in` on a site whose rule leads to another host of this node."""
    outer = compile_site(
        TREE, rules=[("/in", f"http://main.docs.x.test{port}/docs/", "200"), ("/in2", "/x", "301")]
    )
    inner = compile_site(["docs/index.html"], name="docs", app_yml=app_yml, rules=rules)
    settings = Settings(listen=Listen(http=("127.0.0.1:8080",)))
    return ask(world_of(outer, inner, settings=settings), "/in")


@pytest.mark.parametrize("port", ["", ":80", ":8080"])
def test_a_host_of_this_node_is_looked_up_inside(port):
    """Whose files answer is named; its rules before files are not run."""
    trail = inside(rules=[("/docs/<*>", "/never", "301")], port=port)
    url = f"http://main.docs.x.test{port}/docs/"

    assert (trail.app, trail.file, trail.status) == ("docs", "/docs/index.html", 200)
    assert trail.origins == [url]
    assert trail.steps[2:] == [
        f"{url} is looked up inside this node: app docs, branch main",
        "docs/index.html is the page of this path (clean URL)",
    ]


def test_inside_the_other_hosts_password_is_asked_for():
    """In the name of the host that the client asked."""
    trail = inside(app_yml=GUARDED)

    assert trail.password
    assert trail.steps[3] == f"a password is asked for, realm {HOST}"
    assert trail.fields[0] == ("Cache-Control", "private, max-age=0")


def test_two_hosts_that_send_a_request_to_each_other():
    """508, instead of going round."""
    one = compile_site([], rules=[("/<*>", "http://main.two.x.test/<*>", "200")])
    two = compile_site([], name="two", rules=[("/<*>", f"http://{HOST}/<*>", "fallback")])
    trail = ask(world_of(one, two), "/x")

    assert (trail.status, trail.file) == (508, None)
    assert trail.steps[-1] == "two hosts of this node send the address to each other"


def test_a_capture_that_makes_no_path_inside_is_refused():
    """The inner host decodes the path as if it had been asked for it."""
    one = compile_site([], rules=[("/go?to=<to>", "http://main.two.x.test/<to>", "200")])
    trail = ask(world_of(one, compile_site([], name="two")), "/go?to=%5C")

    assert trail.status == 400
    assert trail.steps[-1].startswith("the request is refused: the path holds a control character")
