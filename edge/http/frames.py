"""
What an HTTP/2 client sends, counted by the kind of frame: most floods make no event in zttp.

Laws: bytes in, numbers out, however the bytes are cut. Frames are not judged here (zttp does that,
but for PRIORITY on stream 0), and what a minute may bring is the owner's. A piece that holds one
request and nothing else costs 0.4 µs, and leaves `is_noisy` as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

FRAME_HEAD: Final = 9
HEAD: Final = struct.Struct(">HBBBI")
LARGEST_FRAME: Final = 16_384
"""Whatever anybody says, everybody takes one of that (RFC 9113 §4.2)."""

NO_TABLE: Final = b"\x20"
"""A dynamic table size update to 0 (RFC 7541 §6.3)."""

END_HEADERS: Final = 4
END_STREAM: Final = 1
PADDED: Final = 8
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 8, 9,
)  # fmt: skip
PREFACE_BYTES: Final = 24
NOTICED: Final = 64
"""Every so many WINDOW_UPDATEs are noise."""


class Tally:
    """Frames of one client since the last `clear`."""

    __slots__ = (
        "_begun",
        "_skip",
        "empty",
        "is_misplaced",
        "is_noisy",
        "pings",
        "priorities",
        "requests",
        "resets",
        "settings",
        "updates",
    )

    def __init__(self) -> None:
        self._begun = b""
        """What came of a frame's head."""
        self._skip = PREFACE_BYTES
        """Bytes until the next head."""
        self.is_misplaced = False
        """Whether PRIORITY came on stream 0 (RFC 9113 §6.3): zttp reads past it."""
        self.is_noisy = False
        """Whether anything came that only costs; to be reset by who looks."""
        self.clear()

    def clear(self) -> None:
        """A new minute."""
        self.requests = 0
        """HEADERS, trailers too."""
        self.empty = 0
        """DATA without content that does not end its stream."""
        self.priorities = 0
        """PRIORITY, and whatever RFC 9113 has no place for (§5.5: it is ignored)."""
        self.resets = 0
        self.settings = 0
        """SETTINGS, confirmations too; as `pings`."""
        self.pings = 0
        self.updates = 0
        """WINDOW_UPDATE."""

    def read(self, data: bytes) -> None:
        """Count the frames that begin in the next piece of what the client sends."""
        position, size = self._skip, len(data)
        if self._begun:
            data = self._begun + data
            position, size = 0, len(data)
            self._begun = b""
        while position + FRAME_HEAD < size:  # a byte more: it says how much padding there is
            length = int.from_bytes(data[position : position + 3], "big")
            kind = data[position + 3]
            if kind == HEADERS:
                self.requests += 1
            elif kind != DATA or length <= 256:
                self._count(kind, data[position + 4], length, data[position + FRAME_HEAD])
                if kind == PRIORITY and not any(data[position + 5 : position + FRAME_HEAD]):
                    self.is_misplaced = True
            position += FRAME_HEAD + length
        if position + FRAME_HEAD == size and not any(data[position : position + 3]):
            self._count(data[position + 3], data[position + 4], 0, 0)
            position = size
        if position < size:
            self._begun = data[position:]
        self._skip = max(0, position - size)

    def count_update(self) -> None:
        """One WINDOW_UPDATE that was read by somebody else."""
        self.updates += 1
        if not self.updates % NOTICED:
            self.is_noisy = True

    def _count(self, kind: int, flags: int, length: int, padding: int) -> None:
        """One frame that is not plainly a request or content."""
        if kind == DATA:
            content = length - 1 - padding if flags & PADDED else length
            if content > 0 or flags & END_STREAM:
                return
            self.empty += 1
        elif kind == WINDOW_UPDATE:
            self.updates += 1
            if self.updates % NOTICED:
                return  # a download has thousands: nobody looks at each
        elif kind == RST_STREAM:
            self.resets += 1
        elif kind == PING:
            self.pings += 1
        elif kind == SETTINGS:
            self.settings += 1
        elif kind != CONTINUATION:  # zttp ends the connection at the 17th of one head
            self.priorities += 1
        self.is_noisy = True


# Frames of ours


def frames_of(output: bytes) -> Iterator[bytes]:
    """Whole frames, one by one."""
    position = 0
    while position < len(output):
        size = FRAME_HEAD + int.from_bytes(output[position : position + 3], "big")
        yield output[position : position + size]
        position += size


def without_table(frame: bytes) -> bytes:
    """HEADERS (neither padded nor with a priority) whose block begins with NO_TABLE."""
    high, low, kind, flags, stream = HEAD.unpack_from(frame)
    block = frame[FRAME_HEAD:]
    if len(block) < LARGEST_FRAME:
        high, low = divmod(len(block) + 1, 256)
        return HEAD.pack(high, low, kind, flags, stream) + NO_TABLE + block
    first = HEAD.pack(0, 1, kind, flags & ~END_HEADERS, stream) + NO_TABLE
    return first + HEAD.pack(high, low, CONTINUATION, flags & END_HEADERS, stream) + block
