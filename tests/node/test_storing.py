"""What an origin's answer may be stored for, and what it may not: whom it is for, and how large."""

from __future__ import annotations

import asyncio

import pytest

from edge.errors import OriginError
from edge.http.caching import Reason
from edge.site import keys
from tests.support_origin import Talk, echo, raw, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    OK,
    begin,
    broker_of,
    content_of,
    get,
    getting,
    halfway,
    handling,
    mark_of,
    proxied,
    quiet,
    stored,
)
from tests.support_serving import request

CHUNKED = OK + b"Transfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n"
MIB = 1024 * 1024


def chunks(*contents: bytes) -> bytes:
    """Content in chunks, with its end."""
    framed = [b"%x\r\n%b\r\n" % (len(each), each) for each in contents]
    return b"".join(framed) + b"0\r\n\r\n"


# How it comes

COMING = {
    "with its length": saying(b"hello", 200, FRESH),
    "in chunks": raw(CHUNKED + chunks(b"hel", b"lo"), then=lambda _: None),
    "until the end of the connection": raw(OK + FRESH.encode() + b"\r\n\r\nhello"),
    "in two pieces": halfway(b"hello", FRESH),
    "with trailers": raw(CHUNKED + b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", then=lambda _: None),
}


@pytest.mark.parametrize("script", COMING.values(), ids=COMING.keys())
async def test_however_it_comes_it_is_stored_whole(site, origin, path, script):
    """With its length, and nothing of how it was framed."""
    origin.on(path, script)
    task = getting(site, f"/o{path}")
    (await origin.wait_for(path)).go.set()
    assert (await task).content == b"hello"
    answer = await get(site, f"/o{path}")

    assert (answer.content, handling(answer)) == (b"hello", "hit")
    assert answer.fields["content-length"] == "5"
    assert not answer.fields.keys() & {"transfer-encoding", "trailer", "connection"}


async def test_large_content_is_stored_as_it_went_through(site, origin, path):
    """Byte for byte."""
    origin.on(path, saying(LARGE, 200, FRESH))
    first, second = [await get(site, f"/o{path}") for _ in range(2)]

    assert first.content == second.content == LARGE
    assert (handling(first), handling(second)) == ("fwd=uri-miss; stored", "hit")
    assert (first.streamed, second.streamed) == (True, False)


BROKEN = {
    "too short": raw(OK + FRESH.encode() + b"\r\nContent-Length: 9\r\n\r\nhello"),
    "without the last chunk": raw(CHUNKED + b"5\r\nhello\r\n"),
    "reset": raw(CHUNKED + b"5\r\nhello\r\n", then=Talk.reset),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
async def test_what_breaks_off_is_not_stored(site, origin, path, script):
    """Who reads it learns that there is more; the next one asks again."""
    origin.on(path, script)
    for _ in range(2):
        with pytest.raises(OriginError):
            await get(site, f"/o{path}")

    assert (stored(site, path), len(origin.of(path))) == ([], 2)


@pytest.mark.parametrize("status", [200, 203, 301, 404, 410, 418])
async def test_any_status_that_may_be_stored_is(site, origin, path, status):
    """Where its origin says for how long."""
    origin.on(path, saying(b"hello", status, FRESH))
    answers = [await get(site, f"/o{path}") for _ in range(2)]

    assert [answer.status for answer in answers] == [status] * 2
    assert handling(answers[1]) == "hit"


async def test_204_is_stored_without_a_length(site, origin, path):
    """It has none, not even of zero (RFC 9110 §8.6)."""
    origin.on(path, raw(b"HTTP/1.1 204 X\r\n" + FRESH.encode() + b"\r\n\r\n", then=lambda _: None))
    for expected in ("fwd=uri-miss; stored", "hit"):
        answer = await get(site, f"/o{path}")
        assert (answer.status, answer.content, handling(answer)) == (204, b"", expected)
        assert "content-length" not in answer.fields


async def test_tags_are_between_an_origin_and_us(site, origin, path):
    """Nobody gets them, also where nothing is stored."""
    tags = ("Cache-Tag: a, b", "Surrogate-Key: c")
    origin.on(path, saying(b"hello", 200, FRESH, *tags))
    origin.on(path + "/mine", saying(b"hello", 200, "Cache-Control: private", *tags))
    for target in (path, path, path + "/mine"):
        assert not (await get(site, f"/o{target}")).fields.keys() & {"cache-tag", "surrogate-key"}
    for tag in (b"a", b"b", b"c"):
        await get(site, f"/o{path}")
        assert broker_of(site).drop([keys.label_of_tag(tag)]) == 1


# Whom it is for


async def test_what_cookies_are_answered_is_for_one(site, origin, path):
    """While nothing is known of it they are sent, for a login must not break."""
    origin.on(path, lambda talk: talk.answer(talk.fields.get("cookie", "").encode(), 200, FRESH))
    answer = await get(site, f"/o{path}", cookie="session=alice")
    assert (answer.content, handling(answer)) == (b"session=alice", "fwd=uri-miss; detail=cookie")
    assert stored(site, path) == []


async def test_once_it_can_be_shared_cookies_make_no_difference(site, origin, path):
    """They do not reach the origin then, so that what is stored is for everybody."""
    origin.on(path, lambda talk: talk.answer(talk.fields.get("cookie", "").encode(), 200, FRESH))
    await get(site, f"/o{path}", cookie="session=alice")
    answer = await get(site, f"/o{path}", cookie="session=alice")

    assert (answer.content, handling(answer)) == (b"", "fwd=uri-miss; stored")
    answer = await get(site, f"/o{path}", cookie="session=bob")
    assert (answer.content, handling(answer)) == (b"", "hit")


async def test_cookies_are_sent_where_answers_cannot_be_shared(site, origin, path):
    """Each client's own, also for those who waited in vain for an answer without."""

    def script(talk: Talk) -> None:
        if "cookie" not in talk.fields:
            talk.wait()
        talk.answer(talk.fields.get("cookie", "").encode(), 200, "Cache-Control: private")

    origin.on(path, saying(b"", 200, "Cache-Control: max-age=1"))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, script)
    tasks = [getting(site, f"/o{path}", cookie=f"session={name}") for name in ("alice", "bob")]
    (await origin.wait_for(path, 2)).go.set()

    assert [(await task).content for task in tasks] == [b"session=alice", b"session=bob"]
    assert stored(site, path) == []


async def test_a_stale_answer_is_validated_without_cookies(site, origin, path):
    """What is stored was not asked for with them."""
    origin.on(path, saying(b"hello", 200, FRESH, 'ETag: "a"'))
    await get(site, f"/o{path}")
    site.pass_time(100)
    await get(site, f"/o{path}", cookie="session=alice")

    assert "cookie" not in origin.of(path)[1].fields


AUTHORIZED = {
    FRESH: False,
    "Cache-Control: public, max-age=60": True,
    "Cache-Control: s-maxage=60": True,
    "Cache-Control: max-age=60, must-revalidate": True,
}


@pytest.mark.parametrize(("line", "is_shared"), AUTHORIZED.items())
async def test_what_credentials_are_answered_is_for_one_unless_it_says_otherwise(
    site, origin, path, line, is_shared
):
    """RFC 9111 §3.5."""
    origin.on(path, lambda talk: talk.answer(talk.fields["authorization"].encode(), 200, line))
    answer = await get(site, f"/o{path}", authorization="Bearer alice")
    assert answer.content == b"Bearer alice"
    assert len(stored(site, path)) == is_shared
    if not is_shared:
        assert handling(answer) == "fwd=uri-miss; detail=authorization"
        answer = await get(site, f"/o{path}", authorization="Bearer bob")
        assert answer.content == b"Bearer bob"


async def test_a_304_to_credentials_leaves_what_is_stored_alone(site, origin, path):
    """It says nothing to others; who asked gets what is there."""

    def script(talk: Talk) -> None:
        if "if-none-match" in talk.fields:
            talk.send(b'HTTP/1.1 304 X\r\nETag: "a"\r\nX-User: alice\r\n\r\n')
        else:
            talk.answer(b"hello", 200, FRESH, 'ETag: "a"')

    origin.on(path, script)
    await get(site, f"/o{path}")
    site.pass_time(100)
    answer = await get(site, f"/o{path}", authorization="Bearer alice")
    assert (answer.content, answer.fields["x-user"]) == (b"hello", "alice")
    (entry,) = stored(site, path)
    assert b"x-user" not in dict(entry.lines)
    assert entry.stored.fresh_until <= site.clock.epoch


@pytest.mark.parametrize("script", [echo, halfway], ids=["here", "coming"])
async def test_what_repeats_the_clients_address_is_for_one(site, origin, path, script):
    """No key has it."""

    def answer(talk: Talk) -> None:
        content = talk.fields["x-forwarded-for"].encode()
        if script is echo:
            talk.answer(content, 200, FRESH)
        else:
            talk.go.set()
            halfway(content, FRESH)(talk)

    origin.on(path, answer)
    for peer in ("198.51.100.1", "198.51.100.2"):
        assert (await get(site, f"/o{path}", peer=peer)).content == peer.encode()

    assert stored(site, path) == []
    assert mark_of(site, path) is Reason.CLIENT


async def test_an_address_in_a_field_is_the_clients_as_well(site, origin, path):
    """As in the content."""
    origin.on(path, lambda talk: talk.answer(b"", 200, FRESH, "X-You: 198.51.100.1"))
    await get(site, f"/o{path}", peer="198.51.100.1")
    assert stored(site, path) == []
    await get(site, f"/o{path}", peer="198.51.100.2")
    assert len(stored(site, path)) == 1


async def test_who_accepts_no_coding_is_no_measure_for_others(site, origin, path):
    """Many origins do not say that they vary by it."""
    origin.on(path, lambda talk: talk.answer(talk.fields["accept-encoding"].encode(), 200, FRESH))
    assert (await get(site, f"/o{path}")).content == b"identity"
    assert (await get(site, f"/o{path}", accept_encoding="gzip")).content == b"gzip"
    assert (await get(site, f"/o{path}")).content == b"identity"


# How large it is


@pytest.fixture
async def narrow(tmp_path, origin):
    """A node that stores no answer of more than a thousand bytes."""
    site = await proxied(tmp_path, origin, edge_yml="cache: {max_object: 1000}\n").start()
    yield site
    await quiet(site)


SIZES = {
    "with its length": lambda content: saying(content, 200, FRESH),
    "in chunks": lambda content: raw(CHUNKED + chunks(content), then=lambda _: None),
    "without its end": lambda content: raw(OK + FRESH.encode() + b"\r\n\r\n" + content),
    "in two pieces": lambda content: halfway(content, FRESH),
}


@pytest.mark.parametrize("script", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("size", [1000, 1001, 300_000, 2 * MIB])
async def test_what_is_too_large_is_not_stored(narrow, origin, path, script, size):
    """However it comes, all of it goes to its client; the next ones do not wait for each other."""
    content = LARGE * (size // len(LARGE)) + LARGE[: size % len(LARGE)]
    origin.on(path, script(content))
    task = getting(narrow, f"/o{path}")
    (await origin.wait_for(path)).go.set()
    assert (await task).content == content
    assert len(origin.of(path)) == 1
    assert len(stored(narrow, path)) == (size == 1000)
    assert mark_of(narrow, path) is (False if size == 1000 else Reason.TOO_LARGE)


async def test_all_who_read_what_turns_out_too_large_get_all_of_it(narrow, origin, path):
    """Nobody new joins them."""
    content = LARGE[:1800]
    origin.on(path, halfway(content, FRESH))
    responses = [await begin(narrow, request(f"/o{path}")) for _ in range(3)]
    tasks = [asyncio.ensure_future(content_of(response)) for response in responses]
    (await origin.wait_for(path)).go.set()

    assert await asyncio.gather(*tasks) == [content] * 3
    assert (len(origin.of(path)), stored(narrow, path)) == (1, [])


async def test_what_nobody_reads_and_nobody_keeps_is_not_read_to_its_end(narrow, origin, path):
    """Refreshed in the background it would come forever: its connection is let go."""

    def endless(talk: Talk) -> None:
        talk.send(CHUNKED)
        while True:
            talk.send(b"%x\r\n%b\r\n" % (MIB, bytes(MIB)))

    line = "Cache-Control: max-age=60, stale-while-revalidate=600"
    origin.on(path, saying(b"hello", 200, line, 'ETag: "a"'))
    await get(narrow, f"/o{path}")
    site_time = 100
    narrow.pass_time(site_time)
    origin.on(path, endless)
    assert (await get(narrow, f"/o{path}")).content == b"hello"

    await (await origin.wait_for(path, 2)).over()


async def test_without_room_it_goes_through(tmp_path, origin, path):
    """What is coming takes no more than half of all."""
    site = await proxied(tmp_path, origin, edge_yml="cache: {memory: 1MiB}\n").start()
    origin.on(path, halfway(LARGE, FRESH))
    task = getting(site, f"/o{path}")
    (await origin.wait_for(path)).go.set()

    assert (await task).content == LARGE
    assert stored(site, path) == []
    await quiet(site)


async def test_what_is_stored_gives_way_to_no_more_than_it_takes(tmp_path, origin, path):
    """An answer is not counted twice, as what is coming and as what is there."""
    site = await proxied(tmp_path, origin, edge_yml="cache: {memory: 2MiB}\n").start()
    for number in range(5):
        origin.on(f"{path}/{number}", saying(LARGE[: 200 * 1024], 200, FRESH))
        await get(site, f"/o{path}/{number}")
    origin.on(path, halfway(LARGE[: 900 * 1024], FRESH))
    task = getting(site, f"/o{path}")
    (await origin.wait_for(path)).go.set()
    await task

    assert len(stored(site, path)) == 1
    assert [len(stored(site, f"{path}/{number}")) for number in range(5)] == [1] * 5
    await quiet(site)
