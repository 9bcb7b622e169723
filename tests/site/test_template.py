"""Targets: what is filled in, what goes along, and what a capture can never do."""

from __future__ import annotations

import re
import time

import pytest

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site.expressions import Budget
from edge.site.pattern import compile_source
from edge.site.subject import Subject
from edge.site.template import compile_target


def fill(kind, source, target, url, host="www.example"):
    """A target for a request that its source matches."""
    raw, mark, query = url.encode("latin-1").partition(b"?")
    budget = Budget(time.process_time)
    subject = Subject(decode_path(raw), raw, query if mark else None, host, None, budget)
    compiled = compile_source(source)
    captures = compiled.match(subject)
    assert captures is not None
    return getattr(compile_target(target, compiled), kind)(subject, captures)


DOMAIN = "https://www.example"

LOCATIONS = [
    ("/a", "/b", "/a", b"/b"),
    ("/a", "b.html", "/a", b"/b.html"),
    ("/a", "/b", "/a?x=1&x=%20", b"/b?x=1&x=%20"),
    ("/a", "/b", "/a?", b"/b?"),
    ("/a", "/b?q=1", "/a?x=1", b"/b?q=1"),
    ("/a", "/b?", "/a?x=1", b"/b?"),
    ("/a?x=<x>", "/b", "/a?x=1", b"/b"),
    ("/a?x=1", "/b", "/a?x=1&y=2", b"/b"),
    ("/a", "/b#c", "/a?x=1", b"/b?x=1#c"),
    ("/a", "/b?q#c", "/a?x=1", b"/b?q#c"),
    (
        "/a",
        "https://Example-Target.com?q=someParam",
        "/a?x=1",
        b"https://example-target.com?q=someParam",
    ),
    ("/a", "https://h.example", "/a?x=1", b"https://h.example?x=1"),
    ("/a", "http://h.example:8080/b", "/a", b"http://h.example:8080/b"),
    ("/a", "https://[2001:db8::1]:80/b", "/a", b"https://[2001:db8::1]:80/b"),
    ("/a", "https://bücher.example/ü b", "/a", b"https://xn--bcher-kva.example/%C3%BC%20b"),
    ("/a", "/b%20c%2Fd", "/a", b"/b%20c%2Fd"),
    ("/docs/<*>", "/documents/<*>", "/docs/a%20b/c%2F?x", b"/documents/a%20b/c%2F?x"),
    ("/<y>/<m>", "/<m>/<y>/<m>", "/1/2", b"/2/1/2"),
    ("/<x>", "/s?q=<x>", "/a&b=c+d", b"/s?q=a%26b=c%2Bd"),
    ("/<x>", "/s#<x>", "/a%23", b"/s#a%23"),
    ("/a?id=<x>", "/b/<x>", "/a?id=c+d%2Fe", b"/b/c%20d%2Fe"),
    ("/a?id=<x>", "/b/<x>", "/a?id=?y", b"/b/%3Fy"),
    ("/<x>", "https://<x>.example.com/<x>", "/de", b"https://de.example.com/de"),
    ("</^/(?<y>[0-9]+)-(.*)$/>", "/y/<y>/$2/$<y>/$1", "/20-a%20b", b"/y/20/a%20b/20/20"),
    ("/a", "/price-$5", "/a", b"/price-$5"),
    ("/<x>", "/<x>", "/%3Cx%3E", b"/%3Cx%3E"),
    ("/<x>/<y>", "/<x>/<y>", "/<y>/b", b"/%3Cy%3E/b"),
    ("/<*>", "/<*>", '/\xc3\xa9"', b"/%C3%A9%22"),
    # domains: path and query behind the target, without a second slash
    (DOMAIN, "https://h.example", "/a%20b?x=1", b"https://h.example/a%20b?x=1"),
    (DOMAIN, "https://h.example/", "/", b"https://h.example/"),
    (DOMAIN, "https://h.example/b/", "/a/", b"https://h.example/b/a/"),
    (DOMAIN, "https://h.example/b", "//a", b"https://h.example/b//a"),
    (DOMAIN, "https://h.example/<*>?x", "/a/../b?y", b"https://h.example/b?x"),
    (DOMAIN, "https://h.example#f", "/x/../b?y", b"https://h.example/b?y#f"),
    (DOMAIN, "/moved", "/a", b"/moved/a"),
]


