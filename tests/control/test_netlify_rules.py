"""What one redirect of Netlify is, as rules."""

from __future__ import annotations

import time

import pytest

from edge.control.imported import Draft
from edge.control.netlify_rules import Redirect, convert, guard_of
from edge.http.target import decode_path
from edge.site.expressions import Budget
from edge.site.plan import Forward, Refuse, Rewrite, compile_plan
from edge.site.plan import Redirect as Decided
from edge.site.rule import Rule
from edge.site.subject import Subject


def convert_one(source, target, status="301!", **keys):
    """Its rules as (source, target, status, condition), and the notes."""
    draft = Draft("Netlify")
    redirect = Redirect(
        place=("_redirects", 3),
        source=source,
        target=target,
        status=status.removesuffix("!"),
        force=status.endswith("!"),
        **keys,
    )
    kept = [each.kept.rule for each in convert(redirect, draft)]
    return kept, [str(note) for note in draft.notes]


def written(rules):
    """What a rule says."""
    return [(rule.source, rule.target, rule.status) for rule in rules]


def request(url, host="h", country=None):
    """What a rule sees."""
    raw, mark, query = url.encode().partition(b"?")
    clock = Budget(time.process_time)
    return Subject(decode_path(raw), raw, query if mark else None, host, country, clock)


def location(rules, url, host="h", country=None):
    """Where a request is redirected to; None when it is not."""
    decision = compile_plan(rules).decide(request(url, host, country))
    return decision.location.decode() if isinstance(decision, Decided) else None


# Source and target

PATHS = [
    # source, target, requests → locations
    ("/a", "/b", {"/a": "/b", "/a/": "/b", "/a/x": None, "/a?q=1": "/b?q=1"}),
    ("/a/", "/b", {"/a": "/b", "/a/": "/b"}),
    ("/a.php", "/b", {"/a.php": "/b", "/a.php/": None}),
    ("/", "/b", {"/": "/b", "/x": None}),
    ("a", "/b", {"/a": "/b"}),
    ("/n/*", "/b/:splat", {"/n/x/y": "/b/x/y", "/n/": "/b/", "/n": "/b/", "/nx": None}),
    ("/n/*", "/b", {"/n/x/y": "/b", "/n": "/b"}),
    ("/n/*", "/:splat.html", {"/n/x": "/x.html", "/n": None}),
    ("/n/*", "https://x.example/:splat?a=b", {"/n/x": "https://x.example/x?a=b"}),
    ("/*", "https://x.example/:splat", {"/": "https://x.example/", "/a": "https://x.example/a"}),
    ("/n/:y/:m", "/b-:m-:y.html", {"/n/1/2": "/b-2-1.html", "/n/1/2/": "/b-2-1.html"}),
    ("/:lang/*", "/x/:splat?l=:lang", {"/de/a/b": "/x/a/b?l=de", "/de": "/x/?l=de"}),
    ("/:my-id/x", "/y/:my-id", {"/7/x": "/y/7"}),
    ("/a/:id.html", "/b/:id", {"/a/7.html": "/b/7"}),
    ("/:a/:ab", "/x/:ab/:a", {"/1/2": "/x/2/1"}),
    ("/a", "/b#part", {"/a": "/b#part"}),
    ("/a", "/b/:unknown", {"/a": "/b/:unknown"}),
    ("/a", "https://x.example:8443/b", {"/a": "https://x.example:8443/b"}),
    ("/caf%C3%A9", "/b", {"/caf%C3%A9": "/b"}),
    ("/é", "/ü", {"/%C3%A9": "/%C3%BC"}),
    ("/a<b>", "/b<c>", {"/a%3Cb%3E": "/b%3Cc%3E", "/ab": None}),
]


@pytest.mark.parametrize(("source", "target", "expected"), PATHS)
def test_paths_are_matched_as_on_netlify(source, target, expected):
    """Stars, placeholders, both spellings of the last slash, and nothing else."""
    rules, notes = convert_one(source, target)

    assert {url: location(rules, url) for url in expected} == expected
    assert notes == []


@pytest.mark.parametrize(
    ("query", "target", "expected"),
    [
        ({"id": ":id"}, "/b/:id", {"/s?id=7": "/b/7", "/s/?x=1&id=7": "/b/7", "/s": None}),
        ({"id": "7"}, "/b", {"/s?id=7": "/b", "/s?id=8": None}),
        ({"id": ":id", "t": ":tag"}, "/:tag/:id", {"/s?t=a&id=7": "/a/7", "/s?id=7": None}),
        ({"a&b": "c&<d>"}, "/b", {"/s?a%26b=c%26%3Cd%3E": "/b", "/s?a&b=c": None}),
    ],
)
def test_parameters_are_conditions_and_captures(query, target, expected):
    """In any order, with others between them."""
    rules, _ = convert_one("/s", target, query=query)

    assert {url: location(rules, url) for url in expected} == expected


