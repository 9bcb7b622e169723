"""
Edge beside its peers: the same files, the same core, the same minutes, each with its access log.

    python bench/compare.py                       every scenario, five rounds of 2 s: 11 minutes
    python bench/compare.py --scenario 1kb --peers edge,nginx --rounds 9 --seconds 5
    python bench/compare.py --scenario proxy-1kb,proxy-1mb,proxy-hit

    1kb 10kb 100kb 10mb           files of the server's own, HTTP/1.1 on connections that are kept
    h2-1kb                        the same by HTTP/2
    mix mix-h2                    10,000 files as a crowd asks for them (Zipf), of 50 browsers
    304                           revalidations: the right If-None-Match
    gzip br                       a page in the best coding that client and server have
    new-connection                a connection for each request
    rules                         1 KB beside 5,000 rules, and beside 100
    latency latency-caddy         p50, p99 and p99.9 at half of the most that nginx, or Caddy, does
    tls-1kb tls-h2-1kb            over TLS, on connections that are kept
    tls-handshake                 a new connection for each request, with a full handshake
    proxy-1kb proxy-1mb           passed through from an origin that forbids to store them
    proxy-hit                     1 KB that the origin allows to store: it should be asked once

Every server has core 0 to itself while it is measured, the generator has core 1, and so has the
origin of the proxies: an nginx, which is needed. The rounds interleave (A B A B …), so that a slow
minute of the machine meets every server. A generator that reports an error, another status than
2xx or short answers gives no figure, and no ratio either. README.md tells the method.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import commands
import gateways
import logs
import processes
import servers
import stages
from figures import Refused
from generators import Errand, load_http1, load_mix
from scenarios import SCENARIOS, Scenario
from tables import Result, Round, as_json, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from processes import Server
    from stages import Ground

WARM_S = 1.0
"""Seconds of the round before the first one: it warms caches and pages, and is thrown away."""

TWICE_S = 3.0
"""In which wrk goes through the list of a mix more than twice."""

# Rounds


def play_round(server: Server, errand: Errand, seconds: float) -> Round:
    """One run against one server, how busy both sides were, and what the origin got of it."""
    asked = gateways.requests_of(server)
    leader = server.process.pid
    began, used, spent = time.monotonic(), processes.cpu_seconds(leader), load_s(server)
    run = errand.run(server, seconds)
    elapsed = time.monotonic() - began
    cpu_s = processes.cpu_seconds(leader) - used
    loaded = (load_s(server) - spent) / elapsed
    passed_on = (gateways.requests_of(server) - asked - 1) / run.requests  # the last is our own
    return Round(run, cpu_s / elapsed, loaded, min(1.0, max(0.0, passed_on)), cpu_s)


def load_s(server: Server) -> float:
    """
    Processor seconds that the generator's core has given: generators that have ended, the origin.

    Another server counts when it is stopped, which is after the last round.
    """
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    origin = processes.cpu_seconds(server.behind.process.pid) if server.behind else 0.0
    return usage.ru_utime + usage.ru_stime + origin


# A comparison


class Comparison:
    """One scenario, and what each of its servers did so far."""

    def __init__(self, scenario: Scenario, running: dict[str, Server], ground: Ground) -> None:
        self.scenario = scenario
        self.running = running
        self.ground = ground
        self.errand = Errand(scenario, ground.crowd)
        """With a rate once there is a pace."""
        self.results = {name: Result() for name in running}

    def play(self, rounds: int, seconds: float, pace: float) -> dict[str, Result]:
        """Results by server; a server that fails once has no figure."""
        self.each(self.check)
        if self.scenario.paced_by:
            self.set_pace(seconds, pace)
        self.each(self.warm)
        for number in range(1, rounds + 1):
            self.each(lambda name, server, turn=number: self.measure(name, server, seconds, turn))
        self.each(self.note_log)
        return self.results

    def each(self, step: Callable[[str, Server], None]) -> None:
        """One step of every server that has not failed."""
        for name, server in self.running.items():
            result = self.results[name]
            if result.refused:
                continue
            try:
                step(name, server)
            except (Refused, OSError) as problem:
                result.refused = str(problem)

    def check(self, _: str, server: Server) -> None:
        """Whether it answers as it should."""
        stages.check(server, self.scenario, self.ground)

    def set_pace(self, seconds: float, wished: float) -> None:
        """What is wished for, or half of the most of who sets it; without that nobody is timed."""
        pacer = self.scenario.paced_by
        try:
            pace = wished or load_http1(self.errand, self.running[pacer], seconds).rate / 2
        except (KeyError, Refused):
            for result in self.results.values():
                result.refused = result.refused or f"{pacer} sets the pace, and did not"
        else:
            self.errand = Errand(self.scenario, self.ground.crowd, pace)

    def warm(self, _: str, server: Server) -> None:
        """
        The round that is thrown away; its log is emptied before the first one that counts.

        h2load's connections ask for the same in lockstep: what nobody has asked for would be read
        from the disk for all of them at once, in every round a little further down its list.
        """
        if self.scenario.load == "h2load-mix":
            load_mix(self.errand, server, TWICE_S)
        play_round(server, self.errand, WARM_S)

    def measure(self, name: str, server: Server, seconds: float, number: int) -> None:
        """One round; the log of the one before has been written by now, and is counted."""
        self.note_log(name, server)
        played = play_round(server, self.errand, seconds)
        self.results[name].rounds.append(played)
        print(f"  {self.scenario.name} {number} {name}: {played.run.rate:,.0f}/s", flush=True)

    def note_log(self, name: str, server: Server) -> None:
        """How much of the last round stands in the access log, which is emptied."""
        lines, rounds = logs.emptied(server), self.results[name].rounds
        if lines is not None and rounds:
            self.results[name].logged.append(lines / rounds[-1].run.requests)


# The command


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
    add("--peers", type=listed(servers.PEERS), help=f"{','.join(servers.PEERS)} (by the scenario)")
    add("--rounds", type=int, default=5, help="measured rounds (5; fewer say little)")
    add("--seconds", type=float, default=2.0, help="seconds a run (2)")
    add("--pace", type=float, default=0.0, help="requests/s of latency (half of the peer's most)")
    add(
        "--on-disk",
        action="store_true",
        help="files, logs and state where TMPDIR is, not in memory",
    )
    add("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args()


def play_all(chosen: argparse.Namespace, work: Path) -> dict[str, dict[str, Result]]:
    """Results by scenario and server."""
    scenarios = [SCENARIOS[name] for name in chosen.scenario]
    ground = stages.lay_ground(work, scenarios)
    everything = {}
    for stage, here in stages.by_stage(scenarios):
        wanted = {each.name: stages.names_of(each, chosen.peers) for each in here}
        with contextlib.ExitStack() as stack:
            names = [name for names in wanted.values() for name in names]
            running = stages.start_stage(stage, names, ground, stack)
            for each in here:
                asked = {name: running[name] for name in wanted[each.name] if name in running}
                comparison = Comparison(each, asked, ground)
                everything[each.name] = comparison.play(chosen.rounds, chosen.seconds, chosen.pace)
    return everything


def main() -> int:
    """0 when every figure could be had, else 1."""
    chosen = parse_arguments()
    missing = processes.missing_tools("taskset", "wrk", "h2load", "openssl")
    if missing or (os.cpu_count() or 1) < 2:
        print(f"missing: {', '.join(missing) or 'a second core'}", file=sys.stderr)
        return 2
    commands.print_circumstances()
    where = None if chosen.on_disk else processes.memory_backed()
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir=where) as folder:
        everything = play_all(chosen, Path(folder))
    for name, results in everything.items():
        print("\n" + "\n".join(table(SCENARIOS[name], results)))
    if chosen.json:
        document = {name: as_json(results) for name, results in everything.items()}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    refused = any(result.refused for each in everything.values() for result in each.values())
    return 1 if refused or not any(everything.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
