"""Clients who ask for the same at once, and are not answered alike, or do not wait for it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support_crowd import CHUNKS, FRESH, are_heard, arrived, crowd, let_go
from tests.support_origin import Talk
from tests.support_stored import Visitor


@pytest.mark.parametrize("leaves", ["before the head", "in the content"])
async def test_who_was_first_may_leave(scene, leaves):
    """Those who wait for the same get it, and it is stored."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        talk.send(CHUNKS + b"5\r\nhello\r\n")
        talk.wait()
        talk.send(b"5\r\nworld\r\n0\r\n\r\n")

    scene.on(script)
    first, *others = await crowd(scene, 5)
    first.send(f"/o{scene.path}")
    talk = (await arrived(scene, 1))[0]
    for visitor in others:
        visitor.send(f"/o{scene.path}")
    await are_heard(scene)
    if leaves == "before the head":
        first.client.reset()
        await are_heard(scene)
        talk.go.set()
    else:
        talk.go.set()
        for visitor in (first, *others):
            assert (await visitor.head()).status == 200
            assert await visitor.chunk() == b"hello"
        first.client.reset()
        await are_heard(scene)
    if leaves != "before the head":
        talk.go.set()
        for visitor in others:
            assert [await visitor.chunk(), await visitor.chunk()] == [b"world", b""]
    else:
        for visitor in others:
            await visitor.head()
            assert await visitor.chunk() == b"hello"
        talk.go.set()
        for visitor in others:
            assert [await visitor.chunk(), await visitor.chunk()] == [b"world", b""]

    for visitor in scene.visitors:
        assert (await visitor.ask(f"/o{scene.path}")).content == b"helloworld"
    assert scene.count == 1


BEGINNINGS = {
    "before the head": b"",
    "behind the head": CHUNKS,
    "in the content": CHUNKS + b"5\r\nhello\r\n",
    "in content that has a length": (
        f"HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 99\r\n\r\nhello".encode()
    ),
    "in an answer for one": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello",
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS.keys())
async def test_when_all_have_left_the_origin_is_left_alone(scene, begin):
    """Its request is cancelled, at whichever worker they were; the next one asks again."""
    is_shared = b"max-age" in begin or not begin
    visitors = await crowd(scene, 4 if is_shared else 1)

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(begin)
        talk.until_closed()
        talk.close()

    scene.on(script)
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    talk = (await arrived(scene, 1))[0]
    await are_heard(scene)
    if begin:
        for visitor in visitors:
            assert (await visitor.head()).status == 200
    for visitor in visitors[1:]:
        visitor.client.reset()
    await are_heard(scene)
    assert not talk.ended.is_set()
    visitors[0].client.reset()
    await talk.over()

    assert scene.count == 1
    scene.answers(FRESH)
    again = [(await visitor.ask(f"/o{scene.path}")).content for visitor in scene.visitors]
    assert again == ([b"2"] * 2 if is_shared else [b"2", again[1]])


@pytest.mark.parametrize("pace", ["at once", "slowly"])
async def test_variants_are_one_request_each(scene, pace):
    """Though nobody knew before the first answer that there are any."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        value = talk.fields["x-v"].encode()
        head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nVary: X-V\r\nContent-Length: 2\r\n\r\n".encode()
        if pace == "at once":
            talk.send(head + value * 2)
        else:
            talk.send(head + value)
            talk.wait()
            talk.send(value)

    scene.on(script)
    visitors = await crowd(scene, 12)
    wishes = ["abc"[number // 2 % 3] for number in range(len(visitors))]
    for visitor, wish in zip(visitors, wishes, strict=True):
        visitor.send(f"/o{scene.path}", f"X-V: {wish}")
    talks = await arrived(scene, 1)
    await are_heard(scene)
    assert scene.count == 1
    let_go(talks)
    talks = await arrived(scene, 3)
    await are_heard(scene)
    reading = [asyncio.ensure_future(visitor.read()) for visitor in visitors]
    while not all(each.done() for each in reading):
        let_go(scene.asked())
        await asyncio.wait(reading, timeout=0.01)
    for wish, answer in zip(wishes, [each.result() for each in reading], strict=True):
        assert answer.content == wish.encode() * 2

    assert sorted(talk.fields["x-v"] for talk in scene.asked()) == ["a", "b", "c"]


async def test_credentials_are_not_shared(scene):
    """Who has Authorization asks alone."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        talk.answer(talk.fields["authorization"].encode(), 200, FRESH)

    scene.on(script)
    visitors = await crowd(scene, 6)
    for number, visitor in enumerate(visitors):
        visitor.send(f"/o{scene.path}", f"Authorization: Bearer {number}")
    let_go(await arrived(scene, 6))
    for number, visitor in enumerate(visitors):
        assert (await visitor.read()).content == b"Bearer %d" % number


@pytest.mark.parametrize("pace", ["at once", "slowly", "in the head"])
async def test_nobody_gets_what_names_another(scene, pace):
    """An answer that repeats the client who was first is not read by those who wait for it."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.wait()
        name = talk.fields["x-forwarded-for"].encode()
        head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {len(name)}\r\n".encode()
        if pace == "at once":
            talk.send(head + b"\r\n" + name)
        elif pace == "slowly":
            talk.send(head + b"\r\n")
            talk.wait()
            talk.send(name)
        else:
            talk.send(head + b"X-You: " + name + b"\r\n\r\n")
            talk.wait()
            talk.send(bytes(len(name)))

    scene.on(script)
    addresses = [f"127.0.0.{number}" for number in range(2, 8)]
    visitors = [
        (await crowd(scene, 2, address))[number % 2] for number, address in enumerate(addresses)
    ]
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    await arrived(scene, 1)
    await are_heard(scene)

    async def told(visitor: Visitor) -> bytes:
        try:
            answer = await visitor.read()
        except asyncio.IncompleteReadError as broken:  # nothing is better than another's
            return broken.partial
        return answer.content.strip(b"\0") + (answer.get("x-you") or "").encode()

    reading = [asyncio.ensure_future(told(visitor)) for visitor in visitors]
    while not all(each.done() for each in reading):
        let_go(scene.asked())
        await asyncio.wait(reading, timeout=0.01)
    got = [each.result().decode() for each in reading]

    assert [
        name for name, address in zip(got, addresses, strict=True) if name not in ("", address)
    ] == []
