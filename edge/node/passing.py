"""
A request that goes past the store to an origin, and its answer on the way back.

Laws: what needs no waiting is done in the call that brought it: the request is sent by the client's
`data_received`, its answer by the origin's. Whatever is not usual (no connection free, an answer in
pieces, a fault) goes on in a task from where it stands. A change that went through is told to the
store before its answer is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from edge.errors import OriginError
from edge.http.caching import STANDING
from edge.http.fields import FieldList
from edge.http.heads import FORMS
from edge.http.hops import split_plain
from edge.http.invalidation import SAFE, invalidated_targets
from edge.http.message import CRLF, REQUEST_ID, Response
from edge.node.accesslog import verdict_of
from edge.node.aims import aims_at
from edge.node.broker import Sent, forbids
from edge.node.errand import CLASSES, Errand, Message
from edge.node.inquiry import Supply
from edge.node.later import Later
from edge.node.ledger import Repeat
from edge.node.tasks import spawn
from edge.node.tunnels import OriginTunnel
from edge.site import keys

if TYPE_CHECKING:
    from edge.http.caching import Reason
    from edge.http.heads import Head
    from edge.http.message import Request
    from edge.node.clock import Clock
    from edge.node.forward import Forwarder
    from edge.node.ledger import Facts
    from edge.node.origin import OriginConnection
    from edge.node.origins import Origin
    from edge.node.ways import Way


class Form:
    """An answer that may come again with other content of the same length."""

    __slots__ = (
        "_first",
        "_opening",
        "_second",
        "dated",
        "head",
        "keeps_s",
        "number",
        "reason",
        "recurs_always",
        "recurs_if_plain",
        "repeat",
        "size",
        "way",
    )

    def __init__(
        self,
        way: Way,
        number: int,
        reason: Reason | None,
        first: Response,
        *,
        is_forbidden: bool,
    ) -> None:
        """What target `number` of a way answered, for a `reason` not to ask the store."""
        self.way = way
        """Whose it is: kept, so that nobody else's has its identity."""
        self.number = number
        self.reason = reason
        self.recurs_always = is_forbidden
        """Whether it may not be stored whatever a request states: its head says so."""
        self.recurs_if_plain = is_forbidden or (reason in STANDING and first.head.status < 500)
        """Whether that is so of requests that state nothing about storing."""
        self.head = b""
        """What it arrives as, up to its empty line, once it did so unparsed."""
        self.size = 0
        """Bytes that arrive then."""
        self.keeps_s: int | None = None
        """Seconds that the origin keeps the connection then, if it says so."""
        self.repeat: Repeat | None = None
        """What the ledger keeps of all of them, once one was sent unparsed."""
        verdict = first.verdict = verdict_of(first)
        self._first = Response(first.head, first.block, None, origin=first.origin, verdict=verdict)
        """But for its content, which is no other one's."""
        self._second = -1
        self._opening = first.head.lines + REQUEST_ID
        self.dated = self._opening if first.block == CRLF else b""
        """HTTP/1.1 up to the value of the last line of the head, where the origin says a Date."""

    def opening(self, clock: Clock) -> bytes:
        """The same with the Date of this second."""
        if self._second != clock.epoch:
            self._second = clock.epoch
            self._opening = self._first.head.lines + clock.date + REQUEST_ID
        return self._opening

    def answers(self, number: int, reason: Reason | None) -> bool:
        """Whether it is what target `number` says for a reason not to ask the store."""
        return self.number == number and self.reason is reason

    def begin_repeat(self, origin: Origin, size: int) -> Repeat:
        """What the ledger keeps of them; `size` is the bytes that each of them takes."""
        self.repeat = Recurrence(self._first, self.way, size, origin)
        return self.repeat

    def fill(self, content: bytes, date: bytes) -> Response:
        """With its content; `date` is the Date line of this second."""
        first = self._first
        return Response(
            first.head,
            first.block if self.dated else date + CRLF,
            content,
            origin=first.origin,
            verdict=first.verdict,
        )


class Recurrence(Repeat):
    """An answer of an origin that many requests get, each from there."""

    __slots__ = ("_names", "_origin")

    def __init__(self, response: Response, way: Way, size: int, origin: Origin) -> None:
        super().__init__(response, cast("Facts", way.facts), size)
        self._names = way.dress.names()
        self._origin = origin

    def add_up(self) -> None:
        """Add it to the numbers of the branch, of the rule and of the origin."""
        count, origin = self.count, self._origin
        origin.count(self._names[0], CLASSES[self.kind], count)
        origin.counters.count_rule(self._names, count)
        super().add_up()


