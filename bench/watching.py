"""A node that runs, from outside: what each of its processes holds, and what it says of itself."""

from __future__ import annotations

import http.client
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import node as bench_node
import processes
import slopes

from edge.node import orders

if TYPE_CHECKING:
    from tests.support import Node

    Series = tuple[str, str]
    """(what, of whom)."""

UNITS = {"rss": "KiB", "fds": "fds", "threads": "threads", "tasks": "tasks"}
OF_THE_NODE = {
    "processes": "processes",
    "connections": "connections",
    "stored": "KiB",
}
SHARE = 0.01
"""Of its mean, by which memory may have changed at the end without being called a slope."""

POOL = min(32, (os.cpu_count() or 1) + 4)
"""Threads of a loop's pool (`asyncio.to_thread`): it makes one when all are busy, and keeps it."""


class Watch:
    """All samples of a node."""

    def __init__(self, node: Node) -> None:
        self.began = time.monotonic()
        self.samples: list[tuple[float, dict[Series, float]]] = []
        """(minutes, values)."""
        self.faults: Counter[str] = Counter()
        self._node = node
        self._pids = pids_of(node)

    def look(self) -> dict[Series, float]:
        """One sample; the last one again, and a fault, where the node does not answer."""
        minutes = (time.monotonic() - self.began) / 60
        try:
            values = {
                (what, name): value
                for name, pid in self._pids.items()
                for what, value in self._held(name, pid).items()
            }
            values |= {(what, "node"): value for what, value in self._of_the_node().items()}
        except (OSError, http.client.HTTPException) as error:
            if not self.samples:
                raise
            self.faults[f"a sample: {type(error).__name__} {error}"] += 1
            return self.samples[-1][1]
        self.samples.append((minutes, values))
        return values

    def _held(self, name: str, pid: int) -> dict[str, float]:
        """What a process holds, and the tasks of its loop where it has one."""
        kind = name.partition(" ")[0]
        place = self._node.folder / "var" / "run" / f"{kind}-{pid}.sock"
        tasks = {} if kind == "parent" else {"tasks": tasks_at(place)}
        return holdings(pid) | tasks

    def _of_the_node(self) -> dict[str, float]:
        assert self._node.process is not None
        text = self._node.admin("GET", "/metrics")[1]
        return {
            "processes": len(processes.session_of(self._node.process.pid)),
            "connections": metric(text, "edge_connections"),
            "stored": metric(text, "edge_cache_bytes") / 1024,
        }

    def replaced(self) -> list[str]:
        """Processes that are not the ones that began."""
        now = pids_of(self._node)
        return sorted(name for name, pid in self._pids.items() if now.get(name) != pid)

    def trends(self, warm_up: float) -> dict[Series, slopes.Trend]:
        """What each series does after so many minutes; nothing where that leaves too few."""
        kept = [sample for sample in self.samples if sample[0] >= warm_up]
        if len(kept) < 3:
            return {}
        return {
            series: judge(series, [(at, values[series]) for at, values in kept])
            for series in kept[0][1]
        }


def judge(series: Series, points: list[slopes.Point]) -> slopes.Trend:
    """The trend of a series, and whether it grows by more than it may."""
    return slopes.judge(points, tolerance_of(series, slopes.mean([value for _, value in points])))


def tolerance_of(series: Series, level: float) -> float:
    """What a series may change by: memory by a hundredth, threads by a pool, what else by one."""
    if unit_of(series) == "KiB":
        return SHARE * level
    return POOL if series[0] == "threads" else 1.0


def unit_of(series: Series) -> str:
    """What a series is counted in."""
    return (UNITS | OF_THE_NODE)[series[0]]


def pids_of(node: Node) -> dict[str, int]:
    """The node's lasting processes by name."""
    assert node.process is not None
    workers = enumerate(node.pids("worker"), 1)
    [control] = node.pids("control")
    found = {"parent": node.process.pid, "control": control}
    return found | {f"worker {number}": pid for number, pid in workers}


def holdings(pid: int) -> dict[str, float]:
    """RSS in KiB, open descriptors and threads of a process; zeros once it is gone."""
    return {
        "rss": bench_node.memory_of(pid)[1] / 1024,
        "fds": entries(Path(f"/proc/{pid}/fd")),
        "threads": entries(Path(f"/proc/{pid}/task")),
    }


def tasks_at(place: Path) -> float:
    """Tasks of the process that takes orders there; 0 once it is gone."""
    return float(orders.ask(place, {"do": "status"})["tasks"]) if place.exists() else 0.0


def entries(folder: Path) -> int:
    """How many a folder has; 0 where there is none."""
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return 0


def metric(text: str, name: str) -> float:
    """The sum of a metric's lines in the text format of Prometheus, whatever their labels."""
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))
