"""Waiting for signals, also in a process that is stopped meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.control import signals
from tests.support import eventually
from tests.support_pauses import state_of

WAITS = """
import signal
from edge.control import signals
signals.block()
print("blocked", flush=True)
while True:
    print(signals.wait(%r), flush=True)
"""


@pytest.fixture
def start():
    """A process that tells of the signals it waits for, so many seconds each."""
    begun = []

    def start(seconds):
        command = [sys.executable, "-c", WAITS % seconds]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert begun[-1].stdout.readline() == "blocked\n"
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_each_comes_once(start):
    """Whenever it was sent; of several the kernel says the order."""
    process = start(60)
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP):
        process.send_signal(number)
        assert int(process.stdout.readline()) == number


def test_none_comes_after_so_long(start):
    """Again and again."""
    process = start(0.01)

    assert [process.stdout.readline() for _ in range(3)] == ["None\n"] * 3


def test_a_pause_makes_no_signal(start):
    """Neither where the time is over meanwhile, which CPython's `sigtimedwait` takes for one."""
    process = start(0.05)
    for _ in range(5):
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: state_of(process.pid) == "T")
        over = time.monotonic() + 0.1
        eventually(lambda over=over: time.monotonic() > over)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "None\n"
    process.kill()

    assert set(process.stdout.read().split()) <= {"None"}


def test_no_descriptor_is_left():
    """Children would have it."""
    before = len([*Path("/proc/self/fd").iterdir()])
    assert signals.wait(0.001) is None
    assert len([*Path("/proc/self/fd").iterdir()]) == before
