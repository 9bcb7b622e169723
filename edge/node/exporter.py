"""
What is noted of requests, sent to a collector: OTLP over HTTP, by a thread of each worker.

Laws: `put` never waits: what the bounded queue has no room for is dropped and counted, and so is
what no collector takes in time. A collector costs spans, never the serving. What sending takes is
imported by the thread: the loop does not wait for that either, and without tracing it is not there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from random import uniform
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from edge.node.visits import Visit
    from edge.site.settings import Tracing

log = logging.getLogger("edge.tracing")

QUEUE: Final = 4096
"""Spans of a worker that wait to be sent; 2 KiB each."""

BATCH: Final = 512
"""Spans of one message."""

WAITS: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries of a message, half of them at random; then it is lost."""

COMPLAIN: Final = 60.0
"""Seconds between two messages about a collector that takes nothing."""

Order = list["Visit"] | Literal["close"]
Take = Callable[["Tracing", list["Visit"]], None]


class Refused(Exception):
    """A message was not taken."""

    def __init__(self, problem: str, *, again: bool, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.again = again
        self.wait = wait


class Exporter:
    """The spans of one worker on their way. `root` is where a relative `headers_file` starts."""

    def __init__(self, root: Path, settings: Tracing) -> None:
        self._root = root
        self._settings = settings
        self._queue: SimpleQueue[Order] = SimpleQueue()
        self._put = 0
        """Spans put so far; only `put` writes it, so that no lock is needed."""
        self._overflowed = 0
        self._taken = 0
        """Spans that wait no more; only the thread writes it."""
        self._lost = 0
        self._told = float("-inf")
        self._closing = Event()
        self._thread = Thread(target=self._run, name="tracing", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans that were lost so far."""
        return self._overflowed + self._lost

    def configure(self, settings: Tracing) -> None:
        """Send there from now on."""
        self._settings = settings

    def put(self, visits: list[Visit]) -> None:
        """Send what is noted. The list is kept: use another one."""
        count = sum(visit.count for visit in visits)
        if self._put - self._taken + count > QUEUE:
            self._overflowed += count
            return
        self._put += count
        self._queue.put(visits)

    def close(self, timeout: float = 3.0) -> None:
        """Send what waits, once, for so many seconds at most; what is left then is lost."""
        self._closing.set()
        self._queue.put("close")
        self._thread.join(timeout)

    # The thread

    def _run(self) -> None:
        try:
            from edge.node.collector import Collector  # noqa: PLC0415 - an extra, and 10 MiB

            take = Collector(self._root).take
        except Exception as error:  # noqa: BLE001  (no package, or one that its others do not fit)
            take = partial(lacking, str(error))
        order: Order | None = None
        while order != "close":
            order = self._queue.get()
            visits: list[Visit] = []
            count = 0
            while isinstance(order, list):
                visits += order
                count += sum(visit.count for visit in order)
                order = self._next() if count < BATCH else None
            if visits:
                self._send(take, visits, count)
                self._taken += count

    def _next(self) -> Order | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def _send(self, take: Take, visits: list[Visit], count: int) -> None:
        """One message, tried again where that may help."""
        for wait in (*WAITS, 0.0):
            try:
                take(self._settings, visits)
            except Refused as refused:
                if not wait or not refused.again or self._closing.is_set():
                    self._lose(count, str(refused))
                    return
                self._closing.wait(max(refused.wait, wait * uniform(0.5, 1)))  # noqa: S311
            except Exception as error:  # whatever it is, the next ones are to be sent
                log.exception("spans could not be sent")
                self._lose(count, str(error))
                return
            else:
                return

    def _lose(self, count: int, problem: str) -> None:
        """Count what is lost, and say why once a minute."""
        self._lost += count
        if time.monotonic() - self._told >= COMPLAIN:
            self._told = time.monotonic()
            log.warning("%d spans are lost: %.300s", count, problem)


def lacking(problem: str, *_: object) -> None:
    """In place of what takes messages, where the extra is not installed. Raises Refused."""
    raise Refused(f"{problem}; pip install 'edge[otel]'", again=False)
