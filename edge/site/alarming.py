"""
When an alarm fires, and when it is over: one step a minute. Pure.

Laws: only whole minutes are looked at, each once, in their order. An alarm fires when its condition
has held for so many minutes in a row, and is over in the first minute in which it does not hold. A
minute that says nothing (no request has no latency, and no share of errors) changes nothing;
minutes that nobody saw (control was away) begin the count anew, and leave what fires firing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from edge.site.alarms import Alarm
from edge.site.schema import METRICS

MINUTE: Final = 60

Percentile = Callable[[Sequence[int], float], float]
"""Seconds that a share (0 to 1) of the requests stay below, of counts by bucket."""


class Minute(Protocol):
    """What was counted in a minute."""

    @property
    def at(self) -> int:
        """Its beginning, epoch seconds."""

    @property
    def requests(self) -> int:
        """Answered."""

    @property
    def bytes_down(self) -> int:
        """Sent to clients."""

    @property
    def bytes_up(self) -> int:
        """Received from clients."""

    @property
    def classes(self) -> Sequence[int]:
        """Answers by the first digit of their status."""

    @property
    def latency(self) -> Sequence[int]:
        """Requests by bucket of time to first byte."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an alarm stands. Kept on the disk, so that a restart neither repeats nor forgets."""

    state: Literal["ok", "pending", "firing"] = "ok"
    since: int = 0
    """Beginning of the first minute of what is so: the condition holds, or does not."""
    held: int = 0
    """Minutes in a row in which the condition held."""
    looked: int = 0
    """Beginning of the last minute that was looked at."""
    value: float | None = None
    """The last one that there was."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is told: an alarm fires, or is over."""

    alarm: Alarm
    state: Literal["firing", "ok"]
    value: float
    since: int
    """When the condition began to hold."""
    at: int
    """End of the minute that decided."""


def survey(
    alarms: Iterable[Alarm],
    standings: Mapping[str, Standing],
    minutes: Callable[[str | None], Sequence[Minute]],
    percentile: Percentile,
) -> tuple[dict[str, Standing], list[Transition]]:
    """
    How every alarm stands by its title, and what has changed.

    `minutes` are those of an app, or of the node, oldest first; of the node there are all since
    counting began. The last one still runs, and counting may have begun within the first one.
    """
    whole = [each.at for each in minutes(None)[1:-1]]
    found, transitions = {}, []
    for alarm in alarms:
        standing = standings.get(alarm.title, Standing())
        steps = due(standing, whole)
        counted = {each.at: each for each in minutes(alarm.app)} if steps else {}
        for at in steps:
            value = None
            if covers(whole, at, alarm.period):
                window = range(at + MINUTE - int(alarm.period), at + MINUTE, MINUTE)
                these = [counted[each] for each in window if each in counted]
                value = measure(alarm.metric, these, percentile)
            standing, transition = advance(alarm, standing, at, value)
            transitions += [transition] if transition is not None else []
        found[alarm.title] = standing
    return found, transitions


def due(standing: Standing, whole: Sequence[int]) -> Sequence[int]:
    """
    The minutes to look at.

    For a new alarm it is the last one; so it is where the clock was set back.
    """
    if not standing.looked or (whole and whole[-1] < standing.looked):
        return whole[-1:]
    return [at for at in whole if at > standing.looked]


def covers(whole: Sequence[int], at: int, period: float) -> bool:
    """Whether every minute of the period that ends with `at` was seen."""
    seen = [each for each in whole if at - period < each <= at]
    return len(seen) * MINUTE == period


def measure(metric: str, minutes: Sequence[Minute], percentile: Percentile) -> float | None:
    """The value of a metric over some minutes; None where they have none."""
    if metric not in METRICS:
        return None  # written by a newer program
    requests = sum(each.requests for each in minutes)
    match metric.split("_"):
        case ["requests"]:
            return float(requests)
        case ["bytes", "downloaded"]:
            return float(sum(each.bytes_down for each in minutes))
        case ["bytes", "uploaded"]:
            return float(sum(each.bytes_up for each in minutes))
        case ["errors", kind, *percent]:
            errors = sum(each.classes[int(kind[0])] for each in minutes)
            if not percent:
                return float(errors)
            return 100.0 * errors / requests if requests else None
    buckets = [sum(each) for each in zip(*(each.latency for each in minutes), strict=True)]
    share = int(metric.removeprefix("latency_p")) / 100
    return percentile(buckets, share) if any(buckets) else None


def advance(
    alarm: Alarm, before: Standing, at: int, value: float | None
) -> tuple[Standing, Transition | None]:
    """One minute further: how the alarm stands then, and what somebody is told."""
    if value is None:
        return msgspec.structs.replace(before, looked=at), None
    if not holds(alarm, value):
        return _calm(alarm, before, at, value)
    in_a_row = before.state == "firing" or at - before.looked == MINUTE
    is_new = before.state == "ok" or not in_a_row
    held = 1 if is_new else before.held + 1
    since = at if is_new else before.since
    fires = before.state == "firing" or held * MINUTE >= alarm.lasting
    after = Standing(
        state="firing" if fires else "pending", since=since, held=held, looked=at, value=value
    )
    if not fires or before.state == "firing":
        return after, None
    told = Transition(alarm=alarm, state="firing", value=value, since=since, at=at + MINUTE)
    return after, told


def _calm(
    alarm: Alarm, before: Standing, at: int, value: float
) -> tuple[Standing, Transition | None]:
    """The condition does not hold."""
    since = before.since if before.state == "ok" and before.looked else at
    after = Standing(since=since, looked=at, value=value)
    if before.state != "firing":
        return after, None
    told = Transition(alarm=alarm, state="ok", value=value, since=before.since, at=at + MINUTE)
    return after, told


def holds(alarm: Alarm, value: float) -> bool:
    """Whether a value is beyond the threshold."""
    return value > alarm.threshold if alarm.above is not None else value < alarm.threshold
