"""
What `edge certs` tells: each name, its certificate, what comes next and what was, as a document.

Laws: what is known, in words that say what to do; texts of authorities as they gave them. Nothing
is asked of anybody here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import msgspec

from edge.control.agenda import Agenda
from edge.control.configuration import as_json
from edge.control.inventory import Inventory, due
from edge.site import renewal
from edge.site.certificates import Certificate
from edge.site.renewal import Due, Finding, Record
from edge.site.wanted import Wanted

State = Literal["valid", "expired", "ordering", "waiting", "failing", "stopped", "refused"]


class Entry(msgspec.Struct, kw_only=True):
    """One name, and all there is to know."""

    name: str
    names: tuple[str, ...] = ()
    source: str
    state: State
    reason: str = ""
    """Who answers at it, or why it has no certificate."""
    id: str | None = None
    """Of the certificate that serves; another one is another certificate."""
    issuer: str | None = None
    not_before: int | None = None
    not_after: int | None = None
    """Epoch seconds, as all of them."""
    next: Due | None = None
    """When something is done, and why then."""
    stopped: str = ""
    findings: tuple[Finding, ...] = ()
    attempts: tuple[renewal.Attempt, ...] = ()
    failures: int = 0
    explanation: str = ""
    """A page of the authority's about its renewal window."""


def describe(
    inventory: Inventory, agenda: Agenda, running: Collection[str], now: float
) -> dict[str, Any]:
    """The document: `{certificates, mistakes, warnings, root}`."""
    entries = [_own(name, each, now) for name, each in sorted(inventory.own.items())]
    for wish in inventory.wishes.wanted:
        certificate = inventory.stored.get((wish.source, wish.name))
        if wish.source == "internal":
            entries.append(_internal(wish, certificate, now))
        else:
            entries.append(_public(wish, certificate, agenda, running, now))
    entries += [
        Entry(name=refused.name, source="none", state="refused", reason=refused.reason)
        for refused in inventory.wishes.refused
    ]
    return {
        "certificates": msgspec.to_builtins(entries),
        "mistakes": [as_json(each) for each in inventory.found.mistakes],
        "warnings": [as_json(each) for each in inventory.found.warnings],
        "root": inventory.authority.known_root(),
    }


def _own(name: str, certificate: Certificate, now: float) -> Entry:
    entry = Entry(name=name, source="files", state="valid", reason="your own")
    return _with(entry, certificate, now)


def _internal(wish: Wanted, certificate: Certificate | None, now: float) -> Entry:
    entry = Entry(name=wish.name, source="internal", state="waiting", reason=wish.reason)
    if certificate is not None:
        entry.next = due(certificate)
    return _with(entry, certificate, now)


def _public(
    wish: Wanted,
    certificate: Certificate | None,
    agenda: Agenda,
    running: Collection[str],
    now: float,
) -> Entry:
    record = agenda.record(wish.name)
    entry = Entry(
        name=wish.name,
        names=wish.names,
        source="acme",
        state=_state(record, is_running=wish.name in running),
        reason=wish.reason,
        next=next_of(record, None if certificate is None else agenda.due(wish.name, certificate)),
        stopped=record.stopped,
        findings=record.findings,
        attempts=record.attempts,
        failures=record.failures,
        explanation=record.window.explanation if record.window is not None else "",
    )
    return _with(entry, certificate, now)


def _state(record: Record, *, is_running: bool) -> State:
    """Without a certificate."""
    if is_running:
        return "ordering"
    if record.stopped:
        return "stopped"
    return "failing" if record.failures or record.unready else "waiting"


def next_of(record: Record, renewal_due: Due | None) -> Due | None:
    """When the next try is, and why then; None where there is none."""
    if record.stopped:
        return None
    planned = renewal_due or Due(0.0, "there is none yet")
    if record.next_attempt <= planned.at:
        return planned
    if record.failures:
        tries = "1 failure" if record.failures == 1 else f"{record.failures} failures in a row"
        return Due(record.next_attempt, f"after {tries}")
    if record.unready:
        return Due(record.next_attempt, "it is not ready: see the findings")
    return Due(record.next_attempt, "the authority said to wait")


def _with(entry: Entry, certificate: Certificate | None, now: float) -> Entry:
    if certificate is not None:
        entry.id = certificate.id
        entry.names = certificate.names
        entry.issuer = certificate.issuer
        entry.not_before = certificate.not_before
        entry.not_after = certificate.not_after
        entry.state = "valid" if now < certificate.not_after else "expired"
    return entry


async def survey(inventory: Inventory, agenda: Agenda, now: float) -> dict[str, Any]:
    """The same from the state folder alone, while no node runs."""
    inventory.survey()
    await agenda.load(wish.name for wish in inventory.wishes.wanted)
    return describe(inventory, agenda, (), now)


def words_of(document: dict[str, Any]) -> dict[str, str]:
    """A few words by name, for lists of hosts."""
    return {each["name"]: each["state"] for each in document["certificates"]}
