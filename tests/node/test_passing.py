"""Requests past the store: at once where nothing has to be waited for, else in a task."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
import uvloop

from edge.http.manner import Manner
from edge.http.message import Response
from edge.node.later import Later
from tests.support_ledger import entering
from tests.support_origin import raw, saying
from tests.support_proxied import LARGE, OK, content_of, get, handling, proxied, quiet
from tests.support_serving import HOST, Answer, request
from tests.support_wire import until

NEVER = "Cache-Control: no-store"
FIELDS = "customHeaders: [{pattern: '/**', headers: [{key: X-Team, value: blue}]}]"


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
    built.worker._origins.known.clear()


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
    assert all(not each.busy for each in site.worker._origins.known.values())


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
    assert all(not each.outstanding for each in site.worker._origins.known.values())


async def test_an_origin_that_is_silent_is_given_up(site, origin, path):
    """After the time for its first byte."""
    await known(site, origin, path)
    origin.on(path, lambda talk: talk.wait())
    answer = begun(site, path)
    await origin.wait_for(path, 3)
    for each in site.worker._origins.known.values():
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


# Heads that come again


async def test_each_has_its_own_content_and_all_have_the_same_head(site, origin, path):
    """What an operator puts on it too; each its identifier, and the date of its second."""
    await known(site, origin, path)
    for content in (b"first", b"other", b"third"):
        origin.on(path, saying(content, 200, NEVER, "X-One: a"))
        answer = await get(site, f"/o{path}")
        assert (answer.content, answer.fields["x-one"], answer.fields["x-team"]) == (
            content,
            "a",
            "blue",
        )
        assert handling(answer).startswith("fwd=")
        site.pass_time(1)
    assert len(site.worker._origins.heads._known) > 0


async def test_content_is_not_remembered(site, origin, path):
    """A head is small, however large what came with it."""
    content = b"y" * 100_000
    origin.on(path, saying(content, 200, NEVER, "X-Large: yes"))
    for _ in range(4):
        assert (await get(site, f"/o{path}")).content == content
    heads = [each.head for each in site.worker._origins.heads._known.values()]
    forms = [form for head in heads for form in (head.forms or {}).values()]

    assert forms
    assert all(getattr(form, name, None) != content for form in forms for name in form.__slots__)
    assert [form._first.content for form in forms] == [None] * len(forms)


async def test_two_addresses_with_one_head_are_told_apart(site, origin, path):
    """By what their rules and their operators say of them."""
    site.write(
        "customHttp.yml",
        "customHeaders: [{pattern: '/o/*-a', headers: [{key: X-Way, value: a}]}, "
        "{pattern: '/o/*-b', headers: [{key: X-Way, value: b}]}]",
    )
    site.changes.reload()
    await site.follow()
    for way in ("a", "b"):
        await known(site, origin, f"{path}-{way}")
    found = [
        (await get(site, f"/o{path}-{way}")).fields["x-way"] for way in ("a", "b", "a", "b", "a")
    ]
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    await site.follow()

    assert found == ["a", "b", "a", "b", "a"]
    after = await get(site, f"/o{path}-a")
    assert ("x-way" in after.fields, after.fields["x-team"]) == (False, "blue")


async def test_tags_of_a_head_that_comes_again_are_nobodys(site, origin, path):
    """Neither the second time nor later."""
    origin.on(path, saying(b"hello", 200, NEVER, "Cache-Tag: one"))
    for _ in range(5):
        assert "cache-tag" not in (await get(site, f"/o{path}")).fields


async def test_what_may_be_stored_with_a_head_that_comes_again_is_stored(site, origin, path):
    """Whoever reads it for the store has a head of their own."""
    for number in range(3):
        origin.on(
            f"{path}-{number}",
            saying(b"hello", 200, "Cache-Control: max-age=60, public", "Cache-Tag: one"),
        )
    found = [handling(await get(site, f"/o{path}-{number}")) for number in range(3) for _ in "ab"]

    assert found == ["fwd=uri-miss; stored", "hit"] * 3
    labels = [key for key in site.worker._broker.shelf._labels if b"one" in key]
    assert [len(site.worker._broker.shelf._labels[key]) for key in labels] == [3]


# What a client says again


async def test_each_client_is_named_though_all_say_the_same(site, origin, path):
    """The address of each goes to the origin, whoever asked before."""
    await known(site, origin, path)
    manner = None
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1"):
        asked = request(f"/o{path}", peer=peer, x_one="a")
        manner = asked.manner = manner or Manner(asked.authority, asked.fields)
        await site.answer(asked)
    sent = [talk.fields for talk in origin.of(path)][-4:]

    assert [each["x-forwarded-for"] for each in sent] == [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.2",
        "192.0.2.1",
    ]
    assert {each["x-one"] for each in sent} == {"a"}
    assert len({tuple(each) for each in sent}) == 1


async def test_the_same_lines_behind_another_request_line_are_another_request(site, origin, path):
    """Its method and its version are told as they are."""
    origin.on(path, saying(b"hello", 200, NEVER))
    lines = f"Host: {HOST}\r\nX-One: a\r\n\r\n"
    asked = [
        f"{method} /o{path} HTTP/{version}\r\n{lines}".encode()
        for method, version in [("GET", "1.1")] * 4
        + [("HEAD", "1.1"), ("OPTIONS", "1.1"), ("POST", "1.1"), ("GET", "1.0"), ("GET", "1.1")]
    ]
    async with entering(site) as node:
        for each in asked:
            client = await node.client()
            client.send(each)
            await client.read(each.partition(b" ")[0].decode())
    sent = [
        (talk.method, talk.fields["via"].split()[0], talk.fields.get("content-length"))
        for talk in origin.of(path)
    ]

    assert sent[3:] == [
        ("GET", "1.1", None),
        ("HEAD", "1.1", None),
        ("OPTIONS", "1.1", None),
        ("POST", "1.1", "0"),
        ("GET", "1.0", None),
        ("GET", "1.1", None),
    ]


async def test_rules_that_are_gone_are_held_by_nobody(site, origin, path):
    """However often the same heads came by them."""
    await known(site, origin, path)
    for _ in range(3):
        await get(site, f"/o{path}")
    branch = weakref.ref(site.worker._handler.snapshot.apps["site"].branches["main"])
    site.write("customHttp.yml", FIELDS.replace("blue", "red"))
    site.changes.reload()
    await site.follow()
    gc.collect()

    assert branch() is None
    assert (await get(site, f"/o{path}")).fields["x-team"] == "red"
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    await site.follow()
