"""
Every change of what a node serves: reload, deploy, activate, roll back, delete, purge, collect.

Laws: the same code behind the admin API and, with no node running, behind the command line. One
change at a time, under the store's lock. Configuration and activations meet only here: a deploy
never re-reads an app's files, a reload never moves a deployment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.control import activation, durable, purging
from edge.control.announcements import FileDigest
from edge.control.appraisal import Appraisal
from edge.control.belongings import Belongings
from edge.control.blobs import BlobStore, held
from edge.control.carried import Documents
from edge.control.claims import hosts_of
from edge.control.configuration import Configuration, config_root
from edge.control.deployments import LEASE, Deployments, Marked, NoSuch
from edge.control.events import Events
from edge.control.fleet import Fleet
from edge.control.forecast import Forecast
from edge.control.generations import Generations
from edge.control.hits import Hits
from edge.control.purging import Purge, Selection
from edge.control.rehearsals import Proposal, Rehearsals
from edge.control.reload import Reload, Reloaded
from edge.errors import ConfigError, StoreError
from edge.site.documents import App
from edge.site.generation import AppState, BranchState, Generation
from edge.site.keys import label_of_branch
from edge.site.manifest import Header
from edge.site.places import Places
from edge.site.scopes import Scope
from edge.site.settings import Settings

log = logging.getLogger("edge.changes")


class Changes:
    """The one writer of a state folder."""

    def __init__(self, places: Places, config: Path | None) -> None:
        self._places = places
        self.blobs = BlobStore(places)
        self.deployments = Deployments(places, self.blobs)
        self.belongings = Belongings(places, self.deployments)
        self.fleet = Fleet(places.run)
        self.events = Events()
        self.generations = Generations(places, self.fleet, config_root(config))
        self.rehearsals = Rehearsals(places, self.deployments, self.generations)
        self._hits = Hits(places)
        self._appraisal = Appraisal(self.deployments, self.generations, self.rehearsals, self._hits)
        forecast = Forecast(places, self.deployments, self.generations, self.rehearsals)
        self._reload = Reload(config, self.deployments, self.generations, self._appraisal, forecast)
        self._mutex = threading.RLock()
        self._depth = 0

    def open(self) -> None:
        """Make what a new state folder lacks."""
        self._places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("generations", "compiled", "deployments", "branches", "run"):
            (self._places.state / name).mkdir(mode=0o700, exist_ok=True)
        with self.exclusively():
            self.blobs.open()

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """One change at a time, in this process and between processes; a change may nest."""
        with self._mutex:
            if self._depth:
                yield
                return
            with durable.locked(self._places.store_lock):
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    def check(self) -> Configuration:
        """Read everything, find every mistake and what was probably not meant; nothing changes."""
        return self._reload.check(lint=True)

    def proposal(self) -> Proposal:
        """What a reload would make of every app. See `Reload.proposal`."""
        return self._reload.proposal()

    def reload(self, *, atomic: bool = False) -> Reloaded:
        """Serve the operator's files as they are now. See `Reload.run`."""
        with self.events.reloading(), self.exclusively():
            return self._reload.run(atomic=atomic)

    def rehearse(self, *, atomic: bool = False) -> Reloaded:
        """What a reload would do. See `Reload.rehearse`."""
        with self.exclusively():
            return self._reload.rehearse(atomic=atomic)

    # Deployments

    def begin(
        self,
        app: str,
        branch: str,
        files: Mapping[str, FileDigest],
        message: str = "",
        *,
        is_stranger: bool = False,
    ) -> tuple[Header, list[str]]:
        """
        Announce a deployment: its header and the blobs to send. See `Deployments.begin`.

        A stranger to other apps has to send what his own does not have (`belongings`).
        """
        with self.exclusively():
            limits = self._reload.generation().settings.limits
            hashes = {file.sha256 for file in files.values()} if is_stranger else set()
            withheld = self.belongings.withheld(app, branch, hashes)
            return self.deployments.begin(app, branch, files, message, limits, withheld=withheld)

    def prepare(self, identifier: str) -> None:
        """Do what of an activation needs no turn. See `Deployments.prepare`."""
        with self.events.deploying(lambda: self._known(identifier)):
            self.deployments.prepare(identifier)

    def _known(self, identifier: str) -> Header:
        """The header of a deployment, pending or complete."""
        pending = self.deployments.pending(identifier)
        return self.deployments.find(identifier) if pending is None else pending.header

    def activate(self, identifier: str) -> Header:
        """
        Serve a deployment on its branch: a pointer moves, nothing is copied.

        Raises:
            Missing: blobs are not here yet.
            Mistaken: rules or headers that it carries have mistakes, or tests that fail with it.
            StoreError: there is no such deployment, or a worker refused the change.
        """
        with self.events.deploying(lambda: self._known(identifier)):
            self.deployments.prepare(identifier)
            header, is_news = self._activate(identifier)
        if is_news:
            self.events.deployed(header, "succeeded")
        return header

    def complete(self, identifier: str) -> Header:
        """Keep a deployment that is not to serve yet, as others are. Raises as `activate`."""
        self.deployments.prepare(identifier)
        with self.exclusively():
            header = self.deployments.complete(identifier)
            generation, documents = self._reload.generation(), Documents()
            owner = self._reload.owner(header, generation, documents)
            state = activation.waiting(owner.branches[header.label], identifier)
            if state is not owner.branches[header.label]:
                self._commit_branch(generation, owner, state, documents)
            return header

    def _activate(self, identifier: str) -> tuple[Header, bool]:
        """The deployment that serves, and whether another did before."""
        with self.exclusively():
            header = self.deployments.complete(identifier)
            generation = self._reload.generation()
            documents = Documents()
            owner = self._reload.owner(header, generation, documents)
            state = owner.branches[header.label]
            is_news = state.active is None or state.active.deployment != identifier
            if is_news:
                carried = self._reload.carried(header)
                retained = self._retained(state, header, owner, documents)
                state = activation.activated(state, identifier, time.time(), retained)
                state = activation.carrying(state, carried, documents)
                self._appraisal.try_out(owner, state, carried, documents)
                self._commit_branch(generation, owner, state, documents)
            return header, is_news

    def warnings(self, header: Header) -> list[ConfigError]:
        """What is probably not meant of what a deployment carries."""
        return list(self._reload.carried(header).warnings)

    def rollback(self, app: str, branch: str) -> Header:
        """
        Serve what the branch served before.

        Raises:
            StoreError: there is nothing before, or no such branch.
        """
        with self.exclusively():
            generation = self._reload.generation()
            owner, state = self.app(app), self.branch(app, branch)
            if not state.history:
                raise StoreError(
                    f"branch {branch} of app {app} has no earlier deployment to go back to"
                )
            header = self.deployments.header(app, state.label, state.history[0])
            with self.events.deploying(lambda: header):
                documents = Documents()
                retained = self._retained(state, header, owner, documents)
                state = activation.rolled_back(state, time.time(), retained)
                state = activation.carrying(state, self._reload.carried(header), documents)
                self._commit_branch(generation, owner, state, documents)
        self.events.deployed(header, "rolled_back")
        return header

    def _commit_branch(
        self, generation: Generation, owner: AppState, state: BranchState, documents: Documents
    ) -> None:
        """Serve a branch's new state, and forget deployments that it can do without."""
        count = max(1, (owner.config or App()).retain.deployments)
        gone = self.deployments.surplus(
            owner.name, state.label, count, activation.kept(state, count)
        )
        branches = {**owner.branches, state.label: activation.without(state, gone)}
        changed = msgspec.structs.replace(owner, branches=branches)
        self.generations.commit(generation.settings, {owner.name: changed}, documents.all)
        self.deployments.delete(owner.name, state.label, gone)

    def _retained(
        self, state: BranchState, new: Header, owner: AppState, documents: Documents
    ) -> str | None:
        """The key of the document of files that only earlier deployments had."""
        if state.active is None:
            return None
        now = time.time()
        lifetime = (owner.config or App()).retain.assets
        try:
            old = self.deployments.header(new.app, new.label, state.active.deployment)
            earlier = self.generations.retained(state.retained)
            entries = self.deployments.entries(old)
            files = activation.retained_files(earlier, (old, entries), now, lifetime)
        except StoreError as error:  # damage to what was must not keep out what is new
            log.warning("no files of earlier deployments are kept: %s", error)
            return None
        for entry in self.deployments.entries(new):
            files.pop(entry.path, None)
        if not files:
            return None
        return documents.add(msgspec.json.encode(activation.newest(files.values())))

    # What goes

    def delete_branch(self, app: str, branch: str) -> str:
        """Forget a branch: its hostnames answer 404 at once. Returns its label."""
        with self.exclusively():
            label = self.branch(app, branch).label
            self._forget_branches([(app, label)])
            return label

    def _forget_branches(self, gone: list[tuple[str, str]]) -> None:
        """Forget (app, label) of each, in one generation."""
        generation = self._reload.generation()
        old = self.generations.apps(generation)
        changed: dict[str, AppState | None] = {}
        for app, owner in old.items():
            branches = {
                label: state for label, state in owner.branches.items() if (app, label) not in gone
            }
            if len(branches) < len(owner.branches):
                changed[app] = msgspec.structs.replace(owner, branches=branches)
        if changed:
            self.generations.commit(generation.settings, changed)
            names = [(app, old[app].branches[label].name) for app, label in gone]
            labels = [label_of_branch(app, name) for app, name in names]
            # one worker may have asked for another before both had swapped
            self.fleet.purge(Purge(labels=labels).order)
        for app, label in gone:
            self.deployments.delete_branch(app, label)

    def collect(self) -> tuple[int, int]:
        """
        Delete branches past their time, then blobs that nothing names: (blobs, bytes).

        Raises:
            StoreError: a backup is being made of them.
        """
        marked = self.deployments.mark(Marked())
        now = time.time()
        with held(self._places.blobs), self.exclusively():
            if gone := self._stale_branches(now):
                self._forget_branches(gone)
            marked.blobs |= self.generations.collect()
            collected = self.deployments.collect(marked, now)
            self.belongings.collect(now)
        durable.sweep(self._places.state, now - LEASE, self._places.blobs.name)
        return collected

    def _stale_branches(self, now: float) -> list[tuple[str, str]]:
        """(app, label) of branches nobody deployed to for long, without a domain of their own."""
        generation = self.generations.current()
        limits: dict[str, float] = {}
        explicit: set[tuple[str, str]] = set()
        for app, owner in self.generations.apps(generation).items():
            if owner.config is not None:
                limits[app] = now - owner.config.retain.branches
                explicit |= {
                    (app, branch)
                    for domain in owner.config.domains.values()
                    for branch in domain.subdomains.values()
                }
        return [
            (app, record.label)
            for app, record in self.deployments.stale(limits)
            if (app, record.name) not in explicit
        ]

    def count_hits(self) -> None:
        """Remember which rules requests hit; beside a change, for it writes files of its own."""
        self._hits.add(self.fleet.hits(), time.time())

    def purge(self, selection: Selection, scope: Scope | None = None) -> int:
        """
        Forget stored answers everywhere, performance mode's previous ones included.

        Returns:
            How many there were; those that several workers have copies of count once. What a
            previous deployment answers counts as stored, also where no worker has read it yet.

        Raises:
            NoSuch: what is named is not there.
            Malformed: a URL is none.
            Forbidden: it is outside the scope of who asks.
        """
        branches = {} if selection.app is None else self._named(selection.app, selection.branch)
        own = {} if scope is None else self._named(scope.app, None)
        with self.exclusively():
            world = self.rehearsals.serving()
            purge = purging.find(selection, world.snapshot, branches, scope, own)
            kept = self._end_previous(purge, world.epoch)
            return max(self.fleet.purge(purge.order), kept)

    def _named(self, app: str, branch: str | None) -> dict[str, str]:
        """The branches of an app that are meant, with their labels."""
        if branch is not None:
            return {branch: self.branch(app, branch).label}
        return {state.name: state.label for state in self.app(app).branches.values()}

    def _end_previous(self, purge: Purge, epoch: float) -> int:
        """Let no earlier deployment answer for what is purged; how many of its files went."""
        kept = purging.kept_of(purge, self.rehearsals.load, epoch)
        generation = self.generations.current()
        changed = purging.end_previous(purge, kept, self.generations.apps(generation))
        if changed and generation is not None:
            self.generations.commit(generation.settings, changed)
        return sum(name[0] != "/" for names in kept.values() for name in names)

    # What there is

    def app(self, app: str) -> AppState:
        """
        The state of an app by its name.

        Raises:
            NoSuch: there is no such app; says which there are.
        """
        generation = self.generations.current()
        owner = self.generations.find(generation, app)
        if owner is None:
            known = ", ".join(generation.apps if generation is not None else ()) or "none yet"
            raise NoSuch(f"there is no app {app} (there are: {known})")
        return owner

    def branch(self, app: str, branch: str) -> BranchState:
        """
        The state of a branch by its name.

        Raises:
            NoSuch: there is no such app or branch; says which there are.
        """
        states = self.app(app).branches.values()
        for state in states:
            if state.name == branch:
                return state
        known = ", ".join(sorted(state.name for state in states)) or "none yet"
        raise NoSuch(f"app {app} has no branch {branch} (it has: {known})")

    def urls(self, app: str, label: str) -> list[str]:
        """The URLs that a branch answers at, the operator's own domains first."""
        settings = self._reload.generation().settings
        scheme, port = origin_of(settings)
        hosts = hosts_of(self.app(app), label, settings.default_domain)
        return [f"{scheme}://{host}{port}" for host in hosts]


def origin_of(settings: Settings) -> tuple[str, str]:
    """(scheme, `:port` where it is not the scheme's own) that clients reach this node at."""
    if settings.listen.https:
        scheme, addresses, default = "https", settings.listen.https, "443"
    else:
        scheme, addresses, default = "http", settings.listen.http, "80"
    port = addresses[0].rpartition(":")[2] if addresses else default
    return scheme, "" if port == default else f":{port}"
