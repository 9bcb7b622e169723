"""
The sending half of an HTTP/1.1 connection: responses to bytes, their framing, tunnels.

Laws: what becomes of the connection is said in the head of the answer that decides it. Content
whose length is not known beforehand goes out in chunks, or ends with the connection where the
client knows no chunks. After 101 there is no HTTP any more.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING, cast

from edge.http.http1 import (
    CHUNKED_LINE,
    Http1,
    encode_chunk,
    encode_end,
    encode_head,
    encode_interim,
)
from edge.http.message import BLANK_LINE, CRLF, Request, Response, Tunnel
from edge.node.cache import JOIN_BELOW
from edge.node.content import discard, pour, sliced
from edge.node.ledger import first_look
from edge.node.look import WRITTEN_AT_ONCE
from edge.node.transport import Connection, Service

if TYPE_CHECKING:
    import asyncio

    from edge.http.manner import Manner
    from edge.node.content import Inflow
    from edge.node.crossing import Crossing, Lane, Speech
    from edge.node.later import Later, Taker
    from edge.node.look import Look
    from edge.node.passing import Form
    from edge.node.recalls import Recall
    from edge.site.snapshot import Shortcut

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: to close is to reset."""

UNREAD_CONTENT = 64 * 1024
"""Bytes of unwanted content that are read past to keep a connection; beyond, it ends."""


