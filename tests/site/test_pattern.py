"""Every form of source, against paths, queries and hosts."""

from __future__ import annotations

import re
import time

import pytest

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.pattern import Inert, compile_source, directory, normalize_source, pinned_segment
from edge.site.subject import Subject

SPA = r"</^[^.]+$|\.(?!(css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)$)([^.]+$)/>"


def ask(source, url, host="www.example"):
    """What a source captures of a request: name → bytes; None when it does not match."""
    raw, mark, query = url.encode().partition(b"?")
    budget = Budget(time.process_time)
    subject = Subject(decode_path(raw), raw, query if mark else None, host, None, budget)
    compiled = compile_source(normalize_source(source))
    captures = compiled.match(subject)
    assert (compiled.explain(subject) is None) == (captures is not None)
    if captures is None:
        return None
    spans = {name: each for name, each in captures.items() if name in compiled.names}
    return {
        name: each if isinstance(each, bytes) else subject.arrived(each)
        for name, each in spans.items()
    }


MATCHES = [
    # exact (page 83)
    ("/original.html", "/original.html", {}),
    ("/original.html", "/Original.html", None),
    ("/original.html", "/original.html/", None),
    ("/original.html", "/a/original.html", None),
    ("/original.html", "/original.html?x=1", {}),
    ("/caf%C3%A9", "/café", {}),
    ("/café", "/caf%c3%a9", {}),
    ("/a%2fb", "/a%2Fb", {}),
    ("/a%2Fb", "/a/b", None),
    ("/100%", "/100%25", {}),
    ("/a%FF", "/a", None),
    ("/a", "/./x/../%61", {}),
    ("/a?", "/a", {}),
    # <*> (pages 82 and 83)
    ("docs/<*>", "/docs/a/b.html", {"*": b"a/b.html"}),
    ("/docs/<*>", "/docs/", {"*": b""}),
    ("/docs/<*>", "/docs", None),
    ("/docs/<*>", "/docs-x/a", None),
    ("/docs<*>", "/docs-x/a", {"*": b"-x/a"}),
    ("/<*>", "/", {"*": b""}),
    ("/<*>", "//evil.com", {"*": b"/evil.com"}),
    ("/<*>", "/a%2Fb%20c", {"*": b"a%2Fb%20c"}),
    # <name> (pages 85 and 86)
    (
        "/docs/<year>/<month>/<itemid>",
        "/docs/2020/07/x",
        {"year": b"2020", "month": b"07", "itemid": b"x"},
    ),
    ("/docs/<year>/<month>/<itemid>", "/docs/2020/07/x/", None),
    ("/docs/<year>/<month>/<itemid>", "/docs/2020/07", None),
    ("/docs/<year>/<month>/<itemid>", "/docs/2020//x", None),
    ("/documents/<x>/<y>/<z>", "/documents/1/2/3", {"x": b"1", "y": b"2", "z": b"3"}),
    ("/documents/<x>/<y>/<z>", "/documents/1/2/3/4", None),
    ("/<slug>.html", "/a.b.html", {"slug": b"a.b"}),
    ("/<slug>.html", "/.html", None),
    ("/<slug>.html", "/a/b.html", None),
    ("/<a>-<b>", "/x-y-z", {"a": b"x", "b": b"y-z"}),
    ("/<a>-<b>", "/x-", None),
    ("/<a>-<b>", "/-x", None),
    ("/<a>-<b>", "/--x", {"a": b"-", "b": b"x"}),
    ("/<a><b>", "/xyz", {"a": b"x", "b": b"yz"}),
    ("/<a><b>", "/x", None),
    ("/<a>/x-<b>/end", "/1/x-2/end", {"a": b"1", "b": b"2"}),
    ("/<a>/x-<b>/end", "/1/2/x-2/end", None),
    ("/<lang>/<*>", "/de/a/b", {"lang": b"de", "*": b"a/b"}),
    ("/<lang>/<*>", "/de/", {"lang": b"de", "*": b""}),
    ("/<lang>/<*>", "/de", None),
    ("/<lang>-<*>", "/de-a/b", {"lang": b"de", "*": b"a/b"}),
    ("/<my-id>/é/<x>", "/%C3%A4/%C3%A9/ü", {"my-id": b"%C3%A4", "x": "ü".encode()}),
    ("/a/<x>", "/a/b%2Fc", {"x": b"b%2Fc"}),
    # regular expressions (page 84)
    (SPA, "/about", {"1": b"", "2": b""}),
    (SPA, "/a/b/c/", {"1": b"", "2": b""}),
    (SPA, "/app.css", None),
    (SPA, "/fonts/a.woff2", None),
    (SPA, "/app.min.js", None),
    (SPA, "/report.pdf", {"1": b"", "2": b"pdf"}),
    (SPA, "/about?file=a.css", {"1": b"", "2": b""}),
    ("</o+/>", "/foo", {}),
    ("</^o/>", "/o", None),
    (
        r"</^\/(?<year>\d{4})\/(.*)$/>",
        "/2020/a%20b",
        {"year": b"2020", "1": b"2020", "2": b"a%20b"},
    ),
    ("</A/>", "/a", None),
    # queries (page 86)
    ("/docs?id=<my-blog-id-value>", "/docs?id=7", {"my-blog-id-value": b"7"}),
    ("/docs?id=<x>", "/docs?a=1&id=b%2Fc+d&z", {"x": b"b%2Fc%20d"}),
    ("/docs?id=<x>", "/docs?id=1&id=2", {"x": b"1"}),
    ("/docs?id=<x>", "/docs?id=", {"x": b""}),
    ("/docs?id=<x>", "/docs", None),
    ("/docs?id=<x>", "/docs?ID=1", None),
    ("/docs?id=<x>", "/docs/?id=1", None),
    ("/docs?id=7", "/docs?id=8&id=7", {}),
    ("/docs?id=7", "/docs?id=8", None),
    ("/docs?q=a+b", "/docs?q=a%20b", {}),
    ("/docs?q=a%20b", "/docs?q=a+b", {}),
    ("/docs?a=1&b=<x>", "/docs?b=2&a=1", {"x": b"2"}),
    ("/docs?a=1&b=<x>", "/docs?b=2", None),
    ("/docs?debug", "/docs?debug=yes", {}),
    ("/docs?debug=", "/docs?debug=yes", None),
    ("/<a>?id=<x>", "/docs?id=7", {"a": b"docs", "x": b"7"}),
]


