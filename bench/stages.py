"""Which servers are started for which scenarios, and that they answer as they should."""

from __future__ import annotations

import hashlib
import sys
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import brotli
import contents
import gateways
import generators
import processes
import secure
import servers
import zstandard
from figures import Refused
from scenarios import HANDSHAKES, SCENARIOS, Scenario, Stage

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from processes import Answer, Server
    from secure import Certificate

    Start = Callable[[Path, Path], Server]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all servers and generators of a comparison have in common."""

    work: Path
    """Logs, states, configurations: in memory where that can be."""
    site: Path
    crowd: Path
    certificate: Certificate


def lay_ground(work: Path, chosen: Iterable[Scenario]) -> Ground:
    """Files, lists and a certificate, all of them in `work`."""
    site = contents.write_site(work / "site", chosen)
    contents.write_crowd(work / "crowd")
    return Ground(work, site, work / "crowd", secure.make_certificate(work))


# Who is started


def starters(stage: Stage, ground: Ground) -> dict[str, Start]:
    """Who can be started at a stage."""
    if stage == "secure":
        with_certificate = partial(with_the_certificate, certificate=ground.certificate)
        return {name: with_certificate(start) for name, start in secure.SECURE.items()}
    return gateways.GATEWAYS if stage == "proxies" else servers.PEERS


def with_the_certificate(
    start: Callable[[Path, Path, Certificate], Server], certificate: Certificate
) -> Start:
    """A peer like all others."""
    return lambda site, work: start(site, work, certificate)


def names_of(scenario: Scenario, wished: list[str] | None) -> list[str]:
    """Who is compared in a scenario: its own choice, unless others were wished for, and can be."""
    return list(scenario.peers if wished is None or scenario.is_fixed else wished)


def start_stage(
    stage: Stage, names: Iterable[str], ground: Ground, stack: contextlib.ExitStack
) -> dict[str, Server]:
    """Those of `names` that can, are installed and come up; the others are named on stderr."""
    running = {}
    possible = starters(stage, ground)
    for name in dict.fromkeys(names):
        if name not in possible:
            continue
        if not servers.is_installed(name):
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        folder = ground.work / stage / name
        folder.mkdir(parents=True)
        try:
            running[name] = possible[name](ground.site, folder)
        except processes.NotStarted as problem:
            print(f"{name}: left out: {problem}", file=sys.stderr)
            continue
        stack.callback(running[name].stop)
    return running


def by_stage(chosen: Iterable[Scenario]) -> Iterator[tuple[Stage, list[Scenario]]]:
    """The scenarios of each stage, so that nothing else is running when one is measured."""
    wanted = list(chosen)
    for stage in dict.fromkeys(scenario.stage for scenario in SCENARIOS.values()):
        if here := [scenario for scenario in wanted if scenario.stage == stage]:
            yield stage, here


# Whether they do what is measured


def check(server: Server, scenario: Scenario, ground: Ground) -> None:
    """
    What has to be right before anything is timed.

    Raises:
        Refused: It is not.
    """
    check_answer(server, scenario, ground)
    if scenario.load == "handshakes":
        check_handshakes(server, scenario)


def check_answer(server: Server, scenario: Scenario, ground: Ground) -> None:
    """
    One request: the very file with status 200, in a coding that is asked for, by the certificate.

    Raises:
        Refused: It was anything else.
    """
    if scenario.is_secure:
        answer = secure.fetch(server, scenario.path, ground.certificate)
    else:
        answer = processes.fetch(server.port, scenario.path, dict(scenario.fields))
    if answer.status != 200:
        raise Refused(f"{scenario.path} is answered with {answer.status}")
    if answer.coding not in scenario.codings:
        raise Refused(f"{scenario.path} comes as {answer.coding or 'it is'}")
    expected = (ground.site / scenario.path[1:]).read_bytes()
    if hashlib.sha256(decoded(answer)).digest() != hashlib.sha256(expected).digest():
        raise Refused(f"{scenario.path} has {len(answer.content)} other bytes than the file")
    if scenario.is_conditional:
        check_condition(server, scenario, answer.etag)


def decoded(answer: Answer) -> bytes:
    """Its content without a coding."""
    match answer.coding:
        case "gzip":
            return zlib.decompress(answer.content, 31)
        case "br":
            return bytes(brotli.decompress(answer.content))
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(answer.content)
        case _:
            return answer.content


def check_condition(server: Server, scenario: Scenario, etag: str) -> None:
    """
    One request with the entity-tag that came.

    Raises:
        Refused: There was none, or it is not answered with 304.
    """
    answer = processes.fetch(server.port, scenario.path, {"If-None-Match": etag or '"none"'})
    if not etag or answer.status != 304:
        raise Refused(f"If-None-Match: {etag} is answered with {answer.status}")


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
