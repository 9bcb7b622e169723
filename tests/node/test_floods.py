"""Floods of HTTP/2 over real sockets: each ends its connection alone, counted by its reason."""

from __future__ import annotations

import asyncio
import struct

import pytest

from edge.http.http2 import ENHANCE_YOUR_CALM
from edge.node.streams import Http2Connection
from edge.node.transport import Connection
from edge.site.limits import Limits
from tests.support_wire import (
    DATA,
    HEADERS,
    HELLO,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frames,
    Server,
    connected,
    echo_target,
    frame,
    head,
    response,
    serving,
    string,
    until,
)

GREASE, CONTINUATION, PRIORITY_UPDATE = 0x2A, 9, 0x10
CANCELLED = b"\0\0\0\x08"
MOST_WINDOW = struct.pack(">I", 2**31 - 1)


def each(count: int, *frames: tuple[int, bytes]) -> bytes:
    """`count` requests, each followed by frames on its stream."""
    made = []
    for stream in range(1, 2 * count, 2):
        made.append(head(stream))
        made += [frame(kind, 0, stream, payload) for kind, payload in frames]
    return b"".join(made)


def bomb(times: int = 16_000) -> bytes:
    """A head of 16 KiB that unpacks to 4 MB."""
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
    block = b"".join(b"\0" + string(name) + string(value) for name, value in fields)
    block += b"\x40" + string(b"x") + string(b"y" * 200) + b"\xbe" * times
    return frame(HEADERS, 5, 1, block)


def kinds(server: Server) -> list[type[Connection]]:
    """What is spoken on each connection."""
    return [type(connection) for connection in server.service.connections]


FLOODS = {
    "rapid reset": (each(101, (RST_STREAM, CANCELLED)), "h2_resets"),
    "made to reset, by a window": (each(101, (WINDOW_UPDATE, MOST_WINDOW)), "h2_resets"),
    "made to reset, by content": (each(101, (DATA, b"x")), "h2_resets"),
    "made to reset, by itself": (
        b"".join(head(n, (b"X", b"y")) for n in range(1, 204, 2)),
        "h2_resets",
    ),
    "resets of what has ended": (
        head(1) + frame(RST_STREAM, 0, 1, CANCELLED) * 103,
        "h2_resets",
    ),
    "pings": (frame(PING, 0, 0, bytes(8)) * 61, "h2_pings"),
    "answers to pings": (frame(PING, 1, 0, bytes(8)) * 61, "h2_pings"),
    "settings": (frame(SETTINGS, 0, 0) * 15, "h2_settings"),
    "confirmations": (frame(SETTINGS, 1, 0) * 15, "h2_settings"),
    "priorities": (frame(PRIORITY, 0, 1, bytes(4) + b"\1") * 121, "h2_priorities"),
    "unknown frames": (frame(GREASE, 0, 0, b"x") * 121, "h2_priorities"),
    "empty content": (head(1, ends=False) + frame(DATA, 0, 1) * 11, "h2_empty"),
    "nothing but padding": (
        head(1, ends=False) + frame(DATA, 8, 1, b"\xff" + bytes(255)) * 11,
        "h2_empty",
    ),
    "windows": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1024, "h2_updates"),
    "continuations": (frame(HEADERS, 1, 1, b"\x82") + frame(CONTINUATION, 0, 1) * 17, "h2_flood"),
    "a bomb": (bomb(), "fields"),
}


