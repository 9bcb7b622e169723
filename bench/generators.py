"""
The load generators of `compare.py`: wrk and h2load, pinned to their core.

A loader is a function `(server, scenario, seconds) -> Run`, and raises `Refused` where the run has
no figure.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import figures
import servers
from figures import Refused, Run
from scenarios import CONNECTIONS, HANDSHAKES, STREAMS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Server

REQUESTS_PER_CONNECTION = 900
"""
For HTTP/2. nginx and Edge both say GOAWAY after 1,000 requests on one connection, and h2load 1.52
does not connect again: with `-D` it idles to the end and calls what was in flight errors. So a
round is as many short runs as fit into its seconds, each with fresh connections. Over TLS nobody
says it (`secure.py`), and a run lasts longer, or its handshakes would be a good part of it.
"""

TO_LOOPBACK = Path(__file__).with_name("loopback.lua")
"""Lets wrk send a server name."""


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
    url = [f"http://127.0.0.1:{server.port}{scenario.path}"]
    if scenario.is_secure:
        name = f"{servers.HOST}:{server.tls_port}"
        url = ["-s", str(TO_LOOPBACK), f"https://{name}{scenario.path}"]
    command = [
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency",
        "-H", f"Host: {servers.HOST}", *url,
    ]  # fmt: skip
    return figures.parse_wrk(generate(command, seconds), scenario.size)


def load_http2(server: Server, scenario: Scenario, seconds: float) -> Run:
    """Runs of h2load until `seconds` of load are together."""
    each, port, scheme = REQUESTS_PER_CONNECTION, server.h2_port, "http"
    if scenario.is_secure:
        each, port, scheme = each * max(1, round(seconds)), server.tls_port, "https"
    command = [
        "h2load", "-t1", "-c", str(CONNECTIONS), "-m", str(STREAMS), "-n", str(CONNECTIONS * each),
        "--connect-to", f"127.0.0.1:{port}", f"{scheme}://{servers.HOST}:{port}{scenario.path}",
    ]  # fmt: skip
    runs: list[Run] = []
    while sum(run.seconds for run in runs) < seconds:
        said = generate(command, seconds)
        if scenario.is_secure:
            figures.check_protocols(said, "h2")
        runs.append(figures.parse_h2load(said, scenario.size))
    return figures.joined(runs)


def load_handshakes(server: Server, scenario: Scenario, seconds: float) -> Run:
    """Runs of h2load until `seconds` of load are together, each with a crowd of connections."""
    runs: list[Run] = []
    while sum(run.seconds for run in runs) < seconds:
        runs.append(shake_hands(server.handshake_port, scenario))
    return figures.joined(runs)


def shake_hands(port: int, scenario: Scenario) -> Run:
    """As many connections as requests, all at once: h2load makes each from nothing."""
    url = f"https://{servers.HOST}:{port}{scenario.path}"
    command = [
        "h2load", "--h1", "-t1", "-c", str(HANDSHAKES), "-n", str(HANDSHAKES),
        "--connect-to", f"127.0.0.1:{port}", url,
    ]  # fmt: skip
    said = generate(command, 1.0)
    figures.check_protocols(said, "http/1.1")
    return figures.parse_h2load(said, scenario.size)


def loader(scenario: Scenario) -> Callable[[Server, Scenario, float], Run]:
    """Which of them a scenario asks for."""
    if scenario.is_handshake:
        return load_handshakes
    return load_http2 if scenario.http2 else load_http1
