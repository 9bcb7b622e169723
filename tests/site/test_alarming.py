"""When an alarm fires and when it is over, minute by minute."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from edge.site.alarming import Standing, advance, covers, due, measure, survey
from edge.site.alarms import Alarm

START = 1_800_000_000 // 60 * 60


class Minute(NamedTuple):
    """As the series has them."""

    at: int
    requests: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    classes: tuple = (0,) * 6
    latency: tuple = (0, 0, 0)


def alarm(**more):
    """One that watches 5xx answers."""
    options = {"metric": "errors_5xx", "above": 10.0, "notify": ("https://x.example",)}
    return Alarm(**(options | more))


def at(number):
    """The beginning of a minute by its number."""
    return START + 60 * number


def percentile(latency, share):
    """The number of the bucket in which the share is reached."""
    reached = 0
    for number, count in enumerate(latency):
        reached += count
        if reached >= share * sum(latency):
            return float(number)
    raise AssertionError(latency)


def errors(*counts, first=0):
    """Minutes with so many 5xx answers of a hundred requests; None is a minute without any."""
    return [
        Minute(at(number))
        if count is None
        else Minute(at(number), requests=100, classes=(0, 0, 100 - count, 0, 0, count))
        for number, count in enumerate(counts, first)
    ]


def walk(watched, *values, standing=None, first=1):
    """(states, transitions) of an alarm over values, a minute each."""
    standing = standing or Standing(looked=at(first - 1))
    states, told = [], []
    for number, value in enumerate(values, first):
        standing, transition = advance(watched, standing, at(number), value)
        states.append(standing.state)
        told += [transition] if transition is not None else []
    return states, told


def test_it_fires_when_the_condition_has_held_for_so_many_minutes():
    """Told once, with the last value and the time since which it holds."""
    states, told = walk(alarm(lasting=180.0), 10.0, 11.0, 12.0, 13.0, 14.0)

    assert states == ["ok", "pending", "pending", "firing", "firing"]
    assert [(each.state, each.value, each.since, each.at) for each in told] == [
        ("firing", 13.0, at(2), at(5))
    ]


def test_it_is_over_with_the_first_good_minute():
    """Told once, with the time since which it had held; the next one is another."""
    states, told = walk(alarm(), 11.0, 10.0, 9.0, 12.0, 0.0)

    assert states == ["firing", "ok", "ok", "firing", "ok"]
    assert [(each.state, each.since) for each in told] == [
        ("firing", at(1)),
        ("ok", at(1)),
        ("firing", at(4)),
        ("ok", at(4)),
    ]


def test_a_good_minute_begins_the_count_anew():
    """Nobody is told of what did not hold for long enough."""
    states, told = walk(alarm(lasting=120.0), 11.0, 0.0, 11.0, 0.0)

    assert states == ["pending", "ok", "pending", "ok"]
    assert told == []


def test_below_is_the_other_side():
    """The threshold itself is no alarm."""
    states, _ = walk(alarm(above=None, below=5.0), 5.0, 4.9)

    assert states == ["ok", "firing"]


def test_a_minute_that_says_nothing_changes_nothing():
    """Neither counts nor ends it; the value is the last one that there was."""
    states, told = walk(alarm(lasting=120.0), 11.0, None, 11.0, None, 0.0)

    assert states == ["pending", "pending", "firing", "firing", "ok"]
    assert [each.state for each in told] == ["firing", "ok"]


def test_minutes_that_nobody_saw_begin_the_count_anew():
    """But what fires goes on."""
    pending = Standing(state="pending", held=4, since=at(1), looked=at(4), value=20.0)
    firing = Standing(state="firing", held=9, since=at(1), looked=at(9), value=20.0)
    watched = alarm(lasting=300.0)

    later, _ = advance(watched, pending, at(100), 30.0)
    on, told = advance(watched, firing, at(100), 30.0)

    assert (later.state, later.held, later.since) == ("pending", 1, at(100))
    assert (on.state, on.since, told) == ("firing", at(1), None)


def test_since_when_all_is_well():
    """From the first minute that was looked at, or that of its end."""
    fresh, _ = advance(alarm(), Standing(), at(1), 0.0)
    later, _ = advance(alarm(), fresh, at(2), 0.0)
    fired, _ = advance(alarm(), later, at(3), 20.0)
    over, _ = advance(alarm(), fired, at(4), 0.0)

    assert [each.since for each in (fresh, later, fired, over)] == [at(1), at(1), at(3), at(4)]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("requests", 12.0),
        ("bytes_downloaded", 3000.0),
        ("bytes_uploaded", 30.0),
        ("errors_4xx", 3.0),
        ("errors_5xx", 6.0),
        ("errors_4xx_percent", 25.0),
        ("errors_5xx_percent", 50.0),
        ("latency_p50", 0.0),
        ("latency_p95", 1.0),
        ("latency_p100", 2.0),
        ("requests_of_tomorrow", None),
    ],
)
def test_what_a_metric_is_over_two_minutes(metric, value):
    """Sums, shares of all requests, and percentiles of both together."""
    one = Minute(at(0), 4, 1000, 10, (0, 0, 3, 0, 1, 0), (4, 0, 0))
    two = Minute(at(1), 8, 2000, 20, (0, 0, 0, 0, 2, 6), (14, 1, 1))

    assert measure(metric, [one, two], percentile) == value


@pytest.mark.parametrize("minutes", [[], [Minute(at(0))]], ids=["none", "idle"])
def test_without_requests_there_are_counts_and_nothing_else(minutes):
    """No request has no latency, and no share of errors."""
    found = {
        metric: measure(metric, minutes, percentile)
        for metric in ("requests", "errors_5xx", "errors_5xx_percent", "latency_p95")
    }

    assert found == {
        "requests": 0.0,
        "errors_5xx": 0.0,
        "errors_5xx_percent": None,
        "latency_p95": None,
    }


def test_which_minutes_are_due():
    """Each once; the last one alone for what is new, and where the clock was set back."""
    whole = [at(1), at(2), at(3)]

    assert due(Standing(looked=at(1)), whole) == [at(2), at(3)]
    assert due(Standing(looked=at(3)), whole) == []
    assert due(Standing(), whole) == [at(3)]
    assert due(Standing(looked=at(9)), whole) == [at(3)]
    assert due(Standing(), []) == []
    assert due(Standing(looked=at(9)), []) == []


def test_a_period_has_to_be_seen_whole():
    """What was not counted is not zero."""
    whole = [at(1), at(2), at(4), at(5)]

    assert covers(whole, at(2), 120.0)
    assert not covers(whole, at(1), 120.0)
    assert not covers(whole, at(4), 120.0)
    assert covers(whole, at(5), 120.0)


def run(alarms, *series, standings=None, app=()):
    """The survey of a node's minutes, and those of every app."""
    minutes = {None: series[0]}
    return survey(alarms, standings or {}, lambda name: minutes.get(name, app), percentile)


