"""Answers of HTTP/1.1 on their way out: framing, interim responses, tunnels, and honest ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from edge.errors import OriginError
from edge.http.message import Response
from edge.node.sending import UNREAD_CONTENT
from tests.support_wire import (
    KIB,
    MIB,
    Client,
    Server,
    get,
    read_all,
    response,
    serving,
    until,
)


def unframed(content: AsyncIterator[bytes] | bytes, **fields: str) -> Response:
    """A response whose length nobody knows."""
    made = response(None, **fields)
    made.content = content
    made.is_unframed = True
    return made


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    """Content that breaks off behind these chunks."""
    for chunk in chunks:
        yield chunk
    raise OriginError("http_response_incomplete", "the origin closed")


class Content:
    """Content that notes that it was let go, as an origin's connection has to be."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.closed = 0

    def __aiter__(self) -> Content:
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)

    async def aclose(self) -> None:
        """Nobody reads on."""
        self.closed += 1


# Framing


@pytest.mark.parametrize("chunks", [[], [b"hello"], [b"hel", b"", b"lo"], [b"x" * MIB] * 3])
async def test_content_of_unknown_length_goes_out_in_chunks(chunks):
    """An empty piece is not the last one, and the connection goes on."""
    async with serving(lambda _: unframed(Content(*chunks))) as server:
        client = await server.client()
        for _ in range(2):
            client.send(get())
            _, fields = await client.read_head()
            assert (fields["transfer-encoding"], "connection" in fields) == ("chunked", False)
            assert await dechunked(client) == (b"".join(chunks), [])


async def dechunked(client: Client) -> tuple[bytes, list[bytes]]:
    """Content in chunks, and the trailers behind it."""
    content = []
    while size := int(await client.reader.readline(), 16):
        content.append(await client.reader.readexactly(size))
        assert await client.reader.readline() == b"\r\n"
    trailers = []
    while (line := await client.reader.readline()) != b"\r\n":
        trailers.append(line)
    return b"".join(content), trailers


async def test_a_client_that_knows_no_chunks_gets_content_up_to_the_end():
    """HTTP/1.0: the end of the connection is the end of the content, and it says so."""
    content = Content(b"hel", b"lo")
    async with serving(lambda _: unframed(content)) as server:
        client = await server.client()
        client.send(get("/", "Connection: keep-alive", version="1.0"))
        _, fields = await client.read_head()

        assert (fields["connection"], "transfer-encoding" in fields) == ("close", False)
        assert await client.rest() == b"hello"
        assert content.closed == 1


async def test_trailers_stand_behind_the_content():
    """Filled in by whoever makes it, at the very end; HTTP/1.0 has no room for them."""

    def respond(_request):
        made = unframed(b"")

        async def content():
            yield b"hello"
            made.trailers = [(b"x-sum", b"1"), (b"b", b"2")]

        made.content = content()
        return made

    async with serving(respond) as server:
        client = await server.client()
        client.send(get())
        await client.read_head()
        assert await dechunked(client) == (b"hello", [b"x-sum: 1\r\n", b"b: 2\r\n"])
        client.send(get(version="1.0"))
        await client.read_head()
        assert await client.rest() == b"hello"


async def test_content_of_a_head_request_is_let_go():
    """It is not sent, and whoever makes it is told."""
    content = Content(b"hello")
    async with serving(lambda _: unframed(content)) as server:
        client = await server.client()
        client.send(get(method="HEAD") + get("/", "Connection: close"))
        _, fields = await client.read_head()
        assert "transfer-encoding" not in fields
        assert (await client.read_head())[0] == 200
        assert content.closed >= 1


async def test_content_for_a_client_that_left_is_let_go():
    """Even where nobody began to read it."""
    content, gone = Content(b"hello"), asyncio.Event()

    async def respond(_request):
        await gone.wait()
        return unframed(content)

    async with serving(respond) as server:
        client = await server.client()
        client.send(get())
        await until(lambda: server.requests)
        server.connection.transport.abort()
        gone.set()
        await until(lambda: content.closed or not server.service.connections)
        await until(lambda: not server.service.connections)

    assert content.closed == 1 or content.chunks == [b"hello"]


