"""
What a large node costs: memory, start, deployments, idle connections.

    python bench/scale.py fleet              1,000 apps × 10 branches of 20 files: start and memory
    python bench/scale.py deploy             10,000 files of 10 KB: first, unchanged, activation
    python bench/scale.py idle               10,000 idle connections: memory of each
    python bench/scale.py idle-tls           the same over TLS
    python bench/scale.py names              10,000 certificates: start, memory, first handshakes
    python bench/scale.py rules              100,000 rules: how long they load, and their memory
    python bench/scale.py artifacts          1 GiB of files, 256 MiB to keep them: memory
    python bench/scale.py workers            two workers beside one: by what their cores gave
    python bench/scale.py curve-rules        what a request costs beside 1 … 100,000 rules: a curve
    python bench/scale.py fleet --apps 10 --branches 2      the same, small: does it work at all?

Everything lives in a temporary folder and goes with it. Memory is PSS (each shared page divided
among its users) and RSS, from /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import artifacts
import curves
import processes
import secure
import servers
from commands import add_command, make_parser, raise_file_limit, run
from holding import held
from names import names
from node import Admin, memory_of, workers_of
from processes import HOST, NotStarted, Server
from rulesets import write_rules
from tables import Figure, at_most, exactly, print_table
from workers import workers

from edge.node.cache import Cache
from edge.node.loader import Loader
from edge.node.room import Room
from edge.node.trees import Trees
from edge.site.places import Places
from edge.site.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from secure import Certificate

KIB, MIB = 1 << 10, 1 << 20

PROSE = (
    "the node keeps every branch apart and answers with what was deployed last a file is stored "
    "once by its hash whatever it is called <p> </p> <a href= class= section cache field value"
)


def memory_figures(server: Server, when: str, limit: float | None = None) -> Iterator[Figure]:
    """One line for each worker, and one for the rest of the node."""
    workers = workers_of(server)
    for number, pid in enumerate(workers, 1):
        pss, rss = memory_of(pid)
        what = f"worker {number}, {when}: PSS"
        yield (
            at_most(what, pss / MIB, limit, "MiB")
            if limit
            else Figure(what, f"{pss / MIB:,.2f} MiB")
        )
        yield Figure(f"worker {number}, {when}: RSS", f"{rss / MIB:,.2f} MiB")
    others = [pid for pid in processes.session_of(server.process.pid) if pid not in workers]
    total = sum(memory_of(pid)[0] for pid in others)
    yield Figure(f"parent and control, {when}: PSS", f"{total / MIB:,.2f} MiB")


# 1,000 apps × 10 branches


def fleet(chosen: argparse.Namespace, work: Path) -> None:
    """Start and memory of a node with many small apps."""
    for number in range(chosen.apps):
        folder = work / "rules" / app_name(number)
        folder.mkdir(parents=True)
        (folder / "app.yml").write_text("production_branch: main\n")
    server = serve(work, chosen.workers)
    try:
        took = fill(Admin(server), chosen)
    finally:
        server.stop()
    deployed = chosen.apps * chosen.branches
    figures = [Figure("deployments and activations", f"{deployed / took:,.1f} /s")]
    began = time.monotonic()
    server = serve(work, chosen.workers)
    try:
        figures.append(at_most("start until ready", time.monotonic() - began, 3, "s"))
        time.sleep(1)  # what is still being loaded in the background
        figures += memory_figures(server, "just started", limit=100)
        figures += visit(server, chosen)
        figures += memory_figures(server, "every branch asked once", limit=100)
    finally:
        server.stop()
    print_table(
        f"{chosen.apps:,} apps × {chosen.branches} branches of {chosen.files} files", figures
    )


def app_name(number: int) -> str:
    """A DNS label."""
    return f"app-{number:04}"


def branch_name(number: int) -> str:
    """`main`, then previews."""
    return f"pr-{number}" if number else "main"


def fill(admin: Admin, chosen: argparse.Namespace) -> float:
    """Seconds to deploy every branch; the blobs are shared, the paths of each app its own."""
    pool = [f"<!doctype html><title>{number}</title>\n".encode() for number in range(chosen.files)]
    began, told = time.monotonic(), time.monotonic()
    for app in range(chosen.apps):
        files = {f"assets/{app_name(app)}-{n}.html": content for n, content in enumerate(pool[1:])}
        files["index.html"] = pool[0]
        for branch in range(chosen.branches):
            admin.deploy(app_name(app), branch_name(branch), files)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"  {app + 1:,} of {chosen.apps:,} apps, {told - began:,.0f} s", flush=True)
    return time.monotonic() - began


def visit(server: Server, chosen: argparse.Namespace) -> Iterator[Figure]:
    """How long the first request of each branch takes, which is when its manifest is loaded."""
    times = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for app in range(chosen.apps):
        for branch in range(chosen.branches):
            host = f"{branch_name(branch)}.{app_name(app)}.edge.localhost"
            began = time.perf_counter()
            connection.request("GET", "/", headers={"Host": host})
            response = connection.getresponse()
            response.read()
            times.append(time.perf_counter() - began)
            if response.status != 200:
                raise NotStarted(f"http://{host}/ is answered with {response.status}")
    times.sort()
    yield Figure("first request of a branch, median", f"{median(times) * 1000:,.2f} ms")
    yield Figure(
        "first request of a branch, p99", f"{times[len(times) * 99 // 100] * 1000:,.2f} ms"
    )


# 10,000 files


def deploy(chosen: argparse.Namespace, work: Path) -> None:
    """A large deployment: new, unchanged, and going back and forth."""
    site = work / "site"
    write_pages(site, chosen.files, chosen.size)
    server = serve(work, chosen.workers)
    try:
        first = timed_deploy(site, work)
        unchanged = timed_deploy(site, work)
        (site / "index.html").write_text("<!doctype html><title>second</title>\n")
        one_file = timed_deploy(site, work)
        figures = [
            at_most("first time", first, 20, "s"),
            at_most("unchanged", unchanged, 2, "s"),
            Figure("one file changed", f"{one_file:,.2f} s"),
            *activation(server),
        ]
        figures += memory_figures(server, "afterwards")
    finally:
        server.stop()
    print_table(
        f"{chosen.files:,} files of {chosen.size:,} bytes, {chosen.workers} workers", figures
    )


def write_pages(site: Path, count: int, size: int) -> None:
    """Pages of words, so that every coding has its work to do; a hundred to a folder."""
    source, words = random.Random(10_000), PROSE.split()
    for number in range(count - 1):
        folder = site / f"section-{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        prose = " ".join(source.choices(words, k=size // 4))
        text = f"<!doctype html><title>{number}</title>{source.random()}{prose}"
        (folder / f"page-{number:05}.html").write_text(text[:size])
    (site / "index.html").write_text("<!doctype html><title>first</title>\n")


def timed_deploy(site: Path, work: Path) -> float:
    """Seconds of the command, from its start to its end."""
    began = time.monotonic()
    arguments = ("deploy", str(site), "--app", "bench", "--branch", "main")
    servers.edge_command(*arguments, config=work / "edge.yml")
    return time.monotonic() - began


def activation(server: Server) -> Iterator[Figure]:
    """Seconds of an activation, seen from the API, and then by asking until all say the new one."""
    admin = Admin(server)
    listing = admin.get("/v1/apps/bench/branches/main/deployments")
    entries = listing["deployments"] if isinstance(listing, dict) else listing
    newest, *older = [entry["id"] for entry in entries]
    calls, seen = [], []
    for identifier in [older[-1], newest] * 5:
        began = time.monotonic()
        admin.post(f"/v1/deployments/{identifier}/activate")
        calls.append(time.monotonic() - began)
        wait_for_deployment(server, identifier)
        seen.append(time.monotonic() - began)
    yield at_most("activation, longest of ten", max(calls), 1, "s")
    yield at_most("activation, until all workers answer with it", max(seen), 1, "s")


def wait_for_deployment(server: Server, identifier: str, patience_s: float = 10.0) -> None:
    """Return when 20 new connections in a row get `identifier`: they spread over the workers."""
    in_a_row, began = 0, time.monotonic()
    while in_a_row < 20:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("HEAD", "/", headers={"Host": HOST})
        answer = connection.getresponse().getheader("X-Edge-Deployment")
        connection.close()
        in_a_row = in_a_row + 1 if answer == identifier else 0
        if time.monotonic() - began > patience_s:
            raise NotStarted(f"still {answer} after activating {identifier}")


# 10,000 idle connections


def idle(chosen: argparse.Namespace, work: Path) -> None:
    """What a connection costs that has had one answer and now waits."""
    raise_file_limit(chosen.connections + 1_000)
    server = serve(work, 1)
    title = f"{chosen.connections:,} idle HTTP/1.1 connections, one worker"
    print_table(title, list(idle_figures(server, chosen.connections, 8)))


def idle_tls(chosen: argparse.Namespace, work: Path) -> None:
    """The same over TLS: 1.3, HTTP/1.1, a certificate on P-256."""
    raise_file_limit(chosen.connections + 1_000)
    certificate = secure.make_certificate(work)
    # The first one has to wait for the handshakes of all others.
    server = secure.serve_edge(work, certificate, core=None, limits="keep_alive: 30m")
    title = f"{chosen.connections:,} idle HTTP/1.1 connections over TLS, one worker"
    print_table(title, list(idle_figures(server, chosen.connections, 40, certificate)))


def idle_figures(
    server: Server, connections: int, limit: float, certificate: Certificate | None = None
) -> Iterator[Figure]:
    """Memory of a node's one worker before and with connections; stops the node."""
    port = server.tls_port if certificate else server.port
    trusted = certificate.chain if certificate else None
    try:
        deploy_page(server)
        with held(port, min(100, connections), trusted):
            pass  # what the first connections allocate once, for all that follow
        time.sleep(1)
        [worker] = workers_of(server)
        before = memory_of(worker)[1]
        with held(port, connections, trusted) as survivors:
            time.sleep(1)
            during = memory_of(worker)[1]
            alive = survivors()
    finally:
        server.stop()
    yield at_most("RSS of each", (during - before) / connections / KIB, limit, "KiB")
    yield Figure("RSS of the worker before", f"{before / MIB:,.2f} MiB")
    yield Figure("RSS of the worker with all", f"{during / MIB:,.2f} MiB")
    yield exactly("still open when measured", alive, connections)


