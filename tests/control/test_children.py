"""A parent's processes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from edge.control.children import Child, Children
from tests.support import eventually


@pytest.fixture
def children():
    """None yet; those that are left are killed."""
    found = Children()
    yield found
    found.are_leaving = True
    found.signal(signal.SIGKILL)
    eventually(lambda: [*found.reap()] or not found.pids())


@pytest.fixture
def statuses(children):
    """How children ended; none is replaced."""
    found = []
    children.ended = lambda child, status: (found.append(status), setattr(child, "pid", 0))
    return found


def sleep():
    """Live until a signal comes."""
    time.sleep(60)


def test_a_child_that_keeps_dying_is_restarted_with_growing_pauses(children):
    """0.1 s, 0.2 s, … up to 30 s; one that lived is replaced at once."""
    child = Child("worker", lambda: None)
    pauses = []
    for _ in range(12):
        child.started = 10**9  # it died right after its start, whatever the clock says
        children.ended(child, 9)
        pauses.append(child.backoff)

    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 30.0
    child.started = -(10**9)
    children.ended(child, 9)
    assert child.backoff == 0.0
    assert (children.restarts, children.deaths) == (13, 13)


def test_who_dies_is_replaced(children):
    """By a process that does the same."""
    children.all.append(Child("worker", sleep))
    children.start()
    (first,) = children.pids()

    os.kill(first, signal.SIGKILL)
    eventually(lambda: [*children.reap()] or not children.pids())
    eventually(lambda: children.restart_due() or children.pids())

    assert children.pids() != {first}
    assert children.restarts == 1


def test_strangers_are_told_of(children):
    """The parent may know them."""
    pid = os.fork()
    if pid == 0:
        os._exit(3)

    (told,) = eventually(lambda: [*children.reap()])

    assert (told[0], os.waitstatus_to_exitcode(told[1])) == (pid, 3)
    assert children.deaths == 0


def test_signals_that_only_a_parent_takes_end_no_child(children, statuses, tmp_path):
    """Ctrl-C and SIGUSR1 reach the whole group; who listens to none of them lives on."""
    begun = tmp_path / "begun"
    children.all.append(Child("worker", lambda: (begun.touch(), sleep())))
    children.start()
    eventually(begun.exists)

    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        children.signal(number, "control")
        children.signal(number, "worker")
    eventually(lambda: [*children.reap()] or statuses)

    assert os.waitstatus_to_exitcode(statuses[0]) == -signal.SIGTERM


def test_a_child_that_raises_ends_with_1(children, statuses):
    """And never runs its parent's code."""
    children.all.append(Child("worker", lambda: 1 / 0))
    children.start()
    eventually(lambda: [*children.reap()] or statuses)

    assert os.waitstatus_to_exitcode(statuses[0]) == 1
