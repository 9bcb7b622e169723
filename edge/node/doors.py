"""
Who is let in: what becomes of new connections and requests where there are too many of them.

Laws: a limit that is off is not there: `Service` has other functions to call, not more questions to
ask. Memory is looked at once a second: first what is stored gives way, then new work is refused,
long before the kernel ends the process; what is under way goes on.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from edge.http.message import Request, Response
from edge.node.memory import Memory, give_back
from edge.node.room import thaw
from edge.node.shares import Rates, Seats, client_of
from edge.node.transport import Answer
from edge.site import pages

if TYPE_CHECKING:
    from edge.node.handler import Handler
    from edge.node.room import Room
    from edge.node.transport import Service
    from edge.site.settings import Settings

log = logging.getLogger("edge.worker")

RETRY_SECONDS: Final = 5
LEAST_ROOM: Final = 1 << 20
"""Bytes of stored responses under which there is nothing to be had by dropping them."""

MIB: Final = 1 << 20


class Doors:
    """The doors of one worker."""

    def __init__(self, service: Service, handler: Handler, room: Room, memory: Memory) -> None:
        self._service = service
        self._handler = handler
        self._room = room
        self._memory = memory
        self._rates: Rates | None = None
        self._capacity = 0
        """Of the room, where there is memory enough."""
        self._mark = 0
        """Bytes over which new work is refused; 0 is any."""
        self._reserve = 0
        """Bytes that are left to the machine."""
        self._collect_at = 0.0
        self._told_of = 0

    def configure(self, settings: Settings, workers: int) -> None:
        """Let in whom the operator says; what is remembered of clients stays."""
        limits, service = settings.limits, self._service
        if not limits.client_requests:
            self._rates = None
        elif self._rates is None or self._rates.per_second != limits.client_requests:
            self._rates = Rates(limits.client_requests)
        if not limits.client_connections:
            service.seats = None
        elif service.seats is None:
            service.seats = Seats(limits.client_connections, self._is_trusted)
        else:
            service.seats.most = limits.client_connections
        total = self._memory.total()
        whole = total * 3 // 4 if limits.memory == "auto" else limits.memory
        self._mark = whole // workers
        self._reserve = total // 32
        capacity = settings.cache.memory // workers
        if self._room.capacity >= min(capacity, self._capacity):
            self._room.resize(capacity)  # else it has given way, and grows again by itself
        self._capacity = capacity
        self._hang()
        self._tell_of_descriptors(limits.connections)

    def _tell_of_descriptors(self, connections: int) -> None:
        """Say once that there are not as many as the operator wants."""
        most = self._service.most_connections
        wanted = connections if connections > most else 0
        if wanted and wanted != self._told_of:
            log.warning(
                "limits.connections: %d are more than there are descriptors for: %d are taken"
                " (raise LimitNOFILE, or ulimit -n)",
                connections, most,
            )  # fmt: skip
        self._told_of = wanted

    def _is_trusted(self, peer: str) -> bool:
        return self._handler.forwarder.clients.is_trusted(peer)

    def _hang(self) -> None:
        """Give the service the function that is due."""
        service = self._service
        service.recalls = False
        if service.sheds:
            service.respond = self._shed
        elif self._rates is not None:
            service.respond = self._by_rate
        else:
            service.respond = self._handler.respond
            service.recalls = True

    # Requests

    def _by_rate(self, request: Request) -> Answer:
        """Answer, or 429; an authority is no client: it is answered as long as we asked it to."""
        rates = self._rates
        assert rates is not None, "hung where there are some"
        clients = self._handler.forwarder.clients
        address = clients.address(request.peer, request.fields)
        wait = rates.wait(client_of(address), self._service.clock.now)
        if not wait or clients.is_trusted(address) or self._handler.arrivals.is_asked(request):
            return self._handler.respond(request)
        self._service.counters.refuse("client_requests")
        return self._refuse(request, 429, pages.TOO_MANY, wait)

    def _shed(self, request: Request) -> Response:
        """503; its connection ends, which gives back what it takes."""
        self._service.counters.refuse("memory")
        response = self._refuse(request, 503, pages.OVERLOADED, RETRY_SECONDS)
        response.closes = True
        return response

    def _refuse(self, request: Request, status: int, content: bytes, wait: int) -> Response:
        field = (b"Retry-After", b"%d" % wait)
        return self._handler.notices.page(request, status, content, field)

    # Memory

    def tick(self) -> None:
        """Once a second: is there memory?"""
        self._service.told = 0
        if not self._mark:
            self._shed_no_more()
            return
        used = self._memory.resident()
        is_short = self._memory.available() < self._reserve
        if is_short or used > self._mark:
            # where others took what is missing, this worker is not alone to give way
            self._give_way(used, self._mark // 4 if is_short else self._mark)
        elif used <= self._mark - self._mark // 16:
            self._recover()

    def _give_way(self, used: int, mark: int) -> None:
        """First what is stored; new work where that is not enough."""
        stored = self._room.size
        self._room.resize(stored // 2 if stored > LEAST_ROOM else 0)
        self._free()
        if stored > LEAST_ROOM and used <= self._mark + self._mark // 8:
            return
        if self._service.sheds or self._memory.resident() <= mark:
            return
        log.warning(
            "memory: %d MiB of %d MiB are used, %d MiB are left: new work is refused",
            used // MIB, self._mark // MIB, self._memory.available() // MIB,
        )  # fmt: skip
        self._service.sheds = True
        self._hang()

    def _free(self) -> None:
        """Have freed what nobody holds: cycles of what broke off hold its content for long."""
        began = time.monotonic()
        if began >= self._collect_at:
            thaw()
            self._collect_at = began + 10 * (time.monotonic() - began)  # a tenth of the time
        give_back()

    def _recover(self) -> None:
        self._shed_no_more()
        if self._room.capacity < self._capacity:
            self._room.resize(min(self._capacity, max(LEAST_ROOM, self._room.capacity * 2)))

    def _shed_no_more(self) -> None:
        if self._service.sheds:
            log.warning("memory: there is enough again")
            self._service.sheds = False
            self._hang()
