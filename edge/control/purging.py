"""
What an operator wants forgotten, and what of the stored answers that is.

Laws: exactly one kind of thing is named; a host or an app that does not exist is an error, not a
purge of nothing. Addresses are told apart as the store tells them: by host, decoded path and those
parameters that make a difference; scheme and port do not count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from edge.control import activation
from edge.control.announcements import Malformed
from edge.control.deployments import NoSuch
from edge.control.questions import Asked, request_of
from edge.errors import MalformedRequest
from edge.http.target import decode_path, split_query
from edge.node.purging import asset_at
from edge.site import keys
from edge.site.decoding import decode_json
from edge.site.generation import AppState, BranchState
from edge.site.scopes import Scope
from edge.site.snapshot import Branch, Site, Snapshot

log = logging.getLogger("edge.purging")

FORM = 'send one of {"urls": […]}, {"tags": […]}, {"hosts": […]}, {"app": …}, {"all": true}'


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """What is named."""

    urls: list[str] = []
    tags: list[str] = []
    hosts: list[str] = []
    app: str | None = None
    branch: str | None = None
    """Of the app; None is all of them."""
    all: bool = False
    soft: bool = False
    """Whether it is kept, and validated before it serves again."""


class Purge(msgspec.Struct):
    """What is to go."""

    everything: bool = False
    soft: bool = False
    labels: list[bytes] = []
    """Of answers of origins."""
    files: list[tuple[str, str, str | None]] = []
    """App, label of the branch and decoded path (None: all) of stored files."""
    within: list[bytes] | None = None
    """Only what is under one of these labels, too; None is no bound."""
    pages: list[tuple[Branch, str]] = []
    """Branch and decoded path of each address; they are among `files`, too."""

    @property
    def order(self) -> dict[str, Any]:
        """What workers are told."""
        return {
            "do": "purge",
            "everything": self.everything,
            "soft": self.soft,
            "labels": [label.decode("latin-1") for label in self.labels],
            "files": self.files,
            "within": None
            if self.within is None
            else [label.decode("latin-1") for label in self.within],
        }


def decode_selection(body: bytes) -> Selection:
    """
    What a request names; one without content names everything.

    Raises:
        Malformed: it names nothing, or several kinds of things.
    """
    if not body.strip():
        return Selection(all=True)
    try:
        selection = decode_json(body, Selection)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Malformed(f"{error}; {FORM}") from error
    named = (selection.urls, selection.tags, selection.hosts, selection.app, selection.all)
    if sum(map(bool, named)) != 1 or (selection.branch and not selection.app):
        raise Malformed(FORM)
    return selection


def find(
    selection: Selection,
    snapshot: Snapshot,
    branches: Mapping[str, str],
    scope: Scope | None = None,
    own: Iterable[str] = (),
) -> Purge:
    """
    What a selection comes to, in a snapshot that can resolve hosts.

    `branches` are those of the app that it names, or the one: name → label; `own` are the names of
    all that the scope's app has.

    Raises:
        Malformed: a URL is none.
        NoSuch: nobody answers at a host.
        Forbidden: it is outside the scope.
    """
    purge = Purge(everything=selection.all, soft=selection.soft)
    if scope is not None:
        bound(purge, selection, scope, own)
    for url in selection.urls:
        add_page(purge, url, snapshot, scope)
    for host in selection.hosts:
        site, branch = served(snapshot, host.encode(), scope)
        purge.labels.append(keys.label_of_host(site.host))
        purge.files.append((branch.app, branch.label, None))
    purge.labels += [keys.label_of_tag(tag.encode()) for tag in selection.tags]
    for name, label in branches.items():
        assert selection.app is not None, "branches are an app's"
        purge.labels.append(keys.label_of_branch(selection.app, name))
        purge.files.append((selection.app, label, None))
    return purge


def bound(purge: Purge, selection: Selection, scope: Scope, own: Iterable[str]) -> None:
    """Keep a purge to what a token is for: tags are every app's."""
    scope.require("purge", selection.app, selection.branch)
    if selection.all:
        raise scope.refusal()
    covered = [name for name in own if scope.covers(scope.app, name)]
    purge.within = [keys.label_of_branch(scope.app, name) for name in covered]


