"""Content for the store while it comes: room is reserved for it, and always given back."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from edge.errors import OriginError
from edge.http.caching import Reason
from edge.http.message import Response
from edge.node.content import discard
from tests.support_origin import Talk, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    begin,
    broker_of,
    content_of,
    get,
    getting,
    halfway,
    handling,
    idle,
    mark_of,
    proxied,
    quiet,
    stored,
)
from tests.support_serving import Answer, Site, request
from tests.support_wire import until

HALF = len(LARGE) // 2
FIRST = "fwd=uri-miss; stored"


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node that stores just as much of one answer as those of these tests have."""
    most = f"cache: {{max_object: {len(LARGE)}B}}"
    site = proxied(tmp_path_factory.mktemp("intake"), origin, edge_yml=most)
    uvloop.run(site.start())
    return site


@pytest.fixture
async def site(built):
    """A worker that serves it; afterwards nothing is under way, and no room is taken."""
    yield built
    await quiet(built)
    shelf = broker_of(built).shelf
    assert (shelf.size, shelf.coming) == (0, 0)


def coming(site: Site) -> int:
    """Bytes that are reserved."""
    return broker_of(site).shelf.coming


async def half_of(site: Site, path: str, **fields: str) -> Response:
    """An answer whose first half is here."""
    response = await begin(site, request(f"/o{path}", **fields))
    await until(lambda: coming(site) == HALF)
    return response


# Room


@pytest.mark.parametrize("reader", ["reads", "waits"])
async def test_what_comes_takes_room_until_it_is_stored(site, origin, path, reader):
    """Then what is stored does, and nothing else."""
    origin.on(path, halfway(LARGE, FRESH))
    response = await half_of(site, path)
    shelf = broker_of(site).shelf
    assert (shelf.size, len(shelf)) == (HALF, 0)
    origin.of(path)[0].go.set()
    if reader == "reads":
        assert await content_of(response) == LARGE
    await until(lambda: stored(site, path))
    await idle(site.worker)
    (entry,) = stored(site, path)
    assert (shelf.coming, shelf.size) == (0, entry.cost)
    if reader == "waits":
        assert await content_of(response) == LARGE
    assert (await get(site, f"/o{path}")).content == LARGE
    assert len(origin.of(path)) == 1


async def test_what_was_reserved_is_not_counted_twice(site, origin, path):
    """Nothing else has to go for it when it is stored."""
    origin.on(path, saying(b"small", 200, FRESH))
    origin.on(f"{path}/large", saying(LARGE, 200, FRESH))
    shelf = broker_of(site).shelf
    await get(site, f"/o{path}")
    capacity = shelf.room.capacity
    shelf.room.resize(2 * len(LARGE) + shelf.size)
    try:
        assert (await get(site, f"/o{path}/large")).content == LARGE
        await until(lambda: stored(site, f"{path}/large"))
        assert len(stored(site, path)) == 1
    finally:
        shelf.room.resize(capacity)


async def test_without_room_it_is_for_those_who_wait(site, origin, path):
    """All of it; with room again, the next one is stored."""
    origin.on(path, saying(LARGE, 200, FRESH))
    shelf = broker_of(site).shelf
    taken = shelf.room.capacity // 2
    assert shelf.reserve(taken)
    assert (await get(site, f"/o{path}")).content == LARGE
    await until(lambda: not broker_of(site)._flying)
    assert (stored(site, path), shelf.coming) == ([], taken)
    shelf.give_back(taken)
    assert handling(await get(site, f"/o{path}")) == FIRST
    await idle(site.worker)
    assert handling(await get(site, f"/o{path}")) == "hit"


async def test_where_room_ends_midway_what_was_reserved_is_given_back(site, origin, path):
    """Its readers get the rest all the same."""
    origin.on(path, halfway(LARGE, FRESH))
    response = await half_of(site, path)
    shelf = broker_of(site).shelf
    taken = shelf.room.capacity // 2 - HALF
    assert shelf.reserve(taken)
    origin.of(path)[0].go.set()
    assert await content_of(response) == LARGE
    await until(lambda: not broker_of(site)._flying)
    assert (stored(site, path), shelf.coming, shelf.size) == ([], taken, taken)
    shelf.give_back(taken)


# Too large


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("framed", ["by its length", "in chunks"])
async def test_up_to_the_limit_it_is_stored(site, origin, path, extra, framed):
    """One byte more is too large, whether that is known at once or at the end."""
    content = LARGE + bytes(extra)
    script = saying(content, 200, FRESH) if framed == "by its length" else chunked(content)
    origin.on(path, script)
    first = await get(site, f"/o{path}")
    await idle(site.worker)
    second = await get(site, f"/o{path}")
    await idle(site.worker)

    assert (first.content, second.content) == (content, content)
    if extra:
        expected = "fwd=uri-miss; detail=too-large"
        assert handling(first) == (FIRST if framed == "in chunks" else expected)
        assert (handling(second), mark_of(site, path)) == (expected, Reason.TOO_LARGE)
    else:
        assert (handling(first), handling(second)) == (FIRST, "hit")
    assert (len(stored(site, path)), len(origin.of(path))) == (1 - extra, 1 + extra)


