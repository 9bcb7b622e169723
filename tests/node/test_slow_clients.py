"""
Clients that send or take content slower than `limits.min_rate`, over real sockets; time is set.

Each of them does something once a second, so that no idle timeout would ever end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edge.http.http2 import CANCEL, ENHANCE_YOUR_CALM
from edge.site.limits import Limits
from tests.node.test_sending import Echo, switching
from tests.support_wire import (
    DATA,
    HELLO,
    KIB,
    MIB,
    WINDOW_UPDATE,
    Frames,
    Server,
    connected,
    frame,
    get,
    head,
    read_all,
    response,
    serving,
    streamed,
    until,
)

LATE = 60
"""Seconds by which whoever is too slow has been ended."""


async def echo_size(request):
    """How much content came."""
    return response(b"%d" % (len(await read_all(request)) if request.content else 0))


def refused(server: Server) -> dict[str, int]:
    """What was refused, by reason."""
    return {reason: n for reason, n in server.service.counters.refused.items() if n}


async def second_by_second(
    server: Server, step: Callable[[], object], seen: Callable[[], int], seconds: int = LATE
) -> int:
    """Do something a second, and see it, until the server counts a refusal: how long that took."""
    for second in range(seconds):
        before = seen()
        step()
        await until(lambda b=before: seen() > b)
        server.later(1)
        if refused(server):
            return second
    return seconds


def received(server: Server) -> int:
    """Bytes of content that came to the first request."""
    return server.requests[0].content.received


# Content of requests


async def test_content_that_drips_is_408():
    """R-U-Dead-Yet: a byte a second, of a megabyte; it ends after ten."""
    async with serving(echo_size) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 1000000", method="POST") + b"x")
        await until(lambda: server.requests and received(server))
        took = await second_by_second(server, lambda: client.send(b"x"), lambda: received(server))
        assert 9 <= took <= 12
        assert (await client.read())[0] == 408
        assert refused(server) == {"min_rate": 1}


async def test_chunks_that_drip_are_408():
    """What frames content is none."""
    async with serving(echo_size) as server:
        client = await server.client()
        chunk = b"1;" + b"x" * 600 + b"\r\nx\r\n"
        client.send(get("/", "Transfer-Encoding: chunked", method="POST") + chunk)
        await until(lambda: server.requests and received(server))
        await second_by_second(server, lambda: client.send(chunk), lambda: received(server))
        assert (await client.read())[0] == 408


async def test_content_that_nobody_wants_may_not_drip_either():
    """Its answer is out; what is read past to keep the connection has a rate too."""
    async with serving(lambda _: response(b"no", 405)) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 60000", method="POST"))
        assert (await client.read())[0] == 405
        unread = lambda: server.connection._unread  # noqa: E731
        await second_by_second(server, lambda: client.send(b"x"), unread)
        assert await client.rest() == b""
        assert refused(server) == {"min_rate": 1}


@pytest.mark.parametrize("bounds", [Limits(), Limits(min_rate=0)], ids=["above", "off"])
async def test_content_that_comes_above_the_rate_is_taken(bounds):
    """Slow is not too slow; a rate of 0 is any."""
    async with serving(echo_size) as server:
        server.service.limits = bounds
        piece = b"x" * (600 if bounds.min_rate else 1)
        client = await server.client()
        client.send(get("/", f"Content-Length: {len(piece) * LATE}", method="POST"))
        await until(lambda: server.requests)
        await second_by_second(server, lambda: client.send(piece), lambda: received(server))
        assert (await client.read())[2] == b"%d" % (len(piece) * LATE)
        assert refused(server) == {}


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
async def test_a_slow_consumer_is_not_the_client_s_fault(protocol):
    """An upload waits for hours behind an origin that takes nothing, or a byte now and then."""
    gate = asyncio.Event()
    taken = []

    async def slow(request):
        async for chunk in request.content:
            taken.append(len(chunk))
            await gate.wait()
        return response(b"%d" % sum(taken))

    async with serving(slow) as server:
        if protocol == "HTTP/2":
            h2 = await connected(server)
            stream = h2.request(b"/", b"POST", ends=False)
            stream.send_data(bytes(60 * KIB))
            stream.end_message()
            h2.flush()
        else:
            client = await server.client()
            client.send(get("/", "Content-Length: 61440", method="POST") + bytes(60 * KIB - 1))
        await until(lambda: taken)
        for _ in range(200):
            server.later(20)
        gate.set()
        if protocol == "HTTP/2":
            assert (await h2.read(stream)).content == b"61440"
        else:
            client.send(b"x")
            assert (await client.read())[2] == b"61440"
        assert refused(server) == {}


async def test_a_stream_that_drips_is_408_alone():
    """Its neighbour on the same connection is answered."""
    async with serving(echo_size) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        await until(lambda: server.requests)

        def drip():
            stream.send_data(b"x")
            client.flush()

        took = await second_by_second(server, drip, lambda: received(server))
        assert 9 <= took <= 12
        assert (await client.read(stream)).status == 408
        assert refused(server) == {"min_rate": 1}
        assert (await client.read(client.request())).status == 200


# Answers


async def test_an_answer_that_is_sipped_is_cut():
    """Slow read: 200 bytes a second of a large answer; its content is closed."""
    closed = []
    async with serving(lambda _: response(streamed(10_000, bytes(64 * KIB), closed=closed))) as one:
        client = await one.client(receive_buffer=4 * KIB)
        client.send(get("/"))
        await until(lambda: one.service.connections and one.connection.paused)
        for _ in range(LATE):
            await client.reader.readexactly(4 * KIB)
            one.later(20)
            if refused(one):
                break
        assert refused(one) == {"min_rate": 1}
        await until(lambda: closed and not one.service.connections)


async def test_a_slow_reader_above_the_rate_gets_everything():
    """The transport's buffer stands still for minutes: what the client's machine took counts."""
    size = 3 * MIB
    async with serving(lambda _: response(bytes(size))) as server:
        client = await server.client(receive_buffer=4 * KIB)
        client.send(get("/"))
        await client.read_head()
        await until(server.connection.transport.get_write_buffer_size)
        for _ in range(100):
            await client.reader.readexactly(8 * KIB)
            server.later(10)
        assert len(await client.reader.readexactly(size - 800 * KIB)) == size - 800 * KIB
        assert refused(server) == {}


async def test_a_slow_origin_is_not_a_slow_reader():
    """A byte a minute is all there is: the client takes what comes."""
    more = asyncio.Queue()

    async def trickle():
        for _ in range(5):
            yield await more.get()

    async with serving(lambda _: response(trickle(), length=5)) as server:
        client = await server.client()
        h2 = await connected(server)
        client.send(get("/"))
        stream = h2.request()
        await until(lambda: len(server.requests) == 2)
        for _ in range(10):
            more.put_nowait(b"x")
            server.later(29)
            await asyncio.sleep(0)
        assert (await client.read())[2] == b"xxxxx"
        assert (await h2.read(stream)).content == b"xxxxx"
        assert refused(server) == {}


@pytest.mark.parametrize("window", ["stream", "connection"])
async def test_windows_that_open_by_bytes_are_a_slow_read(window):
    """A stream's own ends the stream; that of the connection, which all wait for, ends it."""
    async with serving(lambda _: response(bytes(200 * KIB))) as server:
        client = await server.client()
        client.send(HELLO + head(1) + (frame(WINDOW_UPDATE, 0, 0, b"\0\1\0\0") * 2))
        if window == "connection":
            client.send(frame(WINDOW_UPDATE, 0, 1, b"\0\3\0\0"))
        answer = Frames(client)
        content = lambda: sum(len(p) for k, _, _, p in answer.all if k == DATA)  # noqa: E731
        full = 65_535 if window == "stream" else 3 * 65_536 - 1
        await answer.until(lambda: content() == full)
        server.later(1)
        number = 1 if window == "stream" else 0
        for _ in range(LATE):
            seen = content()
            client.send(frame(WINDOW_UPDATE, 0, number, b"\0\0\0\1"))
            await answer.until(lambda s=seen: content() > s)
            server.later(1)
            if refused(server):
                break
        assert refused(server) == {"min_rate": 1}
        if window == "stream":
            await answer.until(lambda: answer.resets == {1: CANCEL})
            assert not answer.goaways
        else:
            await answer.until_closed()
            assert answer.goaways[-1][1] == ENHANCE_YOUR_CALM


async def test_a_tunnel_has_no_rate():
    """A byte a minute, in both directions, for an hour."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        client = await server.client()
        client.send(get("/", "Connection: Upgrade", "Upgrade: chat"))
        assert (await client.read_head())[0] == 101
        for minute in range(60):
            client.send(b"x")
            await client.reader.readuntil(b"x")
            server.later(60)
            assert not refused(server), minute
        assert server.service.connections