def test_the_first_and_the_running_minute_are_not_looked_at():
    """Counting began in one, and the other is not over."""
    found, told = run([alarm()], errors(99, 0, 99))
    (standing,) = found.values()

    assert (standing.state, standing.looked, standing.value) == ("ok", at(1), 0.0)
    assert told == []
    assert run([alarm()], errors(99, 99)) == ({alarm().title: Standing()}, [])
    assert run([alarm()], []) == ({alarm().title: Standing()}, [])


def test_every_minute_since_the_last_look_counts():
    """A look that came late tells what happened meanwhile, in order."""
    watched = alarm()
    standings = {watched.title: Standing(looked=at(0), since=at(0))}
    found, told = run([watched], errors(0, 20, 30, 0, 40, 0, 0), standings=standings)

    assert [(each.state, each.at) for each in told] == [
        ("firing", at(2)),
        ("ok", at(4)),
        ("firing", at(5)),
        ("ok", at(6)),
    ]
    assert run([watched], errors(0, 20, 30, 0, 40, 0, 0), standings=found) == (found, [])


def test_an_app_without_a_minute_had_no_requests():
    """As long as the node counted."""
    quiet = alarm(app="shop", metric="requests", above=None, below=1.0)
    _, told = run([quiet], errors(1, 1, 1), app=errors(0, first=2))

    assert [(each.state, each.value) for each in told] == [("firing", 0.0)]


def test_a_period_adds_its_minutes_up():
    """And waits until there are so many."""
    slow = alarm(period=180.0, above=25.0)
    standings = {slow.title: Standing(looked=at(0))}
    found, told = run([slow], errors(0, 10, 10, 10, 0, 0), standings=standings)

    assert [(each.state, each.value, each.at) for each in told] == [
        ("firing", 30.0, at(4)),
        ("ok", 20.0, at(5)),
    ]
    assert found[slow.title].value == 20.0


def test_what_is_no_longer_watched_is_forgotten():
    """Its standing too."""
    watched = alarm()
    found, told = run([watched], errors(0, 0, 0), standings={"another": Standing(state="firing")})

    assert list(found) == [watched.title]
    assert told == []
