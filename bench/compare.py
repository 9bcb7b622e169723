"""
Edge beside its peers: the same files, the same core, the same minutes.

    python bench/compare.py                       everything that is installed, five rounds of 3 s
    python bench/compare.py --scenario 1kb --peers edge,nginx --rounds 9 --seconds 5
    python bench/compare.py --scenario proxy-1kb,proxy-1mb,proxy-hit

    1kb 10kb 100kb 10mb h2-1kb    files of the server's own, the last one over HTTP/2
    tls-1kb tls-h2-1kb            the same over TLS, on connections that are kept
    tls-handshake                 a new connection for each request, with a full handshake
    proxy-1kb proxy-1mb           passed through from an origin that forbids to store them
    proxy-hit                     1 KB that the origin allows to store: it should be asked once

Every server has core 0 to itself while it is measured, the generator has core 1, and so has the
origin of the proxies: an nginx, which is needed. The rounds interleave (A B A B …), so that a slow
minute of the machine meets every server. A generator that reports an error, another status than
2xx or short answers gives no figure, and no ratio either.

Of handshakes two rates are printed: by the clock, and by what they took of the server's processor.
The second one is compared: the generator's side of a handshake costs more than the server's, so
that by the clock it is the generator that is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gateways
import generators
import secure
import servers
from figures import Refused
from scenarios import HANDSHAKES, SCENARIOS, Scenario
from tables import Result, Round, as_json, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from secure import Certificate
    from servers import Server

    Start = Callable[[Path, Path], Server]


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


def check_answer(server: Server, scenario: Scenario, site: Path, certificate: Certificate) -> None:
    """
    One request before any is timed: the very file, with status 200, under the very certificate.

    Raises:
        Refused: It was anything else.
    """
    if scenario.is_secure:
        status, content = secure.fetch(server, scenario.path, certificate)
    else:
        status, content = servers.fetch(server.port, scenario.path)
    expected = (site / scenario.path[1:]).read_bytes()
    if status != 200:
        raise Refused(f"{scenario.path} is answered with {status}")
    if hashlib.sha256(content).digest() != hashlib.sha256(expected).digest():
        raise Refused(f"{scenario.path} has {len(content)} other bytes than the file")


def check_handshakes(server: Server, scenario: Scenario) -> None:
    """
    Be sure that the generator never resumes a session, where one could be: with tickets.

    wrk and `h2load -n` beyond its connections do: both keep what they know for the next one.

    Raises:
        Refused: nginx has seen it resume.
    """
    before = secure.resumptions(server)
    generators.shake_hands(server.tls_port, scenario)
    resumed = secure.resumptions(server) - before
    if resumed:
        raise Refused(f"{resumed} of {HANDSHAKES} handshakes were not full ones")


# Rounds


def play_round(server: Server, scenario: Scenario, seconds: float) -> Round:
    """One run against one server, how busy both sides were, and what the origin got of it."""
    load = generators.loader(scenario)
    asked = gateways.requests_of(server)
    began, used, spent = time.monotonic(), servers.cpu_seconds(server.process.pid), load_s(server)
    run = load(server, scenario, seconds)
    elapsed = time.monotonic() - began
    cpu_s = servers.cpu_seconds(server.process.pid) - used
    loaded = (load_s(server) - spent) / elapsed
    passed_on = (gateways.requests_of(server) - asked - 1) / run.requests  # the last is our own
    return Round(run, cpu_s / elapsed, loaded, min(1.0, max(0.0, passed_on)), cpu_s)


def load_s(server: Server) -> float:
    """
    Processor seconds that the generator's core has given: generators that have ended, the origin.

    Another server counts when it is stopped, which is after the last round.
    """
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    origin = servers.cpu_seconds(server.behind.process.pid) if server.behind else 0.0
    return usage.ru_utime + usage.ru_stime + origin


# A comparison


def compare(
    running: list[Server],
    scenario: Scenario,
    site: Path,
    rounds: int,
    seconds: float,
    *,
    certificate: Certificate,
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
                    check_answer(server, scenario, site, certificate)
                    if scenario.is_handshake:
                        check_handshakes(server, scenario)
                    play_round(server, scenario, 1.0)  # warms caches and pages, and is thrown away
                    continue
                played = play_round(server, scenario, seconds)
            except (Refused, OSError) as problem:
                result.refused = str(problem)
                continue
            result.rounds.append(played)
            rate = f"{played.run.rate:,.0f}/s"
            print(f"  {scenario.name} {number}/{rounds} {server.name}: {rate}", flush=True)
    return results


# The command


def start_peers(
    peers: dict[str, Start],
    site: Path,
    work: Path,
    stack: contextlib.ExitStack,
) -> list[Server]:
    """Those of `peers` that are installed and come up; the others are named on stderr."""
    running = []
    for name, start in peers.items():
        if not servers.is_installed(name):
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        folder = work / name
        folder.mkdir()
        try:
            server = start(site, folder)
        except servers.NotStarted as problem:
            print(f"{name}: left out: {problem}", file=sys.stderr)
            continue
        stack.callback(server.stop)
        running.append(server)
    return running


def start_files(
    chosen: argparse.Namespace, site: Path, work: Path, stack: contextlib.ExitStack
) -> list[Server]:
    """The peers as servers of files in the clear; none where nothing of that is compared."""
    if not any(scenario.is_file for scenario in chosen_scenarios(chosen)):
        return []
    peers = {name: servers.PEERS[name][1] for name in chosen.peers}
    return start_peers(peers, site, work, stack)


def start_secure(
    chosen: argparse.Namespace,
    site: Path,
    work: Path,
    certificate: Certificate,
    stack: contextlib.ExitStack,
) -> list[Server]:
    """Those of the peers that speak TLS, with it; none where nothing of that is compared."""
    if not any(scenario.is_secure for scenario in chosen_scenarios(chosen)):
        return []
    peers = {
        name: with_certificate(secure.SECURE[name], certificate)
        for name in chosen.peers
        if name in secure.SECURE
    }
    folder = work / "tls"
    folder.mkdir()
    return start_peers(peers, site, folder, stack)


def with_certificate(
    start: Callable[[Path, Path, Certificate], Server], certificate: Certificate
) -> Start:
    """A peer like all others."""
    return lambda site, work: start(site, work, certificate)


def start_gateways(
    chosen: argparse.Namespace, site: Path, stack: contextlib.ExitStack
) -> list[Server]:
    """The peers as proxies, in memory where that can be; only those that a scenario asks for."""
    wanted = {name for scenario in chosen_scenarios(chosen) for name in scenario.gateways}
    folder = tempfile.TemporaryDirectory(prefix="edge-bench-", dir=gateways.memory_backed())
    work = Path(stack.enter_context(folder))
    peers = {name: gateways.GATEWAYS[name] for name in chosen.peers if name in wanted}
    return start_peers(peers, site, work, stack)


def chosen_scenarios(chosen: argparse.Namespace) -> list[Scenario]:
    """In the order in which they were named."""
    return [SCENARIOS[name] for name in chosen.scenario]


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
    missing = servers.missing_tools("taskset", "wrk", "h2load", "openssl")
    if missing or (os.cpu_count() or 1) < 2:
        print(f"missing: {', '.join(missing) or 'a second core'}", file=sys.stderr)
        return 2
    everything = {}
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-bench-")))
        site = write_site(work / "site")
        certificate = secure.make_certificate(work)
        files = start_files(chosen, site, work, stack)
        over_tls = start_secure(chosen, site, work, certificate, stack)
        proxies = start_gateways(chosen, site, stack)
        if not files and not over_tls and not proxies:
            return 1
        print(
            f"load average before: {os.getloadavg()[0]:.2f} (other work on the machine blurs this)"
        )
        for scenario in chosen_scenarios(chosen):
            asked = files if scenario.is_file else over_tls
            if scenario.gateways:
                asked = [server for server in proxies if server.name in scenario.gateways]
            everything[scenario.name] = compare(
                asked,
                scenario,
                site,
                chosen.rounds,
                chosen.seconds,
                certificate=certificate,
            )
            print()
    for name, results in everything.items():
        print("\n".join(table(SCENARIOS[name], results)), end="\n\n")
    if chosen.json:
        document = {name: as_json(results) for name, results in everything.items()}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    refused = any(result.refused for each in everything.values() for result in each.values())
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
