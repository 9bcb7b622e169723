"""What the page shows, as values: an hour, what is urgent, what is wrong."""

from __future__ import annotations

import pytest

from edge.control.overview import (
    HOUR,
    MAX_ROWS,
    Traffic,
    Word,
    begin_of,
    counted,
    level_of,
    requests_of,
    urgent,
    words_of,
)
from tests.support_page import NOW, a_certificate, a_worker, an_alarm, an_app, an_overview, minutes

DAY = 86_400


def test_traffic_is_of_the_last_hour():
    """Older minutes are left out, those without requests are there."""
    counted_long = minutes(count=120)
    traffic = Traffic(counted_long[::2], NOW)

    assert len(traffic.minutes) == HOUR
    assert traffic.minutes[-1].at <= NOW < traffic.minutes[-1].at + 60
    assert traffic.begins == begin_of(NOW) == traffic.minutes[0].at
    assert traffic.requests == requests_of(counted_long[60::2], 0) > 0
    assert [each.requests for each in traffic.minutes[1::2]] == [0] * 30


def test_traffic_is_summed():
    """By class, by store, by time."""
    traffic = Traffic(minutes(count=2), NOW)

    assert (traffic.requests, traffic.errors(4), traffic.hits) == (30, 4, 15)
    assert traffic.bytes_down == 150_000
    assert 0 < traffic.percentile(0.5) < traffic.percentile(0.99)
    assert Traffic((), NOW).percentile(0.5) is None


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, "ok"),
        ({"state": "expired"}, "bad"),
        ({"state": "failing"}, "bad"),
        ({"state": "stopped"}, "bad"),
        ({"state": "ordering", "not_after": None, "not_before": None}, "warn"),
        ({"state": "refused", "not_after": None, "not_before": None}, "warn"),
        ({"not_after": int(NOW) + 3 * DAY}, "warn"),
        ({"not_after": int(NOW) + 3 * DAY, "not_before": int(NOW) - 3 * DAY}, "ok"),
    ],
)
def test_certificates_are_judged(more, level):
    """Those that live a few days by design are no worry in their last week."""
    assert level_of(a_certificate(**more), NOW) == level


def test_what_is_urgent_comes_first():
    """Then what ends soonest; so many at most."""
    late = a_certificate("late", not_after=int(NOW) + 80 * DAY)
    found = urgent([late, a_certificate("soon"), a_certificate("bad", state="failing")], NOW)

    assert [each["name"] for each in found] == ["bad", "soon", "late"]
    assert len(urgent([late] * 80, NOW)) == MAX_ROWS


def test_nothing_is_told_where_all_is_well():
    """Workers that end are no fault."""
    workers = [a_worker(), a_worker(generation=6) | {"draining": True}]

    assert words_of(an_overview(workers=workers)) == []


def test_what_is_wrong_is_told():
    """In the order of what it costs."""
    overview = an_overview(
        alarms=[an_alarm(state="firing"), an_alarm(state="firing"), an_alarm(state="pending")],
        certificates=[a_certificate(state="expired")],
        mistakes=1,
        workers=[],
        apps=[an_app("shop", configured=False)],
    )

    assert words_of(overview) == [
        Word("bad", "2 alarms firing", "alarms"),
        Word("warn", "1 alarm pending", "alarms"),
        Word("bad", "1 certificate in trouble", "certificates"),
        Word("warn", "1 mistake in certificates of your own", "certificates"),
        Word("bad", "no worker answers", "workers"),
        Word("bad", "1 app without a valid configuration", "apps"),
    ]


def test_counts_are_words():
    """Singular and plural."""
    assert [counted(1, "app"), counted(2000, "app")] == ["1 app", "2,000 apps"]
    assert counted(2, "branch") == "2 branches"
