"""
What rules do to the files that serve: their own tests, and lints.

Laws: only what is true of the production branch's files is told of an app's folder; what a
deployment carries, and every app's rules before an activation, meet the files of that deployment.
"""

from __future__ import annotations

import io
import time
from collections.abc import Container, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from edge.control.carried import Carried, Documents
from edge.control.claims import claims_of, hosts_of
from edge.control.configuration import RULES_FILES, Configuration, Rules, find_rules
from edge.control.deployments import Deployments
from edge.control.generations import Generations
from edge.control.hits import Hits
from edge.control.rehearsals import Proposal, Rehearsals
from edge.errors import ConfigError, Mistaken
from edge.site.decoding import decode_json
from edge.site.documents import App
from edge.site.generation import AppState, BranchState, Generation
from edge.site.headers import CustomHttp
from edge.site.hosts import assign_label
from edge.site.lint import lint_rules
from edge.site.manifest import RESERVED
from edge.site.rule import Rule, decode_rules
from edge.site.settings import Settings
from edge.site.trial import run_tests


class Appraisal:
    """Rules and files of one state folder."""

    def __init__(
        self,
        deployments: Deployments,
        generations: Generations,
        rehearsals: Rehearsals,
        hits: Hits,
    ) -> None:
        self._deployments = deployments
        self._generations = generations
        self._rehearsals = rehearsals
        self._hits = hits

    def test(self, found: Configuration, proposal: Proposal) -> None:
        """Leave out of `found` the apps whose rules fail their own tests."""
        tested = [name for name in proposal.states if has_tests(found.rules[name].rules)]
        if not tested:
            return
        for name in tested:
            proposal.add(with_production(proposal.states[name]))
        world = self._rehearsals.serving(proposal)
        for name in tested:
            state = proposal.states[name]
            branch = production_of(state)
            assert branch is not None, "see `with_production`"
            host = hosts_of(state, branch.label, proposal.settings.default_domain)[-1]
            rules, file = found.rules[name]
            if failed := run_tests(rules, file, world, host):
                found.refuse(name, failed)

    def note(self, found: Configuration, changed: Container[str]) -> None:
        """Know which rules there are from today on, where they changed."""
        for name, rules in found.rules.items():
            if name in found.apps and (name in changed or not self._hits.knows(name)):
                self._hits.note(name, rules.rules, time.time())

    def lint(self, found: Configuration, proposal: Proposal) -> None:
        """Add warnings about the rules of every app."""
        for name, state in proposal.states.items():
            rules, file = found.rules[name]
            claims = claims_of(state, proposal.settings.default_domain)
            hosts = [claim.host for claim in claims]
            slash = (state.config or App()).trailing_slash
            warnings = lint_rules(rules, file, self._files(state), hosts, slash)
            warnings += self._hits.unused(name, rules, file, time.time())
            warnings += overruled(state, file)
            warnings += unknown_countries(rules, file, proposal.settings)
            found.warned.setdefault(name, []).extend(warnings)

    def _files(self, state: AppState) -> set[str] | None:
        """The paths of what the production branch serves; None where nothing is deployed."""
        branch = production_of(state)
        if branch is None or branch.active is None:
            return None
        header = self._deployments.header(state.name, branch.label, branch.active.deployment)
        return {entry.path for entry in self._deployments.entries(header)} - RESERVED

    def try_out(
        self, owner: AppState, state: BranchState, carried: Carried, documents: Documents
    ) -> None:
        """
        Run the tests of the rules that a branch's new state would have, with its files.

        Raises:
            Mistaken: some fail; nothing has changed.
        """
        generation = self._generations.current()
        assert generation is not None, "who activates has one"
        rules = carried.rules or self._rules_of(owner, documents, generation)
        if rules is None or owner.config is None or not has_tests(rules.rules):
            return
        branches = {**owner.branches, state.label: state}
        proposal = Proposal(generation.settings)
        proposal.add(msgspec.structs.replace(owner, branches=branches))
        proposal.add_rules(state.rules or owner.rules, rules)
        proposal.add_headers(state.headers, carried.headers)
        new = documents.all.get(owner.headers or "")
        if new is not None:  # of an app's first deploy: no reload has stored them yet
            proposal.add_headers(owner.headers, decode_json(new, CustomHttp))
        world = self._rehearsals.serving(proposal)
        domain = generation.settings.default_domain
        host = hosts_of(proposal.states[owner.name], state.label, domain)[-1]
        if failed := run_tests(rules.rules, rules.file, world, host):
            raise Mistaken(failed)

    def _rules_of(
        self, owner: AppState, documents: Documents, generation: Generation
    ) -> Rules | None:
        """The rules of an app's folder, where they may carry tests."""
        if owner.rules is None or owner.config is None:
            return None
        data = documents.all.get(owner.rules)
        if data is None:
            data = self._generations.document(owner.rules)
        if b'"tests":[' not in data:  # 100,000 rules need not be read to learn that
            return None
        blocks = decode_rules(io.BytesIO(data))
        apps = generation.settings.apps
        there = find_rules(Path(generation.root, apps, owner.name))
        return Rules(
            tuple(chain.from_iterable(blocks)), f"{apps}/{owner.name}/{(there or RULES_FILES)[0]}"
        )


def overruled(state: AppState, file: str) -> list[ConfigError]:
    """A warning where the production branch's deployment has rules of its own."""
    branch = production_of(state)
    if branch is None or branch.rules is None:
        return []
    problem = f"these rules are not in effect on branch {branch.name}: its deployment carries some"
    hint = "deploy it without a redirects.json in its root, or remove this file"
    return [ConfigError(file, 1, 1, problem, hint)]


def unknown_countries(rules: Sequence[Rule], file: str, settings: Settings) -> list[ConfigError]:
    """A warning where a rule asks for a country, and nobody knows any."""
    if settings.geoip.database is not None or settings.clients.country_header is not None:
        return []
    for number, rule in enumerate(rules):
        if rule.condition is not None:
            problem = f"[{number}].condition: no client's country is known, so it is never met"
            hint = "set geoip.database, or clients.country_header, in edge.yml"
            return [ConfigError(file, rule.line, rule.column, problem, hint)]
    return []


def has_tests(rules: Sequence[Rule]) -> bool:
    """Whether any rule carries a test."""
    return any(rule.tests for rule in rules)


def production_of(state: AppState) -> BranchState | None:
    """The production branch, if it was ever deployed."""
    name = (state.config or App()).production_branch
    return next((each for each in state.branches.values() if each.name == name), None)


def with_production(state: AppState) -> AppState:
    """The app, its production branch without rules of its own, and without files perhaps."""
    name = (state.config or App()).production_branch
    branch = production_of(state)
    if branch is None:
        branch = BranchState(name=name, label=assign_label(name, state.branches))
    branch = msgspec.structs.replace(branch, rules=None)
    branches = {**state.branches, branch.label: branch}
    return msgspec.structs.replace(state, branches=branches)
