"""Many clients who ask a node of two workers for the same at once: one request to the origin."""

from __future__ import annotations

import asyncio

import pytest

from tests.support_crowd import (
    CHUNKS,
    COLLAPSED,
    FIRST,
    FRESH,
    are_heard,
    arrived,
    crowd,
    held,
    let_go,
)
from tests.support_origin import Talk
from tests.support_stored import Visitor, say
from tests.support_wire import Client, get


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_hundred_at_once_are_one_request(scene, framing):
    """Whichever worker they came to."""
    count = 100

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        if framing == "length":
            talk.answer(b"hello", 200, FRESH)
        else:
            talk.send(CHUNKS + b"5\r\nhello\r\n0\r\n\r\n")

    scene.on(script)
    visitors = await crowd(scene, count)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    talks = await arrived(scene, 1)
    await are_heard(scene)
    let_go(talks)
    answers = [await visitor.read() for visitor in visitors]

    assert scene.count == 1
    assert {answer.content for answer in answers} == {b"hello"}
    handlings = [answer.handling for answer in answers]
    assert handlings.count(FIRST) == 1
    assert set(handlings) <= {FIRST, COLLAPSED, "hit"}
    assert COLLAPSED in handlings[::2]
    assert COLLAPSED in handlings[1::2]
    for visitor in visitors[:4]:
        assert (await visitor.ask(f"/o{scene.path}")).short == (200, b"hello", "hit")


async def test_very_many_at_once_are_one_request(scene):
    """More than the kernel lets wait at a Unix socket that nobody gave a longer queue."""
    scene.on(lambda talk: (talk.read(), talk.wait(), talk.answer(b"hello", 200, FRESH)))
    where = ("127.0.0.1", scene.node.port)
    clients = [Client(*await asyncio.open_connection(*where)) for _ in range(800)]
    request = get(f"/o{scene.path}").replace(b"a.test", scene.host.encode())
    for client in clients:
        client.send(request)
    talks = await arrived(scene, 1)
    await are_heard(scene)
    let_go(talks)
    answers = [await client.read() for client in clients]
    for client in clients:
        await client.close()

    assert {content for _, _, content in answers} == {b"hello"}
    assert scene.count == 1


