"""
All that a request may read: hosts → branches → trees, immutable but for what is loaded on demand.

Laws: pure; built beside the old one and swapped by one assignment. A request reads it once and
sees one world to its end. A `Tree` is shared by snapshots, so a swap costs what changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakSet, WeakValueDictionary

from edge.http.target import encode_path
from edge.site.documents import App, branch_settings
from edge.site.generation import AppState, BranchState, RetainedFile
from edge.site.hosts import HostClaim, app_hosts, parse_authority
from edge.site.manifest import Asset, Header, Manifest
from edge.site.settings import Settings

DEFAULT_LIFETIME = 600
"""Seconds a static response is fresh at the edge when nothing says otherwise (contract)."""

MAX_LIFETIME = 600
MAX_PERFORMANCE_LIFETIME = 86_400

KNOWN = 20_000
"""Spellings of hosts remembered a snapshot (`Host` with a port or capitals)."""

REMEMBERED = 20_000
"""Paths whose asset is remembered, in all snapshots of a worker together."""


class Tree:
    """A deployment by name; its manifest comes at the first request and may be dropped again."""

    __slots__ = ("__weakref__", "app", "id", "label", "manifest")

    def __init__(self, app: str, label: str, identifier: str) -> None:
        self.app = app
        self.label = label
        self.id = identifier
        self.manifest: Manifest | None = None


class Retained:
    """Fingerprinted files that earlier deployments of a branch had."""

    __slots__ = ("__weakref__", "assets", "files", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.files: dict[str, RetainedFile] | None = None
        self.assets: dict[str, Asset] = {}

    def find(self, path: str, epoch: float) -> Asset | None:
        """The asset under a path that is still kept at `epoch`."""
        kept = (self.files or {}).get(path)
        if kept is None or kept.until <= epoch:
            return None
        asset = self.assets.get(path)
        if asset is None:
            header = Header(id=kept.deployment, app="", branch="", label="", created=kept.created)
            asset = self.assets[path] = Asset(kept.entry, header)
        return asset


class Branch:
    """One branch of one app, compiled."""

    __slots__ = (
        "active",
        "active_at",
        "app",
        "guarded",
        "label",
        "lifetime",
        "max_lifetime",
        "name",
        "not_found",
        "performance",
        "previous",
        "previous_at",
        "retained",
        "retired",
        "trailing_slash",
    )

    def __init__(self, app: str, state: BranchState, config: App) -> None:
        settings = branch_settings(config, state.name)
        self.performance = settings.performance_mode
        self.guarded = settings.access is not None and bool(settings.access.users)
        """Whether a password is asked for. Until it can be checked, nothing is served."""
        self.app = app
        self.name = state.name
        self.label = state.label
        self.trailing_slash = config.trailing_slash
        self.not_found = config.not_found
        self.max_lifetime = MAX_PERFORMANCE_LIFETIME if self.performance else MAX_LIFETIME
        self.lifetime = min(int(config.cache.default_s_maxage), self.max_lifetime)
        """Freshness lifetime in seconds of a static response without Cache-Control of its own."""
        self.active: Tree | None = None
        self.previous: Tree | None = None
        """Performance mode: everything that it answered counts as stored at the activation."""
        self.active_at = 0
        """Epoch seconds of the activation: Last-Modified, so that a rollback is news too."""
        self.previous_at = 0
        """Epoch seconds of the activation of `previous`."""
        self.retained: Retained | None = None
        self.retired = False
        """Whether a newer snapshot has another in its place: nothing is stored for it anymore."""

    def sources(self) -> list[Tree]:
        """The trees that it may answer from."""
        return [tree for tree in (self.active, self.previous) if tree is not None]

    def trees(self, epoch: float) -> Iterable[Tree]:
        """What has to be loaded before `find` can answer at `epoch`."""
        if self.active is not None and self.active.manifest is None:
            yield self.active
        if self.answers_before(epoch) and self.previous.manifest is None:  # type: ignore[union-attr]
            yield self.previous  # type: ignore[misc]

    def answers_before(self, epoch: float) -> bool:
        """Whether the previous deployment may still answer (performance mode)."""
        return self.previous is not None and epoch < self.active_at + self.lifetime


class Site:
    """What a hostname leads to."""

    __slots__ = ("__weakref__", "branch", "found", "host", "noindex")

    def __init__(self, host: str, branch: Branch | None, *, noindex: bool) -> None:
        self.host = host
        self.branch = branch
        """None while the app has no valid configuration: 503."""
        self.noindex = noindex
        """Whether crawlers are told to stay away: default-domain and automatic hosts."""
        self.found: dict[bytes, Asset] = {}
        """Assets by path as it arrives, where the look-up depends on nothing else."""


class CompiledApp:
    """An app's hosts, as one unit that a snapshot takes or leaves."""

    __slots__ = ("branches", "hosts", "key", "state")

    def __init__(
        self, key: str, state: AppState, branches: dict[str, Branch], hosts: dict[bytes, Site]
    ) -> None:
        self.key = key
        self.state = state
        self.branches = branches
        """By label."""
        self.hosts = hosts


