"""Tasks have names, somebody who holds them, and nobody's silence when they break."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from edge.errors import StoreError
from edge.node import tasks


async def test_a_task_is_held_until_it_ends():
    """The loop's own reference is weak; ours is not, and goes with the task."""
    done = []

    async def work():
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        done.append(True)

    task = tasks.spawn(work(), "work")
    assert task.get_name() == "work"
    assert task in tasks._running
    await task
    assert done == [True]
    await asyncio.sleep(0)
    assert task not in tasks._running


async def test_a_task_that_breaks_is_logged_with_its_name(caplog):
    """A defect is seen when it happens, whether anybody awaits the task or not."""

    async def broken():
        raise ZeroDivisionError("oops")

    with caplog.at_level(logging.ERROR):
        task = tasks.spawn(broken(), "broken work")
        with pytest.raises(ZeroDivisionError):
            await task
        await asyncio.sleep(0)
    assert "broken work" in caplog.text
    assert "ZeroDivisionError: oops" in caplog.text


@pytest.mark.parametrize("error", [StoreError("missing"), asyncio.CancelledError()], ids=repr)
async def test_an_expected_end_is_not_logged(caplog, error):
    """Errors of ours go to whoever awaits; a cancelled task was told to end."""

    async def ending():
        raise error

    task = tasks.spawn(ending(), "ending")
    with pytest.raises(type(error)):
        await task
    await asyncio.sleep(0)
    assert caplog.text == ""
