"""
What of an HTTP/2 client's bytes the parser has to see, where some requests are answered past it.

Laws: bytes in, bytes out, whole frames but for content. Who answers a request past the parser says
so by `answer`; from then on the parser is told nothing of that stream, and of the connection's
window only what it does not owe. Field blocks are remembered while nothing changes the table that
they are read by.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from edge.errors import MalformedRequest
from edge.http.blocks import cut_path, is_cut_right, is_stable
from edge.http.frames import (
    CONTINUATION,
    DATA,
    FRAME_HEAD,
    HEADERS,
    LARGEST_FRAME,
    PREFACE_BYTES,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

if TYPE_CHECKING:
    from edge.http.blocks import Rest

ACK: Final = 1
WHOLE: Final = 5
"""END_STREAM and END_HEADERS: a request, and nothing but its fields."""

PRIORITIZED: Final = 0x20
PRIORITY_BYTES: Final = 5
INITIAL_WINDOW: Final = 4
"""SETTINGS_INITIAL_WINDOW_SIZE."""

FIRST_WINDOW: Final = 65_535
REMEMBERED: Final = 64
"""Blocks of one connection."""

LONGEST: Final = 1024
"""Bytes of a block that is remembered."""

UPDATE: Final = struct.Struct(">HBBBII")
SETTING: Final = struct.Struct(">HI")


class Sieve:
    """Of one connection."""

    __slots__ = (
        "_blocks",
        "_held",
        "_is_read",
        "_is_sure",
        "_parsed",
        "_skip",
        "debt",
        "highest",
        "known",
        "window",
    )

    def __init__(self) -> None:
        self.known: dict[Rest, object] = {}
        """What blocks say but for their paths, as their owner has it."""
        self.debt = 0
        """Bytes of content that were sent and that the parser does not know of."""
        self.window = FIRST_WINDOW
        """Bytes of content that a new stream may be sent."""
        self.highest = 0
        """The last stream that was begun, here or there."""
        self._parsed = 0
        """The last one that the parser knows."""
        self._skip = PREFACE_BYTES
        """Bytes until the next head of a frame."""
        self._held = b""
        """The beginning of a frame."""
        self._blocks: dict[int, bytes] = {}
        """Of the requests in what was sifted last, by stream."""
        self._is_sure = True
        """Whether all of these are whole and change no table, as far as is known."""
        self._is_read = False
        """Whether that has been looked up."""

    @property
    def is_between(self) -> bool:
        """Whether a frame begins next."""
        return not (self._skip or self._held)

    # Answers past the parser

    def answer(self, stream: int, size: int) -> None:
        """A new stream is answered with so many bytes of content, and over."""
        self.highest = stream
        self.debt += size

    def takes(self, frame: bytes) -> bool:
        """Whether a WINDOW_UPDATE is none of the parser's business; it is dealt with then."""
        stream = int.from_bytes(frame[5:9], "big")
        if stream or len(frame) != UPDATE.size:
            return len(frame) == UPDATE.size and self._is_over(stream)
        increment = int.from_bytes(frame[FRAME_HEAD:], "big")
        if not 0 < increment <= self.debt:
            return False
        self.debt -= increment
        return True

    def learn(self, stream: int, what: object) -> bytes | None:
        """
        Remember what the block of a request says, if it always means the same.

        Returns its path as it is written, empty where that is no part of its own; None where
        nothing is remembered.
        """
        block = self._blocks.get(stream)
        if block is None or len(block) > LONGEST or not self._is_sure:
            return None
        if not self._is_read:  # once for all of them, which took a quarter of a request
            self._is_read = True
            self._is_sure = all(map(is_stable, self._blocks.values()))
            if not self._is_sure:
                return None
        rest, path = cut_path(block)
        if path and not is_cut_right(block):
            rest, path = block, b""
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        self.known[rest] = what
        return path

    def find(self, block: bytes) -> tuple[object, bytes]:
        """What is remembered of a block, or None, and its path as `learn` has it."""
        rest, path = cut_path(block)
        what = self.known.get(rest)
        if what is None and path:
            return self.known.get(block), b""
        return what, path

    # What the parser sees

    def sift(self, data: bytes) -> bytes:
        """
        What the parser is to have of the next piece.

        Raises:
            MalformedRequest: something comes on a stream that is over (RFC 9113 §5.1).
        """
        data, self._held = self._held + data, b""
        self._blocks.clear()
        self._is_sure, self._is_read = True, False
        size, kept, start = len(data), list[bytes](), 0
        position = min(self._skip, size)
        self._skip -= position
        while position + FRAME_HEAD <= size:
            end = position + FRAME_HEAD + int.from_bytes(data[position : position + 3], "big")
            if data[position + 3] == DATA or end - position > FRAME_HEAD + LARGEST_FRAME:
                self._check(int.from_bytes(data[position + 5 : position + 9], "big"))
                self._skip = max(0, end - size)
            elif end > size:
                break
            else:
                other = self._judge(data[position:end])
                if other is not None:
                    kept += data[start:position], other
                    start = end
            position = min(end, size)
        self._held = data[position:]
        kept.append(data[start:position])
        return b"".join(kept)

    def _judge(self, frame: bytes) -> bytes | None:
        """What the parser gets in place of a frame; None where it gets that."""
        kind, stream = frame[3], int.from_bytes(frame[5:9], "big")
        if kind == HEADERS:
            self._check(stream)
            self._note(stream, frame)
        elif kind == CONTINUATION:
            self._forget()
        elif kind == SETTINGS and not frame[4] & ACK:
            self._set(frame[FRAME_HEAD:])
        elif kind == WINDOW_UPDATE and not stream:
            return self._repay(frame)
        elif kind in (WINDOW_UPDATE, RST_STREAM, PRIORITY) and self._is_over(stream):
            return b""
        return None

    def _is_over(self, stream: int) -> bool:
        """Whether a stream was answered past the parser, or passed over, and it cannot know."""
        return self._parsed < stream <= self.highest

    def _check(self, stream: int) -> None:
        if self._is_over(stream):
            raise MalformedRequest("a frame on a stream that is over")

    def _note(self, stream: int, frame: bytes) -> None:
        """A head for the parser: whether it may be remembered, and what it does to others."""
        if stream > self.highest:
            self.highest = self._parsed = stream
        block = block_of(frame)
        if block is None or stream in self._blocks:
            self._forget()
            return
        self._blocks[stream] = block
        if self.known and not is_stable(block):
            self._forget()

    def _forget(self) -> None:
        self.known.clear()
        self._is_sure = False

    def _set(self, payload: bytes) -> None:
        if len(payload) % SETTING.size:
            return  # the parser ends the connection
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW:
                self.window = value

    def _repay(self, frame: bytes) -> bytes | None:
        """What the parser hears of a WINDOW_UPDATE of the connection: what is no debt."""
        increment = int.from_bytes(frame[FRAME_HEAD:], "big") & 0x7FFFFFFF
        if not self.debt or len(frame) != UPDATE.size or not increment:
            return None
        paid = min(self.debt, increment)
        self.debt -= paid
        if paid == increment:
            return b""
        return UPDATE.pack(0, 4, WINDOW_UPDATE, 0, 0, increment - paid)


def block_of(frame: bytes) -> bytes | None:
    """The field block of HEADERS that are a whole request; None of others."""
    flags = frame[4]
    if flags == WHOLE:
        return frame[FRAME_HEAD:]
    if flags == WHOLE | PRIORITIZED and len(frame) > FRAME_HEAD + PRIORITY_BYTES:
        return frame[FRAME_HEAD + PRIORITY_BYTES :]
    return None
