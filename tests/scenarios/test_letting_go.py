"""
Nothing that a worker lets go of is left to the collector of cycles.

What is stored is frozen out of its sight (`node.room`), and with it whatever is under way then: a
cycle among that would never be found. All that `bench/soak.py` does, for some seconds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support import eventually, running
from tests.support_bench import soak, traffic, upkeep
from tests.support_origin import originating

INSIDE = Path(__file__).parents[1] / "uncollected"

VISITS = 60
"""Of each kind, at the least."""

CHANGES = 12


def uncollected(folder: Path, pid: int) -> dict[str, int]:
    """What a process has left to the collector, by type; to be asked once."""
    asked, told = (folder / f"{pid}.{name}" for name in ("asked", "told"))
    eventually(asked.exists)
    os.close(os.open(asked, os.O_WRONLY | os.O_NONBLOCK))  # with nobody there it is an error
    eventually(told.exists)
    return json.loads(told.read_text())


def test_no_cycle_is_left(tmp_path, monkeypatch):
    """By no kind of request, answer, tunnel, upload, client that goes away, deploy or reload."""
    path = filter(None, (str(INSIDE), os.environ.get("PYTHONPATH")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("EDGE_TESTS_UNCOLLECTED", str(tmp_path))
    with originating() as origin:
        settings = upkeep.settings_of(origin)
        with running(tmp_path / "node", 2, settings, is_secure=True) as node:
            upkeep.prepare(origin)
            changes = upkeep.Upkeep(node, origin, 0.1)
            crowd = traffic.Crowd(soak.scene_of(node), 0.0)
            changes.start()
            try:
                eventually(lambda: is_enough(crowd, changes), 120)
            finally:
                crowd.stop()
                changes.stop()
            found = [uncollected(tmp_path, pid) for pid in node.pids("worker")]
    assert found == [{}, {}]


def is_enough(crowd: traffic.Crowd, changes: upkeep.Upkeep) -> bool:
    """Whether each kind of visit came often enough, and each kind of change."""
    assert crowd.faults + changes.faults == {}
    visits = (crowd.requests[visit.__name__] for visit in traffic.VISITS)
    return min(visits) >= VISITS and changes.changes.total() >= CHANGES