class Shortcuts:
    """Which paths are remembered where: one for all snapshots of a worker, which share sites."""

    def __init__(self) -> None:
        self.count = 0
        """Paths remembered, those of sites that are gone by now included."""
        self._sites: WeakSet[Site] = WeakSet()

    def add(self, site: Site, path: bytes, asset: Asset) -> None:
        """Remember one more; at the bound all are forgotten, so that the next ones have a place."""
        if self.count >= REMEMBERED:
            self.clear()
        self.count += path not in site.found
        site.found[path] = asset
        self._sites.add(site)

    def clear(self) -> None:
        """Forget all."""
        for site in self._sites:
            site.found.clear()
        self._sites.clear()
        self.count = 0


class Snapshot:
    """One whole world."""

    __slots__ = ("apps", "hosts", "known", "number", "settings", "shortcuts")

    def __init__(
        self,
        number: int,
        apps: dict[str, CompiledApp],
        hosts: dict[bytes, Site],
        settings: Settings | None = None,
        shortcuts: Shortcuts | None = None,
    ) -> None:
        self.number = number
        self.settings = settings or Settings()
        self.apps = apps
        self.hosts = hosts
        """By canonical authority: one dict, whatever the number of hosts."""
        self.known: dict[bytes, Site] = {}
        """By authority as clients spell it, filled by `resolve`."""
        self.shortcuts = shortcuts or Shortcuts()

    def resolve(self, authority: bytes) -> Site | None:
        """
        The site of an authority as it arrived, or None for a host nobody claims.

        Raises:
            MalformedRequest: it is no authority.
        """
        site = self.hosts.get(parse_authority(authority).encode())
        if site is not None:
            if len(self.known) >= KNOWN:  # somebody plays with ports; start again
                self.known.clear()
            self.known[authority] = site
        return site

    def remember(self, site: Site, raw: bytes, path: str, asset: Asset) -> None:
        """
        Look `raw` up no more: its asset changes with the snapshot alone (0.2 for 1.6 µs).

        Only the plain spellings of `path`: a client could invent others without end.
        """
        if raw in (path.encode(), encode_path(path)):
            self.shortcuts.add(site, raw, asset)


def compile_app(
    key: str,
    state: AppState,
    default_domain: str,
    trees: TreeSource,
    before: CompiledApp | None = None,
) -> CompiledApp:
    """
    The hosts and branches of one app. Cost: a few µs a host.

    Branches and sites that are as they were `before` are the same objects, so that a preview's
    deploy leaves what is stored for production alone.
    """
    config = state.config or App()
    names = {label: branch.name for label, branch in state.branches.items()}
    if before is not None and before.state.config != state.config:
        before = None
    branches = {
        label: _kept_branch(before, branch) or _compile_branch(state.name, branch, config, trees)
        for label, branch in state.branches.items()
    }
    hosts = {}
    for claim in app_hosts(state.name, config, names, default_domain):
        branch = None
        if state.config is not None:
            branch = branches.get(claim.label) or _empty_branch(state.name, claim, config)
        host = claim.host.encode()
        site = before.hosts.get(host) if before is not None else None
        noindex = claim.kind != "domain"
        if site is None or site.branch is not branch or site.noindex != noindex:
            site = Site(claim.host, branch, noindex=noindex)
        hosts[host] = site
    return CompiledApp(key, state, branches, hosts)


