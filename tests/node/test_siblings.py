"""One stored answer a node: at its owner, copies of it elsewhere, and drops that reach them all."""

from __future__ import annotations

import asyncio

import pytest

from edge.node.shelf import SHARE
from tests.support_origin import raw, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    broker_of,
    conditional,
    get,
    getting,
    handling,
    mark_of,
    waiting,
)
from tests.support_serving import HOST
from tests.support_siblings import copies, drop, kept, pairing
from tests.support_wire import until

OBEYING = "cache: {client_directives: [no-cache]}\n"


@pytest.fixture
async def pair(tmp_path, origin):
    """Two workers of one node."""
    async with pairing(tmp_path, origin) as found:
        yield found


# Owners and copies


async def test_an_answer_is_stored_at_its_owner(pair, origin, path):
    """Whoever got the request; the origin is asked once."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, other = pair.of(path)
    first = await get(other, f"/o{path}")
    second = await get(owner, f"/o{path}")

    assert (first.content, handling(first)) == (b"hello", "fwd=uri-miss; stored")
    assert (second.content, handling(second)) == (b"hello", "hit")
    assert (len(kept(owner, path)), kept(other, path)) == (1, [])
    assert len(origin.of(path)) == 1


async def test_what_is_asked_again_is_copied(pair, origin, path):
    """From then on the owner is not asked; age and lines are the same."""
    origin.on(path, saying(b"hello", 200, FRESH, "X-A: b", "Cache-Tag: one, two"))
    owner, other = pair.of(path)
    await get(owner, f"/o{path}")
    pair.pass_time(20)
    await get(other, f"/o{path}")
    (copy,), (original,) = copies(other, path), kept(owner, path)
    pair.pass_time(10)
    here, there = await get(other, f"/o{path}"), await get(owner, f"/o{path}")

    for answer in (here, there):
        assert handling(answer) == "hit"
        del answer.fields["cache-status"]  # a second may be lost on the way
    assert (here.content, here.fields, here.fields["age"]) == (there.content, there.fields, "30")
    assert copy.labels.keys() >= {b"tag one", b"tag two", b"app site", b"host " + HOST.encode()}
    assert original.is_lent
    assert abs(copy.stored.fresh_until - original.stored.fresh_until) <= 1


async def test_a_copy_serves_while_it_is_fresh_and_no_longer(pair, origin, path):
    """Its owner validates it."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    _, other = pair.of(path)
    for _ in range(2):
        await get(other, f"/o{path}")
    assert len(copies(other, path)) == 1
    pair.pass_time(100)
    answer = await get(other, f"/o{path}")
    assert handling(answer) == "fwd=stale; fwd-status=304; stored"
    assert len(origin.of(path)) == 2


@pytest.mark.parametrize("fields", [{"method": "HEAD"}, {"range": "bytes=0-1"}], ids=str)
async def test_what_is_not_all_of_it_is_not_copied(pair, origin, path, fields):
    """It would answer others."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, other = pair.of(path)
    await get(owner, f"/o{path}")
    answer = await get(other, f"/o{path}", **fields)

    assert handling(answer) == "hit"
    assert copies(other, path) == []


async def test_large_answers_are_not_copied(pair, origin, path):
    """They come from their owner each time, whole."""
    origin.on(path, saying(LARGE, 200, FRESH))
    owner, other = pair.of(path)
    for _ in range(3):
        assert (await get(other, f"/o{path}")).content == LARGE

    assert (len(kept(owner, path)), copies(other, path), len(origin.of(path))) == (1, [], 1)


async def test_a_copy_is_for_those_that_its_original_is_for(pair, origin, path):
    """Also where its origin did not say that it varies by coding."""
    origin.on(path, lambda talk: talk.answer(talk.fields["accept-encoding"].encode(), 200, FRESH))
    _, other = pair.of(path)
    for _ in range(2):
        assert (await get(other, f"/o{path}")).content == b"identity"
    assert (await get(other, f"/o{path}", accept_encoding="gzip")).content == b"gzip"


async def test_copies_take_their_share_and_no_more(tmp_path, origin, path):
    """The oldest give way; what is counted is what is there."""
    async with pairing(tmp_path, origin, "cache: {memory: 2MiB}\n") as pair:
        total = 0
        for number in range(40):
            each = f"{path}/{number}"
            origin.on(each, saying(bytes(20_000), 200, FRESH))
            other = pair.of(each)[1]
            for _ in range(2):
                await get(other, f"/o{each}")
        for site in pair.sites:
            shelf = broker_of(site).shelf
            found = [entry for entry in shelf._queue if entry.is_copy]
            share = shelf.room.capacity // SHARE
            assert 0 < sum(entry.cost for entry in found) <= share
            total += len(found)
        assert total < 40


async def test_a_copy_that_was_dropped_is_held_by_nobody(pair, origin, path):
    """Its bytes are free, and are not counted any more."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, other = pair.of(path)
    for _ in range(2):
        await get(other, f"/o{path}")
    await drop(owner, b"app site")
    shelf = broker_of(other).shelf

    assert (shelf._copied, list(shelf._copies)) == (0, [])


