"""The tests that rules carry: what they expect, and how a failure is told."""

from __future__ import annotations

import pytest

from edge.control.rehearsals import inline
from edge.site.redirects import decode_redirects
from edge.site.rule import Example, Rule
from edge.site.trial import MAX_FAILURES, run_tests

HOST = "www.example.com"
FILES = ["index.html", "about.html", "docs/index.html", "404.html"]


def run(rule, *tests, files=FILES):
    """The mistakes of a rule with these tests (request, expectation)."""
    examples = tuple(Example(request=request, expect=expect) for request, expect in tests)
    rules = [Rule(source=rule[0], target=rule[1], status=rule[2], tests=examples, line=7, column=3)]
    return run_tests(rules, "redirects.json", inline(rules, files, HOST), HOST)


@pytest.mark.parametrize(
    ("rule", "request_", "expect"),
    [
        (("/old", "/new", "301"), "/old", "301 /new"),
        (("/old", "/new", "301"), "/old", "301"),
        (("/old", "/new", "301"), "/old?a=1", "301 /new?a=1"),
        (("/old", "/new", "301"), "https://www.example.com/old", "301 /new"),
        (("/old", "/new", "301"), "https://www.example.com", "200 /"),
        (("/old", "/new", "301"), "/docs", "301 /docs/"),
        (("/old", "/new", "301"), "/none", "404 /404.html"),
        (("/old", "/new", "301"), "/..", "400"),
        (("/a", "/about", "200"), "/a", "200 /about.html"),
        (("/a", "/about", "200"), "/a", "200 /about"),
        (("/a", "https://x.example/y", "200"), "/a", "200 https://x.example/y"),
        (("/a", None, "410"), "/a", "410"),
    ],
)
def test_a_test_that_is_met_is_no_mistake(rule, request_, expect):
    """A status alone, or with a Location, a file, its clean URL, an origin's URL."""
    assert run(rule, (request_, expect)) == []


@pytest.mark.parametrize(
    ("rule", "request_", "expect", "found"),
    [
        (("/old", "/new", "301"), "/old", "302 /new", "301 /new"),
        (("/old", "/new", "301"), "/old", "301 /other", "301 /new"),
        (("/old", "/new", "301"), "/about", "200 /index.html", "200 /about.html"),
        (("/old", "/new", "301"), "/about", "200 about.html", "200 /about.html"),
        (("/old", "/new", "301"), "/..", "404", "400 (the path leaves the root)"),
        (("/old", "/new", "301"), "https://other.example/", "200", "404, for other.example is"),
        ((r"</^/(?:a?){40}a{40}.*\d$/>", "/x", "301"), "/" + "a" * 8000, "404", "503 ("),
    ],
)
def test_a_failed_test_says_what_was_answered_and_what_was_expected(rule, request_, expect, found):
    """At the place of the rule that carries it."""
    (mistake,) = run(rule, (request_, expect))
    assert (mistake.file, mistake.line, mistake.column) == ("redirects.json", 7, 3)
    assert found in mistake.message
    assert expect in mistake.hint
    assert "edge explain" in mistake.hint


def test_where_nothing_is_deployed_only_what_needs_no_file_is_tested():
    """Redirects and bare refusals are told; the rest is passed over until there are files."""
    tests = (
        Example(request="/old", expect="302"),
        Example(request="/gone", expect="200"),
        Example(request="/page", expect="500"),
        Example(request="/about", expect="500"),
    )
    rules = [
        Rule(source="/old", target="/new", tests=tests),
        Rule(source="/gone", status="410"),
        Rule(source="/page", status="410", target="/p.html"),
    ]
    world = inline(rules, [], HOST)
    world.snapshot.hosts[HOST.encode()].branch.active = None

    found = [mistake.message for mistake in run_tests(rules, "f", world, HOST)]

    assert [message.split(" is answered")[0] for message in found] == [
        "[0].tests: /old", "[0].tests: /gone",
    ]  # fmt: skip


def test_failures_are_told_up_to_a_bound():
    """Nobody reads a thousand of them."""
    assert len(run(("/old", "/new", "301"), *[("/old", "500")] * 100)) == MAX_FAILURES


def test_an_expected_file_on_a_host_without_files_is_not_met():
    """A clean URL is only somebody's where there is a tree."""
    rules, errors, _ = decode_redirects(
        '[{"source": "/a", "target": "/b", "tests": [{"request": "/a", "expect": "200 /b"}]}]',
        "redirects.json",
    )
    assert errors == []
    world = inline(rules, FILES, HOST)
    world.snapshot.hosts[HOST.encode()].branch.active = None
    assert len(run_tests(rules, "f", world, HOST)) == 1
