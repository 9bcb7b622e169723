"""
The parts of a worker, put together once and set anew by every generation's settings.

Laws: nothing runs here, nothing is opened. What a setting changes is changed in one call, between
two requests; a deploy changes no setting, and loses no connection to an origin.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import msgspec

from edge.node.accesslog import AccessLog
from edge.node.addresses import Addresses
from edge.node.blobs import Blobs
from edge.node.broker import Broker
from edge.node.cache import Cache
from edge.node.clock import Clock
from edge.node.connection import Service
from edge.node.counters import Counters
from edge.node.country import Countries
from edge.node.desk import Desk
from edge.node.doors import Doors
from edge.node.exporter import Exporter
from edge.node.files import Files
from edge.node.forward import Forwarder
from edge.node.handler import Handler
from edge.node.ledger import Ledger
from edge.node.loader import Loader
from edge.node.logfile import LogFile
from edge.node.memory import Memory
from edge.node.orders import Listeners
from edge.node.origins import Origins
from edge.node.reception import Reception
from edge.node.room import Room
from edge.node.roots import Roots
from edge.node.shelf import Shelf
from edge.node.siblings import Siblings
from edge.node.streams import take_over
from edge.node.tls import Contexts, listener_context
from edge.node.tracer import Tracer
from edge.node.transport import Connection
from edge.node.trees import Trees
from edge.site.hosts import canonical_host
from edge.site.places import Places
from edge.site.settings import Settings, Tracing


class Team(msgspec.Struct, frozen=True):
    """The workers of one parent, and which of them this is."""

    workers: int = 1
    slot: int = 0
    family: int = 0
    """The parent's process id: workers of another parent are no siblings."""
    waits: bool = False
    """Whether there is a word to wait for before anything is accepted: another node serves yet."""

    def sockets(self, places: Places) -> list[Path]:
        """Where each of them is asked for what it stores."""
        names = [f"store-{self.family}-{slot}.sock" for slot in range(self.workers)]
        return [places.run / name for name in names]


