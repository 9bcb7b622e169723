"""
One request to an origin, from its first try to the end of its answer (RFC 9110 §7.6).

Laws: what is sent is framed anew, and so is what comes back; content passes as fast as the slower
end takes it. Nothing is sent twice that could do harm, nor after an answer began. Whose request it
is, and who gets the answer, is not known here: `forward` and `flight` know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from edge.errors import OriginError, RequestError
from edge.http.fields import Line
from edge.http.forwarding import response_fields, trailer_fields
from edge.http.heads import Head
from edge.http.http1_client import End
from edge.http.message import Incoming, Inform
from edge.node.content import check_size
from edge.node.tasks import spawn

if TYPE_CHECKING:
    from edge.node.aims import Aim
    from edge.node.origin import OriginConnection
    from edge.node.origins import Origin, Origins

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""Source: RFC 9110 §9.2.2."""

EVENT_STREAM: Final = b"text/event-stream"

CLASSES: Final = [f"{number}xx" for number in range(10)]
"""What answers are counted as, by the first digit of their status."""

SMALL: Final = 256 * 1024
"""Content that is here with its head and is no more than this goes on in one piece."""


class Message(msgspec.Struct, kw_only=True):
    """A request as it goes out."""

    method: bytes
    lines: list[Line]
    """Host first: each target has its own."""
    content: Incoming | None = None
    """None: the head is all of it."""
    upgrade: bytes = b""
    inform: Inform | None = None
    """Takes interim responses."""
    app: str = ""
    """Whose rule sends it."""


