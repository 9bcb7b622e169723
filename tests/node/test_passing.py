"""Requests past the store: at once where nothing has to be waited for, else in a task."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from edge.http.message import Response
from edge.node.later import Later
from tests.support_origin import originating, raw, saying
from tests.support_proxied import LARGE, OK, content_of, get, handling, path_for, proxied, quiet
from tests.support_serving import Answer, request
from tests.support_wire import until

NEVER = "Cache-Control: no-store"
FIELDS = "customHeaders: [{pattern: '/**', headers: [{key: X-Team, value: blue}]}]"


@pytest.fixture(scope="module")
def origin():
    """An origin for all tests of this module; each has paths of its own."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node in front of it."""
    site = proxied(tmp_path_factory.mktemp("passing"), origin)
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    uvloop.run(site.start())
    return site


@pytest.fixture
async def site(built):
    """A worker that serves it; afterwards nothing is under way."""
    yield built
    await quiet(built)
    built.worker._origins.close()
    built.worker._origins._origins.clear()


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return path_for(request)


def passing_tasks() -> list[asyncio.Task]:
    """What could not be done at once."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "passing"]


async def known(site, origin, path) -> None:
    """Have it known that nothing is stored of a path, and a connection idle."""
    origin.on(path, saying(b"hello", 200, NEVER))
    for _ in range(2):
        assert (await get(site, f"/o{path}")).content == b"hello"


def begun(site, path, **options) -> Later:
    """An answer that is under way."""
    answer = site.worker._handler.respond(request(f"/o{path}", **options))
    assert isinstance(answer, Later)
    return answer


class Client:
    """Notes what it takes."""

    def __init__(self) -> None:
        self.taken: list[Response] = []

    def take(self, _, response) -> None:
        """The answer."""
        self.taken.append(response)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_whole_answer_needs_no_task(site, origin, path, method):
    """From the request to the client."""
    await known(site, origin, path)
    client = Client()
    begun(site, path, method=method).give_to(client)
    assert passing_tasks() == []
    await until(lambda: client.taken)

    answer = Answer(client.taken[0], client.taken[0].content or b"")
    assert (answer.status, answer.fields["x-team"]) == (200, "blue")
    assert answer.content == (b"" if method == "HEAD" else b"hello")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_without_a_connection_a_task_makes_one(site, origin, path, method):
    """As for a method that changes something: the store has to know before the client."""
    await known(site, origin, path)
    if method == "GET":
        site.worker._origins.close()
        await asyncio.sleep(0)
    answer = begun(site, path, method=method)
    assert len(passing_tasks()) == 1

    assert (await answer).content == b"hello"


async def test_an_answer_in_pieces_goes_on_in_a_task(site, origin, path):
    """Its head is there before its content."""
    await known(site, origin, path)
    lines = f"{NEVER}\r\nContent-Length: 9\r\n\r\n".encode()
    origin.on(path, lambda t: (t.send(OK + lines + b"hell"), t.wait(), t.send(b"o you")))
    answer = begun(site, path)
    assert passing_tasks() == []
    response = await answer
    assert not isinstance(response.content, bytes)
    (await origin.wait_for(path, 3)).go.set()

    assert await content_of(response) == b"hello you"


async def test_a_long_answer_goes_on_in_a_task(site, origin, path):
    """All of it arrives."""
    await known(site, origin, path)
    origin.on(path, saying(LARGE, 200, NEVER))

    assert await content_of(await begun(site, path)) == LARGE


async def test_a_connection_that_closed_is_replaced(site, origin, path):
    """The request is sent again, for it can do no harm."""
    await known(site, origin, path)

    def once(talk):
        talk.close() if len(origin.of(path)) == 3 else talk.answer(b"again", 200, NEVER)

    origin.on(path, once)
    assert (await begun(site, path)).content == b"again"
    assert len(origin.of(path)) == 4


async def test_an_answer_that_is_not_understood_is_an_error_in_the_operators_dress(
    site, origin, path
):
    """And its connection is not used again."""
    await known(site, origin, path)
    origin.on(path, raw(b"no HTTP at all\r\n\r\n"))
    response = await begun(site, path)
    answer = Answer(response, response.content)

    assert (answer.status, answer.fields["x-team"]) == (502, "blue")
    assert answer.fields["proxy-status"] == "edge; error=http_protocol_error"


async def test_a_head_that_cannot_be_passed_on_ends_its_connection(site, origin, path):
    """Though all of it is here."""
    await known(site, origin, path)
    origin.on(path, saying(b"hello", 200, "Transfer-Encoding: chunked"))
    response = await begun(site, path)

    assert response.head.status == 502
    assert all(not each.busy for each in site.worker._origins._origins.values())


async def test_a_client_that_goes_away_ends_the_exchange(site, origin, path):
    """At once, and nobody is told when its answer comes."""
    await known(site, origin, path)
    origin.on(path, lambda talk: (talk.wait(), talk.answer(b"late")))
    client, answer = Client(), begun(site, path)
    answer.give_to(client)
    talk = await origin.wait_for(path, 3)
    answer.cancel()
    talk.go.set()
    await talk.over()
    await asyncio.sleep(0.01)

    assert client.taken == []
    assert all(not each.outstanding for each in site.worker._origins._origins.values())


async def test_an_origin_that_is_silent_is_given_up(site, origin, path):
    """After the time for its first byte."""
    await known(site, origin, path)
    origin.on(path, lambda talk: talk.wait())
    answer = begun(site, path)
    await origin.wait_for(path, 3)
    for each in site.worker._origins._origins.values():
        each.sweep(site.clock.now + 31)
    response = await answer

    assert response.head.status == 504
    origin.of(path)[-1].go.set()


async def test_early_hints_come_before_the_answer(site, origin, path):
    """In a task, for they are not the end."""
    await known(site, origin, path)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    origin.on(path, lambda talk: (talk.send(hints), talk.answer(b"hello", 200, NEVER)))
    asked, told = request(f"/o{path}"), []
    answer = site.worker._handler.respond(asked)
    asked.inform = lambda status, fields: told.append((status, fields[0]))

    assert (await answer).content == b"hello"
    assert told == [(103, (b"link", b"</a>"))]


async def test_what_may_be_stored_by_now_is_the_next_time(site, origin, path):
    """Each answer is looked at."""
    await known(site, origin, path)
    origin.on(path, saying(b"hello", 200, "Cache-Control: max-age=60"))
    found = [handling(await get(site, f"/o{path}")) for _ in range(3)]

    assert found == ["fwd=uri-miss", "fwd=uri-miss; stored", "hit"]
