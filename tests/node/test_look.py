"""What a stored response looks like: once a second; nothing where it is stale, or gone."""

from __future__ import annotations

import pytest

from edge.http.message import finish_head
from edge.node.clock import Clock
from edge.node.look import WRITTEN_AT_ONCE, Look, were_used
from tests.support_serving import set_epoch

HEAD = finish_head(200, [(b"Content-Type", b"text/plain")])


@pytest.fixture
def clock() -> Clock:
    """At 1,000 seconds."""
    found = Clock()
    set_epoch(found, 1000)
    return found


def look_of(content: bytes = b"hello", *, born: float = 990, least: float = 0.0) -> Look:
    """A look that is fresh for ten minutes."""
    return Look(HEAD, content, (born, 600, least), is_dated=True)


def test_it_is_made_once_a_second(clock):
    """Whoever has it looks whether the second is over; each has its own Date, Age and ttl."""
    look = look_of()
    first = look.whole(clock)
    assert (look.second, look.whole(clock)) == (1000, first)
    assert first.block.endswith(b"\r\nAge: 10\r\nCache-Status: edge; hit; ttl=590\r\n\r\n")
    assert look.opening == HEAD.lines + first.block[:-2] + b"X-Request-Id: "
    set_epoch(clock, 1001)
    second = look.whole(clock)
    assert b"Date: Thu, 01 Jan 1970 00:16:41 GMT\r\nAge: 11\r\n" in second.block
    assert second.opening == look.opening


@pytest.mark.parametrize(("size", "opens"), [(WRITTEN_AT_ONCE, True), (WRITTEN_AT_ONCE + 1, False)])
def test_what_is_not_written_at_once_has_no_opening(clock, size, opens):
    """It is asked for by a request that was parsed, and sent piece by piece."""
    look = look_of(bytes(size))
    assert look.renew(clock)
    assert bool(look.opening) is opens
    assert look.whole(clock).content is look.content


def test_an_origin_has_said_date(clock):
    """There it is among the lines of the head."""
    look = Look(HEAD, b"", (990, 600, 0.0), origin=b"http://origin.example")
    assert look.block(clock) == b"Age: 10\r\nCache-Status: edge; hit; ttl=590\r\n\r\n"
    assert look.whole(clock).origin == b"http://origin.example"


@pytest.mark.parametrize(
    ("now", "born", "least", "said"),
    [
        (900, 1000, 0.0, b"Age: 0\r\nCache-Status: edge; hit; ttl=600\r\n"),
        (900, 958.5, 41.5, b"Age: 41\r\nCache-Status: edge; hit; ttl=558\r\n"),
        (1000, 1000.7, 0.0, b"Age: 0\r\nCache-Status: edge; hit; ttl=600\r\n"),
        (1001, 1000.7, 0.0, b"Age: 0\r\nCache-Status: edge; hit; ttl=599\r\n"),
        (1599, 1000, 0.0, b"Age: 599\r\nCache-Status: edge; hit; ttl=1\r\n"),
    ],
)
def test_a_clock_that_is_set_back_makes_nothing_younger(clock, now, born, least, said):
    """Age is what it was when it came, or more, and never below zero (RFC 9111 §5.1)."""
    set_epoch(clock, now)
    assert said in look_of(born=born, least=least).whole(clock).block


def test_what_is_stale_looks_like_nothing(clock):
    """From the second on in which its lifetime ends; once it is kept on, again."""
    look = look_of()
    assert look.renew(clock)
    set_epoch(clock, 1590)
    assert not look.renew(clock)
    assert look.whole(clock) is None
    look.keep(1590, 600)
    assert b"Age: 0\r\n" in look.whole(clock).block


def test_what_is_gone_holds_nothing(clock):
    """Whoever remembers it does not hold its content, and is answered nothing, in that second."""
    look = look_of()
    response = look.whole(clock)
    look.let_go()
    assert (look.content, look.opening, look.repeat, look.framed) == (b"", b"", None, None)
    assert look.head.lines == b""
    assert not look.renew(clock)
    assert look.whole(clock) is None
    assert response.content == b"hello", "whoever is being answered gets all of it"


def test_what_is_entered_stays_while_its_size_does(clock):
    """One sum for all seconds in which the answer has as many bytes."""
    look = look_of(born=991)
    look.whole(clock).repeat = entered = object()
    for now, is_same in ((1000, True), (1001, False)):
        set_epoch(clock, now)
        assert look.renew(clock)
        assert (look.repeat is entered) is is_same
    look.repeat = entered
    set_epoch(clock, 1002)
    assert look.whole(clock).repeat is entered


def test_use_is_told_once(clock):
    """Of any of some looks, since it was asked before."""
    looks = [look_of(), look_of()]
    assert not were_used(looks)
    assert looks[1].renew(clock)
    assert were_used(looks)
    assert not were_used(looks)
