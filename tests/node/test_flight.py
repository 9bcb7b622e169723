"""Requests under way and all who wait for them: roles, refreshes, and what is left when they go."""

from __future__ import annotations

import asyncio

import pytest

from edge.node.content import discard
from edge.node.fanout import HIGH_WATER
from tests.support_origin import Talk, raw, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    begin,
    broker_of,
    content_of,
    get,
    getting,
    gone,
    halfway,
    handling,
    idle,
    proxied,
    quiet,
    stored,
    stuck,
    waiting,
)
from tests.support_serving import request
from tests.support_wire import until

SWR = "Cache-Control: max-age=60, stale-while-revalidate=600"
PRIVATE = "Cache-Control: private"


async def interested(site, count: int) -> None:
    """So many wait for what is under way, or read it."""
    flying = broker_of(site)._flying
    await until(lambda: sum(flight._interest for flight in flying) == count)


# Roles


async def test_an_answer_for_one_is_the_first_ones(site, origin, path):
    """The others ask for themselves as soon as its head is there, not when it ends."""

    def script(talk: Talk) -> None:
        halfway(str(len(origin.of(path))).encode() * 2, PRIVATE)(talk)

    origin.on(path, script)
    tasks = [getting(site, f"/o{path}") for _ in range(3)]
    await interested(site, 3)
    await origin.wait_for(path, 3)  # though none of them has said its last
    for talk in origin.of(path):
        talk.go.set()

    contents = [(await task).content for task in tasks]
    assert contents[0] == b"11"
    assert sorted(contents) == [b"11", b"22", b"33"]


async def test_an_error_is_everybodys(site, origin, path):
    """The origin is not asked once for each of them."""
    origin.on(path, lambda talk: (talk.wait(), talk.close()))
    tasks = [getting(site, f"/o{path}") for _ in range(5)]
    talk = await origin.wait_for(path)
    await interested(site, 5)
    talk.go.set()

    assert {(await task).status for task in tasks} == {502}
    assert len(origin.of(path)) == 1


async def test_whoever_comes_while_it_comes_reads_along(site, origin, path):
    """From the beginning."""
    origin.on(path, halfway(b"hello", FRESH))
    first = await begin(site, request(f"/o{path}"))
    content = aiter(first.content)
    assert await anext(content) == b"he"
    late = getting(site, f"/o{path}")
    await interested(site, 2)
    (await origin.wait_for(path)).go.set()

    assert await anext(content) == b"llo"
    answer = await late
    assert (answer.content, handling(answer)) == (b"hello", "fwd=uri-miss; stored; collapsed")
    await discard(first.content)
    assert len(origin.of(path)) == 1


async def test_whoever_comes_when_it_is_stale_does_not_read_along(site, origin, path):
    """It would have to be validated, however long it takes to come."""
    origin.on(path, halfway(b"hello", FRESH))
    first = getting(site, f"/o{path}")
    talk = await origin.wait_for(path)
    await until(lambda: [each for each in broker_of(site)._flying if each.landing])
    site.pass_time(100)
    origin.on(path, saying(b"new", 200, FRESH))
    answer = await get(site, f"/o{path}")
    talk.go.set()

    assert answer.content == b"new"
    assert (await first).content == b"hello"


async def test_readers_go_at_their_own_pace(site, origin, path):
    """One that stands still holds nobody up where all of it is kept."""
    origin.on(path, saying(LARGE, 200, FRESH))
    slow, fast = [await begin(site, request(f"/o{path}")) for _ in range(2)]
    assert await content_of(fast) == LARGE
    assert handling(await get(site, f"/o{path}")) == "hit"
    assert await content_of(slow) == LARGE


async def test_a_client_that_has_it_already_waits_for_nothing(site, origin, path):
    """It is stored all the same, for the next one."""
    origin.on(path, halfway(b"hello", FRESH, 'ETag: "a"'))
    answer = await get(site, f"/o{path}", if_none_match='"a"')
    assert (answer.status, answer.content) == (304, b"")
    (await origin.wait_for(path)).go.set()
    await idle(site.worker)

    assert (await get(site, f"/o{path}")).content == b"hello"
    assert len(origin.of(path)) == 1