@pytest.mark.parametrize(("source", "url", "captures"), MATCHES, ids=lambda each: str(each)[:40])
def test_a_source_means_these_requests(source, url, captures):
    """The table of rules.md, row by row, with what each captures as it arrived."""
    assert ask(source, url) == captures


@pytest.mark.parametrize(
    "source",
    [
        "https://mydomain.com",
        "https://mydomain.com/",
        "https://mydomain.com/<*>",
        "HTTPS://MyDomain.com",
        "http://mydomain.com",
    ],
)
def test_a_domain_source_means_any_path_of_its_host(source):
    """Whatever the case (page 83)."""
    assert ask(source, "/a/b%20c?x", "mydomain.com") == {"*": b"a/b%20c"}
    assert ask(source, "/a", "www.mydomain.com") is None


def test_a_domain_is_compared_by_its_canonical_name():
    """An operator may write it in any script."""
    assert ask("https://bücher.example", "/", "xn--bcher-kva.example") == {"*": b""}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/<*>/a", "<*> stands elsewhere than at the end"),
        ("/a<*>.html", "<*> stands elsewhere than at the end"),
        ("/<*><*>", "<*> stands elsewhere than at the end"),
        ("/a?b=<*>", "<*> stands elsewhere than at the end"),
        ("https://a.example/b", "a source with a domain has no path"),
        ("https://a.example/b/<*>", "a source with a domain has no path"),
        ("https://a.example?x=1", "a source with a domain has no path"),
        ("https://a.example:8443", "is not a domain name"),
        ("https://<x>.example", "is not a domain name"),
        ("/a<b", "< and > do not make a placeholder here"),
        ("/<>", "< and > do not make a placeholder here"),
        ("/a?b=c<x>", "< and > do not make a placeholder here"),
        ("/a#b", "what follows a # is never sent"),
        ("/a/../b", "the segments . and .. are resolved"),
        ("/a/%2e%2E", "the segments . and .. are resolved"),
        (r"/a\b", "a path with a backslash"),
        ("/a%0Ab", "a path with a backslash or a control character"),
    ],
)
def test_what_can_never_match_is_inert_and_says_why(source, reason):
    """It is no error."""
    compiled = compile_source(source)

    assert isinstance(compiled.path, Inert)
    assert reason in compiled.path.reason
    assert ask(source, "/a", "a.example") is None


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("</a", "the regular expression has no end"),
        ("<//>", "the regular expression has no end"),
        ("</(/>", "bad regular expression"),
        ("/<x>/<x>", "the placeholder <x> is there twice"),
        ("/<x>?id=<x>", "the placeholder <x> is there twice"),
    ],
)
def test_a_source_that_cannot_be_read_is_an_error(source, problem):
    """With a problem and a remedy."""
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        compile_source(source)

    assert caught.value.args[1]


