"""
Which requests are traced, and what is noted of them: on the loop, in place of the access log.

Laws: without tracing nothing of this is there, on the way of no request. A trace is decided once:
by a trusted proxy's flag, else by its identifier. Who is traced is told to the origin as its
parent; who is not is passed on as it came. Nothing is encoded or sent here.
"""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING, Final, cast

from edge.http.forwarding import request_fields
from edge.http.tracing import LOW, RANDOM, SAMPLED, TRACEPARENT, is_chosen, parent_of, traceparent
from edge.node.visits import Call, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.http.fields import Line
    from edge.http.forwarding import Gateway, Passage
    from edge.http.message import Request, Response
    from edge.node.accesslog import AccessLog, Measured
    from edge.node.clients import Clients
    from edge.node.ledger import Facts
    from edge.node.transport import Connection

UNDER_WAY: Final = 20_000
"""Requests to origins that are remembered until their answer is entered."""

BATCH: Final = 256
"""Requests that are handed on before the time for it has come."""

MOST: Final = 1024
"""Bytes of a target, a host or a User-Agent that are noted."""

UNDECIDED: Final = Visit(b"", b"")


class Tracer:
    """Chooses and notes for one worker."""

    def __init__(self, sink: Callable[[list[Visit]], None], clients: Clients, ratio: float) -> None:
        """`sink` takes what is noted, at once."""
        self._sink = sink
        self.configure(None, clients, ratio)
        self._random = Random()  # noqa: S311 - identifiers are no secrets
        self._under_way: dict[bytes, Visit | None] = {}
        """What was decided of requests that went to an origin; None: not to be traced."""
        self._visits: list[Visit] = []

    def configure(self, log: AccessLog | None, clients: Clients, ratio: float) -> None:
        """Choose by these from now on; the log is written as without tracing."""
        self._log = log
        self._clients = clients
        self._ratio = ratio
        self._bound = int(ratio * LOW)

    # Which

    def _choose(self, request: Request, *, is_trusted: bool | None = None) -> Visit | None:
        """A request that is traced; None: whether its peer is trusted is to be found out."""
        if request.fields.get(TRACEPARENT) is None:
            return self._begin()
        parent = parent_of(request.fields.getall(TRACEPARENT))
        if parent is None:
            return self._begin()
        if is_trusted is None:
            is_trusted = self._clients.is_trusted(request.peer)
        if not (parent.is_sampled if is_trusted else is_chosen(parent.trace, self._ratio)):
            return None
        flags = SAMPLED | parent.flags & RANDOM
        return Visit(parent.trace, self._identify(), parent.span, flags)

    def _begin(self) -> Visit | None:
        """With a trace of its own, chosen by that as others would choose it."""
        low = self._random.getrandbits(64)
        if low >= self._bound:
            return None
        trace = b"%016x%016x" % (self._random.getrandbits(64) or 1, low)
        return Visit(trace, self._identify(), flags=SAMPLED | RANDOM)

    def _identify(self) -> bytes:
        return b"%016x" % (self._random.getrandbits(64) or 1)

    # On the way to an origin

    def fields(self, request: Request, passage: Passage, gateway: Gateway) -> list[Line]:
        """In place of `request_fields`, whose lines name a span of ours as the origin's parent."""
        lines = request_fields(request, passage, gateway)
        known = self._under_way
        visit = known.get(request.id, UNDECIDED)
        if visit is UNDECIDED:
            if len(known) >= UNDER_WAY:
                known.clear()
            visit = known[request.id] = self._choose(request, is_trusted=passage.is_trusted)
        if visit is None:
            return lines
        visit.call = Call(self._identify(), time.monotonic())
        told = [line for line in lines if line[0] != TRACEPARENT]
        told.append((TRACEPARENT, traceparent(visit.trace, visit.call.span, visit.flags)))
        return told

    # At the end

    def write(
        self,
        connection: Connection,
        request: Request,
        response: Response | None,
        measured: Measured,
    ) -> None:
        """An answer is entered."""
        if self._log is not None:
            self._log.write(connection, request, response, measured)
        visit = self._under_way.pop(request.id, UNDECIDED)
        if visit is UNDECIDED:
            visit = self._choose(request)
        if visit is not None:
            self._note(visit, connection, request, measured)
            note_answer(visit, response)
            self._visits.append(visit)
            if len(self._visits) >= BATCH:
                self._hand_on()

    def _note(
        self, visit: Visit, connection: Connection, request: Request, measured: Measured
    ) -> None:
        """Who asked what, and when."""
        visit.size, _, first, total, visit.is_whole = measured
        visit.began, visit.ended = request.began, request.began + total
        if visit.call is not None:
            visit.call.ended = max(visit.call.began, request.began + first)
        visit.id, visit.method, visit.version = request.id, request.method[:MOST], request.version
        visit.target, visit.authority = request.target[:MOST], request.authority[:MOST]
        visit.is_secure, visit.peer = connection.sni is not None, connection.peer
        visit.client = self._clients.address(connection.peer, request.fields)
        visit.agent = request.fields.get(b"user-agent", b"")[:MOST]
        visit.facts = cast("Facts", request.facts)

    def _hand_on(self) -> None:
        visits, self._visits = self._visits, []
        self._sink(visits)

    def flush(self) -> None:
        """Hand on what there is, lines of the log too."""
        if self._log is not None:
            self._log.flush()
        if self._visits:
            self._hand_on()


def note_answer(visit: Visit, response: Response | None) -> None:
    """What was answered; where no origin was asked after all, there was no call."""
    if response is None:
        return
    visit.status, visit.verdict = response.head.status, response.verdict or ""
    visit.origin, visit.head = response.origin, response.head.lines + response.block
    if visit.call is not None and not was_asked(visit.head):
        visit.call = None


def was_asked(head: bytes) -> bool:
    """Whether an origin was asked for this client: neither the store answered, nor others' call."""
    if b"\r\nProxy-Status: edge; error=" in head:
        return True
    text = head.lower()
    start = text.rfind(b"\ncache-status: edge; fwd=")
    said = text[start : text.find(b"\r", start)]
    return start >= 0 and b"; collapsed" not in said
