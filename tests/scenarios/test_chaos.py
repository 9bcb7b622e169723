"""A few rounds of `bench/chaos.py`, always the same ones; hundreds are run by hand."""

from __future__ import annotations

from tests.support_chaos import Chaos


def test_a_few_rounds_of_kill_9(tmp_path):
    """Whatever dies in the middle of whatever: `Chaos.check` says what has to hold."""
    chaos = Chaos(tmp_path / "node", seed=3)
    try:
        chaos.start()
        for _ in range(5):
            chaos.round()
        assert chaos.end() == []
    finally:
        chaos.node.kill_all()