# Honest ends


@pytest.mark.parametrize("chunks", [[], [b"hello"]], ids=len)
async def test_chunks_that_break_off_have_no_end(chunks):
    """The client sees that some is missing."""
    async with serving(lambda _: unframed(broken(*chunks))) as server:
        client = await server.client()
        client.send(get())
        await client.read_head()

        assert await client.rest() == b"".join(b"5\r\n%b\r\n" % chunk for chunk in chunks)
        assert [error.kind for error in server.errors] == ["http_response_incomplete"]


async def test_content_that_breaks_off_is_shorter_than_it_said():
    """The connection ends there, and nothing is made up."""
    async with serving(lambda _: response(broken(b"hello"), length=9)) as server:
        client = await server.client()
        client.send(get() + get())
        await client.read_head()

        assert await client.rest() == b"hello"
        assert len(server.requests) == 1


@pytest.mark.parametrize("chunks", [[], [b"hello"]], ids=len)
async def test_content_that_ends_with_the_connection_breaks_off_with_a_reset(chunks):
    """A plain end would pass for the end of the content."""
    async with serving(lambda _: unframed(broken(*chunks))) as server:
        client = await server.client()
        client.send(get(version="1.0"))
        await client.read_head()

        with pytest.raises(ConnectionResetError):
            await client.rest()


# What becomes of the connection


async def test_an_answer_in_the_middle_of_the_content_says_that_it_is_the_last():
    """Where the rest of the content ends is not known before it does."""

    async def respond(request):
        await anext(aiter(request.content))
        return response(b"enough", 413)

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", f"Content-Length: {MIB}", method="POST") + b"x")
        status, fields, content = await client.read()

        assert (status, fields["connection"], content) == (413, "close", b"enough")
        assert await client.rest() == b""


@pytest.mark.parametrize(("size", "closes"), [(UNREAD_CONTENT, False), (UNREAD_CONTENT + 1, True)])
async def test_content_that_nobody_wants_is_read_past_up_to_a_size(size, closes):
    """More of it costs the connection, and that is said."""

    async def respond(_request):
        await asyncio.sleep(0)
        return response(b"no")

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", f"Content-Length: {size}", method="POST"))
        _, fields, _ = await client.read()

        assert (fields.get("connection") == "close") == closes
        if not closes:
            client.send(b"x" * size + get("/", "Connection: close"))
            assert (await client.read())[0] == 200


# Interim responses


@pytest.mark.parametrize(("version", "statuses"), [("1.1", [103, 102, 200]), ("1.0", [200])])
async def test_interim_responses_go_out_at_once(version, statuses):
    """Before the answer is known; HTTP/1.0 knows none."""
    go = asyncio.Event()

    async def respond(request):
        request.inform(103, [(b"link", b"</a.css>")])
        request.inform(102, [])
        await go.wait()
        return response(b"ok")

    async with serving(respond) as server:
        client = await server.client()
        client.send(get(version=version))
        await until(lambda: server.requests)
        found = []
        for status in statuses:
            if status == 200:
                go.set()
            got, fields = await client.read_head()
            found.append(got)
            assert ("link" in fields) == (got == 103)
        assert found == statuses
        assert (await client.rest() if version == "1.0" else b"ok") == b"ok"


async def test_100_is_sent_once():
    """By whoever comes first: who passes it on, or who reads the content."""

    async def respond(request):
        request.inform(100, [])
        return response(await read_all(request))

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert (await client.read_head())[0] == 100
        client.send(b"ok")

        assert (await client.read())[::2] == (200, b"ok")


# Tunnels


class Echo:
    """A tunnel that says hello, then what it hears, until it hears the end."""

    def __init__(self) -> None:
        self.resume: Callable[[], None] = lambda: None
        self.heard: list[bytes] = []
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.queue.put_nowait(b"hello\n")
        self.takes = True
        self.finished = False
        self.closed = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes."""
        self.heard.append(data)
        self.queue.put_nowait(data)
        return self.takes

    def finish(self) -> None:
        """The client sends no more."""
        self.finished = True
        self.queue.put_nowait(b"bye\n")
        self.queue.put_nowait(None)

    def __aiter__(self) -> Echo:
        return self

    async def __anext__(self) -> bytes:
        data = await self.queue.get()
        if data is None:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Either side ended."""
        self.closed += 1


