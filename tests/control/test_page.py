"""The page: everything is on it, nothing gets out of its place, strangers learn nothing."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

import edge
from edge.control import page
from edge.control.overview import Traffic
from tests.support_page import HOSTILE, NOW, Read, a_worker, an_alarm, an_overview, minutes

KNOWN = {
    *("html", "head", "meta", "title", "link", "style", "body", "a", "header", "nav", "main"),
    *("div", "span", "p", "h1", "h2", "h3", "ul", "li", "dl", "dt", "dd", "section", "small", "b"),
    *("figure", "figcaption", "i", "svg", "desc", "path", "details", "summary", "bdi", "code"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "time"),
    *("form", "label", "input", "select", "option", "button"),
}


def every_value_hostile(value: Any) -> Any:
    """The same, with every text that is no word of ours replaced."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, list):
        return [every_value_hostile(each) for each in value]
    if isinstance(value, dict):
        ours = {"state", "metric"}
        return {k: v if k in ours else every_value_hostile(v) for k, v in value.items()}
    if isinstance(value, msgspec.Struct) and not isinstance(value, Traffic):
        changed = {
            name: every_value_hostile(getattr(value, name)) for name in value.__struct_fields__
        }
        if "result" in changed:
            changed["result"] = value.result
        return type(value)(**changed)
    return value


@pytest.mark.parametrize("app", [None, "shop"])
def test_hostile_names_stay_text(app):
    """Every name, message, path, reason and address: no element, no attribute of theirs."""
    overview = every_value_hostile(an_overview(app=app, scope=None))
    read = Read(page.status(overview))

    assert {name for name, _ in read.elements} <= KNOWN
    assert read.unbalanced == []
    assert read.open == []
    assert [a for _, a in read.elements if any(k.startswith(("on", "style")) for k in a)] == []
    addresses = {each[k] for _, each in read.elements for k in ("href", "action") if k in each}
    assert [each for each in addresses if not each.startswith(("/", "#", "data:image/svg"))] == []
    assert read.text.count(HOSTILE.replace("\x00", "\ufffd")) > 10


def test_everything_is_on_it():
    """In the README's words."""
    read = Read(page.status(an_overview()))
    text = " ".join(read.text.split())

    for words in (
        "Requests a minute",
        "Errors a minute",
        "Cache hit ratio",
        "Time to first byte",
        "p99",
        "Alarms",
        "Apps",
        "Branches",
        "Recent deployments",
        "Certificates",
        "in 60 days",
        "Workers",
        "Explain",
        "generation 7",
        "20260101-000000-aaaaaa",
    ):
        assert words in text
    assert read.unbalanced == []


def test_it_is_small():
    """A usual node's fits into 30 KiB; one with everything at most into 100."""
    assert len(page.status(an_overview()).encode()) < 30 * 1024
    many = an_overview()
    for name in ("apps", "branches", "certificates"):
        setattr(many, name, getattr(many, name) * 50)

    assert len(page.status(many).encode()) < 100 * 1024


def test_labels_and_headings_are_there_for_who_hears_it():
    """Each input has a label, ids are one each, and the language is known."""
    read = Read(page.status(an_overview()))
    ids = [each["id"] for _, each in read.elements if "id" in each]
    labels = {each["for"] for each in read.all("label")}
    fields = [each for kind in ("input", "select") for each in read.all(kind)]

    assert sorted(ids) == sorted(set(ids))
    assert [each for each in fields if each.get("id") not in labels] == []
    assert read.all("html") == [{"lang": "en"}]
    anchors = {each["href"][1:] for each in read.all("a") if each["href"].startswith("#")}
    assert anchors <= set(ids)


def test_nothing_is_loaded_and_nothing_runs():
    """No script, no address of another origin but those that somebody clicks on."""
    read = Read(page.status(an_overview()))

    assert read.all("script") == read.all("img") == read.all("iframe") == []
    assert [each["rel"] for each in read.all("link")] == ["icon"]
    assert [each["action"] for each in read.all("form")] == ["/logout", "/", "/explain"]


def test_strangers_learn_nothing():
    """A form for the token; neither the node's name nor a version."""
    login = page.login()
    read = Read(login)

    assert [each["name"] for each in read.all("input")] == ["username", "token"]
    assert read.all("form")[0] == {"method": "post", "action": "/login", "class": "card"}
    assert " ".join(read.text.split()) == "EdgeEdgeTokenLog in"
    assert getattr(edge, "__version__", "0.1.0") not in re.sub(
        r"<style>.*</style>", "", login, flags=re.DOTALL
    )


def test_a_refusal_is_told_at_the_form():
    """As text."""
    read = Read(page.login(HOSTILE))

    assert [each["role"] for each in read.all("p")] == ["alert"]
    assert {name for name, _ in read.elements} <= KNOWN


def test_it_refreshes_on_request():
    """Never by itself: who reads with a screen reader would begin anew each time."""
    plain, live = page.status(an_overview()), page.status(an_overview(), is_refreshing=True)

    assert "http-equiv" not in plain
    assert {"http-equiv": "refresh", "content": "60"} in Read(live).all("meta")
    assert {"href": "/?refresh=1&app=a%26b"} in Read(page.status(an_overview(query="a&b"))).all("a")


def test_the_first_thing_told_is_whether_somebody_is_needed():
    """By words, each with a way to more."""
    fine = Read(page.status(an_overview())).text
    bad = page.status(
        an_overview(alarms=[an_alarm(state="firing")], workers=[a_worker(generation=6)])
    )

    assert "all is well: 1 worker serves" in fine
    assert "1 alarm firing" in Read(bad).text
    assert "1 worker without generation 7" in Read(bad).text
    assert '<a href="#alarms"><span class="tag bad">1 alarm firing</span></a>' in bad


def test_a_token_of_branches_sees_no_numbers_of_the_app():
    """They are counted by app."""
    overview = an_overview(
        scope="read app shop, branch pr-*",
        traffic=None,
        alarms=None,
        workers=None,
        certificates=None,
    )
    text = Read(page.status(overview)).text

    assert "this token may read app shop, branch pr-*" in text
    assert "Requests are counted by app" in text
    assert "Workers" not in text


def test_no_traffic_is_no_fault():
    """A new node has a page, too."""
    overview = an_overview(traffic=Traffic((), NOW), apps=[], branches=[], deploys=[])
    text = Read(page.status(overview)).text

    assert "There is no app yet." in text
    assert "–" in text


def test_charts_are_of_the_minutes():
    """Sums and shares of what was counted."""
    found = Traffic(minutes(), NOW)
    requests, errors, hits, times = page.charts(found)

    assert sum(requests.rows[0].values) == sum(requests.rows[0].grouped) == found.requests
    assert errors.rows[0].told == f"{found.errors(5)}"
    assert max(hits.rows[0].values) <= 50
    assert len(times.rows[0].values) == 60
