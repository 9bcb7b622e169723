"""The index leaves out nothing, and no request makes a Location that its rule does not."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from edge.errors import RequestError
from edge.http.target import decode_path
from edge.site.expressions import Budget
from edge.site.pattern import compile_source
from edge.site.plan import Redirect, compile_plan, is_for_navigation, is_navigation
from edge.site.rule import MISSING, Rule
from edge.site.subject import Subject
from edge.site.template import compile_target

SEGMENTS = ["", "a", "b", "docs", "x.html", "a-b", "é"]
PLACES = ["<x>", "<y>", "<z>.html", "<v>-<w>", "a<u>"]
QUERIES = ["", "?id=1", "?id=2", "?id=<q>", "?k=1&id=<q>", "?k"]
EXPRESSIONS = ["</^/docs/(.*)$/>", "</a/>", "</^/a/b/>", r"</^[^.]+$|\.(?!html$)/>", "</(?<x>b)$/>"]
HOSTS = ["https://one.example", "https://two.example/<*>"]


def join(segments, end, query):
    """A source of a path."""
    return "/" + "/".join(segments) + end + query


PATTERNS = st.builds(
    join,
    st.lists(st.sampled_from(SEGMENTS + PLACES), max_size=4, unique=True),
    st.sampled_from(["", "", "/", "/<*>", "<*>"]),
    st.sampled_from(QUERIES[:1] * 4 + QUERIES),
)
SOURCES = st.one_of(
    PATTERNS, PATTERNS, st.sampled_from(EXPRESSIONS), st.sampled_from([*HOSTS, "/<*>/a"])
)
RULES = st.lists(
    st.builds(
        Rule,
        source=SOURCES,
        target=st.just("/target"),
        status=st.sampled_from(["301", "302", "200", "410", "404", "fallback"]),
        condition=st.sampled_from([None, None, None, "<US>", "<US>, <CA>"]),
    ),
    max_size=12,
)
PATHS = st.lists(st.sampled_from([*SEGMENTS, "1-2", "ab", "7.html"]), max_size=5).map(
    lambda segments: "/" + "/".join(segments)
)
SUBJECTS = st.builds(
    lambda path, query, host, country: Subject(
        decode_path(path.encode()), path.encode(), query, host, country, Budget(time.process_time)
    ),
    PATHS,
    st.sampled_from([None, b"", b"id=1", b"id=2&k=1", b"k", b"id=1&id=2"]),
    st.sampled_from(["one.example", "two.example", "three.example"]),
    st.sampled_from([None, "US", "CA", "DE"]),
)


def scan(plan, subject, phase):
    """The first rule of a phase that matches, all tried from the top."""
    for rule in plan.rules:
        if phase(rule):
            captures = rule.match(subject)
            if captures is not None:
                return rule.decide(subject, captures)
    return None


@given(RULES, st.lists(SUBJECTS, min_size=1, max_size=4))
def test_a_plan_decides_as_a_scan_from_the_top(rules, subjects):
    """Of either phase, for any rules."""
    plan = compile_plan(rules)
    for subject in subjects:
        early = scan(plan, subject, lambda rule: rule.written.status not in MISSING)

        assert plan.decide(subject) == early


@given(RULES, SUBJECTS, st.sampled_from([b"GET", b"POST"]), st.sampled_from([b"", b"text/html"]))
def test_so_it_does_for_what_is_missing(rules, subject, method, accept):
    """A fallback to a file is passed over by what is no navigation."""
    plan = compile_plan(rules)
    navigates = is_navigation(subject.path, method, accept)
    late = scan(
        plan,
        subject,
        lambda rule: rule.written.status in MISSING and (navigates or not is_for_navigation(rule)),
    )

    assert plan.decide_missing(subject, method, accept) == late


@given(SOURCES, SUBJECTS)
def test_a_source_explains_exactly_what_it_does_not_match(source, subject):
    """`explain` and the live decision agree."""
    compiled = compile_source(source)

    assert (compiled.explain(subject) is None) == (compiled.match(subject) is not None)


SLASHES = [b"/", b"//", b"\\", b"%5c", b"%2f", b"%2F", b"%252f", b"\xc0\xaf", b"%c0%af"]
BLANKS = [b"\t", b"%09", b"\r\n", b"%0d%0a", b"\0", b" ", b"+"]
DOTS = [b".", b"..", b"%2e"]
WORDS = [b"https:", b"evil.com", b"@", b":", b"<x>", b"{x}", b"$1", b"%", b"#", b"?", b"&", b"a"]
HOSTILE = st.lists(st.sampled_from([*SLASHES, *BLANKS, *DOTS, *WORDS]), max_size=8).map(b"".join)

OPEN = [
    ("/<*>", "/<*>"),
    ("/<*>", "<*>"),
    ("/<x>", "<x>?q=<x>#<x>"),
    ("/<x>/<*>", "/<x><*>"),
    ("</^/?(.*)$/>", "$1"),
    ("</^(.*)$/>", "$1"),
    ("/<*>?to=<x>", "<x>"),
    ("/<*>?to=<x>", "/<x>/<*>?y=<x>"),
    ("https://one.example", "/"),
    ("https://one.example", "/<*>"),
]


def browser_host(location, base="https://own.example/a"):
    """
    The host that a browser goes to.

    Source: the URL standard's parser for special schemes: tabs and line ends are removed, blanks
    and controls around it too, a backslash is a slash, and any number of both begins a host.
    """
    text = location.strip("".join(map(chr, range(33))))
    text = text.translate({9: None, 10: None, 13: None}).replace("\\", "/")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("http", "https"):
        return rest.lstrip("/").split("/")[0]
    if colon and scheme.isalpha():
        return scheme
    if text.startswith("//"):
        return text.lstrip("/").split("/")[0]
    return urlsplit(base).hostname


@given(st.sampled_from(OPEN), HOSTILE, HOSTILE)
def test_no_capture_adds_an_authority_or_a_line(rule, tail, value):
    """Whatever arrives, a path stays a path of this site, and Location one line of ASCII."""
    raw, query = b"/" + tail.partition(b"?")[0], b"to=" + value
    try:
        subject = Subject(
            decode_path(raw), raw, query, "one.example", None, Budget(time.process_time)
        )
        decision = compile_plan([Rule(source=rule[0], target=rule[1])]).decide(subject)
    except RequestError:
        return
    if decision is None:
        return

    assert isinstance(decision, Redirect)
    location = decision.location.decode("ascii")
    assert location.isprintable()
    assert " " not in location
    parts = urlsplit(location)
    assert (parts.scheme, parts.netloc) == ("", "")
    assert browser_host(location) == "own.example"


@given(HOSTILE, HOSTILE)
def test_a_capture_in_a_host_changes_no_domain(tail, value):
    """`<x>.example.com` is a host below example.com, or the request is refused."""
    raw, query = b"/" + tail.partition(b"?")[0], b"to=" + value
    source = compile_source("/<*>?to=<x>")
    target = compile_target("https://<x>.example.com/<*>", source)
    try:
        subject = Subject(decode_path(raw), raw, query, "h", None, Budget(time.process_time))
        location = target.location(subject, source.match(subject)).decode("ascii")
    except RequestError:
        return

    assert urlsplit(location).hostname.endswith(".example.com")
    assert browser_host(location).endswith(".example.com")
