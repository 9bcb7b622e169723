"""Decisions: the guide's examples as printed, the rows of rules.md, order and hostile requests."""

# ruff: noqa: E501 - the guide's examples stand here as it prints them

from __future__ import annotations

import json
import time

import pytest

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.plan import EMPTY, Forward, Redirect, Refuse, Rewrite, compile_plan
from edge.site.redirects import decode_redirects
from edge.site.subject import Subject


def plan_of(*rules):
    """A plan by (source, target, status, condition), or by JSON as printed."""
    if not isinstance(rules[0], str):
        keys = ("source", "target", "status", "condition")
        rules = [json.dumps([dict(zip(keys, rule, strict=False)) for rule in rules])]
    decoded, errors, _ = decode_redirects(rules[0], "redirects.json")
    assert errors == []
    return compile_plan(decoded)


def subject(url, country=None, host="www.example"):
    """A request."""
    raw, mark, query = url.encode("latin-1").partition(b"?")
    query = query if mark else None
    return Subject(decode_path(raw), raw, query, host, country, Budget(time.process_time))


def decide(plan, url, country=None, host="www.example"):
    """The decision before files are looked up, without what the type says already."""
    return plan.decide(subject(url, country, host))


def missing(plan, url, method=b"GET", accept=b"", country=None):
    """The decision when no file was found."""
    return plan.decide_missing(subject(url, country), method, accept)


def to(location, status=301, rule=0):
    """A redirect by a rule without a domain."""
    return Redirect(status, location, rule, by_domain=False)


SPA = (
    r'[{"source": "</^[^.]+\$|\.(?! (css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)\$)'
    r' ([^.]+\$)/>", "status": "200", "target": "index.html", "condition": null}]'
)

GUIDE = [
    (
        83,
        '[{"source": "/original.html", "status": "301", "target": "/destination.html", "condition": null}]',
        {
            "/original.html": to(b"/destination.html"),
            "/original.html?a=1": to(b"/destination.html?a=1"),
            "/other.html": None,
        },
    ),
    (
        83,
        '[{"source": "/docs/<*>", "status": "301", "target": "/documents/<*>", "condition": null}]',
        {
            "/docs/a/b.html": to(b"/documents/a/b.html"),
            "/docs/": to(b"/documents/"),
            "/docs": None,
        },
    ),
    (
        83,
        '[{"source": "/<*>", "status": "200", "target": "/index.html", "condition": null}]',
        {"/": Rewrite("/index.html", 200, 0), "/a/b.css": Rewrite("/index.html", 200, 0)},
    ),
    (
        84,
        SPA,
        {
            "/about": Rewrite("/index.html", 200, 0),
            "/": Rewrite("/index.html", 200, 0),
            "/users/7/": Rewrite("/index.html", 200, 0),
            "/report.pdf": Rewrite("/index.html", 200, 0),
            "/app.js": None,
            "/img/a.png": None,
            "/site.webmanifest": Rewrite("/index.html", 200, 0),
        },
    ),
    (
        84,
        '[{"source": "/images/<*>", "status": "200", "target": "https://images.otherdomain.com/<*>", "condition": null}]',
        {
            "/images/a/b.png?w=1": Forward(("https://images.otherdomain.com/a/b.png?w=1",), 0),
            "/image": None,
        },
    ),
    (
        85,
        '[{"source": "/docs/<year>/<month>/<date>/<itemid>", "status": "301", "target": "/documents/<year>/<month>/<date>/<itemid>", "condition": null}]',
        {
            "/docs/2020/07/01/x": to(b"/documents/2020/07/01/x"),
            "/docs/2020/07/01": None,
            "/docs/2020/07/01/x/y": None,
        },
    ),
    (
        85,
        '[{"source": "/docs?id=<my-blog-id-value>", "status": "301", "target": "/documents/<my-blog-id-value>", "condition": null}]',
        {
            "/docs?id=7": to(b"/documents/7"),
            "/docs?a=1&id=7": to(b"/documents/7"),
            "/docs?a=1": None,
            "/docs": None,
        },
    ),
    (
        86,
        '[{"source": "/documents", "status": "302", "target": "/documents/us/", "condition": "<US>"}]',
        {
            ("/documents", "US"): to(b"/documents/us/", 302),
            ("/documents", "CA"): None,
            "/documents": None,
        },
    ),
]


@pytest.mark.parametrize(("page", "text", "cases"), GUIDE)
def test_the_guide_s_examples_work_as_printed(page, text, cases):
    """Page by page, each with what it is for and what it leaves alone."""
    plan = plan_of(text)
    answers = {
        case: decide(plan, *case) if isinstance(case, tuple) else decide(plan, case)
        for case in cases
    }

    assert answers == cases, f"page {page}"


