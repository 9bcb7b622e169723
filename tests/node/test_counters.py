"""What a worker counts."""

import pytest

from edge.node.counters import REASONS, Counters


def test_refusals_are_counted_by_reason():
    """Each of its own, from nought."""
    counters = Counters()

    counters.refuse("connections")

    assert counters.report()["refused"] == dict.fromkeys(REASONS, 0) | {"connections": 1}


def test_a_reason_that_nobody_knows_is_a_mistake_of_ours():
    """The README lists them all."""
    with pytest.raises(KeyError):
        Counters().refuse("whim")


def test_only_what_has_grown_is_told_again():
    """To each who asks, by the version that it knows."""
    counters = Counters()
    for app in ("a", "b"):
        counters.tally(app, "main").classes[2] += 1
    first = counters.report()
    counters.tally("b", "main").classes[2] += 1
    second = counters.report(first["version"])

    assert [each["app"] for each in first["branches"]] == ["a", "b"]
    assert [each["app"] for each in second["branches"]] == ["b"]
    assert counters.report(second["version"])["branches"] == []
    assert [each["app"] for each in counters.report(first["version"])["branches"]] == ["b"]
    assert [each["app"] for each in counters.report()["branches"]] == ["a", "b"]


def test_origins_and_rules_are_told_likewise():
    """By their names."""
    counters = Counters()
    counters.count_origin("a", "https://x", "2xx")
    first = counters.report()
    counters.count_origin("a", "https://x", "2xx")
    counters.count_origin("a", "https://x", "dns_error")
    counters.rules["a", "key", "/old"] = 3
    second = counters.report(first["version"])

    assert first["origins"] == [["a", "https://x", "2xx", 1]]
    assert second["origins"] == [["a", "https://x", "2xx", 2], ["a", "https://x", "dns_error", 1]]
    assert second["rules"] == [["a", "key", "/old", 3]]


def test_times_are_counted_by_bucket():
    """What is at a bound is in its bucket; what is above all of them in the last."""
    tally = Counters().tally("a", "main")
    for seconds in (0.0005, 0.0006, 0.1, 31.0):
        tally.time(seconds)

    assert (tally.latency[0], tally.latency[1], tally.latency[7], tally.latency[-1]) == (1, 1, 1, 1)
    assert tally.seconds == pytest.approx(31.1011)
