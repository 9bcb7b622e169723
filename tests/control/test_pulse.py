"""Who does not answer: looks are counted, and nobody waits."""

from __future__ import annotations

import os
import socket

import pytest

from edge.control import pulse
from edge.control.pulse import Pulse
from edge.node import orders

PID = 4_194_400
"""Above what the kernel gives: nobody's."""

CHILDREN = {PID: "worker"}


@pytest.fixture
def looking(tmp_path):
    """Looks at children that may be silent for three looks."""
    found = Pulse(tmp_path, patience=3)
    yield found
    found.close()


@pytest.fixture
def child(tmp_path):
    """A child's socket, where the test is the child."""
    with orders.listening_at(tmp_path / f"worker-{PID}.sock") as listener:
        yield listener


def answer(child):
    """What a child does that does not hang."""
    with child.accept()[0] as asked:
        assert asked.recv(100) == pulse.QUESTION
        asked.sendall(b"{}\n")


def test_who_answers_is_asked_again(looking, child):
    """However often."""
    for _ in range(5):
        assert looking.silent(CHILDREN) == []
        answer(child)
        assert looking.silent(CHILDREN) == []


def test_who_is_silent_is_told_of_once(looking, child):
    """With the third look after it was asked; SIGKILL needs no second."""
    found = [looking.silent(CHILDREN) for _ in range(6)]

    assert found == [[], [], [], [PID], [], []]


def test_an_answer_begins_the_count_anew(looking, child):
    """One that was slow is none that hangs."""
    for _ in range(3):
        looking.silent(CHILDREN)
    answer(child)

    assert [looking.silent(CHILDREN) for _ in range(4)] == [[]] * 4
    assert looking.silent(CHILDREN) == [PID]


def test_who_does_not_listen_yet_is_waited_for(looking):
    """A child that loads 100,000 rules has no socket before it has begun."""
    assert [looking.silent(CHILDREN) for _ in range(9)] == [[]] * 9


def test_a_queue_that_nobody_empties_is_silence(looking, tmp_path):
    """Others have asked before: no question fits in any more."""
    path = tmp_path / f"worker-{PID}.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(os.fspath(path))
        listener.listen(0)
        first.connect(os.fspath(path))

        assert [looking.silent(CHILDREN) for _ in range(4)] == [[], [], [PID], []]


def test_who_hangs_up_has_not_hung(looking, child):
    """It ends: that is the parent's to reap."""
    looking.silent(CHILDREN)
    child.accept()[0].close()

    assert looking.silent(CHILDREN) == []


def test_who_has_gone_is_forgotten(looking, child, tmp_path):
    """A new process of the same number begins with nothing."""
    for _ in range(3):
        looking.silent(CHILDREN)

    assert looking.silent({}) == []
    assert [looking.silent(CHILDREN) for _ in range(3)] == [[]] * 3
