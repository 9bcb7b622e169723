"""
The workers, as control sees them: ask all at once, replace the silent.

Laws: a worker has no veto by silence; one that does not answer in time is killed, and the parent
starts another, which loads what is current. One that says no, says why, and is heard.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.errors import StoreError
from edge.node import orders
from edge.node.orders import Reply

log = logging.getLogger("edge.fleet")

DEADLINE = 5.0
"""Seconds a worker may take to load a generation (design.md)."""


class Fleet:
    """Every worker that listens in `run/`, orphans of an earlier parent included."""

    def __init__(self, run: Path, deadline_s: float = DEADLINE) -> None:
        self._run = run
        self.deadline_s = deadline_s
        """Seconds that a worker may take for one order."""

    def load(self, number: int) -> None:
        """
        Have every worker load a generation.

        Raises:
            StoreError: a worker refuses it, with its reason.
        """
        for reply in self._order({"do": "load", "generation": number}):
            if "error" in reply:
                raise StoreError(f"a worker refused generation {number}: {reply['error']}")

    def swap(self, number: int) -> None:
        """Have every worker serve a generation; those born meanwhile too."""
        self._order({"do": "swap", "generation": number})

    def status(self) -> list[Reply]:
        """What each worker is doing."""
        return [reply for reply in self._order({"do": "status"}) if "error" not in reply]

    def hits(self) -> dict[str, dict[str, int]]:
        """Requests by app and rule, on all workers since the last time."""
        total: dict[str, dict[str, int]] = {}
        for reply in self._order({"do": "hits"}):
            for app, counts in reply.get("hits", {}).items():
                known = total.setdefault(app, {})
                for key, count in counts.items():
                    known[key] = known.get(key, 0) + count
        return total

    def counters(self, since: Mapping[str, int]) -> dict[str, Reply]:
        """
        What each worker has counted since its start, by a name that no other one has.

        Of all that may be many, what has grown since the version that is known of it.
        """
        replies = self._order({"do": "counters", "since": dict(since)})
        told = [reply["counters"] for reply in replies if "counters" in reply]
        return {each["name"]: each for each in told}

    def stored(self, app: str, url: str) -> list[Reply]:
        """What each worker has stored of a URL of an origin, or why not."""
        replies = self._order({"do": "stored", "app": app, "url": url})
        return [reply for reply in replies if "error" not in reply]

    def purge(self, order: Reply) -> int:
        """
        Have every worker forget what an order names; how many stored responses they were.

        Twice: before its owner had let go of it, another may have made a copy.
        """
        replies = self._order(order)
        self._order(order)
        return sum(reply.get("purged", 0) for reply in replies)

    def tls(self) -> list[Reply]:
        """Have every worker read the certificates and the answers to authorities anew."""
        return self._order({"do": "tls"})

    def _order(self, order: Reply) -> list[Reply]:
        workers = orders.peers(self._run, "worker")
        if not workers:
            return []
        with ThreadPoolExecutor(len(workers)) as pool:
            replies = pool.map(lambda worker: self._ask(worker[0], worker[1], order), workers)
            return [reply for reply in replies if reply is not None]

    def _ask(self, pid: int, path: Path, order: Reply) -> Reply | None:
        try:
            return orders.ask(path, order, self.deadline_s)
        except TimeoutError:
            log.error("worker %s was silent for %s s and is replaced", pid, self.deadline_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        except OSError as error:
            log.warning("worker %s does not answer (%s); it is ending", pid, error)
        return None
