"""Who stays in the foreground when another process has become the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from edge.control import waiter
from tests.support import eventually

WAITS = """
import os, signal, sys, time
from pathlib import Path
from edge.control import handover, signals, waiter
from edge.control.durable import try_lock
from edge.site.places import Places
places = Places(Path(sys.argv[1]))
signals.block()
waiter.adopt_orphans()
lock = try_lock(places.lock)

def node(next=None):
    pid = os.fork()
    if pid == 0:
        handover.sign(lock)
        if next:
            next()
            os._exit(0)
        signals.unblock()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        signal.signal(signal.SIGHUP, lambda *_: (places.state / "hup").touch())
        (places.state / "node").write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)
    return pid

%s
sys.exit(waiter.accompany(first, places, {}))
"""


@pytest.fixture
def start(tmp_path):
    """A process that waits for a node, and the node's pid."""
    begun = []

    def start(program):
        command = [sys.executable, "-c", WAITS % program, str(tmp_path)]
        begun.append(subprocess.Popen(command, start_new_session=True))
        written = tmp_path / "node"
        return begun[-1], int(eventually(lambda: written.exists() and written.read_text()))

    yield start
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_signals_are_passed_on_and_the_code_is_the_nodes(start, tmp_path):
    """SIGHUP reaches it; SIGTERM ends it, and with it who waits."""
    process, _ = start("first = node()")

    process.send_signal(signal.SIGHUP)
    eventually((tmp_path / "hup").exists)
    process.send_signal(signal.SIGTERM)

    assert process.wait(15) == 7


def test_a_node_that_is_killed_ends_who_waits(start):
    """With the code that shells give."""
    process, node = start("first = node()")

    os.kill(node, signal.SIGKILL)

    assert process.wait(15) == 128 + signal.SIGKILL


def test_after_another_upgrade_the_last_one_is_waited_for(start):
    """The one between has gone; its child was adopted."""
    process, node = start("first = node(next=lambda: (node(), time.sleep(0.2)))")

    assert process.poll() is None
    os.kill(node, signal.SIGTERM)

    assert process.wait(15) == 7


def test_who_can_be_told_needs_nobody_to_wait(monkeypatch):
    """But for the first process of a container, with which that ends."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert waiter.is_needed()
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    assert not waiter.is_needed()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert waiter.is_needed()


def test_who_is_no_child_is_not_waited_for():
    """The lock may be any process's."""
    assert not waiter.is_child(1)
    assert not waiter.is_child(0)
    with subprocess.Popen(["sleep", "60"]) as process:
        assert waiter.is_child(process.pid)
        process.kill()
        eventually(lambda: not waiter.is_child(process.pid))
    waiter.forward(process.pid, signal.SIGTERM)  # has ended, and needs no signal
