"""Sample requests, decided in two worlds."""

from __future__ import annotations

import time

import pytest

from edge.control import consequences
from edge.control.consequences import (
    Radius,
    Verdict,
    decide,
    measure,
    pages_of,
    samples_of,
    samples_of_rule,
    split,
)
from edge.control.rehearsals import inline
from edge.site.hosts import HostClaim
from edge.site.rule import Example, Rule

HOST = "x.example"
FILES = ["index.html", "about.html"]
OLD = [Rule(source="/old", target="/about"), Rule(source="/us", target="/a", condition="<US>")]
NEW = [Rule(source="/first", target="/x"), Rule(source="/old", target="/about"), OLD[1]]


def world(rules, host=HOST):
    """One host with these rules."""
    return inline(rules, FILES, host)


def measured(*samples, old=OLD, new=NEW, clock=time.monotonic):
    """The radius of these samples."""
    return measure(((HOST, each) for each in samples), world(old), world(new), clock)


def test_only_what_differs_is_told():
    """With the rule that decides; a rule that only moved decides the same."""
    found = measured(("/old", None), ("/first", None), ("/", None))

    assert (found.asked, found.hosts) == (3, [HOST])
    (differs,) = found.requests
    assert differs.request == f"{HOST}/first"
    assert differs.before == Verdict("404", None)
    assert differs.after == Verdict("301 /x", 0, "/first")


def test_another_rule_with_the_same_answer_is_a_difference():
    """It is what will decide when one of them changes."""
    found = measured(("/old", None), new=[Rule(source="/<*>", target="/about")])

    assert [each.after.source for each in found.requests] == ["/<*>"]


def test_countries_are_asked_for():
    """And told."""
    found = measured(("/us", "US"), ("/us", None), new=[])

    assert [each.request for each in found.requests] == [f"{HOST}/us (US)"]


def test_samples_that_name_a_host_are_asked_there():
    """A test of a rule may be a URL."""
    found = measured((f"https://{HOST}/first?a=b", None), ("https://other.example/first", None))

    assert [each.request for each in found.requests] == [f"{HOST}/first?a=b"]


def test_nothing_that_a_sample_says_raises():
    """A path that is none, a pattern that takes too long."""
    evil = Rule(source="</^/(a|aa)+$/>", target="/x")

    assert decide(world([]), HOST, b"/../..", None).answer == "400"
    assert decide(world([evil]), HOST, b"/" + b"a" * 60 + b"!", None).answer in ("404", "503")


def test_a_sample_is_asked_once(monkeypatch):
    """Of two rules with one source."""
    assert measured(("/a", None), ("/a", None)).asked == 1


def test_number_and_time_are_bounded(monkeypatch):
    """What was not asked is counted."""
    monkeypatch.setattr(consequences, "DECIDED", 2)
    assert measured(*((f"/{n}", None) for n in range(5))) == Radius([], 0, [], 2, 3)

    hours = iter(range(0, 10**6, 3600))
    late = measured(("/a", None), ("/b", None), clock=lambda: next(hours))
    assert (late.asked, late.passed_over) == (0, 2)

    monkeypatch.setattr(consequences, "LISTED", 1)
    found = measured(("/first", None), ("/first?1", None))
    assert (len(found.requests), found.unlisted) == (1, 1)


@pytest.mark.parametrize(
    ("rule", "samples"),
    [
        (Rule(source="/a/<*>"), [("/a/sample", None)]),
        (Rule(source="/a/<b>/<c>.html?id=<id>"), [("/a/sample/sample.html?id=sample", None)]),
        (Rule(source="</^/x$/>"), []),
        (Rule(source="https://b.example"), [("https://b.example", None)]),
        (Rule(source="/a", condition="<DE>, <US>"), [("/a", None), ("/a", "DE")]),
        (Rule(source="</x/>", tests=(Example(request="/t", expect="404"),)), [("/t", None)]),
    ],
)
def test_samples_of_a_rule(rule, samples):
    """What its tests ask, and an address that it is for."""
    assert list(samples_of_rule(rule)) == samples


def test_an_address_is_sent_as_clients_send_it():
    """Escaped where it must be; a URL has its own host."""
    assert split("/ä b?q=ü&x=%20", HOST) == (HOST, b"/%C3%A4%20b?q=%C3%BC&x=%20")
    assert split("https://b.example", HOST) == ("b.example", b"/")


def claim(host, label="main", kind="domain"):
    """A host of an app's branch."""
    return HostClaim(host=host, app="a", label=label, branch=label, kind=kind)


def test_each_branch_is_asked_at_its_best_host(monkeypatch):
    """Production first; what changed before what did not, files last; each branch bounded."""
    claims = [claim("a.pr", "pr"), claim("z.default", kind="default"), claim("b"), claim("a")]
    found = list(samples_of(claims, "main", lambda label: [f"/{label}"], OLD[:1], NEW))
    assert [host for host, _ in found] == ["a"] * 8 + ["a.pr"] * 8
    assert [address for _, (address, _) in found[:8]] == [
        *("/", "/no-such-page", "/old", "/first", "/old", "/us", "/us", "/main")
    ]

    monkeypatch.setattr(consequences, "SAMPLES", 3)
    monkeypatch.setattr(consequences, "BRANCHES", 1)
    assert len(list(samples_of(claims, "main", lambda _: [], OLD, NEW))) == 3


def test_pages_are_asked_for_as_people_do():
    """A folder's own page without its name."""
    assert list(pages_of(["index.html", "a/index.html", "b.html"])) == ["/", "/a/", "/b.html"]