class Http1Sender(Connection):
    """Responses on the way out."""

    __slots__ = (
        "_answer",
        "_answering",
        "_asked",
        "_begun",
        "_closing",
        "_content",
        "_ends_content",
        "_expects",
        "_first",
        "_held",
        "_held_bytes",
        "_output",
        "_sent",
        "_served",
        "_wire",
        "speech",
        "tunnel",
    )

    def __init__(self, service: Service, sni: str | None = None) -> None:
        super().__init__(service, sni)
        self._wire = Http1(service.wire, service.manners, sni)
        self._answering = False
        """Whether an answer is under way: what comes meanwhile is held."""
        self._answer: asyncio.Task[None] | Later | Crossing | None = None
        """Whoever makes it."""
        self.speech: Speech | None = None
        """What origins were told of this client last."""
        self._output: list[bytes] = []
        """Answers that are ready and not handed to the transport yet."""
        self._asked: Request | None = None
        """The request whose answer is waited for, until that is entered."""
        self._begun: Response | None = None
        """The answer that goes out piece by piece."""
        self._sent = 0
        """Bytes of it that have gone out."""
        self._first = 0.0
        """When it began to, in monotonic seconds."""
        self._served = 0
        self._closing = False
        """Whether the answer under way, or the last one, is the last of this connection."""
        self._content: Inflow | None = None
        """The content that still arrives, of the request being answered or answered already."""
        self._expects = False
        """Whether the client still waits for 100 (Continue)."""
        self._held: list[bytes] = []
        """What arrived behind a request whose answer is under way."""
        self._held_bytes = 0
        self._ends_content = False
        """Whether the end of the connection is that of the content."""
        self.tunnel: Tunnel | None = None
        """Where the client's bytes go after 101."""

    def recall(self, data: bytes, began: float) -> bool:
        """Answer what was asked before, unparsed (1.5 for 5 µs); False where that cannot be."""
        service, ledger, sni = self.service, self.service.ledger, self.sni
        line, _, lines = data.partition(CRLF)
        spelling = lines if sni is None else (sni, lines)
        manner = service.manners.asking.get(spelling) or service.manners.validating.get(spelling)
        if (
            manner is None
            or self._answering
            or self._closing
            or self.lingering
            or self.paused
            or not service.recalls
            or ledger.is_traced
            or self._served + 1 >= service.requests_per_connection
        ):
            return False
        if self.lead is None:
            self.introduce(manner)
        asked: Shortcut | Recall | None
        asked = manner.lines.get(line) or manner.stored.get(line)  # type: ignore[assignment]
        if asked is None:
            lane: Lane | None = manner.ways.get(line)  # type: ignore[assignment]
            crossing = None if lane is None else lane.begin(self, manner, data, began)
            if crossing is None:
                return False
            self.touched = self.clock.now
            self._served += 1
            self.received = len(data)
            self._answering, self._answer = True, crossing
            return True
        look: Look | None = None if manner.is_conditional else asked.look  # type: ignore[assignment]
        if look is None:
            look = asked.recent.get(manner.wish)  # type: ignore[assignment]
        clock = self.clock
        if look is None or (look.second != clock.epoch and not look.renew(clock)):
            return False
        opening, content = look.opening, look.content
        if not opening:
            return False
        if asked.hits is not None:
            asked.count()
        self.touched = clock.now
        self._served += 1
        repeat = look.repeat or first_look(look, clock, asked.facts, ledger.identifier_size)  # type: ignore[arg-type]
        identifier = ledger.note(self, repeat, manner, asked, began, len(data))
        if len(content) < JOIN_BELOW:
            self.send_one(b"".join((opening, identifier, BLANK_LINE, content)))
        else:
            self.send([b"".join((opening, identifier, BLANK_LINE)), content])
        return True

    def introduce(self, manner: Manner) -> None:
        """Have the log know whose request comes; what it says of the first, it says of all."""
        self.service.ledger.introduce(self, manner)

    def look_at(self, data: bytes) -> Request:
        """What a request says that was passed on unparsed, to be answered as any other."""
        request = cast("Request", self._wire.receive(data))
        request.peer, request.sni = self.peer, self.sni
        return request

    def await_passing(self, request: Request, answer: Later) -> None:
        """Have an answer taken when it comes."""
        self._asked = request
        self._answer = answer
        answer.give_to(cast("Taker", self))

    def pass_back(self, crossing: Crossing, form: Form, content: bytes) -> bool:
        """
        The answer to what was passed on unparsed, in another connection's call.

        False where it has to say that it is the last one, or nobody waits for it.
        """
        if self._closing or self.transport.is_closing():
            return False
        origin, identifier = crossing.origin, crossing.identifier
        origin.put_back(crossing.connection, form.keeps_s)
        opening = form.dated or form.opening(self.clock)
        message = b"".join((opening, identifier, BLANK_LINE, content))
        repeat = form.repeat or form.begin_repeat(origin, len(message))
        manner, lane = crossing.speech.manner, crossing.lane
        if self.lead is None:  # a log that began meanwhile knows nobody
            self.introduce(manner)
        received, self.received = self.received, 0
        ledger = self.service.ledger
        ledger.note(self, repeat, manner, lane, crossing.began, received, identifier)
        self._answering, self._answer = False, None
        self.send_one(message)
        if self._held or self.half_closed:
            self.proceed()
        return True

    def _flush(self) -> None:
        self.send(self._output)
        self._output.clear()

    def _append(self, request: Request, response: Response) -> None:
        """Finished bytes of a response whose content is in memory."""
        self._expects = False
        option = self._connection_option(request, response)
        head = encode_head(response, option, request.id)
        self._output.append(head)
        size = len(head)
        if response.content and request.method != b"HEAD":
            content = cast("bytes", response.content)
            self._output.append(content)
            size += len(content)
        self._enter(request, response, size)

    def _enter(self, request: Request, response: Response, size: int, first: float = 0.0) -> None:
        """An answer is over."""
        self._asked = self._begun = None
        self._sent = 0
        self.service.ledger.enter(self, request, response, size, first)
        if self.lead is None:
            self.lead = self.told.get(b"GET")

    def _connection_option(self, request: Request, response: Response) -> bytes:
        """`close`, `keep-alive` (HTTP/1.0 that asked) or nothing (RFC 9112 §9.3)."""
        if (
            self._wire.should_close()
            or self._served >= self.service.requests_per_connection
            or response.closes
            or request.method == b"CONNECT"  # what follows may be meant for a tunnel (RFC 9931 §5)
            or self._closing
            or (self._content is not None and self._refuses_content(request))
        ):
            self._closing = True
            return b"close"
        return b"keep-alive" if request.version == b"1.0" else b""

    def _refuses_content(self, request: Request) -> bool:
        """Whether content that nobody read is too much, or too unsure, to read past."""
        if cast("Inflow", self._content).started:
            return False
        length = request.fields.get(b"content-length", b"")
        return request.expects or not length.isdigit() or int(length) > UNREAD_CONTENT

    async def _send(self, request: Request, response: Response) -> None:
        self._expects = False
        content = response.content
        if response.tunnel is not None:
            await self._tunnel_through(request, response)
            return
        if self._fits(content) or request.method == b"HEAD":
            if self._content is not None and self._content.started:
                self._closing = True  # where it ends is not known before it does
            self._append(request, response)
            self._flush()
            await discard(content)
            return
        if type(content) is bytes:
            content = sliced(content, WRITTEN_AT_ONCE)
        is_chunked = response.is_unframed and request.version == b"1.1"
        self._ends_content = response.is_unframed and not is_chunked
        self._closing |= self._ends_content
        head = encode_head(response, self._connection_option(request, response), request.id)
        if is_chunked:
            head = head[: -len(CRLF)] + CHUNKED_LINE + CRLF
        self._begin_sending(response, head)
        await pour(content, self._send_chunk if is_chunked else self._send_piece)
        if is_chunked:
            self._send_on(encode_end(response.trailers))
        self._enter(request, response, self._sent, self._first)

    def _begin_sending(self, response: Response, head: bytes) -> None:
        self._begun, self._first = response, monotonic()
        self._send_on(head)

    async def _send_chunk(self, chunk: bytes) -> None:
        await self._send_piece(encode_chunk(chunk))

    async def _send_piece(self, piece: bytes) -> None:
        await self._send_on_time(piece)
        self.touched = self.clock.now

    async def _send_on_time(self, data: bytes) -> None:
        self._send_on(data)
        await self.writable()

    def _send_on(self, data: bytes) -> None:
        self._sent += len(data)
        self.send([data])

    def _fits(self, content: bytes | AsyncIterator[bytes] | None) -> bool:
        """
        Whether content is written at once: it is in memory, and would be there once.

        In clear text it may be as large as it likes, since none is copied.
        """
        if type(content) is bytes:
            return self.sni is None or len(content) <= WRITTEN_AT_ONCE
        return content is None

    def cut(self) -> None:
        """End in the middle of an answer, so that nobody takes it for a whole one."""
        connected = self.transport.get_extra_info("socket")
        if self._ends_content and connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    async def _tunnel_through(self, request: Request, response: Response) -> None:
        """Bytes both ways until either side ends; what came before 101 is no part of it."""
        self._closing = True
        self._held.clear()
        self._held_bytes = 0
        tunnel = self.tunnel = response.tunnel
        assert tunnel is not None, "only what has one is sent this way"
        tunnel.resume = self.transport.resume_reading
        self._begin_sending(response, encode_head(response, b"", request.id))
        self.transport.resume_reading()
        if self.half_closed:
            tunnel.finish()
        await pour(response.content, self._send_on_time)
        self.tunnel = None
        self._enter(request, response, self._sent, self._first)

    def interim(self, request: Request, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send an interim response; HTTP/1.0 has none."""
        if request.version == b"1.1" and not self.transport.is_closing():
            if status == 100:
                self._expects = False
            self.send([encode_interim(status, fields)])
