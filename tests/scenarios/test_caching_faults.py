"""What goes wrong between a node of two workers and its origins is never stored; and what stays."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.support import eventually
from tests.support_origin import Talk
from tests.support_stored import Answer, Visitor, on_scene, staged
from tests.support_wire import KIB, MIB, until

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
HEAD = f"HTTP/1.1 200 OK\r\n{FRESH}\r\n".encode()
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def ending(*pieces: bytes, by_reset: bool = False):
    """Sends pieces, each when the test says so but for the first, and ends the connection."""

    def script(talk: Talk) -> None:
        talk.read()
        for number, piece in enumerate(pieces):
            if number:
                talk.wait()
            talk.send(piece)
        talk.wait()
        if by_reset:
            talk.reset()
        else:
            talk.close()

    return script


HALVES = {
    "half of what it said": ending(HEAD + b"Content-Length: 10\r\n\r\nhello"),
    "half, later": ending(HEAD + b"Content-Length: 10\r\n\r\n", b"hello"),
    "half, and a reset": ending(HEAD + b"Content-Length: 10\r\n\r\nhello", by_reset=True),
    "a byte too few": ending(HEAD + b"Content-Length: 6\r\n\r\nhello"),
    "chunks without an end": ending(CHUNKS + b"5\r\nhello\r\n"),
    "chunks, and a reset": ending(CHUNKS + b"5\r\nhello\r\n", by_reset=True),
    "half a chunk": ending(CHUNKS + b"9\r\nhello"),
    "a chunk that is none": ending(CHUNKS + b"5\r\nhello\r\n", b"what\r\n"),
    "an end without its end": ending(CHUNKS + b"5\r\nhello\r\n0\r\n"),
}


async def broken(visitor: Visitor, answer: Answer) -> bytes:
    """What a client gets of content that breaks off; fails where it passes for a whole one."""
    got = b""
    try:
        if answer.get("transfer-encoding") == "chunked":
            while chunk := await visitor.chunk():
                got += chunk
        else:
            await visitor.piece(int(answer.get("content-length") or "0"))
    except asyncio.IncompleteReadError as error:
        return got or error.partial
    except ConnectionResetError:
        return got
    raise AssertionError("it passes for a whole one")


@pytest.mark.parametrize("script", HALVES.values(), ids=HALVES.keys())
async def test_half_an_answer_is_never_stored(scene, script):
    """Who reads it sees that it broke, and the next request asks again."""
    scene.on(script)
    for number in (1, 2):
        for visitor in scene.visitors:
            visitor.send(f"/o{scene.path}")
        heads = [await visitor.head() for visitor in scene.visitors]
        assert {head.status for head in heads} == {200}
        assert {head.handling for head in heads} == {FIRST, f"{FIRST}; collapsed"}
        (talk,) = scene.asked()[number - 1 :]
        reading = [
            asyncio.ensure_future(broken(visitor, head))
            for visitor, head in zip(scene.visitors, heads, strict=True)
        ]
        while not talk.ended.is_set():
            talk.go.set()
            await (await scene.connect())[0].ask("/here.txt")
        assert set(await asyncio.gather(*reading)) <= {b"hello", b""}
        await scene.open()
    scene.answers(FRESH)

    assert (await scene.ask()).short == (200, b"3", FIRST)
    assert (await scene.ask()).short == (200, b"3", "hit")


async def test_half_an_answer_replaces_nothing(scene):
    """What was to be validated is still there afterwards."""
    scene.answers('Cache-Control: max-age=0 | ETag: "a"')
    await scene.ask()
    scene.on(ending(HEAD + b"Content-Length: 10\r\n\r\nhello"))
    visitor = await scene.visitor(scene.pids()[0])
    visitor.send(f"/o{scene.path}")
    await scene.origin.until(lambda: scene.count == 2)
    assert (await visitor.head()).status == 200
    scene.asked()[1].go.set()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await visitor.piece(10)
    scene.answers(f'304 | {FRESH} | ETag: "a"')

    assert (await scene.ask()).short == (200, b"1", "fwd=stale; fwd-status=304; stored")


async def test_more_than_its_length_is_not_stored(scene):
    """Nor does it answer anybody else."""
    poison = HEAD + b"Content-Length: 6\r\n\r\npoison"

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(HEAD + b"Content-Length: 5\r\n\r\nhello" + poison)

    scene.on(script)
    for handling in (FIRST, "hit", "hit"):
        assert (await scene.ask()).short == (200, b"hello", handling)
    scene.answers(FRESH, path="/other")
    for visitor in scene.visitors:
        assert b"poison" not in (await visitor.ask(f"/o{scene.path}/other")).content


NO_ANSWERS = {
    "closes": b"",
    "says something else": b"220 mail.test ESMTP\r\n\r\n",
    "says two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "says both framings": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "closes in the head": HEAD,
}


@pytest.mark.parametrize("sent", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_no_answer_is_not_stored(scene, sent):
    """502 each time, and the first good answer is stored."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(sent)
        talk.close()

    scene.on(script)
    for _ in range(2):
        assert (await scene.ask()).status == 502
    scene.answers(FRESH)
    first = await scene.ask()

    assert (first.status, first.handling) == (200, FIRST)
    assert (await scene.ask()).short == (200, first.content, "hit")