@pytest.mark.parametrize(("source", "target", "url", "location"), LOCATIONS)
def test_a_location_is_filled_in(source, target, url, location):
    """Captures once and as they arrived; the query unless somebody named one; fragments last."""
    assert fill("location", source, target, url) == location


@pytest.mark.parametrize(
    ("source", "target", "url", "location"),
    [
        ("/<*>", "/<*>", "//evil.com/a", b"/evil.com/a"),
        ("/<*>", "<*>", "///evil.com", b"/evil.com"),
        ("</^/(.*)$/>", "$1", "//evil.com", b"/evil.com"),
        ("</^(.*)$/>", "$1", "//evil.com", b"/evil.com"),
        ("/go?to=<x>", "<x>", "/go?to=//evil.com", b"/evil.com"),
        ("/go?to=<x>", "<x>", "/go?to=https:evil.com", b"/https:evil.com"),
        ("/go?to=<x>", "<x>", "/go?to=https://evil.com", b"/https://evil.com"),
        ("/go?to=<x>", "/<x>", "/go?to=\\evil.com", b"/%5Cevil.com"),
        ("/go?to=<x>", "/<x>", "/go?to=\t/evil.com", b"/%09/evil.com"),
        ("/go?to=<x>", "/<x>", "/go?to=%5Cevil.com", b"/%5Cevil.com"),
        ("/go?to=<x>", "/<x>", "/go?to=a\r\nSet-Cookie:x\0", b"/a%0D%0ASet-Cookie:x%00"),
        ("/go?to=<x>", "/<x>", "/go?to=%0d%0aa", b"/%0d%0aa"),
        ("/a", "/b", "/a?x\r\n y#z", b"/b?x%0D%0A%20y%23z"),
        (DOMAIN, "/", "//evil.com", b"/evil.com"),
    ],
)
def test_a_capture_adds_no_authority_and_no_line(source, target, url, location):
    """An open redirect needs a target with a placeholder for a host, which there is not."""
    assert fill("location", source, target, url) == location


@pytest.mark.parametrize(
    ("source", "target", "url"),
    [
        ("/a?x=<x>", "/b/<x>/c", "/a?x=.."),
        ("/a?x=<x>", "/b/<x>", "/a?x=../../c"),
        ("/a?x=<x>", "/b/<x>", "/a?x=%2e%2E"),
        ("/x<x>", "/b/<x>/c", "/x."),
        ("/<x>", "https://<x>.example.com/", "/a@b"),
        ("/<x>", "https://<x>.example.com/", "/evil.com%2F"),
        ("/a?x=<x>", "https://<x>.example.com/", "/a?x="),
        ("/a?x=<x>", "https://<x>.example.com/", "/a?x=evil.com/"),
        ("/a?x=<x>", "/b" + "<x>" * 20, "/a?x=" + "a" * 1_000),
    ],
)
def test_what_a_capture_must_not_make_is_refused(source, target, url):
    """A dot segment, which leads elsewhere, half a host, and what nobody could use: 400."""
    with pytest.raises(MalformedRequest):
        fill("location", source, target, url)


@pytest.mark.parametrize(
    ("source", "target", "url", "path"),
    [
        ("/<*>", "/index.html", "/a?x", "/index.html"),
        ("/<*>", "index.html?x=1#y", "/a", "/index.html"),
        ("/<x>", "/b/<x>.html", "/%C3%A9%2f", "/b/é%2F.html"),
        ("/<x>", "/%C3%BC/ü", "/a", "/ü/ü"),
        ("/<*>", "/<*>", "//a", "/a"),
    ],
)
def test_a_path_of_the_site_is_decoded(source, target, url, path):
    """Once, by the policy of all paths."""
    assert fill("file_path", source, target, url) == path


