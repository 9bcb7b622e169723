"""
A worker: one process, one core, one loop. Start, swap, sweep, drain.

Laws: writes nothing to the state folder and never depends on control or the parent being alive.
What it serves is `current`; control orders a change in two steps (load, swap) so that all workers
change together, and a look at `current` once a second catches whatever nobody ordered.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import ssl
from pathlib import Path

import uvloop

from edge.errors import EdgeError
from edge.node import descriptors, orders
from edge.node.connection import Http1Connection
from edge.node.country import Countries
from edge.node.listening import BACKLOG, Listening
from edge.node.machine import Machine, Team
from edge.node.orders import Listeners, Reply
from edge.node.purging import assets_of, gone
from edge.node.sweeping import sweep
from edge.node.tasks import spawn
from edge.node.telling import tell_of
from edge.site.places import Places
from edge.site.snapshot import Snapshot

log = logging.getLogger("edge.worker")

YOUNG_OBJECTS = 10_000
"""Objects made since the last look of the collector, which takes 3 to 5 ms (Python's own: 700)."""

REFRESH_COUNTRIES = 10
"""Seconds between looks whether the database of countries is another file."""

FIRST_LOOK = 0.02
"""Seconds between looks for the first generation of a new state folder."""


CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


FLUSH_SECONDS = 0.25
"""Between two writes of the access log, where it is not much that happens."""

LAST_WORDS_SECONDS = 2.0
"""How long a worker that has drained waits for control, which asks once a second."""


class Worker(Machine):
    """Serves until told to drain."""

    def __init__(
        self,
        places: Places,
        listeners: Listeners,
        team: Team,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(places, listeners, team, context)
        self._judged = 0
        """The keyring by which `snapshot.known` was filled."""
        self._loaded: Snapshot | None = None
        """Loaded and waiting for the order to swap."""
        self._base: Snapshot | None = None
        """What served when `_loaded` was made; it shares the branches of no other."""
        self._trouble = ""
        """Why `current` could not be loaded, so that it is said once."""
        self._lock = asyncio.Lock()
        self._servers: list[asyncio.AbstractServer] = []
        self._listening = Listening(listeners, self._service, self._reception)
        self._drained = asyncio.Event()
        self._asked = asyncio.Event()
        """Set whenever control has asked for the numbers."""
        self._sweep: asyncio.Task[None] | None = None
        """The look at every connection: the clock does not wait for it."""
        self._may_listen = not team.waits

    async def run(self) -> None:
        """Load, listen, serve; returns when drained."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_log)
        path = orders.socket_path(self._places.run, "worker")
        control = await orders.listen(path, self._obey, self._listeners)
        await self._contexts.follow()
        while self._handler.snapshot.number == 0 and not self._service.draining:
            await self._follow_current()
            await asyncio.sleep(FIRST_LOOK)
        await self._wait_for_word()
        self._servers.append(await self.open_desk())
        self._open_log()
        gc.collect()
        gc.freeze()  # what was loaded at the start stays; the collector need not walk it again
        gc.set_threshold(YOUNG_OBJECTS)  # a request leaves no cycles: looking often finds nothing
        if not self._service.draining:
            await self._listening.open()
        running = spawn(self._tick(), "tick"), spawn(self._flush(), "flush")
        await self._drained.wait()
        await self._tell_last()
        for task in running:
            task.cancel()
        control.close()
        await asyncio.to_thread(self._close_log)
        for place in (path, self._siblings.place):
            place.unlink(missing_ok=True)

    async def _wait_for_word(self) -> None:
        """Beside a node that serves: until the order to listen, or the end of who would give it."""
        while not self._may_listen and not self._service.draining:
            if os.getppid() != self._team.family:
                self.drain()
            await asyncio.sleep(FIRST_LOOK)
            await self._follow_current()

    async def open_desk(self) -> asyncio.AbstractServer:
        """Be asked by siblings from now on."""
        self._siblings.place.unlink(missing_ok=True)
        return await asyncio.get_running_loop().create_unix_server(
            lambda: Http1Connection(self._desk.service),  # type: ignore[arg-type, return-value]
            self._siblings.place,
            backlog=BACKLOG,
        )

    async def _tick(self) -> None:
        """Once a second: the clock, the time limits of every connection, a look at `current`."""
        while True:
            await asyncio.sleep(1 - self._clock.now % 1)
            self._clock.tick()
            self._ledger.add_up()
            self._doors.tick()
            await self._listening.follow()
            self._origins.sweep()
            self._siblings.sweep(self._clock.now)
            self._reception.sweep(self._clock.now)
            if self._sweep is None or self._sweep.done():
                self._sweep = spawn(sweep(self._connections(), self._clock), "sweep")
            if not self._lock.locked():
                spawn(self._follow_current(), "follow")  # the clock does not wait for the disk
                spawn(self._follow_certificates(), "certificates")
            if self._countries.path is not None and self._clock.epoch % REFRESH_COUNTRIES == 0:
                spawn(asyncio.to_thread(self._countries.refresh), "countries")

    def mind_descriptors(self, limit: int) -> None:
        """Take no more connections than there are descriptors for, and leave some for the rest."""
        self._service.most_connections = descriptors.for_connections(limit)

    async def _flush(self) -> None:
        """Hand lines to the log's thread a few times a second."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._ledger.flush()

    # Generations

    async def _follow_current(self) -> None:
        """Serve what `current` names; one that cannot be read leaves the old one serving."""
        number = self._loader.current()
        if number is None or number == self._handler.snapshot.number:
            return
        try:
            await self._load(number)
            self._swap()
            self._trouble = ""
        except EdgeError as error:
            trouble = f"generation {number} is not loaded: {error}"
            if trouble != self._trouble:
                log.warning("%s", trouble)
            self._trouble = trouble

    async def _follow_certificates(self) -> None:
        """Serve by the certificates that control has written."""
        await self._contexts.follow()
        if self._judged != self._contexts.version:
            self._judged = self._contexts.version
            self._handler.snapshot.known.clear()  # some of it depended on what they were
            self._service.forget()

    async def _load(self, number: int) -> None:
        async with self._lock:
            serving = self._handler.snapshot
            if self._loaded is None or self._loaded.number != number or self._base is not serving:
                self._loaded = await self._loader.load(number, serving)
                self._base = serving
                await self._open_countries(self._loaded)
                await asyncio.to_thread(self._roots.read, ca_file(self._loaded))

    async def _open_countries(self, snapshot: Snapshot) -> None:
        """The database of countries that a snapshot's settings name, if it is another one."""
        database = snapshot.settings.geoip.database
        path = None if database is None else Path(snapshot.root, database)
        if path != self._countries.path:
            self._countries = await asyncio.to_thread(Countries, path)

    def _swap(self) -> None:
        """One assignment; requests under way keep the snapshot that they read."""
        new, old = self._loaded, self._handler.snapshot
        if new is None or new is old:
            return
        self._clock.tick()  # nothing is answered with a Date before its activation
        self._handler.snapshot = new
        self._loaded = self._base = None
        self._ledger.add_up()  # what is not entered yet holds on to the old snapshot
        self._counters.count_rules(old)  # those of plans that are gone are asked of nobody
        self._loader.retire(old, new)
        if labels := gone(old, new):
            self._broker.drop(labels)
        self._service.manners.expect(len(new.hosts))
        self._apply(new.settings)

    # Orders

    async def _obey(self, order: Reply) -> Reply:
        match order["do"]:
            case "load":
                await self._load(order["generation"])
            case "swap":
                await self._load_and_swap(order["generation"])
            case "purge":
                return {"purged": self._purge(order)}
            case "stored":
                shelf, epoch = self._broker.shelf, self._clock.epoch
                return tell_of(shelf, order["app"], order["url"], epoch)
            case "counters":
                self._asked.set()
                since = order.get("since", {}).get(self._ledger.name, 0)
                return {"pid": os.getpid(), "counters": self.numbers(since)}
            case "hits":
                self._ledger.add_up()
                return {"hits": self._counters.take_hits(self._handler.snapshot)}
            case "tls":
                await self._follow_certificates()
            case "listen" | "drain" as word:
                self._begin_or_end(word)
            case "status":
                pass
            case unknown:
                return {"error": f"unknown order {unknown!r}"}
        return self.status()

    def _begin_or_end(self, word: str) -> None:
        if word == "drain":
            self.drain()
        self._may_listen = True

    async def _load_and_swap(self, number: int) -> None:
        if self._handler.snapshot.number != number:
            await self._load(number)
            self._swap()

    def _purge(self, order: Reply) -> int:
        """Forget what an order names; how many stored responses that was."""
        if order["everything"]:
            return self._cache.clear() + self._broker.clear(soft=order["soft"])
        labels = [label.encode("latin-1") for label in order["labels"]]
        files = [tuple(named) for named in order["files"]]
        assets = assets_of(self._handler.snapshot, files)
        within = order.get("within")  # of a control process that may be older
        bounds = None if within is None else frozenset(each.encode("latin-1") for each in within)
        dropped = self._broker.drop(labels, soft=order["soft"], within=bounds)
        return self._cache.drop(assets) + dropped

    def status(self) -> Reply:
        """What this worker is doing, in numbers."""
        self._ledger.add_up()
        return {
            "pid": os.getpid(),
            "generation": self._handler.snapshot.number,
            "connections": len(self._service.connections),
            "tasks": len(asyncio.all_tasks()),
            "accepted": self._service.accepted,
            "refused": self._counters.refused["connections"],
            "responses": dict(zip(CLASSES, self._counters.classes()[1:], strict=True)),
            "cache": {
                "bytes": self._cache.size + self._broker.shelf.size,
                "capacity": self._room.capacity,
            },
            "handshakes": self._reception.status(),
            "slow_patterns": self._handler.slow,
            "manifest_files": self._trees.entries,
            "draining": self._service.draining,
        }

    # The end

    def drain(self) -> None:
        """Take no new connections, finish what is under way, then stop."""
        if not self._service.draining:
            self._service.draining = True
            spawn(self._finish(), "drain")

    def _remain(self) -> bool:
        """Whether anybody is still here, those that shake hands included."""
        return bool(self._connections() or self._reception.waiting)

    async def _tell_last(self) -> None:
        """Wait until control has the last numbers, if it has asked for any at all."""
        if self._asked.is_set():
            self._asked.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LAST_WORDS_SECONDS)

    async def _finish(self) -> None:
        for server in self._servers:
            server.close()
        self._listening.close()
        deadline = asyncio.get_running_loop().time() + self._drain
        while self._remain() and asyncio.get_running_loop().time() < deadline:
            for connection in self._connections():
                connection.drain()
            await asyncio.sleep(0.05)
        self._reception.close()
        for connection in self._connections():
            if not connection.transport.is_closing():
                self._service.counters.refuse("drain")
            connection.transport.abort()
        self._handler.verifier.close()
        self._siblings.close()
        self._origins.close()
        self._drained.set()


def ca_file(snapshot: Snapshot) -> Path | None:
    """Authorities of origins that the operator named."""
    file = snapshot.settings.proxy.ca_file
    return None if file is None else Path(snapshot.root, file)


def run(places: Places, listeners: Listeners, team: Team, context: ssl.SSLContext) -> None:
    """The whole life of a worker process."""
    worker = Worker(places, listeners, team, context)
    worker.mind_descriptors(descriptors.raise_limit())
    uvloop.run(worker.run())