# Size


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("size", [MIB, MIB + 1], ids=["the limit", "a byte more"])
async def test_what_is_larger_than_max_object_passes(scene, size, framing):
    """Whole, and is not stored; what is just as large is."""
    content = bytes(range(256)) * (size // 256 + 1)

    def script(talk: Talk) -> None:
        talk.read()
        if framing == "length":
            talk.answer(content[:size], 200, FRESH)
        else:
            talk.send(CHUNKS, b"%x\r\n" % size, content[:size], b"\r\n0\r\n\r\n")

    scene.on(script)
    answers = [await scene.ask() for _ in range(4)]
    for answer in answers:
        assert answer.content == content[:size]
    if size > MIB and framing == "length":
        assert answers[0].handling == "fwd=uri-miss; detail=too-large"
    if size == MIB:
        assert [answer.handling for answer in answers] == [FIRST, "hit", "hit", "hit"]

    assert scene.count == (4 if size > MIB else 1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A node that stores next to nothing."""
    with staged(tmp_path_factory.mktemp("small"), "{max_object: 16KiB}") as found:
        yield found


@pytest.mark.parametrize("size", [16 * KIB, 16 * KIB + 1], ids=["the limit", "a byte more"])
async def test_a_limit_that_is_small(small, place, order, size):
    """Content that is there at once, and does not say its length, has it too."""
    async with on_scene(small, place, order) as scene:

        def script(talk: Talk) -> None:
            talk.read()
            talk.send(CHUNKS + b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size)))

        scene.on(script)
        answers = [await scene.ask() for _ in range(4)]
        assert [answer.content for answer in answers] == [bytes(size)] * 4
        assert scene.count == (1 if size == 16 * KIB else 4)


async def test_many_read_what_turns_out_too_large(scene):
    """All of it, at their own pace; those who come later ask for themselves."""
    size = 3 * MIB

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(CHUNKS)
        talk.wait()
        for _ in range(size // 65536):
            talk.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        talk.send(b"0\r\n\r\n")

    scene.on(script)
    visitors = [*scene.visitors, *await scene.pair()]
    for visitor in visitors:
        visitor.send(f"/o{scene.path}")
    for visitor in visitors:
        assert (await visitor.head()).status == 200
    assert scene.count == 1
    scene.asked()[0].go.set()

    async def rest(visitor: Visitor) -> int:
        got = 0
        while chunk := await visitor.chunk():
            got += len(chunk)
        return got

    assert await asyncio.gather(*map(rest, visitors)) == [size] * len(visitors)
    scene.answers(FRESH)
    assert (await scene.ask()).content == b"2"


# A worker that dies

BURST = 24


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_worker_that_is_killed_leaves_the_node_serving(scene, victim):
    """Whoever is left asks the origin where it must; soon everything is stored once again."""
    paths = [f"/{number}" for number in range(BURST)]
    for path in paths:
        scene.answers(FRESH, path=path)
        for visitor in scene.visitors:
            await visitor.ask(f"/o{scene.path}{path}")
    before = scene.node.pids("worker")
    dead, alive = scene.pids()[victim], scene.visitors[1 - victim]
    os.kill(dead, signal.SIGKILL)
    for path in paths:
        answer = await alive.ask(f"/o{scene.path}{path}")
        assert (answer.status, answer.content in (b"1", b"2")) == (200, True)

    def is_whole() -> bool:
        now = scene.node.pids("worker")
        return len(now) == 2 and now != before and scene.node.is_ready()

    await asyncio.to_thread(eventually, is_whole)
    await scene.open()
    for path in paths:
        target = f"/o{scene.path}{path}"
        answers = [await visitor.ask(target) for visitor in (*scene.visitors, *scene.visitors)]
        assert {answer.status for answer in answers} == {200}
    for path in paths:
        answers = [await visitor.ask(f"/o{scene.path}{path}") for visitor in scene.visitors]
        assert [answer.handling for answer in answers] == ["hit", "hit"]
        assert len(scene.asked(path)) <= 4


async def test_what_waits_at_a_worker_that_is_killed(scene):
    """Who waits for its answer through a sibling gets one of its own."""
    scene.on(lambda talk: (talk.read(), talk.wait(), talk.answer(b"hello", 200, FRESH)))
    for visitor in scene.visitors:
        visitor.send(f"/o{scene.path}")
    await scene.origin.until(lambda: scene.count == 1)
    first = scene.asked()[0]
    # Which of the two asks the origin is found out by its connection: it ends with its worker.
    before = scene.node.pids("worker")
    os.kill(scene.pids()[0], signal.SIGKILL)
    survivor = scene.visitors[1]
    reading = asyncio.ensure_future(survivor.read())
    while not reading.done():
        for talk in scene.asked():
            talk.go.set()
        await asyncio.wait([reading], timeout=0.01)
    answer = reading.result()
    assert (answer.status, answer.content) == (200, b"hello")
    assert scene.count <= 2
    assert first is scene.asked()[0]
    await until(lambda: len(scene.node.pids("worker")) == 2 and scene.node.pids("worker") != before)
    await asyncio.to_thread(eventually, scene.node.is_ready)


# Deploys and the operator's fields


async def test_a_deploy_leaves_stored_answers_where_they_are(scene):
    """They are the origin's, not the deployment's."""
    scene.answers(FRESH)
    await scene.ask()
    await scene.ask()
    files = scene.node.folder / "files"
    (files / "new.txt").write_text(scene.path)
    await asyncio.to_thread(scene.node.deploy, files, "site")
    for _ in range(4):
        assert (await scene.ask()).short == (200, b"1", "hit")

    assert (await scene.visitors[0].ask("/new.txt")).content == scene.path.encode()


async def test_headers_of_the_operator_apply_at_once(scene):
    """To what is stored as well, at both workers; the store knows nothing of them."""
    scene.answers(f"{FRESH} | X-Team: origin's | X-B: kept")
    for _ in range(3):
        assert (await scene.ask()).get("x-team") == "origin's"
    file = scene.node.folder / "rules" / "site" / "customHttp.yml"
    for value in ("blue", "green"):
        file.write_text(
            f"customHeaders: [{{pattern: '/o/**', headers: [{{key: X-Team, value: {value}}},"
            " {key: Cache-Control, value: 'max-age=1'}]}]\n"
        )
        await asyncio.to_thread(scene.node.edge, "reload")
        for _ in range(4):
            answer = await scene.ask()
            assert answer.short == (200, b"1", "hit")
            assert (answer.get("x-team"), answer.get("x-b")) == (value, "kept")
            assert answer.get("cache-control") == "max-age=1"
            assert (answer.ttl or 0) > 300
    file.unlink()
    await asyncio.to_thread(scene.node.edge, "reload")
    for _ in range(4):
        answer = await scene.ask()
        assert (answer.get("x-team"), answer.get("cache-control")) == ("origin's", "max-age=600")

    assert scene.count == 1
