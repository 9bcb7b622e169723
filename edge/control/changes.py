"""
Every change of what a node serves: reload, deploy, activate, roll back, delete, purge, collect.

Laws: the same code behind the admin API and, with no node running, behind the command line. One
change at a time, under the store's lock. Configuration and activations meet only here: a deploy
never re-reads an app's files, a reload never moves a deployment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.control import configuration, durable
from edge.control.blobs import BlobStore
from edge.control.configuration import Configuration
from edge.control.deployments import Deployments, FileDigest
from edge.control.fleet import Fleet
from edge.control.generations import Generations
from edge.errors import ConfigError, StoreError
from edge.site.documents import App
from edge.site.generation import Activation, AppState, BranchState, Generation, RetainedFile
from edge.site.hosts import HostClaim, app_hosts
from edge.site.manifest import Header, is_fingerprinted
from edge.site.places import Places
from edge.site.settings import Settings

MAX_RETAINED = 50_000
"""Fingerprinted files of earlier deployments that a branch keeps; the oldest go first."""


class Refused(StoreError):
    """A configuration with mistakes; what was good serves on."""

    def __init__(self, errors: list[ConfigError], kept: list[str], reloaded: Reloaded) -> None:
        super().__init__(f"{len(errors)} mistakes in the configuration")
        self.errors = errors
        self.kept = kept
        """Apps that serve their last good configuration, or 503 if they never had one."""
        self.reloaded = reloaded
        """What of the rest changed."""


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did."""

    generation: int
    changed: list[str]
    """Apps whose configuration is new or gone."""


