"""`edge upgrade`, to a node that a test plays; with a real one it is in scenarios/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.control import handover, upgrade
from edge.control.durable import try_lock
from edge.errors import EdgeError
from edge.site.places import Places
from tests.support import eventually

PLAYS = """
import os, signal, sys, time
from pathlib import Path
from edge.control import handover
from edge.control.durable import try_lock
from edge.site.places import Places
places = Places(Path(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
lock = try_lock(places.lock)
handover.sign(lock)
(places.run / "begun").touch()
signal.sigwait([signal.SIGUSR2])
request = handover.requested(places)
told = {"id": request["id"], "pid": 4711, "reason": ""}
%s
"""
PYTHON = Path(sys.executable)


@pytest.fixture
def places(tmp_path):
    """A state folder with its `run`."""
    found = Places(tmp_path)
    found.run.mkdir()
    return found


@pytest.fixture
def play(places):
    """A process that is the node, and answers a request by a program."""
    begun = []

    def play(program):
        command = [sys.executable, "-c", PLAYS % program, str(places.state)]
        begun.append(subprocess.Popen(command))
        eventually((places.run / "begun").exists)
        return begun[-1]

    yield play
    for process in begun:
        process.kill()
        process.wait()


def test_what_came_of_it_is_told(places, play):
    """The new process."""
    play("handover.write(places.run / handover.RESULT, told); time.sleep(60)")

    assert upgrade.upgrade(places, PYTHON) == 4711


def test_the_interpreter_is_the_one_that_is_asked_for(places, play):
    """With its whole path."""
    play("told['reason'] = request['python']\nhandover.write(places.run / handover.RESULT, told)")

    with pytest.raises(EdgeError, match=f"the old version serves on: {PYTHON}"):
        upgrade.upgrade(places, PYTHON)


def test_an_answer_to_somebody_else_is_none(places, play):
    """An earlier upgrade's, and what is no document."""
    (places.run / handover.RESULT).write_text('{"id": "old", "pid": 1, "reason": ""}')
    play("""
(places.run / handover.RESULT).write_text("[]")
handover.write(places.run / handover.RESULT, told | {"id": "other"})
time.sleep(0.2)
handover.write(places.run / handover.RESULT, told)
time.sleep(60)
""")

    assert upgrade.upgrade(places, PYTHON) == 4711


def test_a_node_that_ends_meanwhile(places, play):
    """Is told, not waited for."""
    process = play("os._exit(0)")
    process.wait = lambda: None  # nobody takes note of its end: it is a zombie

    with pytest.raises(EdgeError, match="has ended meanwhile"):
        upgrade.upgrade(places, PYTHON)


def test_a_node_that_is_killed_when_the_next_one_serves(places, play):
    """The lock says who that is."""
    play("os.ftruncate(lock, 0)\nos.pwrite(lock, b'%d' % os.getppid(), 0)\nos._exit(0)")

    assert upgrade.upgrade(places, PYTHON) == os.getpid()


def test_a_node_that_says_nothing(places, play, monkeypatch):
    """Has a bound."""
    monkeypatch.setattr(upgrade, "PATIENCE_S", 0.0)
    monkeypatch.setattr(upgrade, "GRACE_S", 0.1)
    play("time.sleep(60)")

    with pytest.raises(EdgeError, match="does not say what came of it"):
        upgrade.upgrade(places, PYTHON)


def test_without_a_node_there_is_nothing_to_replace(places):
    """A lock that nobody holds, or that was never there."""
    with pytest.raises(EdgeError, match=r"no node runs on .*: edge serve"):
        upgrade.upgrade(places, PYTHON)
    lock = try_lock(places.lock)
    handover.sign(lock)
    os.close(lock)
    with pytest.raises(EdgeError, match=r"no node runs on .*: edge serve"):
        upgrade.upgrade(places, PYTHON)


def test_an_interpreter_that_is_none(places, play, tmp_path):
    """The node is not even asked."""
    process = play("os._exit(0)")

    with pytest.raises(EdgeError, match="cannot be run; give the interpreter"):
        upgrade.upgrade(places, tmp_path / "none")

    assert process.poll() is None
