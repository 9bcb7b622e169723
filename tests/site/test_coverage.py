"""What is called covered never decides, and what one rule has of another is found."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site import coverage as module
from edge.site.coverage import find_covered, representative_path, simplify
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.pattern import Exact, Expression, Places, compile_source
from edge.site.plan import compile_plan
from edge.site.rule import Rule
from edge.site.subject import Subject


def plan_of(*sources):
    """A plan by source, or (source, status, condition)."""
    rules = [(each,) if isinstance(each, str) else each for each in sources]
    keys = ("source", "status", "condition")
    return compile_plan(
        Rule(target="/target", **dict(zip(keys, rule, strict=False))) for rule in rules
    )


def covered(*sources):
    """The covered rules, each with the one that covers it."""
    return dict(find_covered(plan_of(*sources)))


COVERS = [
    # the same
    ("/a", "/a"),
    ("/caf%C3%A9", "/café"),
    ("/docs/<x>", "/docs/<y>"),
    ("/docs/<*>", "/docs/<*>"),
    ("</[0-9]+$/>", "</[0-9]+$/>"),
    ("https://one.example", "https://ONE.example/<*>"),
    # a folder, a prefix
    ("/docs/<*>", "/docs/"),
    ("/docs/<*>", "/docs/a/b"),
    ("/docs/<*>", "/docs/<x>"),
    ("/docs/<*>", "/docs/<x>/<*>"),
    ("/docs/<*>", "/docs/a/<*>"),
    ("/docs<*>", "/docs-x/<y>/<*>"),
    ("/<lang>/docs/<*>", "/en/docs/a"),
    ("/<lang>/docs/<*>", "/en/docs/<x>/<*>"),
    ("/docs/<*>", "</^/docs/([0-9]+)$/>"),
    # everything
    ("/<*>", "/"),
    ("/<*>", "/<a>-<b>"),
    ("/<*>", "https://one.example"),
    ("/<*>", "</a|b/>"),
    ("/<*>", "/<*>?id=<x>"),
    # placeholders
    ("/docs/<a>", "/docs/x"),
    ("/<a>/<b>", "/docs/<x>"),
    ("/<a>", "/<x>.html"),
    ("/<a>", "/<x><y>"),
    ("/<a>.html", "/<x>-<y>.html"),
    ("/<a>-<b>", "/<x>-<y>-<z>"),
    ("/<a><*>", "/<b>/<*>"),
    # regular expressions
    (r"</\.php$/>", "/a/b.php"),
    ("</^/docs/(.*)$/>", "/docs/<x>"),
    ("</^/docs/.*/>", "/docs/<*>"),
    (r"</^/v1\.0/>", "/v1.0/<*>"),
    ("</^/a$/>", "/a"),
    ("/a", "</^/a$/>"),
    *((f"</{text}/>", "/<*>") for text in (".*", "^", "$", "/", "^/", "^/?(.*)$", "(.+)", "^.+$")),
    # queries
    ("/a", "/a?id=1"),
    ("/a?id=<x>", "/a?id=<y>"),
    ("/a?id=<x>", "/a?id=1"),
    ("/a?id", "/a?id=1&k=<y>"),
    ("/a?id=1", "/a?k&id=1"),
    ("/a?q+r=a%26b", "/a?q%20r=a%26b"),
    ("/<x>?id", "/a?id=7"),
    # countries
    ("/a", ("/a", "301", "<US>")),
    (("/a", "301", "<US>, <CA>"), ("/a", "301", "<CA>")),
    # phases
    (("/<*>", "404"), ("/a", "fallback")),
    (("/<*>", "404-200"), ("/a", "404")),
    (("/<*>", "fallback"), ("/a/<*>", "fallback")),
    ("/<*>", ("/a", "410")),
]


@pytest.mark.parametrize(("one", "other"), COVERS)
def test_one_rule_leaves_another_nothing(one, other):
    """Where it comes first, and also behind rules about something else."""
    assert covered(one, other) == {1: 0}
    assert covered("/p", "</[q]$/>", one, other) == {3: 2}


LEAVES = [
    ("/a", "/A"),
    ("/a", "/a/"),
    ("/docs/<*>", "/docs"),
    ("/docs/<*>", "/<*>"),
    ("/docs/<*>", "/<a>/<*>"),
    ("/docs/<x>", "/docs/<*>"),
    ("/docs/<x>", "/docs/"),
    ("/docs/<x>", "/docs/a/b"),
    ("/<a>/<b>", "/<x>"),
    ("/<a><b>", "/<x>"),
    ("/<a><*>", "/<*>"),
    ("/<a>.html", "/<x>"),
    ("/x", "/<x>"),
    ("/", "https://one.example"),
    ("https://one.example", "/<*>"),
    ("https://one.example", "/a"),
    ("https://one.example", "https://two.example"),
    ("https://one.example", "</.*/>"),
    ("</^/docs/(.*)$/>", "/docs"),
    ("</^/docs/x(.*)$/>", "</^/docs/(.*)$/>"),
    ("</^/docs$/>", "/docs/<*>"),
    ("</^docs/>", "/docs"),
    ("</^$/>", "/"),
    ("</^/.+$/>", "/"),
    ("</[a-z]/>", "/<x>"),
    ("</[a-z]/>", "</[a-y]/>"),
    ("/docs/<*>", "</docs/>"),
    ("/a?id", "/a"),
    ("/a?id=1", "/a?id=<x>"),
    ("/a?id=1", "/a?id=2"),
    ("/a?k&id", "/a?id"),
    (("/a", "301", "<US>"), "/a"),
    (("/a", "301", "<US>"), ("/a", "301", "<US>, <CA>")),
    ("/<*>", ("/a", "404")),
    (("/<*>", "404"), "/a"),
    (("/<*>", "fallback"), ("/a", "404")),
    ("/<*>/a", "/<*>/a"),
]


@pytest.mark.parametrize(("one", "other"), LEAVES)
def test_one_rule_leaves_another_something(one, other):
    """So nothing is said."""
    assert covered(one, other) == {}


def test_a_fallback_to_a_server_has_every_request():
    """Unlike one to a file, which navigations alone have."""
    rules = [
        Rule(source="/<*>", target="https://ssr.example", status="fallback"),
        Rule(source="/a", target="/404.html", status="404"),
    ]

    assert dict(find_covered(compile_plan(rules))) == {1: 0}


def test_the_first_rule_that_covers_is_named():
    """Not one that is covered itself."""
    assert covered("/<*>", "/a/<*>", "/a/b") == {1: 0, 2: 0}
    assert covered("/a/<*>", "/<*>", "/a/b") == {2: 0}


# Soundness, by brute force

SEGMENTS = ["", "a", "b", "docs", "x.html", "a-b"]
PLACES = ["<x>", "<y>", "<z>.html", "<v>-<w>", "a<u>", "<s><t>"]
QUERIES = ["?id=1", "?id=2", "?id=<q>", "?k=1&id=<r>", "?k"]
EXPRESSIONS = [
    *("</^/docs/(.*)$/>", "</a/>", "</^/a/b/>", r"</^[^.]+$|\.(?!html$)/>", "</(?<x>b)$/>"),
    *("</.*/>", "</^/docs/x.html$/>", "</^/docs/[a-z]+/>", "</^/?(.*)$/>", "</^/a/b$/>"),
]
HOSTS = ["https://one.example", "https://two.example/<*>"]
PATTERNS = st.builds(
    lambda segments, end, query: "/" + "/".join(segments) + end + query,
    st.lists(st.sampled_from(SEGMENTS + PLACES), max_size=3, unique=True),
    st.sampled_from(["", "", "/", "/<*>", "<*>"]),
    st.sampled_from([""] * 5 + QUERIES),
)
SOURCES = st.one_of(
    *[PATTERNS] * 3, st.sampled_from(EXPRESSIONS), st.sampled_from([*HOSTS, "/<*>/a"])
)


def served(rule):
    """The same rule; of the status `proxy`, what is a fallback to a server."""
    if rule.status != "proxy":
        return rule
    return msgspec.structs.replace(rule, status="fallback", target="https://ssr.example")


RULES = st.lists(
    st.builds(
        Rule,
        source=SOURCES,
        target=st.just("/target"),
        status=st.sampled_from(["301", "200", "410", "404", "fallback", "proxy"]),
        condition=st.sampled_from([None, None, None, "<US>", "<US>, <CA>"]),
    ),
    max_size=14,
).map(lambda rules: [served(rule) for rule in rules])
URLS = st.tuples(
    st.lists(st.sampled_from([*SEGMENTS, "1-2", "ab", "7.html", "q"]), max_size=4),
    st.sampled_from([None, b"id=1", b"id=2&k=1", b"k", b"id=1&id=2"]),
    st.sampled_from(["one.example", "two.example", "three.example"]),
    st.sampled_from([None, "US", "CA", "DE"]),
)


def decide_all(plan, url):
    """The numbers of the rules that decide a request, early and late, as any method."""
    segments, query, host, country = url
    path = "/" + "/".join(segments)
    subject = Subject(
        decode_path(path.encode()), path.encode(), query, host, country, Budget(lambda: 0.0)
    )
    late = [(b"GET", b"text/html"), (b"POST", b"")]
    decisions = [plan.decide(subject), *(plan.decide_missing(subject, *each) for each in late)]
    return {each.rule for each in decisions if each is not None}


@pytest.mark.no_cover  # it repeats what others have covered, and counting costs seconds
@settings(max_examples=300)
@given(RULES, st.lists(URLS, min_size=10, max_size=40))
def test_no_request_is_decided_by_a_rule_that_is_called_covered(rules, urls):
    """Whatever the rules, paths, queries, hosts and countries."""
    plan = compile_plan(rules)
    numbers = {number for number, _ in find_covered(plan)}

    for url in urls:
        assert not decide_all(plan, url) & numbers


ALPHABET = "ab/-q"
PATHS = [
    "/" + "".join(tail) for size in range(5) for tail in itertools.product(ALPHABET, repeat=size)
]
PIECES = st.lists(st.sampled_from(["a", "b", "/", "-", "<x>", "<y>", "<z>"]), max_size=3)
SMALL = st.builds(
    lambda pieces, end: "/" + "".join(pieces) + end,
    PIECES.filter(lambda pieces: all(pieces.count(each) < 2 for each in ("<x>", "<y>", "<z>"))),
    st.sampled_from(["", "", "<*>"]),
)


@pytest.mark.no_cover  # it repeats what others have covered, and counting costs seconds
@settings(max_examples=300)
@given(SMALL, SMALL)
def test_all_that_one_pattern_has_of_another_is_found(one, other):
    """Among paths, one of whose letters no pattern names, as placeholders are compared with."""
    first, second = compile_source(one).path, compile_source(other).path
    budget = Budget(lambda: 0.0)
    subjects = [Subject(path, b"", None, "", None, budget) for path in PATHS]
    is_contained = all(
        first.match(each) is not None for each in subjects if second.match(each) is not None
    )

    assert is_contained == bool(covered(one, other))


# Bounds


def test_many_patterns_are_compared_within_a_bound(monkeypatch):
    """Behind it only the rules of the same path are, and a few of those."""
    monkeypatch.setattr(module, "TRIES", 50)
    crowd = [f"/<a>-{number}" for number in range(30)]

    assert covered(*crowd, "/x", "/<y>-0", "/x") == {32: 30}


def test_regular_expressions_are_run_within_a_bound(monkeypatch):
    """Behind it they count as not matching."""
    sources = ["</[q]$/>", "</[x]$/>", "/q", "/x", "/b/q", "/b/x"]

    assert covered(*sources) == {2: 0, 3: 1, 4: 0, 5: 1}
    monkeypatch.setattr(module, "SEARCHES", 4)
    assert covered(*sources) == {2: 0, 3: 1, 4: 0}


def test_a_regular_expression_that_takes_too_long_covers_nothing(monkeypatch):
    """And is not asked often."""
    slow = PatternTooSlow("it takes too long")

    def search(*_):
        raise slow

    monkeypatch.setattr(Budget, "search", search)
    monkeypatch.setattr(module, "SEARCHES", module.SLOW_SEARCH)

    assert covered("</[q]$/>", "/q", "/a/q") == {}


# Parts


@pytest.mark.parametrize(
    ("source", "means"),
    [
        ("</^/docs/(.*)$/>", Places("/docs/", (), None, "^/docs/(.*)$")),
        (r"</^/v1\.0\/a\-b/>", Places("/v1.0/a-b", (), None, r"^/v1\.0\/a\-b")),
        (r"</^/a\.html$/>", Exact("/a.html")),
        ("</.*/>", Places("/", (), None, ".*")),
        ("/a", Exact("/a")),
    ],
)
def test_a_regular_expression_is_told_without_one(source, means):
    """Where it is a path or the beginning of one."""
    assert simplify(compile_source(source).path) == means


@pytest.mark.parametrize(
    "text", ["^/a?", "^/a+", "^/a|b", "^/a.b$", "^/[a]", "^/a/?$", "^/(a)", "(?i)^/a", r"^/\d", "a"]
)
def test_any_other_stays_one(text):
    """It says more than that."""
    assert isinstance(simplify(compile_source(f"</{text}/>").path), Expression)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/a", "/a"),
        ("/a/<x>-<y>.html", "/a/\x01-\x01.html"),
        ("/a/<x>", "/a/\x01"),
        ("/a/<x>/<*>", "/a/\x01/"),
        ("/a/<x><*>", "/a/\x01"),
        ("/<*>", "/"),
        ("https://one.example", "/"),
        ("</^/docs/[0-9]+/>", "/docs/"),
    ],
)
def test_one_path_stands_for_all_of_a_source(source, path):
    """With a character for each placeholder, and without what `<*>` takes."""
    assert representative_path(compile_source(source).path) == path


def test_no_source_holds_the_character_that_stands_for_placeholders():
    """It would be inert, and no request has it."""
    assert covered("/%01", "/<x>") == {}
    with pytest.raises(MalformedRequest):
        decode_path(b"/%01")