# Letting go

LABELS = [b"app site", b"branch site main", b"host " + HOST.encode(), b"tag a"]


@pytest.mark.parametrize("label", LABELS, ids=str)
@pytest.mark.parametrize("by", [0, 1], ids=["owner", "other"])
async def test_a_drop_reaches_original_and_copies(pair, origin, path, label, by):
    """Once it is answered nobody serves what was there."""
    origin.on(path, saying(b"old", 200, FRESH, "Cache-Tag: a"))
    sites = pair.of(path)
    for site in (*sites, *sites):
        await get(site, f"/o{path}")
    assert len(copies(sites[1], path)) == 1
    origin.on(path, saying(b"new", 200, FRESH))
    await drop(sites[by], label)
    for site in reversed(sites):
        assert (await get(site, f"/o{path}")).content == b"new"


async def test_a_change_that_went_through_is_told_to_all(pair, origin, path):
    """Before its answer is sent (RFC 9111 §4.4)."""
    origin.on(path, saying(b"old", 200, FRESH))
    owner, other = pair.of(path)
    for site in (owner, other, other):
        await get(site, f"/o{path}")
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await get(owner, f"/o{path}", method="POST")).status == 200
    for site in (other, owner):
        assert (await get(site, f"/o{path}")).content == b"new"


async def test_a_drop_overtakes_an_answer_on_its_way_to_be_copied(pair, origin, path):
    """Who asked before it gets the answer, and nobody after it."""
    origin.on(path, waiting(b"old", FRESH))
    owner, other = pair.of(path)
    task = getting(other, f"/o{path}")
    talk = await origin.wait_for(path)
    await drop(owner, b"app site")
    talk.go.set()
    assert (await task).content == b"old"
    assert (copies(other, path), kept(owner, path)) == ([], [])


async def test_a_drop_that_came_while_a_copy_was_on_its_way_counts(pair, origin, path):
    """The copy had left its owner before."""
    origin.on(path, saying(b"old", 200, FRESH))
    owner, other = pair.of(path)
    await get(owner, f"/o{path}")
    siblings = other.worker._siblings
    supplied = siblings._supplied

    async def late(*args):
        supply = await supplied(*args)
        await drop(owner, b"app site")
        return supply

    siblings._supplied = late
    assert (await get(other, f"/o{path}")).content == b"old"
    assert copies(other, path) == []


async def test_an_answer_that_is_replaced_takes_its_copies_along(tmp_path, origin, path):
    """They would be fresh for a while."""
    async with pairing(tmp_path, origin, OBEYING) as pair:
        owner, other = pair.of(path)
        origin.on(path, saying(b"old", 200, FRESH))
        for _ in range(2):
            await get(other, f"/o{path}")
        assert len(copies(other, path)) == 1
        origin.on(path, saying(b"new", 200, FRESH))
        assert (await get(owner, f"/o{path}", cache_control="no-cache")).content == b"new"
        await until(lambda: not copies(other, path))
        assert (await get(other, f"/o{path}")).content == b"new"


