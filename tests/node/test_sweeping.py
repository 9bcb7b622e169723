"""Every connection is looked at once a second, and nobody waits for all of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from types import SimpleNamespace

import pytest

from edge.node.sweeping import PAUSE_SECONDS, SLICE_SECONDS, SPREAD_SECONDS, sweep
from edge.node.tasks import spawn

CLOCK = SimpleNamespace(now=7.0)


class Slow:
    """A connection that takes a slice to be looked at."""

    def __init__(self, service, *, breaks: bool = False) -> None:
        self.service = service
        self.breaks = breaks
        self.swept = []
        service.connections.add(self)

    def sweep(self, now: float) -> None:
        """Take the time."""
        began = time.monotonic()
        while time.monotonic() - began <= SLICE_SECONDS:
            pass
        self.swept.append(now)
        if self.breaks:
            raise ValueError("broken")


async def test_others_have_their_turns():
    """Between two that take long."""
    service = SimpleNamespace(connections=set())
    slow = [Slow(service) for _ in range(5)]
    turns = []

    async def neighbour() -> None:
        while True:
            turns.append(sum(len(each.swept) for each in slow))
            await asyncio.sleep(0)

    task = spawn(neighbour(), "neighbour")
    await sweep(slow, CLOCK)
    task.cancel()
    assert [each.swept for each in slow] == [[CLOCK.now]] * 5
    assert set(turns) >= {1, 2, 3, 4}


@pytest.mark.parametrize(("share", "pause"), [(0.5, PAUSE_SECONDS), (3.0, 0)])
async def test_pauses_make_no_look_longer_than_a_second(monkeypatch, share, pause):
    """Who has time for all connections makes them; who has not, lets others have turns alone."""
    service = SimpleNamespace(connections=set())
    times = itertools.count(100.0, share * SPREAD_SECONDS / 10)
    pauses = []

    async def slept(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("edge.node.sweeping.monotonic", times.__next__)
    monkeypatch.setattr("edge.node.sweeping.asyncio.sleep", slept)
    await sweep([Slow(service) for _ in range(5)], CLOCK)
    assert pauses == [pause] * 5


async def test_each_is_looked_at_by_the_time_that_it_is():
    """Between two of them a second may have gone by."""
    service, clock = SimpleNamespace(connections=set()), SimpleNamespace(now=1.0)
    slow = [Slow(service) for _ in range(2)]

    async def tick() -> None:
        clock.now = 2.0

    spawn(tick(), "tick")
    await sweep(slow, clock)
    assert [each.swept for each in slow] == [[1.0], [2.0]]


async def test_who_has_gone_is_not_looked_at(caplog):
    """It went while others were; and what breaks for one does not for the next."""
    service = SimpleNamespace(connections=set())
    first, second, third = Slow(service, breaks=True), Slow(service), Slow(service)

    async def leave() -> None:
        service.connections.discard(second)

    spawn(leave(), "leave")
    with caplog.at_level(logging.ERROR):
        await sweep([first, second, third], CLOCK)
    assert (first.swept, second.swept, third.swept) == ([CLOCK.now], [], [CLOCK.now])
    assert "could not be swept" in caplog.text
