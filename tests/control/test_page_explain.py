"""The page about one request: the whole trail, whatever is in it."""

from __future__ import annotations

from edge.control.page_explain import MAX_TRIED, explained
from tests.support_page import HOSTILE, Read

ASKED = {"url": "https://www.example.com/a", "method": "GET", "country": ""}
TRIED = {"rule": 1, "line": 3, "source": "/a", "status": "301", "matched": True, "why": "equal"}


def a_trail(text="x", **more):
    """A trail with one of everything."""
    return {
        "url": text,
        "method": "GET",
        "app": text,
        "branch": text,
        "deployment": text,
        "tried": [TRIED | {"source": text, "why": text, "status": text}],
        "passed_over": 2,
        "password": True,
        "steps": [text, text],
        "status": 301,
        "location": text,
        "file": text,
        "origins": [text],
        "headers": [text],
        "fields": [(text, text)],
        "lifetime": 600,
        "verdict": text,
        "stored": [text],
    } | more


def test_the_trail_is_told():
    """What the answer is, each step, each rule."""
    read = Read(explained("edge-1", ASKED, a_trail("shown")))
    text = " ".join(read.text.split())

    assert read.unbalanced == []
    for words in ("Step by step", "asked for first", "10 min", "matches", "2 more could not match"):
        assert words in text
    assert {"id": "url", "name": "url", "value": ASKED["url"]}.items() <= next(
        each for each in read.all("input") if each.get("id") == "url"
    ).items()


def test_hostile_text_stays_text():
    """In the question and in every part of the answer."""
    asked = {"url": HOSTILE, "method": HOSTILE, "country": HOSTILE}
    read = Read(explained(HOSTILE, asked, a_trail(HOSTILE), HOSTILE))

    assert read.all("script") == read.all("img") == []
    assert read.unbalanced == []
    assert [a for _, a in read.elements if any(k.startswith("on") for k in a)] == []
    assert read.text.count("alert(1)") > 12


def test_a_refusal_is_told_above_the_form():
    """And the question can be mended."""
    read = Read(explained("edge-1", ASKED, None, "'x' is no URL"))

    assert "'x' is no URL" in read.text
    assert [each.get("role") for each in read.all("p")].count("alert") == 1


def test_what_an_origin_decides_and_what_is_nowhere():
    """A trail may be nearly empty."""
    empty = a_trail(
        status=0, app=None, location=None, file=None, origins=[], headers=[], fields=[], tried=[],
        passed_over=0, lifetime=None, verdict="", stored=[], password=False, deployment=None,
    )  # fmt: skip
    text = Read(explained("edge-1", ASKED, empty)).text

    assert "what the origin says" in text
    assert "Rules" not in text


def test_many_rules_are_counted():
    """Not all of them shown."""
    read = Read(explained("edge-1", ASKED, a_trail(tried=[TRIED] * 300)))

    assert f"{2 + 300 - MAX_TRIED} more could not match, or are not shown" in read.text
