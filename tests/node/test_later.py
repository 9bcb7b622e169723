"""Answers that come by themselves: to a taker at once, to whoever awaits them, or to nobody."""

from __future__ import annotations

import asyncio

import pytest

from edge.errors import OriginError
from edge.http.message import Response
from edge.node.later import Later
from edge.node.tasks import spawn
from edge.site.envelope import BARE
from tests.support_serving import request
from tests.support_wire import response


class Answer(Later):
    """One that counts how often it was cancelled."""

    def __init__(self) -> None:
        super().__init__(request(), BARE)
        self.cancelled = 0

    def cancel(self) -> None:
        """Nobody wants it."""
        self.cancelled += 1


class Client:
    """Takes what it is given, and keeps what it has to."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def take(self, asked, given) -> None:
        """The answer."""
        self.taken.append((asked, given))

    def interim(self, asked, status, fields) -> None:
        """One before it."""
        self.taken.append((asked, status, fields))

    def settled(self, later, outcome) -> Response:
        """As a handler does."""
        assert later.envelope is BARE
        return response(b"sorry") if isinstance(outcome, Exception) else outcome


FAULT = OriginError("dns_error", "no such name")


async def waiting(answer: Answer) -> Response:
    """A task's way to it."""
    return await answer


async def test_a_taker_gets_it_in_the_call_that_brings_it():
    """Interim ones before it."""
    answer, client, given = Answer(), Client(), response(b"hello")
    answer.give_to(client)
    answer.inform(103, [(b"link", b"</a>")])
    answer.deliver(given)

    assert client.taken == [
        (answer.request, 103, [(b"link", b"</a>")]),
        (answer.request, given),
    ]


async def test_a_keeper_makes_a_response_of_an_error():
    """Before a taker sees it."""
    answer, client = Answer(), Client()
    answer.keeper = client
    answer.give_to(client)
    answer.deliver(FAULT)

    assert client.taken[0][1].content == b"sorry"


@pytest.mark.parametrize("is_early", [True, False])
async def test_it_can_be_awaited(is_early):
    """Whether it is there already or not."""
    answer, given = Answer(), response(b"hello")
    if is_early:
        answer.deliver(given)
    task = spawn(waiting(answer), "waiting")
    await asyncio.sleep(0)
    if not is_early:
        answer.deliver(given)

    assert await task is given
    assert answer.cancelled == 0


@pytest.mark.parametrize("is_early", [True, False])
async def test_who_awaits_it_without_a_keeper_gets_the_error(is_early):
    """As it is."""
    answer = Answer()
    if is_early:
        answer.deliver(FAULT)
    task = spawn(waiting(answer), "waiting")
    await asyncio.sleep(0)
    if not is_early:
        answer.deliver(FAULT)

    with pytest.raises(OriginError) as caught:
        await task
    assert caught.value is FAULT


async def test_who_awaits_it_no_more_cancels_it():
    """And is not told when it comes all the same in the same moment."""
    answer = Answer()
    task = spawn(waiting(answer), "waiting")
    await asyncio.sleep(0)
    task.cancel()
    answer.deliver(response(b"hello"))

    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.cancelled == 1


async def test_interim_responses_go_to_the_request_where_nobody_takes_it():
    """Or to nobody."""
    answer, told = Answer(), []
    answer.inform(103, [])
    answer.request.inform = lambda *said: told.append(said)
    answer.inform(103, [(b"a", b"b")])

    assert told == [(103, [(b"a", b"b")])]
