"""Operators' regular expressions: mistakes, limits, and what is known to be slow."""

from __future__ import annotations

import time

import pytest

from edge.site import expressions as module
from edge.site.expressions import (
    LONG,
    Budget,
    PatternTooSlow,
    compile_expression,
    is_slow,
    literal_prefix,
)

SPA = r"^[^.]+$|\.(?!(css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)$)([^.]+$)"
"""Of the guide, page 84."""

HOSTILE = "/" + "a" * 8_000 + "!"


class Clock:
    """Seconds of processor time, set by hand."""

    def __init__(self):
        self.now = 10.0

    def __call__(self):
        """Seconds."""
        return self.now

    def spend_on(self, candidates, tried):
        """A millisecond on each of them."""
        for each in candidates:
            tried.append(each)
            self.now += 0.001


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(", "missing )"),
        ("[a", "unterminated character set"),
        ("a**", "multiple repeat"),
        (r"\1", "invalid group reference"),
        ("(" * 1_500 + ")" * 1_500, "nested too deeply"),
    ],
    ids=["group", "set", "repeat", "reference", "depth"],
)
def test_a_bad_pattern_is_told(text, problem):
    """The parser's words and a remedy."""
    with pytest.raises(ValueError, match="bad regular expression") as caught:
        compile_expression(text)

    assert problem in caught.value.args[0]
    assert caught.value.args[1] == "correct the pattern between </ and />"


def test_a_slow_pattern_is_an_error_and_never_no_match():
    """A rule that refuses cannot be skipped by a path that makes it hang."""
    began = time.process_time()
    with pytest.raises(PatternTooSlow, match=r"more than 5 ms, at the latest </\(a\+\)\+\$/>"):
        Budget(time.process_time).search(compile_expression("(a+)+$"), HOSTILE)

    assert time.process_time() - began < 1


def test_all_patterns_of_one_request_share_the_time():
    """What the first used, the second has no more, also in the next phase."""
    clock = Clock()
    budget = Budget(clock)
    pattern = compile_expression("a")
    budget.search(pattern, "/a")
    clock.now += 0.003
    budget.pause()
    clock.now += 60  # other requests
    assert budget.search(pattern, "/a")
    clock.now += 0.0021

    with pytest.raises(PatternTooSlow):
        budget.search(pattern, "/a")


@pytest.mark.parametrize("text", ["(a+)+$", r"(\w+\s?)*!$", "(?:a|aa)+$"])
def test_a_pattern_that_backtracks_without_end_is_known(text):
    """Found by what a short path does to it."""
    reason = is_slow(compile_expression(text))

    assert reason is not None
    assert reason.startswith("it takes more than 5 ms on a path such as ")


def test_a_crowd_has_its_time_and_no_more():
    """It is given out as long as there is time, each list anew; what took the rest is an error."""
    clock = Clock()
    budget = Budget(clock)
    assert list(budget.bounded(range(1_000))) == list(range(1_000))
    tried: list[int] = []
    with pytest.raises(PatternTooSlow, match="took more than 50 ms"):
        clock.spend_on(budget.bounded(range(1_000)), tried)
    assert 50 <= len(tried) < 65
    assert list(budget.bounded(range(10))) == list(range(10))


@pytest.mark.parametrize("text", [SPA, "^/blog/([0-9]+)-(.*)$", r"\.php$", "^/(de|en)/"])
def test_ordinary_patterns_are_not_slow(text):
    """The guide's own among them, also on the longest path."""
    assert is_slow(compile_expression(text), LONG) is None


@pytest.mark.parametrize(("hanging", "slow"), [(2, False), (3, True)])
def test_a_pattern_that_hung_once_is_not_slow(monkeypatch, hanging, slow):
    """Another thread may have taken the time."""
    left = iter([True] * hanging)
    monkeypatch.setattr(module, "hangs", lambda *_: next(left, False))

    assert bool(is_slow(compile_expression("^/a$"))) is slow


@pytest.mark.parametrize("text", ["^/s/(.*)/(.*)/(.*)/x$", "^/t/.*foo.*bar.*baz$"])
def test_what_stands_in_front_is_no_hiding_place(text):
    """Paths that are tried begin as all do that the pattern matches."""
    assert is_slow(compile_expression(text), LONG)


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        (r"^/p\d+$", "/p4", "/p\u0664"),
        (r"^/\w+$", "/a_1", "/\xe9"),
        (r"^/a\sb$", "/a b", "/a\xa0b"),
    ],
)
def test_classes_are_those_of_ascii(text, matching, other):
    """As in JavaScript, which most rules come from."""
    pattern = compile_expression(text)

    assert pattern.search(matching)
    assert not pattern.search(other)


def test_some_are_slow_on_the_longest_path_alone():
    """Time that grows with the square is no reason to refuse, but to warn."""
    pattern = compile_expression(r"[a-z]+[0-9]$")

    assert is_slow(pattern) is None
    assert is_slow(pattern, LONG)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("^/docs/(.*)$", "/docs/"),
        ("^/docs/v[0-9]", "/docs/"),
        ("^/docs/api", "/docs/"),
        ("^/a/b/?$", "/a/"),
        ("^/a/*x", "/"),
        ("^/a{2}/b", "/"),
        ("^/a/|x", "/"),
        ("(?i)^/a/b", "/"),
        ("^/a/(?i)b", "/"),
        ("^/a/(?P<year>.)", "/a/"),
        ("/docs/", "/"),
        ("^a", "/"),
        ("", "/"),
    ],
)
def test_the_folder_of_an_anchored_pattern(text, prefix):
    """What every match begins with, and never more."""
    assert literal_prefix(text) == prefix
