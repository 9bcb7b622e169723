"""What tests of hostile pages share: a server of somebody's own, and names that lead elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

REFUSED = b"\5\4\0\1" + bytes(6)
CONNECTED = b"\5\0\0\1" + bytes(6)

PAGE = (
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n"
    b"<!doctype html><title>evil</title><link rel=icon href=data:,><p>evil"
)


class Names:
    """
    Where names lead, whatever port is asked for.

    A browser asks through SOCKS, by name and anew for each connection: what an attacker's DNS with
    records of a second does, and what rebinds them.

    Source: RFC 1928 §3 to §6.
    """

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}
        self._open: set[asyncio.StreamWriter] = set()

    def lead(self, name: str, port: int) -> None:
        """Have a name lead to a port of 127.0.0.1 from now on; what is open to others ends."""
        self._ports[name] = port
        for near in self._open:
            near.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the browser."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            port = self._ports.get(await asked_name(reader, writer))
            if port is None:
                writer.write(REFUSED)
                return
            far, near = await asyncio.open_connection("127.0.0.1", port)
            self._open.add(near)
            writer.write(CONNECTED)
            await asyncio.gather(pump(reader, near), pump(far, writer))
            self._open.discard(near)


async def asked_name(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The name that a client of SOCKS wants; empty where it wants an address."""
    methods = (await reader.readexactly(2))[1]
    await reader.readexactly(methods)
    writer.write(b"\5\0")
    kind = (await reader.readexactly(4))[3]
    if kind != 3:
        return ""
    length = (await reader.readexactly(1))[0]
    return (await reader.readexactly(length + 2))[:-2].decode()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, and then the end of both ways."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


async def show_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request with the page; nothing is kept, so that a name can lead elsewhere next."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PAGE)
        await writer.drain()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server on 127.0.0.1; its port. Its clients have gone before it ends."""
    under_way: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*under_way)
