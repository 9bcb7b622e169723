"""
What other machines are asked: whether names lead here, whom the node tells things, and the clock.

Laws: every question ends within its seconds, and silence of the world is no fault of this node.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import edge
from edge.control import domains
from edge.control.changes import Changes
from edge.control.claims import ORDER, claims_of
from edge.control.patient import Finding, Patient, fine, warning, wrong
from edge.control.resolver import Resolver
from edge.http.fields import parse_http_date
from edge.node.roots import context_with
from edge.site.hosts import HostClaim
from edge.site.settings import Settings

PATIENCE_S: Final = 3.0
"""For one question."""

MOST_NAMES: Final = 64
"""Hostnames that are asked about, the operator's own domains first; `edge domains` asks all."""

SHOWN: Final = 5
"""Of those with a fault."""

SKEW: Final = 30.0
"""Seconds that the clock may differ: nonces and new certificates live with that."""

FAR: Final = 300.0
"""Seconds of difference from which certificates fail."""

T = TypeVar("T")


def within(question: Callable[[], T], patience_s: float = PATIENCE_S) -> T | None:
    """
    The answer of a blocking question, or None when it takes longer or fails.

    A name that the C library looks for cannot be given up; its thread may outlive us.
    """
    answers: list[T] = []

    def ask() -> None:
        try:
            answers.append(question())
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience_s)
    return answers[0] if answers else None


def check_names(patient: Patient) -> Iterator[Finding]:
    """Whether hostnames lead here."""
    settings = patient.settings
    claims = claimed(patient)
    asked = [each for each in claims if not domains.needs_nothing(each.host)]
    if not asked:
        yield fine(f"no hostname needs the DNS: all of them ({len(claims)}) are this machine's")
        return
    resolver = Resolver(patience_s=PATIENCE_S)
    document = asyncio.run(domains.describe(asked[:MOST_NAMES], settings, resolver))
    yield from judge_names(document, len(claims))


def claimed(patient: Patient) -> list[HostClaim]:
    """What is served, and one name of the default domain where nothing is yet."""
    changes = Changes(patient.places, patient.config)
    states = changes.generations.apps(changes.generations.current()).values()
    default = patient.settings.default_domain
    found = [each for state in states for each in claims_of(state, default)]
    if not found:
        host = f"main.app.{default}"
        return [HostClaim(host=host, app="app", label="main", branch="main", kind="default")]
    return sorted(found, key=lambda each: ORDER[each.kind])


def judge_names(document: dict[str, Any], count: int) -> Iterator[Finding]:
    """Names that lead nowhere, or elsewhere."""
    bad = [each for each in document["hosts"] if each["problems"]]
    for each in bad[:SHOWN]:
        text = f"{each['host']}: {each['problems'][0]}"
        yield (wrong if each["missing"] else warning)(text, remedy_of(each["records"]))
    if len(bad) > SHOWN:
        yield wrong(f"and {len(bad) - SHOWN} more hostnames", "`edge domains` has them all")
    if document["note"]:
        text, _, remedy = document["note"].rpartition("; ")
        yield warning(text, remedy)
    if not bad:
        yield fine(f"{len(document['hosts'])} of {count} hostnames were looked for, and resolve")


def remedy_of(records: list[dict[str, Any]]) -> str:
    """The record to set."""
    if not records:
        return "`edge domains` says more"
    first = records[0]
    value = first["value"] or "and an address of this node"
    return f"set {first['name']} {first['type']} {value}; `edge domains` has all of them"


def check_told(patient: Patient) -> Iterator[Finding]:
    """Whether those who are to be told things can be found."""
    for host, key in sorted(told(patient.settings).items()):
        if within(partial(socket.getaddrinfo, host, None)) is None:
            remedy = f"correct {key} in edge.yml, or /etc/resolv.conf"
            yield wrong(f"{host} does not resolve: nobody is told", remedy)
        else:
            yield fine(f"{host} resolves ({key})")


def told(settings: Settings) -> dict[str, str]:
    """Host → the key that names it."""
    found = {}
    if settings.smtp is not None:
        found[settings.smtp.host] = "smtp.host"
    for key, entries in (("alarms", settings.alarms), ("notifications", settings.notifications)):
        for address in (each for entry in entries for each in entry.notify):
            host = urlsplit(address).hostname
            if host is not None:
                found[host] = f"{key}.notify"
    return found


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Whether time has gone forward since files were written, and is the world's."""
    now = time.time()
    yield judge_files(now, *newest(patient))
    settings = patient.settings
    if settings.tls.mode == "acme" and settings.listen.https:
        date = within(partial(date_of, patient))
        yield judge_clock(time.time(), date, urlsplit(settings.tls.acme.directory).hostname or "")


def newest(patient: Patient) -> tuple[float, Path]:
    """The file that was written last, of a few that are always there."""
    places = patient.places
    files = [Path(edge.__file__), places.lock, places.current, places.keyring, places.generations]
    return max((each.stat().st_mtime, each) for each in files if each.exists())


def judge_files(now: float, written: float, file: Path) -> Finding:
    """A clock behind its own files was put back, or lost its battery."""
    if written > now + SKEW:
        return wrong(
            f"the clock is {written - now:.0f} s behind the time when {file} was written",
            "set it, and keep it by NTP (timedatectl set-ntp true)",
        )
    return fine("the clock is not behind the node's own files")


def date_of(patient: Patient) -> float | None:
    """What the authority's clock says."""
    acme = patient.settings.tls.acme
    context = context_with(patient.path(acme.ca_file) if acme.ca_file else None)
    request = urllib.request.Request(acme.directory, method="HEAD")  # noqa: S310 - a Url is https
    with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310
        return parse_http_date(answer.headers.get("Date", "").encode())


def judge_clock(now: float, date: float | None, authority: str) -> Finding:
    """Certificates and nonces live by the authority's clock."""
    if date is None:
        return warning(
            f"{authority} did not answer: the clock is not compared, and no certificate can come",
            "look at the way out: DNS, a firewall, tls.acme.ca_file",
        )
    skew = now - date
    if abs(skew) <= SKEW:
        return fine(f"the clock agrees with {authority}'s")
    text = f"the clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {authority}'s"
    judge = wrong if abs(skew) > FAR else warning
    return judge(text, "set it, and keep it by NTP (timedatectl set-ntp true)")
