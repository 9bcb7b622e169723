"""One look at the clocks for everything that needs no better than a second."""

from __future__ import annotations

import time

from edge.node.clock import Clock


def test_a_clock_knows_the_time_from_the_start(monkeypatch):
    """Monotonic seconds, whole UTC seconds, and the Date line of that second."""
    monkeypatch.setattr(time, "time", lambda: 784111777.9)
    monkeypatch.setattr(time, "monotonic", lambda: 42.5)
    clock = Clock()
    assert (clock.now, clock.epoch) == (42.5, 784111777)
    assert clock.date == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def test_time_stands_still_between_ticks(monkeypatch):
    """What is read between two ticks is the same second everywhere."""
    monkeypatch.setattr(time, "time", lambda: 784111777.9)
    clock = Clock()
    line = clock.date
    monkeypatch.setattr(time, "time", lambda: 784111778.1)
    assert clock.date is line
    clock.tick()
    assert clock.epoch == 784111778
    assert clock.date == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_the_date_line_is_made_once_a_second(monkeypatch):
    """A tick within the same second keeps the line that responses share."""
    monkeypatch.setattr(time, "time", lambda: 784111777.1)
    clock = Clock()
    line = clock.date
    monkeypatch.setattr(time, "time", lambda: 784111777.9)
    clock.tick()
    assert clock.date is line


def test_a_clock_set_back_is_followed(monkeypatch):
    """Wall-clock time may jump back; the Date line follows, `now` never does."""
    monkeypatch.setattr(time, "time", lambda: 784111777.0)
    clock = Clock()
    before = clock.now
    monkeypatch.setattr(time, "time", lambda: 784111000.0)
    clock.tick()
    assert clock.epoch == 784111000
    assert clock.now >= before