async def test_interim_responses_are_the_first_ones(site, origin, path):
    """The others have asked nobody."""
    interim = b"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n"
    origin.on(path, lambda talk: (talk.send(interim), talk.wait(), talk.answer(b"", 200, FRESH)))
    asked, informed = request(f"/o{path}"), []
    asked.inform = lambda status, _: informed.append(status)
    task = asyncio.ensure_future(site.answer(asked))
    talk = await origin.wait_for(path)
    await until(lambda: informed)
    other = getting(site, f"/o{path}")
    await interested(site, 2)
    talk.go.set()

    assert ((await task).status, (await other).status, informed) == (200, 200, [103])


# In the background


async def stale(site, origin, path, *lines: str, **fields: str) -> None:
    """Have something that serves stale."""
    origin.on(path, saying(b"old", 200, SWR, 'ETag: "a"', *lines))
    await get(site, f"/o{path}", **fields)
    site.pass_time(100)


async def test_what_serves_stale_is_refreshed_once(site, origin, path):
    """However many ask meanwhile; nobody waits."""
    await stale(site, origin, path)
    origin.on(path, waiting(b"new", FRESH))
    for _ in range(5):
        answer = await get(site, f"/o{path}")
        assert (answer.content, handling(answer)) == (b"old", "hit")
    (await origin.wait_for(path, 2)).go.set()
    await idle(site.worker)

    assert (await get(site, f"/o{path}")).content == b"new"
    assert len(origin.of(path)) == 2


OWN = {
    "authorization": "Bearer x", "cookie": "session=alice", "range": "bytes=0-1",
    "if_none_match": '"b"', "if_modified_since": "Sun, 06 Nov 1994 08:49:37 GMT",
    "cache_control": "no-cache",
}  # fmt: skip


async def test_a_refresh_is_nobodys(site, origin, path):
    """It has no credentials, no conditions and no cookies of whoever met it stale."""
    await stale(site, origin, path)
    await get(site, f"/o{path}", accept_language="de", **OWN)
    talk = await (await origin.wait_for(path, 2)).over()
    await idle(site.worker)

    sent = {name.replace("_", "-") for name in OWN} & talk.fields.keys()
    assert sent == {"if-none-match"}
    assert talk.fields["if-none-match"] == '"a"'
    assert talk.fields["accept-language"] == "de"


async def test_a_refresh_asks_for_content(site, origin, path):
    """Also where it was a HEAD that met it stale."""
    await stale(site, origin, path)
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await get(site, f"/o{path}", method="HEAD")).status == 200
    await idle(site.worker)

    assert [talk.method for talk in origin.of(path)] == ["GET", "GET"]
    assert (await get(site, f"/o{path}")).content == b"new"


