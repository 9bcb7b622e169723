"""
Gathers what the page shows, of what control knows already.

Laws: asks nobody but the workers, writes nothing, and shows a scoped token its own app alone. A
node with 1,000 apps costs some milliseconds; they are a thread's.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import nsmallest
from operator import itemgetter
from typing import Any, Final, Protocol

import msgspec

from edge.control.events import DeployEnded, Event
from edge.control.operations import Operations
from edge.control.overview import (
    MAX_RECENT,
    MAX_ROWS,
    AppRow,
    BranchRow,
    DeployRow,
    Overview,
    Result,
    Traffic,
    begin_of,
    requests_of,
    urgent,
)
from edge.control.scoped import Scoped
from edge.control.series import Minute
from edge.errors import StoreError
from edge.site.generation import AppState, BranchState
from edge.site.scopes import Scope

Document = dict[str, Any]

MAX_ENDED = 200
"""Deployments whose end is remembered."""

RESULTS: Final[dict[str, Result]] = {
    "succeeded": "replaced",
    "failed": "failed",
    "rolled_back": "rolled back",
}
"""What an end is called once something else serves."""


class Counted(Protocol):
    """What was counted, by minute."""

    def minutes(self, app: str | None) -> list[Minute]:
        """Of an app or the node, oldest first."""


class Gathering:
    """What is known of one node."""

    def __init__(
        self,
        operations: Operations,
        counting: Counted,
        workers: Callable[[], list[Document]],
        certificates: Callable[[], Document],
        alarms: Callable[[], Document],
    ) -> None:
        """
        `workers`, `certificates` and `alarms` make the documents of these.

        Whoever asks the workers kills a silent one: they have to be asked as patiently as
        `counting` asks them, or to look at the node would change it.
        """
        self._operations = operations
        self._counting = counting
        self._workers = workers
        self._certificates = certificates
        self.alarms = alarms
        self._ended: deque[DeployEnded] = deque(maxlen=MAX_ENDED)
        operations.changes.events.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, DeployEnded):
            self._ended.append(event)

    def of(self, scope: Scope | None) -> Operations:
        """The operations as a caller may see them."""
        return self._operations if scope is None else Scoped(self._operations, scope)

    def node(self, scope: Scope | None) -> str:
        """What the node is called; a token of one app is told nothing of the machine."""
        return socket.gethostname() if scope is None else ""

    def gather(self, scope: Scope | None, query: str, now: float, alarms: Document) -> Overview:
        """
        What a caller sees of the node, or of the app or apps that a query names. Slow.

        The alarms are told by the loop.
        """
        changes = self._operations.changes
        generation = changes.generations.current()
        states = list(changes.generations.apps(generation).values())
        if scope is not None:
            states = [each for each in states if each.name == scope.app]
        found = next((each.name for each in states if each.name == query), None)
        chosen = [
            each for each in states if each.name == found or (not found and query in each.name)
        ]
        overview = Overview(
            node=self.node(scope),
            now=now,
            generation=generation.number if generation is not None else 0,
            scope=None if scope is None else str(scope),
            app=found,
            query=query,
        )
        only = found if scope is None else scope.app
        if scope is None or scope.branch is None:
            overview.traffic = Traffic(self._counting.minutes(only), now)
        self._add_apps(overview, chosen, scope)
        if scope is None:
            self._add_node(overview, alarms.get("alarms", []))
        return overview

    def _add_apps(
        self, overview: Overview, states: Sequence[AppState], scope: Scope | None
    ) -> None:
        begins, minutes = begin_of(overview.now), self._counting.minutes
        is_counted = overview.traffic is not None
        ranked = [
            (-requests_of(minutes(each.name), begins) if is_counted else 0, each.name, each)
            for each in states
        ]
        overview.app_count = len(ranked)
        overview.apps = [
            app_row(each, scope, Traffic(minutes(name) if is_counted else (), overview.now))
            for _, name, each in nsmallest(MAX_ROWS, ranked, key=itemgetter(0, 1))
        ]
        overview.branch_count, newest = newest_branches(states, scope)
        overview.branches = [self._with_url(each) for each in newest]
        overview.deploys = self._deploys({each.name: each for each in states}, scope, newest)

    def _deploys(
        self, states: dict[str, AppState], scope: Scope | None, newest: Sequence[BranchRow]
    ) -> list[DeployRow]:
        ended = [
            each
            for each in tuple(self._ended)
            if each.app in states and (scope is None or scope.covers(each.app, each.branch))
        ]
        serving = {each.id for each in ended if serves(states[each.app], each)}
        return [self._with_text(each) for each in newest_deploys(ended, serving, newest)]

    def _with_url(self, row: BranchRow) -> BranchRow:
        with contextlib.suppress(StoreError):
            urls = self._operations.changes.urls(row.app, row.label)
            return msgspec.structs.replace(row, url=next(iter(urls), None))
        return row

    def _with_text(self, row: DeployRow) -> DeployRow:
        """With what its deployer wrote, where nobody told it."""
        if row.text or row.result == "failed":
            return row
        with contextlib.suppress(StoreError):
            header = self._operations.changes.deployments.header(row.app, row.label, row.id)
            return msgspec.structs.replace(row, text=header.message)
        return row

    def _add_node(self, overview: Overview, alarms: list[Document]) -> None:
        """What is the operator's alone; of one app, its alarms."""
        if overview.app is not None:
            overview.alarms = [each for each in alarms if each["app"] == overview.app]
            return
        overview.alarms = alarms
        overview.workers = sorted(self._workers(), key=itemgetter("pid"))
        document = self._certificates()
        overview.certificate_count = len(document["certificates"])
        overview.certificates = urgent(document["certificates"], overview.now)
        overview.mistakes = len(document["mistakes"])


