"""`kill -9` of a process while clients ask: whose connections it had sees it, and nobody else."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.scenarios.test_upgrade import Load
from tests.support import eventually, running, write_tree

ENDED = r"_(keeping|anew): (ConnectionResetError|RemoteDisconnected|BrokenPipeError)\("
"""What a client sees whose connection the dead worker had."""

UNANSWERED = r"_asking: (ConnectionResetError|RemoteDisconnected|ConnectionRefusedError)\("
"""What a client of the admin API sees until there is another control."""

CLIENTS = 6
"""Those of `Load` that ask for pages, one connection each at a time."""


@pytest.fixture
def node(tmp_path):
    """Two workers that serve one page."""
    with running(tmp_path / "node") as found:
        found.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
        yield found


def killed(node, kind):
    """Kill one process of a kind; which it was."""
    victim = node.pids(kind)[0]
    os.kill(victim, signal.SIGKILL)
    return victim


def others(errors, pattern):
    """Errors that are not of this kind."""
    return [each for each in errors if not re.match(pattern, each)]


def test_a_worker_that_is_killed_under_load(node):
    """Its connections end, each client's at most once; the other worker and the next one serve."""
    with Load(node) as load:
        load.more()
        victim = killed(node, "worker")
        eventually(lambda: victim not in node.pids("worker") and len(node.pids("worker")) == 2)
        load.more()
        seen = len(load.errors)
        load.more(1000)

    assert others(load.errors, ENDED) == []
    assert len(load.errors) == seen <= CLIENTS


def test_control_that_is_killed_under_load(node):
    """Pages are answered as ever; the admin API is, by the next one."""
    with Load(node) as load:
        load.more()
        victim = killed(node, "control")
        eventually(lambda: victim not in node.pids("control") and node.is_ready())
        seen = len(load.errors)
        load.more(1000)

    assert others(load.errors, UNANSWERED) == []
    assert len(load.errors) == seen


def test_a_parent_that_is_killed_under_load(node):
    """Nobody sees it, not even clients of the admin API."""
    with Load(node) as load:
        load.more()
        node.process.kill()
        node.process.wait()
        load.more(1000)

    assert load.errors == []
