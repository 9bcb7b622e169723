"""Content from a connection to its one consumer, and generators that are closed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from edge.errors import ContentTooLarge, MalformedRequest
from edge.node.content import Inflow, check_size, closing, discard, stated_size


async def take(inflow: Inflow) -> list[bytes]:
    """Everything, chunk by chunk."""
    return [chunk async for chunk in inflow]


async def test_chunks_come_in_order_whenever_they_are_fed():
    """Before the consumer begins, while it waits, and up to the end."""
    inflow = Inflow(lambda _: None)
    inflow.feed(b"1")
    inflow.feed(b"2")
    consumer = asyncio.ensure_future(take(inflow))
    await asyncio.sleep(0)
    inflow.feed(b"3")
    await asyncio.sleep(0)
    inflow.feed(b"4")
    inflow.finish()
    assert await consumer == [b"1", b"2", b"3", b"4"]


async def test_what_waits_is_counted():
    """`size` is what was fed and not taken; the producer hears of each chunk that is taken."""
    taken = []
    inflow = Inflow(taken.append)
    inflow.feed(b"abc")
    inflow.feed(b"de")
    assert (inflow.size, inflow.started, taken) == (5, False, [])
    chunks = aiter(inflow)
    assert not inflow.started
    assert await anext(chunks) == b"abc"
    assert (inflow.size, inflow.started, taken) == (2, True, [0, 3])
    await chunks.aclose()


async def test_trailers_are_there_behind_the_content():
    """None, where none were sent."""
    for trailers in ([(b"x-sum", b"1")], []):
        inflow = Inflow(lambda _: None)
        inflow.feed(b"abc")
        assert inflow.trailers == []
        inflow.finish(trailers)
        assert await take(inflow) == [b"abc"]
        assert inflow.trailers == trailers


async def test_content_is_let_go_though_nobody_began_to_read_it():
    """By whoever has something to let go; bytes and nothing have not."""

    class Content:
        closed = False

        async def aclose(self) -> None:
            """Nobody reads on."""
            self.closed = True

    content = Content()
    for each in (content, b"bytes", None):
        await discard(each)
    assert content.closed


async def test_an_error_comes_after_what_had_arrived():
    """The consumer gets the whole chunks first, then the reason why there are no more."""
    inflow = Inflow(lambda _: None)
    inflow.feed(b"abc")
    inflow.fail(MalformedRequest("gone"))
    chunks = aiter(inflow)
    assert await anext(chunks) == b"abc"
    with pytest.raises(MalformedRequest, match="gone"):
        await anext(chunks)


@pytest.mark.parametrize("end", ["finish", "fail"])
async def test_a_waiting_consumer_wakes_at_the_end(end):
    """Nobody waits for content that will not come."""
    inflow = Inflow(lambda _: None)
    consumer = asyncio.ensure_future(take(inflow))
    await asyncio.sleep(0)
    if end == "finish":
        inflow.finish()
        assert await consumer == []
    else:
        inflow.fail(MalformedRequest("gone"))
        with pytest.raises(MalformedRequest):
            await consumer


async def test_an_abandoned_generator_is_closed_at_once():
    """Leaving the block in the middle runs the generator's `finally`."""
    closed = []

    async def chunks():
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(True)

    kept = chunks()
    with contextlib.suppress(ZeroDivisionError):
        async with closing(kept) as content:
            async for _ in content:
                raise ZeroDivisionError
    assert closed == [True]


async def test_an_iterator_without_a_close_is_left_alone():
    """Any async iterator is content."""

    class Once:
        def __init__(self):
            self.left = [b"1"]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    async with closing(Once()) as content:
        assert [chunk async for chunk in content] == [b"1"]


SIZES = {(0, 0): True, (5, 5): True, (6, 5): False, (10**30, 0): True}


@pytest.mark.parametrize(("case", "is_fine"), SIZES.items())
def test_content_is_held_to_its_limit(case, is_fine):
    """0 is none."""
    if is_fine:
        check_size(*case)
        return
    with pytest.raises(ContentTooLarge, match="larger than 5 bytes"):
        check_size(*case)


STATED = {b"": 0, b"0": 0, b"12": 12, b"x": 0, b"-1": 0, b"+1": 0, b"1, 1": 0}


@pytest.mark.parametrize(("value", "size"), STATED.items())
def test_a_size_is_what_a_number_states(value, size):
    """Anything else states none."""
    assert stated_size(value) == size


def test_a_huge_number_is_large_enough():
    """It costs nothing, and is over any limit."""
    assert stated_size(b"9" * 5000) >= 10**18
