"""
How slow a client may be: seconds that are used up by waiting for it, and earned by its bytes.

Laws: looked at by the sweep, once a second, and by nobody else: a limit costs no request anything.
Time in which anybody but the client was waited for is free: an upload's slow consumer, an origin
that has nothing to send. Silence is charged when it ends; one that does not is `idle_timeout`'s.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

FREE_SECONDS: Final = 10.0
"""What each transfer begins with, so that the start of a slow one is no offense."""

MOST_SECONDS: Final = 30.0
"""As much as a fast one can save up: the average is one of the last half minute."""

ACKED: Final = struct.Struct("@Q")
ACKED_AT: Final = 120
"""Where `tcpi_bytes_acked` stands in Linux' `struct tcp_info` (4.1 and later)."""


class Allowance:
    """What is left to one transfer, one way."""

    __slots__ = ("_at", "_left", "_owed", "_seen")

    def __init__(self, now: float, seen: int) -> None:
        self._at = now
        self._seen = seen
        self._left = FREE_SECONDS
        self._owed = 0.0
        """Seconds of silence up to now."""

    def is_spent(self, now: float, seen: int, rate: int, *, waits: bool = True) -> bool:
        """
        Whether the client brought, or took, less than `rate` bytes a second for too long.

        `seen` are the bytes so far; without `waits` it was not the client that was waited for.
        """
        if waits:
            self._owed += now - self._at
        moved, self._at, self._seen = seen - self._seen, now, seen
        if moved <= 0:
            return False
        self._left = min(MOST_SECONDS, self._left + moved / rate) - self._owed
        self._owed = 0.0
        return self._left < 0


def acknowledged(connected: socket.socket | None) -> int | None:
    """
    Bytes that the client's machine has confirmed; None where that is not known (a Unix socket).

    The transport's own buffer says less: it stands still while a slow client empties the kernel's.
    """
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)  # type: ignore[union-attr]
        return int(ACKED.unpack_from(info, ACKED_AT)[0])
    except (AttributeError, OSError, struct.error):
        return None
