"""
A worker without a network: what a request costs from its bytes to the answer's, log line included.

The state folder, the loader, the handler, the ledger and the log are the real ones; the transport
takes what is written and forgets it, and so does the log's file. What is missing of a request's
price is the kernel's part, and the loop's.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import re
import tempfile
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browsers import browsers
from processes import HOST, memory_backed
from rulesets import write_rules

from edge.control.announcements import FileDigest
from edge.control.changes import Changes
from edge.node.accesslog import AccessLog
from edge.node.connection import Http1Connection
from edge.node.machine import Team
from edge.node.orders import Listeners
from edge.node.worker import Worker
from edge.site.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = 100

BATCH = 256
"""Requests after which the log is handed on and counters are added up, as now and then it is."""

PAGE = b"<!doctype html><title>bench</title>" + bytes(range(256)) * 4
"""About 1 KB that codings do not make smaller."""


class Nowhere(asyncio.Transport):
    """A client that takes everything at once."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000)})
        self.last = b""

    def write(self, data: Any) -> None:
        """Keep the last piece, to see what was answered."""
        self.last = data

    def writelines(self, list_of_data: Any) -> None:
        """The first piece begins with the head."""
        self.last = b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nobody asks before the answer."""

    def resume_reading(self) -> None:
        """As before."""


class Still(Worker):
    """A worker that serves what was loaded once, and has no clock that ticks."""

    async def begin(self) -> None:
        """Load what `current` names."""
        await self._follow_current()
        self._service.requests_per_connection = 1 << 60
        clients, locate = self._forwarder.clients, self._handler.country
        self._ledger.write_to(AccessLog(forget, clients, locate))

    def connect(self) -> tuple[Http1Connection, Nowhere]:
        """A client."""
        transport = Nowhere()
        connection = Http1Connection(self._service)
        connection.connection_made(transport)
        return connection, transport

    def settle(self) -> None:
        """What happens between requests: the log and the counters are brought up to date."""
        self._ledger.add_up()
        if self._ledger.log is not None:
            self._ledger.log.flush()


def forget(_: list[bytes]) -> None:
    """The log's file."""


def still_worker(folder: Path, pages: int) -> Still:
    """One that serves pages as `HOST`, with `RULES` rules of every kind beside them."""
    write_rules(folder / "rules", "bench", RULES)
    (folder / "edge.yml").write_text("")
    places = Places(folder / "var")
    changes = Changes(places, folder / "edge.yml")
    changes.open()
    digest = FileDigest(hashlib.sha256(PAGE).hexdigest(), len(PAGE))
    names = ["docs/a.html", *(f"docs/a{number}.html" for number in range(1, pages))]
    header, missing = changes.begin("bench", "main", dict.fromkeys(names, digest))
    for sha256 in missing:
        changes.blobs.put(sha256, [PAGE])
    changes.activate(header.id)
    return Still(places, Listeners(), Team())


def request(path: str, lines: list[tuple[str, str]]) -> bytes:
    """A request's bytes."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode()


class Conversation:
    """A client of a worker that asks again and again; calling it asks once."""

    def __init__(self, path: str, *, status: int = 200, people: int = 1, pages: int = 1) -> None:
        """
        `people` browsers take turns, on a connection each, or one asks for `pages` in turn.

        Raises:
            RuntimeError: The answer has another status.
        """
        self.folder = tempfile.TemporaryDirectory(prefix="edge-micro-", dir=memory_backed())
        atexit.register(self.folder.cleanup)
        self.worker = still_worker(Path(self.folder.name), pages)
        crowd = browsers(HOST)[:people]
        paths = [path, *(f"{path}{number}" for number in range(1, pages))]
        asyncio.run(self.begin(paths, crowd, is_conditional=status == 304))
        self.calls = 0
        self()
        if not self.answer.startswith(b"HTTP/1.1 %d" % status):
            raise RuntimeError(f"{path} is answered with {self.answer[:60]!r}")

    async def begin(
        self, paths: list[str], crowd: list[list[tuple[str, str]]], *, is_conditional: bool
    ) -> None:
        """Load, and ask once for what has to come from the disk."""
        await self.worker.begin()
        connections = [self.worker.connect() for _ in crowd]
        connection, self.transport = connections[0]
        for path in paths:
            connection.data_received(request(path, crowd[0]))
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        if is_conditional:
            etag = re.search(rb"\r\nETag: (.+?)\r\n", self.transport.last)
            assert etag
            for lines in crowd:
                lines.append(("If-None-Match", etag[1].decode()))
        self.turns = cycle(
            [
                (each.data_received, request(path, lines))
                for (each, _), lines in zip(connections, crowd, strict=True)
                for path in paths
            ]
        )

    @property
    def answer(self) -> bytes:
        """The last one that the first client got."""
        return bytes(self.transport.last)

    def __call__(self) -> None:
        """One request, answered."""
        receive, data = next(self.turns)
        receive(data)
        self.calls += 1
        if self.calls % BATCH == 0:
            self.worker.settle()


def conversation(path: str, **options: Any) -> Callable[[Any], Callable[[], object]]:
    """A price of `micro.py`."""
    return lambda _: Conversation(path, **options)
