"""What all workers have counted, those that are gone too."""

from __future__ import annotations

import msgspec
import pytest

from edge.control.totals import CLASSES, DOWN, SECONDS, UP, Totals
from edge.node.counters import Counters


class Worker:
    """The numbers of a worker, as it tells them."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.is_draining = False

    def answer(self, status: int = 200, app: str = "shop", verdict: str = "hit") -> None:
        """One more."""
        tally = self.counters.tally(app, "main" if app else "")
        tally.classes[status // 100] += 1
        tally.bytes_down += 1000
        tally.bytes_up += 10
        tally.verdicts[verdict] += 1
        tally.time(0.25)

    def report(self) -> dict:
        """As the order `counters` is replied to."""
        told = self.counters.report() | {
            "draining": self.is_draining,
            "handshakes": {"shaken": 3},
            "log_dropped": 2,
            "spans_dropped": 5,
        }
        return msgspec.json.decode(msgspec.json.encode(told))


@pytest.fixture
def grown():
    """What is heard of, as (app, answers, hits)."""
    return []


@pytest.fixture
def hear(grown):
    """Hears it."""
    return lambda app, new, hits: grown.append((app, sum(new[CLASSES]), hits))


def test_sums_of_all_workers(hear):
    """Each worker's own, added up by name."""
    totals, one, other = Totals(), Worker(), Worker()
    for _ in range(3):
        one.answer()
    other.answer(404, verdict="miss")
    other.counters.refuse("connections")
    other.counters.count_origin("shop", "https://api.example", "2xx")
    totals.take({"a": one.report(), "b": other.report()}, hear)
    row = totals.branches["shop", "main"]

    assert row[CLASSES] == [0, 0, 3, 0, 1, 0]
    assert (row[DOWN], row[UP], row[SECONDS]) == (4000, 40, 1.0)
    assert totals.counts["verdicts"] == {("shop", "main", "hit"): 3, ("shop", "main", "miss"): 1}
    assert totals.counts["refused"][("connections",)] == 1
    assert totals.counts["origins"] == {("shop", "https://api.example", "2xx"): 1}
    assert totals.counts["handshakes"] == {("shaken",): 6}
    assert totals.counts["log"] == {(): 4}


def test_only_what_is_new_is_added(hear, grown):
    """However often a worker tells the same."""
    totals, worker = Totals(), Worker()
    worker.answer()
    for _ in range(3):
        totals.take({"a": worker.report()}, hear)
    worker.answer()
    totals.take({"a": worker.report()}, hear)

    assert totals.branches["shop", "main"][CLASSES] == [0, 0, 2, 0, 0, 0]
    assert [each for each in grown if each[1]] == [("shop", 1, 1), ("shop", 1, 1)]


def test_what_a_worker_has_told_outlives_it(hear):
    """And its successor begins at nought."""
    totals, old, new = Totals(), Worker(), Worker()
    old.answer()
    totals.take({"a": old.report()}, hear)
    new.answer()
    totals.take({"b": new.report()}, hear)

    assert totals.branches["shop", "main"][CLASSES] == [0, 0, 2, 0, 0, 0]


@pytest.mark.parametrize("is_draining", [True, False])
def test_who_ends_unasked_was_replaced(hear, is_draining):
    """One that was told to drain was not."""
    totals, worker = Totals(), Worker()
    worker.is_draining = is_draining
    totals.take({"a": worker.report()}, hear)
    totals.take({}, hear)

    assert totals.restarts == (not is_draining)


def test_the_next_process_goes_on(hear):
    """With a worker that was known before: only what is new since then is added."""
    before, after, worker = Totals(), Totals(), Worker()
    worker.answer()
    before.take({"a": worker.report(), "gone": Worker().report()}, hear)
    worker.answer()

    assert after.restore(before.encode(), {"a"})
    after.take({"a": worker.report()}, hear)
    assert after.branches["shop", "main"][CLASSES] == [0, 0, 2, 0, 0, 0]
    assert after.counts["verdicts"] == {("shop", "main", "hit"): 2}
    assert after.restarts == 1


def test_a_node_that_starts_counts_from_nought(hear):
    """What a node before has left is none of its business."""
    before, after, worker = Totals(), Totals(), Worker()
    worker.answer()
    before.take({"a": worker.report()}, hear)

    assert not after.restore(before.encode(), {"b"})
    assert after.branches == {}
