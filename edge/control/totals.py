"""
What all workers have counted, those that are gone too: exact sums that only grow.

Laws: a worker tells its own sums since its start; what they have grown by is added here, once, so
that a worker that dies takes only what it had not told yet. A document of them outlives this
process: as long as a worker lives that it knew, the next one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from edge.node.counters import LATENCY_BOUNDS
from edge.site.decoding import decode_json

CLASSES: Final = slice(0, 6)
DOWN: Final = 6
UP: Final = 7
LATENCY: Final = slice(8, 8 + len(LATENCY_BOUNDS) + 1)
SECONDS: Final = LATENCY.stop
WIDTH: Final = SECONDS + 1
"""Where the numbers of a branch are in their row."""

Names = tuple[str, ...]
Report = dict[str, Any]
"""What a worker tells (`Machine.numbers`)."""

Grown = Callable[[str, list[float], float], None]
"""Is told an app, what one of its rows has grown by, and how many answers came of the store."""

HITS: Final = frozenset(("hit", "stale", "revalidated"))
"""Verdicts of answers whose content was stored."""

KINDS: Final = ("verdicts", "refused", "origins", "rules", "log", "handshakes", "spans")
"""Counts besides those of branches, each by its names."""


class Known(msgspec.Struct):
    """What one worker has told last."""

    branches: dict[str, list[float]] = {}
    counts: dict[str, float] = {}
    is_draining: bool = False
    version: int = 0
    """Of its numbers: it is asked for what has grown since."""


class Kept(msgspec.Struct):
    """The document."""

    branches: list[tuple[Names, list[float]]]
    counts: dict[str, list[tuple[Names, float]]]
    restarts: int
    workers: dict[str, Known]


class Totals:
    """The sums of one node."""

    def __init__(self) -> None:
        self.branches: dict[Names, list[float]] = {}
        """By app and branch; both empty for what belongs to none."""
        self.counts: dict[str, dict[Names, float]] = {kind: {} for kind in KINDS}
        self.restarts = 0
        """Workers that ended without having been told to."""
        self._workers: dict[str, Known] = {}

    def versions(self) -> dict[str, int]:
        """What is known of each worker."""
        return {name: known.version for name, known in self._workers.items()}

    def take(self, reports: Mapping[str, Report], grown: Grown) -> None:
        """What the living workers tell, by the name of each; `grown` hears what is new."""
        for gone in self._workers.keys() - reports.keys():
            self.restarts += not self._workers.pop(gone).is_draining
        for name, report in reports.items():
            known = self._workers.setdefault(name, Known())
            known.is_draining, known.version = report["draining"], report["version"]
            for kind, counts in counts_of(report).items():
                for names, count in counts:
                    self._count(known, kind, names, count)
            for told in report["branches"]:
                self._take_branch(known, told, grown)

    def _take_branch(self, known: Known, told: Report, grown: Grown) -> None:
        names = told["app"], told["branch"]
        row = [*told["classes"], told["bytes_down"], told["bytes_up"], *told["latency"]]
        row.append(told["seconds"])
        key = "\n".join(names)
        before = known.branches.get(key)
        known.branches[key] = row
        new = row if before is None else [a - b for a, b in zip(row, before, strict=True)]
        total = self.branches.get(names)
        self.branches[names] = (
            list(new) if total is None else [a + b for a, b in zip(total, new, strict=True)]
        )
        hits = 0.0
        for verdict, count in told["verdicts"].items():
            if verdict:
                more = self._count(known, "verdicts", (*names, verdict), count)
                hits += more if verdict in HITS else 0
        grown(names[0], new, hits)

    def _count(self, known: Known, kind: str, names: Names, count: float) -> float:
        """Add what a count has grown by; that is returned."""
        key = "\n".join((kind, *names))
        sums = self.counts[kind]
        new = count - known.counts.get(key, 0)
        if new or names not in sums:
            known.counts[key] = count
            sums[names] = sums.get(names, 0) + new
        return new

    # For the next process

    def encode(self) -> bytes:
        """All of it, as a document."""
        counts = {kind: list(sums.items()) for kind, sums in self.counts.items()}
        kept = Kept(list(self.branches.items()), counts, self.restarts, self._workers)
        return msgspec.json.encode(kept)

    def restore(self, document: bytes, alive: Collection[str]) -> bool:
        """
        Go on from a document, if one of its workers is still alive; whether it was so.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        kept = decode_json(document, Kept)
        if not kept.workers.keys() & alive:
            return False
        self.branches = {tuple(names): row for names, row in kept.branches}
        for kind, sums in kept.counts.items():
            if kind in self.counts:
                self.counts[kind] = {tuple(names): count for names, count in sums}
        self.restarts, self._workers = kept.restarts, kept.workers
        return True


def counts_of(report: Report) -> dict[str, list[tuple[Names, float]]]:
    """The counts of a report, each by its names."""
    return {
        "refused": [((reason,), count) for reason, count in report["refused"].items()],
        "origins": [(tuple(names), count) for *names, count in report["origins"]],
        "rules": [(tuple(names), count) for *names, count in report["rules"]],
        "handshakes": [((result,), count) for result, count in report["handshakes"].items()],
        "log": [((), report["log_dropped"])],
        "spans": [((), report.get("spans_dropped", 0))],  # of a worker that may be older
    }