def test_a_country_is_a_condition():
    """One of several; nobody else, and nobody unknown."""
    rules, notes = convert_one("/a", "/b", conditions={"country": "au, nz"})

    assert rules[0].condition == "<AU>, <NZ>"
    assert location(rules, "/a", country="NZ") == "/b"
    assert location(rules, "/a", country="US") is None
    assert location(rules, "/a") is None
    assert notes == []


@pytest.mark.parametrize(
    ("source", "target", "host", "expected"),
    [
        ("http://blog.example/*", "https://a.example/blog/:splat", "blog.example", "/blog/x/y"),
        ("https://Blog.Example/*", "https://a.example/:splat", "blog.example", "/x/y"),
        ("https://blog.example/*", "https://a.example/:splat", "a.example", None),
    ],
)
def test_a_domain_leads_to_another(source, target, host, expected):
    """Both schemes, and any case."""
    rules, notes = convert_one(source, target)

    url = f"https://a.example{expected}" if expected else None
    assert location(rules, "/x/y", host) == url
    assert notes == []


def test_a_domain_may_be_a_folder():
    """Rewritten, path and all."""
    rules, _ = convert_one("https://de.example/*", "/de/:splat", "200!")

    decided = compile_plan(rules).decide(request("/a/b", "de.example"))
    assert decided == Rewrite("/de/a/b", 200, 0)


def test_a_domain_keeps_the_path():
    """A target without a splat gets it all the same, which is told."""
    rules, notes = convert_one("https://promo.example/*", "https://a.example/sale", "302!")

    assert location(rules, "/x", "promo.example") == "https://a.example/sale/x"
    assert notes == [
        (
            "_redirects:3: the path of the request is put behind https://a.example/sale"
            " (a rule from a domain always keeps the path)"
        )
    ]


# What cannot be said


@pytest.mark.parametrize(
    ("source", "target", "keys", "reason"),
    [
        ("/a", "/b", {"conditions": {"language": "de"}}, "it is for language=de, and Edge goes by"),
        ("/a", "/b", {"conditions": {"role": "admin"}}, "it is for role=admin"),
        ("/a", "/b", {"conditions": {"cookie": "beta"}}, "it is for cookie=beta"),
        ("/a", "/b", {"conditions": {"country": "us", "language": "es"}}, "for language=es"),
        ("/a", "/b", {"conditions": {"country": ""}}, "it is for no country"),
        ("/a", "/b", {"conditions": {"country": " , "}}, "it is for no country"),
        ("/a", "https://x.example", {"is_signed": True}, "its requests are signed"),
        ("/a/*", "/.netlify/functions/:splat", {}, "functions of Netlify do not run here"),
        ("/.netlify/x", "/b", {}, "functions of Netlify do not run here"),
        ("/a?b=c", "/b", {}, "a path has no query on Netlify"),
        ("/a/*/b", "/c", {}, "its star is not at the end"),
        ("/a/*/*", "/c", {}, "its star is not at the end"),
        ("https://a.example/x", "/b", {}, "a source with a domain has neither path nor query"),
        ("https://a.example", "https://b.example", {}, "has neither path nor query here"),
        ("https://a.example/", "https://b.example", {}, "has neither path nor query here"),
        ("https://a.example/*", "/b", {"query": {"a": "b"}}, "has neither path nor query here"),
        ("http://a.example/*", "https://A.example/:splat", {}, "it leads to its own domain"),
        ("https://a.example/*", "/b", {}, "a rule from a domain cannot lead to one page"),
        ("https://a.example/*", "/b/:splat", {}, "a rule from a domain cannot lead to one page"),
        ("/a", "/a/", {}, "it leads to its own path, without end"),
        ("/a/", "/a", {}, "it leads to its own path, without end"),
        ("/a/*", "/a/:splat", {}, "it leads to its own path, without end"),
        ("/*", "/:splat/index.html", {}, "it leads into its own source, without end"),
        ("/a", "/b", {"status": "401"}, "status: unknown status '401'"),
        ("/a", "ftp://x.example", {}, "is neither a path nor an http URL"),
        ("/:a/:a", "/b", {}, "the placeholder <a> is there twice"),
        ("/a", "/b", {"conditions": {"country": "usa"}}, "bad country code"),
    ],
)
def test_a_redirect_that_cannot_be_said_is_left_out(source, target, keys, reason):
    """With one note; it is never applied to more than it was for."""
    rules, notes = convert_one(source, target, **keys)

    assert rules == []
    (note,) = notes
    assert note.startswith("_redirects:3: the r")
    assert "is left out: " in note
    assert reason in note
    assert note.endswith(")")