def add_page(purge: Purge, url: str, snapshot: Snapshot, scope: Scope | None) -> None:
    """One address."""
    request = request_of(Asked(url), is_inline=False)
    site, branch = served(snapshot, request.authority, scope)
    raw, query = split_query(request.target)
    try:
        path = decode_path(raw)
    except MalformedRequest as error:
        raise Malformed(f"{url[:200]!r}: {error}") from error
    asked = "" if query is None else "?" + query.decode("latin-1")
    chosen = keys.chosen_query(asked, branch.cache.query).encode("latin-1")
    purge.labels.append(keys.label_of_page(site.host, path, chosen))
    purge.labels.append(keys.label_of_pages(site.host))
    purge.files.append((branch.app, branch.label, path))
    purge.pages.append((branch, path))


Kept = dict[tuple[str, str], set[str]]
"""By app and label: names as in `BranchState.purged`."""


def kept_of(purge: Purge, load: Callable[[Branch], None], epoch: float) -> Kept:
    """
    What earlier deployments still answer of the addresses that are purged (performance mode).

    `load` has the manifests of a branch read.
    """
    found: Kept = {}
    for branch, path in purge.pages:
        if branch.answers_before(epoch):
            load(branch)
            found.setdefault((branch.app, branch.label), set()).update(names_at(branch, path))
    return found


def names_at(branch: Branch, path: str) -> Iterator[str]:
    """The file of the previous deployment at a path; the path too, where rules may lead it on."""
    assert branch.previous is not None, "it answers"
    assert branch.previous.manifest is not None, "it is loaded"
    asset = asset_at(branch.previous.manifest, path, branch.trailing_slash)
    if asset is not None and asset.entry.path not in branch.purged:
        yield asset.entry.path
    if not branch.plan.is_empty and path not in branch.purged:
        yield path


def end_previous(purge: Purge, kept: Kept, apps: Mapping[str, AppState]) -> dict[str, AppState]:
    """The apps that are others when no earlier deployment answers for what is purged."""
    whole = {(app, label) for app, label, path in purge.files if path is None}
    changed = {}
    for name, owner in apps.items():
        branches = {}
        for label, state in owner.branches.items():
            is_whole = purge.everything or (name, label) in whole
            branches[label] = ended(state, None if is_whole else kept.get((name, label), ()))
        if branches != owner.branches:
            changed[name] = replace(owner, branches=branches)
    return changed


def ended(state: BranchState, names: Collection[str] | None) -> BranchState:
    """A branch after its purge; the log is told where one of pages comes to one of all."""
    if state.previous is None or (names is not None and not names):
        return state
    after = activation.purged(state, names)
    if after.previous is None and names is not None:
        log.warning(
            "more than %d files of the deployment before were purged one by one from branch %s: "
            "performance mode ends for all of it until the next deploy",
            activation.MAX_PURGED,
            state.name,
        )
    return after


def served(snapshot: Snapshot, authority: bytes, scope: Scope | None = None) -> tuple[Site, Branch]:
    """The site of a host, and its branch; one that a scope does not cover is refused."""
    try:
        site = snapshot.resolve(authority)
    except MalformedRequest as error:
        raise Malformed(f"{authority.decode('utf-8', 'replace')!r} is no host: {error}") from error
    is_ours = scope is None or (
        site is not None
        and site.branch is not None
        and scope.covers(site.branch.app, site.branch.name)
    )
    if scope is not None and not is_ours:
        raise scope.refusal()
    if site is None or site.branch is None:
        name = authority.decode("utf-8", "replace")
        raise NoSuch(f"no app of this node answers at {name}; `edge branches` lists the URLs")
    return site, site.branch
