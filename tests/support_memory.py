"""A real worker and connections to it, without sockets: bytes in, bytes out, and what is logged."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from edge.node.accesslog import AccessLog
from edge.node.connection import Http1Connection
from tests.support_serving import Site

LONGEST_SECONDS = 20.0
"""After which an answer that still runs hangs."""


class MemoryTransport(asyncio.Transport):
    """A transport that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False
        self.protocol: Any = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whoever reads from now on."""
        self.protocol = protocol

    def get_protocol(self) -> Any:
        """Who reads now."""
        return self.protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.ended, "written after the end"
        self.written += data

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Keep them."""
        for piece in pieces:
            self.write(piece)

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def is_closing(self) -> bool:
        """Whether it was closed or aborted."""
        return self.ended

    def can_write_eof(self) -> bool:
        """As TLS: the end is one call."""
        return False

    def close(self) -> None:
        """The end."""
        self.ended = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing is read from it."""

    resume_reading = pause_reading


class Played(msgspec.Struct):
    """What came of one connection."""

    written: bytes
    lines: list[dict[str, Any]]
    """Of the access log, in its order."""


class Errors(logging.Handler):
    """Whatever is logged with a traceback; that an origin is not reached is a line without one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info or record.name == "asyncio":
            self.found.append(self.format(record))


class MemoryNode:
    """A worker on a state folder, on a loop of its own."""

    def __init__(self, folder: Path, prepare: Callable[[Site], None], **options: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.site = Site(folder, **options)
        prepare(self.site)
        self.loop.run_until_complete(self.site.start())
        self.raw: list[bytes] = []
        worker = self.site.worker
        clients, country = worker._forwarder.clients, worker._handler.country
        self.log = AccessLog(self.raw.extend, clients, country)
        worker._ledger.write_to(self.log)
        self.errors = Errors()
        for name in ("edge", "asyncio"):
            logging.getLogger(name).addHandler(self.errors)

    def play(self, pieces: Iterable[bytes]) -> Played:
        """One connection that sends these, and then its end."""
        return self.loop.run_until_complete(self._play(pieces))

    async def _play(self, pieces: Iterable[bytes]) -> Played:
        transport = MemoryTransport()
        connection = Http1Connection(self.site.worker._service)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        for piece in pieces:
            if transport.ended:
                break
            transport.get_protocol().data_received(piece)
            await asyncio.sleep(0)
        if not transport.ended:
            transport.get_protocol().eof_received()
        await self._rest(0.02 if transport.get_protocol() is not connection else LONGEST_SECONDS)
        transport.ended = True
        transport.get_protocol().connection_lost(None)
        assert not await self._rest(LONGEST_SECONDS), "something goes on when the client has gone"
        return Played(bytes(transport.written), self._told())

    async def _rest(self, seconds: float) -> set[asyncio.Task[Any]]:
        """What still runs after so long; most of it, and what it begins, ends at once."""
        end = self.loop.time() + seconds
        while running := asyncio.all_tasks() - {asyncio.current_task()}:
            if self.loop.time() > end:
                return running
            await asyncio.wait(running, timeout=seconds)
        return set()

    def _told(self) -> list[dict[str, Any]]:
        """The lines since the last connection; fails if there was an error."""
        self.site.worker._ledger.flush()  # answers from memory, too
        lines, self.raw[:] = list(self.raw), []
        found, self.errors.found = self.errors.found, []
        assert not found, found[0]
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines), lines
        return [json.loads(line) for line in lines]
