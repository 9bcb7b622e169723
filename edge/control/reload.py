"""
The operator's files, made to serve: check, reload, and the folder of a new app.

Laws: one app's mistake leaves the others serving what is new and the app what it served; a mistake
in `edge.yml` changes nothing at all. A reload never moves a deployment. The caller holds the
store's lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from edge.control import activation, claims, configuration, recipients
from edge.control.app_folders import AppFolders
from edge.control.appraisal import Appraisal, has_tests
from edge.control.carried import Carried, Documents, read_carried
from edge.control.configuration import Configuration, Keys
from edge.control.consequences import Radius
from edge.control.deployments import Deployments
from edge.control.differences import Difference
from edge.control.forecast import Apps, Forecast
from edge.control.generations import Generations
from edge.control.rehearsals import Proposal
from edge.errors import ConfigError, Mistaken, StoreError
from edge.site.generation import AppState, BranchState, Generation
from edge.site.manifest import Header
from edge.site.settings import Settings

log = logging.getLogger("edge.reload")


class Refused(Mistaken):
    """A configuration with mistakes; what was good serves on."""

    def __init__(self, errors: list[ConfigError], kept: list[str], reloaded: Reloaded) -> None:
        super().__init__(errors)
        self.kept = kept
        """Apps that serve their last good configuration, or 503 if they never had one."""
        self.reloaded = reloaded
        """What of the rest changed."""


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did."""

    generation: int
    changed: list[str]
    """Apps whose configuration is new or gone."""
    warnings: list[ConfigError] = []
    """What is right and probably not what was meant."""
    difference: Difference | None = None
    """What is other than before."""
    radius: Radius | None = None
    """What that does to requests; of a rehearsal, which changed nothing."""


class Planned:
    """What a reload would do."""

    def __init__(
        self, found: Configuration, generations: Generations, documents: Documents | None = None
    ) -> None:
        self.found = found
        self.before = generations.current()
        self.old = generations.apps(self.before)
        self.states: dict[str, AppState] = {}
        """Every app whose folder is there, as it would be."""
        self.documents = documents or Documents()

    def is_other(self, app: str) -> bool:
        """Whether an app would not be as it is."""
        return self.states[app] != self.old.get(app)

    def changed(self) -> dict[str, AppState | None]:
        """The apps that would be others, or gone (None)."""
        gone = self.old.keys() - self.states.keys()
        changed: dict[str, AppState | None] = dict.fromkeys(gone)
        return changed | {app: state for app, state in self.states.items() if self.is_other(app)}