def app_row(state: AppState, scope: Scope | None, traffic: Traffic) -> AppRow:
    """One app, with the branches that a caller may see."""
    names = [each.name for each in state.branches.values()]
    return AppRow(
        name=state.name,
        branches=sum(scope is None or scope.covers(state.name, name) for name in names),
        configured=state.config is not None,
        traffic=traffic,
        requests=traffic.requests,
    )


def newest_branches(states: Iterable[AppState], scope: Scope | None) -> tuple[int, list[BranchRow]]:
    """How many branches a caller may see, and so many as are shown, newest activation first."""
    found = [
        (-(0.0 if branch.active is None else branch.active.at), app.name, branch.name, branch)
        for app in states
        for branch in app.branches.values()
        if scope is None or scope.covers(app.name, branch.name)
    ]
    newest = nsmallest(MAX_ROWS, found, key=itemgetter(0, 1, 2))
    return len(found), [branch_row(app, branch) for _, app, _, branch in newest]


def branch_row(app: str, branch: BranchState) -> BranchRow:
    """What a branch serves."""
    active = branch.active
    return BranchRow(
        app=app,
        name=branch.name,
        label=branch.label,
        deployment=None if active is None else active.deployment,
        activated=None if active is None else active.at,
    )


def serves(app: AppState, event: DeployEnded) -> bool:
    """Whether what ended then serves now."""
    branch = app.branches.get(event.label)
    active = None if branch is None else branch.active
    return active is not None and active.deployment == event.id


def newest_deploys(
    ended: Sequence[DeployEnded], serving: Collection[str], branches: Sequence[BranchRow]
) -> list[DeployRow]:
    """
    What ended since this process began, and what serves since before; newest first.

    Of a deployment that was activated more than once, the last time says that it serves.
    """
    last = {each.id: each for each in ended if each.result != "failed"}
    rows = []
    for each in ended:
        is_serving = each is last.get(each.id) and each.id in serving
        rows.append(
            DeployRow(
                app=each.app,
                branch=each.branch,
                label=each.label,
                id=each.id,
                at=each.at,
                result="serves" if is_serving else RESULTS[each.result],
                text=each.reason or each.message,
            )
        )
    rows += [
        DeployRow(
            app=each.app,
            branch=each.name,
            label=each.label,
            id=each.deployment,
            at=each.activated or 0.0,
            result="serves",
        )
        for each in branches
        if each.deployment is not None and each.deployment not in last
    ]
    return sorted(rows, key=lambda each: -each.at)[:MAX_RECENT]