def deploy_page(server: Server) -> None:
    """One page for `HOST`."""
    page = b"<!doctype html><title>idle</title>\n"
    Admin(server).deploy("bench", "main", {"index.html": page})


# 100,000 rules


def rules(chosen: argparse.Namespace, work: Path) -> None:
    """How long rules take to be checked and to serve on every worker, and what they weigh."""
    site = work / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>rules</title>\n")
    server = serve(work, chosen.workers)
    try:
        timed_deploy(site, work)
        before = [memory_of(pid)[1] for pid in workers_of(server)]
        write_rules(work / "rules", "bench", chosen.rules)
        reloaded = timed_reload(server)
        after = [memory_of(pid)[1] for pid in workers_of(server)]
        unchanged = timed_reload(server)
        redeployed = timed_deploy(site, work)
        load = timed_load(work)
    finally:
        server.stop()
    grown = max(late - early for early, late in zip(before, after, strict=True)) / MIB
    figures = [
        at_most("loading them in a worker", load, 2, "s"),
        at_most("RSS of a worker, grown by", grown, 150, "MiB"),
        Figure("reload: read, check, compile, serve", f"{reloaded:,.2f} s"),
        Figure("reload with nothing changed", f"{unchanged:,.2f} s"),
        Figure("a deploy beside them", f"{redeployed:,.2f} s"),
    ]
    print_table(f"{chosen.rules:,} rules, {chosen.workers} workers", figures)


