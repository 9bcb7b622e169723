"""Globs: what they match, what is refused, and that no path makes them slow."""

from __future__ import annotations

import time

import pytest

from edge.site.globs import MAX_ALTERNATIVES, MAX_PATTERN, compile_glob


def matches(pattern, path):
    """Whether any of the plain globs matches."""
    return any(glob.matches(path) for glob in compile_glob(pattern))


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*", ["/", "/a", "/a.json", "/a/b/", "/a/b/c.js"], []),
        ("**", ["/", "/a", "/a/b/", "/a/b/c.js"], []),
        ("**/*", ["/", "/a", "/a/b/", "/a/b/c.js"], []),
        ("/**", ["/", "/a", "/a/b/", "/a/b/c.js"], []),
        ("*.json", ["/a.json", "/a/b/c.json", "/.json"], ["/a.json/", "/ajson", "/a.json/b"]),
        ("**/*.json", ["/a.json", "/a/b/c.json"], ["/a.json/", "/a.jsonx"]),
        ("/*.json", ["/a.json"], ["/a/b.json"]),
        ("**.json", ["/a.json", "/a/b.json"], ["/a.js"]),
        ("robots.txt", ["/robots.txt", "/a/robots.txt"], ["/xrobots.txt"]),
        ("/", ["/"], ["/a", "/index.html", "//"]),
        ("/*", ["/", "/a"], ["/a/", "/a/b"]),
        ("/path/*", ["/path/", "/path/a", "/path/a.b"], ["/path", "/path/a/", "/path/a/b", "/x"]),
        ("path/*", ["/path/a"], ["/x/path/a", "/path"]),
        ("/path/**", ["/path/", "/path/a", "/path/a/b"], ["/path", "/pathx/a"]),
        ("/path/*.json", ["/path/a.json"], ["/path/a/b.json", "/a.json"]),
        ("/path/**/*.json", ["/path/a.json", "/path/a/b/c.json"], ["/path.json", "/a.json"]),
        ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/ab", "/a/xb", "/a/b/"]),
        ("/a**b", ["/ab", "/axb", "/a/b", "/ax/y/zb"], ["/a/b/c", "/b"]),
        ("/a**/b", ["/a/b", "/ax/b", "/a/x/b"], ["/ab", "/a/xb"]),
        (
            "/a**b**c",
            ["/abc", "/ab/c", "/a/bc", "/a/x/bc", "/a/x/b/c", "/ax/yb/zc"],
            ["/ac", "/acb", "/ab/"],
        ),
        ("/a**b**c**d", ["/abcd", "/a/b/c/d", "/a/xbc/d"], ["/acbd", "/a/b/d"]),
        ("/a/**b**/c", ["/a/b/c", "/a/xby/c", "/a/1/b/2/c"], ["/a/c", "/a/x/c"]),
        ("/a/***/b", ["/a/b", "/a/x/y/b"], ["/ab"]),
        ("/**/**/a", ["/a", "/b/a", "/b/c/a"], ["/ba"]),
        ("/v?.js", ["/v1.js", "/vä.js"], ["/v.js", "/v12.js", "/v/.js"]),
        ("*.{js,css}", ["/a.js", "/b/c.css"], ["/a.jsx", "/a.html"]),
        ("/{a,b/*}/x", ["/a/x", "/b/1/x"], ["/b/x"]),
        ("{*.js,/x/*.css}", ["/a/b.js", "/x/c.css"], ["/y/c.css"]),
        ("/{a,{b,c}d}", ["/a", "/bd", "/cd"], ["/b", "/ad"]),
        ("/a{,.html}", ["/a", "/a.html"], ["/a."]),
        ("/[slug].js", ["/[slug].js"], ["/s.js"]),
        ("/a*b*c", ["/abc", "/a1b2c", "/abbcc"], ["/acb", "/ab/c"]),
        ("/a*aa", ["/aaa", "/aaaa"], ["/aa"]),
        ("/**/a*/b*", ["/a/b", "/a/a/b1", "/x/a/a2/b"], ["/a/x/b"]),
        ("/my%20file", ["/my file"], ["/my%20file"]),
        ("/b%C3%BC?her/*", ["/bücher/", "/bücher/a"], ["/bucher/a"]),
        ("/a%2fb", ["/a%2Fb"], ["/a/b"]),
        ("/%2A%7Ba,b%7D", ["/*{a,b}"], ["/xa"]),
        ("/100%", ["/100%"], ["/100"]),
        ("/Docs/*", ["/Docs/a"], ["/docs/a"]),
    ],
)
def test_a_pattern_matches_what_it_says(pattern, inside, outside):
    """Each form of the language, with the paths next to it that it does not mean."""
    assert [path for path in inside if not matches(pattern, path)] == []
    assert [path for path in outside if matches(pattern, path)] == []


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("/a\tb", "invisible characters"),
        ("/" + "a" * MAX_PATTERN, "longer than 2048 characters"),
        ("https://a.example/*", "is an address"),
        ("/docs/<*>", "is not a glob"),
        ("/a\\*", "has a backslash"),
        ("./img/*", "has a dot segment"),
        ("/a/../b", "has a dot segment"),
        ("/{a,b", "without its other half"),
        ("/a}", "without its other half"),
        ("/{id}/x", "leaves no choice"),
        ("/{}", "leaves no choice"),
        ("/%FF*", "not UTF-8"),
        ("/" + "{a,b}" * 7, "stands for more than 64"),
        ("/{" + ",".join(map(str, range(65))) + "}", "stands for more than 64"),
        ("/" + "a**" * 7 + "b", "stands for more than 64"),
        ("/" + "a**" * 600, "stands for more than 64"),
        ("/{a,b}/" + "a**" * 6 + "b", "stands for more than 64"),
        ("/" + "{a,b}" * 400, "stands for more than 64"),
        ("/" + "{" * 1000 + "a,b" + "}" * 1000, "leaves no choice"),
    ],
)
def test_what_could_never_match_is_refused(pattern, problem):
    """The refusal says what is wrong, and what to write."""
    with pytest.raises(ValueError, match=problem) as refusal:
        compile_glob(pattern)

    assert len(refusal.value.args) == 2
    assert refusal.value.args[1]


