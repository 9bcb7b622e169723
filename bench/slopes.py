"""Does a row of samples grow? A line by least squares, its error, and what is said of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Point = tuple[float, float]
    """(minutes, value)."""

ERRORS = 3.0
"""
Standard errors within which a slope may be nothing: a dozen series are judged at once, and with two
every fourth run would find one among them that grows by chance.
"""

LONGEST_MEMORY = 0.9
"""The most that a sample is taken to repeat of the one before."""


@dataclass(frozen=True, slots=True)
class Trend:
    """What a row of samples does."""

    slope: float
    """A minute."""
    error: float
    """Its standard error, a minute."""
    mean: float
    minutes: float
    """From the first sample to the last."""
    verdict: str
    """`flat`, `grows` or `falls`."""


def judge(points: Sequence[Point], tolerance: float) -> Trend:
    """
    The trend of at least three samples.

    It is flat where the slope is within three standard errors, or where all of its way is within
    `tolerance` (of the value's unit): noise is not told from a slope below the first, and nobody
    minds one below the second.
    """
    slope, offset = fit(points)
    error = error_of(points, slope, offset)
    minutes = points[-1][0] - points[0][0]
    is_flat = abs(slope) <= ERRORS * error or abs(slope) * minutes <= tolerance
    verdict = "flat" if is_flat else "grows" if slope > 0 else "falls"
    return Trend(slope, error, mean([value for _, value in points]), minutes, verdict)


def fit(points: Sequence[Point]) -> Point:
    """(slope, value at 0) of the line by least squares."""
    middle = mean([at for at, _ in points])
    level = mean([value for _, value in points])
    slope = sum((at - middle) * (value - level) for at, value in points) / spread(points)
    return slope, level - slope * middle


def error_of(points: Sequence[Point], slope: float, offset: float) -> float:
    """
    The standard error of a slope.

    Samples of one process resemble the ones before them, so that they say less than as many
    independent ones: the variance is (1 + r) / (1 - r) times as large, r of the residuals.
    """
    residuals = [value - slope * at - offset for at, value in points]
    variance = sum(each * each for each in residuals) / (len(points) - 2) / spread(points)
    repeated = min(max(resemblance(residuals), 0.0), LONGEST_MEMORY)
    return math.sqrt(variance * (1 + repeated) / (1 - repeated))


def resemblance(residuals: Sequence[float]) -> float:
    """How much each is like the one before, -1 to 1 (autocorrelation at lag 1)."""
    total = sum(each * each for each in residuals)
    pairs = itertools.pairwise(residuals)
    return sum(one * other for one, other in pairs) / total if total else 0.0


def spread(points: Sequence[Point]) -> float:
    """The sum of squared distances of the times from their middle."""
    middle = mean([at for at, _ in points])
    return sum((at - middle) ** 2 for at, _ in points)


def mean(values: Sequence[float]) -> float:
    """The arithmetic one."""
    return sum(values) / len(values)