class Changes:
    """The one writer of a state folder."""

    def __init__(self, places: Places, config: Path | None) -> None:
        self._places = places
        self._config = config
        self._root = configuration.config_root(config)
        self.blobs = BlobStore(places)
        self.deployments = Deployments(places, self.blobs)
        self.fleet = Fleet(places.run)
        self.generations = Generations(places, self.fleet)
        self._mutex = threading.RLock()
        self._depth = 0

    def open(self) -> None:
        """Make what a new state folder lacks."""
        self._places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("generations", "compiled", "deployments", "branches", "run"):
            (self._places.state / folder).mkdir(mode=0o700, exist_ok=True)
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

    # Configuration

    def check(self) -> Configuration:
        """Read everything and find every mistake; nothing changes."""
        settings, errors = configuration.read_settings(self._config)
        apps = self._root / (settings.apps if settings is not None else "rules")
        found = configuration.read_apps(apps, settings.apps if settings is not None else "rules")
        found.settings = settings
        found.errors[:0] = errors
        if settings is not None:
            self._find_conflicts(found, settings)
        return found

    def _find_conflicts(self, found: Configuration, settings: Settings) -> None:
        incumbents = {host: claim.app for host, claim in self._incumbents(settings).items()}
        claims: list[HostClaim] = []
        for name, app in found.apps.items():
            names = {record.label: record.name for record in self.deployments.branches(name)}
            claims += app_hosts(name, app, names, settings.default_domain)
        configuration.refuse_conflicts(found, claims, incumbents)

    def _incumbents(self, settings: Settings) -> dict[str, HostClaim]:
        """Every hostname that is served now."""
        return {
            claim.host: claim
            for state in self.generations.apps(self.generations.current()).values()
            if state.config is not None
            for claim in self._claims_of(state, settings)
        }

    def _claims_of(self, state: AppState, settings: Settings) -> list[HostClaim]:
        return app_hosts(
            state.name, state.config or App(), names_of(state), settings.default_domain
        )

    def reload(self) -> Reloaded:
        """
        Serve the operator's files as they are now.

        Raises:
            Refused: there are mistakes. Apps without one serve what is new; an app with one keeps
                its last good configuration; with a mistake in `edge.yml` nothing changes at all.
        """
        with self.exclusively():
            found = self.check()
            before = self.generations.current()
            if found.settings is None:
                number = before.number if before is not None else 0
                raise Refused(found.errors, sorted(found.apps), Reloaded(number, []))
            reloaded = self._commit_configuration(found, before, found.settings)
            if found.errors:
                raise Refused(found.errors, sorted(found.broken), reloaded)
            return reloaded

    def _commit_configuration(
        self, found: Configuration, before: Generation | None, settings: Settings
    ) -> Reloaded:
        old = self.generations.apps(before)
        changed: dict[str, AppState | None] = {
            name: None for name in old if name not in found.apps and name not in found.broken
        }
        for name in (*found.apps, *found.broken):
            state = self._configured(name, found.apps.get(name), old.get(name))
            if state != old.get(name):
                changed[name] = state
        if not changed and before is not None and before.settings == settings:
            return Reloaded(before.number, [])
        generation = self.generations.commit(settings, changed)
        return Reloaded(generation.number, sorted(changed))

    def _configured(self, name: str, app: App | None, old: AppState | None) -> AppState:
        """An app's state with a new configuration; without one, its last good one stays."""
        if old is not None:
            return old if app is None else msgspec.structs.replace(old, config=app)
        branches = {
            record.label: BranchState(name=record.name, label=record.label)
            for record in self.deployments.branches(name)
        }
        return AppState(name=name, config=app, branches=self._recalled(name, branches))

    def _recalled(self, app: str, branches: dict[str, BranchState]) -> dict[str, BranchState]:
        """An app whose folder was gone and is back serves the newest deployments it has."""
        for label, state in branches.items():
            headers = self.deployments.of_branch(app, label)
            if headers:
                active = Activation(deployment=headers[0].id, at=time.time())
                history = tuple(header.id for header in headers[1:])
                branches[label] = msgspec.structs.replace(state, active=active, history=history)
        return branches

    # Deployments

    def begin(
        self, app: str, branch: str, files: Mapping[str, FileDigest], message: str = ""
    ) -> tuple[Header, list[str]]:
        """Announce a deployment: its header and the blobs to send. See `Deployments.begin`."""
        with self.exclusively():
            return self.deployments.begin(app, branch, files, message)

    def activate(self, identifier: str) -> Header:
        """
        Serve a deployment on its branch: a pointer moves, nothing is copied.

        Raises:
            Missing: blobs are not here yet.
            StoreError: there is no such deployment, or a worker refused the change.
        """
        with self.exclusively():
            header = self.deployments.complete(identifier)
            self._change_branch(header, lambda state: self._activated(state, header))
            self._retain(header.app, header.label)
            return header

    def rollback(self, app: str, branch: str) -> Header:
        """
        Serve what the branch served before.

        Raises:
            StoreError: there is nothing before, or no such branch.
        """
        with self.exclusively():
            state = self.branch(app, branch)
            if not state.history:
                raise StoreError(
                    f"branch {branch} of app {app} has no earlier deployment to go back to"
                )
            header = self.deployments.header(app, state.label, state.history[0])
            self._change_branch(header, lambda state: self._rolled_back(state, header))
            return header

    def delete_branch(self, app: str, branch: str) -> str:
        """Forget a branch: its hostnames answer 404 at once. Returns its label."""
        with self.exclusively():
            generation = self._generation()
            state = self.branch(app, branch)
            owner = self.generations.apps(generation)[app]
            branches = {
                label: kept for label, kept in owner.branches.items() if label != state.label
            }
            self.generations.commit(
                generation.settings, {app: msgspec.structs.replace(owner, branches=branches)}
            )
            self.deployments.delete_branch(app, state.label)
            return state.label

    def _change_branch(self, header: Header, change: Callable[[BranchState], BranchState]) -> None:
        generation = self._generation()
        owner = self.generations.apps(generation).get(header.app)
        if owner is None:
            owner = self._first_deploy(header.app, generation.settings)
        state = owner.branches.get(header.label)
        if state is None:
            state = BranchState(name=header.branch, label=header.label)
        branches = {**owner.branches, header.label: change(state)}
        changed = msgspec.structs.replace(owner, branches=branches)
        if header.label not in owner.branches:
            self._refuse_taken_hosts(changed, generation.settings)
        self.generations.commit(generation.settings, {header.app: changed})

    def _first_deploy(self, app: str, settings: Settings) -> AppState:
        """The state of an app that the current generation does not have."""
        folder = self._root / settings.apps
        configuration.create_app_folder(folder, app)
        found = configuration.read_app(folder / app, f"{settings.apps}/{app}/app.yml")
        return AppState(name=app, config=found.apps.get(app))

    def _refuse_taken_hosts(self, state: AppState, settings: Settings) -> None:
        """A new branch brings hostnames; none of them may be another app's."""
        if state.config is None:
            return
        incumbents = self._incumbents(settings)
        for claim in self._claims_of(state, settings):
            rival = incumbents.get(claim.host)
            if rival is not None and rival.app != claim.app:
                raise StoreError(
                    f"{claim.host} would be claimed by app {claim.app} branch {claim.branch}, "
                    f"but app {rival.app} branch {rival.branch} has it; "
                    f"take it out of one app.yml, then activate again"
                )

    def _generation(self) -> Generation:
        """The current generation; in a new state folder the first one is made of the files."""
        generation = self.generations.current()
        if generation is None:
            try:
                self.reload()
            except Refused as refused:
                if refused.reloaded.generation == 0:
                    raise
            generation = self.generations.current()
        assert generation is not None, "reload commits a generation or raises"
        return generation

    def _activated(self, state: BranchState, header: Header) -> BranchState:
        before = state.active
        if before is not None and before.deployment == header.id:
            return state
        history = tuple(each for each in state.history if each != header.id)
        if before is not None:
            history = (before.deployment, *history)
        return msgspec.structs.replace(
            state,
            active=Activation(deployment=header.id, at=time.time()),
            previous=before,
            history=history,
            retained=self._retain_assets(state, header),
        )

    def _rolled_back(self, state: BranchState, header: Header) -> BranchState:
        return msgspec.structs.replace(
            state,
            active=Activation(deployment=header.id, at=time.time()),
            previous=None,
            history=state.history[1:],
            retained=self._retain_assets(state, header),
        )

    # What is kept

    def _retain_assets(self, state: BranchState, new: Header) -> str | None:
        """Fingerprinted files that tabs opened before this change may still ask for."""
        if state.active is None:
            return None
        config = self._config_of(new.app)
        now = time.time()
        old = self.deployments.header(new.app, new.label, state.active.deployment)
        kept = {
            file.entry.path: file
            for file in self.generations.retained(state.retained)
            if file.until > now
        }
        for entry in self.deployments.entries(old):
            if is_fingerprinted(entry.path):
                kept[entry.path] = RetainedFile(
                    deployment=old.id,
                    created=old.created,
                    until=now + config.retain.assets,
                    entry=entry,
                )
        for entry in self.deployments.entries(new):
            kept.pop(entry.path, None)
        if not kept:
            return None
        newest = sorted(kept.values(), key=lambda file: file.until)[-MAX_RETAINED:]
        return self.generations.write(msgspec.json.encode(newest), [])

    def _config_of(self, app: str) -> App:
        state = self.generations.apps(self.generations.current()).get(app)
        return state.config if state is not None and state.config is not None else App()

    def _retain(self, app: str, label: str) -> None:
        """Keep the newest deployments of a branch, and those it may still answer from."""
        state = self.generations.apps(self.generations.current())[app].branches[label]
        count = max(1, self._config_of(app).retain.deployments)
        keep = [each.deployment for each in (state.active, state.previous) if each is not None]
        gone: set[str] = set(self.deployments.retain(app, label, count, keep))
        if gone & set(state.history):
            history = tuple(each for each in state.history if each not in gone)
            header = self.deployments.header(app, label, keep[0])
            self._change_branch(
                header, lambda state: msgspec.structs.replace(state, history=history)
            )

    def collect(self) -> tuple[int, int]:
        """Delete branches past their time, then blobs that nothing names: (blobs, bytes)."""
        with self.exclusively():
            now = time.time()
            self._expire_branches(now)
            retained = self.generations.collect()
            return self.deployments.collect(retained, now)

    def _expire_branches(self, now: float) -> None:
        generation = self.generations.current()
        for app, owner in self.generations.apps(generation).items():
            config = owner.config
            if config is None or generation is None:
                continue
            claims = self._claims_of(owner, generation.settings)
            explicit = {claim.label for claim in claims if claim.kind == "domain"}
            for label, state in owner.branches.items():
                headers = self.deployments.of_branch(app, label)
                newest = max((header.created for header in headers), default=now)
                if label not in explicit and newest < now - config.retain.branches:
                    self.delete_branch(app, state.name)

    def purge(self) -> int:
        """Forget stored responses everywhere, performance mode's previous answers included."""
        with self.exclusively():
            generation = self.generations.current()
            changed: dict[str, AppState | None] = {}
            for name, owner in self.generations.apps(generation).items():
                branches = {
                    label: msgspec.structs.replace(state, previous=None)
                    for label, state in owner.branches.items()
                }
                if branches != owner.branches:
                    changed[name] = msgspec.structs.replace(owner, branches=branches)
            if changed and generation is not None:
                self.generations.commit(generation.settings, changed)
            return self.fleet.purge()

    # What there is

    def branch(self, app: str, branch: str) -> BranchState:
        """
        The state of a branch by its name.

        Raises:
            StoreError: there is no such app or branch; says which there are.
        """
        apps = self.generations.apps(self.generations.current())
        if app not in apps:
            known = ", ".join(sorted(apps)) or "none yet"
            raise StoreError(f"there is no app {app} (there are: {known})")
        for state in apps[app].branches.values():
            if state.name == branch:
                return state
        known = ", ".join(sorted(state.name for state in apps[app].branches.values())) or "none yet"
        raise StoreError(f"app {app} has no branch {branch} (it has: {known})")

    def urls(self, app: str, label: str) -> list[str]:
        """The URLs that a branch answers at, the operator's own domains first."""
        generation = self._generation()
        owner = self.generations.apps(generation)[app]
        settings = generation.settings
        scheme, port = origin_of(settings)
        claims = self._claims_of(owner, settings)
        order = {"domain": 0, "auto": 1, "default": 2}
        mine = sorted(
            (claim for claim in claims if claim.label == label),
            key=lambda claim: (order[claim.kind], claim.host),
        )
        return [f"{scheme}://{claim.host}{port}" for claim in mine]


def names_of(state: AppState) -> dict[str, str]:
    """Branch names by label."""
    return {label: branch.name for label, branch in state.branches.items()}


def origin_of(settings: Settings) -> tuple[str, str]:
    """(scheme, `:port` where it is not the scheme's own) that clients reach this node at."""
    if settings.listen.https:
        scheme, addresses, default = "https", settings.listen.https, "443"
    else:
        scheme, addresses, default = "http", settings.listen.http, "80"
    port = addresses[0].rpartition(":")[2] if addresses else default
    return scheme, "" if port == default else f":{port}"
