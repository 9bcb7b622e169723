"""
What a reload would change, and what it changed: the same words before and after.

Laws: reads, never writes, and never stands in the way of a change: what cannot be read of what
served is not told. The blast radius is looked for only when somebody asks, since it takes a while.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

from edge.control import consequences, differences
from edge.control.claims import Claims
from edge.control.configuration import Configuration
from edge.control.consequences import Radius, Sample
from edge.control.deployments import Deployments
from edge.control.differences import LISTED, AppDifference, Difference
from edge.control.generations import Generations
from edge.control.rehearsals import Proposal, Rehearsals
from edge.control.vault import Vault
from edge.errors import StoreError
from edge.site.certificates import Names
from edge.site.decoding import decode_json
from edge.site.documents import App
from edge.site.generation import AppState
from edge.site.headers import CustomHttp, HeaderEntry
from edge.site.hosts import HostClaim
from edge.site.places import Places
from edge.site.rule import Rule, decode_rules
from edge.site.settings import Settings
from edge.site.wanted import wishes

log = logging.getLogger("edge.forecast")

ByApp = Mapping[str, list[HostClaim]]


class Apps:
    """All apps at one time, with the settings that they serve by."""

    def __init__(self, states: Mapping[str, AppState], settings: Settings, claims: ByApp) -> None:
        self.states = states
        self.settings = settings
        self.claims = claims
        """Of those that have a configuration."""


class Forecast:
    """What changes of one state folder would do."""

    def __init__(
        self,
        places: Places,
        deployments: Deployments,
        generations: Generations,
        rehearsals: Rehearsals,
    ) -> None:
        self._vault = Vault(places)
        self._deployments = deployments
        self._generations = generations
        self._rehearsals = rehearsals
        self._before, self._after = Claims(), Claims()

    def apps(self, states: Mapping[str, AppState], settings: Settings, *, after: bool) -> Apps:
        """All apps before a change, or after it; what they claim is remembered."""
        known = self._after if after else self._before
        return Apps(states, settings, known.by_app(states, settings.default_domain))

    def difference(self, old: Apps, new: Apps, found: Configuration) -> Difference:
        """What differs; `found` has the rules and headers that are stored nowhere yet."""
        has_moved = old.settings.default_domain != new.settings.default_domain
        apps = {
            name
            for name in old.states.keys() | new.states.keys()
            if has_moved or old.states.get(name) != new.states.get(name)
        }
        told = {name: _skeleton(name, old, new) for name in sorted(apps)}
        for name, change in differences.compare_hosts(_hosts(old, apps), _hosts(new, apps)):
            listed = told[name].hosts
            if len(listed) < LISTED:
                listed.append(change)
            else:
                told[name].unlisted += 1
        for name, difference in told.items():
            if difference.change == "changed":
                self._compare_app(difference, old.states[name], new.states[name], found)
            if old.settings.listen.https or new.settings.listen.https:
                self._compare_certificates(difference, old, new)
        settings = differences.compare_settings(old.settings, new.settings)
        return Difference(apps=list(told.values()), settings=settings)

    def _compare_app(
        self, told: AppDifference, old: AppState, new: AppState, found: Configuration
    ) -> None:
        changes = differences.compare_settings(old.config or App(), new.config or App())
        told.access = [change for change in changes if differences.is_access(change.key)]
        told.settings = [change for change in changes if not differences.is_access(change.key)]
        try:
            if old.rules != new.rules:
                rules = self.rules(old), _rules_found(new, found)
                changed = differences.compare_rules(*rules)
                told.rules = changed[:LISTED]
                told.unlisted += len(changed) - len(told.rules)
            if (old.headers, root_of(old)) != (new.headers, root_of(new)):
                headers = self._headers(old), _headers_found(new, found)
                told.headers = differences.compare_headers(*headers)
        except StoreError as error:
            log.warning("what changes of %s is not told whole: %s", old.name, error)

    def rules(self, state: AppState | None) -> list[Rule]:
        """
        The rules that an app serves by.

        Raises:
            StoreError: they cannot be read.
        """
        if state is None or state.rules is None:
            return []
        document = io.BytesIO(self._generations.document(state.rules))
        return list(chain.from_iterable(decode_rules(document)))

    def _headers(self, state: AppState) -> tuple[HeaderEntry, ...]:
        if state.headers is None:
            return ()
        document = decode_json(self._generations.document(state.headers), CustomHttp)
        return document.entries_for(root_of(state)) or ()

    def _compare_certificates(self, told: AppDifference, old: Apps, new: Apps) -> None:
        before, after = (self._wanted(each, told.app) for each in (old, new))
        told.wanted = sorted(after - before)
        told.unwanted = sorted(before - after)
        if told.unwanted:  # two apps may share a wildcard
            others = [c for name, each in new.claims.items() if name != told.app for c in each]
            still = self._names_of(others, new.settings)
            told.unwanted = [name for name in told.unwanted if name not in still]

    def _wanted(self, apps: Apps, app: str) -> set[str]:
        return self._names_of(apps.claims.get(app, ()), apps.settings)

    def _names_of(self, claims: Iterable[HostClaim], settings: Settings) -> set[str]:
        from edge.control.inventory import is_public_suffix  # noqa: PLC0415 - for who has TLS

        if not settings.listen.https:
            return set()
        now = time.time()
        certificates = self._vault.keyring().certificates
        own = Names(each for each in certificates if each.source == "files" and each.is_valid(now))
        found = wishes(claims, settings, own, is_public_suffix)
        return {wish.name for wish in found.wanted}

    # The blast radius

    def radius(self, old: Apps, new: Apps, proposal: Proposal, found: Configuration) -> Radius:
        """Which requests would be answered differently, by samples."""
        now, then = self._rehearsals.serving(), self._rehearsals.serving(proposal)
        changed = [name for name, state in new.states.items() if old.states.get(name) != state]
        samples = chain.from_iterable(
            self._samples(name, old, new, found) for name in changed if name in old.states
        )
        return consequences.measure(samples, now, then, time.monotonic)

    def _samples(
        self, app: str, old: Apps, new: Apps, found: Configuration
    ) -> Iterator[tuple[str, Sample]]:
        state = new.states[app]
        before, after = self.rules(old.states[app]), _rules_found(state, found)
        same = {differences.content(rule) for rule in before} & {
            differences.content(rule) for rule in after
        }
        changed = [rule for rule in (*after, *before) if differences.content(rule) not in same]
        kept = {claim.host for claim in old.claims.get(app, ())}
        claims = [claim for claim in new.claims.get(app, ()) if claim.host in kept]
        production = (state.config or App()).production_branch

        def paths(label: str) -> Iterator[str]:
            return consequences.pages_of(self._files(state, label))

        yield from consequences.samples_of(claims, production, paths, changed, after)

    def _files(self, state: AppState, label: str) -> Iterator[str]:
        branch = state.branches.get(label)
        if branch is None or branch.active is None:
            return
        header = self._deployments.header(state.name, label, branch.active.deployment)
        for entry in islice(self._deployments.entries(header), consequences.SAMPLES):
            yield entry.path


def _skeleton(name: str, old: Apps, new: Apps) -> AppDifference:
    if name not in old.states:
        return AppDifference(app=name, change="new", hosts=[])
    if name not in new.states:
        return AppDifference(app=name, change="gone", hosts=[])
    return AppDifference(app=name, change="changed", hosts=[])


def _hosts(apps: Apps, names: Iterable[str]) -> dict[str, HostClaim]:
    return {claim.host: claim for name in names for claim in apps.claims.get(name, ())}


def _rules_found(state: AppState, found: Configuration) -> tuple[Rule, ...]:
    """The rules of an app as its files say."""
    rules = found.rules.get(state.name)
    return rules.rules if rules is not None and state.rules is not None else ()


def _headers_found(state: AppState, found: Configuration) -> tuple[HeaderEntry, ...]:
    """The same of custom headers."""
    document = found.headers.get(state.name)
    return () if document is None else document.entries_for(root_of(state)) or ()


def root_of(state: AppState) -> str | None:
    """Which application of a monorepo's files an app is."""
    return (state.config or App()).app_root
