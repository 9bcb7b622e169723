"""Stored answers of a node of two workers whose lifetime is over: RFC 9111 §4.2.4, RFC 5861."""

from __future__ import annotations

import asyncio

import pytest

from tests.support_origin import Talk, originating
from tests.support_stored import LOOK_EVERY_S, LOOKS, about

ETAG = 'ETag: "a"'
FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
VALIDATED = "fwd=stale; fwd-status=304; stored"

# RFC 9111 §4.2.4 and RFC 5861 §4: an origin that is not there


def closes(talk: Talk) -> None:
    """No answer."""
    talk.read()
    talk.close()


def resets(talk: Talk) -> None:
    """The same, unkindly."""
    talk.read()
    talk.reset()


def talks_nonsense(talk: Talk) -> None:
    """What is no HTTP."""
    talk.read()
    talk.send(b"220 mail.test ESMTP\r\n\r\n")
    talk.close()


def unavailable(status: int):
    """Says that it is not there, or that something before it says so."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(b"sorry", status)

    return script


FAULTS = {
    "closes": (closes, 502, "fwd=stale"),
    "resets": (resets, 502, "fwd=stale"),
    "talks nonsense": (talks_nonsense, 502, "fwd=stale"),
    "502": (unavailable(502), 502, "fwd=stale; fwd-status=502"),
    "503": (unavailable(503), 503, "fwd=stale; fwd-status=503"),
    "504": (unavailable(504), 504, "fwd=stale; fwd-status=504"),
}
SERVED = {
    "nothing said of it": "Cache-Control: max-age=0",
    "stale-if-error": "Cache-Control: max-age=0, stale-if-error=60",
    "stale-if-error beside s-maxage": "Cache-Control: s-maxage=0, stale-if-error=60",
    "long past its lifetime": "Cache-Control: max-age=60 | Age: 600",
    "for CDNs": "CDN-Cache-Control: max-age=0, stale-if-error=60 | Cache-Control: must-revalidate",
}


@pytest.mark.parametrize("reply", SERVED.values(), ids=SERVED.keys())
@pytest.mark.parametrize(("fault", "status", "handling"), FAULTS.values(), ids=FAULTS.keys())
async def test_stale_while_the_origin_is_not_there(scene, reply, fault, status, handling):
    """The old answer, marked as such; as soon as the origin is back it is asked again."""
    scene.answers(f"{reply} | {ETAG}")
    assert (await scene.ask()).short == (200, b"1", FIRST)
    scene.on(fault)
    for _ in range(2):
        answer = await scene.ask()
        assert answer.short[:2] == (200, b"1")
        assert answer.handling.removesuffix("; stored") == handling
        assert (answer.ttl or 0) <= 0
    asked = scene.count
    scene.answers(f"304 | CDN-{FRESH} | {FRESH} | {ETAG}")

    assert (await scene.ask()).short == (200, b"1", VALIDATED)
    assert (await scene.ask()).short == (200, b"1", "hit")
    assert scene.count == asked + 1


FORBIDDEN = {
    "must-revalidate": "Cache-Control: max-age=0, must-revalidate",
    "proxy-revalidate": "Cache-Control: max-age=0, proxy-revalidate",
    "s-maxage": "Cache-Control: s-maxage=0",
    "no-cache": f"{FRESH}, no-cache",
    "must-revalidate beside stale-if-error": (
        "Cache-Control: max-age=0, must-revalidate, stale-if-error=60"
    ),
    "stale-if-error that is over": "Cache-Control: max-age=60, stale-if-error=60 | Age: 600",
    "stale-if-error=0": "Cache-Control: max-age=0, stale-if-error=0",
    "more than a day": "Cache-Control: max-age=60 | Age: 90000",
}


@pytest.mark.parametrize("reply", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("fault", ["closes", "503"])
async def test_nothing_is_served_stale_that_may_not_be(scene, reply, fault):
    """An error, and what is stored is asked about again."""
    scene.answers(f"{reply} | {ETAG}")
    await scene.ask()
    script, status, _ = FAULTS[fault]
    scene.on(script)
    for _ in range(2):
        answer = await scene.ask()
        assert answer.status == status
        assert answer.content != b"1"
    scene.answers(f"304 | {FRESH} | {ETAG}")

    assert (await scene.ask()).short == (200, b"1", VALIDATED)


ERRORS = {
    "with stale-if-error": ("max-age=0, stale-if-error=60", (200, b"1")),
    "without": ("max-age=0", (500, b"sorry")),
}


@pytest.mark.parametrize(("directives", "expected"), ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_of_the_origins_own(scene, directives, expected):
    """A 500 is its answer, unless it said otherwise (RFC 5861 §4)."""
    scene.answers(f"Cache-Control: {directives} | {ETAG}")
    await scene.ask()
    scene.on(unavailable(500))
    for _ in range(2):
        answer = await scene.ask()
        assert (answer.status, answer.content) == expected

    scene.on(unavailable(404))
    assert (await scene.ask()).status == 404


async def test_nothing_listens_any_more(scene):
    """A refused connection is as good as a 503; without anything stored it is a 502."""
    way, port = scene.stage.mortal()
    with originating(port=port) as origin:
        scene.origin = origin
        scene.answers(f"Cache-Control: max-age=0, stale-if-error=60 | {ETAG}")
        assert (await scene.ask(way=way)).short == (200, b"1", FIRST)
    for _ in range(2):
        answer = await scene.ask(way=way)
        assert answer.short[:2] == (200, b"1")
        assert answer.handling.removesuffix("; stored") == "fwd=stale"
    assert (await scene.ask(way=way, query="?x")).status == 502


async def test_a_stale_answer_has_its_age(scene):
    """And ranges, conditions and HEAD are answered from it."""
    scene.answers(f"Cache-Control: max-age=60 | Age: 600 | {ETAG} | > 0123456789")
    await scene.ask()
    scene.on(closes)
    answer = await scene.ask("Range: bytes=0-1")
    assert (answer.status, answer.content) == (206, b"01")
    assert 600 <= answer.age < 630
    assert about(answer.ttl, -540)
    assert (await scene.ask('If-None-Match: "a"')).status == 304
    assert (await scene.ask(method="HEAD")).get("content-length") == "10"


# RFC 5861 §3

REVALIDATED = {
    "304": (f"304 | {FRESH} | {ETAG} | X-A: new", b"1"),
    "200": (f"200 | {FRESH} | X-A: new", b"2"),
}


@pytest.mark.parametrize(("reply", "content"), REVALIDATED.values(), ids=REVALIDATED.keys())
async def test_stale_while_revalidate(scene, reply, content):
    """The old answer at once, one request in the background, then the new one."""
    scene.answers(f"Cache-Control: max-age=0, stale-while-revalidate=600 | {ETAG} | X-A: old")
    await scene.ask()
    held = scene.saying(reply)

    def script(talk: Talk) -> None:
        talk.wait()
        held(talk)

    scene.on(script)
    for _ in range(4):
        answer = await scene.ask()
        assert answer.short == (200, b"1", "hit")
        assert (answer.get("x-a"), (answer.ttl or 0) <= 0) == ("old", True)
    await scene.origin.until(lambda: scene.count == 2)
    assert (await scene.ask()).short == (200, b"1", "hit")
    scene.asked()[1].go.set()
    for _ in range(LOOKS):
        answer = await scene.ask()
        if answer.get("x-a") == "new":
            break
        assert answer.short == (200, b"1", "hit")
        await asyncio.sleep(LOOK_EVERY_S)

    assert answer.short == (200, content, "hit")
    assert about(answer.ttl, 600)
    assert (await scene.ask()).short == (200, content, "hit")
    assert scene.count == 2
    assert scene.asked()[1].fields["if-none-match"] == '"a"'


NOT_WHILE = {
    "over": "Cache-Control: max-age=60, stale-while-revalidate=60 | Age: 600",
    "no number": "Cache-Control: max-age=0, stale-while-revalidate=long",
    "must-revalidate": "Cache-Control: max-age=0, stale-while-revalidate=600, must-revalidate",
    "proxy-revalidate": "Cache-Control: max-age=0, stale-while-revalidate=600, proxy-revalidate",
    "no-cache": "Cache-Control: max-age=600, stale-while-revalidate=600, no-cache",
}


@pytest.mark.parametrize("reply", NOT_WHILE.values(), ids=NOT_WHILE.keys())
async def test_not_while_revalidating(scene, reply):
    """The origin is asked first."""
    scene.answers(f"{reply} | {ETAG}", f"304 | {reply} | {ETAG}")
    await scene.ask()
    for _ in range(3):
        assert (await scene.ask()).short == (200, b"1", VALIDATED)

    assert scene.count == 4


async def test_a_background_request_is_nobodys(scene):
    """Nothing of the client goes along that the answer could be about."""
    scene.answers(
        f"Cache-Control: max-age=0, stale-while-revalidate=600 | {ETAG}",
        f"304 | {FRESH} | {ETAG}",
    )
    await scene.ask()
    await scene.ask(
        "Authorization: Basic eDp5 | Cookie: a=b | Range: bytes=0-0 | Cache-Control: no-cache"
        ' | If-None-Match: "b" | If-Range: "a"'
    )
    await scene.origin.until(lambda: scene.count == 2)

    fields = scene.asked()[1].fields
    assert fields["if-none-match"] == '"a"'
    assert not fields.keys() & {"authorization", "cookie", "range", "cache-control", "if-range"}
