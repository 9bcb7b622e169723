"""Pages of one client under paths that look like files of everybody: none of them is stored."""

from __future__ import annotations

import itertools

import pytest

from tests.support_origin import Script, Talk
from tests.support_stored import PROXY, Answer, Stage, Visitor, on_scene

SUFFIXES = [
    "/x.css", ".css", "/x.js", "/x.png", "/favicon.ico", "/robots.txt", "/X.CSS", "/x.css/",
    "//x.css", "/./x.css", "/x/../x.css", "/%2e%2e/static/x.css", "/..%2fstatic/x.css", "%2fx.css",
    "%2Fx.css", "%5cx.css", ";x.css", ";/x.css", "%3bx.css", "%3b%2fx.css", "%23x.css",
    "%23/x.css", "%3fx.css", "%3f/x.css", "%00.css", "%00/x.css", "%0a.css", "%0ax.css",
    "%09x.css", "%20.css", "/x.css%20", "%252fx.css", "%253bx.css", "!x.css", "$x.css", "@x.css",
    "~x.css", "&x.css", ",x.css", ":x.css", "|x.css", "?x.css", "?/x.css", "??x.css",
    "/.well-known/x.css", "/app-1a2b3c4d.js", "%ff.css",
]  # fmt: skip
"""What is put behind the address of an account: delimiters at which servers end a path."""

PREFIXES = [
    "/static/..%2f", "/static/%2e%2e%2f", "/static/%2e%2e/", "/static/..;/", "/x.css/../",
    "/x.css%2f..%2f", "/x.css%23/..%2f", "/static/%5c..%5c", "/assets//../",
]  # fmt: skip
"""What is put in front of it: a folder of files that a server steps out of again."""

DISGUISES = [f"/account{each}" for each in SUFFIXES] + [f"{each}account" for each in PREFIXES]

FRESH = "Cache-Control: max-age=600"
SAID = {
    "nothing": [],
    "a-date": ["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", 'ETag: "a"'],
    "private": ["Cache-Control: private, max-age=600"],
    "no-store": ["Cache-Control: no-store"],
    "max-age": [FRESH],
    "public": [f"{FRESH}, public", "Content-Type: text/html"],
    "a-type": [FRESH, "Content-Type: text/css"],
    "a-cookie": [f"{FRESH}, public", "Set-Cookie: a=b"],
    "for-cdns": ["Cache-Control: private", "CDN-Cache-Control: max-age=600"],
}
"""What an origin says of every path: by `max-age` and those below it takes the page for a file."""

ANYBODYS = {"max-age", "public", "a-type", "for-cdns"}
"""Where an answer to nobody in particular is stored."""

SHARED = ("public", "password")
"""
What an origin calls public in an answer to a password is everybody's (RFC 9111 §3.5, and
`test_caching.py`); what it calls public in an answer to a cookie is not.
"""

VICTIM, ATTACKER = "203.0.113.1", "203.0.113.2"
LOGINS = {
    "cookie": "Cookie: session={who}",
    "password": "Authorization: Basic {who}",
}


class Everything(dict[str, Script]):
    """One script for every path."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def get(self, _path: str, _default: object = None) -> Script:  # type: ignore[override]
        """The script."""
        return self._script


def greet(talk: Talk) -> None:
    """Somebody's account, whatever is behind its path: who asks is in the content."""
    talk.read()
    said = talk.target.split("/")[1]
    who = [talk.fields.get(name, "-") for name in ("cookie", "authorization")]
    talk.answer(f"the account of {' '.join(who)}".encode(), 200, *SAID[said])


async def ask(visitors: list[Visitor], target: str, who: str, login: str = "") -> list[Answer]:
    """What each worker answers somebody."""
    lines = f"X-Forwarded-For: {who} | {login}"
    return [await each.ask(target, lines) for each in visitors]


@pytest.fixture(scope="module")
def stage(stage: Stage) -> Stage:
    """The node, and an origin that answers everything."""
    stage.origin.scripts = Everything(greet)
    return stage


@pytest.mark.parametrize(
    ("said", "login"), [pair for pair in itertools.product(SAID, LOGINS) if pair != SHARED]
)
async def test_nobody_gets_the_page_of_somebody(stage, said, login):
    """Whoever is led to an address first, what is stored of it has neither cookie nor password."""
    shown, stored = 0, 0
    async with on_scene(stage, "", "AB") as scene:
        visitors = await scene.pair(PROXY)
        for disguise in DISGUISES:
            target = f"/o/{said}/{login}{disguise}"
            his = await ask(visitors, target, VICTIM, LOGINS[login].format(who="victim"))
            others = await ask(visitors, target, ATTACKER)
            others += await ask(visitors, target, ATTACKER, LOGINS[login].format(who="attacker"))
            again = await ask(visitors, target, VICTIM, LOGINS[login].format(who="victim"))
            assert not [each for each in others if b"victim" in each.content], target
            assert not [each for each in his + again if b"attacker" in each.content], target
            shown += any(b"victim" in each.content for each in his)
            stored += any("hit" in (each.get("cache-status") or "") for each in others)
    assert shown > len(DISGUISES) * 0.7
    assert (stored > len(DISGUISES) * 0.7) if said in ANYBODYS else not stored
