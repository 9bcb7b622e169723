"""
What a request costs as a node grows: parts of `scale.py`, each of which prints and draws a curve.

The cost is the worker's processor time for a request (1 KB, HTTP/1.1), since the clock is also the
generator's: that needs longer to choose among 100,000 hosts. Where it is flat, a large node is as
quick as a small one. The SVG is written into the current folder.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import contents
import figures
import gateways
import generators
import logs
import processes
import servers
from commands import raise_file_limit
from drawing import svg
from generators import Errand
from node import Admin, workers_of
from rulesets import write_rules
from scenarios import KIB, Scenario
from tables import Figure, at_most, print_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from processes import Server

    Load = Callable[[float], figures.Run]
    Curve = list[tuple[float, float]]

FLAT = 1.15
"""How much dearer the last point may be than the first: less cannot be told from noise."""

MANY = str(generators.HERE / "many.lua")

FILE = Scenario("curve", "/1kb.bin", KIB)

HOSTS_OF_AN_APP = 10_000
"""An `app.yml` has room for 1 MiB."""


def steps(most: int, least: int = 1) -> list[int]:
    """`least` times every power of ten, to `most`."""
    found = [least]
    while found[-1] * 10 < most:
        found.append(found[-1] * 10)
    return [*found, most] if most > least else found


# One for each thing that may be many


def curve_rules(chosen: argparse.Namespace, _: Path) -> None:
    """What a request costs beside 1 … `--most` rules of every kind, none of them about it."""
    with folder() as work, node(work) as server:
        points: Curve = []
        for count in steps(chosen.most):
            write_rules(work / "rules", "bench", count)
            Admin(server).post("/v1/reload")
            points.append((count, cost_us(server, lambda s: one_file(server, s), chosen)))
    show("rules", "rules of the app", points)


def curve_hosts(chosen: argparse.Namespace, _: Path) -> None:
    """What a request costs when 1 … `--most` hosts are asked for, by chance."""
    with folder() as work, node(work) as server:
        points: Curve = []
        admin, files = Admin(server), {"1kb.bin": (work / "site/1kb.bin").read_bytes()}
        for count in steps(chosen.most):
            apps = write_hosts(work / "rules", count)
            admin.post("/v1/reload")
            for app in apps:
                admin.deploy(app, "main", files)
            what = (str(count), "h%d.example", "/1kb.bin")
            points.append((count, cost_us(server, asking(server, *what), chosen)))
    show("hosts", "hosts, asked for by chance", points)


def curve_stored(chosen: argparse.Namespace, _: Path) -> None:
    """What a hit costs when 1 … `--most` answers of an origin are stored, by chance."""
    with folder() as work, origin(work) as origin_port, proxy(work, origin_port) as server:
        points: Curve = []
        for count in steps(chosen.most):
            fill(server, count)
            what = (str(count), processes.HOST, "/n/%d")
            points.append((count, cost_us(server, asking(server, *what), chosen)))
    show("stored", "stored answers, asked for by chance", points)


def curve_connections(chosen: argparse.Namespace, _: Path) -> None:
    """What a request costs when 64 … `--most` connections ask again and again; nginx beside."""
    raise_file_limit(chosen.most + 1_000)
    with folder() as work, node(work, f"connections: {chosen.most + 100}") as server:
        points = over_connections(server, work, chosen)
    if servers.is_installed("nginx"):
        with folder() as work, nginx(work) as server:
            print("  nginx:")
            show(
                "connections-nginx", "connections to nginx", over_connections(server, work, chosen)
            )
    show("connections", "connections", points)


def over_connections(server: Server, work: Path, chosen: argparse.Namespace) -> Curve:
    """The cost at each number of them."""
    loads = [
        (count, Errand(Scenario("curve", "/1kb.bin", KIB, connections=count), work))
        for count in steps(chosen.most, 64)
    ]
    return [
        (count, cost_us(server, lambda s, load=load: load.run(server, s), chosen))
        for count, load in loads
    ]


# What is measured


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Where all of it lies: in memory where that can be."""
    where = processes.memory_backed()
    with tempfile.TemporaryDirectory(prefix="edge-curve-", dir=where) as name:
        yield Path(name)