@pytest.mark.parametrize("way", ["at once", "after a minute", "in pieces"])
@pytest.mark.parametrize(("data", "reason"), FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_is_told_to_calm_down(data, reason, way):
    """ENHANCE_YOUR_CALM, whenever in the life of a connection and however it is cut."""

    async def wait(_request):
        await asyncio.Event().wait()

    async with serving(wait) as server:
        server.service.keep_alive = 1000
        neighbour = await connected(server)
        client = await server.client()
        client.send(HELLO)
        await until(lambda: kinds(server) == [Http2Connection] * 2)
        if way == "after a minute":
            server.later(59.5)
            server.later(0.6)
        step = 1000 if way == "in pieces" else len(data)
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
            await asyncio.sleep(0)
        answer = Frames(client)
        await answer.until_closed()
        assert answer.goaways[-1][1] == ENHANCE_YOUR_CALM
        assert server.service.counters.refused[reason] == 1
        server.respond = echo_target
        assert (await neighbour.read(neighbour.request(b"/x"))).content == b"/x"


async def test_what_comes_with_a_flood_is_not_begun():
    """Two thousand requests in one piece, each taken back: hardly any reaches its handler."""

    async def wait(_request):
        await asyncio.Event().wait()

    async with serving(wait) as server:
        client = await server.client()
        client.send(HELLO + each(2000, (RST_STREAM, CANCELLED)))
        answer = Frames(client)
        await answer.until_closed()
        assert len(server.requests) <= 101


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        (Limits(h2_resets=1), each(2, (RST_STREAM, CANCELLED)), "h2_resets"),
        (Limits(h2_pings=1), frame(PING, 0, 0, bytes(8)) * 2, "h2_pings"),
        (Limits(h2_settings=1), frame(SETTINGS, 0, 0), "h2_settings"),
        (Limits(h2_priorities=1), frame(PRIORITY, 0, 1, bytes(4) + b"\1") * 2, "h2_priorities"),
        (Limits(h2_empty=1), head(1, ends=False) + frame(DATA, 0, 1) * 2, "h2_empty"),
        (Limits(h2_updates=1), frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 64, "h2_updates"),
    ],
)
async def test_what_a_minute_may_bring_is_the_operator_s(limits, data, reason):
    """One is allowed, the second is too much."""

    async def wait(_request):
        await asyncio.Event().wait()

    async with serving(wait) as server:
        server.service.limits = limits
        client = await server.client()
        client.send(HELLO + data)
        answer = Frames(client)
        await answer.until_closed()
        assert answer.goaways[-1][1] == ENHANCE_YOUR_CALM
        assert server.service.counters.refused[reason] == 1


async def test_honest_clients_are_left_alone():
    """What browsers did for years: a priority and windows with each request, minute by minute."""
    async with serving(echo_target) as server:
        server.service.keep_alive, server.service.streams_per_connection = 1000, 100_000
        client = await server.client()
        client.send(HELLO)
        answer = Frames(client)
        for batch in range(20):
            for stream in range(120 * batch + 1, 120 * batch + 121, 2):
                client.send(frame(PRIORITY, 0, stream, bytes(4) + b"\1") + head(stream))
                client.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 4)
            client.send(frame(SETTINGS, 0, 0) * 2 + frame(PING, 0, 0, bytes(8)) * 10)
            seen = 10 * (batch + 1)
            await answer.until(lambda s=seen: len(answer.of(PING)) == s)
            if batch % 5 == 4:
                server.later(61)
        assert not answer.goaways
        assert len(server.requests) == 1200
        assert not any(server.service.counters.refused.values())


async def test_windows_of_an_eager_reader_are_no_flood():
    """Go's client: an update for every 4 KiB that it has read, of a stream and the connection."""
    size = 20_000_000
    async with serving(lambda _: response(bytes(size))) as server:
        client = await server.client()
        client.send(HELLO + head(1))
        answer = Frames(client)
        seen = updated = 0
        update = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 4096))
        update += frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 4096))
        while seen < size:
            have = len(answer.all)
            await answer.until(lambda h=have: len(answer.all) > h)
            seen += sum(len(p) for kind, _, _, p in answer.all[have:] if kind == DATA)
            while updated + 4096 <= seen:
                updated += 4096
                client.send(update)
        assert not answer.goaways
        assert not any(server.service.counters.refused.values())


async def test_streams_that_are_too_many_are_counted():
    """Each of them, by `h2_streams`."""

    async def wait(_request):
        await asyncio.Event().wait()

    async with serving(wait) as server:
        server.service.max_streams = 3
        client = await server.client()
        client.send(HELLO + each(5))
        answer = Frames(client)
        await answer.until(lambda: len(answer.resets) == 2)
        assert server.service.counters.refused["h2_streams"] == 2
