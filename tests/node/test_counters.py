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