class Reload:
    """What a state folder serves, by the files of one `edge.yml`."""

    def __init__(
        self,
        config: Path | None,
        deployments: Deployments,
        generations: Generations,
        appraisal: Appraisal,
        forecast: Forecast,
    ) -> None:
        self._config = config
        self._root = configuration.config_root(config)
        self._deployments = deployments
        self._generations = generations
        self._appraisal = appraisal
        self._forecast = forecast
        self._claims = claims.Claims()
        self._folders = AppFolders()
        self._begun: dict[str, object] | None = None
        """What only a start can change, as this process has found it first."""

    def check(self, *, lint: bool = False) -> Configuration:
        """Read everything and find every mistake; nothing changes. Lints take a while."""
        return self.plan(lint=lint).found

    def plan(self, *, lint: bool = False) -> Planned:
        """What a reload would do, as the files are now; nothing changes."""
        settings, mistakes = configuration.read_settings(self._config)
        shown = settings.apps if settings is not None else Settings().apps
        found = self._folders.all(self._root / shown, shown)
        planned = Planned(found, self._generations)
        found.settings = settings
        found.mistakes += mistakes
        if settings is not None:
            old = planned.old
            found.mistakes += configuration.check_ca_file(self._config, settings)
            found.mistakes += configuration.check_tracing(self._config, settings)
            if lint:
                from edge.control import named_files  # noqa: PLC0415 - 15 ms, for who lints

                found.doubts += named_files.check(self._config, settings, time.time())
            if self._config is not None:
                apps = {*found.apps, *found.broken}
                found.doubts += recipients.check(self._config, settings, apps)
            if old and not (self._root / shown).is_dir():
                found.mistakes.append(self._apps_gone(shown, len(old)))
            if found.mistakes:
                found.settings = None
            self._find_conflicts(found, settings.default_domain, old)
            for name in found.apps:
                planned.states[name] = self._configured(name, planned)
            self._appraise(planned, settings, lint=lint)
            for name in found.broken:
                planned.states[name] = self._configured(name, planned)
        return planned

    def _appraise(self, planned: Planned, settings: Settings, *, lint: bool) -> None:
        """
        What the rules of each app do to the files that serve.

        An app that is as it was has passed its tests when it became so.
        """
        found = planned.found
        tested = (
            name
            for name in found.rules
            if name in found.apps and has_tests(found.rules[name].rules)
        )
        names = [
            name for name in (found.rules if lint else tested) if lint or planned.is_other(name)
        ]
        proposal = self._propose(planned, settings, names)
        if lint:
            self._appraisal.lint(found, proposal)
        self._appraisal.test(found, proposal)

    def _propose(self, planned: Planned, settings: Settings, names: Iterable[str]) -> Proposal:
        """Apps without a mistake as their files are now."""
        found, proposal = planned.found, Proposal(settings)
        for name in names:
            if name in found.apps:
                state = planned.states[name]
                proposal.add(state)
                proposal.add_rules(state.rules, found.rules.get(name))
                proposal.add_headers(state.headers, found.headers.get(name))
        return proposal

    def proposal(self) -> Proposal:
        """
        What a reload would make of every app.

        Raises:
            Mistaken: there are mistakes.
        """
        planned = self.plan()
        found = planned.found
        if found.settings is None or found.errors:
            raise Mistaken(found.errors)
        return self._propose(planned, found.settings, found.apps)

    def _apps_gone(self, shown: str, count: int) -> ConfigError:
        """A typo or a disk that is not mounted must not take every site down."""
        file = str(self._config or "edge.yml")
        hint = f"{count} apps serve; make an empty folder to serve none"
        return ConfigError(file, 1, 1, f"the folder of the apps, {shown}, is not there", hint)

    def _find_conflicts(
        self, found: Configuration, default_domain: str, old: Mapping[str, AppState]
    ) -> None:
        def branches(app: str) -> dict[str, str]:
            if app in old:
                return {label: state.name for label, state in old[app].branches.items()}
            return {record.label: record.name for record in self._deployments.branches(app)}

        served = self._claims.by_app(old, default_domain)
        claims.refuse_conflicts(found, old, branches, default_domain, served)

    def run(self, *, atomic: bool = False) -> Reloaded:
        """
        Serve the operator's files as they are now.

        Raises:
            Refused: there are mistakes. Apps without one serve what is new; an app with one keeps
                its last good configuration; with a mistake in `edge.yml` nothing changes at all,
                and if it is to be `atomic`, with any.
        """
        planned, settings = self._planned(atomic=atomic)
        difference = self._tell(planned, settings)
        reloaded = self._commit(planned, settings)
        return self._answer(planned, msgspec.structs.replace(reloaded, difference=difference))

    def rehearse(self, *, atomic: bool = False) -> Reloaded:
        """
        What `run` would do now, and what that would do to requests; nothing changes.

        Raises:
            Refused: as `run` would.
        """
        planned, settings = self._planned(atomic=atomic)
        changed = planned.changed()
        proposal = self._propose(planned, settings, [*changed])
        for name, state in changed.items():
            if state is None:
                proposal.remove(name)
        old, new = self._sides(planned, settings)
        radius = self._forecast.radius(old, new, proposal, planned.found)
        difference = self._forecast.difference(old, new, planned.found)
        number = planned.before.number if planned.before is not None else 0
        warnings = planned.found.warnings
        return self._answer(
            planned, Reloaded(number, sorted(changed), warnings, difference, radius)
        )

    def _planned(self, *, atomic: bool) -> tuple[Planned, Settings]:
        """What is to be done; Refused where nothing is."""
        planned = self.plan()
        found, before = planned.found, planned.before
        if found.settings is None or (atomic and found.errors):
            number = before.number if before is not None else 0
            kept = sorted(before.apps if before is not None else found.apps)
            raise Refused(found.errors, kept, Reloaded(number, []))
        found.doubts += self._find_restarts(found.settings)
        return planned, found.settings

    def _answer(self, planned: Planned, reloaded: Reloaded) -> Reloaded:
        if planned.found.errors:
            raise Refused(planned.found.errors, sorted(planned.found.broken), reloaded)
        return reloaded

    def _sides(self, planned: Planned, settings: Settings) -> tuple[Apps, Apps]:
        served = planned.before.settings if planned.before is not None else Settings()
        old = self._forecast.apps(planned.old, served, after=False)
        return old, self._forecast.apps(planned.states, settings, after=True)

    def _tell(self, planned: Planned, settings: Settings) -> Difference | None:
        """What is about to change; a fault in telling it must not keep it from happening."""
        try:
            return self._forecast.difference(*self._sides(planned, settings), planned.found)
        except Exception:
            log.exception("what changes is not told")
            return None

    def _find_restarts(self, settings: Settings) -> list[ConfigError]:
        """What is written, and does not count before the next start: sockets and processes."""
        listen = settings.listen
        now: dict[str, object] = {
            "listen.http": listen.http,
            "listen.https": listen.https,
            "listen.admin": listen.admin,
            "workers": settings.workers,
        }
        begun = self._begun = self._begun or now
        changed = ", ".join(key for key in now if now[key] != begun[key])
        hint = "run `edge upgrade`: it takes over what is listened on"
        problem = f"{changed}: counts from the next start on"
        return (
            [ConfigError(str(self._config or "edge.yml"), 1, 1, problem, hint)] if changed else []
        )

    def _commit(self, planned: Planned, settings: Settings) -> Reloaded:
        found, before, changed = planned.found, planned.before, planned.changed()
        for name, state in changed.items():
            if state is None:
                self._generations.set_aside(planned.old[name])
        generation = before
        if generation is None or changed or generation.settings != settings:
            generation = self._generations.commit(settings, changed, planned.documents.all)
        self._appraisal.note(found, changed)
        return Reloaded(generation.number, sorted(changed), found.warnings)

    def _configured(self, name: str, planned: Planned) -> AppState:
        """An app's state by its files; where these have a mistake, its last good one stays."""
        found, documents = planned.found, planned.documents
        config, old = found.apps.get(name), planned.old.get(name)
        if old is None:
            branches = self._recalled(name, documents)
            old = AppState(name=name, config=None, branches=branches)
        if config is None:
            return old
        keys = found.keys.setdefault(name, Keys())
        if keys.rules is None or keys.rules != old.rules:
            keys.rules = documents.add_rules(found.rules.get(name))
        if keys.headers is None or keys.headers != old.headers:
            keys.headers = documents.add_headers(found.headers.get(name))
        return msgspec.structs.replace(old, config=config, rules=keys.rules, headers=keys.headers)

    def _recalled(self, app: str, documents: Documents) -> dict[str, BranchState]:
        """The branches of an app whose folder was gone and is back, at what they served."""
        aside = self._generations.recall(app)
        branches = {}
        for record in self._deployments.branches(app):
            headers = self._deployments.of_branch(app, record.label)
            new = BranchState(name=record.name, label=record.label)
            before = aside.branches.get(record.label, new) if aside is not None else new
            state = activation.recalled(before, headers, time.time())
            branches[record.label] = self._with_carried(state, headers, documents)
        return branches

    def _with_carried(
        self, state: BranchState, headers: list[Header], documents: Documents
    ) -> BranchState:
        """
        The branch with what its active deployment carries.

        One with mistakes in that, which are told, does not serve: a refusal among its rules would
        be open.
        """
        for header in headers:
            if state.active is not None and header.id == state.active.deployment:
                try:
                    return activation.carrying(state, self.carried(header), documents)
                except StoreError as error:
                    told = error.errors if isinstance(error, Mistaken) else [error]
                    for each in told:
                        log.error("%s: %s does not serve: %s", header.app, header.id, each)
                    return msgspec.structs.replace(state, active=None)
        return state

    def carried(self, header: Header) -> Carried:
        """
        The rules and headers in the root of a deployment.

        Raises:
            StoreError: they have mistakes, or cannot be read.
        """
        return read_carried(self._deployments.entries(header), self._deployments.blobs)

    def generation(self) -> Generation:
        """
        The current generation; in a new state folder the first one is made of the files.

        Raises:
            Refused: there is none, and `edge.yml` has mistakes.
        """
        generation = self._generations.current()
        if generation is None:
            try:
                self.run()
            except Refused as refused:
                if refused.reloaded.generation == 0:
                    raise
            generation = self._generations.current()
        assert generation is not None, "a reload commits a generation or raises"
        return generation

    def owner(self, header: Header, generation: Generation, documents: Documents) -> AppState:
        """
        The state of the app that a deployment is for, with its branch; a new app gets a folder.

        What a new app's files say is added to `documents`.

        Raises:
            StoreError: a new branch would take another app's hostname.
        """
        app, label, settings = header.app, header.label, generation.settings
        folder = self._root / settings.apps
        configuration.create_app_folder(folder, app)
        owner = self._generations.find(generation, app)
        if owner is not None and label in owner.branches:
            return owner
        if owner is None:
            found = configuration.read_app(folder / app, f"{settings.apps}/{app}")
            for error in found.errors:
                log.error("%s", error)
            owner = self._configured(app, Planned(found, self._generations, documents))
        new = BranchState(name=header.branch, label=label)
        owner = msgspec.structs.replace(owner, branches={**owner.branches, label: new})
        apps = self._generations.apps(generation)
        incumbents = self._claims.incumbents(apps, settings.default_domain)
        claims.refuse_taken(owner, settings.default_domain, incumbents)
        return owner
