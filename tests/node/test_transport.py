"""What both protocols share: writing past the transport, its pace, its limits, its end."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from tests.support_wire import (
    GIB,
    KIB,
    MIB,
    PLAIN,
    echo_target,
    get,
    response,
    serving,
    small,
    streamed,
    until,
)


def pattern(size: int) -> bytes:
    """Bytes in which no part looks like another."""
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32))


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
async def test_a_late_reader_gets_every_byte_in_order(kind):
    """Partial writes and full sockets keep the order: 8 MiB twice, then a small answer."""
    content = pattern(8 * MIB)

    async def pieces():
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    def respond(request):
        if request.target == b"/small":
            return small(b"small")
        return response(content if kind == "in memory" else pieces(), length=len(content))

    async with serving(respond) as server:
        client = await server.client(receive_buffer=4 * KIB)
        client.send(get("/large") + get("/large") + get("/small"))
        await until(lambda: server.service.connections and server.connection.paused)
        assert (await client.read())[2] == content
        assert (await client.read())[2] == content
        assert (await client.read())[2] == b"small"


async def test_large_pipelined_answers_wait_for_the_reader():
    """A client that asks for much and reads nothing makes few answers, in order when it reads."""
    made = []

    def respond(request):
        made.append(request.target)
        return response(request.target + bytes(MIB))

    async with serving(respond) as server:
        client = await server.client(receive_buffer=4 * KIB)
        client.send(b"".join(get(f"/{number:03}") for number in range(100)))
        connection = await until(lambda: next(iter(server.service.connections), None))
        await until(lambda: connection.paused)
        assert len(made) < 12, "kernel buffers and one answer on the way"
        for number in range(20):
            assert (await client.read())[2] == b"/%03d" % number + bytes(MIB)


async def test_many_pipelined_answers_go_out_in_batches():
    """More pieces than writev takes are no error."""
    big = b"x" * 600
    async with serving(lambda _: response(big)) as server:
        server.service.requests_per_connection = 10**6
        client = await server.client()
        client.send(PLAIN * 2500)
        for _ in range(2500):
            assert (await client.read())[2] == big


async def test_a_stalled_reader_costs_little_and_holds_up_nobody():
    """1 GiB made on demand for a client that does not read: little is made, others are served."""
    produced, closed = [], []
    chunk = bytes(256 * KIB)

    def respond(request):
        if request.target == b"/huge":
            return response(streamed(GIB // len(chunk), chunk, produced, closed), length=GIB)
        return small(b"ok")

    async with serving(respond) as server:
        stalled = await server.client(receive_buffer=4 * KIB)
        stalled.send(get("/huge"))
        await until(lambda: server.service.connections and server.connection.paused)
        connection = server.connection
        other = await server.client()
        for _ in range(50):
            other.send(PLAIN)
            assert (await other.read())[2] == b"ok"
        assert connection.transport.get_write_buffer_size() <= 512 * KIB
        assert sum(produced) < 8 * MIB
        stalled.reset()
        await until(lambda: closed)


async def test_a_fast_reader_does_not_keep_the_loop():
    """A transport that never fills up still gives way to others between two chunks."""
    async with serving(echo_target) as server:
        await server.client()
        connection = await until(lambda: next(iter(server.service.connections), None))
        others = []
        asyncio.get_running_loop().call_soon(others.append, "ran")
        assert not connection.paused
        await connection.writable()
        assert others


async def test_a_stalled_reader_is_aborted():
    """Thirty seconds without taking a byte end it; while it takes some it may take long."""
    async with serving(lambda _: response(bytes(32 * MIB))) as server:
        client = await server.client(receive_buffer=128 * KIB)
        client.send(PLAIN)
        await until(lambda: server.service.connections and server.connection.paused)
        connection = server.connection
        for _ in range(5):
            server.later(29)
            left = connection.transport.get_write_buffer_size()
            while connection.transport.get_write_buffer_size() == left:
                await client.reader.read(128 * KIB)
        server.later(29)
        assert not connection.transport.is_closing()
        server.later(31)
        assert connection.transport.is_closing()
        await until(lambda: not server.service.connections)


async def test_a_slow_reader_of_a_last_answer_is_waited_for():
    """Lingering begins when the answer is out, not when it was made."""
    async with serving(lambda _: response(bytes(8 * MIB))) as server:
        client = await server.client(receive_buffer=128 * KIB)
        client.send(get("/", "Connection: close"))
        await until(lambda: server.service.connections and server.connection.lingering)
        server.later(25)
        await client.read_head()
        assert len(await client.rest()) == 8 * MIB
        server.later(0.1)
        server.later(1.5)
        assert not server.connection.transport.is_closing(), "two seconds from when it was out"
        server.later(1)
        await until(lambda: not server.service.connections)


async def test_a_client_that_does_not_leave_is_dropped_after_lingering():
    """Two seconds for what is still on its way, then the connection is gone."""
    async with serving(lambda _: small(b"ok")) as server:
        client = await server.client()
        client.send(get("/", "Connection: close"))
        await client.read()
        await until(lambda: server.service.connections and server.connection.lingering)
        server.later(1.9)
        assert not server.connection.transport.is_closing()
        server.later(0.2)
        await until(lambda: not server.service.connections)


async def test_connections_over_the_limit_are_told_so():
    """The next one gets 503 and its end; those that are served notice nothing."""
    async with serving(lambda _: small(b"ok")) as server:
        server.service.max_connections = 2
        first, second = await server.client(), await server.client()
        await until(lambda: len(server.service.connections) == 2)
        refused = await server.client()
        refused.send(PLAIN)
        status, fields, _ = await refused.read()
        assert (status, fields["connection"], "retry-after" in fields) == (503, "close", True)
        assert await refused.rest() == b""
        await refused.close()
        for client in (first, second):
            client.send(PLAIN)
            assert (await client.read())[2] == b"ok"
        assert (server.service.accepted, server.service.counters.refused["connections"]) == (3, 1)
        await first.close()
        await until(lambda: len(server.service.connections) == 1)
        third = await server.client()
        third.send(PLAIN)
        assert (await third.read())[2] == b"ok"


async def test_a_flood_of_refused_connections_is_bounded():
    """Beyond a hundred that are being told, the rest is dropped at once."""
    async with serving(lambda _: small(b"ok")) as server:
        server.service.max_connections = 0
        clients = [await server.client() for _ in range(130)]
        await until(lambda: server.service.counters.refused["connections"] == 130)
        assert len(server.service.connections) == 100
        for client in clients:
            client.writer.close()
