"""
A request like one before that leads past the store: there and back as bytes, without a parser.

Laws: what is sent is what the long way would send, byte for byte, and so is what is answered; only
what was judged before goes this way (a client's field lines, where they lead, the origin's head).
Whatever is not usual makes a `Passing` of it, which goes on from where it stands.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

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


class Speech:
    """What an origin is told of one client's requests, for as long as it says the same."""

    __slots__ = ("is_authorized", "is_plain", "lines", "manner", "passage")

    def __init__(self, manner: Manner, passage: Passage, lines: bytes) -> None:
        get = manner.fields.get
        self.manner = manner
        self.passage = passage
        self.lines = lines
        """Field lines but for Host, up to the value of X-Request-Id."""
        self.is_authorized = get(b"authorization") is not None
        self.is_plain = not self.is_authorized and get(b"cache-control") is None
        """Whether it states nothing about storing."""


class Lane:
    """Where one request line leads, for field lines that state nothing more."""

    __slots__ = (
        "_known",
        "_looked",
        "_origin_key",
        "_reason",
        "_rest",
        "_shelf",
        "forwarder",
        "last",
        "names",
        "opening",
        "passage",
        "site",
        "strange",
        "target",
        "told",
        "way",
    )

    def __init__(self, forwarder: Forwarder, site: Site, way: Way, target: bytes) -> None:
        """`way` has one target; `target` is what the client asks for, as it arrives."""
        self.forwarder = forwarder
        self.site = site
        self.way = way
        self.passage = way.passage
        self.target = target
        self.told = b""
        """What the log says of it, once it was asked."""
        self.names = way.dress.names()
        self.last: Form | None = None
        """What came back last."""
        self.strange = 0
        """Answers in a row whose head never came before, as where each names its request."""
        self._rest = 0
        """Requests that are to be looked at before one goes here again."""
        (place,) = way.places
        self.opening = b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (place.target, place.authority)
        """What the request to the origin begins with."""
        self._origin_key = place.key
        self._known = forwarder.origins.known
        self._shelf = forwarder.store.broker.shelf
        self._reason: Reason | None = None
        """Why the store is not asked, as long as the shelf's turn is the one when it was."""
        self._looked = -1

    def begin(
        self, client: Http1Sender, manner: Manner, data: bytes, began: float
    ) -> Crossing | None:
        """Send what `data` asks now; None where something is to be looked at, or waited for."""
        if self._rest:
            self._rest -= 1
            return None
        speech, passage = client.speech, self.passage
        if (
            speech is None
            or speech.manner is not manner
            or (speech.passage is not passage and speech.passage != passage)
        ):
            speech = client.speech = self._compose(client, manner)
            if speech is None:
                return None
        if self._looked != self._shelf.turns or speech.is_authorized:
            self._look(is_authorized=speech.is_authorized)
        reason, origin = self._reason, self._known.get(self._origin_key)
        if reason is None or origin is None:
            return None
        connection = origin.admit()
        if connection is None:
            return None
        identifier = client.service.ledger.identify()
        crossing = connection.crossing = Crossing(
            self, client, speech, data, began, reason, origin, connection, identifier
        )
        connection.put(b"".join((self.opening, speech.lines, identifier, BLANK_LINE)))
        return crossing

    def _look(self, *, is_authorized: bool) -> None:
        """Whether the store need not be asked; what is so for all is so until its next turn."""
        shelf, broker = self._shelf, self.forwarder.store.broker
        self._reason = broker.reason_to_pass(self.way.key, is_authorized=is_authorized)
        self._looked = -1 if self._reason is None or is_authorized else shelf.turns

    def wonder(self) -> None:
        """What came is nothing that came before."""
        self.strange += 1
        if self.strange >= STRANGE:
            self.strange, self._rest = 0, REST

    def find(self, data: bytes) -> Form | None:
        """What a whole response is another one of, by what all lanes know."""
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
        return Speech(manner, self.way.passage, said)


class Crossing:
    """One request on its lane."""

    __slots__ = (
        "began",
        "client",
        "connection",
        "data",
        "identifier",
        "lane",
        "origin",
        "reason",
        "speech",
    )

    def __init__(  # noqa: PLR0913, PLR0917  (a value that holds them costs 0.1 µs)
        self,
        lane: Lane,
        client: Http1Sender,
        speech: Speech,
        data: bytes,
        began: float,
        reason: Reason,
        origin: Origin,
        connection: OriginConnection,
        identifier: bytes,
    ) -> None:
        self.lane = lane
        self.client = client
        self.speech = speech
        self.data = data
        """As it came from the client."""
        self.began = began
        """When it did, in monotonic seconds."""
        self.reason = reason
        """Why the store is not asked."""
        self.origin = origin
        self.connection = connection
        """One of the origin's."""
        self.identifier = identifier

    def take(self, data: bytes) -> bool:
        """
        Answer with what came, if it is a whole response whose head came before, and nothing more.

        Else it is looked at from now on (as where it may be stored by now), and who called has to
        go on with the bytes.
        """
        lane, form = self.lane, self.lane.last
        if form is None or len(data) != form.size or not data.startswith(form.head):
            form = lane.find(data)
        if (
            form is None
            or form.reason is not self.reason
            or not (form.recurs_if_plain if self.speech.is_plain else form.recurs_always)
        ):
            lane.wonder()
        elif self.client.pass_back(self, form, data[len(form.head) :]):
            lane.last, lane.strange, self.origin.health.failures = form, 0, 0
            return True
        self.unfold()
        return False

    def is_late(self, waited_s: float) -> bool:
        """Whether the origin has taken too long, so that somebody has to say so."""
        limits = self.lane.forwarder.origins.limits
        return waited_s > min(limits.origin_first_byte, limits.origin_total or inf)

    def unfold(self) -> Passing:
        """Have it looked at as any other, from where it stands."""
        lane, client = self.lane, self.client
        self.origin.counters.count_rule(lane.names)
        request = client.look_at(self.data)
        request.id, request.began, request.facts = self.identifier, self.began, lane.way.facts
        passing = Passing(lane.forwarder, lane.way, request)
        passing.keeper = lane.forwarder.keeper
        passing.adopt(self.connection)
        client.await_passing(request, passing)
        return passing

    def cancel(self) -> None:
        """The client has gone."""
        self.connection.crossing = None
        self.unfold().cancel()