@pytest.mark.parametrize(
    ("source", "url", "reason"),
    [
        ("/a", "/b", "the path is not /a"),
        ("/a/<x>", "/b", "the path does not fit /a/<x>"),
        ("</a+/>", "/b", "the path does not match </a+/>"),
        ("https://a.example", "/b", "the host is not a.example"),
        ("/a?b=1", "/a", "the query has no 'b' with the value '1'"),
        ("/a?b=<x>", "/a?c", "the query has no 'b'"),
        ("/<*>/a", "/b", "it never matches: <*> stands elsewhere than at the end"),
    ],
)
def test_a_source_says_why_it_does_not_match(source, url, reason):
    """For `edge explain`."""
    raw, mark, query = url.encode().partition(b"?")
    budget = Budget(time.process_time)
    subject = Subject(raw.decode(), raw, query if mark else None, "h.example", None, budget)

    assert compile_source(source).explain(subject) == reason


def test_a_hanging_pattern_is_no_missing_match():
    """The request is answered 503."""
    with pytest.raises(PatternTooSlow):
        ask("</(a+)+$/>", "/" + "a" * 4_000 + "!")


@pytest.mark.parametrize(
    ("source", "folder", "pin"),
    [
        ("/docs/<*>", "/docs/", None),
        ("/docs/a-<x>", "/docs/", None),
        ("/<x>", "/", None),
        ("/<x>/", "/", (2, "")),
        ("/<x>/b", "/", (2, "b")),
        ("/<x>/b/<y>", "/", (2, "b")),
        ("/<x>/b/<*>", "/", (2, "b")),
        ("/<x>/b<*>", "/", None),
        ("/<x>/<y>/c", "/", (3, "c")),
        ("/a/<x>-y/<z>/c-<q>/d/e", "/a/", (5, "d")),
        ("</^/a/b/>", "/a/", None),
        ("</x/>", "/", None),
    ],
)
def test_a_pattern_is_found_by_its_folder_and_a_segment(source, folder, pin):
    """What every path that it matches has."""
    compiled = compile_source(source)

    assert directory(compiled) == folder
    assert pinned_segment(compiled) == pin


@pytest.mark.parametrize("raw", ["/..", "/%2e%2e/a", "/a%5Cb", "/a%00"])
def test_what_two_readers_could_read_differently_never_gets_here(raw):
    """The path is decoded before."""
    with pytest.raises(MalformedRequest):
        ask("/<*>", raw)


@pytest.mark.parametrize(
    ("written", "normal"),
    [("a", "/a"), ("/a", "/a"), ("</a/>", "</a/>"), ("https://a.b", "https://a.b"), ("", "")],
)
def test_a_source_without_leading_slash_gets_one(written, normal):
    """Where it is a path."""
    assert normalize_source(written) == normal
