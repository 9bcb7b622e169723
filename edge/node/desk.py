"""
Where a worker is asked by its siblings for what it stores: one exchange at a time a connection.

HTTP/1.1 over a Unix socket frames what passes and keeps its pace; what is asked and the head of an
answer are values in front of the content, so that no limit of heads is met twice. Whoever can open
the folder of the socket (0700) is one of the node's own processes.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec

from edge.errors import MalformedRequest, OriginError, OriginFault, bare
from edge.http.fields import Line
from edge.http.message import Head, Request, Response, finish_head
from edge.node.content import discard, sliced
from edge.node.counters import Counters
from edge.node.errand import SMALL
from edge.node.inquiry import Inquiry, Supply
from edge.node.ledger import Silent
from edge.node.transport import Service
from edge.site.keys import TAG
from edge.site.limits import Limits

if TYPE_CHECKING:
    from edge.node.broker import Broker
    from edge.node.transport import Connection

ASK: Final = b"/ask"
DROP: Final = b"/drop"

LENGTH: Final = struct.Struct(">I")
"""Bytes of the value in front of the content."""

PATIENT_S: Final = 86_400.0
"""Seconds: siblings have the limits of their own clients."""

MANY: Final = 1_000_000_000


class Told(msgspec.Struct):
    """The head of an answer between workers."""

    status: int = 0
    lines: list[Line] = []
    handling: bytes = b""
    number: int = 0
    reason: bytes = b""
    has_content: bool = False
    tags: list[bytes] = []
    """Labels of its tags, where it is what is stored, as it is: it may be copied."""
    may_copy: bool = False
    fault: OriginFault | None = None
    """There is no answer, and why."""
    problem: str = ""


ENCODER = msgspec.msgpack.Encoder()
INQUIRIES = msgspec.msgpack.Decoder(Inquiry)
TOLD = msgspec.msgpack.Decoder(Told)
LABELS = msgspec.msgpack.Decoder(list[bytes])


class Desk:
    """Answers siblings."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.service = Service(
            broker.origins.clock, self.respond, refuse, no_http2, Silent(Counters())
        )
        self.service.idle_timeout = self.service.keep_alive = PATIENT_S
        self.service.requests_per_connection = self.service.max_connections = MANY
        self.service.limits = Limits(min_rate=0)
        self.service.half_closes = False  # who ends has gone: a Unix socket has no reset

    async def respond(self, request: Request) -> Response:
        """What one sibling asked."""
        content = b""
        if request.content is not None:
            content = b"".join([chunk async for chunk in request.content])
        if request.target == DROP:
            self.broker.drop(LABELS.decode(content))
            return Response(finish_head(204, []), b"\r\n", None)
        return await self._ask(INQUIRIES.decode(content), request)

    async def _ask(self, inquiry: Inquiry, request: Request) -> Response:
        try:
            supply = await self.broker.ask(inquiry, request.inform)
        except OriginError as error:
            return framed(Told(fault=error.kind, problem=str(bare(error))), None, [])
        told = tell(supply, self.broker.now)
        if told.may_copy and supply.entry is not None:
            supply.entry.is_lent = True
        return framed(told, supply.content, supply.trailers)


def tell(supply: Supply, now: float) -> Told:
    """The head of an answer as a value."""
    entry = supply.entry
    return Told(
        status=supply.status,
        lines=supply.lines,
        handling=supply.handling,
        number=supply.number,
        reason=supply.reason,
        has_content=supply.content is not None,
        tags=[] if entry is None else [label for label in entry.labels if label.startswith(TAG)],
        may_copy=entry is not None and now < entry.stored.fresh_until,
    )


def framed(
    told: Told, content: bytes | AsyncIterator[bytes] | None, trailers: list[Line]
) -> Response:
    """A response with the value in front of its content."""
    value = ENCODER.encode(told)
    front = LENGTH.pack(len(value)) + value
    if content is None or (isinstance(content, bytes) and len(content) <= SMALL):
        whole = front + (content or b"")
        head = finish_head(200, [(b"Content-Length", b"%d" % len(whole))])
        return Response(head, b"\r\n", whole)
    if isinstance(content, bytes):
        content = sliced(content, SMALL)
    return Response(STREAMED, b"\r\n", Fronted(front, content), is_unframed=True, trailers=trailers)


STREAMED: Final[Head] = finish_head(200, [])


class Fronted:
    """Content behind a value."""

    def __init__(self, front: bytes, content: AsyncIterator[bytes]) -> None:
        self._front = front
        self._content = content

    def __aiter__(self) -> Fronted:
        return self

    async def __anext__(self) -> bytes:
        front, self._front = self._front, b""
        return front or await anext(self._content)

    async def aclose(self) -> None:
        """Nobody reads on."""
        await discard(self._content)


def refuse(error: Exception) -> Response:
    """An answer to a sibling that made a mistake: it has to go to the origin itself."""
    status = 400 if isinstance(bare(error), MalformedRequest) else 500
    return Response(finish_head(status, [(b"Content-Length", b"0")]), b"\r\n", b"", closes=True)


def no_http2(connection: Connection, _: bytes) -> None:
    """Siblings speak HTTP/1.1."""
    connection.transport.abort()
