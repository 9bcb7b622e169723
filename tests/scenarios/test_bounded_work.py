"""What a request costs is bounded, whatever rules and fields a tenant wrote and a client sends."""

from __future__ import annotations

import json
import time

import pytest

from edge.site import expressions
from edge.site.redirects import decode_redirects
from edge.site.rule import MAX_TARGETS
from tests.support_serving import Site

AT_MOST = 0.050
"""Seconds of processor time for one request."""


@pytest.fixture
def make(tmp_path):
    """A site of these rules, its worker serving."""

    async def make(*rules, headers=""):
        site = Site(tmp_path)
        site.write_rules(*rules)
        if headers:
            site.write("customHttp.yml", headers)
        site.deploy({"index.html": "home", "404.html": "nothing", "a/404.html": "nothing in a"})
        return await site.start()

    return make


async def cost(site: Site, target: bytes) -> tuple[int, float]:
    """The status of the cheapest of three tries, and its processor time."""
    tries = []
    for _ in range(3):
        began = time.thread_time()
        answer = await site.ask(target)
        tries.append((time.thread_time() - began, answer.status))
    seconds, status = min(tries)
    return status, seconds


@pytest.mark.parametrize("status", ["301", "200", "404"])
@pytest.mark.parametrize("value", [b"a", b'"', b"%20", b"=", b"/"])
async def test_a_capture_does_not_multiply(make, status, value):
    """A target that uses it hundreds of times (16 MB and 2 s before) is refused, and soon."""
    many = "/" + "<x>" * 600
    site = await make(("/q?to=<x>", many, status), ("/p/<x>", "/x?" + "<x>" * 600, status))
    for place in (b"/q?to=", b"/p/"):
        answered, seconds = await cost(site, place + value * (8_000 // len(value)))
        assert answered in (400, 404)
        assert seconds < AT_MOST


async def test_parameters_do_not_multiply_with_rules(make):
    """Ten thousand rules that ask for one, and a query of thousands."""
    rules = [(f"/<x>?id={number}", "/new") for number in range(10_000)]
    site = await make(*rules, ("/about?last=1", "/last"))
    query = b"&".join([b"id=x"] * 1_600)

    assert await cost(site, b"/about?id=77&" + query) < (301, 2 * AT_MOST)
    status, seconds = await cost(site, b"/about?" + query)
    assert status == 404
    assert seconds < 2 * AT_MOST


CROWDS = {
    "placeholders": ([(f"/<a>-{n}<b>", "/x") for n in range(20_000)], "", b"/" + b"-" * 8_000),
    "globs": (
        [],
        "".join(
            f"- {{pattern: '**{n}{{a,b,c,d,e,f,g,h}}**', headers: [{{key: X, value: y}}]}}\n"
            for n in range(1_000)
        ),
        b"/" + b"a" * 8_000,
    ),
    "globs that almost fit": (
        [],
        "".join(
            f"- {{pattern: '**/*a{'?' * n}*a*a*a*a*a*b', headers: [{{key: X, value: y}}]}}\n"
            for n in range(1_000)
        ),
        b"/" + b"a/a" * 2_600 + b"b/b",
    ),
}


@pytest.mark.parametrize("crowd", CROWDS)
async def test_patterns_of_one_tenant_leave_the_worker_to_its_neighbours(make, crowd):
    """Whether or not they can be compared in time (seconds of it before)."""
    rules, entries, target = CROWDS[crowd]
    site = await make(*rules, headers=f"customHeaders:\n{entries}" if entries else "")

    _, seconds = await cost(site, target)
    assert seconds < 4 * AT_MOST


async def test_out_of_time_is_503_and_counted(make, monkeypatch):
    """Never "no match": a rule that refuses may be among those that were not tried."""
    rules, _, target = CROWDS["placeholders"]
    site = await make(*rules, ("/<*>", None, "403"))

    monkeypatch.setattr(expressions, "MATCHING", 0.010)  # of 370 ms
    assert (await cost(site, target))[0] == 503
    assert site.worker.status()["slow_patterns"] == 3
    monkeypatch.setattr(expressions, "MATCHING", 1.0)  # for 11 ms
    assert (await cost(site, b"/a/index.html"))[0] == 403


async def test_the_first_of_equal_parameters_counts(make):
    """Of the same key, and of the same key and value."""
    site = await make(("/a?k=2&v=<v>", "/<v>"), ("/a?k=<v>", "/k/<v>"))

    assert (await site.ask("/a?k=1&k=2&v=x&v=y")).fields["location"] == "/x"
    assert (await site.ask("/a?k=1&k=3&v=x")).fields["location"] == "/k/1"


async def test_slashes_cost_nothing(make):
    """The nearest page of what is missing is looked for where files can be, and still found."""
    site = await make()
    for path in (b"/" * 8_000, b"/a" * 4_000, b"/a/" + b"/" * 8_000):
        status, seconds = await cost(site, path)
        assert status == 404
        assert seconds < AT_MOST / 5
    assert (await site.ask(b"/a/b/c")).content == b"nothing in a"
    assert (await site.ask(b"/a" + b"/b" * 3_000)).content == b"nothing in a"


async def test_stored_responses_count_with_their_fields(make):
    """A megabyte of an operator's fields on each file is a megabyte of the cache, and more."""
    lines = "".join(f"    - {{key: X-{n}, value: '{'x' * 8_000}'}}\n" for n in range(100))
    site = await make(headers=f"customHeaders:\n- pattern: '**'\n  headers:\n{lines}")
    for _ in range(2):
        assert (await site.ask("/")).status == 200

    assert site.worker.status()["cache"]["bytes"] > 3 * 100 * 8_000


def test_targets_to_balance_over_are_some_and_not_thousands():
    """All of them are made for every request."""
    urls = [f"https://{number}.example/<*>" for number in range(MAX_TARGETS + 1)]
    for targets, is_refused in ((urls[1:], False), (urls, True)):
        rule = {"source": "/<*>", "target": targets, "status": "200"}
        _, errors, _ = decode_redirects(json.dumps([rule]), "redirects.json")
        assert bool(errors) is is_refused
