"""What tests of entries share: a site behind a real socket, whose lines are read as they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from edge.node.accesslog import AccessLog
from edge.node.connection import Http1Connection
from edge.node.counters import Tally
from tests.support_serving import HOST, Site
from tests.support_wire import Client, until


class Entered:
    """A worker that listens, and what it enters."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.port = port
        self.written: list[bytes] = []
        self.clients: list[Client] = []
        self.parsed = 0
        """Requests that its handler looked at, where they are counted (`support_recalling`)."""
        handler = site.worker._handler
        self.log = AccessLog(self.written.extend, handler.forwarder.clients, handler.country)
        site.worker._ledger.write_to(self.log)

    async def client(self) -> Client:
        """Another connection."""
        made = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(made)
        return made

    async def ask(
        self, target: str = "/", *lines: str, method: str = "GET", content: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own, and its answer."""
        client = await self.client()
        head = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close", *lines, "", ""]
        client.send("\r\n".join(head).encode("latin-1") + content)
        return await client.read(method)

    def tally(self, branch: str = "main", app: str = "site") -> Tally:
        """The numbers of a branch."""
        self.site.worker._ledger.add_up()
        return self.site.worker._counters.tally(app, branch)

    def entries(self) -> list[dict[str, Any]]:
        """What was written, each line a document."""
        self.site.worker._ledger.flush()
        lines = b"".join(self.written).split(b"\n")
        assert lines.pop() == b"", "every line ends"
        return [json.loads(line) for line in lines]

    async def wait(self, count: int) -> list[dict[str, Any]]:
        """The entries, once there are so many."""
        await until(lambda: len(self.entries()) >= count)
        return self.entries()


@contextlib.asynccontextmanager
async def entering(site: Site) -> AsyncIterator[Entered]:
    """The site behind a socket."""
    service = site.worker._service
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Http1Connection(service), "127.0.0.1", 0)
    found = Entered(site, listener.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        listener.close()
        for client in found.clients:
            await client.close()
        for connection in tuple(service.connections):
            connection.transport.abort()
        await until(lambda: not service.connections)
        await listener.wait_closed()