class Machine:
    """Everything that serves requests in one worker."""

    def __init__(
        self,
        places: Places,
        listeners: Listeners,
        team: Team,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._places = places
        self._listeners = listeners
        self._team = team
        self._clock = Clock()
        self._room = Room(capacity=0)
        self._cache = Cache(self._room)
        self._trees = Trees(places, self._cache)
        self._loader = Loader(places, self._trees)
        self._files = Files(self._clock, self._cache, Blobs(places), max_object=0)
        self._counters = Counters()
        self._ledger = Ledger(self._counters)
        self._logfile: LogFile | None = None
        """Opened once something serves."""
        self._exporter: Exporter | None = None
        self._tracer: Tracer | None = None
        """Both are made once something is to be traced."""
        addresses = Addresses(Settings().proxy, Settings().listen.admin)
        self._origins = Origins(self._clock, addresses, Settings().limits, self._counters)
        self._broker = Broker(self._origins, Shelf(self._room))
        self._desk = Desk(self._broker)
        self._siblings = Siblings(self._broker, team.sockets(places), team.slot)
        self._forwarder = Forwarder(self._origins, self._siblings, instance_of(places))
        self._contexts = Contexts(places)
        self._handler = Handler(
            self._clock,
            self._files,
            self._trees,
            self._forwarder,
            self._contexts,
        )
        self._service = Service(
            self._clock,
            self._handler.respond,
            self._handler.error_response,
            take_over,
            self._ledger,
        )
        self._doors = Doors(self._service, self._handler, self._room, Memory())
        context = context or listener_context()
        self._reception = Reception(self._service, self._contexts, context)
        self._countries = Countries(None)
        self._roots = Roots()
        self._reach: tuple[object, ...] = ()
        """What decides where and how origins are dialed, as it is now."""
        self._drain = 30.0

    def _connections(self) -> list[Connection]:
        """Of clients and of siblings."""
        return [*self._service.connections, *self._desk.service.connections]

    # Numbers, and the log

    def numbers(self, since: int = 0) -> dict[str, Any]:
        """What is counted, since a version of it, and what is so at this moment."""
        self._ledger.add_up()
        self._counters.count_rules(self._handler.snapshot)
        clients = self._service.connections
        secure = sum(each.sni is not None for each in clients)
        return self._counters.report(since) | {
            "name": self._ledger.name,
            "draining": self._service.draining,
            "connections": {"http": len(clients) - secure, "https": secure},
            "cache_bytes": self._cache.size + self._broker.shelf.size,
            "handshakes": self._reception.status(),
            "log_dropped": 0 if self._logfile is None else self._logfile.dropped,
            "spans_dropped": 0 if self._exporter is None else self._exporter.dropped,
        }

    def _open_log(self) -> None:
        """Write the access log from now on: what serves has been loaded."""
        snapshot = self._handler.snapshot
        self._logfile = LogFile(Path(snapshot.root), snapshot.settings.access_log)
        self._log_by(snapshot.settings)

    def _log_by(self, settings: Settings) -> None:
        if self._logfile is None:
            return
        self._logfile.configure(settings.access_log)
        clients = self._forwarder.clients
        log = AccessLog(self._logfile.put, clients, self._handler.country)
        self._ledger.write_to(log if self._logfile.is_wanted else None)
        if settings.tracing is not None:
            self._trace_by(settings.tracing, log if self._logfile.is_wanted else None)

    def _trace_by(self, settings: Tracing, log: AccessLog | None) -> None:
        """Every answer is the tracer's to note, and then the log's."""
        forwarder, exporter, tracer = self._forwarder, self._exporter, self._tracer
        if exporter is None or tracer is None:
            exporter = self._exporter = Exporter(Path(self._handler.snapshot.root), settings)
            tracer = self._tracer = Tracer(exporter.put, forwarder.clients, settings.sample)
        exporter.configure(settings)
        tracer.configure(log, forwarder.clients, settings.sample)
        self._ledger.write_to(tracer)
        forwarder.fields = tracer.fields

    def _reopen_log(self) -> None:
        """It was moved away (SIGUSR1)."""
        if self._logfile is not None:
            self._logfile.reopen()

    def _close_log(self) -> None:
        """Write what there is; waits for the disk, a few seconds at most."""
        self._ledger.flush()
        if self._logfile is not None:
            self._logfile.close()
        if self._exporter is not None:
            self._exporter.close()

    # Settings

    def _apply(self, settings: Settings) -> None:
        limits = settings.limits
        self._broker.configure(settings.cache)
        self._files.max_object = settings.cache.max_object
        self._forwarder.configure(settings)
        self._handler.arrivals.configure(settings, self._listeners.addresses("https"))
        self._contexts.public = tuple(map(canonical_host, settings.listen.public))
        self._reception.configure(limits)
        self._reach_origins(settings)
        self._handler.countries = self._countries
        self._drain = limits.drain
        self._service.configure(limits)
        self._doors.configure(settings, self._team.workers)
        self._log_by(settings)

    def _reach_origins(self, settings: Settings) -> None:
        """A deploy changes nothing of this: connections to origins stay, and what they answered."""
        context = self._roots.context
        reach = (settings.proxy, settings.listen.admin, settings.limits, context)
        if reach != self._reach:
            self._reach = reach
            addresses = Addresses(settings.proxy, settings.listen.admin)
            self._origins.configure(addresses, settings.limits, context)
            self._broker.clear()  # it may hold what nobody may ask for any more


def instance_of(places: Places) -> bytes:
    """What origins know this node by: the same for all its workers, after every restart."""
    name = f"{socket.gethostname()} {places.state.resolve()}"
    return hashlib.sha256(name.encode()).hexdigest()[:8].encode()
