"""
Requests of HTTP/2 that are like one before, answered past the parser.

Laws: as `Http1Sender.recall`: only what is a fresh answer in memory, of a size that is one stream's
turn and that every window has room for now; else the parser has it, and all that comes behind it.
What a block says is known by connection, as its table of fields is; which line of HTTP/1.1 a path
makes is known to all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.http.blocks import STATUS, write_head, write_integer, write_lines
from edge.http.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HEADERS,
    LARGEST_FRAME,
    WINDOW_UPDATE,
)
from edge.http.message import Request, Response
from edge.http.sieve import block_of
from edge.node.ledger import first_look
from edge.node.responses import SLICE, Http2Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.http.manner import Manner
    from edge.node.clock import Clock
    from edge.node.ledger import Asked, Facts, Repeat
    from edge.node.look import Look
    from edge.node.recalls import Recall
    from edge.node.transport import Service
    from edge.site.snapshot import Shortcut

AT_ONCE: Final = 256 * 1024
"""Content of one piece's answers; what is asked beyond has its turns."""

LONGEST: Final = LARGEST_FRAME // 2
"""
Bytes of a head, as HTTP/1.1 has it, that surely fits one frame with the lines of its second: in a
block, a line takes hardly a byte more.
"""

NAME: Final = b"\x00\x0cx-request-id"


class Framed:
    """An answer in frames, but for its stream and its identifier."""

    __slots__ = ("block", "contents", "head", "repeat", "size")

    def __init__(self, block: bytes, content: bytes, identifier: int, repeat: Repeat) -> None:
        self.size = size = len(content)
        """Bytes that count against the windows."""
        flags = END_HEADERS if size else END_HEADERS | END_STREAM
        self.head = (len(block) + identifier).to_bytes(3, "big") + bytes([HEADERS, flags])
        self.block = block
        self.contents = list(frames_with(content))
        self.repeat = repeat

    def pieces(self, stream: bytes, identifier: bytes) -> list[bytes | memoryview]:
        """The frames on a stream, whose identifier is in four bytes."""
        pieces: list[bytes | memoryview] = [self.head, stream, self.block, identifier]
        for head, content in self.contents:
            pieces += head, stream, content
        return pieces


def frames_with(content: bytes) -> Iterator[tuple[bytes, bytes | memoryview]]:
    """Frames that end a stream: the beginning of each, and what it holds, which is not copied."""
    size, view = len(content), memoryview(content)
    for start in range(0, size, LARGEST_FRAME):
        end = min(start + LARGEST_FRAME, size)
        head = (end - start).to_bytes(3, "big") + bytes([DATA, END_STREAM if end == size else 0])
        yield head, view[start:end] if size > LARGEST_FRAME else content


def frame(look: Look, clock: Clock, facts: Facts, identifier: int) -> Framed | None:
    """An answer in a frame for its head and some for its content; None where it is too large."""
    content, head = look.content, look.head
    if len(content) > SLICE or head.status not in STATUS or len(head.lines) > LONGEST:
        return None
    block = (head.packed or write_head(head)) + write_lines(look.block(clock)[:-2])
    block += NAME + write_integer(identifier, 7)
    repeat = look.repeat or first_look(look, clock, facts, identifier)
    framed = look.framed = Framed(block, content, identifier, repeat)
    return framed


Known = tuple["Manner", bytes, object]
"""The fields of a request, its line as HTTP/1.1 has it if that is the only one, what knew it."""

Found = tuple[Framed, "Manner", "Asked"]
"""An answer, to what fields, and what target."""


class Http2Recaller(Http2Sender):
    """The half of an HTTP/2 connection that looks nothing up twice."""

    __slots__ = ("_last", "_served")

    def __init__(self, service: Service, sni: str | None = None) -> None:
        super().__init__(service, sni)
        self._served = 0
        self._last = 0
        """The last stream that was begun."""

    def learn(self, request: Request, response: Response) -> None:
        """Remember what a request led to, if that was a file and nothing else was asked."""
        manner = request.manner
        if manner is None or not manner.is_read or not response.opening:
            return
        if manner.is_conditional and manner.none_match is None:
            return
        line = b"GET %b HTTP/1.1" % request.target
        if request.method == b"GET" and (line in manner.lines or line in manner.stored):
            self.lead = self.told.get(b"GET")
            known: Known = (manner, line, self.service.world)
            path = self.wire.sieve.learn(request.stream, known)
            if path:
                self.service.manners.paths.keep(path, path, line)

    def may_recall(self) -> bool:
        """Whether anything is known, and nothing else is due."""
        service, sieve = self.service, self.wire.sieve
        return (
            bool(sieve.known)
            and sieve.is_between
            and service.recalls
            and not (self.closing or self.paused or self._waiting or service.draining)
            and len(self.streams) < service.max_streams
            and not service.ledger.is_traced
            and (self.lead is not None or service.ledger.log is None)
        )

    def recall(self, data: bytes, began: float) -> bytes:
        """Answer what is known at the beginning of a piece; the rest is for the parser."""
        output: list[bytes | memoryview] = []
        passed: list[bytes] = []
        """WINDOW_UPDATEs that the parser has to know: whenever, since what is owed is known."""
        position, size, queued = 0, len(data), 0
        while position + FRAME_HEAD < size and queued < AT_ONCE:
            end = position + FRAME_HEAD + int.from_bytes(data[position : position + 3], "big")
            if end > size:
                break
            kind = data[position + 3]
            if kind == HEADERS:
                stream = data[position + 5 : position + 9]
                found = self._find(data[position:end], int.from_bytes(stream, "big"))
                if found is None:
                    break
                identifier = self._enter_found(found, began, end - position)
                output += found[0].pieces(stream, identifier)
                queued += found[0].size
            elif kind != WINDOW_UPDATE:
                break
            elif not self.wire.take_update(data[position:end]):
                passed.append(data[position:end])
            position = end
        if output:
            self.touched = self.clock.now
            self.send_one(b"".join(output))
        return b"".join((*passed, data[position:]))

    def _find(self, head: bytes, stream: int) -> Found | None:
        """The answer to HEADERS that were asked before, if a new stream may have it now."""
        wire, service = self.wire, self.service
        block = block_of(head)
        if block is None:
            return None
        known: Known | None
        known, path = wire.sieve.find(block)  # type: ignore[assignment]
        if known is None or known[2] is not service.world:
            return None
        manner, line, _ = known
        if path:
            line = service.manners.paths.get(path, b"")
        asked: Shortcut | Recall | None
        asked = manner.lines.get(line) or manner.stored.get(line)  # type: ignore[assignment]
        if asked is None or self._served + 1 >= service.streams_per_connection:
            return None
        look: Look | None = None if manner.is_conditional else asked.look  # type: ignore[assignment]
        if look is None:
            look = asked.recent.get(manner.wish)  # type: ignore[assignment]
        clock = self.clock
        if look is None or (look.second != clock.epoch and not look.renew(clock)):
            return None
        facts: Facts = asked.facts  # type: ignore[assignment]
        framed = look.framed or frame(look, clock, facts, service.ledger.identifier_size)
        if framed is None or not wire.has_room(stream, framed.size):
            return None
        if asked.hits is not None:
            asked.count()
        self._served += 1
        self._last = stream
        wire.sieve.answer(stream, framed.size)
        return framed, manner, asked

    def _enter_found(self, found: Found, began: float, received: int) -> bytes:
        """Its identifier."""
        framed, manner, asked = found
        self.wire.tally.requests += 1
        return self.service.ledger.note(self, framed.repeat, manner, asked, began, received)
