"""
A request like one before that leads past the store: there and back as bytes, without a parser.

Laws: what is sent is what the long way would send, byte for byte, and so is what is answered; only
what was judged before goes this way (a client's field lines, where they lead, the origin's head).
Whatever is not usual makes a `Passing` of it, which goes on from where it stands.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from edge.http.message import BLANK_LINE, COLON, CRLF, Request
from edge.node.passing import Form, Passing

if TYPE_CHECKING:
    from edge.http.caching import Reason
    from edge.http.forwarding import Passage
    from edge.http.manner import Manner
    from edge.node.forward import Forwarder
    from edge.node.origin import OriginConnection
    from edge.node.origins import Origin
    from edge.node.sending import Http1Sender
    from edge.node.ways import Way
    from edge.site.snapshot import Site


STRANGE: Final = 4
"""Heads in a row that never came before, after which a lane is left alone for a while."""

REST: Final = 64
"""Requests that are looked at meanwhile: what is in vain costs 15 µs."""


class Speech(msgspec.Struct, frozen=True):
    """What an origin is told of one client's requests, for as long as it says the same."""

    manner: Manner
    passage: Passage
    lines: bytes
    """Field lines but for Host, up to the value of X-Request-Id."""
    is_authorized: bool
    is_plain: bool
    """Whether it states nothing about storing."""


class Lane:
    """Where one request line leads, for field lines that state nothing more."""

    __slots__ = (
        "_hits",
        "_key",
        "_origin_key",
        "_rest",
        "_rule",
        "_strange",
        "forwarder",
        "last",
        "opening",
        "site",
        "target",
        "way",
    )

    def __init__(self, forwarder: Forwarder, site: Site, way: Way, target: bytes) -> None:
        """`way` has one target; `target` is what the client asks for, as it arrives."""
        self.forwarder = forwarder
        self.site = site
        self.way = way
        self.target = target
        self.last: Form | None = None
        """What came back last."""
        self._strange = 0
        """Answers in a row whose head never came before, as where each names its request."""
        self._rest = 0
        """Requests that are to be looked at before one goes here again."""
        (place,) = way.places
        self.opening = b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (place.target, place.authority)
        """What the request to the origin begins with."""
        self._key = way.key
        self._origin_key = place.key
        self._hits, self._rule = way.dress.branch.plan.hits, way.dress.forward.rule

    def begin(self, client: Http1Sender, manner: Manner, data: bytes, began: float) -> bool:
        """Send what `data` asks now; False where something is to be looked at, or waited for."""
        if self._rest:
            self._rest -= 1
            return False
        way, forwarder = self.way, self.forwarder
        speech = client.speech
        if speech is None or speech.manner is not manner or speech.passage != way.passage:
            speech = client.speech = self._compose(client, manner)
            if speech is None:
                return False
        reason = forwarder.store.broker.reason_to_pass(
            self._key, is_authorized=speech.is_authorized
        )
        origin = forwarder.origins.find(self._origin_key)
        health = origin.health
        if reason is None or health.failures:
            return False
        connection = origin.take()
        if connection is None:
            return False
        health.thrive()
        self._hits[self._rule] = self._hits.get(self._rule, 0) + 1
        crossing = Crossing(self, client, speech, data, began, reason, origin, connection)
        client.wait_for(crossing, len(data))
        connection.cross(
            crossing, b"".join((self.opening, speech.lines, crossing.identifier, BLANK_LINE))
        )
        return True

    def recurring(self, data: bytes, reason: Reason, *, is_plain: bool) -> Form | None:
        """
        What a whole response is another one of, if its head came before.

        None too where somebody has to look whether it may be stored: `reason` is why it could not.
        """
        form = self.last
        if form is None or len(data) != form.size or not data.startswith(form.head):
            form = self._find(data)
        if (
            form is not None
            and form.reason is reason
            and (form.recurs_always or (is_plain and form.recurs))
        ):
            self.last, self._strange = form, 0
            return form
        self._strange += 1
        if self._strange >= STRANGE:
            self._strange, self._rest = 0, REST
        return None

    def _find(self, data: bytes) -> Form | None:
        """The same by what all lanes know."""
        lines, end, content = data.partition(BLANK_LINE)
        heard = self.forwarder.origins.heads.find(lines, len(content)) if end else None
        if heard is None or heard.head.forms is None:
            return None
        form: Form | None = heard.head.forms.get(id(self.way))
        if form is not None:
            form.head, form.size, form.keeps_s = lines + end, len(data), heard.keeps_s
        return form

    def _compose(self, client: Http1Sender, manner: Manner) -> Speech | None:
        """What the origin is told of a client's requests; None where they go another way."""
        forwarder, fields = self.forwarder, manner.fields
        request = Request(
            b"GET", self.target, manner.authority, fields, b"1.1", 0, ends=True, expects=False
        )
        request.peer, request.sni, request.manner = client.peer, client.sni, manner
        if forwarder.ways.find(request, self.site, forwarder.clients) is not self.way:
            return None
        host, *lines = forwarder.lines(request, self.way.passage)
        assert host[0] == b"host", "each target has its own"
        said = CRLF.join([*map(COLON.join, lines), b"x-request-id: "])
        is_authorized = fields.get(b"authorization") is not None
        is_plain = not is_authorized and fields.get(b"cache-control") is None
        return Speech(manner, self.way.passage, said, is_authorized, is_plain)


class Crossing:
    """One request on its lane."""

    __slots__ = (
        "_client",
        "_connection",
        "_data",
        "_origin",
        "_reason",
        "began",
        "identifier",
        "lane",
        "speech",
    )

    def __init__(  # noqa: PLR0913, PLR0917  (made for every request: attributes cost as much again)
        self,
        lane: Lane,
        client: Http1Sender,
        speech: Speech,
        data: bytes,
        began: float,
        reason: Reason,
        origin: Origin,
        connection: OriginConnection,
    ) -> None:
        """
        `data` of a client came at `began`, monotonic seconds, and goes over a connection of origin.

        `reason` is why the store is not asked.
        """
        self.lane = lane
        self.speech = speech
        self.began = began
        self.identifier = client.service.ledger.identify()
        self._client = client
        self._data = data
        self._reason = reason
        self._origin = origin
        self._connection = connection

    def take(self, data: bytes) -> bool:
        """
        Answer with what came, if it is a whole response whose head came before, and nothing more.

        Else it is looked at from now on, and who called has to go on with the bytes.
        """
        client, origin = self._client, self._origin
        form = self.lane.recurring(data, self._reason, is_plain=self.speech.is_plain)
        if form is None or client.is_ending():
            self.unfold()
            return False
        origin.health.failures = 0
        origin.put_back(self._connection, form.keeps_s)
        client.pass_back(self, form, origin, data[len(form.head) :])
        return True

    def is_late(self, waited_s: float) -> bool:
        """Whether the origin has taken too long, so that somebody has to say so."""
        limits = self.lane.forwarder.origins.limits
        return waited_s > min(limits.origin_first_byte, limits.origin_total or inf)

    def unfold(self) -> Passing:
        """Have it looked at as any other, from where it stands."""
        lane, client = self.lane, self._client
        request = client.look_at(self._data)
        request.id, request.began, request.facts = self.identifier, self.began, lane.way.facts
        passing = Passing(lane.forwarder, lane.way, request)
        passing.keeper = lane.forwarder.keeper
        passing.adopt(self._connection)
        client.await_passing(request, passing)
        return passing

    def cancel(self) -> None:
        """The client has gone."""
        self._connection.crossing = None
        self.unfold().cancel()