def chunked(content: bytes):
    """A script without a length."""

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        talk.send(FRESH.encode(), b"\r\n\r\n")
        for start in range(0, len(content), HALF):
            piece = content[start : start + HALF]
            talk.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        talk.send(b"0\r\n\r\n")

    return script


async def test_what_grows_too_large_gives_back_at_once(site, origin, path):
    """While it goes on to its readers; nobody new joins them."""
    origin.on(path, halfway(LARGE * 4, FRESH))
    response = await begin(site, request(f"/o{path}"))
    await until(lambda: mark_of(site, path) is Reason.TOO_LARGE)
    assert (coming(site), broker_of(site).shelf.size) == (0, 0)
    second = getting(site, f"/o{path}")
    for number in (1, 2):
        (await origin.wait_for(path, number)).go.set()
    assert await content_of(response) == LARGE * 4
    assert (await second).content == LARGE * 4


# Dropped while it comes


@pytest.mark.parametrize("by", [b"app site", None], ids=["a label", "everything"])
async def test_what_is_dropped_while_it_comes_is_not_stored(site, origin, path, by):
    """Who asked before gets it; who asks after it waits for another one."""
    origin.on(path, halfway(LARGE, FRESH))
    response = await half_of(site, path)
    broker = broker_of(site)
    assert (broker.clear() if by is None else broker.drop([by])) == 0
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await get(site, f"/o{path}")).content == b"new"
    origin.of(path)[0].go.set()
    assert await content_of(response) == LARGE
    await idle(site.worker)
    assert [entry.content for entry in stored(site, path)] == [b"new"]
    assert (await get(site, f"/o{path}")).content == b"new"


# Broken off


async def test_what_breaks_off_is_not_stored(site, origin, path):
    """All who read it learn so, and the next request asks again."""
    origin.on(path, halfway(LARGE, FRESH, ends=Talk.reset))
    response = await half_of(site, path)
    other = await begin(site, request(f"/o{path}"))
    origin.of(path)[0].go.set()
    for each in (response, other):
        with pytest.raises(OriginError):
            await content_of(each)
    await idle(site.worker)
    assert (stored(site, path), mark_of(site, path)) == ([], False)
    origin.on(path, saying(LARGE, 200, FRESH))
    assert (await get(site, f"/o{path}")).content == LARGE


# Readers


async def test_who_comes_later_reads_from_the_beginning(site, origin, path):
    """Of one answer of the origin."""
    origin.on(path, halfway(LARGE, FRESH))
    response = await half_of(site, path)
    other = await begin(site, request(f"/o{path}"))
    assert handling(Answer(other, b"")) == "fwd=uri-miss; stored; collapsed"
    origin.of(path)[0].go.set()
    assert await asyncio.gather(content_of(response), content_of(other)) == [LARGE, LARGE]
    assert len(origin.of(path)) == 1


async def test_one_reader_may_go(site, origin, path):
    """The others and the store go on."""
    origin.on(path, halfway(LARGE, FRESH))
    response = await half_of(site, path)
    other = await begin(site, request(f"/o{path}"))
    await discard(response.content)
    origin.of(path)[0].go.set()
    assert await content_of(other) == LARGE
    await idle(site.worker)
    assert len(stored(site, path)) == 1


async def test_what_nobody_reads_any_more_ends(site, origin, path):
    """The origin is not made to send the rest."""
    origin.on(path, halfway(LARGE, FRESH, ends=Talk.until_closed))
    response = await half_of(site, path)
    talk = origin.of(path)[0]
    talk.go.set()
    await discard(response.content)
    await talk.over()
    await idle(site.worker)
    assert (coming(site), stored(site, path)) == (0, [])


async def test_what_a_client_has_already_is_stored_all_the_same(site, origin, path):
    """It gets 304 while the content comes for others."""
    origin.on(path, halfway(LARGE, FRESH, 'ETag: "a"'))
    response = await half_of(site, path, if_none_match='"a"')
    assert (response.head.status, response.content) == (304, None)
    origin.of(path)[0].go.set()
    await until(lambda: stored(site, path))
    assert (await get(site, f"/o{path}")).content == LARGE


async def test_without_readers_what_grows_too_large_ends(site, origin, path):
    """Neither the store nor anybody wants the rest."""

    def script(talk: Talk) -> None:
        halfway(LARGE, FRESH, 'ETag: "a"', ends=lambda talk: talk.send(more))(talk)
        talk.until_closed()

    more = b"%x\r\n%b\r\n" % (2 * len(LARGE), 2 * LARGE)
    origin.on(path, script)
    response = await half_of(site, path, if_none_match='"a"')
    assert response.head.status == 304
    talk = origin.of(path)[0]
    talk.go.set()
    await talk.over()
    await idle(site.worker)
    assert (coming(site), stored(site, path)) == (0, [])
    assert mark_of(site, path) is Reason.TOO_LARGE


async def test_what_says_who_asked_is_not_stored(site, origin, path):
    """Wherever in its content that is."""
    content = LARGE[:-20] + b"you are at 192.0.2.1"
    origin.on(path, halfway(content, FRESH))
    response = await half_of(site, path)
    origin.of(path)[0].go.set()
    assert await content_of(response) == content
    await idle(site.worker)
    assert (stored(site, path), mark_of(site, path)) == ([], Reason.CLIENT)
