"""One request to an origin by itself: what it sends, how it ends, and when it has to."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from edge.errors import OriginError
from edge.node.addresses import Addresses
from edge.node.aims import aims_of
from edge.node.clock import Clock
from edge.node.errand import SMALL, Errand, Message, Relay
from edge.node.origins import Origins
from edge.node.tasks import spawn
from edge.site.limits import Limits
from edge.site.settings import Proxy
from tests.support import free_port
from tests.support_origin import Talk, echo, originating, raw, saying
from tests.support_wire import until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LARGE = bytes(4 * SMALL)


@pytest.fixture
def server():
    """An origin."""
    with originating() as found:
        yield found


@pytest.fixture
async def origins():
    """All origins of a worker; afterwards nobody has a connection."""
    found = origins_of()
    yield found
    for origin in found.known.values():
        assert (origin.busy, origin.outstanding) == (set(), 0)
    found.close()


def origins_of(**limits: object) -> Origins:
    """All origins of a worker with these limits."""
    addresses = Addresses(Proxy(allow_private=True), "127.0.0.1:9901")
    return Origins(Clock(), addresses, Limits(**limits))


def errand_of(
    origins: Origins, *targets: str, method: bytes = b"GET", upgrade: bytes = b""
) -> Errand:
    """An errand to these URLs."""
    lines = [(b"host", b"nobody")]
    if upgrade:
        lines += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
    message = Message(method=method, lines=lines, upgrade=upgrade)
    return Errand(origins, aims_of(origins, targets, is_carried=False), message)


def to(server, path: str = "/x") -> str:
    """A URL of the origin."""
    return f"http://127.0.0.1:{server.port}{path}"


def origin_of(origins: Origins, server):
    """What is known of it."""
    (found,) = [each for key, each in origins.known.items() if key.port == server.port]
    return found


async def rest(errand: Errand) -> bytes:
    """The content to its end."""
    return b"".join([chunk async for chunk in pieces(errand)])


async def pieces(errand: Errand):
    """Each of them."""
    while (chunk := await errand.next()) is not None:
        yield chunk


# There


async def test_each_target_has_its_own_host(origins, server):
    """Whose number is known, also of one that is asked when another is dead."""
    server.on("/b", echo)
    dead = f"http://127.0.0.1:{free_port()}/a"
    errand = errand_of(origins, dead, to(server, "/b"))
    head = await errand.run()
    content = await errand.content(head)

    assert (head.status, errand.number) == (200, 1)
    assert f"host: 127.0.0.1:{server.port}\n".encode() in content
    errand.release()


async def test_when_all_targets_are_dead_the_last_one_says_why(origins):
    """Each was tried once."""
    dead = [f"http://127.0.0.1:{free_port()}/" for _ in range(3)]
    errand = errand_of(origins, *dead)
    with pytest.raises(OriginError) as caught:
        await errand.run()

    assert (caught.value.kind, errand.number) == ("connection_refused", 2)
    assert [each.health.failures for each in origins.known.values()] == [1, 1, 1]


# Back


async def test_content_that_is_here_is_one_piece(origins, server):
    """Its connection is free before anybody reads it."""
    server.on("/x", saying(b"hello"))
    errand = errand_of(origins, to(server))
    head = await errand.run()

    assert await errand.content(head) == b"hello"
    assert errand.connection is None
    assert len(origin_of(origins, server)._idle) == 1
    assert await errand.next() is None


async def test_content_that_comes_is_relayed(origins, server):
    """Its first piece can be taken apart; the rest is the errand's."""
    server.on("/x", lambda talk: (talk.send(OK + b"Content-Length: 9\r\n\r\nhell"), talk.wait(),
                                  talk.send(b"o you")))  # fmt: skip
    errand = errand_of(origins, to(server))
    content = await errand.content(await errand.run())
    assert isinstance(content, Relay)
    assert content.take_first() == b"hell"
    assert content.take_first() == b""
    (await server.wait_for("/x")).go.set()

    assert await rest(errand) == b"o you"
    assert errand.connection is None
    await content.aclose()
    assert len(origin_of(origins, server)._idle) == 1


async def test_a_relay_gives_all_of_it(origins, server):
    """In order, and its end once."""
    server.on("/x", saying(LARGE + b"end"))
    errand = errand_of(origins, to(server))
    content = await errand.content(await errand.run())
    chunks = [chunk async for chunk in content]

    assert b"".join(chunks) == LARGE + b"end"
    assert all(chunks)
    assert [chunk async for chunk in content] == []


async def test_no_more_than_a_piece_is_put_together(origins, server):
    """What is behind it waits for its reader."""
    server.on("/x", saying(LARGE))
    errand = errand_of(origins, to(server))
    head = await errand.run()
    connection = errand.connection
    assert connection is not None
    await until(lambda: connection._arrived.size > SMALL)  # it has stopped reading
    content = await errand.content(head)
    assert isinstance(content, Relay)

    assert SMALL < len(content.take_first()) < len(LARGE)
    await content.aclose()


TRAILERS = {
    "passed": (b"X-Sum: 1\r\n", [(b"x-sum", b"1")]),
    "dropped": (b"Set-Cookie: a\r\n", []),
}