def test_headers_for_the_origin_are_told():
    """The rule is kept without them."""
    rules, notes = convert_one("/a/*", "https://x.example/:splat", "200!", has_headers=True)

    assert written(rules)[0] == ("/a/<*>", "https://x.example/<*>", "200")
    assert notes == [
        (
            "_redirects:3: the headers for the proxied server are not sent"
            " (let that server do without them, or put a gateway in front of it)"
        )
    ]


# Status

STATUSES = [
    # as on Netlify, in any case
    ("/a", "/b", "301", "301"),
    ("/a", "/b", "302!", "302"),
    ("/a", "/b", "307", "307"),
    ("/a", "/404.html", "404", "404"),
    ("/a", "/x.html", "200!", "200"),
    ("/a/*", "https://x.example/:splat", "200!", "200"),
    # files first
    ("/a/*", "https://x.example/:splat", "200", "fallback"),
    ("/*", "/index.html", "200", "fallback"),
    ("/*", "/", "200", "fallback"),
    ("/app/*", "/app/index.html", "200", "fallback"),
    ("/about", "/about-us", "200", "fallback"),
    ("/*", "/site/:splat", "200", "fallback"),
    ("/:slug", "/posts/:slug", "200", "fallback"),
    # not for navigations alone
    ("/img/*", "/images/:splat", "200", "200"),
    ("/feed.xml", "/rss/index.xml", "200", "200"),
    ("/old.html", "/new.html", "200", "200"),
    ("/:lang/data.json", "/data/:lang.json", "200", "200"),
    ("/api", "/api.json", "200", "200"),
    ("/a/*", "/a/:splat", "200", "200"),
    # a 404 never hides a file
    ("/a/*", "/404.html", "404!", "410"),
]


@pytest.mark.parametrize(("source", "target", "status", "expected"), STATUSES)
def test_the_status_is_the_nearest(source, target, status, expected):
    """Of both spellings."""
    rules, notes = convert_one(source, target, status)

    assert {rule.status for rule in rules} == {expected}
    assert notes == []


def test_a_rewrite_of_what_is_missing_decides_as_on_netlify():
    """A page for navigations, a server for all."""
    page, _ = convert_one("/*", "/index.html", "200")
    proxy, _ = convert_one("/api/*", "https://x.example/:splat", "200")

    assert compile_plan(page).decide(request("/a")) is None
    late = compile_plan(page).decide_missing(request("/a"), b"GET", b"text/html")
    assert late == Rewrite("/index.html", 200, 0)
    forward = compile_plan(proxy).decide_missing(request("/api/a.json"), b"POST", b"")
    assert forward == Forward(("https://x.example/a.json",), 0)


def test_a_forced_404_hides_files():
    """With its page, by the nearest status that does."""
    rules, _ = convert_one("/secret/*", "/404.html", "404!")

    assert compile_plan(rules).decide(request("/secret/a.txt")) == Refuse(410, "/404.html", 0)
    assert compile_plan(rules).decide(request("/secret")) == Refuse(410, "/404.html", 1)


# Redirects into their own source


@pytest.mark.parametrize(
    ("source", "target", "guard"),
    [
        ("/<*>", "/maintenance.html", "/maintenance.html"),
        ("/<*>", "/de/<*>", "/de/<*>"),
        ("/<*>", "/de/<*>?a=b#c", "/de/<*>"),
        ("/<*>", "/de/x-<*>", "/de/<*>"),
        ("/<lang>/about", "/en/about", "/en/about"),
        ("/a/<*>", "/a/b/<*>", "/a/b/<*>"),
        ("/<*>", "/<*>", "/<*>"),
        ("/a/<*>", "/b/<*>", None),
        ("/a", "/a/b", None),
        ("/<*>", "https://x.example/<*>", None),
        ("/a?id=<id>", "/a", None),
        ("/<*>", "/%zz", None),
    ],
)
def test_the_paths_that_a_redirect_may_not_take_are_found(source, target, guard):
    """Those that it leads to itself."""
    assert guard_of(Rule(source=source, target=target, status="302")) == guard
    assert guard_of(Rule(source=source, target=target, status="200")) is None


def test_a_redirect_into_its_own_source_ends():
    """For those that it is for; all others are not stopped by its guard."""
    rules, _ = convert_one("/*", "/de/:splat", "302", conditions={"country": "de"})

    assert written(rules) == [
        ("/de/<*>", "/de/<*>", "200"),
        ("/de", "/de/", "302"),
        ("/<*>", "/de/<*>", "302"),
    ]
    assert location(rules, "/a", country="DE") == "/de/a"
    assert location(rules, "/de", country="DE") == "/de/"
    assert location(rules, "/de/a", country="DE") is None
    assert compile_plan(rules).decide(request("/de/a", country="AT")) is None


def test_a_spelling_that_leads_to_itself_has_no_rule():
    """A folder whose paths all lead to its page."""
    rules, notes = convert_one("/docs/*", "/docs", "302")

    assert written(rules) == [("/docs/<*>", "/docs", "302")]
    assert notes == []