def _kept_branch(before: CompiledApp | None, state: BranchState) -> Branch | None:
    """The branch as it was compiled before, if it has not changed."""
    if before is None or before.state.branches.get(state.label) != state:
        return None
    return before.branches.get(state.label)


class TreeSource:
    """
    Trees and retained files by name, so that what did not change keeps its loaded manifest.

    They live as long as a snapshot or a request has them: nobody has to say that they are gone.
    """

    def __init__(self) -> None:
        self.trees: WeakValueDictionary[str, Tree] = WeakValueDictionary()
        self.retained: WeakValueDictionary[str, Retained] = WeakValueDictionary()

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


def _compile_branch(app: str, state: BranchState, config: App, trees: TreeSource) -> Branch:
    branch = Branch(app, state, config)
    if state.active is not None:
        branch.active = trees.tree(app, state.label, state.active.deployment)
        branch.active_at = int(state.active.at)
        if branch.performance and state.previous is not None:
            branch.previous = trees.tree(app, state.label, state.previous.deployment)
            branch.previous_at = int(state.previous.at)
    if state.retained is not None:
        branch.retained = trees.kept(state.retained)
    return branch


def _empty_branch(app: str, claim: HostClaim, config: App) -> Branch:
    """A host of the configuration whose branch nobody has deployed yet."""
    return Branch(app, BranchState(name=claim.branch, label=claim.label), config)


def find_asset(branch: Branch, path: str, epoch: float) -> Asset | str | None:
    """
    What a path leads to: an asset, a path to redirect to, or None.

    In performance mode the previous deployment's answer wins until it is no longer fresh. The
    trees that `branch.trees` names must be loaded.
    """
    if branch.previous is not None and branch.answers_before(epoch):
        found = find_file(branch.previous.manifest, path, branch.trailing_slash)  # type: ignore[arg-type]
        if isinstance(found, Asset):
            return found
    if branch.active is None:
        return None
    return find_file(branch.active.manifest, path, branch.trailing_slash)  # type: ignore[arg-type]


def find_file(manifest: Manifest, path: str, trailing_slash: str) -> Asset | str | None:
    """
    Steps 4 and 5 of rules.md's order over one manifest.

    `/about` is about.html, else about/index.html by a redirect to `/about/`; `add` and `strip`
    redirect to the one form they name, `leave` never redirects.
    """
    files = manifest.files
    name = path[1:]
    if name in files:
        return manifest.asset(name)
    if "//" in path:
        return None
    if not name or name.endswith("/"):
        return _find_directory(manifest, name, trailing_slash)
    page, index = name + ".html", name + "/index.html"
    has_page = "." not in name.rsplit("/", 1)[-1] and page in files
    if not has_page and index not in files:
        return None
    if trailing_slash == "add" or (trailing_slash == "auto" and not has_page):
        return path + "/"
    return manifest.asset(page if has_page else index)


def _find_directory(manifest: Manifest, name: str, trailing_slash: str) -> Asset | str | None:
    """`/docs/` → docs/index.html; with `add` and `strip` also docs.html."""
    index, page = name + "index.html", name[:-1] + ".html"
    found = index if index in manifest.files else None
    if found is None and name and trailing_slash in ("add", "strip") and page in manifest.files:
        found = page
    if found is None:
        return None
    if name and trailing_slash == "strip":
        return "/" + name[:-1]
    return manifest.asset(found)


def find_not_found(branch: Branch, path: str) -> Asset | None:
    """The nearest `not_found` page up the tree from `path`, or None for the built-in one."""
    if branch.not_found is None or branch.active is None or branch.active.manifest is None:
        return None
    manifest = branch.active.manifest
    directory = path[1:].rpartition("/")[0]
    while True:
        page = f"{directory}/{branch.not_found}" if directory else branch.not_found
        if page in manifest.files:
            return manifest.asset(page)
        if not directory:
            return None
        directory = directory.rpartition("/")[0]
