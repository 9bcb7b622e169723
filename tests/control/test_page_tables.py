"""The tables: states are words, what is left out is counted."""

from __future__ import annotations

import pytest

from edge.control.page_tables import (
    address,
    alarms_table,
    apps_table,
    branches_table,
    certificates_table,
    deploys_table,
    measured,
    next_of,
    workers_table,
)
from tests.support_page import NOW, Read, a_certificate, a_worker, an_alarm, an_app, an_overview


def text_of(html):
    """What it says."""
    return " ".join(Read(html.replace("<", " <")).text.split())


def test_alarms_that_fire_come_first():
    """With the value in the unit of its metric."""
    calm = an_alarm("calm", metric="latency_p99", value=0.041, app=None)
    text = text_of(alarms_table(an_overview(alarms=[calm, an_alarm("loud", "firing")])))

    assert text.index("loud") < text.index("calm")
    assert "firing shop" in text
    assert "all errors_5xx above 10 for 5m 41 ms" in text


@pytest.mark.parametrize(
    ("metric", "amount", "text"),
    [
        ("latency_p50", 1.5, "1.5 s"),
        ("bytes_downloaded", 2048, "2.0 KiB"),
        ("errors_5xx_percent", 3.21, "3.21 %"),
        ("requests", 1234, "1,234"),
    ],
)
def test_values_have_units(metric, amount, text):
    """Those of the README."""
    assert measured(metric, amount) == text


def test_apps_that_are_left_out_are_counted():
    """And the way to them is told."""
    overview = an_overview(apps=[an_app("shop"), an_app("blog", configured=False)], app_count=1000)
    html = apps_table(overview)

    assert "2 of 1,000 apps: those with most requests." in text_of(html)
    assert "no valid configuration" in text_of(html)
    assert {"href": "/?app=shop"} in Read(html).all("a")


def test_a_search_without_a_find_says_so():
    """With what was looked for."""
    assert text_of(apps_table(an_overview(apps=[], query="<x>"))) == "No app is called '<x>'."


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "//evil.example", ""])
def test_only_web_addresses_are_links(url):
    """Whatever came into the state folder."""
    assert address(url) == "–"


def test_branches_and_deployments():
    """Where each answers, and what became of each."""
    html = branches_table(an_overview(branch_count=9))

    assert "1 of 9 branches" in text_of(html)
    assert "failed" in text_of(deploys_table(an_overview()))
    assert "edge deploy" in text_of(branches_table(an_overview(branches=[])))
    assert text_of(deploys_table(an_overview(deploys=[]))) == "None yet."


def test_certificates_say_what_comes_next():
    """Or why nothing does."""
    expired = a_certificate("a.example", state="expired", not_after=int(NOW) - 60)
    html = certificates_table(an_overview(certificates=[expired], certificate_count=80))

    assert "expired 1 min ago" in text_of(html)
    assert "in 30 days , two thirds" in text_of(html)
    assert "1 of 80 names: the most urgent." in text_of(html)
    assert "stopped by hand" in next_of(None, "stopped by hand", NOW)
    assert next_of(None, "", NOW) == "–"
    assert "listen.https" in certificates_table(an_overview(certificates=[]))


def test_workers_say_what_they_serve():
    """One that is ending, or has not loaded what serves, is told apart."""
    workers = [a_worker(1), a_worker(2, generation=6), a_worker(3) | {"draining": True}]
    text = text_of(workers_table(an_overview(workers=workers)))

    assert "1 serves 7 12 926 1 5.0 MiB of 128.0 MiB" in text
    assert "2 loading" in text
    assert "3 ending" in text
    assert text_of(workers_table(an_overview(workers=[]))) == "No worker answers."