@pytest.mark.parametrize("value", ["%zz", "%00", "%5C", "%C0%AF", "%"])
def test_a_path_of_the_site_is_held_to_that_policy(value):
    """A parameter of a query has not been decoded before."""
    with pytest.raises(MalformedRequest):
        fill("file_path", "/a?x=<x>", "/b/<x>", f"/a?x={value}")


@pytest.mark.parametrize(
    ("source", "target", "url", "expected"),
    [
        (
            "/images/<*>",
            "https://images.otherdomain.com/<*>",
            "/images/a.png?x",
            b"https://images.otherdomain.com/a.png?x",
        ),
        ("/a", "https://h.example", "/a?x", b"https://h.example/?x"),
        ("/a", "https://h.example/b?q#f", "/a?x", b"https://h.example/b?q"),
        (DOMAIN, "https://h.example", "/a?x", b"https://h.example/a?x"),
    ],
)
def test_a_url_to_fetch_has_a_path_and_no_fragment(source, target, url, expected):
    """The query goes along as in a redirect."""
    assert fill("url", source, target, url) == expected


@pytest.mark.parametrize(
    ("source", "target", "problem", "remedy"),
    [
        ("/<id>", "/<idd>", "unknown placeholder <idd>", "did you mean '<id>'?"),
        ("/a", "/<*>", "unknown placeholder <*>", "the source captures nothing"),
        ("/<id>", "/a?b=<xyz>", "unknown placeholder <xyz>", "the source captures <id>"),
        ("</(a)/>", "/$2", "unknown placeholder $2", "the source captures $1"),
        ("/a", "//h.example/b", "neither a path nor an http URL", "write / and a path"),
        ("/a", "/\\h.example", "neither a path nor an http URL", "write / and a path"),
        ("/a", "ftp://h.example/", "neither a path nor an http URL", "write / and a path"),
        ("/a", "https://", "is not a domain name", "write https:// and the host's name"),
        ("/a", "https://.cloudfront.net/a", "is not a domain name", "write https://"),
        ("/a", "https://u@h.example/", "is not a domain name", "write https://"),
        ("/a", "https://h.example:65536/", "there is no port 65536", "ports are 1 to 65535"),
        ("/<*>", "https://h.example<*>", "a capture can change the domain", "write / behind"),
        ("/<x>", "https://<x>", "a capture can change the domain", "write / behind"),
        ("/<x>", "https://a.<x>example.com", "a capture can change the domain", "write / behind"),
        ("/<x>", "https://<x>.", "a capture can change the domain", "write / behind"),
        ("/a", "/100%", "bad target: the path holds a % that begins no escape", "write the path"),
        ("/a", "/a/..\\b", "bad target: the path holds a control character or a b", "write"),
        ("/a", "/b/../c", "the target has dot segments", "write the path that they lead to"),
        ("/a", "/../c", "bad target: the path leaves the root", "write the path"),
    ],
)
def test_a_target_that_makes_no_sense_is_an_error(source, target, problem, remedy):
    """What, and what to do."""
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        compile_target(target, compile_source(source))

    assert remedy in caught.value.args[1]


@pytest.mark.parametrize(
    ("target", "scheme", "prefix"),
    [
        ("/b/<*>", b"", b"/b/"),
        ("https://h.example/<*>", b"https", b"/"),
        ("https://h.example/b/<*>", b"https", b"/b/"),
        ("https://h<*>.example/b/<*>", b"https", b"/b/"),
        ("http://h.example/b", b"http", b""),
        ("https://h.example/<*>/c", b"https", b""),
        ("https://h.example/b<*>?x=<*>", b"https", b"/b"),
    ],
)
def test_a_target_knows_what_is_in_front_of_the_rest(target, scheme, prefix):
    """Paths of an origin and of the site differ by that much; else they have nothing in common."""
    template = compile_target(target, compile_source("/a/<*>"))

    assert (template.scheme, template.prefix) == (scheme, prefix)


def test_a_whole_site_behind_a_domain_begins_at_its_path():
    """Path and query of the request are put behind such a target."""
    source = compile_source("https://www.example")

    assert compile_target("https://h.example/b", source).prefix == b"/b"
    assert compile_target("https://h.example", source).prefix == b"/"