def slowly(framing: str):
    """Three pieces and an end, each when the test says so."""
    head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 9\r\n\r\n".encode()
    pieces = [b"one", b"two", b"six", b""]
    if framing == "chunks":
        head, pieces = CHUNKS, [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(head)
        for piece in pieces:
            talk.wait()
            talk.send(piece)

    return script


async def next_of(visitors: list[Visitor], framing: str, size: int = 3) -> set[bytes]:
    """What these clients get next."""
    got = [b""] * len(visitors)
    for number, visitor in enumerate(visitors):
        while len(got[number]) < size:
            got[number] += await visitor.chunk() if framing == "chunks" else await visitor.piece(3)
    return set(got)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_content_is_read_by_all_while_it_comes(scene, framing):
    """Those who come late begin at its beginning, and nobody waits for its end."""
    scene.on(slowly(framing))
    visitors = await crowd(scene, 8)
    early, late = visitors[:6], visitors[6:]
    for visitor in early:
        visitor.send(f"/o{scene.path}")
    talk = (await arrived(scene, 1))[0]
    assert {(await visitor.head()).status for visitor in early} == {200}
    for piece in (b"one", b"two"):
        talk.go.set()
        assert await next_of(early, framing) == {piece}
    for visitor in late:
        visitor.send(f"/o{scene.path}")
        assert (await visitor.head()).handling == COLLAPSED
    assert await next_of(late, framing, 6) == {b"onetwo"}
    talk.go.set()
    assert await next_of(visitors, framing) == {b"six"}
    talk.go.set()
    if framing == "chunks":
        assert {await visitor.chunk() for visitor in visitors} == {b""}
    await talk.over()

    for visitor in visitors:
        assert (await visitor.ask(f"/o{scene.path}")).content == b"onetwosix"
    assert scene.count == 1


UNSHARED = {
    "no-store": "Cache-Control: no-store",
    "private": f"{FRESH}, private",
    "a cookie": f"{FRESH} | Set-Cookie: a=b",
    "nothing said": "X-A: b",
    "an error": "503 | X-A: b",
}


@pytest.mark.parametrize("reply", UNSHARED.values(), ids=UNSHARED.keys())
async def test_an_uncacheable_answer_is_for_one(scene, reply):
    """The others go on their own as soon as its head is there: all at the same time."""
    count = 12
    scene.on(held(scene, reply))
    visitors = await crowd(scene, count)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    talks = await arrived(scene, 1)
    await are_heard(scene)
    assert scene.count == 1
    let_go(talks)
    talks = await arrived(scene, count)  # none of which has been answered but the first
    let_go(talks)
    answers = [await visitor.read() for visitor in visitors]

    assert scene.count == count
    assert sorted(int(answer.content) for answer in answers) == list(range(1, count + 1))
    for visitor in visitors:  # and from then on nobody waits for anybody
        visitor.send(f"/o{scene.path}")
    let_go(await arrived(scene, 2 * count))
    assert len({(await visitor.read()).content for visitor in visitors}) == count


async def test_nobody_waits_for_the_content_of_an_uncacheable_answer(scene):
    """It goes to its client; the others are answered before it ends."""

    def slow(talk: Talk) -> None:
        talk.read()
        talk.wait()
        scene.on(lambda talk: (talk.read(), talk.answer(b"own", 200, "Cache-Control: no-store")))
        talk.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 10\r\n\r\nhello")
        talk.wait()
        talk.send(b"world")

    scene.on(slow)
    visitors = await crowd(scene, 6)
    visitors[0].send(f"/o{scene.path}")
    talk = (await arrived(scene, 1))[0]
    for visitor in visitors[1:]:
        visitor.send(f"/o{scene.path}")
    await are_heard(scene)
    talk.go.set()
    for visitor in visitors[1:]:
        assert (await visitor.read()).content == b"own"
    talk.go.set()

    assert (await visitors[0].read()).content == b"helloworld"


async def test_a_validation_is_one_request_too(scene):
    """Of many who find the same answer stale."""
    scene.answers('Cache-Control: max-age=0 | ETag: "a"')
    await scene.ask()
    scene.on(held(scene, f'304 | {FRESH} | ETag: "a"'))
    visitors = await crowd(scene, 10)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    talks = await arrived(scene, 2)
    await are_heard(scene)
    let_go(talks)
    answers = [await visitor.read() for visitor in visitors]

    assert scene.count == 2
    assert {answer.content for answer in answers} == {b"1"}
    handling = "fwd=stale; fwd-status=304; stored"
    assert {answer.handling for answer in answers} <= {handling, f"{handling}; collapsed", "hit"}


async def test_what_each_client_asks_of_the_same_answer(scene):
    """Conditions are answered for each alone."""
    scene.on(held(scene, f'{FRESH} | ETag: "a" | > 0123456789'))
    wishes = ["", 'If-None-Match: "a"', 'If-None-Match: "b"', "If-Modified-Since: @600", "", ""]
    visitors = await crowd(scene, len(wishes))
    for visitor, wish in zip(visitors, wishes, strict=True):
        visitor.send(f"/o{scene.path}", wish)
    talks = await arrived(scene, 1)
    await are_heard(scene)
    let_go(talks)
    found = [await visitor.read() for visitor in visitors]

    assert [answer.status for answer in found] == [200, 304, 200, 304, 200, 200]
    assert scene.count == 1


async def test_a_failure_is_everybodys(scene):
    """Those who wait are not sent one after the other to an origin that does not answer."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        talk.close()

    scene.on(script)
    visitors = await crowd(scene, 10)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    await arrived(scene, 1)
    await are_heard(scene)
    reading = [asyncio.ensure_future(visitor.read()) for visitor in visitors]
    while not all(each.done() for each in reading):
        let_go(scene.asked())
        await asyncio.wait(reading, timeout=0.01)

    assert {each.result().status for each in reading} == {502}
    assert scene.count <= 2  # a connection that had been used before may be tried anew


async def test_many_streams_of_one_connection(scene):
    """Pipelined, they are answered in order by one answer."""
    scene.on(held(scene, FRESH))
    visitor = scene.visitors[0]
    for _ in range(5):
        visitor.send(f"/o{scene.path}")
    let_go(await arrived(scene, 1))

    assert [(await visitor.read()).content for _ in range(5)] == [b"1"] * 5
    assert scene.count == 1


async def test_refreshing_in_the_background_is_one_request(scene):
    """However many find the answer stale meanwhile."""
    swr = "Cache-Control: max-age=0, stale-while-revalidate=600"
    scene.answers(f'{swr} | ETag: "a"')
    await scene.ask()

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        say(talk, f'304 | {FRESH} | ETag: "a" | X-A: new')

    scene.on(script)
    visitors = await crowd(scene, 20)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    for visitor in visitors:
        assert (await visitor.read()).short == (200, b"1", "hit")
    let_go(await arrived(scene, 2))
    await scene.settle("x-a", "new")

    assert scene.count == 2
