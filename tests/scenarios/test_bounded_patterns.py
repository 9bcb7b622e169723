"""Other people's patterns: evil ones, on long paths, in a worker that has neighbours to serve."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import regex

from edge.site import rule as rules
from edge.site.expressions import LIMIT, SHORT
from edge.site.redirects import decode_redirects
from tests.support_serving import Site

AT_MOST = 0.050
"""Seconds of processor time for one request: ten times what its patterns may take."""

LONG = 8_000
WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 1500)))

EVIL = {
    "nested": (r"^/(a+)+$", "a", "!", False),
    "alternatives": (r"^/(a|aa)+$", "a", "!", False),
    "same": (r"^/(a|a)*$", "a", "!", False),
    "anything": (r"^/(.*)*[xy]$", "a", "", False),
    "words": (r"^/([a-z]+)*[0-9]$", "abc", "", False),
    "empty": (r"^/(a*)*[bc]", "a", "", False),
    "deep": (r"^/((((a*)*)*)*)*[bc]", "a", "", False),
    "optional": (r"^/(?:a?){40}a{40}.*\d$", "a", "!", False),
    "lookahead": (r"^/(?=(a+)+[.!]$)b", "a", ".", False),
    "lookbehind": (r"(?<=(a+)+[bc])c", "a", "c", False),
    "negative": (r"^/(?!(a|aa)+$)[b-z]", "a", "!", False),
    "commas": (r"^/(?:.*,){12}[xy]", "1,", "", False),
    "dots": (r"[ab].*[bc].*[cd].*[de].*[ef].*[!~]", "abcdefg", "", False),
    "quadratic": (r"a*[bc]", "a", "", False),
    "e-mail": (r"^/([a-z0-9])(([\-.]|[_]+)?([a-z0-9]+))*@[a-z0-9]+[.][a-z]+$", "a", "@", False),
    "reference": (r"^/(a*)*\1\1[bc]", "a", "", False),
    "left-recursion": (r"(?R)a|[bc]", "a", "", False),
    "recursion": (r"^/(a?(?1)?)*[bc]", "ab", "a", True),
    "fuzzy": (r"(?:abcdefghij){e<=8}[yz]", "abcdefg", "", False),
    "fuzzy-long": ("(?:" + "ab" * 200 + "){e<=100}", "a", "", False),
    "counted": (r"^/(?:a{1,1000}){1,1000}[bc]", "a", "", False),
    "counted-deep": (r"^/(?:(?:a{1,30}){1,30}){1,30}[bc]$", "a", "", False),
    "wide": (f"(?i)[{WIDE}]*[^{WIDE}]*[xyz]", "a", "", False),
    "condition": (r"^/(a)?(?(1)a*a*a*a*[bc]|d)", "a", "", False),
    "lazy": (r"^/(.*?,){30}[xy]", "1,", "", False),
    "captures": (r"^/(?:(.)|(.))*[!~]$", "ab", "", False),
    "second": (r"^/(a+)+[bc]$|!$", "a", "!", True),
    "third": (r"^/(a|aa)+[bc]$|^/(.*)*[xy]$|[^b]$", "a", "!", True),
}
"""Pattern, what its path repeats, what it ends with, and whether that matches indeed."""


def evil_path(name: str, length: int) -> str:
    """The path of a pattern, about so long."""
    _, unit, end, _ = EVIL[name]
    return "/" + unit * (length // len(unit)) + end


async def timed(site: Site, path: str, host: str):
    """An answer, and the processor time that it took."""
    begin = time.thread_time()
    answer = await site.ask(path, host=host)
    return answer, time.thread_time() - begin


def host_of(app: str) -> str:
    """Where an app is."""
    return f"main.{app}.edge.localhost"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A worker with an app of these rules and a calm neighbour; nobody refuses slow patterns."""
    monkeypatch.setattr(rules, "is_slow", lambda _: None)

    async def make(*written):
        site = Site(tmp_path)
        site.write_rules(*written, app="evil")
        site.configure("", "evil")
        site.write_rules((r"</^/old/(\d+)$/>", "/new/$1"), app="calm")
        site.configure("", "calm")
        for app in ("evil", "calm"):
            site.deploy({"index.html": app}, app=app)
        return await site.start()

    return make