class Errand:
    """A message, its tries, and the connection that its answer comes over."""

    __slots__ = (
        "_clock",
        "_is_sent",
        "_origin",
        "_patience_s",
        "_target",
        "_upload",
        "aims",
        "connection",
        "is_begun",
        "limits",
        "message",
        "number",
        "trailers",
    )

    def __init__(self, origins: Origins, aims: list[Aim], message: Message) -> None:
        """`aims` are where it may go, the best first."""
        self.limits = origins.limits
        self.message = message
        self.connection: OriginConnection | None = None
        self.trailers: list[Line] = []
        """What came behind the content, once that is read to its end."""
        self.number = 0
        """Which of the targets was asked last."""
        self._clock = origins.clock
        self.aims = aims
        self._origin: Origin
        self._target = b""
        self._upload: asyncio.Task[None] | None = None
        self.is_begun = False
        """Whether `start` sent it, and `run` has to go on from there."""
        self._is_sent = False
        """Whether content of the client has been read: then it cannot be sent again."""
        self._patience_s = self.limits.origin_between_bytes

    # Out

    def start(self) -> bool:
        """
        Send the request now, if a connection is free and nothing has to be found out first.

        Then `run`, or `whole`, goes on from there.
        """
        message, origin = self.message, self.aims[0].origin
        if message.content is not None or message.upgrade or origin.health.failures:
            return False
        connection = origin.take()
        if connection is None:
            return False
        self._take_aim()
        origin.health.admit(self._clock.now)
        self._begin(connection)
        self.is_begun = True
        return True

    def adopt(self, connection: OriginConnection) -> None:
        """Go on with what was sent over a connection already, as after `start`."""
        self._take_aim()
        self.connection = connection
        connection.deadline = connection.touched + (self.limits.origin_total or inf)
        connection.expect(self.message.method, self._target, self.message.lines)
        self.is_begun = True

    def listen(self, on_arrival: Callable[[], None]) -> None:
        """Have a request that was started call when its answer is there, or the first of it."""
        assert self.connection is not None, "it was started"
        patience_s = self.limits.origin_first_byte
        self.connection.listen(on_arrival, patience_s, "http_response_timeout")

    def whole(self) -> tuple[Head, bytes | None] | None:
        """
        The answer to what was started, where all of it is here: as `run` and `content` give it.

        Raises:
            OriginError: it cannot be passed on.
        """
        assert self.connection is not None, "it was started"
        try:
            found = self.connection.whole()
        except OriginError as error:
            self._origin.count(self.message.app, error.kind)
            raise
        if found is None:
            return None
        self._origin.health.failures = 0
        head = self._received(found[0])
        self.release()
        return head, None if self._has_no_content(head) else found[1]

    async def run(self) -> Head:
        """
        The head of the final response, its lines as `response_fields` leaves them.

        Raises:
            OriginError: there is none, at none of the targets.
            RequestError: the client's content broke off, or is too large.
        """
        while True:
            if not self.is_begun:
                self._take_aim()
            health = self._origin.health
            try:
                with health.watch(self._clock, is_admitted=self.is_begun):
                    head = await self._exchange_heads()
                self._grant_silence(head)
                received = self._received(head)
                self.message.inform = None  # who holds the answer, or this
                return Head(received.status, received.fields.copy(), received.version)
            except OriginError as error:
                self._origin.count(self.message.app, error.kind)
                is_unsent = error.retry == "yes" and not self._is_sent
                if not (is_unsent and self.aims and health.may_retry()):
                    raise

    def _take_aim(self) -> None:
        """Turn to the best of the targets that are left."""
        aim = self.aims.pop(0)
        self._origin, place = aim.origin, aim.place
        self._target, self.number = place.target, place.number
        self.message.lines[0] = (b"host", place.authority)

    def _received(self, head: Head) -> Head:
        """The head without what was of its connection only; shared where it may come again."""
        self._origin.count(self.message.app, CLASSES[head.status // 100])
        received = head.received
        if received is None:
            lines = response_fields(head.status, head.version, head.fields)
            received = Head(head.status, lines, head.version, None, head.forms)
            if head.forms is not None:
                head.received = received
        return received

    def _grant_silence(self, head: Head) -> None:
        """A stream of events may say nothing for long, and has no end."""
        content_type = dict(head.fields).get(b"content-type", b"").lower()
        if content_type.startswith(EVENT_STREAM):
            self._patience_s = self.limits.tunnel_idle
            assert self.connection is not None, "an answer came over one"
            self.connection.deadline = inf

    async def _exchange_heads(self) -> Head:
        """The head of the final response; an idle connection may have closed under the request."""
        for is_retry in (False, True):
            try:
                return await self._ask(fresh=is_retry)
            except OriginError as error:
                if is_retry or not self._may_repeat(error):
                    raise
            self.release()
        raise AssertionError("the second try returns or raises")

    def _may_repeat(self, error: OriginError) -> bool:
        """Whether sending the request again, on a new connection, can do no harm."""
        return (
            error.retry == "if_reused"
            and self.connection is not None
            and self.connection.is_reused
            and self.message.method in IDEMPOTENT
            and not self._is_sent
            and self._origin.health.may_retry()
        )

    async def _ask(self, *, fresh: bool) -> Head:
        """Send the request, its content beside; the head of the final response."""
        if not self.is_begun:
            self._begin(await self._origin.acquire(fresh=fresh))
        self.is_begun = False
        connection, patience_s = self.connection, self.limits.origin_first_byte
        assert connection is not None, "it has begun"
        while True:
            event = await connection.next(patience_s, "http_response_timeout")
            assert isinstance(event, Head), "a head comes first"
            if event.status >= 200 or event.status == 101:
                return event
            self._inform(event)

    def _begin(self, connection: OriginConnection) -> None:
        """Send the head, and the content beside what is done then."""
        message, content = self.message, self.message.content
        self.connection = connection
        connection.deadline = self._clock.now + (self.limits.origin_total or inf)
        connection.begin(
            message.method,
            self._target,
            message.lines,
            tunnel=bool(message.upgrade),
            ends=content is None,
        )
        if content is not None:
            self._upload = spawn(self._send_content(connection, content), "upload")

    def _inform(self, head: Head) -> None:
        """Pass an interim response on; 100 (Continue) is our own to send."""
        inform = self.message.inform
        if inform is not None and head.status != 100:
            inform(head.status, response_fields(head.status, head.version, head.fields))

    async def _send_content(self, connection: OriginConnection, content: Incoming) -> None:
        """The client's content, piece by piece; what goes wrong ends the exchange."""
        self._is_sent = True
        size = 0
        try:
            async for chunk in content:
                size += len(chunk)
                check_size(size, self.limits.body)
                await connection.send(chunk)
            await connection.end(trailer_fields(content.trailers))
        except (OriginError, RequestError) as error:
            connection.give_up(error)
        except Exception:
            connection.give_up(OriginError("proxy_internal_error", "the content was not sent"))
            raise

    # Back

    async def content(self, head: Head) -> bytes | Relay | None:
        """The content of an answer: all of it where that is here already, None where none is."""
        if self._has_no_content(head):
            await self._skip_to_end()
            return None
        content, is_whole = self._content_here()
        return content if is_whole else Relay(self, content)

    def _has_no_content(self, head: Head) -> bool:
        """Whether an answer is over with its head."""
        return self.message.method == b"HEAD" or head.status in (204, 304)

    def _content_here(self) -> tuple[bytes, bool]:
        """What of the content came with the head, and whether it is all."""
        assert self.connection is not None, "an answer came over one"
        chunks: list[bytes] = []
        size = 0
        while size <= SMALL and (event := self.connection.ready()) is not None:
            if isinstance(event, End):
                if event.trailers:  # they need a stream to stand behind
                    self.connection.unread(event)
                    break
                self.release()
                return b"".join(chunks), True
            assert isinstance(event, bytes), "content follows a head"
            chunks.append(event)
            size += len(event)
        return b"".join(chunks), False

    async def _skip_to_end(self) -> None:
        """A response without content is over with its head."""
        connection = self.connection
        assert connection is not None, "an answer came over one"
        while not isinstance(await connection.next(1.0, "http_response_incomplete"), End):
            pass
        self.release()

    async def next(self) -> bytes | None:
        """
        The next piece of the content, None after the last.

        Raises:
            OriginError: the answer broke off.
            RequestError: the client's content broke off.
        """
        if self.connection is None:
            return None
        event = await self.connection.next(self._patience_s, "connection_read_timeout")
        if isinstance(event, End):
            self.release()
            self.trailers += trailer_fields(event.trailers)
            return None
        assert isinstance(event, bytes), "content follows a head"
        return event

    def take_connection(self) -> tuple[OriginConnection, Origin]:
        """The connection for good: what follows on it is a tunnel's."""
        connection, self.connection = self.connection, None
        assert connection is not None, "an answer came over one"
        return connection, self._origin

    # The end

    def release(self) -> None:
        """Give the connection back; while content is still being sent it cannot be reused."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self._upload is not None and not self._upload.done():
            self._upload.cancel()
            connection.close()
        self._upload = None
        self._origin.release(connection)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self.message.inform = None
        if self.connection is not None:
            self.connection.close()
        self.release()


class Relay:
    """The content of an answer as it comes; a reader that goes away ends the exchange."""

    def __init__(self, errand: Errand, first: bytes) -> None:
        """`first` is here already."""
        self._errand = errand
        self._first = first

    def take_first(self) -> bytes:
        """What is here already; the rest is the errand's `next`."""
        first, self._first = self._first, b""
        return first

    def __aiter__(self) -> Relay:
        return self

    async def __anext__(self) -> bytes:
        first = self.take_first()
        if first:
            return first
        chunk = await self._errand.next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Nobody reads on; harmless after the end, and due even where nobody began."""
        self._errand.abandon()
