"""
Does a node grow? Mixed traffic, and changes beside it, for as long as one has time for.

    python bench/soak.py --minutes 30
    python bench/soak.py --minutes 5 --json soak.json

Clients and origin are threads of this process (`traffic.py`, `upkeep.py`), the node is a real one
of two workers. What is counted is seen from outside (`watching.py`), and judged by `slopes.py`.
Ends with 1 where something grows or there was a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

import watching
from traffic import Crowd, Scene
from upkeep import Upkeep, prepare, settings_of

from tests.support import eventually, running
from tests.support_origin import originating

if TYPE_CHECKING:
    from slopes import Trend

    from tests.support import Node

INTERVAL_S = 3.0
"""From one sample to the next."""


def main() -> int:
    """One run; its slopes and faults."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0].strip())
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, help="minutes left out (half)")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds from visit to visit")
    parser.add_argument("--json", type=Path, help="where everything is written, samples too")
    options = parser.parse_args()
    warm_up = options.minutes / 2 if options.warm_up is None else options.warm_up
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as work:
        outcome = soak(Path(work), options.minutes, warm_up, options.pause)
    print_outcome(outcome)
    if options.json:
        options.json.write_text(json.dumps(document_of(outcome), indent=1))
    return int(bool(outcome.faults) or any(map(grows, outcome.trends.values())))


class Outcome:
    """What came of a run."""

    def __init__(self, watch: watching.Watch, warm_up: float, crowd: Crowd, upkeep: Upkeep) -> None:
        self.samples, self.warm_up = watch.samples, warm_up
        self.trends = watch.trends(warm_up)
        self.requests, self.changes = crowd.requests, upkeep.changes
        self.faults = crowd.faults + upkeep.faults + watch.faults
        self.faults.update(f"{name} was replaced" for name in watch.replaced())


def soak(work: Path, minutes: float, warm_up: float, pause_s: float) -> Outcome:
    """Traffic and changes for so long, and what is left open afterwards."""
    with (
        originating() as origin,
        running(work / "node", 2, settings_of(origin), is_secure=True) as node,
    ):
        prepare(origin)
        upkeep = Upkeep(node, origin, 0.5)
        crowd = Crowd(scene_of(node), pause_s)
        upkeep.start()
        watch = watching.Watch(node)
        try:
            look_on(watch, crowd, minutes)
        finally:
            crowd.stop()
            upkeep.stop()
        outcome = Outcome(watch, warm_up, crowd, upkeep)
        outcome.faults += left_open(watch)
    return outcome


def scene_of(node: Node) -> Scene:
    """Clients that trust the node, once it has its certificate."""
    root = node.folder / "var" / "tls" / "internal" / "root.pem"
    eventually(root.exists)
    scene = Scene(node, ssl.create_default_context(cafile=root), context_h2(root))
    eventually(lambda: is_secure(scene))
    return scene


def context_h2(root: Path) -> ssl.SSLContext:
    """A client's that speaks HTTP/2 alone."""
    context = ssl.create_default_context(cafile=root)
    context.set_alpn_protocols(["h2"])
    return context


def is_secure(scene: Scene) -> bool:
    """Whether the host has its certificate by now."""
    try:
        scene.secure(scene.context).close()
    except OSError:
        return False
    return True


def look_on(watch: watching.Watch, crowd: Crowd, minutes: float) -> None:
    """Samples until the time is over, and a line a minute."""
    told = 0
    while (now := (time.monotonic() - watch.began) / 60) < minutes:
        values = watch.look()
        if int(now) > told:
            told = int(now)
            print_minute(told, values, crowd)
        time.sleep(INTERVAL_S)


def left_open(watch: watching.Watch) -> Counter[str]:
    """Connections that the node still has once every client has gone."""
    series = ("connections", "node")
    try:
        eventually(lambda: watch.look()[series] == 0)
    except AssertionError:
        return Counter({"connections left open": int(watch.look()[series])})
    return Counter()


# What is told


def print_minute(minute: int, values: dict[watching.Series, float], crowd: Crowd) -> None:
    """One line."""
    memory = (
        f"{name} {value / 1024:.1f}" for (what, name), value in values.items() if what == "rss"
    )
    counts = (
        f"{what} {sum(value for (kind, _), value in values.items() if kind == what):.0f}"
        for what in ("fds", "threads", "tasks", "connections", "stored")
    )
    faults = sum(crowd.faults.values())
    print(
        f"{minute:4} min  {sum(crowd.requests.values()):,} requests, {faults} faults; "
        f"RSS in MiB: {', '.join(memory)}; {', '.join(counts)}",
        flush=True,
    )


def print_outcome(outcome: Outcome) -> None:
    """A line for each series, then what was asked for and what went wrong."""
    print(f"\nslopes after {outcome.warm_up:.1f} min, by least squares, ± a standard error:")
    for series, trend in outcome.trends.items():
        print(line_of(series, trend))
    for title in ("requests", "changes", "faults"):
        counts: Counter[str] = getattr(outcome, title)
        told = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
        print(f"{title}: {sum(counts.values()):,} ({told or 'none'})")


def line_of(series: watching.Series, trend: Trend) -> str:
    """What a series does."""
    what, whom = series
    unit = watching.unit_of(series)
    slope = f"{trend.slope:+9.2f} ± {trend.error:.2f} {unit}/min"
    return f"{what:12} {whom:9} {slope:34} mean {trend.mean:10,.1f}  {trend.verdict}"


def grows(trend: Trend) -> bool:
    """Whether that is what is said of it."""
    return trend.verdict == "grows"


def document_of(outcome: Outcome) -> dict[str, object]:
    """The same for programs."""
    return {
        "warm_up": outcome.warm_up,
        "trends": {
            f"{what} {whom}": asdict(trend) | {"unit": watching.unit_of((what, whom))}
            for (what, whom), trend in outcome.trends.items()
        },
        "requests": outcome.requests,
        "changes": outcome.changes,
        "faults": outcome.faults,
        "samples": [
            {"minutes": at} | {f"{what} {whom}": value for (what, whom), value in values.items()}
            for at, values in outcome.samples
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
