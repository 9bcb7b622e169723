"""Where siblings ask: answers and errors keep what they are, at the pace of whoever reads them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edge.errors import MalformedRequest
from edge.http.fields import FieldList
from edge.http.message import Request
from edge.node.content import Inflow, discard
from edge.node.desk import DROP, ENCODER, LENGTH, TOLD, Told, framed, refuse
from tests.support_origin import Talk, raw, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    OK,
    begin,
    broker_of,
    content_of,
    get,
    getting,
    gone,
    halfway,
    handling,
    idle,
    stuck,
)
from tests.support_serving import request
from tests.support_siblings import kept, pairing
from tests.support_wire import until

PRIVATE = "Cache-Control: private"


@pytest.fixture
async def pair(tmp_path, origin):
    """Two workers of one node."""
    async with pairing(tmp_path, origin) as found:
        yield found


# Answers


MANY = [f"X-{number}: {'x' * 400}" for number in range(35)]
ANSWERS = {
    "stored": saying(b"hello", 200, FRESH, "X-A: b"),
    "for one": saying(b"hello", 200, PRIVATE, "X-A: b"),
    "empty": saying(b"", 200, FRESH, "X-A: b"),
    "an error": saying(b"oh", 404, FRESH, "X-A: b"),
    "without content": raw(b"HTTP/1.1 204 X\r\nX-A: b\r\n\r\n", then=lambda _: None),
    "204, stored": raw(b"HTTP/1.1 204 X\r\nX-A: b\r\nCache-Control: max-age=60\r\n\r\n",
                       then=lambda _: None),
    "a redirect": saying(b"", 302, "Location: /x", "X-A: b"),
    "large and stored": saying(LARGE, 200, FRESH, "X-A: b"),
    "large, for one": saying(LARGE, 200, PRIVATE, "X-A: b"),
    "until the end": raw(OK + b"X-A: b\r\n\r\nhello"),
    "large fields": saying(b"hello", 200, FRESH, "X-A: b", *MANY),
    "every byte": saying(bytes(range(256)), 200, FRESH, "X-A: b"),
}  # fmt: skip
VOLATILE = ("date", "age", "cache-status", "content-length")


@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_is_the_same_through_a_sibling(pair, origin, path, script, method):
    """Status, fields and content; also the second time."""
    paths = [path, path + "x"]
    while pair.of(paths[1])[0] is not pair.of(paths[0])[1]:
        paths[1] += "x"
    asked = pair.of(path)[0]  # the owner of the one is the sibling of the other
    for each in paths:
        origin.on(each, head_of(script) if method == "HEAD" else script)
    for _ in range(2):
        here, there = [await get(asked, f"/o{each}", method=method) for each in paths]
        assert here.status == there.status
        assert here.content == there.content
        assert known(here.fields) == known(there.fields)


def known(fields: dict[str, str]) -> dict[str, str]:
    """What does not differ by the second, or by how it is framed."""
    return {name: value for name, value in fields.items() if name not in VOLATILE}


def head_of(script):
    """The same without content."""

    def answer(talk: Talk) -> None:
        if talk.method != "HEAD":
            script(talk)
            return
        talk.send(OK + b"X-A: b\r\nContent-Length: 5\r\n\r\n")

    return answer


async def test_trailers_come_behind_the_content(pair, origin, path):
    """From one worker to the other as well."""
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    origin.on(path, raw(chunked, then=lambda _: None))
    response = await begin(pair.of(path)[1], request(f"/o{path}"))
    assert await content_of(response) == b"hello"
    assert response.trailers == [(b"x-sum", b"1")]


async def test_interim_responses_come_before_the_answer(pair, origin, path):
    """While it is waited for."""
    interim = b"HTTP/1.1 103 X\r\nLink: </a>\r\nX-A: b\r\n\r\n"
    origin.on(path, lambda talk: (talk.send(interim), talk.wait(), talk.answer(b"hello")))
    asked, informed = request(f"/o{path}"), []
    asked.inform = lambda status, fields: informed.append((status, dict(fields)[b"link"]))
    task = asyncio.ensure_future(pair.of(path)[1].answer(asked))
    talk = await origin.wait_for(path)
    await until(lambda: informed)
    talk.go.set()

    assert (await task).content == b"hello"
    assert informed == [(103, b"</a>")]


# Errors

ERRORS = {
    "it hangs up": (raw(), 502, "connection_terminated"),
    "half a head": (raw(b"HTTP/1.1 2"), 502, "http_response_incomplete"),
    "nonsense": (raw(b"?\r\n\r\n"), 502, "http_protocol_error"),
}


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS.keys())
async def test_an_error_of_the_origin_keeps_its_kind(pair, origin, path, case):
    """The origin is not asked again for that."""
    script, status, kind = case
    origin.on(path, script)
    answer = await get(pair.of(path)[1], f"/o{path}")

    assert (answer.status, answer.fields["proxy-status"]) == (status, f"edge; error={kind}")
    assert len(origin.of(path)) == 1


async def test_an_answer_that_breaks_off_breaks_off_there_too(pair, origin, path):
    """It is never taken for a whole one."""
    origin.on(path, raw(OK + FRESH.encode() + b"\r\nContent-Length: 9\r\n\r\nhello"))
    owner, other = pair.of(path)
    response = await begin(other, request(f"/o{path}"))
    with pytest.raises(Exception, match=r"closed|broke"):
        await content_of(response)
    assert kept(owner, path) == []


# Pace


@pytest.mark.parametrize("line", [FRESH, PRIVATE])
async def test_content_comes_as_it_comes(pair, origin, path, line):
    """The first half does not wait for the second."""
    origin.on(path, halfway(b"hello", line))
    response = await begin(pair.of(path)[1], request(f"/o{path}"))
    content = aiter(response.content)
    assert await anext(content) == b"he"
    (await origin.wait_for(path)).go.set()
    assert await anext(content) == b"llo"
    with pytest.raises(StopAsyncIteration):
        await anext(content)
    await discard(response.content)


async def test_a_slow_reader_holds_up_the_origin(pair, origin, path):
    """Nobody on the way takes more than a little of what is for one."""
    sent = []

    def script(talk: Talk) -> None:
        talk.send(OK + PRIVATE.encode() + b"\r\nContent-Length: %d\r\n\r\n" % (40 * len(LARGE)))
        for _ in range(40):
            talk.send(LARGE)
            sent.append(len(LARGE))

    origin.on(path, script)
    response = await begin(pair.of(path)[1], request(f"/o{path}"))
    content = aiter(response.content)
    size = len(await anext(content))
    for _ in range(200):
        await asyncio.sleep(0)
    assert sum(sent) < 30 * len(LARGE)
    async for chunk in content:
        size += len(chunk)
    assert size == 40 * len(LARGE)
    await discard(response.content)


# Clients that go away


@pytest.mark.parametrize("line", [FRESH, PRIVATE])
async def test_a_client_that_goes_away_ends_it_at_the_origin(pair, origin, path, line):
    """Through both workers."""
    origin.on(path, stuck(line))
    owner, other = pair.of(path)
    response = await begin(other, request(f"/o{path}"))
    assert await anext(aiter(response.content)) == b"he"
    await discard(response.content)
    await (await origin.wait_for(path)).over()
    await until(lambda: not broker_of(owner)._flying)


async def test_a_client_that_goes_away_while_it_waits_does_too(pair, origin, path):
    """Its sibling learns of it by its connection."""
    origin.on(path, Talk.until_closed)
    owner, other = pair.of(path)
    task = getting(other, f"/o{path}")
    talk = await origin.wait_for(path)
    await gone(task)
    await talk.over()
    await until(lambda: not broker_of(owner)._flying)


@pytest.mark.parametrize("steps", range(0, 40, 4))
async def test_a_client_may_go_away_at_any_moment(pair, origin, path, steps):
    """Nothing is left of it at either worker."""
    origin.on(path, saying(LARGE, 200, FRESH))
    owner, other = pair.of(path)
    task = getting(other, f"/o{path}")
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not other.worker._siblings._others[0].busy)
    await until(lambda: not broker_of(owner)._flying)
    await idle(other.worker)


# The protocol


async def test_a_drop_is_answered_when_it_is_done(pair, origin, path):
    """Without content."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, _ = pair.of(path)
    await get(owner, f"/o{path}")
    asked = Request(
        method=b"POST", target=DROP, authority=b"sibling", fields=FieldList([]), version=b"1.1",
        stream=0, ends=False, expects=False, content=Inflow(lambda _: None),
    )  # fmt: skip
    asked.content.feed(ENCODER.encode([b"app site"]))
    asked.content.finish()
    response = await owner.worker._desk.respond(asked)

    assert (response.head.status, response.content, kept(owner, path)) == (204, None, [])