class Passing(Later):
    """One request past the store."""

    __slots__ = ("_errand", "_forwarder", "_message", "_task", "_way")

    def __init__(self, forwarder: Forwarder, way: Way, request: Request) -> None:
        super().__init__(request, way.dress.envelope)
        self._forwarder = forwarder
        self._way = way
        self._message = Message(
            method=request.method,
            lines=[
                *forwarder.lines(request, way.passage),
                (b"x-request-id", request.id),
            ],
            app=way.dress.branch.app,
            content=None if request.ends else request.content,
            upgrade=way.passage.upgrade,
        )
        origins = forwarder.origins
        self._errand = Errand(origins, aims_at(origins, way.places), self._message)
        self._task: asyncio.Task[None] | None = None

    def adopt(self, connection: OriginConnection) -> None:
        """Go on with what was sent over a connection already, as `begin` would."""
        self._errand.adopt(connection)
        self._errand.listen(self._arrived)

    def begin(self) -> Passing:
        """Send it; the answer is delivered by the call that brings it."""
        try:
            is_sent = self.request.method in SAFE and self._errand.start()
        except BaseException:
            self._errand.abandon()
            raise
        if is_sent:
            self._errand.listen(self._arrived)
        else:
            self._go_on()
        return self

    def cancel(self) -> None:
        """The client has gone."""
        self._taker = None
        if self._task is not None:
            self._task.cancel()
        self._errand.abandon()

    def _arrived(self) -> None:
        """An answer that is whole is sent at once."""
        try:
            found = self._errand.whole()
            if found is None:
                self._go_on()
                return
            response = self._whole(*found)
        except Exception as error:  # noqa: BLE001  (whoever keeps it makes a response of it)
            self._errand.abandon()
            self.deliver(error)
        else:
            self.deliver(response)

    def _go_on(self) -> None:
        self._task = spawn(self._finish(), "passing")

    async def _finish(self) -> None:
        try:
            response = await self.run()
        except Exception as error:  # noqa: BLE001  (as above)
            self.deliver(error)
        else:
            self.deliver(response)

    async def run(self) -> Response:
        """
        The answer.

        Raises:
            OriginError: there is none; nothing of one has been sent.
            RequestError: the client's content broke off, or is too large.
        """
        errand = self._errand
        self._message.inform = self.inform
        if not errand.is_begun:  # others were sent meanwhile
            errand.aims = aims_at(self._forwarder.origins, self._way.places)
        try:
            head = await errand.run()
            if self.request.method not in SAFE:
                await self._invalidate(head)
            supply = self._supply(head, self._reason(head))
            if head.status == 101:
                check_upgrade(head, self._message.upgrade)
                idle_s = self._forwarder.limits.tunnel_idle
                supply.content = supply.tunnel = OriginTunnel(*errand.take_connection(), idle_s)
            else:
                supply.content = await errand.content(head)
            return self._way.dress.response(supply, self._forwarder.origins.clock.date)
        except BaseException:
            errand.abandon()
            raise

    # The answer

    def _whole(self, head: Head, content: bytes | None) -> Response:
        """An answer that is all here; with a head that came before, it is dressed already."""
        way, number = self._way, self._errand.number
        date, forms = self._forwarder.origins.clock.date, head.forms
        reason = self._reason(head)
        form: Form | None = None if forms is None else forms.get(id(way))
        if form is not None and content is not None and form.answers(number, reason):
            return form.fill(content, date)
        supply = self._supply(head, reason)
        supply.content = content
        response = way.dress.response(supply, date)
        if forms is not None and content is not None:
            if len(forms) >= FORMS:
                forms.clear()
            forms[id(way)] = Form(way, number, reason, response, is_forbidden=forbids(head))
        return response

    def _reason(self, head: Head) -> Reason | None:
        """Why the store has nothing to do with it; it may keep the next answer."""
        way = self._way
        if not way.key:
            return None
        sent = Sent(self.request.method, self._message.lines, way.key, way.target)
        return self._forwarder.store.broker.look_again(sent, head)

    def _supply(self, head: Head, reason: Reason | None) -> Supply:
        """The answer without its content."""
        errand, handling = self._errand, self._way.handling
        if reason is not None:
            handling += b"; detail=" + reason.value
        return Supply(
            status=head.status,
            lines=head.fields,
            handling=handling,
            content=None,
            number=errand.number,
            trailers=errand.trailers,
        )

    async def _invalidate(self, head: Head) -> None:
        """Have what a change has made wrong dropped everywhere (RFC 9111 §4.4)."""
        dress, number = self._way.dress, self._errand.number
        url = dress.forward.urls[number].encode()
        fields = FieldList(head.fields)
        targets = invalidated_targets(self.request.method, head.status, url, fields)
        if targets:
            app, query = dress.branch.app, dress.branch.cache.query
            chosen = [keys.chosen_query(target.decode("latin-1"), query) for target in targets]
            labels = [keys.label_of_target(app, url) for url in chosen]
            # whoever made the change may go away: it is made all the same
            await asyncio.shield(spawn(self._forwarder.store.drop(labels), "drop"))


def check_upgrade(head: Head, offered: bytes) -> None:
    """
    What follows a 101 is no HTTP, but a protocol that was offered (RFC 9110 §7.8).

    Raises:
        OriginError: it is another one.
    """
    taken = {each.lower() for each in split_plain([dict(head.fields)[b"upgrade"]])}
    if not taken <= {each.lower() for each in split_plain([offered])}:
        raise OriginError("http_upgrade_failed", "101 for a protocol that nobody offered")