def timed_reload(server: Server) -> float:
    """Seconds of a reload until every worker serves it."""
    began = time.monotonic()
    Admin(server).post("/v1/reload")
    return time.monotonic() - began


def timed_load(work: Path) -> float:
    """Seconds that the loader of a worker takes for what serves, in a process of its own."""
    command = [sys.executable, __file__, "load", str(work / "var")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def load(state: str) -> None:
    """The other process of `rules`: one load, as a worker makes it."""
    places = Places(Path(state))
    loader = Loader(places, Trees(places, Cache(Room(0))))
    number = loader.current()
    assert number is not None
    began = time.monotonic()
    snapshot = asyncio.run(loader.load(number, Snapshot(0, {}, {})))
    print(time.monotonic() - began)
    assert snapshot.number == number


# The command

CURVES = (
    ("curve-rules", curves.curve_rules, 100_000),
    ("curve-hosts", curves.curve_hosts, 100_000),
    ("curve-stored", curves.curve_stored, 1_000_000),
    ("curve-connections", curves.curve_connections, 10_000),
)


def serve(work: Path, workers: int) -> Server:
    """A node that may use every core: here nothing is compared with a peer."""
    return servers.serve_edge(work, workers, core=None)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser, commands = make_parser(__doc__)
    add_command(commands, "fleet", fleet, apps=1_000, branches=10, files=20, workers=2)
    add_command(commands, "deploy", deploy, files=10_000, size=10_240, workers=2)
    add_command(commands, "idle", idle, connections=10_000)
    add_command(commands, "idle-tls", idle_tls, connections=10_000)
    add_command(commands, "names", names, names=10_000, visits=500)
    add_command(commands, "rules", rules, rules=100_000, workers=2)
    add_command(
        commands,
        "artifacts",
        artifacts.artifacts,
        files=16_384,
        size=65_536,
        memory=256,
        seconds=10,
    )
    add_command(commands, "workers", workers, workers=2, connections=256, rounds=5, seconds=3)
    for command, function, most in CURVES:
        add_command(commands, command, function, most=most, rounds=3, seconds=2)
    loader = commands.add_parser("load", help="(the other process of `rules`)")
    loader.add_argument("state")
    return parser.parse_args()


def main() -> int:
    """0 when everything could be measured, whatever the figures."""
    chosen = parse_arguments()
    if chosen.command == "load":
        load(chosen.state)
        return 0
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main())
