"""What was counted in each of the last minutes."""

from __future__ import annotations

import pytest

from edge.control.series import KEPT, MINUTE, Series, percentile
from edge.control.totals import DOWN, LATENCY, UP, WIDTH
from edge.node.counters import LATENCY_BOUNDS

START = 1_785_000_000 // MINUTE * MINUTE


def row(answers: int, bucket: int = 0) -> list[float]:
    """Answers of 2xx, as a row of totals has grown."""
    found = [0.0] * WIDTH
    found[2], found[DOWN], found[UP] = answers, 100 * answers, answers
    found[LATENCY.start + bucket] = answers
    return found


def test_what_is_counted_is_in_the_minute_that_runs():
    """Of the app, and of the node."""
    series = Series()
    for second in (0, 1, 59, 60):
        series.begin(START + second)
        series.grow("shop", row(1), 1)
    series.grow("", row(5), 0)
    first, second = series.minutes()

    assert (first.at, first.requests, first.bytes_down, first.bytes_up) == (START, 3, 300, 3)
    assert (second.at, second.requests, second.classes) == (START + 60, 6, [0, 0, 6, 0, 0, 0])
    assert (first.hits, first.latency[0]) == (3, 3)
    assert [each.requests for each in series.minutes("shop")] == [3, 1]
    assert series.minutes("other") == []


def test_minutes_of_the_node_have_no_gaps():
    """Those of an app do."""
    series = Series()
    series.begin(START)
    series.grow("shop", row(1), 0)
    series.begin(START + 5 * MINUTE + 7)
    series.grow("shop", row(1), 0)

    assert [each.at for each in series.minutes()] == [START + n * MINUTE for n in range(6)]
    assert [each.at for each in series.minutes("shop")] == [START, START + 5 * MINUTE]


def test_what_is_old_is_forgotten():
    """Of apps that nobody asks any more, everything."""
    series = Series()
    series.begin(START)
    series.grow("shop", row(1), 0)
    series.begin(START + KEPT * MINUTE)

    assert len(series.minutes()) == KEPT
    assert series.minutes("shop") == []
    assert series._apps == {}


def test_a_long_sleep_costs_no_more_than_what_is_kept():
    """A machine that was suspended for a year."""
    series = Series()
    series.begin(START)
    series.begin(START + 10_000_000 * MINUTE)

    assert len(series.minutes()) == KEPT


def test_a_clock_that_was_set_back_changes_no_minute():
    """It goes on in the one that runs."""
    series = Series()
    series.begin(START)
    series.begin(START - 1000)
    series.grow("shop", row(1), 0)

    assert [each.at for each in series.minutes()] == [START]
    assert series.minutes("shop")[0].requests == 1


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        ({}, 0.5, 0.0),
        ({0: 10}, 0.5, 0.00025),
        ({0: 10}, 1.0, 0.0005),
        ({7: 50, 9: 50}, 0.5, 0.1),
        ({7: 50, 9: 50}, 0.99, 0.495),
        ({15: 1}, 0.5, 30.0),
        ({0: 99, 15: 1}, 0.995, 30.0),
        ({3: 4}, 0.0, 0.0025),
    ],
)
def test_percentiles(buckets, share, seconds):
    """As evenly spread in their bucket; what is over the highest bound counts as that."""
    latency = [buckets.get(index, 0) for index in range(len(LATENCY_BOUNDS) + 1)]

    assert percentile(latency, share) == pytest.approx(seconds)
