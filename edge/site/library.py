"""
What branches are made of, by name, and the making of them: apps to hosts.

Laws: pure; rules, headers and trees that did not change are not made again, and branches that are
as they were are the same objects, so that what is stored for them stays.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from msgspec.structs import replace

from edge.site.documents import App
from edge.site.generation import AppState, BranchState
from edge.site.headers import CustomHttp, HeaderPlan
from edge.site.hosts import HostClaim, app_hosts
from edge.site.plan import EMPTY, Plan
from edge.site.snapshot import Branch, CompiledApp, Retained, Site, Tree


def compile_app(
    key: str,
    state: AppState,
    default_domain: str,
    library: Library,
    before: CompiledApp | None = None,
) -> CompiledApp:
    """
    The hosts and branches of one app. Cost: a few µs a host.

    Branches and sites that are as they were `before` are the same objects, so that a preview's
    deploy leaves what is stored for production alone. `library` has the rules and headers that
    `state` names.
    """
    config = state.config or App()
    names = {label: branch.name for label, branch in state.branches.items()}
    if before is not None and not is_same_configuration(before.state, state):
        before = None
    branches = {
        label: _kept_branch(before, branch) or _compile_branch(state, branch, config, library)
        for label, branch in state.branches.items()
    }
    hosts = {}
    for claim in app_hosts(state.name, config, names, default_domain):
        branch = None
        if state.config is not None:
            branch = branches.get(claim.label) or _empty_branch(state, claim, config, library)
        host = claim.host.encode()
        site = before.hosts.get(host) if before is not None else None
        noindex = claim.kind != "domain"
        if site is None or site.branch is not branch or site.noindex != noindex:
            site = Site(claim.host, branch, noindex=noindex)
        hosts[host] = site
    return CompiledApp(key, state, branches, hosts)


def is_same_configuration(one: AppState, other: AppState) -> bool:
    """Whether what the files of two states' folders say is the same."""
    return (one.config, one.rules, one.headers) == (other.config, other.rules, other.headers)


def _kept_branch(before: CompiledApp | None, state: BranchState) -> Branch | None:
    """
    The branch as it was compiled before, if it has not changed.

    What is purged of a previous deployment only grows: the branch learns it without being another
    one, so that all else that is stored for it stays.
    """
    known = None if before is None else before.state.branches.get(state.label)
    if before is None or known is None or not is_same_branch(known, state):
        return None
    branch = before.branches[state.label]
    branch.purged = frozenset(state.purged)
    return branch


def is_same_branch(one: BranchState, other: BranchState) -> bool:
    """Whether two states serve the same, but for what was purged; what waits serves nothing."""
    return one == other or bare(one) == bare(other)


def bare(state: BranchState) -> BranchState:
    """A state without what may change while its branch serves on."""
    return replace(state, purged=(), waiting=())


class Library:
    """
    What branches are made of, by name, so that what did not change is not loaded again.

    It lives as long as a snapshot or a request has it: nobody has to say that it is gone.
    """

    def __init__(self) -> None:
        self.trees: WeakValueDictionary[str, Tree] = WeakValueDictionary()
        self.retained: WeakValueDictionary[str, Retained] = WeakValueDictionary()
        self.plans: WeakValueDictionary[str, Plan] = WeakValueDictionary()
        """By key of their document; filled by whoever compiles, before it does."""
        self.headers: WeakValueDictionary[str, CustomHttp] = WeakValueDictionary()
        """The same of custom headers."""
        self.header_plans: WeakValueDictionary[tuple[str, str | None], HeaderPlan] = (
            WeakValueDictionary()
        )
        """By key and appRoot: one for all branches, a large file takes 0.3 s to compile."""

    def tree(self, app: str, label: str, identifier: str) -> Tree:
        """The one `Tree` of a deployment."""
        tree = self.trees.get(identifier)
        if tree is None:
            tree = self.trees[identifier] = Tree(app, label, identifier)
        return tree

    def kept(self, key: str) -> Retained:
        """The one `Retained` of a document."""
        retained = self.retained.get(key)
        if retained is None:
            retained = self.retained[key] = Retained(key)
        return retained

    def plan(self, key: str | None) -> Plan:
        """The rules of a document that is loaded."""
        return EMPTY if key is None else self.plans[key]

    def header_plan(self, key: str | None, app_root: str | None) -> HeaderPlan:
        """The custom headers that a document that is loaded has for an app."""
        if key is None:
            return HeaderPlan(())
        plan = self.header_plans.get((key, app_root))
        if plan is None:
            entries = self.headers[key].entries_for(app_root)
            plan = self.header_plans[key, app_root] = HeaderPlan(entries or ())
        return plan


def _compile_branch(app: AppState, state: BranchState, config: App, library: Library) -> Branch:
    plan = library.plan(state.rules or app.rules)
    headers = library.header_plan(state.headers or app.headers, config.app_root)
    branch = Branch(app.name, state, config, plan, headers)
    if state.active is not None:
        branch.active = library.tree(app.name, state.label, state.active.deployment)
        branch.active_at = int(state.active.at)
        if branch.performance and state.previous is not None:
            branch.previous = library.tree(app.name, state.label, state.previous.deployment)
            branch.previous_at = int(state.previous.at)
    if state.retained is not None:
        branch.retained = library.kept(state.retained)
    return branch


def _empty_branch(app: AppState, claim: HostClaim, config: App, library: Library) -> Branch:
    """A host of the configuration whose branch nobody has deployed yet."""
    state = BranchState(name=claim.branch, label=claim.label)
    return _compile_branch(app, state, config, library)
