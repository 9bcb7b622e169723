"""
How much more two workers answer than one: part of `scale.py`.

On a machine of two cores the generator takes a part of what the second worker should have, so the
clock says little. What is compared is requests for a second of the **busiest worker's core**: with
a core for each worker and the generator elsewhere, the busiest one is the limit. Two things can
make it less than twice that of one worker: that a request costs more because there is another
worker, and that the kernel gives one of them more connections than the other. Both are in it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import contents
import logs
import processes
import servers
from generators import Errand
from node import workers_of
from scenarios import KIB, Scenario
from tables import Figure, at_least, print_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from processes import Server

AIM = 1.8
"""Two workers over one."""


@dataclass(frozen=True, slots=True)
class Share:
    """One run against a node."""

    requests: int
    rate: float
    """Requests a second, by the clock."""
    cpu_s: tuple[float, ...]
    """Processor seconds of each worker."""

    @property
    def by_busiest(self) -> float:
        """Requests for a second of the core of the worker that had most to do."""
        return self.requests / max(*self.cpu_s, 0.01)

    @property
    def evenness(self) -> float:
        """Work of the average worker over that of the busiest one: 1 where all have the same."""
        return sum(self.cpu_s) / len(self.cpu_s) / max(*self.cpu_s, 0.01)


def workers(chosen: argparse.Namespace, _: Path) -> None:
    """Throughput of 1 KB with one worker and with more, by what the workers' cores gave."""
    where = processes.memory_backed()
    title = f"{chosen.workers} workers beside one, {chosen.connections} connections, medians"
    for name, serve in (("edge", serve_edge), ("nginx", serve_nginx)):
        if name != "edge" and not servers.is_installed(name):
            continue
        with tempfile.TemporaryDirectory(prefix="edge-workers-", dir=where) as folder:
            rounds = measured(chosen, Path(folder), serve)
        aim = AIM if name == "edge" and chosen.workers == 2 else 0.0
        print_table(f"{name}: {title}", list(figures_of(rounds, chosen.workers, aim)))


def measured(
    chosen: argparse.Namespace, work: Path, serve: Callable[[Path, Path, int], Server]
) -> list[tuple[Share, Share]]:
    """Round by round, what one worker did and what more did."""
    scenario = Scenario("workers", "/1kb.bin", KIB, connections=chosen.connections)
    site = contents.write_site(work / "site", [scenario])
    errand = Errand(scenario, work)
    one, many = serve(site, work / "one", 1), None
    try:
        many = serve(site, work / "many", chosen.workers)
        for server in (one, many):
            errand.run(server, 1.0)
        return [
            (share(errand, one, chosen.seconds), share(errand, many, chosen.seconds))
            for _ in range(chosen.rounds)
        ]
    finally:
        for server in filter(None, (one, many)):
            server.stop()


def core_of(count: int) -> int | None:
    """One worker has the server's core, more have all of them."""
    return processes.SERVER_CORE if count == 1 else None


def serve_nginx(site: Path, work: Path, count: int) -> Server:
    """nginx: what the machine makes of two workers, Edge's share set aside."""
    work.mkdir()
    return servers.start_nginx(site, work, core_of(count), count)


def serve_edge(site: Path, work: Path, count: int) -> Server:
    """A node."""
    work.mkdir()
    core = core_of(count)
    server = servers.serve_edge(work, count, core, f"limits: {{{servers.ENDLESS}}}\n")
    return servers.deployed(server, site, work)


def share(errand: Errand, server: Server, seconds: float) -> Share:
    """One run, and what each worker gave for it; the log begins anew."""
    logs.emptied(server)
    pids = workers_of(server)
    before = [processes.cpu_seconds_of([pid]) for pid in pids]
    run = errand.run(server, seconds)
    after = [processes.cpu_seconds_of([pid]) for pid in pids]
    spent = tuple(late - early for early, late in zip(before, after, strict=True))
    return Share(run.requests, run.rate, spent)


def figures_of(rounds: list[tuple[Share, Share]], count: int, aim: float) -> Iterator[Figure]:
    """What is printed of the rounds, each with its run of one worker and of `count`."""
    ones, manies = zip(*rounds, strict=True)
    yield Figure("one worker: by the clock", f"{median(each.rate for each in ones):,.0f} /s")
    yield Figure("for a second of its core", f"{median(each.by_busiest for each in ones):,.0f}")
    yield Figure(f"{count} workers: by the clock", f"{median(e.rate for e in manies):,.0f} /s")
    busiest = median(each.by_busiest for each in manies)
    yield Figure("for a second of the busiest one's core", f"{busiest:,.0f}")
    yield Figure("evenness of their work", f"{median(each.evenness for each in manies):.0%}")
    ratio = median(many.by_busiest / one.by_busiest for one, many in rounds)
    yield at_least(f"{count} workers ÷ one, by the busiest core", ratio, aim)
