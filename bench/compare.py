"""
Edge beside its peers: the same files, the same core, the same minutes.

    python bench/compare.py                       everything that is installed, five rounds of 3 s
    python bench/compare.py --scenario 1kb --peers edge,nginx --rounds 9 --seconds 5

Every server has core 0 to itself while it is measured, the generator has core 1. The rounds
interleave (A B A B …), so that a slow minute of the machine meets every server. A generator that
reports an error, another status than 2xx or short answers gives no figure, and no ratio either.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import figures
import servers
from figures import Refused, Run
from scenarios import CONNECTIONS, SCENARIOS, STREAMS, Scenario
from tables import Result, as_json, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from servers import Server

REQUESTS_PER_CONNECTION = 900
"""
For HTTP/2. nginx and Edge both say GOAWAY after 1,000 requests on one connection, and h2load 1.52
does not connect again: with `-D` it idles to the end and calls what was in flight errors. So a
round is as many short runs as fit into its seconds, each with fresh connections.
"""


def write_site(folder: Path) -> Path:
    """Files that no coding makes smaller, the same in every run."""
    folder.mkdir()
    source = random.Random(20260727)
    for scenario in SCENARIOS.values():
        target = folder / scenario.path[1:]
        if not target.exists():
            target.write_bytes(source.randbytes(scenario.size))
    (folder / "index.html").write_text("<!doctype html><title>bench</title>\n")
    return folder


def check_answer(server: Server, scenario: Scenario, site: Path) -> None:
    """
    One request before any is timed: the very file, with status 200.

    Raises:
        Refused: It was anything else.
    """
    status, content = servers.fetch(server.port, scenario.path)
    expected = (site / scenario.path[1:]).read_bytes()
    if status != 200:
        raise Refused(f"{scenario.path} is answered with {status}")
    if hashlib.sha256(content).digest() != hashlib.sha256(expected).digest():
        raise Refused(f"{scenario.path} has {len(content)} other bytes than the file")


# The generators


def generate(command: list[str], seconds: float) -> str:
    """What a generator prints, pinned to its core."""
    pinned = ["taskset", "-c", str(servers.GENERATOR_CORE), *command]
    try:
        done = subprocess.run(
            pinned, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
    except subprocess.TimeoutExpired as late:
        raise Refused(f"{command[0]} did not end") from late
    if done.returncode:
        raise Refused(f"{command[0]}: {figures.last_line(done.stderr or done.stdout)}")
    return done.stdout


def load_http1(server: Server, scenario: Scenario, seconds: float) -> Run:
    """One run of wrk; it takes whole seconds."""
    command = [
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency",
        "-H", f"Host: {servers.HOST}", f"http://127.0.0.1:{server.port}{scenario.path}",
    ]  # fmt: skip
    return figures.parse_wrk(generate(command, seconds), scenario.size)


def load_http2(server: Server, scenario: Scenario, seconds: float) -> Run:
    """Runs of h2load until `seconds` of load are together."""
    url = f"http://{servers.HOST}:{server.h2_port}{scenario.path}"
    command = [
        "h2load", "-t1", "-c", str(CONNECTIONS), "-m", str(STREAMS),
        "-n", str(CONNECTIONS * REQUESTS_PER_CONNECTION),
        "--connect-to", f"127.0.0.1:{server.h2_port}", url,
    ]  # fmt: skip
    runs: list[Run] = []
    while sum(run.seconds for run in runs) < seconds:
        runs.append(figures.parse_h2load(generate(command, seconds), scenario.size))
    return figures.joined(runs)


def play_round(server: Server, scenario: Scenario, seconds: float) -> tuple[Run, float, float]:
    """One run against one server, how busy the server was, and how busy the generator."""
    load = load_http2 if scenario.http2 else load_http1
    began, used, spent = time.monotonic(), servers.cpu_seconds(server.process.pid), children_s()
    run = load(server, scenario, seconds)
    elapsed = time.monotonic() - began
    busy = (servers.cpu_seconds(server.process.pid) - used) / elapsed
    return run, busy, (children_s() - spent) / elapsed


def children_s() -> float:
    """Processor seconds of the generators that have ended; a server counts when it is stopped."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# A comparison


def compare(
    running: list[Server], scenario: Scenario, site: Path, rounds: int, seconds: float
) -> dict[str, Result]:
    """Results by server, in the order of `running`; a server that fails once is left out."""
    results = {server.name: Result() for server in running}
    for number in range(rounds + 1):
        for server in running:
            result = results[server.name]
            if result.refused:
                continue
            try:
                if number == 0:
                    check_answer(server, scenario, site)
                    play_round(server, scenario, 1.0)  # warms caches and pages, and is thrown away
                    continue
                run, busy, load = play_round(server, scenario, seconds)
            except (Refused, OSError) as problem:
                result.refused = str(problem)
                continue
            result.runs.append(run)
            result.busy.append(busy)
            result.load.append(load)
            print(
                f"  {scenario.name} {number}/{rounds} {server.name}: {run.rate:,.0f}/s", flush=True
            )
    return results


# The command


def start_peers(
    names: Iterable[str], site: Path, work: Path, stack: contextlib.ExitStack
) -> list[Server]:
    """Those of `names` that are installed and come up; the others are named on stderr."""
    running = []
    for name in names:
        if not servers.is_installed(name):
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        folder = work / name
        folder.mkdir()
        try:
            server = servers.PEERS[name][1](site, folder)
        except servers.NotStarted as problem:
            print(f"{name}: left out: {problem}", file=sys.stderr)
            continue
        stack.callback(server.stop)
        running.append(server)
    return running


def listed(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """An argparse type: names with commas between them, each one of `choices`."""
    known = list(choices)

    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: one of {', '.join(known)}")
        return chosen

    return names


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scenario", type=listed(SCENARIOS), default=list(SCENARIOS), help=",".join(SCENARIOS))
    add(
        "--peers",
        type=listed(servers.PEERS),
        default=list(servers.USUAL),
        help=",".join(servers.PEERS),
    )
    add("--rounds", type=int, default=5, help="measured rounds (5; fewer say little)")
    add("--seconds", type=float, default=3.0, help="seconds a run (3)")
    add("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args()


def main() -> int:
    """0 when every figure could be had, else 1."""
    chosen = parse_arguments()
    missing = servers.missing_tools("taskset", "wrk", "h2load")
    if missing or (os.cpu_count() or 1) < 2:
        print(f"missing: {', '.join(missing) or 'a second core'}", file=sys.stderr)
        return 2
    everything = {}
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-bench-")))
        site = write_site(work / "site")
        running = start_peers(chosen.peers, site, work, stack)
        if not running:
            return 1
        print(
            f"load average before: {os.getloadavg()[0]:.2f} (other work on the machine blurs this)"
        )
        for name in chosen.scenario:
            everything[name] = compare(
                running, SCENARIOS[name], site, chosen.rounds, chosen.seconds
            )
            print()
    for name, results in everything.items():
        print("\n".join(table(SCENARIOS[name], results)), end="\n\n")
    if chosen.json:
        document = {name: as_json(results) for name, results in everything.items()}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    complete = len(running) and not any(
        r.refused for rs in everything.values() for r in rs.values()
    )
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
