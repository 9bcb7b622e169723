"""
Who gets which hostname: claims of what serves, and conflicts between what wants to.

Laws: a hostname leads to one branch. Who serves it now keeps it; with no incumbent nobody gets it,
for a guess would put one app's content on another's name. Both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge.control.configuration import Configuration
from edge.errors import ConfigError, StoreError
from edge.site.documents import App, position_of
from edge.site.generation import AppState
from edge.site.hosts import HostClaim, app_hosts, find_conflicts


def claims_of(state: AppState, default_domain: str) -> list[HostClaim]:
    """Every hostname of a compiled app."""
    names = {label: branch.name for label, branch in state.branches.items()}
    return app_hosts(state.name, state.config or App(), names, default_domain)


ORDER = {"domain": 0, "auto": 1, "default": 2}
"""Kinds of hosts, those that people know best first."""


def hosts_of(state: AppState, label: str, default_domain: str) -> list[str]:
    """Every hostname of one branch, the operator's own domains first."""
    mine = [claim for claim in claims_of(state, default_domain) if claim.label == label]
    mine.sort(key=lambda claim: (ORDER[claim.kind], claim.host))
    return [claim.host for claim in mine]


class Claims:
    """The hostnames that serve now, remembered by compiled document: 10,000 take 50 ms anew."""

    def __init__(self) -> None:
        self._default_domain = ""
        self._known: dict[str, tuple[AppState, list[HostClaim]]] = {}
        """App → its state and what it claims."""

    def incumbents(self, apps: Mapping[str, AppState], default_domain: str) -> dict[str, HostClaim]:
        """By hostname, the claim that is served now; apps that never had a configuration lack."""
        return {
            claim.host: claim
            for claims in self.by_app(apps, default_domain).values()
            for claim in claims
        }

    def by_app(
        self, apps: Mapping[str, AppState], default_domain: str
    ) -> dict[str, list[HostClaim]]:
        """The same by app."""
        if default_domain != self._default_domain:
            self._default_domain, self._known = default_domain, {}
        for name in self._known.keys() - apps.keys():
            self._known.pop(name, None)
        return {
            name: self._claims_of(state) for name, state in apps.items() if state.config is not None
        }

    def _claims_of(self, state: AppState) -> list[HostClaim]:
        known = self._known.get(state.name)
        if known is None or known[0] is not state:
            known = self._known[state.name] = state, claims_of(state, self._default_domain)
        return known[1]


def refuse_taken(state: AppState, default_domain: str, incumbents: Mapping[str, HostClaim]) -> None:
    """
    Refuse a new branch whose hostnames another app serves.

    Raises:
        StoreError: names the hostname and both branches.
    """
    if state.config is None:
        return
    for claim in claims_of(state, default_domain):
        rival = incumbents.get(claim.host)
        if rival is not None and rival.app != claim.app:
            raise StoreError(
                f"{claim.host} would be claimed by app {claim.app} branch {claim.branch}, "
                f"but app {rival.app} branch {rival.branch} has it; "
                f"take it out of one app.yml, then activate again"
            )


def refuse_conflicts(
    found: Configuration,
    old: Mapping[str, AppState],
    branches: Callable[[str], Mapping[str, str]],
    default_domain: str,
    served: Mapping[str, list[HostClaim]],
) -> None:
    """
    Take out of `found` every app that claims another's hostname, until what will serve is at peace.

    An app with a mistake serves its last good configuration on, with the hostnames of that: the
    claims of `old`, which are `served`, count. So a refusal may bring back a claim that refuses
    the next app.
    """
    incumbents = {claim.host: claim for claims in served.values() for claim in claims}
    while True:
        judged = set(found.apps)
        claims = _wanted(found, old, branches, default_domain, served)
        for one, other in find_conflicts(claims):
            for claim, rival in ((one, other), (other, one)):
                if claim.app in judged and not _keeps(claim, rival, incumbents):
                    _refuse(found, claim, rival)
        if len(found.apps) == len(judged):
            return


def _wanted(
    found: Configuration,
    old: Mapping[str, AppState],
    branches: Callable[[str], Mapping[str, str]],
    default_domain: str,
    served: Mapping[str, list[HostClaim]],
) -> list[HostClaim]:
    """The claims of every app as it will serve: as its files say, else as it did before."""
    wanted = [claim for name in old if name in found.broken for claim in served.get(name, ())]
    for name, config in found.apps.items():
        if name in served and old[name].config == config:
            wanted += served[name]
        else:
            wanted += app_hosts(name, config, branches(name), default_domain)
    return wanted


def _keeps(claim: HostClaim, rival: HostClaim, incumbents: Mapping[str, HostClaim]) -> bool:
    """Whether a claim stands against another one."""
    incumbent = incumbents.get(claim.host)
    return claim.app != rival.app and incumbent is not None and incumbent.app == claim.app


def _refuse(found: Configuration, claim: HostClaim, rival: HostClaim) -> None:
    shown, text = found.texts[claim.app]
    line, column = position_of(text, claim.key_path)
    message = (
        f"{claim.host} is claimed by app {claim.app} branch {claim.branch} "
        f"and by app {rival.app} branch {rival.branch}"
    )
    hint = "a hostname leads to one branch; take it out of one of them"
    found.refuse(claim.app, [ConfigError(shown, line, column, message, hint)])
