"""What `bench/soak.py` says of samples: slopes, their errors and verdicts, and sums of metrics."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support import running
from tests.support_bench import slopes, watching

MINUTES = [number / 20 for number in range(400)]


def noisy(slope: float) -> list[tuple[float, float]]:
    """Samples around a line that begins at 1,000."""
    chance = random.Random(1)
    return [(at, 1_000 + slope * at + chance.gauss(0, 20)) for at in MINUTES]


def test_the_line_is_the_one_of_least_squares() -> None:
    """Three points that are on none."""
    assert slopes.fit([(0, 1), (1, 3), (2, 2)]) == pytest.approx((0.5, 1.5))


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, "flat"), (5.0, "grows"), (-5.0, "falls")])
def test_a_slope_is_told_from_noise(slope: float, verdict: str) -> None:
    """Noise alone is flat; a slope of some errors is not."""
    assert slopes.judge(noisy(slope), 0.0).verdict == verdict


def test_a_line_without_noise_grows_however_slow() -> None:
    """Unless all of its way is within what is tolerated."""
    points = [(at, at / 10) for at in MINUTES]
    assert slopes.judge(points, 0.0).verdict == "grows"
    assert slopes.judge(points, 2.0).verdict == "flat"


def test_samples_that_repeat_one_another_say_less() -> None:
    """The error of a slow wave is more than that of the same values in any order."""
    wave = [(at, float(number // 50 % 2)) for number, at in enumerate(MINUTES)]
    values = [value for _, value in wave]
    random.Random(1).shuffle(values)
    shuffled = list(zip(MINUTES, values, strict=True))
    errors = [slopes.judge(points, 0.0).error for points in (wave, shuffled)]
    assert errors[0] > 2 * errors[1]


@pytest.mark.parametrize(
    ("what", "more", "verdict"),
    [
        ("threads", watching.POOL - 0.1, "flat"),
        ("threads", watching.POOL + 1, "grows"),
        ("tasks", 0.9, "flat"),
        ("tasks", 2, "grows"),
        ("rss", 9, "flat"),
        ("rss", 11, "grows"),
    ],
)
def test_what_may_change(what: str, more: float, verdict: str) -> None:
    """Threads by a pool that fills, tasks by one, memory by a hundredth of its mean."""
    points = [(at, 1_000 + more * (at / MINUTES[-1] - 0.5)) for at in MINUTES]
    assert watching.judge((what, "worker 1"), points).verdict == verdict


def test_a_sample_is_of_every_process(tmp_path: Path) -> None:
    """What each holds; and where nobody answers any more, the last one and a fault."""
    with running(tmp_path, 1) as node:
        watch = watching.Watch(node)
        values = watch.look()
        for name in ("control", "worker 1"):
            assert all(values[what, name] > 0 for what in ("rss", "fds", "threads", "tasks"))
        assert values["processes", "node"] == 3
        node.kill_all()
        again = watch.look()

    assert (again, len(watch.samples), watch.faults.total()) == (values, 1, 1)


def test_a_metric_is_the_sum_of_its_lines() -> None:
    """Whatever their labels, and no other metric that begins alike."""
    text = 'a{l="x"} 2\na{l="y"} 3.5\na_total 9\n# TYPE a gauge\nb 7\n'
    assert [watching.metric(text, name) for name in ("a", "b", "c")] == [5.5, 7.0, 0.0]
