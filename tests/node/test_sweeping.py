"""Every connection is looked at once a second, and nobody waits for all of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from types import SimpleNamespace

from edge.node.sweeping import PAUSE_SECONDS, SLICE_SECONDS, SPREAD_SECONDS, sweep
from edge.node.tasks import spawn


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
    await sweep(slow, 7.0)
    task.cancel()
    assert [each.swept for each in slow] == [[7.0]] * 5
    assert set(turns) >= {1, 2, 3, 4}


async def test_a_look_is_spread_but_ends(monkeypatch):
    """Pauses between slices, and none when most of a second is over."""
    service = SimpleNamespace(connections=set())
    step = SPREAD_SECONDS / 4
    times = itertools.count(100.0, step)
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("edge.node.sweeping.monotonic", times.__next__)
    monkeypatch.setattr("edge.node.sweeping.asyncio.sleep", pause)
    await sweep([Slow(service) for _ in range(4)], 1.0)
    assert pauses == [PAUSE_SECONDS] * 2 + [0] * 2


async def test_who_has_gone_is_not_looked_at(caplog):
    """It went while others were; and what breaks for one does not for the next."""
    service = SimpleNamespace(connections=set())
    first, second, third = Slow(service, breaks=True), Slow(service), Slow(service)

    async def leave() -> None:
        service.connections.discard(second)

    spawn(leave(), "leave")
    with caplog.at_level(logging.ERROR):
        await sweep([first, second, third], 1.0)
    assert (first.swept, second.swept, third.swept) == ([1.0], [], [1.0])
    assert "could not be swept" in caplog.text
