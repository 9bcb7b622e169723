"""
How long a reload of a large node takes, until every worker serves it; and a scrape of it.

    python bench/reload.py one               1,000 apps of 10 rules: one changes, or none does
    python bench/reload.py one --apps 20 --reloads 5      the same, small: does it work at all?

Everything lives in a temporary folder and goes with it.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import processes
import servers
from commands import add_command, make_parser, run
from node import Admin
from processes import NotStarted
from rulesets import write_rules
from tables import Figure, at_most, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from processes import Server


def one(chosen: argparse.Namespace, work: Path) -> None:
    """Reloads of which each changes a rule of one app, then reloads that change nothing."""
    for number in range(chosen.apps):
        write_rules(work / "rules", name_of(number), chosen.rules)
        (work / "rules" / name_of(number) / "app.yml").write_text("production_branch: main\n")
    server = servers.serve_edge(work, chosen.workers, core=None)
    try:
        admin = Admin(server)
        for number in range(chosen.apps):
            admin.deploy(name_of(number), "main", {"index.html": b"<!doctype html>\n"})

        def change(turn: int) -> None:
            write_rules(work / "rules", name_of(turn % chosen.apps), chosen.rules + 1 + turn % 2)

        reload = partial(admin.post, "/v1/reload")
        rehearse = partial(admin.post, "/v1/reload?dry_run=1")
        figures = [
            *timed("one app changed", chosen.reloads, reload, change, 500),
            *timed("nothing changed", chosen.reloads, reload),
            *timed("a dry run", chosen.reloads, rehearse, change),
        ]
        for number in range(chosen.apps):
            host = f"main.{name_of(number)}.edge.localhost"
            processes.fetch(server.port, "/", {"Host": host})
        figures += timed(
            "a scrape, every app asked", chosen.reloads, lambda: scrape(server), most=50
        )
    finally:
        server.stop()
    title = f"{chosen.apps:,} apps of {chosen.rules} rules, {chosen.workers} workers"
    print_table(f"{title}, {chosen.reloads} reloads each", figures)


def name_of(number: int) -> str:
    """A DNS label."""
    return f"app-{number:04}"


def timed(
    what: str,
    count: int,
    ask: Callable[[], object],
    change: Callable[[int], None] = lambda _: None,
    most: float | None = None,
) -> Iterator[Figure]:
    """Median and p99 of the API's answers, which come after the last worker's."""
    times = []
    for turn in range(count):
        change(turn)
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    yield Figure(f"{what}: median", f"{times[len(times) // 2]:,.1f} ms")
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    name = f"{what}: p99"
    yield at_most(name, p99, most, "ms") if most else Figure(name, f"{p99:,.1f} ms")


def scrape(server: Server) -> None:
    """What Prometheus asks for."""
    if processes.fetch(server.admin_port, "/metrics", {"Host": "localhost"}).status != 200:
        raise NotStarted("/metrics is not answered")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser, commands = make_parser(__doc__)
    add_command(commands, "one", one, apps=1_000, rules=10, reloads=300, workers=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(parse_arguments()))
