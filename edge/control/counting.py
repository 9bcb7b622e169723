"""
Asks the workers what they count, once a second and for every scrape.

Laws: one question at a time, in a thread; what nobody can be asked is told as it was. Losing the
document of the sums costs a restart of them, never a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from edge.control.exposition import Sample, expose, family
from edge.control.fleet import Fleet
from edge.control.metrics import Metrics
from edge.control.series import Minute, Series, percentile
from edge.control.totals import Totals
from edge.site.places import Places

log = logging.getLogger("edge.counting")

EVERY = 1.0
"""Seconds: what a worker that is killed takes with it."""

KEEP_EVERY = 5.0
"""Seconds between two documents of the sums."""

PATIENCE = 10.0
"""Seconds a worker may be silent; more, and it is replaced."""


class Counting:
    """The sums of a node, and its last minutes."""

    def __init__(
        self,
        places: Places,
        metrics: Metrics,
        generation: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`generation` is the number of what serves."""
        self.totals = Totals()
        self.series = Series()
        self._fleet = Fleet(places.run, PATIENCE)
        self._file = places.run / "counters.json"
        self._metrics = metrics
        self._generation = generation
        self._clock = clock
        self._workers: dict[str, dict[str, Any]] = {}
        """What each tells of this moment."""
        self._turn = Lock()
        self._is_restored = False

    async def run(self) -> None:
        """Count until cancelled."""
        kept = 0.0
        while True:
            await asyncio.to_thread(self.collect)
            if time.monotonic() - kept > KEEP_EVERY:
                kept = time.monotonic()
                await asyncio.to_thread(self._keep)
            await asyncio.sleep(EVERY)

    def collect(self) -> None:
        """Ask everybody now."""
        with self._turn:
            reports = self._fleet.counters(self.totals.versions())
            self.series.begin(self._clock())
            if not self._is_restored:
                self._is_restored = True
                self._restore(set(reports))
            self.totals.take(reports, self.series.grow)
            self._workers = reports

    def _restore(self, alive: set[str]) -> None:
        """Go on from what the process before has left, if its workers still serve."""
        try:
            self.totals.restore(self._file.read_bytes(), alive)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("counting begins anew: %s: %s", self._file, error)

    def _keep(self) -> None:
        try:
            write(self._file, self.totals.encode())
        except OSError as error:
            log.warning("the sums are not kept: %s", error)

    # For others

    def minutes(self, app: str | None) -> list[Minute]:
        """See `Series.minutes`."""
        return self.series.minutes(app)

    percentile = staticmethod(percentile)

    def encode(self) -> bytes:
        """Everything, as it is scraped; asks the workers first."""
        self.collect()
        gauges = [
            family("edge_connections", "Open.", self._connections(), "gauge"),
            family(
                "edge_cache_bytes", "Held by stored answers.", self._sum("cache_bytes"), "gauge"
            ),
            family("edge_generation", "What serves.", [("", self._generation())], "gauge"),
        ]
        text = expose(self.totals) + "".join(gauges)
        return text.encode() + self._metrics.encode()

    def _connections(self) -> Iterator[Sample]:
        for listener in ("http", "https"):
            values = (each["connections"][listener] for each in self._workers.values())
            yield f'{{listener="{listener}"}}', sum(values)

    def _sum(self, name: str) -> list[Sample]:
        return [("", sum(each[name] for each in self._workers.values()))]


def write(file: Path, data: bytes) -> None:
    """Replace a file; not for a power cut, after which nobody needs it."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.replace(file)
