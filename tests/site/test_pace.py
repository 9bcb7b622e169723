"""How fast one authority may be asked for certificates."""

from __future__ import annotations

import pytest

from edge.site import pace
from edge.site.pace import Pace

NOW = 1_800_000_000.0


def test_orders_are_bounded_in_any_period() -> None:
    """250 at once, then one every 43 seconds."""
    made = Pace()
    count = 0
    while pace.ready_at(made, NOW) <= NOW:
        made = pace.spent(made, NOW)
        count += 1

    assert count == pace.ORDERS
    assert pace.ready_at(made, NOW) == pytest.approx(NOW + 43.2)
    assert pace.ready_at(made, NOW + 43.3) <= NOW + 43.3
    assert pace.ready_at(pace.spent(made, NOW + 43.2), NOW + 43.2) == pytest.approx(NOW + 86.4)


def test_orders_that_are_on_their_way_count() -> None:
    """Those that have not been made yet."""
    made = Pace(tokens=3.0, at=NOW)

    assert pace.ready_at(made, NOW, ahead=2) == 0
    assert pace.ready_at(made, NOW, ahead=3) == pytest.approx(NOW + 43.2)


def test_no_more_is_saved_up_than_a_period_has() -> None:
    """A year without orders allows no more at once."""
    made = pace.spent(Pace(), NOW)

    assert pace.spent(made, NOW + 1e8).tokens == pace.ORDERS - 1


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    """And takes nothing."""
    made = pace.spent(pace.spent(Pace(), NOW), NOW - 1_000)

    assert made.tokens == pace.ORDERS - 2


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(30.0, 30.0), (None, 3_600.0), (0.0, 1.0), (-5.0, 1.0)]
)
def test_who_is_told_to_stop_stops(retry_after: float | None, wait: float) -> None:
    """As long as it was said, else an hour."""
    made = pace.blocked(Pace(), retry_after, "too many new orders", NOW)

    assert pace.ready_at(made, NOW) == NOW + wait
    assert made.reason == "too many new orders"
    assert pace.ready_at(pace.unblocked(made), NOW) == 0


def test_a_shorter_word_does_not_end_a_longer_one() -> None:
    """Both hold."""
    made = pace.blocked(Pace(), 500.0, "a", NOW)

    assert pace.blocked(made, 10.0, "b", NOW).blocked_until == NOW + 500


def test_an_authority_that_is_down_is_left_alone() -> None:
    """A quarter of an hour after five failures in a row; a success between them begins anew."""
    made = Pace()
    for _ in range(4):
        made = pace.broke(made, "503", NOW)
    assert pace.ready_at(made, NOW) == 0
    assert pace.ready_at(pace.broke(pace.worked(made), "503", NOW), NOW) == 0

    made = pace.broke(made, "503", NOW)

    assert pace.ready_at(made, NOW) == NOW + pace.BREAK
    assert made.failures == 0