async def test_what_cannot_be_read_is_an_error_of_the_sibling(pair, origin, path, caplog):
    """It goes to the origin itself then."""
    origin.on(path, saying(b"hello", 200, FRESH))
    owner, other = pair.of(path)
    owner.worker._desk.broker = None
    with caplog.at_level(logging.CRITICAL, "edge"):
        answer = await get(other, f"/o{path}")

    assert (answer.content, handling(answer)) == (b"hello", "fwd=uri-miss; detail=elsewhere")


def test_a_mistake_of_a_sibling_ends_its_connection():
    """Whose fault it is is told apart."""
    for error, status in ((MalformedRequest("x"), 400), (ZeroDivisionError(), 500)):
        response = refuse(error)
        assert (response.head.status, response.content, response.closes) == (status, b"", True)


TOLDS = [
    Told(status=200, lines=[(b"a", b"b\xff")], handling=b"edge; hit", has_content=True),
    Told(status=200, number=3, reason=b"private", tags=[b"tag a"], may_copy=True),
    Told(fault="connection_refused", problem="it is gone"),
]


@pytest.mark.parametrize("told", TOLDS, ids=str)
@pytest.mark.parametrize("content", [None, b"", b"hello"])
def test_the_head_of_an_answer_stands_before_its_content(told, content):
    """Its length first."""
    whole = framed(told, content, []).content
    size = LENGTH.unpack_from(whole)[0]

    assert TOLD.decode(whole[LENGTH.size : LENGTH.size + size]) == told
    assert whole[LENGTH.size + size :] == (content or b"")
