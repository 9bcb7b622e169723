"""
Recorded requests, decided again by other rules: which of them would change.

Laws: decides by what serves (`rehearsal`), fetches nothing, changes nothing. The same request is
decided once. Passwords are passed by: a log does not have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from edge.control.carried import Documents
from edge.control.changes import Changes
from edge.control.configuration import Rules, read_rules
from edge.control.records import Record
from edge.control.rehearsals import Proposal
from edge.errors import EdgeError, MalformedRequest, Mistaken
from edge.site.generation import AppState
from edge.site.hosts import parse_authority
from edge.site.rehearsal import World, make_request

HOSTS = 5
"""Hosts without an app that are named."""

DECIDED = 200_000
"""Requests whose answers are remembered; a log repeats itself."""

CHANGES = 10_000
"""Different requests that are told; the others are counted."""


class Change(msgspec.Struct, kw_only=True):
    """One request that would be answered differently."""

    request: str
    now: str
    then: str
    count: int = 1


class Replayed(msgspec.Struct, kw_only=True):
    """What a replay found."""

    requests: int = 0
    changed: int = 0
    """Requests; of several of one kind each."""
    unlisted: int = 0
    """Of these, those beyond the list's bound."""
    changes: list[Change] = []
    """Most frequent first."""
    unclaimed: int = 0
    """Requests to hosts that no app has: their answers cannot change."""
    hosts: list[str] = []
    """Some of these hosts."""


def replay(records: Iterable[Record], now: World, then: World, host: str | None) -> Replayed:
    """
    Decide records in two worlds; those that name no host are asked of `host`.

    Raises:
        EdgeError: a record names no host, and there is none to ask, or `host` is none.
    """
    host = None if host is None else canonical(host)
    result = Replayed(changes=[], hosts=[])
    known: dict[tuple[bytes, str, bytes, str | None], Change | None] = {}
    for record in records:
        asked = record.host or host
        if asked is None:
            raise EdgeError(f"line {record.line} names no host; say which with --host")
        key = record.method, asked, record.target, record.country
        if key not in known:
            if len(known) >= DECIDED:  # but one that is told is one row
                known = {each: change for each, change in known.items() if change and change.count}
            known[key] = decide(record, asked, now, then)
        count(result, known[key])
        if not any(world.snapshot.hosts.get(asked.encode()) for world in (now, then)):
            result.unclaimed += 1
            if asked not in result.hosts and len(result.hosts) < HOSTS:
                result.hosts.append(asked)
    result.changes.sort(key=lambda change: -change.count)
    return result


def canonical(host: str) -> str:
    """
    A host as logs have it.

    Raises:
        EdgeError: it is none.
    """
    try:
        return parse_authority(host.encode())
    except (MalformedRequest, UnicodeError) as error:
        raise EdgeError(f"{host!r} is no host: write www.example.com") from error


def count(result: Replayed, change: Change | None) -> None:
    """Account for one record."""
    result.requests += 1
    if change is None:
        return
    result.changed += 1
    if change.count:
        change.count += 1
    elif len(result.changes) < CHANGES:
        change.count = 1
        result.changes.append(change)
    else:
        result.unlisted += 1


def decide(record: Record, host: str, now: World, then: World) -> Change | None:
    """The change of a record, not counted yet; None where there is none."""
    answers = []
    for world in (now, then):
        request = make_request(host.encode(), record.target, record.method)
        status, place = world.rehearse(request, record.country)
        answers.append(f"{status} {place}".rstrip())
    if answers[0] == answers[1]:
        return None
    name = f"{record.method.decode()} {host}{record.target.decode('latin-1')}"
    if record.country is not None:
        name += f" ({record.country})"
    return Change(request=name, now=answers[0], then=answers[1], count=0)


def propose(changes: Changes, rules: Path | None, app: str | None) -> Proposal:
    """
    The apps with the rules of a file, or as their folders are now.

    Raises:
        Mistaken: there are mistakes.
        EdgeError: which app the file is for is not known.
    """
    if rules is None:
        return changes.proposal()
    generation = changes.generations.current()
    states = changes.generations.apps(generation)
    state = pick(states, app)
    decoded, errors = read_rules(rules)
    if decoded is None or generation is None:
        raise Mistaken(errors)
    return instead(Proposal(generation.settings), state, decoded)


def instead(proposal: Proposal, state: AppState, rules: Rules) -> Proposal:
    """The proposal with an app whose every branch has these rules."""
    key = Documents().add_rules(rules)
    branches = {
        label: msgspec.structs.replace(branch, rules=None)
        for label, branch in state.branches.items()
    }
    proposal.add(msgspec.structs.replace(state, rules=key, branches=branches))
    proposal.add_rules(key, rules)
    return proposal


def pick(states: dict[str, AppState], app: str | None) -> AppState:
    """The app that is named, or the only one there is."""
    known = ", ".join(states) or "none yet"
    if app is None and len(states) != 1:
        raise EdgeError(f"say whose rules these are with --app (there are: {known})")
    name = next(iter(states)) if app is None else app
    if name not in states:
        raise EdgeError(f"there is no app {name} (there are: {known})")
    return states[name]