@pytest.mark.parametrize(("sent", "found"), TRAILERS.values(), ids=TRAILERS.keys())
async def test_trailers_are_there_at_the_end(origins, server, sent, found):
    """Those that may be; then the content is no single piece."""
    server.on("/x", raw(CHUNKED + b"5\r\nhello\r\n0\r\n" + sent + b"\r\n"))
    errand = errand_of(origins, to(server))
    content = await errand.content(await errand.run())
    assert isinstance(content, Relay)
    assert errand.trailers == []

    assert [chunk async for chunk in content] == [b"hello"]
    assert errand.trailers == found


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_an_answer_without_content_is_over(origins, server, method, status):
    """Its connection is free."""
    server.on("/x", raw(f"HTTP/1.1 {status} X\r\n\r\n".encode(), then=lambda _: None))
    errand = errand_of(origins, to(server), method=method)

    assert await errand.content(await errand.run()) is None
    assert errand.connection is None
    assert len(origin_of(origins, server)._idle) == 1


async def test_content_that_breaks_off_is_an_error(origins, server):
    """After what came of it."""
    server.on("/x", raw(OK + b"Content-Length: 9\r\n\r\nhell"))
    errand = errand_of(origins, to(server))
    content = await errand.content(await errand.run())
    assert isinstance(content, Relay)
    assert content.take_first() == b"hell"
    with pytest.raises(OriginError) as caught:
        await errand.next()

    assert caught.value.kind == "http_response_incomplete"
    errand.abandon()


async def test_a_tunnel_has_the_connection_for_good(origins, server):
    """The errand has no hand in it any more."""
    switch = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
    server.on("/x", lambda talk: (talk.send(switch), talk.send(talk.until_closed())))
    errand = errand_of(origins, to(server), upgrade=b"chat")
    assert (await errand.run()).status == 101
    connection, origin = errand.take_connection()
    errand.abandon()
    errand.release()

    assert origin is origin_of(origins, server)
    assert origin.busy == {connection}
    assert not connection.is_closed
    connection.write_raw(b"raw")
    connection.write_end()
    assert await connection.next(9e9, "connection_read_timeout") == b"raw"
    connection.close()
    origin.release(connection)


# The end


async def test_an_exchange_has_its_time(server):
    """From its request to its last byte; the origin may say as much as it likes meanwhile."""
    origins = origins_of(origin_total=100.0, origin_between_bytes=1000.0)
    server.on("/x", lambda talk: (talk.send(CHUNKED + b"1\r\na\r\n"), talk.until_closed()))
    errand = errand_of(origins, to(server))
    content = await errand.content(await errand.run())
    assert isinstance(content, Relay)
    assert content.take_first() == b"a"
    reading, connection = spawn(errand.next(), "reading"), errand.connection
    assert connection is not None
    await until(lambda: connection._reading is not None)
    origins.clock.now += 99.0
    origins.sweep()
    assert not connection.is_closed
    assert connection._failure is None
    origins.clock.now += 2.0
    origins.sweep()
    with pytest.raises(OriginError, match="took too long") as caught:
        await reading

    assert caught.value.kind == "http_response_timeout"
    errand.abandon()
    assert origin_of(origins, server).outstanding == 0
    await (await server.wait_for("/x")).over()


async def test_the_time_is_for_each_exchange(server):
    """A connection that is used again begins anew."""
    origins = origins_of(origin_total=100.0, origin_first_byte=1000.0)
    server.on("/x", saying(b"hello"))
    server.on("/y", lambda talk: (talk.wait(), talk.answer(b"late")))
    first = errand_of(origins, to(server))
    await first.content(await first.run())
    assert origin_of(origins, server)._idle[0].deadline == inf
    origins.clock.now += 30.0
    errand = errand_of(origins, to(server, "/y"))
    running = spawn(errand.run(), "running")
    talk = await server.wait_for("/y")
    origins.clock.now += 99.0
    origins.sweep()
    talk.go.set()

    assert await errand.content(await running) == b"late"
    assert talk.number == 1
    origins.close()


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
async def test_an_event_stream_may_take_any_time(server, kind):
    """Nothing else may."""
    origins = origins_of(origin_total=100.0)
    head = f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n".encode()
    server.on("/x", lambda talk: (talk.send(OK + head), talk.until_closed()))
    errand = errand_of(origins, to(server))
    await errand.run()

    assert errand.connection is not None
    assert (errand.connection.deadline == inf) == (kind == "text/event-stream")
    errand.abandon()


async def test_without_a_limit_an_exchange_takes_any_time(origins, server):
    """It is not 0 seconds."""
    server.on(
        "/x", lambda talk: (talk.send(OK + b"Content-Length: 1\r\n\r\n"), talk.until_closed())
    )
    errand = errand_of(origins, to(server))
    await errand.run()

    assert errand.connection is not None
    assert errand.connection.deadline == inf
    errand.abandon()


POINTS = {
    "before it began": 0,
    "with the head": 1,
    "with a piece": 2,
    "at the end": 3,
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
async def test_an_answer_that_nobody_waits_for_is_let_go(origins, server, point):
    """Wherever it is; twice is once."""
    server.on("/x", saying(LARGE))
    errand = errand_of(origins, to(server))
    if point >= 1:
        head = await errand.run()
    if point >= 2:
        content = await errand.content(head)
        assert await anext(aiter(content))
    if point >= 3:
        await rest(errand)
    errand.abandon()
    errand.abandon()

    assert errand.connection is None
    known = list(origins.known.values())
    assert [len(each._idle) for each in known] == [1 if point == 3 else 0]
    if point in (1, 2):
        await (await server.wait_for("/x")).over()


async def test_an_errand_that_is_cancelled_can_be_abandoned(origins, server):
    """While it waits for the head."""
    server.on("/x", Talk.until_closed)
    errand = errand_of(origins, to(server))
    running = spawn(errand.run(), "running")
    talk = await server.wait_for("/x")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    errand.abandon()

    assert (await talk.over()).target == "/x"
