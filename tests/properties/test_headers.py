"""Globs against a matcher that is slow and plain, and what a plan may never put on the wire."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge.http.message import finish_head
from edge.site.globs import compile_glob
from edge.site.headers import Header, HeaderEntry, HeaderPlan, apply, parse_value
from tests.support_site import fields_of

UNHURRIED = settings(deadline=None)
"""The machine's cores are shared with others."""

WORDS = st.sampled_from(
    ["a", "b", "ab", "/", "/", "*", "**", "**/", "/**/", "?", ".js", "{a,b}", "{a*,/b}", "{,b}"]
)
PATTERNS = (
    st.lists(WORDS, min_size=1, max_size=7)
    .map("".join)
    .filter(lambda pattern: pattern.count("{") + pattern.count("**") <= 6)  # 64 globs at most
)
PATHS = st.text("ab/.js", max_size=9).map("/".__add__)


def spell_out(pattern):
    """The patterns without braces."""
    start = pattern.find("{")
    if start < 0:
        return [pattern]
    end = pattern.index("}", start)
    words = pattern[start + 1 : end].split(",")
    return [each for w in words for each in spell_out(pattern[:start] + w + pattern[end + 1 :])]


def tokens(pattern):
    """Characters and wildcards; `//` is any number of folders: `**` that is a whole segment."""
    if not pattern.startswith("/"):
        pattern = ("/" if "/" in pattern else "/**/") + pattern
    found, at = [], 0
    while at < len(pattern):
        stars = len(pattern) - at - len(pattern[at:].lstrip("*"))
        whole = stars > 1 and pattern[at - 1] == "/" and pattern[at + stars : at + stars + 1] == "/"
        if whole:
            found.append("//")
        elif stars:
            found.append("**" if stars > 1 else "*")
        else:
            found.append(pattern[at])
        at += stars + 1 if whole else stars or 1
    return found


def matches_slowly(pattern, path):
    """The language word by word: every way to divide the path is tried."""
    return any(plain_matches(tuple(tokens(plain)), path) for plain in spell_out(pattern))


def plain_matches(wanted, path):
    """Whether the tokens take the whole path."""

    @cache
    def take(index, at):
        if index == len(wanted):
            return at == len(path)
        token, rest = wanted[index], range(at, len(path) + 1)
        if token == "//":
            ends = [end for end in rest if end == at or path[end - 1] == "/"]
        elif token == "**":
            ends = rest
        elif token == "*":
            ends = [end for end in rest if "/" not in path[at:end]]
        else:
            here = path[at : at + 1]
            ends = [at + 1] if here and (here == token or (token == "?" and here != "/")) else []
        return any(take(index + 1, end) for end in ends)

    return take(0, 0)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [("**/*", "/", True), ("/a**b", "/a/b", True), ("/a/*", "/a/b/", False), ("*", "/a/b", True)],
)
def test_the_slow_matcher_knows_the_language(pattern, path, expected):
    """The measure itself is measured."""
    assert matches_slowly(pattern, path) is expected


@UNHURRIED
@given(PATTERNS, PATHS)
def test_a_glob_matches_what_the_slow_matcher_does(pattern, path):
    """Compiled or tried in every way, a glob means the same paths."""
    try:
        globs = compile_glob(pattern)
    except ValueError as error:
        assume("stands for more than" not in error.args[0])
        raise

    assert any(glob.matches(path) for glob in globs) == matches_slowly(pattern, path)


@UNHURRIED
@given(st.lists(PATTERNS, max_size=12), PATHS)
def test_a_plan_finds_what_a_scan_does(patterns, path):
    """However entries are grouped, the same ones match, in the order of the file."""
    header = Header(key="X-Test", value="1")
    plan = HeaderPlan([HeaderEntry(pattern=pattern, headers=(header,)) for pattern in patterns])
    scanned = [number for number, each in enumerate(patterns) if matches_slowly(each, path)]

    assert plan.matching(path) == scanned


@UNHURRIED
@given(st.lists(st.text(), max_size=6), st.lists(st.sampled_from(["A", "a", "Vary"]), max_size=6))
def test_no_value_can_split_a_response(values, names):
    """What the grammar of values lets through is always one field line of the wire."""
    accepted = []
    for name, value in zip(names, values, strict=False):
        try:
            accepted.append(Header(key=name, value=parse_value(value)))
        except ValueError as refusal:
            assert len(refusal.args) == 2  # noqa: PT017 - a UnicodeError has five
    plan = HeaderPlan([HeaderEntry(pattern="*", headers=tuple(accepted))])
    merged = apply([(b"Vary", b"Accept-Encoding"), (b"A", b"ours")], fields_of(plan, "/a"))
    lines = finish_head(200, merged).lines

    assert not any(set(b"\r\n\0") & set(value) for _, value in merged)
    assert lines.count(b"\r\n") == lines.count(b"\n") == len(merged) + 1


@UNHURRIED
@given(st.text("ab\r\n\0", min_size=1).filter(lambda text: set(text) & set("\r\n\0")))
def test_line_breaks_and_nul_are_never_a_value(text):
    """Wherever they stand in it."""
    with pytest.raises(ValueError, match="cannot have"):
        parse_value(text)