def test_the_most_alternatives_are_allowed():
    """The bound itself is still a glob."""
    assert len(compile_glob("/" + "{a,b}" * 6)) == MAX_ALTERNATIVES
    assert len(compile_glob("/" + "a**" * 6 + "b")) == MAX_ALTERNATIVES
    assert len(compile_glob("/" + "a" * (MAX_PATTERN - 1))) == 1


@pytest.mark.parametrize(
    "pattern",
    [
        "/" + "a*" * 60 + "b",
        "/**/" + "a*" * 60 + "b",
        "/" + "*a" * 500 + "b?",
        "/" + "**/a*a/" * 60 + "b?",
        "/" + "**/*a*/*a*/" * 40 + "c?",
        "/a**a**a**a**a**?b",
        "/a?**?a**?a**?a?b?",
        "/" + "**/" * 500 + "x?",
        "/**/" + "a" * 1000 + "?b?",
        "*" + "?" * 1000 + "b?",
        "/**/" + "*/" * 500 + "b?",
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/" + "a" * 8191,
        "/a" * 4096,
        "/" * 8192,
        "/" + "aa/" * 2730,
        "/" + "a" * 4000 + "/" + "a" * 4000,
        "/" + "a" * 4000 + "/b" * 2000,
    ],
    ids=["word", "words", "slashes", "pairs", "halves", "late"],
)
def test_no_path_makes_a_glob_slow(pattern, path):
    """The worst of both, 8 KiB of it, is no matter of time: a match that tries twice takes ages."""
    globs = compile_glob(pattern)
    began = time.process_time()
    for glob in globs:
        glob.prefix = glob.suffix = ""  # the expression itself is on trial
        glob.matches(path)
    per_glob = (time.process_time() - began) / len(globs)

    assert per_glob < 2