GONE = {
    "freshened, then replaced": [conditional('"a"', b"", FRESH), saying(b"new", 200, FRESH)],
    "not stored any more": [saying(b"new", 200, "Cache-Control: private")],
    "gone": [saying(b"new", 404)],
}


@pytest.mark.parametrize("scripts", GONE.values(), ids=GONE.keys())
async def test_an_answer_that_is_not_there_any_more_has_no_copies(tmp_path, origin, path, scripts):
    """However it went, as far as its owner learned of it."""
    async with pairing(tmp_path, origin, OBEYING) as pair:
        owner, other = pair.of(path)
        origin.on(path, conditional('"a"', b"old", FRESH))
        for _ in range(2):
            await get(other, f"/o{path}")
        assert len(copies(other, path)) == 1
        for script in scripts:
            origin.on(path, script)
            await get(owner, f"/o{path}", cache_control="no-cache")
        await until(lambda: not copies(other, path), timeout_s=30)
        assert (await get(other, f"/o{path}")).content == b"new"


# An owner that is gone


async def test_without_its_owner_a_request_goes_through(pair, origin, path):
    """Nothing is stored; what was copied serves on while it is fresh."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, other = pair.of(path)
    slot = pair.sites.index(owner)
    pair.desks[slot].close()
    owner.worker._siblings.place.unlink(missing_ok=True)
    for _ in range(2):
        answer = await get(other, f"/o{path}")
        assert (answer.content, handling(answer)) == (b"hello", "fwd=uri-miss; detail=elsewhere")
    assert (len(origin.of(path)), copies(other, path), kept(other, path)) == (2, [], [])
    assert mark_of(other, path) is None
    pair.desks[slot] = await owner.worker.open_desk()
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss; stored"


async def test_a_drop_does_not_wait_for_who_is_gone(pair, origin, path, monkeypatch):
    """Nothing is stored there."""
    monkeypatch.setattr("edge.node.siblings.DROP_S", 3600)
    owner, other = pair.of(path)
    pair.desks[pair.sites.index(owner)].close()
    owner.worker._siblings.place.unlink(missing_ok=True)
    await asyncio.wait_for(drop(other, b"app site"), 30)


# What is remembered


async def test_what_cannot_be_stored_goes_straight_next_time(pair, origin, path):
    """Its owner is not asked, until it could be stored again."""
    origin.on(path, saying(b"mine", 200, "Cache-Control: private"))
    owner, other = pair.of(path)
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss; detail=private"
    asked = []
    respond = owner.worker._desk.service.respond
    owner.worker._desk.service.respond = lambda request: (asked.append(request), respond(request))[
        1
    ]
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss; detail=private"
    assert asked == []
    origin.on(path, saying(b"ours", 200, FRESH))
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss"
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss; stored"


NOTHING = {
    "HEAD": ({"method": "HEAD"}, raw(b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n",
                                     then=lambda _: None)),
    "a part": ({"range": "bytes=0-1"}, saying(b"he", 206, FRESH, "Content-Range: bytes 0-1/5")),
    "cookies": ({"cookie": "a=b"}, saying(b"hello", 200, FRESH)),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING.keys())
async def test_what_says_nothing_of_the_next_answer_is_not_remembered(pair, origin, path, case):
    """At neither of them: it can be stored."""
    fields, script = case
    origin.on(path, script)
    owner, other = pair.of(path)
    await get(other, f"/o{path}", **fields)
    assert {mark_of(site, path) for site in (owner, other)} <= {None, False}
    origin.on(path, saying(b"hello", 200, FRESH))
    assert handling(await get(other, f"/o{path}")) == "fwd=uri-miss; stored"


async def test_many_at_both_are_one_request(pair, origin, path):
    """The owner collapses them all."""
    origin.on(path, waiting(b"hello", FRESH))
    tasks = [getting(site, f"/o{path}") for site in pair.sites for _ in range(5)]
    talk = await origin.wait_for(path)
    owner, _ = pair.of(path)
    await until(lambda: [each._interest for each in broker_of(owner)._flying] == [10])
    talk.go.set()

    assert {(await task).content for task in tasks} == {b"hello"}
    assert len(origin.of(path)) == 1
