"""
The load generators of `compare.py`, pinned to their core: wrk, h2load, `taker.c` and `pacing.py`.

A loader is a function `(errand, server, seconds) -> Run`, and raises `Refused` where the run has no
figure.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import contents
import figures
import processes
from browsers import browsers
from figures import Refused, Run
from scenarios import CONNECTIONS, HANDSHAKES, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from processes import Server
    from scenarios import Load, Scenario

UNEVEN = 0.8
"""
Part of a mix's mean size that an answer has at least by HTTP/2: connections do not come equally far
in their list of files, and small runs end early in it.
"""

HERE = Path(__file__).parent

TO_LOOPBACK = HERE / "loopback.lua"
"""Lets wrk send a server name."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a generator is to do."""

    scenario: Scenario
    crowd: Path
    """The folder with a mix's lists (`contents.write_crowd`)."""
    rate: float = 0.0
    """Requests a second, where the scenario has a pace."""

    def run(self, server: Server, seconds: float) -> Run:
        """
        One run.

        Raises:
            Refused: It has no figure.
        """
        return LOADERS[self.scenario.load](self, server, seconds)


def generate(command: list[str], seconds: float) -> str:
    """What a generator prints, pinned to its core."""
    pinned = ["taskset", "-c", str(processes.GENERATOR_CORE), *command]
    try:
        done = subprocess.run(
            pinned, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
    except subprocess.TimeoutExpired as late:
        raise Refused(f"{command[0]} did not end") from late
    if done.returncode:
        raise Refused(f"{command[0]}: {figures.last_line(done.stderr or done.stdout)}")
    return done.stdout


# wrk


def wrk(scenario: Scenario, seconds: float, *more: str) -> str:
    """What it prints; it takes whole seconds."""
    usual = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    return generate([*usual, *more], seconds)


def load_http1(errand: Errand, server: Server, seconds: float) -> Run:
    """One file again and again."""
    scenario = errand.scenario
    address = [f"http://127.0.0.1:{server.port}{scenario.path}"]
    if scenario.is_secure:
        name = f"{processes.HOST}:{server.tls_port}"
        address = ["-s", str(TO_LOOPBACK), f"https://{name}{scenario.path}"]
    said = wrk(scenario, seconds, *lines_of(scenario, server), *address)
    if scenario.is_conditional:
        return figures.check_empty(figures.parse_wrk(said, 0), scenario.size)
    return figures.parse_wrk(said, least_size(scenario))


def lines_of(scenario: Scenario, server: Server) -> list[str]:
    """The options of wrk for a scenario's field lines; an entity-tag is asked for before."""
    fields = [("Host", processes.HOST), *scenario.fields]
    if scenario.is_conditional:
        fields.append(("If-None-Match", processes.fetch(server.port, scenario.path).etag))
    return [option for name, value in fields for option in ("-H", f"{name}: {value}")]


def least_size(scenario: Scenario) -> int:
    """Bytes that an answer has at least; of a coded one it is known that it was right before."""
    return 1 if scenario.is_coded else scenario.size


def load_mix(errand: Errand, server: Server, seconds: float) -> Run:
    """Many files, many browsers."""
    crowd, script = errand.crowd, str(HERE / "mix.lua")
    said = wrk(
        errand.scenario, seconds, "-s", script, f"http://127.0.0.1:{server.port}/", "--",
        str(crowd / "targets.txt"), str(crowd / "browsers.txt"),
    )  # fmt: skip
    return figures.parse_wrk(said, contents.mean_size())


# taker.c


def load_large(errand: Errand, server: Server, seconds: float) -> Run:
    """One file again and again, whose content nobody copies."""
    scenario = errand.scenario
    request = f"GET {scenario.path} HTTP/1.1\r\nHost: {processes.HOST}\r\n\r\n"
    numbers = (server.port, scenario.connections, seconds)
    said = generate([str(taker()), *map(str, numbers), request], seconds)
    return figures.parse_taken(said, scenario.size)


def taker() -> Path:
    """
    The program, compiled where it is not or was from another source.

    Raises:
        Refused: There is no C compiler, or it fails.
    """
    source, program = HERE / "taker.c", HERE.parent / "build" / "taker"
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    program.parent.mkdir(exist_ok=True)
    try:
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    except FileNotFoundError as missing:
        raise Refused("no C compiler (cc): apt-get install gcc") from missing
    except subprocess.CalledProcessError as failed:
        raise Refused(f"taker.c: cc ended with {failed.returncode}") from failed
    return program


# h2load


def load_http2(errand: Errand, server: Server, seconds: float) -> Run:
    """One file again and again, on streams."""
    scenario = errand.scenario
    port, scheme = server.h2_port, "http"
    if scenario.is_secure:
        port, scheme = server.tls_port, "https"
    what = [f"{scheme}://{processes.HOST}:{port}{scenario.path}"]
    return figures.parse_h2load(h2load(errand, port, what, seconds), scenario.size)


def load_mix_http2(errand: Errand, server: Server, seconds: float) -> Run:
    """Many files of one browser: each connection asks for the same ones, in the same order."""
    left_out = {"Host", "Connection"}
    fields = [line for line in browsers(processes.HOST)[0] if line[0] not in left_out]
    what = [option for name, value in fields for option in ("-H", f"{name.lower()}: {value}")]
    what += ["-i", str(errand.crowd / "urls.txt")]
    run = figures.parse_h2load(h2load(errand, server.h2_port, what, seconds), 0)
    each = max(1, run.requests // CONNECTIONS)
    return figures.checked("h2load", run, UNEVEN * contents.mean_size(each))


def h2load(errand: Errand, port: int, what: list[str], seconds: float) -> str:
    """
    What it prints.

    It does not open a connection again that was ended (1.52), and would call what was in flight
    errors: so nobody may end one.
    """
    command = [
        "h2load", "-t1", "-c", str(CONNECTIONS), "-m", str(STREAMS),
        "-D", f"{round(seconds * 1000)}ms", "--connect-to", f"127.0.0.1:{port}", *what,
    ]  # fmt: skip
    said = generate(command, seconds)
    if errand.scenario.is_secure:
        figures.check_protocols(said, "h2")
    return said


def load_handshakes(errand: Errand, server: Server, seconds: float) -> Run:
    """Runs of h2load until `seconds` of load are together, each with a crowd of connections."""
    runs: list[Run] = []
    while sum(run.seconds for run in runs) < seconds:
        runs.append(shake_hands(server.handshake_port, errand.scenario))
    return figures.joined(runs)


def shake_hands(port: int, scenario: Scenario) -> Run:
    """As many connections as requests, all at once: h2load makes each from nothing."""
    url = f"https://{processes.HOST}:{port}{scenario.path}"
    command = [
        "h2load", "--h1", "-t1", "-c", str(HANDSHAKES), "-n", str(HANDSHAKES),
        "--connect-to", f"127.0.0.1:{port}", url,
    ]  # fmt: skip
    said = generate(command, 1.0)
    figures.check_protocols(said, "http/1.1")
    return figures.parse_h2load(said, scenario.size)


# At a fixed rate


def load_paced(errand: Errand, server: Server, seconds: float) -> Run:
    """An open loop."""
    scenario = errand.scenario
    numbers = (server.port, scenario.path, scenario.size, errand.rate, seconds)
    command = [sys.executable, str(HERE / "pacing.py"), *map(str, numbers)]
    return figures.parse_paced(generate(command, seconds), errand.rate)


LOADERS: dict[Load, Callable[[Errand, Server, float], Run]] = {
    "wrk": load_http1,
    "large": load_large,
    "mix": load_mix,
    "h2load": load_http2,
    "h2load-mix": load_mix_http2,
    "handshakes": load_handshakes,
    "pace": load_paced,
}
