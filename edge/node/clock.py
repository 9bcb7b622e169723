"""
The second hand of a worker: time for everything that needs no better than a second.

One tick a second costs less than one clock call a request, and the Date line is made once.
"""

from __future__ import annotations

import time

from edge.http.fields import format_http_date


class Clock:
    """`now` in monotonic seconds, `epoch` in whole UTC seconds, `date` as a finished line."""

    __slots__ = ("date", "epoch", "now")

    now: float
    epoch: int
    date: bytes

    def __init__(self) -> None:
        self.epoch = -1
        self.tick()

    def tick(self) -> None:
        """Read the clocks."""
        self.now = time.monotonic()
        epoch = int(time.time())
        if epoch != self.epoch:
            self.epoch = epoch
            self.date = b"Date: %b\r\n" % format_http_date(epoch)
