"""
All that a request may read: hosts → branches → trees, immutable but for what is loaded on demand.

Laws: pure; built beside the old one and swapped by one assignment. A request reads it once and
sees one world to its end. A `Tree` is shared by snapshots, so a swap costs what changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakSet

from edge.http.manner import Wish
from edge.http.target import encode_path
from edge.site.documents import App, branch_settings
from edge.site.envelope import MAX_LIFETIME, Envelope, Sharing
from edge.site.expressions import Budget
from edge.site.generation import AppState, BranchState, RetainedFile
from edge.site.globs import compile_glob
from edge.site.headers import HeaderPlan
from edge.site.hosts import parse_authority
from edge.site.keys import store_key
from edge.site.manifest import Asset, Header, Manifest
from edge.site.plan import Plan
from edge.site.settings import Settings

MAX_PERFORMANCE_LIFETIME = 86_400

Spelling = bytes | tuple[str, bytes]
"""An authority as a client writes it; with TLS, the name that TLS was begun for before it."""

KNOWN = 20_000
"""Spellings of hosts remembered a snapshot (`Host` with a port or capitals), or twice its hosts."""

REMEMBERED = 20_000
"""Paths whose asset is remembered, in all snapshots of a worker together."""

ENVELOPES = 1_000
"""Combinations of header entries remembered a branch; paths choose them, so clients do."""


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
        "__weakref__",
        "access",
        "active",
        "active_at",
        "app",
        "cache",
        "carries_rules",
        "commons",
        "exempt",
        "headers",
        "key",
        "label",
        "lifetime",
        "longest",
        "max_lifetime",
        "name",
        "not_found",
        "performance",
        "plan",
        "previous",
        "previous_at",
        "purged",
        "retained",
        "retired",
        "trailing_slash",
    )

    def __init__(
        self, app: str, state: BranchState, config: App, plan: Plan, headers: HeaderPlan
    ) -> None:
        settings = branch_settings(config, state.name)
        self.performance = settings.performance_mode
        self.access = settings.access if settings.access and settings.access.users else None
        """Who may see it; None is everyone."""
        exempt = self.access.exempt if self.access is not None else ()
        self.exempt = tuple(glob for pattern in exempt for glob in compile_glob(pattern))
        """Paths that need no password."""
        self.app = app
        self.name = state.name
        self.label = state.label
        self.plan = plan
        self.carries_rules = state.rules is not None
        """Whether the plan came with the deployment, and not from the app's folder."""
        carried = b"carried" if self.carries_rules else b""
        self.key = store_key(app.encode(), state.name.encode(), carried)
        """What its answers of origins are stored under, first of all."""
        self.cache = config.cache
        """What tells stored answers of origins apart."""
        self.headers = headers
        self.trailing_slash = config.trailing_slash
        self.not_found = config.not_found
        self.max_lifetime = MAX_PERFORMANCE_LIFETIME if self.performance else MAX_LIFETIME
        self.lifetime = min(int(config.cache.default_s_maxage), self.max_lifetime)
        """Freshness lifetime in seconds of a static response without Cache-Control of its own."""
        self.longest = headers.longest_lifetime(self.lifetime, self.max_lifetime)
        """The longest that any of its static responses has."""
        self.active: Tree | None = None
        self.previous: Tree | None = None
        """Performance mode: everything that it answered counts as stored at the activation."""
        self.active_at = 0
        """Epoch seconds of the activation: Last-Modified, so that a rollback is news too."""
        self.previous_at = 0
        """Epoch seconds of the activation of `previous`."""
        self.purged = frozenset(state.purged)
        """What of `previous` answers no more; it grows while the branch serves (`library`)."""
        self.retained: Retained | None = None
        self.retired = False
        """Whether a newer snapshot has another in its place: nothing is stored for it anymore."""
        self.commons: dict[tuple[bool, str], Common] = {}

    def common(self, host: str, *, noindex: bool) -> Common:
        """What a host has in common with all that are answered alike: those that no rule names."""
        named = host if self.plan.names(host) else ""
        return self.commons.setdefault((noindex, named), Common())

    def asks_password(self, path: str) -> bool:
        """Whether a decoded path is for those alone who have a password."""
        return self.access is not None and not any(glob.matches(path) for glob in self.exempt)

    def sources(self) -> list[Tree]:
        """The trees that it may answer from."""
        return [tree for tree in (self.active, self.previous) if tree is not None]

    def trees(self, epoch: float) -> Iterable[Tree]:
        """What has to be loaded before a path can be looked up at `epoch`."""
        if self.active is not None and self.active.manifest is None:
            yield self.active
        if self.answers_before(epoch) and self.previous.manifest is None:  # type: ignore[union-attr]
            yield self.previous  # type: ignore[misc]

    def answers_before(self, epoch: float) -> bool:
        """Whether the previous deployment may still answer any path (performance mode)."""
        return self.previous is not None and epoch < self.active_at + self.longest


