"""Redirects followed as a browser does: what goes round is told, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MalformedRequest
from edge.site import loops as module
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.lint import manifest_of
from edge.site.loops import Circle, Scene, Trial, find_loops, show, word_of
from edge.site.plan import Redirect, compile_plan
from edge.site.rule import Rule

HOSTS = frozenset(["example.com", "www.example.com"])


def scene_of(*rules, files=None, trailing_slash="auto"):
    """Rules by (source, target, status, condition), and files."""
    keys = ("source", "target", "status", "condition")
    plan = compile_plan(Rule(**dict(zip(keys, rule, strict=False))) for rule in rules)
    manifest = None if files is None else manifest_of(files)
    return Scene(plan, manifest, HOSTS, trailing_slash)


def loops(*rules, **more):
    """What is told, and of which rules."""
    return [(str(each), each.rules) for each in find_loops(scene_of(*rules, **more))]


CIRCLES = [
    ([("/a", "/a")], "/a → /a"),
    ([("/a", "/b"), ("/b", "/a", "302")], "/a → /b → /a"),
    ([("/c", "/a"), ("/a", "/b"), ("/b", "/a")], "/a → /b → /a"),
    ([("/<*>", "/index.html")], "/index.html → /index.html"),
    ([("/<*>", "/<*>")], "/any → /any"),
    ([("/docs/<*>", "/docs/")], "/docs/ → /docs/"),
    ([("/<lang>/home", "/en/home")], "/en/home → /en/home"),
    ([("/<a>/<b>", "/<b>/<a>")], "/b/a → /a/b → /b/a"),
    ([("</.*/>", "/x")], "/x → /x"),
    ([("</^/([0-9]+)$/>", "/$1")], "/1 → /1"),
    ([("</^/([a-z]{2})/docs$/>", "/$1/docs")], "/en/docs → /en/docs"),
    ([("</^/(?<lang>[a-z]+)$/>", "/<lang>#top")], "/lang → /lang"),
    # queries
    ([("/a?id=<x>", "/a?id=<x>")], "/a?id=x → /a?id=x"),
    ([("/b?x=<y>", "/a?x=<y>"), ("/a", "/b")], "/b?x=y → /a?x=y → /b?x=y"),
    # hosts
    ([("/<*>", "https://example.com/<*>")], "https://example.com/any → https://example.com/any"),
    ([("/a", "https://EXAMPLE.com:443/a")], "https://example.com/a → https://example.com/a"),
    ([("/", "http://example.com")], "https://example.com/ → https://example.com/"),
    (
        [("https://example.com", "https://www.example.com"), ("https://www.example.com", "/<*>")],
        "https://www.example.com/any → https://www.example.com/any",
    ),
    (
        [
            ("https://example.com", "https://www.example.com/<*>"),
            ("https://www.example.com/<*>", "https://example.com"),
        ],
        "https://example.com/any → https://www.example.com/any → https://example.com/any",
    ),
    # countries
    ([("/a", "/b", "301", "<US>, <CA>"), ("/b", "/a")], "/a → /b → /a"),
    ([("/b", "/a"), ("/a", "/b", "301", "<US>")], "/b → /a → /b"),
    # four are shown
    (
        [("/a", "/b"), ("/b", "/c"), ("/c", "/d"), ("/d", "/a")],
        "/a → /b → /c → … → /a",
    ),
    # that grow
    (
        [("/docs/<*>", "/docs/index/<*>")],
        "/docs/index/any → /docs/index/index/any → /docs/index/index/index/any → …",
    ),
    ([("/a/<*>", "/b/<*>"), ("/b/<*>", "/a/x/<*>")], "/b/any → /a/x/any → /b/x/any → …"),
    (
        [("/<*>", "/" + "x" * 1500 + "/<*>")],
        f"/{'x' * 79} → /{'x' * 79} → /{'x' * 79} → …",
    ),
]


@pytest.mark.parametrize(("rules", "told"), CIRCLES)
def test_a_loop_is_told_once(rules, told):
    """From the first of its rules on, in addresses that can be tried."""
    assert [text for text, _ in loops(*rules)] == [told]


ENDS = [
    [("/a", "/b")],
    [("/<*>", "/index.html", "200")],
    [("</^[^.]+$/>", "/index.html")],
    [("/docs/<*>", "/documents/<*>")],
    [("/old/<*>", "/<*>")],
    [("/a?id=<x>", "/a")],
    [("/a", "/b"), ("/b?x=1", "/a")],
    [("/a", "/b"), ("/b", "/a", "410")],
    [("/a", "/b"), ("/b", "/a", "fallback")],
    [("/b", "/c"), ("/a", "/b"), ("/b", "/a")],
    [("/a", "/b", "301", "<US>"), ("/b", "/a", "301", "<CA>")],
    [("/<*>", "https://other.example/<*>")],
    [("/<*>", "https://example.com:8443/<*>")],
    [("https://example.com", "https://www.example.com")],
    [("/<*>/a", "/a"), ("/b", "/b", "404")],
    [("/a", f"/x{'a' * 2_000}"), ("/x<*>", f"/y{'<*>' * 5}")],
    [(f"/{number}", f"/{number + 1}") for number in range(50)],
    [("/a?x=<y>", "/<y>/<y>"), ("/b?x=<y>", "https://<y>.example.com/a")],
]


@pytest.mark.parametrize("rules", ENDS)
def test_what_ends_is_no_loop(rules):
    """Elsewhere, or at content."""
    assert loops(*rules) == []


def test_a_rule_is_in_one_loop_that_is_told():
    """And rules that lead into one are not in it."""
    rules = [("/x", "/a"), ("/a", "/b"), ("/b", "/a"), ("/y", "/b"), ("/c", "/c"), ("/z", "/c")]

    assert loops(*rules) == [("/a → /b → /a", [1, 2]), ("/c → /c", [4])]
    growing = [("/docs/<*>", "/docs/index/<*>"), ("/a", "/docs/x/y")]
    assert [rules for _, rules in loops(*growing)] == [[0] * 21]


def test_the_tree_s_own_redirects_are_followed():
    """A rule against its canonical form and the tree send each other round."""
    rule = ("/about/", "/about")
    circle = ("/about/ → /about → /about/", [None, 0])

    assert loops(rule, files=["about/index.html"]) == [circle]
    assert loops(rule, files=["about.html"]) == []
    assert loops(rule, files=["about/index.html"], trailing_slash="leave") == []
    assert loops(rule, files=["about.html"], trailing_slash="add") == [circle]
    assert loops(rule) == []


@pytest.mark.parametrize("left", [0, 1])
def test_the_search_is_bounded(monkeypatch, left):
    """Behind the bound nothing is said."""
    monkeypatch.setattr(module, "WORK", left)

    assert len(loops(("/a", "/a"), ("/b", "/b"))) == left


def test_a_request_that_takes_too_long_leads_nowhere(monkeypatch):
    """It is answered 503, and costs much of the bound."""
    slow = PatternTooSlow("it takes too long")

    def search(*_):
        raise slow

    monkeypatch.setattr(Budget, "search", search)
    scene = scene_of(("</.*/>", "/x"))
    trial = Trial(scene.plan)

    assert list(find_loops(scene)) == []
    with pytest.raises(MalformedRequest):
        trial.decide(scene.subject(("", b"/a", None)))
    assert trial.left == module.WORK - module.SLOW - 1


def test_a_destination_is_made_of_the_names_of_captures():
    """Those that are a word; groups of a regular expression are tried with a word too."""
    scene = scene_of(
        ("/<year>/<My_Id>/<*>", "/p/<My_Id>?y=<year>#<*>"),
        ("</^/(.*)$/>", "/$1"),
        ("</^/(.*)$/>", "/fixed"),
        ("/a/<x>", "https://<x>.example.com/y"),
    )

    assert [list(scene.destinations(rule)) for rule in scene.rules] == [
        [("", b"/p/any", b"y=year")],
        [("", b"/1", None), ("", b"/en", None)],
        [("", b"/fixed", None)],
        [],
    ]


def test_an_address_is_shown_as_people_know_it():
    """And cut."""
    assert show("", b"/a", b"b=1") == "/a?b=1"
    assert show("a.example", b"/", None) == "https://a.example/"
    assert len(show("a.example", b"/" * 200, None)) == module.CUT
    assert [word_of(name) for name in ("*", "year", "1", "É", "-a")] == [
        b"any",
        b"year",
        b"1",
        b"any",
        b"any",
    ]


def test_a_circle_names_its_first_rule():
    """Whatever it was come upon by."""
    urls = [("", path, None) for path in (b"/b", b"/c", b"/a", b"/b")]
    circle = Circle(urls, [5, None, 3])

    assert circle.is_round
    assert circle.first == 3
    assert str(circle) == "/a → /b → /c → /a"


PATHS = ["/a", "/b", "/c/", "/c", "/a/b", "/a/<*>", "/<*>", "/<x>", "/<x>/<y>"]
RULES = st.lists(
    st.builds(
        lambda pair, status: (*pair, status),
        st.sampled_from(
            [
                (source, target)
                for source in [*PATHS, "/a?q=<x>", "https://example.com"]
                for target in [*PATHS, "/a?q=<x>", "https://example.com/a", "/b/<y>/<x>"]
                if all(name not in target or name in source for name in ("<x>", "<y>", "<*>"))
            ]
        ),
        st.sampled_from(["301", "302", "200", "410"]),
    ),
    max_size=6,
)


@settings(max_examples=200)
@given(RULES)
def test_every_address_of_a_loop_redirects_to_the_next(rules):
    """A warning can be tried: each step is what a request would be answered."""
    scene = scene_of(*rules, files=["c/index.html"])

    for circle in find_loops(scene):
        for url, following, rule in zip(circle.urls, circle.urls[1:], circle.rules, strict=False):
            decision = scene.plan.decide(scene.subject(url))
            if rule is None:
                assert decision is None
                assert following[1] == url[1] + b"/"
            else:
                assert isinstance(decision, Redirect)
                assert (decision.rule, scene.parse(decision.location, url[0])) == (rule, following)
        assert circle.is_round or len(circle.urls[-1][1]) > len(circle.urls[0][1])


@settings(max_examples=200)
@given(st.lists(st.tuples(*[st.sampled_from(["/a", "/b", "/c", "/d", "/e"])] * 2), max_size=6))
def test_every_loop_of_plain_redirects_is_found(rules):
    """As by walking from every rule that is not behind another one of its source."""
    following = {}
    for source, target in rules:
        following.setdefault(source, target)
    in_circles = set()
    for path in following:
        trail = [path]
        while trail[-1] in following and len(trail) < 10:
            trail.append(following[trail[-1]])
        if path in trail[1:]:
            in_circles.add(path)
    found = {url[1].decode() for circle in find_loops(scene_of(*rules)) for url in circle.urls}

    assert found == in_circles
