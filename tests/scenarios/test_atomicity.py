"""A small run of `bench/atomicity.py`: its default is a million requests."""

from __future__ import annotations

from tests.support import running
from tests.support_atomicity import change_under_load


def test_no_answer_mixes_two_deployments(tmp_path):
    """Nor is one refused or cut off, and every page's asset answers."""
    with running(tmp_path) as node:
        outcome = change_under_load(node, requests=5_000, changes=40)

    assert (outcome.faults, outcome.disputed) == ({}, 0)
    assert outcome.requests >= 5_000
    assert outcome.changes >= 40
    assert outcome.deployments > 1