class Shortcut:
    """What a path leads to while nothing else than the path decides."""

    __slots__ = ("asset", "envelope", "facts", "look", "recent", "target", "told")

    hits: None = None
    """No rule decides it, none is counted."""

    def __init__(self, asset: Asset, envelope: Envelope, facts: object = None) -> None:
        self.asset = asset
        self.envelope = envelope
        self.facts = facts
        """What the log says of its requests."""
        self.target = b""
        """The path as it arrives, once it is remembered."""
        self.told = b""
        """What the log says of it, once it was asked."""
        self.look: object = None
        """What its stored response looks like where all get the same: it has no codings."""
        self.recent: dict[Wish, object] = {}
        """What it looks like by what was asked for: with codings, or with a condition."""


class Common:
    """
    What hosts of a branch have in common, so that what is stored for one answers for all.

    Ten thousand hosts of one branch are one site in memory, as they are to the operator.
    """

    __slots__ = ("__weakref__", "envelopes", "found", "lines")

    def __init__(self) -> None:
        self.found: dict[bytes, Shortcut] = {}
        """By path as it arrives, where the answer depends on nothing else."""
        self.lines: dict[bytes, Shortcut] = {}
        """The same by the request line of HTTP/1.1, for those who need not parse it."""
        self.envelopes: dict[tuple[Sharing, tuple[int, ...]], Envelope] = {}
        """By who may store it, and the entries of custom headers."""


class Site:
    """What a hostname leads to."""

    __slots__ = ("branch", "common", "found", "host", "lines", "noindex")

    def __init__(self, host: str, branch: Branch | None, *, noindex: bool) -> None:
        self.host = host
        self.branch = branch
        """None while the app has no valid configuration: 503."""
        self.noindex = noindex
        """Whether crawlers are told to stay away: default-domain and automatic hosts."""
        self.common = Common() if branch is None else branch.common(host, noindex=noindex)
        self.found, self.lines = self.common.found, self.common.lines

    def envelope(self, path: str, sharing: Sharing, budget: Budget) -> Envelope:
        """
        The envelope of a decoded path; equal ones are the same object.

        Raises:
            PatternTooSlow: see `HeaderPlan.matching`.
        """
        branch = self.branch
        assert branch is not None, "a site that is not configured has nothing to send"
        numbers = tuple(branch.headers.matching(path, budget)) if branch.headers else ()
        key = sharing, numbers
        envelopes = self.common.envelopes
        envelope = envelopes.get(key)
        if envelope is None:
            if len(envelopes) >= ENVELOPES:
                envelopes.clear()
            envelope = envelopes[key] = Envelope(
                branch.headers.merge(numbers),
                sharing,
                lifetime=branch.lifetime,
                cap=branch.max_lifetime,
                noindex=self.noindex,
            )
        return envelope


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
        """Paths remembered, those of branches that are gone by now included."""
        self._commons: WeakSet[Common] = WeakSet()

    def add(self, site: Site, path: bytes, shortcut: Shortcut) -> None:
        """Remember one more; at the bound all are forgotten, so that the next ones have a place."""
        if self.count >= REMEMBERED:
            self.clear()
        self.count += path not in site.found
        shortcut.target = path
        site.found[path] = site.lines[b"GET %b HTTP/1.1" % path] = shortcut
        self._commons.add(site.common)

    def clear(self) -> None:
        """Forget all."""
        for common in self._commons:
            common.found.clear()
            common.lines.clear()
        self._commons.clear()
        self.count = 0


class Snapshot:
    """One whole world."""

    __slots__ = ("apps", "hosts", "known", "number", "ports", "root", "settings", "shortcuts")

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
        self.ports = self.settings.listen.ports | {80, 443}
        """Behind a host of ours, others are another server's of the same name."""
        self.root = ""
        """Folder that relative paths of the settings start from."""
        self.apps = apps
        self.hosts = hosts
        """By canonical authority: one dict, whatever the number of hosts."""
        self.known: dict[Spelling, Site] = {}
        """What `arrive` has judged before."""
        self.shortcuts = shortcuts or Shortcuts()

    def resolve(self, authority: bytes) -> Site | None:
        """
        The site of an authority as it arrived, or None for a host nobody claims.

        Raises:
            MalformedRequest: it is no authority.
        """
        return self.hosts.get(parse_authority(authority).encode())

    def know(self, spelling: Spelling, site: Site) -> None:
        """Judge no more where requests with this spelling arrive."""
        if len(self.known) >= max(KNOWN, 2 * len(self.hosts)):  # somebody plays with ports
            self.known.clear()
        self.known[spelling] = site

    def remember(self, site: Site, raw: bytes, path: str, shortcut: Shortcut) -> None:
        """
        Look `raw` up no more: its answer changes with the snapshot alone (0.2 for 1.6 µs).

        Only the plain spellings of `path`: a client could invent others without end.
        """
        if raw in (path.encode(), encode_path(path)):
            self.shortcuts.add(site, raw, shortcut)