@pytest.mark.parametrize("name", EVIL)
async def test_an_evil_pattern_takes_its_time_and_no_more(make, name):
    """503 or the truth, for a 403 that must not be skipped; a neighbour is served as ever."""
    pattern, *_, is_match = EVIL[name]
    site = await make((f"</{pattern}/>", "", "403"))
    for length in (10, 100, 1000, LONG):
        path = evil_path(name, length)
        for _ in range(2):
            answer, seconds = await timed(site, path, host_of("evil"))
            assert seconds < AT_MOST
            assert answer.status in (403 if is_match else 404, 503)

            answer, seconds = await timed(site, "/old/7", host_of("calm"))
            assert (answer.status, answer.fields.get("location")) == (301, "/new/7")
            assert seconds < AT_MOST


@pytest.mark.parametrize("name", EVIL)
def test_what_is_slow_on_an_ordinary_path_is_refused(name):
    """`check` and `deploy` say so, where the pattern hangs on a path of 256 characters."""
    pattern = EVIL[name][0]
    rule = {"source": f"</{pattern}/>", "target": "/x"}
    _, errors, _ = decode_redirects(json.dumps([rule]), "redirects.json")

    assert bool(errors) >= hangs(pattern, evil_path(name, SHORT - 1))


def hangs(pattern: str, path: str) -> bool:
    """Whether it takes far longer than it may."""
    try:
        regex.search(pattern, path, timeout=4 * LIMIT)
    except TimeoutError:
        return True
    return False


async def test_ten_thousand_patterns_share_the_time_of_one_request(make):
    """However many they are, and whichever of them is slow: 503 or the first that matches."""
    others = [(rf"</^/(?:a|b{number})+[cd]$/>", "", "403") for number in range(5_000)]
    quick = [(rf"</{number}[a-z]$/>", f"/{number}") for number in range(5_000)]
    site = await make(("</^/first/>", "/one"), *others, *quick, (r"</^/last/[xy]$/>", "/two"))
    for path in ("/a", "/77x", "/last/x", "/" + "a" * LONG, "/nowhere", "/4999z"):
        answer, seconds = await timed(site, path, host_of("evil"))
        assert seconds < AT_MOST
        assert answer.status == 503
        assert site.worker.status()["slow_patterns"] > 0

        answer, seconds = await timed(site, "/old/7", host_of("calm"))
        assert answer.status == 301
        assert seconds < AT_MOST
    answer, seconds = await timed(site, "/first", host_of("evil"))
    assert (answer.status, answer.fields["location"]) == (301, "/one")
    assert seconds < AT_MOST


async def test_patterns_that_are_slow_to_compile_stall_nobody(make):
    """A worker that loads them looks at its sockets after each."""
    site = await make(("/old", "/new"))
    folded = "".join(map(chr, range(0x4E00, 0x4E00 + 1900)))
    rules = [(f"</(?if)^/[{folded}]{number}/>", "/x") for number in range(16)]
    site.write_rules(*rules, app="evil")
    site.changes.reload()
    stalls = []

    async def watch() -> None:
        while True:
            begin = time.thread_time()
            await asyncio.sleep(0)
            stalls.append(time.thread_time() - begin)

    watcher = asyncio.ensure_future(watch())
    await site.follow()
    watcher.cancel()

    assert len(stalls) >= len(rules)
    assert max(stalls) < 4 * AT_MOST
    assert (await timed(site, "/old/7", host_of("calm")))[0].status == 301


async def test_patterns_of_both_phases_share_it_too(make):
    """What is left of the time goes from the rules before files to those of what is missing."""
    slow = r"^/(?:a?){30}a{30}.*\d$"
    site = await make(
        *[(f"</{slow}/>", "", "403")] * 20, *[(f"</{slow}/>", "/index.html", "404")] * 20
    )
    answer, seconds = await timed(site, "/" + "a" * LONG, host_of("evil"))
    assert (answer.status, seconds < AT_MOST) == (503, True)