def switching(tunnel: Echo, go: asyncio.Event | None = None):
    """Answers with 101, on `go`."""

    async def respond(_request):
        if go is not None:
            await go.wait()
        made = response(None, 101, Connection="Upgrade", Upgrade="chat")
        made.content = made.tunnel = tunnel
        return made

    return respond


UPGRADE = get("/", "Connection: Upgrade", "Upgrade: chat")


async def entered(server: Server, sent: bytes = UPGRADE) -> Client:
    """A client at the end of a tunnel."""
    client = await server.client()
    client.send(sent)
    status, fields = await client.read_head()
    assert (status, fields["upgrade"], fields["connection"]) == (101, "chat", "Upgrade")
    assert await client.reader.readline() == b"hello\n"
    return client


async def test_bytes_pass_both_ways():
    """Whatever they look like; the client's end is told, and the other side has the last word."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        client = await entered(server)
        for data in (get(), b"\0\xff\r\n", b"x" * MIB):
            client.send(data)
            assert await client.reader.readexactly(len(data)) == data
        client.half_close()

        assert await client.rest() == b"bye\n"
        assert tunnel.finished
        assert len(server.requests) == 1
        await until(lambda: tunnel.closed)


@pytest.mark.parametrize("early", [b"early", get("/smuggled"), b"\x81\x05hello"])
async def test_what_came_before_101_is_no_part_of_the_tunnel(early):
    """Nor is it ever read as a request: whoever sent it did not know what it would be."""
    tunnel, go = Echo(), asyncio.Event()
    async with serving(switching(tunnel, go)) as server:
        client = await server.client()
        client.send(UPGRADE + early)
        await until(lambda: server.requests)
        client.send(early)
        await until(lambda: server.connection._held_bytes == len(early))
        go.set()
        assert (await client.read_head())[0] == 101
        assert await client.reader.readline() == b"hello\n"
        client.send(b"later\n")

        assert await client.reader.readline() == b"later\n"
        assert tunnel.heard == [b"later\n"]
        assert len(server.requests) == 1


async def test_a_tunnel_to_head_is_a_tunnel():
    """Nothing of it stays behind."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        sent = get("/", "Connection: Upgrade", "Upgrade: chat", method="HEAD")
        client = await entered(server, sent)
        client.half_close()
        await client.rest()
        await until(lambda: tunnel.closed)


async def test_a_full_tunnel_stops_its_client():
    """Until it takes more."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        client = await entered(server)
        tunnel.takes = False
        client.send(b"x" * 16 * MIB)
        await until(lambda: tunnel.heard)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sum(map(len, tunnel.heard)) <= 256 * KIB
        tunnel.takes = True
        tunnel.resume()

        assert len(await client.reader.readexactly(16 * MIB)) == 16 * MIB


async def test_a_client_that_goes_away_ends_the_tunnel():
    """At once."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        client = await entered(server)
        client.reset()
        await until(lambda: tunnel.closed)


async def test_a_client_that_ended_before_101_is_told_on():
    """It may still listen."""
    tunnel, go = Echo(), asyncio.Event()
    async with serving(switching(tunnel, go)) as server:
        client = await server.client()
        client.send(UPGRADE)
        client.half_close()
        await until(lambda: server.requests and server.connection.half_closed)
        go.set()

        assert (await client.rest()).endswith(b"\r\n\r\nhello\nbye\n")


async def test_the_end_of_the_other_side_ends_the_connection():
    """After everything that it said."""
    tunnel = Echo()
    async with serving(switching(tunnel)) as server:
        client = await entered(server)
        for _ in range(16):
            tunnel.queue.put_nowait(b"x" * MIB)
        tunnel.queue.put_nowait(None)

        assert len(await client.rest()) == 16 * MIB
        client.send(get())
        await client.close()
    assert len(server.requests) == 1