@pytest.mark.parametrize(
    ("text", "path", "decision"),
    [
        (
            '[{"source": "/<*>", "status": "404", "target": "/404.html", "condition": null}]',
            "/nowhere",
            Rewrite("/404.html", 404, 0),
        ),
        (
            '[{"source": "/documents/<x>/<y>/<z>", "status": "404", "target": "/documents/index.html", "condition": null}]',
            "/documents/a/b/c",
            Rewrite("/documents/index.html", 404, 0),
        ),
    ],
    ids=["page 83", "page 86"],
)
def test_the_guide_s_404_examples_wait_for_the_look_up(text, path, decision):
    """They are for what is missing, and for nothing else."""
    plan = plan_of(text)

    assert decide(plan, path) is None
    assert missing(plan, path) == decision


def test_the_guide_s_domain_rewrite_works_as_printed():
    """Page 83: the host that is asked for answers with another's content."""
    plan = plan_of(
        '[{"source": "https://mydomain.com", "status": "200",'
        ' "target": "https://www.mydomain.com", "condition": null}]'
    )

    answer = decide(plan, "/a/b%20c?x=1", host="mydomain.com")

    assert answer == Forward(("https://www.mydomain.com/a/b%20c?x=1",), 0)
    assert decide(plan, "/a", host="www.mydomain.com") is None


def test_the_order_of_the_guide_decides():
    """Page 82, both ways round; the second rule has no status."""
    one = ("/docs/specific-filename.html", "/documents/different-filename.html", "301")
    all_ = ("/docs/<*>", "/documents/<*>")

    assert decide(plan_of(one, all_), one[0]) == to(b"/documents/different-filename.html")
    assert decide(plan_of(all_, one), one[0]) == to(b"/documents/specific-filename.html")
    assert decide(plan_of(one, all_), "/docs/a") == to(b"/documents/a", rule=1)


def test_a_target_with_a_query_keeps_the_request_s_away():
    """Page 83's `https://example-target.com?q=someParam`."""
    plan = plan_of(("/a", "https://example-target.com?q=someParam"))

    assert decide(plan, "/a?x=1") == to(b"https://example-target.com?q=someParam")


