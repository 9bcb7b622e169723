"""
Worlds to rehearse requests in: what serves now, or what a change would make of one app.

Laws: reads, never writes, and needs no lock: what is read is immutable. An app is compiled when one
of its hosts is asked for; manifests are read when files are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge.control.claims import Claims, claims_of
from edge.control.configuration import Rules
from edge.control.deployments import Deployments
from edge.control.generations import Generations
from edge.node.loader import Reading
from edge.site.documents import App
from edge.site.generation import AppState, BranchState
from edge.site.headers import CustomHttp, HeaderPlan
from edge.site.hosts import HostClaim
from edge.site.library import Library, compile_app
from edge.site.manifest import Entry, Header, Manifest
from edge.site.places import Places
from edge.site.plan import Plan, compile_plan
from edge.site.rehearsal import World
from edge.site.rule import Rule
from edge.site.settings import Settings
from edge.site.snapshot import Branch, Site, Snapshot, Tree


class Rehearsals:
    """The worlds of one state folder."""

    def __init__(self, places: Places, deployments: Deployments, generations: Generations) -> None:
        self._places = places
        self._deployments = deployments
        self._generations = generations
        self._claims = Claims()

    def serving(self, proposal: Proposal | None = None) -> World:
        """What serves now, but for the apps of a proposal."""
        generation = self._generations.current()
        if proposal is None:
            proposal = Proposal(generation.settings if generation is not None else Settings())
        settings = proposal.settings
        apps = self._generations.apps(generation) | proposal.states
        apps = {name: state for name, state in apps.items() if name not in proposal.gone}
        reading = Reading(self._places, Library())
        proposal.fill(reading)
        claims = self._claims.incumbents(apps, settings.default_domain)
        for state in apps.values():
            if state.config is None:  # its hosts are known, and answer 503
                claims |= {each.host: each for each in claims_of(state, settings.default_domain)}
        snapshot = Snapshot(0, {}, Hosts(apps, claims, settings.default_domain, reading), settings)
        return World(snapshot, time.time(), time.thread_time, self.load)

    def load(self, branch: Branch) -> None:
        """
        Have everything that a branch answers from.

        Raises:
            StoreError: a manifest cannot be read.
        """
        for tree in branch.sources():
            if tree.manifest is None:
                header = self._deployments.header(tree.app, tree.label, tree.id)
                tree.manifest = Manifest(header)
                tree.manifest.add(self._deployments.entries(header))
        retained = branch.retained
        if retained is not None and retained.files is None:
            files = self._generations.retained(retained.key)
            retained.files = {file.entry.path: file for file in files}


class Proposal:
    """Apps as a change would make them, with rules and headers that are stored nowhere yet."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.states: dict[str, AppState] = {}
        self.gone: set[str] = set()
        """Apps that there would be no more."""
        self._plans: dict[str, Plan] = {}
        self._headers: dict[str, CustomHttp] = {}

    def add(self, state: AppState) -> None:
        """Take an app; what it names is stored, or added as well."""
        self.states[state.name] = state

    def remove(self, app: str) -> None:
        """Do without an app."""
        self.gone.add(app)

    def add_rules(self, key: str | None, rules: Rules | None) -> None:
        """Take rules under their key."""
        if key is not None and rules is not None:
            self._plans[key] = compile_plan(rules.rules)

    def add_headers(self, key: str | None, headers: CustomHttp | None) -> None:
        """The same of custom headers."""
        if key is not None and headers is not None:
            self._headers[key] = headers

    def fill(self, reading: Reading) -> None:
        """Give what is stored nowhere."""
        for key, plan in self._plans.items():
            reading.put_rules(key, plan)
        for key, headers in self._headers.items():
            reading.put_headers(key, headers)


class Hosts(dict[bytes, Site]):
    """The hosts of all apps; an app is compiled when one of its hosts is asked for."""

    def __init__(
        self,
        apps: Mapping[str, AppState],
        claims: Mapping[str, HostClaim],
        default_domain: str,
        reading: Reading,
    ) -> None:
        super().__init__()
        self._apps = apps
        self._claims = claims
        self._default_domain = default_domain
        self._reading = reading

    def get(self, host: bytes, default: Any = None, /) -> Any:
        """
        The site of a canonical host.

        Raises:
            StoreError: the rules or headers of its app cannot be read.
        """
        claim = self._claims.get(host.decode())
        if claim is not None and host not in self:
            self._compile(self._apps[claim.app])
        return super().get(host, default)

    def _compile(self, state: AppState) -> None:
        for _ in self._reading.load(state):
            pass
        self.update(compile_app("", state, self._default_domain, self._reading.library).hosts)


def inline(rules: Sequence[Rule], files: Iterable[str], host: str) -> World:
    """A world of one host with these rules, and files without content by path."""
    header = Header(id="inline", app="inline", branch="main", label="main", created=0.0)
    manifest = Manifest(header)
    manifest.add(Entry(path.removeprefix("/"), "0" * 64, 0, "", {}) for path in files)
    state = BranchState(name="main", label="main")
    branch = Branch("inline", state, App(), compile_plan(rules), HeaderPlan(()))
    branch.active = Tree("inline", "main", "inline")
    branch.active.manifest = manifest
    hosts = {host.encode(): Site(host, branch, noindex=False)}
    return World(Snapshot(0, {}, hosts), 0.0, time.thread_time, lambda _: None)
