"""Alarms over any minutes: what is told does not depend on when somebody looked."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.site.alarming import Standing, survey
from edge.site.alarms import Alarm
from edge.site.decoding import decode_json
from tests.support_alarms import Minute, at

ERRORS = st.lists(st.sampled_from([None, 0, 5, 20]), min_size=3, max_size=40)
"""Of a hundred requests in each minute; None is a minute without any."""

CUTS = st.lists(st.integers(1, 40), max_size=6)


def minutes(errors):
    """One for each number."""
    return [
        Minute(at(number))
        if count is None
        else Minute(at(number), requests=100, classes=(0, 0, 100 - count, 0, 0, count))
        for number, count in enumerate(errors)
    ]


def told(alarm, series, standings):
    """What a look at minutes changes and tells."""
    return survey([alarm], standings, lambda _: series, lambda *_: 0.0)


def alarm_of(metric, lasting, period):
    """One on errors."""
    return Alarm(
        metric=metric,
        above=10.0,
        lasting=60.0 * lasting,
        period=60.0 * period,
        notify=("https://x.example",),
    )


ALARMS = st.builds(
    alarm_of,
    st.sampled_from(["errors_5xx", "errors_5xx_percent"]),
    st.integers(1, 5),
    st.integers(1, 3),
)
BEGUN = Standing(looked=at(-1), since=at(-1))


def all_at_once(alarm, errors):
    """The transitions of one look at everything."""
    return told(alarm, minutes(errors), {alarm.title: BEGUN})[1]


@given(ALARMS, ERRORS)
def test_beginnings_and_ends_take_turns(alarm, errors):
    """Nobody is told twice, in the order of time."""
    transitions = all_at_once(alarm, errors)

    expected = itertools.cycle(["firing", "ok"])
    assert all(each.state == state for each, state in zip(transitions, expected, strict=False))
    assert [each.at for each in transitions] == sorted({each.at for each in transitions})
    assert all((each.value > 10.0) == (each.state == "firing") for each in transitions)


@given(ALARMS, ERRORS, CUTS)
def test_it_does_not_matter_when_somebody_looks(alarm, errors, cuts):
    """Nor whether a process ended in between, which kept only what was told or begun."""
    series, standings, kept, transitions = minutes(errors), {alarm.title: BEGUN}, b"", []
    for count in [*sorted({*cuts}), len(series)]:
        standings, new = told(alarm, series[:count], standings)
        transitions += new
        state = {title: (each.state, each.since) for title, each in standings.items()}
        before = decode_json(kept, dict[str, Standing]) if kept else {alarm.title: BEGUN}
        if state != {title: (each.state, each.since) for title, each in before.items()}:
            kept = msgspec.json.encode(standings)
        if kept:
            standings = decode_json(kept, dict[str, Standing])

    assert transitions == all_at_once(alarm, errors)


@given(ERRORS, st.integers(1, 5))
def test_it_fires_after_so_many_bad_minutes(errors, lasting):
    """By the plainest count that there is."""
    alarm = alarm_of("errors_5xx_percent", lasting, 1)
    held, fires, expected = 0, False, []
    for number, count in list(enumerate(errors))[1:-1]:
        if count is None:
            continue
        held = held + 1 if count > 10 else 0
        if (held >= lasting and not fires) or (not held and fires):
            fires = not fires
            expected.append((at(number + 1), "firing" if fires else "ok"))

    assert [(each.at, each.state) for each in all_at_once(alarm, errors)] == expected