@contextlib.contextmanager
def node(work: Path, limits: str = "") -> Iterator[Server]:
    """One worker on its core, which serves a file of 1 KB."""
    site = contents.write_site(work / "site", [FILE])
    more = f"limits: {{{', '.join(filter(None, (servers.ENDLESS, limits)))}}}\n"
    server = servers.serve_edge(work, 1, more=more)
    try:
        yield servers.deployed(server, site, work)
    finally:
        server.stop()


@contextlib.contextmanager
def nginx(work: Path) -> Iterator[Server]:
    """One worker of nginx, which serves the same."""
    server = servers.start_nginx(contents.write_site(work / "site", [FILE]), work)
    try:
        yield server
    finally:
        server.stop()


def write_hosts(rules: Path, count: int) -> list[str]:
    """So many domains, each app's of one branch; the names of the apps."""
    apps = []
    for first in range(0, count, HOSTS_OF_AN_APP):
        hosts = range(first, min(count, first + HOSTS_OF_AN_APP))
        names = {f"h{number}.example": {"subdomains": {"": "main"}} for number in hosts}
        app = rules / f"bench-{len(apps)}"
        app.mkdir(parents=True, exist_ok=True)
        (app / "app.yml").write_text(json.dumps({"production_branch": "main", "domains": names}))
        apps.append(app.name)
    return apps


ORIGIN = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        access_log off;
        default_type text/plain;
        location /n/ {{
            add_header Cache-Control "public, max-age=86400";
            return 200 "{content}";
        }}
        location = /1kb.bin {{ return 200; }}
    }}
"""


@contextlib.contextmanager
def origin(work: Path) -> Iterator[int]:
    """The port of an nginx whose every answer may be stored for a day."""
    port, place = processes.free_port(), work / "origin"
    place.mkdir()
    inside = ORIGIN.format(port=port, content="x" * KIB)
    server = servers.run_nginx(inside, place, port, processes.GENERATOR_CORE)
    try:
        yield port
    finally:
        server.stop()


@contextlib.contextmanager
def proxy(work: Path, origin_port: int) -> Iterator[Server]:
    """One worker before the origin, with room for all that it gives."""
    place = work / "edge"
    place.mkdir()
    cache = "cache: {memory: 12GiB}\n"
    limits = f"{servers.ENDLESS}, memory: 0"
    server = gateways.serve_edge(origin_port, place, 1, limits=limits, more=cache)
    try:
        yield server
    finally:
        server.stop()


def fill(server: Server, count: int) -> None:
    """
    Ask twice for everything that is to be stored, some seconds of load at a time.

    Once to have it stored, once to have the way to it known.
    """
    asked, load = 0, 1.0 if count < 100_000 else 5.0
    while asked < 2 * count:
        what = (str(count), processes.HOST, "/n/%d", str(asked % count))
        asked += asking(server, *what)(load).requests
        logs.emptied(server)


def asking(server: Server, *what: str) -> Load:
    """A load of `many.lua`."""
    url = f"http://127.0.0.1:{server.port}/"
    return lambda seconds: figures.parse_wrk(
        generators.wrk(FILE, seconds, "-s", MANY, url, "--", *what), KIB
    )


def one_file(server: Server, seconds: float) -> figures.Run:
    """The file itself, again and again."""
    return Errand(FILE, Path()).run(server, seconds)


def cost_us(server: Server, load: Load, chosen: argparse.Namespace) -> float:
    """Microseconds of the worker's processor for a request; the least of the rounds."""
    load(1.0)
    costs = []
    for _ in range(chosen.rounds):
        logs.emptied(server)
        pids = workers_of(server)
        before = processes.cpu_seconds_of(pids)
        run = load(chosen.seconds)
        costs.append((processes.cpu_seconds_of(pids) - before) / run.requests * 1e6)
    print(f"  {min(costs):,.1f} µs", flush=True)
    return min(costs)


def show(name: str, what: str, points: Curve) -> None:
    """Print the curve, and draw it."""
    target = Path(f"curve-{name}.svg")
    title = f"Processor time of a request, by the number of {what}"
    target.write_text(svg(title, what, "µs", points))
    lines = [Figure(f"{int(count):,}", f"{cost:,.1f} µs") for count, cost in points]
    ratio = points[-1][1] / points[0][1]
    print_table(title, [*lines, at_most("the last ÷ the first", ratio, FLAT, "")])
    print(f"\n{target}")
