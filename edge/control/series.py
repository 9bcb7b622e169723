"""
What was counted in each of the last minutes: for alarms, and for whoever looks at the node.

Laws: the minutes of the node have no gaps, those of an app exist where it had requests. What is
kept is bounded by both; nothing here asks the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

from edge.control.totals import CLASSES, DOWN, LATENCY, UP
from edge.node.counters import LATENCY_BOUNDS

MINUTE: Final = 60
KEPT: Final = 120
"""Minutes that are kept: two hours."""


class Minute(msgspec.Struct, kw_only=True):
    """One minute, still running or over."""

    at: int
    """Its beginning, epoch seconds."""
    requests: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    classes: list[int] = msgspec.field(default_factory=lambda: [0] * 6)
    """Answers by the first digit of their status; 0: the client went before."""
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS) + 1))
    """Answers by bucket of time to first byte."""
    hits: int = 0
    """Answers of the store."""

    def grow(self, new: Sequence[float], hits: float) -> None:
        """Add what a row of `Totals` has grown by."""
        classes = [int(each) for each in new[CLASSES]]
        self.requests += sum(classes[1:])
        self.classes = [a + b for a, b in zip(self.classes, classes, strict=True)]
        pairs = zip(self.latency, new[LATENCY], strict=True)
        self.latency = [before + int(more) for before, more in pairs]
        self.bytes_down += int(new[DOWN])
        self.bytes_up += int(new[UP])
        self.hits += int(hits)


class Series:
    """The last minutes of the node and of each app."""

    def __init__(self) -> None:
        self._node: list[Minute] = []
        self._apps: dict[str, list[Minute]] = {}

    def begin(self, now: float) -> None:
        """Time is at `now`; a clock that was set back goes on in the minute that runs."""
        at = int(now) // MINUTE * MINUTE
        if self._node and at <= self._node[-1].at:
            return
        first = self._node[-1].at + MINUTE if self._node else at
        first = max(first, at - (KEPT - 1) * MINUTE)
        self._node += [Minute(at=each) for each in range(first, at + 1, MINUTE)]
        del self._node[:-KEPT]
        self._forget(self._node[0].at)

    def _forget(self, before: int) -> None:
        for app, minutes in tuple(self._apps.items()):
            kept = [each for each in minutes if each.at >= before]
            if kept:
                self._apps[app] = kept
            else:
                del self._apps[app]

    def grow(self, app: str, new: Sequence[float], hits: float) -> None:
        """Add to the minute that runs; without an app, to the node alone."""
        running = self._node[-1]
        running.grow(new, hits)
        if app:
            minutes = self._apps.setdefault(app, [])
            if not minutes or minutes[-1].at != running.at:
                minutes.append(Minute(at=running.at))
            minutes[-1].grow(new, hits)

    def minutes(self, app: str | None = None) -> list[Minute]:
        """Oldest first, the one that runs last; of an app those in which it was asked."""
        return list(self._node if app is None else self._apps.get(app, ()))


def percentile(latency: Sequence[int], share: float) -> float:
    """
    Seconds that a share (0 to 1) of the requests stay below; 0.0 without any.

    Within a bucket they are taken to lie evenly; what is over the highest bound counts as that.
    """
    total = sum(latency)
    rank = share * total
    sums = list(accumulate(latency))
    for index, upper in enumerate(LATENCY_BOUNDS):
        if total and sums[index] >= rank and latency[index]:
            lower = LATENCY_BOUNDS[index - 1] if index else 0.0
            below = sums[index] - latency[index]
            return lower + (upper - lower) * max(0.0, rank - below) / latency[index]
    return LATENCY_BOUNDS[-1] if total else 0.0
