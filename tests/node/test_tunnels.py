"""Tunnels to an origin: bytes both ways, and what happens when either side ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from edge.errors import OriginError
from edge.node.addresses import Addresses, OriginKey
from edge.node.clock import Clock
from edge.node.origins import Origins
from edge.node.tasks import spawn
from edge.node.tunnels import OriginTunnel
from edge.site.limits import Limits
from edge.site.settings import Proxy
from tests.support_origin import Origin, Talk, originating
from tests.support_wire import MIB, until

SWITCH = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"


@pytest.fixture
def server():
    """An origin without scripts."""
    with originating() as found:
        yield found


@contextlib.asynccontextmanager
async def tunnel_to(server: Origin):
    """A tunnel behind a 101; afterwards its connection is nobody's."""
    key = OriginKey("http", "127.0.0.1", server.port, is_carried=False)
    pool = Origins(Clock(), Addresses(Proxy(allow_private=True), "127.0.0.1:9901"), Limits())
    origin = pool.find(key)
    connection = await origin.acquire()
    fields = [(b"host", b"a.test"), (b"connection", b"upgrade"), (b"upgrade", b"chat")]
    connection.begin(b"GET", b"/", fields, tunnel=True)
    await connection.end()
    assert (await connection.next(9e9, "http_response_timeout")).status == 101
    tunnel = OriginTunnel(connection, origin, 3600.0)
    tunnel.pool, tunnel.server = pool, connection
    try:
        yield tunnel
    finally:
        await tunnel.aclose()
        await tunnel.aclose()
        assert (origin.outstanding, len(origin._idle)) == (0, 0)
        await server.until(lambda: not server.connections)


async def rest(tunnel: OriginTunnel) -> bytes:
    """Everything until its end."""
    return b"".join([chunk async for chunk in tunnel])


async def test_both_sides_are_heard_to_their_end(server):
    """What came behind the 101 first; the origin may answer when the client has ended."""

    def script(talk: Talk) -> None:
        talk.send(SWITCH + b"first,")
        talk.content = talk.until_closed()
        talk.send(b"last")
        talk.close()

    server.on("/", script)
    async with tunnel_to(server) as tunnel:
        assert tunnel.feed(b"hel")
        assert tunnel.feed(b"lo")
        tunnel.finish()

        assert await asyncio.wait_for(rest(tunnel), 10) == b"first,last"
        assert server.of("/")[0].content == b"hello"


@pytest.mark.parametrize("end", [Talk.close, Talk.reset], ids=["closes", "resets"])
async def test_an_origin_that_ends_ends_the_tunnel(server, end):
    """However it does it: there is nobody to tell why."""
    server.on("/", lambda talk: (talk.send(SWITCH), talk.wait(), end(talk)))
    async with tunnel_to(server) as tunnel:
        reading = spawn(rest(tunnel), "rest")
        (await server.wait_for("/")).go.set()

        assert await asyncio.wait_for(reading, 10) == b""


async def test_a_client_that_goes_away_ends_the_tunnel(server):
    """The origin is told."""
    server.on("/", lambda talk: (talk.send(SWITCH), talk.until_closed()))
    async with tunnel_to(server) as tunnel:
        reading = spawn(rest(tunnel), "rest")
        await until(lambda: tunnel.server._reading is not None)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await tunnel.aclose()
        await (await server.wait_for("/")).over()


async def test_a_tunnel_that_nobody_enters_is_let_go(server):
    """Its client may be gone when the 101 comes."""
    server.on("/", lambda talk: (talk.send(SWITCH), talk.until_closed()))
    async with tunnel_to(server):
        pass


async def test_a_silent_tunnel_ends(server):
    """Silent on both sides: what either says begins the hour anew."""

    def script(talk: Talk) -> None:
        talk.send(SWITCH)
        talk.wait()
        talk.send(b"x")
        talk.until_closed()

    server.on("/", script)
    async with tunnel_to(server) as tunnel:
        clock = tunnel.pool.clock
        talk = await server.wait_for("/")
        clock.now += 3599
        tunnel.feed(b"hello")
        reading = spawn(anext(tunnel), "next")
        await until(lambda: tunnel.server._reading is not None)
        clock.now += 3599
        tunnel.pool.sweep()
        talk.go.set()
        assert await reading == b"x"
        reading = spawn(rest(tunnel), "rest")
        await until(lambda: tunnel.server._reading is not None)
        clock.now += 3599
        tunnel.pool.sweep()
        assert not reading.done()
        clock.now += 2
        tunnel.pool.sweep()

        assert await asyncio.wait_for(reading, 10) == b""


async def test_a_full_tunnel_says_so_and_when_it_is_not(server):
    """Whoever feeds it waits for `resume`."""
    server.on("/", lambda talk: (talk.send(SWITCH), talk.wait(), talk.until_closed()))
    async with tunnel_to(server) as tunnel:
        resumed = asyncio.Event()
        tunnel.resume = resumed.set
        while tunnel.feed(b"x" * MIB):
            pass
        assert not resumed.is_set()
        (await server.wait_for("/")).go.set()

        await asyncio.wait_for(resumed.wait(), 10)
        assert tunnel.feed(b"x")


async def test_an_origin_that_takes_nothing_for_long_ends_the_tunnel(server):
    """A full tunnel is silent too."""
    server.on("/", lambda talk: (talk.send(SWITCH), talk.wait(), talk.until_closed()))
    async with tunnel_to(server) as tunnel:
        reading = spawn(rest(tunnel), "rest")
        await until(lambda: tunnel.server._reading is not None)
        while tunnel.feed(b"x" * MIB):
            pass
        tunnel.pool.sweep()
        tunnel.pool.clock.now += 3601
        tunnel.pool.sweep()

        assert await asyncio.wait_for(reading, 10) == b""
        with pytest.raises(OriginError, match="silent"):
            await tunnel.server.next(1.0, "connection_read_timeout")
        (await server.wait_for("/")).go.set()
