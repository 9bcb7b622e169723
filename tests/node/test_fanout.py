"""Content that several read while it comes: all of it for each, at their own pace, and bounded."""

from __future__ import annotations

import asyncio
import random

import pytest

from edge.errors import OriginError
from edge.node.fanout import HIGH_WATER, Fanout
from edge.node.tasks import spawn
from tests.support_wire import until

HALF = bytes(HIGH_WATER // 2)
BROKEN = OriginError("connection_terminated", "it broke off")


async def rest(reader) -> list[bytes]:
    """All that a reader has still to read."""
    return [chunk async for chunk in reader]


async def taken(reader, count: int) -> list[bytes]:
    """So many chunks."""
    return [await anext(reader) for _ in range(count)]


def waits(task: asyncio.Task) -> bool:
    """Whether a task goes on waiting when everybody else has had their turn."""
    return not task.done()


async def settled() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


# All of it


@pytest.mark.parametrize("first", [b"", b"a"])
async def test_what_is_here_already_is_read_at_once(first):
    """Nothing of it is no chunk."""
    fanout = Fanout(first)
    fanout.feed(b"b")
    fanout.finish()

    assert b"".join(await rest(fanout.read())) == first + b"b"
    assert fanout.whole() == first + b"b"


async def test_a_reader_waits_for_what_comes():
    """Each chunk is there as soon as it is fed."""
    fanout = Fanout(b"")
    reader = fanout.read()
    for chunk in (b"a", b"b"):
        reading = spawn(anext(reader), "reading")
        await settled()
        assert waits(reading)
        fanout.feed(chunk)
        assert await reading == chunk
    reading = spawn(rest(reader), "reading")
    await settled()
    assert waits(reading)
    fanout.finish()
    assert await reading == []


async def test_readers_go_at_their_own_pace():
    """One that comes late begins at the beginning, also when all of it is here."""
    fanout = Fanout(b"a")
    fast, slow = fanout.read(), fanout.read()
    fanout.feed(b"b")
    assert await taken(fast, 2) == [b"a", b"b"]
    late = fanout.read()
    fanout.feed(b"c")
    fanout.finish()

    assert await rest(fast) == [b"c"]
    assert await rest(slow) == await rest(late) == await rest(fanout.read()) == [b"a", b"b", b"c"]


async def test_many_wait_for_one_chunk():
    """All of them are told."""
    fanout = Fanout(b"")
    reading = [spawn(rest(fanout.read()), "reading") for _ in range(5)]
    await settled()
    fanout.feed(b"a")
    fanout.finish()

    assert await asyncio.gather(*reading) == [[b"a"]] * 5


# What goes wrong


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_reader_gets_what_there_was_and_then_the_error(is_kept):
    """Each one an error of its own: raised twice, one would carry both traces."""
    fanout = Fanout(b"a")
    readers = [fanout.read(), fanout.read()]
    if not is_kept:
        fanout.let_go()
    fanout.feed(b"b")
    fanout.fail(BROKEN)
    errors = []
    for reader in readers:
        assert await taken(reader, 2) == [b"a", b"b"]
        with pytest.raises(OriginError, match="it broke off") as caught:
            await anext(reader)
        errors.append(caught.value)

    assert {error.kind for error in errors} == {"connection_terminated"}
    assert len({id(error) for error in (*errors, BROKEN)}) == 3


async def test_who_waits_is_told_of_the_error():
    """At once."""
    fanout = Fanout(b"")
    reading = [spawn(rest(fanout.read()), "reading") for _ in range(2)]
    await settled()
    fanout.fail(BROKEN)

    for each in reading:
        with pytest.raises(OriginError, match="it broke off"):
            await each


# What is not kept


async def test_who_writes_waits_for_the_slowest_of_what_is_not_kept():
    """No more than so much is ahead of it; the fast one has its own already."""
    fanout = Fanout(b"")
    fast, slow = fanout.read(), fanout.read()
    fanout.let_go()
    for _ in range(3):
        fanout.feed(HALF)
    writing = spawn(fanout.room(), "writing")
    assert await taken(fast, 3) == [HALF] * 3
    await settled()
    assert waits(writing)
    assert await taken(slow, 1) == [HALF]
    await writing
    fanout.finish()

    assert await rest(slow) == [HALF] * 2
    assert await rest(fast) == []
    assert (fanout._held, fanout._chunks) == (0, [])


async def test_what_is_kept_keeps_nobody_waiting():
    """It has a bound of its own."""
    fanout = Fanout(b"")
    reader = fanout.read()
    for _ in range(5):
        fanout.feed(HALF)
        await fanout.room()

    assert len(await taken(reader, 5)) == 5
    assert fanout.whole() == HALF * 5


async def test_letting_go_keeps_what_readers_need():
    """From the place of the slowest one."""
    fanout = Fanout(b"a")
    fast, slow = fanout.read(), fanout.read()
    for chunk in (b"b", b"c"):
        fanout.feed(chunk)
    await taken(fast, 3)
    await taken(slow, 1)
    fanout.let_go()
    assert fanout._held == 2
    fanout.feed(b"d")
    fanout.finish()

    assert await rest(slow) == [b"b", b"c", b"d"]
    assert await rest(fast) == [b"d"]
    assert fanout._held == 0


async def test_nobody_begins_to_read_what_is_not_kept():
    """The beginning may be gone."""
    fanout = Fanout(b"a")
    fanout.read()
    fanout.let_go()

    with pytest.raises(AssertionError, match="what is gone"):
        fanout.read()


async def test_a_reader_that_leaves_is_waited_for_no_more():
    """The others and the writer go on."""
    fanout = Fanout(b"")
    fast, slow = fanout.read(), fanout.read()
    fanout.let_go()
    for _ in range(3):
        fanout.feed(HALF)
    writing = spawn(fanout.room(), "writing")
    await taken(fast, 3)
    await settled()
    assert waits(writing)
    await slow.aclose()
    await writing
    assert fanout._held == 0
    await slow.aclose()
    assert fanout.readers == {fast}


async def test_without_readers_nobody_is_waited_for():
    """Whoever writes on what nobody keeps or reads must not stand still with it."""
    fanout = Fanout(b"")
    reader = fanout.read()
    fanout.let_go()
    for _ in range(3):
        fanout.feed(HALF)
    writing = spawn(fanout.room(), "writing")
    await settled()
    assert waits(writing)
    await reader.aclose()
    await asyncio.wait_for(writing, 5)

    assert fanout._held <= HIGH_WATER


async def test_whoever_waits_may_be_cancelled():
    """The others are told all the same."""
    fanout = Fanout(b"")
    gone, stays = (spawn(rest(fanout.read()), "reading") for _ in range(2))
    await settled()
    gone.cancel()
    await settled()
    fanout.feed(b"a")
    fanout.finish()

    assert gone.cancelled()
    assert await stays == [b"a"]


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_gets_all_of_it_in_order(seed):
    """However they go on, whenever it is let go, whoever leaves; and it stays bounded."""
    source = random.Random(seed)
    sizes = [source.randrange(1, HIGH_WATER // 2) for _ in range(30)]
    chunks = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
    fanout = Fanout(b"")
    let_go_at = source.choice([0, 10, 20, 99])
    peaks = []

    async def read(leaves_after: int) -> list[bytes]:
        reader, found = fanout.read(), []
        async for chunk in reader:
            found.append(chunk)
            if len(found) == leaves_after:
                break
            for _ in range(source.randrange(5)):
                await asyncio.sleep(0)
        await reader.aclose()
        return found

    leaving = [99, 99, 99, source.randrange(1, 30), source.randrange(1, 30)]
    reading = [spawn(read(after), "reading") for after in leaving]
    await until(lambda: len(fanout.readers) == len(leaving))
    for number, chunk in enumerate(chunks):
        fanout.feed(chunk)
        if number == let_go_at:
            fanout.let_go()
        await fanout.room()
        if number > let_go_at:
            peaks.append(fanout._held)
    fanout.finish()

    for after, found in zip(leaving, await asyncio.gather(*reading), strict=True):
        assert found == chunks[:after]
    assert all(peak <= HIGH_WATER for peak in peaks)
    assert (fanout.readers, fanout.is_kept) == (set(), let_go_at == 99)
    assert fanout.is_kept == (fanout._held > 0)