FAILED = {
    "an error": saying(b"oh", 500),
    "a large error": saying(LARGE, 500),
    "half of it": raw(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\nCache-Control: max-age=9\r\n\r\nx"),
    "nothing": raw(),
    "nonsense": raw(b"?\r\n\r\n"),
}


@pytest.mark.parametrize("script", FAILED.values(), ids=FAILED.keys())
async def test_a_refresh_that_fails_changes_nothing(site, origin, path, script):
    """The next request begins another."""
    await stale(site, origin, path)
    origin.on(path, script)
    for number in (2, 3):
        assert (await get(site, f"/o{path}")).content == b"old"
        await (await origin.wait_for(path, number)).over()
        await idle(site.worker)
    assert (await get(site, f"/o{path}")).content == b"old"
    await idle(site.worker)


async def test_a_refresh_goes_on_though_nobody_waits_any_more(site, origin, path):
    """One who joined it may leave it."""
    await stale(site, origin, path)
    origin.on(path, waiting(b"new", FRESH))
    await get(site, f"/o{path}")
    talk = await origin.wait_for(path, 2)
    site.pass_time(1000)
    joined = getting(site, f"/o{path}")
    await interested(site, 1)
    await gone(joined)
    talk.go.set()
    await idle(site.worker)
    assert (await get(site, f"/o{path}")).content == b"new"


async def test_a_refresh_that_is_private_is_nobodys(site, origin, path):
    """It is not shown to whoever joined it; what was stored goes."""
    await stale(site, origin, path)
    origin.on(path, waiting(b"mine", PRIVATE))
    await get(site, f"/o{path}")
    talk = await origin.wait_for(path, 2)
    site.pass_time(1000)
    joined = getting(site, f"/o{path}")
    await interested(site, 1)
    origin.on(path, saying(b"own", 200, PRIVATE))
    talk.go.set()

    assert (await joined).content == b"own"
    assert stored(site, path) == []


# Clients that go away


SCRIPTS = {
    "shared": halfway(LARGE, FRESH),
    "shared, here": waiting(b"hello", FRESH),
    "for one": halfway(LARGE, PRIVATE),
    "for one, here": waiting(b"hello", PRIVATE),
    "too large": halfway(LARGE * 10, FRESH),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_a_client_may_go_away_at_any_moment(site, origin, path, script, steps):
    """Nothing is left of it: neither connections, nor flights, nor room that was reserved."""
    origin.on(path, lambda talk: (talk.go.set(), script(talk)))
    tasks = [getting(site, f"/o{path}") for _ in range(2)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    await idle(site.worker)


@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-1"}], ids=["joined", "alone"])
async def test_the_last_one_to_go_takes_the_request_along(site, origin, path, fields):
    """While the head is waited for; one of several may go."""
    origin.on(path, Talk.until_closed)
    tasks = [getting(site, f"/o{path}", **fields) for _ in range(1 if fields else 3)]
    talk = await origin.wait_for(path)
    await interested(site, len(tasks))
    await gone(*tasks[1:])
    assert not talk.ended.is_set()
    assert len(broker_of(site)._flying) == 1
    await gone(tasks[0])
    await talk.over()


async def test_the_first_one_may_go(site, origin, path):
    """The others get the answer."""
    origin.on(path, waiting(b"hello", FRESH))
    first, *others = [getting(site, f"/o{path}") for _ in range(3)]
    talk = await origin.wait_for(path)
    await interested(site, 3)
    await gone(first)
    talk.go.set()

    assert [(await task).content for task in others] == [b"hello"] * 2
    assert len(origin.of(path)) == 1


async def test_with_the_last_reader_an_answer_goes(site, origin, path):
    """One of several may leave; who comes next begins anew."""
    origin.on(path, stuck(FRESH))
    first, second = [await begin(site, request(f"/o{path}")) for _ in range(2)]
    assert await anext(aiter(first.content)) == b"he"
    await discard(first.content)
    await discard(first.content)
    assert len(broker_of(site)._flying) == 1
    await discard(second.content)  # it never began
    await (await origin.wait_for(path)).over()
    await idle(site.worker)
    assert stored(site, path) == []


async def test_an_answer_for_one_goes_with_its_client(site, origin, path):
    """In the middle of it, and where nobody ever read."""
    origin.on(path, stuck(PRIVATE))
    for number, reads in enumerate((True, False), 1):
        response = await begin(site, request(f"/o{path}"))
        if reads:
            assert await anext(aiter(response.content)) == b"he"
        await discard(response.content)
        await (await origin.wait_for(path, number)).over()


async def test_an_answer_for_one_whose_client_is_gone_is_let_go(site, origin, path):
    """Those who wait for it too ask for themselves."""
    origin.on(path, lambda talk: (talk.wait(), stuck(PRIVATE)(talk)))
    first, other = [getting(site, f"/o{path}") for _ in range(2)]
    talk = await origin.wait_for(path)
    await interested(site, 2)
    await gone(first)
    origin.on(path, saying(b"own", 200, PRIVATE))
    talk.go.set()

    assert (await other).content == b"own"
    await talk.over()


async def test_the_slowest_reader_holds_up_what_is_not_kept(tmp_path, origin, path):
    """The origin waits with it; memory stays bounded."""
    site = await proxied(tmp_path, origin, edge_yml="cache: {max_object: 1KiB}\n").start()
    content = LARGE * 8

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=9\r\n")
        talk.send(b"\r\n1\r\n-\r\n")
        talk.wait()
        talk.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))

    origin.on(path, script)
    response = await begin(site, request(f"/o{path}"))
    (flight,) = broker_of(site)._flying
    fanout = flight.landing.coming.fanout
    (await origin.wait_for(path)).go.set()
    await until(lambda: fanout._held > HIGH_WATER)
    assert fanout._held <= HIGH_WATER + 2 * 256 * 1024
    assert await content_of(response) == b"-" + content
    await quiet(site)
