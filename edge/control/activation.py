"""
What a branch becomes: activated, rolled back, and which files of the past it keeps. Pure.

Here: one branch's state before and after, with the time as an argument. Not here: where states and
deployments are stored, and that workers serve them (`changes`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from edge.control.carried import Carried, Documents
from edge.site.generation import Activation, BranchState, RetainedFile
from edge.site.manifest import Entry, Header, is_fingerprinted

MAX_PURGED = 1_000
"""Files and addresses of a previous deployment that may be purged one by one, per activation."""

MAX_RETAINED = 50_000
"""Fingerprinted files of earlier deployments that a branch keeps; the oldest go first."""


def activated(state: BranchState, identifier: str, now: float, retained: str | None) -> BranchState:
    """The branch with another deployment; the one before is the next to roll back to."""
    before = state.active
    history = tuple(each for each in state.history if each != identifier)
    if before is not None:
        history = (before.deployment, *history)
    return msgspec.structs.replace(
        state,
        active=Activation(deployment=identifier, at=now),
        previous=before,
        purged=(),
        waiting=tuple(each for each in state.waiting if each != identifier),
        history=history,
        retained=retained,
    )


def rolled_back(state: BranchState, now: float, retained: str | None) -> BranchState:
    """
    The branch with what it served before; the next rollback goes further back.

    What was wrong is not served on: there is no previous deployment in performance mode.
    """
    return msgspec.structs.replace(
        state,
        active=Activation(deployment=state.history[0], at=now),
        previous=None,
        purged=(),
        history=state.history[1:],
        retained=retained,
    )


def recalled(before: BranchState, headers: list[Header], now: float) -> BranchState:
    """
    A branch whose app was gone and is back: what it served then serves.

    Where that is gone, its newest deployment does; one that never served anything serves nothing,
    for its deployments may have been refused. `headers` are the deployments that there are, newest
    first. Nothing is answered from the past.
    """
    here = [header.id for header in headers]
    state = msgspec.structs.replace(purged(before), active=None, history=(), retained=None)
    state = msgspec.structs.replace(state, rules=None, headers=None)
    if not here or before.active is None:
        return state
    known = before.active.deployment in here
    active = before.active.deployment if known else here[0]
    history = [each for each in (before.history if known else here) if each in here]
    return msgspec.structs.replace(
        state,
        active=Activation(deployment=active, at=now),
        history=tuple(each for each in history if each != active),
    )


def carrying(state: BranchState, carried: Carried, documents: Documents) -> BranchState:
    """The branch with the rules and headers that its active deployment carries."""
    return msgspec.structs.replace(
        state,
        rules=documents.add_rules(carried.rules),
        headers=documents.add_headers(carried.headers),
    )


def purged(state: BranchState, names: Collection[str] | None = None) -> BranchState:
    """
    The branch whose previous deployment answers some of its files and addresses no more.

    `names` are as in `BranchState.purged`, None is all of them; so are more than `MAX_PURGED`.
    """
    known = () if names is None else {*state.purged, *names}
    if names is None or len(known) > MAX_PURGED:
        return msgspec.structs.replace(state, previous=None, purged=())
    return msgspec.structs.replace(state, purged=tuple(sorted(known)))


def without(state: BranchState, gone: Collection[str]) -> BranchState:
    """The branch, no longer able to roll back to deployments that are deleted."""
    history = tuple(each for each in state.history if each not in gone)
    left = tuple(each for each in state.waiting if each not in gone)
    return msgspec.structs.replace(state, history=history, waiting=left)


def waiting(state: BranchState, identifier: str) -> BranchState:
    """The branch with one more complete deployment, unless that was active already."""
    served = state.active is not None and state.active.deployment == identifier
    if served or identifier in (*state.history, *state.waiting):
        return state
    return msgspec.structs.replace(state, waiting=(identifier, *state.waiting))


def kept(state: BranchState, count: int) -> set[str]:
    """
    Deployments that stay whatever their age: what the branch answers from, and what it can go
    back to, `count` in all. Those that wait for their activation push out neither.
    """
    served = {each.deployment for each in (state.active, state.previous) if each is not None}
    return served | set(state.history[: count - 1])


def retained_files(
    kept: Iterable[RetainedFile], old: tuple[Header, Iterable[Entry]], now: float, lifetime: float
) -> dict[str, RetainedFile]:
    """
    By path, the fingerprinted files that tabs opened before a change may still ask for.

    `kept` are those of earlier changes, `old` is what served until now; its files stay for
    `lifetime` seconds.
    """
    files = {file.entry.path: file for file in kept if file.until > now}
    header, entries = old
    for entry in entries:
        if is_fingerprinted(entry.path):
            files[entry.path] = RetainedFile(
                deployment=header.id, created=header.created, until=now + lifetime, entry=entry
            )
    return files


def newest(files: Iterable[RetainedFile]) -> list[RetainedFile]:
    """Those that stay longest, `MAX_RETAINED` at most."""
    return sorted(files, key=lambda file: file.until)[-MAX_RETAINED:]
