"""
What a worker weighs that has served far more than it may keep: `artifacts` of `scale.py`.

Every file is asked for in turn, so that the memory for stored answers is full and everything makes
room for what comes next; then by chance. What a worker has beyond `cache.memory` is its own: code,
the manifest, buffers, and what the allocator does not give back.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import curves
import processes
import servers
from node import memory_of, peak_of, workers_of
from tables import Figure, at_most, print_table

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

MIB = 1 << 20

LIMIT_MIB = 400
"""What a worker may weigh with a cache of 256 MiB."""


def artifacts(chosen: argparse.Namespace, work: Path) -> None:
    """Memory of a worker that has served `--files` of `--size` bytes."""
    site = work / "site"
    write_artifacts(site, chosen.files, chosen.size)
    server = servers.serve_edge(work, 1, more=f"cache: {{memory: {chosen.memory}MiB}}\n")
    try:
        servers.deployed(server, site, work)
        curves.fill(server, chosen.files)
        figures = list(memory_figures(server, "every file asked once"))
        what = (str(chosen.files), processes.HOST, "/n/%d")
        asked = curves.asking(server, *what)(chosen.seconds).requests
        figures += memory_figures(server, f"{asked:,} more by chance")
    finally:
        server.stop()
    total = chosen.files * chosen.size / MIB
    print_table(
        f"{total:,.0f} MiB in {chosen.files:,} files, {chosen.memory} MiB for the cache", figures
    )


def memory_figures(server: processes.Server, when: str) -> list[Figure]:
    """What the only worker has now, and the most that it ever had."""
    [pid] = workers_of(server)
    rss, peak = memory_of(pid)[1], peak_of(pid)
    return [
        at_most(f"{when}: RSS", rss / MIB, LIMIT_MIB, "MiB"),
        Figure(f"{when}: highest RSS so far", f"{peak / MIB:,.2f} MiB"),
    ]


def write_artifacts(site: Path, count: int, size: int) -> None:
    """Files that no coding makes smaller, and that no two of them share."""
    source = random.Random(20260727)
    (site / "n").mkdir(parents=True)
    for number in range(count):
        (site / "n" / str(number)).write_bytes(source.randbytes(size))
    (site / "1kb.bin").write_bytes(source.randbytes(1024))
    (site / "index.html").write_text("<!doctype html><title>bench</title>\n")