def test_an_apex_redirect_needs_no_password():
    """A domain rule says so; the same rule on a path does not."""
    plan = plan_of(("https://example.com", "https://www.example.com", "302"))

    assert decide(plan, "/a?b", host="example.com") == Redirect(
        302, b"https://www.example.com/a?b", 0, by_domain=True
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_has_its_status(status):
    """As written."""
    assert decide(plan_of(("/a", "/b", str(status))), "/a") == to(b"/b", status)


@pytest.mark.parametrize("status", [403, 410, 451])
def test_a_refusal_may_have_content(status):
    """With a target and without."""
    plan = plan_of(("/a/<*>", None, str(status)), ("/b", "/sorry.html", str(status)))

    assert decide(plan, "/a/b") == Refuse(status, None, 0)
    assert decide(plan, "/b") == Refuse(status, "/sorry.html", 1)


@pytest.mark.parametrize("status", ["404", "404-200"])
def test_both_names_of_the_404_rewrite_answer_404(status):
    """For any method."""
    plan = plan_of(("/<*>", "/index.html", status))

    assert missing(plan, "/a.js", b"POST") == Rewrite("/index.html", 404, 0)


@pytest.mark.parametrize(
    ("path", "method", "accept", "answers"),
    [
        ("/users/7", b"GET", b"", True),
        ("/users/7", b"HEAD", b"*/*", True),
        ("/users/j.doe", b"GET", b"Text/HTML,*/*", True),
        ("/v1.2/users", b"GET", b"", True),
        ("/app.js", b"GET", b"*/*", False),
        ("/users/7", b"POST", b"text/html", False),
    ],
)
def test_a_fallback_is_for_navigations(path, method, accept, answers):
    """A script that is missing stays an honest 404."""
    plan = plan_of(("/<*>", "/index.html", "fallback"), ("/<*>", "/404.html", "404"))
    expected = Rewrite("/index.html", 200, 0) if answers else Rewrite("/404.html", 404, 1)

    assert missing(plan, path, method, accept) == expected


def test_a_fallback_to_a_server_is_for_everything():
    """Files first, then the API."""
    urls = ["https://a.example/<*>", "https://b.example/<*>"]
    plan = plan_of(("/<*>", urls, "fallback"))

    assert missing(plan, "/api/x.json?y", b"POST") == Forward(
        ("https://a.example/api/x.json?y", "https://b.example/api/x.json?y"), 0
    )


def test_rules_of_missing_files_shadow_nothing():
    """Wherever they stand."""
    plan = plan_of(("/<*>", "/404.html", "404"), ("/a", "/b"))

    assert decide(plan, "/a") == to(b"/b", rule=1)


def test_countries_choose_among_rules_of_one_source():
    """An unknown one satisfies no condition."""
    plan = plan_of(
        ("/", "/us/", "302", "<US>, <ca>"), ("/", "/de/", "302", "<DE>"), ("/", "/other/", "302")
    )
    answers = [decide(plan, "/", country).location for country in ("CA", "DE", "FR", None)]

    assert answers == [b"/us/", b"/de/", b"/other/", b"/other/"]


def test_an_inert_rule_is_there_and_does_nothing():
    """Its number counts, so that a log names the rule of the file."""
    plan = plan_of(("/<*>/a", "/<x>"), ("https://www.example/b", "/c"), ("/b", "/d"))

    assert decide(plan, "/b") == to(b"/d", rule=2)


def test_thousands_of_queries_of_one_path_are_one_look_up():
    """The first of the file wins, whatever the order of the query; a key repeated is no trap."""
    plan = plan_of(
        ("/p?id=1&x=<x>", "/both/<x>"),
        ("/p?id=1", "/one"),
        ("/p?<id>", "/"),
        ("/p?id=<id>", "/any/<id>"),
    )

    assert decide(plan, "/p?x=2&id=1") == to(b"/both/2")
    assert decide(plan, "/p?id=1&id=1") == to(b"/one", rule=1)
    assert decide(plan, "/p?id=3") == to(b"/any/3", rule=3)
    assert decide(plan, "/p?") is None


def test_an_empty_plan_says_so():
    """Nobody asks it anything."""
    assert EMPTY.is_empty
    assert not plan_of(("/a", "/b")).is_empty
    assert decide(EMPTY, "/a") is None
    assert missing(EMPTY, "/a") is None


def test_a_plan_can_be_built_in_slices():
    """A worker pauses between them."""
    rules = plan_of(("/a", "/b"), ("/<*>", "/c")).rules
    plan = compile_plan(())
    for rule in rules:
        plan.add([rule.written])

    assert decide(plan, "/a") == to(b"/b")
    assert decide(plan, "/x") == to(b"/c", rule=1)


def test_a_crowd_of_patterns_can_hide_no_refusal():
    """Out of time is an error, and never the rule behind it."""
    now = [0.0]

    def clock():
        now[0] += 0.001
        return now[0]

    plan = plan_of(*[(f"/<a>-{n}", "/x", "301") for n in range(1_000)], ("/<*>", None, "403"))
    raw = b"/a"

    with pytest.raises(PatternTooSlow):
        plan.decide(Subject("/a", raw, None, "www.example", None, Budget(clock)))
    assert decide(plan, "/a") == Refuse(403, None, 1_000)


def test_a_hanging_pattern_can_hide_no_refusal():
    """The rule behind it is not skipped: there is no decision, and the counting ends."""
    rules = [{"source": "</([a-z]+)+[0-9]$/>", "target": "/x"}, {"source": "/<*>", "status": "403"}]
    decoded, _, _ = decode_redirects(json.dumps(rules[1:]), "redirects.json")
    slow = decoded[0].__class__(source=rules[0]["source"], target="/x")
    request = subject("/" + "a" * 8_000 + "!")

    with pytest.raises(PatternTooSlow):
        compile_plan([slow, *decoded]).decide(request)

    assert request.budget.left <= 0
    assert request.budget.deadline is None


def test_both_phases_of_a_request_share_their_time():
    """A budget that is used up stays used up."""
    plan = plan_of(("</b/>", "/x"), ("</b/>", "/x", "404"))
    request = subject("/a")
    assert plan.decide(request) is None
    request.budget.left = 0

    with pytest.raises(PatternTooSlow):
        plan.decide_missing(request, b"GET", b"")


def test_each_rule_can_be_asked_why_not():
    """For `edge explain`."""
    plan = plan_of(("/a", "/b", "301", "<US>, <CA>"), ("/a", "/c"), ("/<*>/x", "/"))

    assert [rule.explain(subject("/a", "DE")) for rule in plan.rules] == [
        "the country is DE, not CA, US",
        None,
        "it never matches: <*> stands elsewhere than at the end",
    ]
    assert plan.rules[0].explain(subject("/a")) == "the country is unknown, not CA, US"
    assert plan.rules[0].explain(subject("/b", "US")) == "the path is not /a"


@pytest.mark.parametrize("path", ["/a/x", "/b?x=../secret.html"])
def test_a_rewrite_leads_nowhere_that_its_rule_does_not_say(path):
    """A parameter is no way out of a folder, and so no way around a password."""
    plan = plan_of(("/a/<x>", "/public/<x>.html", "200"), ("/b?x=<x>", "/public/<x>", "200"))

    if path == "/a/x":
        assert decide(plan, path) == Rewrite("/public/x.html", 200, 0)
    else:
        with pytest.raises(MalformedRequest):
            decide(plan, path)


QUERIES = [("/q?id=<x>", "/x/<x>"), ("/<page>/z?old=1", "/z"), ("/w", "/us", "302", "<US>")]


@pytest.mark.parametrize(
    ("url", "fixed"),
    [
        ("/other", True),
        ("/q", False),
        ("/q?id=7", False),
        ("/q?x=1", False),
        ("/p/z", False),
        ("/p/z?x=1", False),
        ("/p/y", True),
        ("/w", False),
    ],
)
def test_what_is_remembered_of_a_path_may_hide_no_rule(url, fixed):
    """A decision is fixed where no rule of the path asks for a query or a country."""
    assert plan_of(*QUERIES, ("/<*>/never", "/"), ("/p/<*>", "/b")).is_fixed(subject(url)) is fixed


def test_rules_of_what_is_missing_do_not_matter_to_what_is_found():
    """A file is remembered although a fallback asks for the country."""
    plan = plan_of(("/<*>", "/us.html", "fallback", "<US>"))

    assert plan.is_fixed(subject("/a"))
    assert not plan.asks_country(subject("/a"))
    assert plan.asks_country_of_missing(subject("/a"))


@pytest.mark.parametrize(
    ("url", "early", "late"),
    [
        ("/w", True, False),
        ("/v", False, False),
        ("/late/x", False, True),
        ("/q?a=1", True, False),
        ("/q", False, False),
    ],
)
def test_whether_the_country_makes_a_difference(url, early, late):
    """For rules of either phase, where they could match at all."""
    plan = plan_of(
        ("/w", "/us", "302", "<US>"),
        ("/v", "/x"),
        ("/late/<*>", "/x", "404", "<DE>"),
        ("/q?a=1", "/x", "301", "<FR>"),
        ("/<*>/inert", "/x", "301", "<FR>"),
    )

    assert plan.asks_country(subject(url)) is early
    assert plan.asks_country_of_missing(subject(url)) is late


def test_rules_that_never_match_ask_no_country():
    """A look-up of the client's address is saved where nobody asks."""
    assert plan_of(("/w", "/us", "302", "<US>")).conditional
    assert not plan_of(("/<*>/inert", "/x", "301", "<FR>"), ("/a", "/b")).conditional
    assert not EMPTY.asks_country(subject("/a"))


@pytest.mark.parametrize(
    ("source", "target", "prefixes"),
    [
        ("/api/<*>", "https://h.example/<*>", (b"/api/", b"/")),
        ("/api/<*>", "https://h.example/v1/<*>", (b"/api/", b"/v1/")),
        ("/é/<*>", "https://h.example/<*>", (b"/%C3%A9/", b"/")),
        ("https://www.example", "https://h.example/b", (b"/", b"/b")),
        ("/api/<*>", "https://h.example/v1", (b"", b"")),
        ("/api/<*>/x", "https://h.example/<*>", (b"", b"")),
        ("/<x>/<*>", "https://h.example/<*>", (b"", b"")),
        ("/api", "https://h.example/", (b"", b"")),
    ],
)
def test_a_rule_knows_where_paths_of_both_sides_are_alike(source, target, prefixes):
    """That is what a Location or a cookie's Path of an origin is mapped by."""
    plan = plan_of((source, target, "200"))

    assert plan.rules[0].prefixes(0) == prefixes


def test_rules_for_navigations_ask_whether_it_is_one():
    """A fallback to a file does; one to another server, or for other paths, does not."""
    plan = plan_of(
        ("/app/<*>", "/index.html", "fallback"),
        ("/api/<*>", "https://api.test/<*>", "fallback"),
        ("/<*>", "/404.html", "404"),
    )

    assert plan.asks_navigation(subject("/app/a"))
    assert not plan.asks_navigation(subject("/api/a"))
    assert not plan.asks_navigation(subject("/b"))
