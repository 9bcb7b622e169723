"""
`app.yml` as a typed document, and the reading of both of the operator's files.

Here: what an app's keys are, their defaults, and what two of them mean together. Not here: one
value's grammar (`schema`), YAML (`reading`), rules and headers (their own documents). A document
is what was written; what the node runs is compiled from it. An `App` is stored as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Literal

import msgspec

from edge.errors import ConfigError
from edge.site import reading, yaml_nodes
from edge.site.hosts import MAX_HOST, MAX_LABEL, branch_matches, canonical_host
from edge.site.limits import Limits
from edge.site.schema import (
    AllOrNone,
    Branch,
    Count,
    DeltaSeconds,
    Document,
    Duration,
    Host,
    PasswordHash,
    PathGlob,
    Pattern,
    Subdomain,
    Text,
    TreePath,
    User,
)
from edge.site.settings import Settings

__all__ = [
    "Access",
    "App",
    "BranchSettings",
    "CacheKey",
    "Domain",
    "Limits",
    "Retain",
    "Settings",
    "branch_settings",
    "decode_app",
    "decode_settings",
    "position_of",
]

DAY: Final = 86_400.0

RETIRED_SETTINGS: Final[Mapping[str, str]] = {}
"""Dotted path of a key that `edge.yml` once had → what to write instead."""

RETIRED_APP: Final[Mapping[str, str]] = {}
"""The same for `app.yml`."""


class Domain(Document, frozen=True, kw_only=True):
    """What of one domain leads to this app."""

    subdomains: dict[Subdomain, Branch] = msgspec.field(default_factory=dict)
    """Subdomain → branch; "" is the domain itself."""
    auto_subdomains: tuple[Pattern, ...] = ()
    """Branches that answer at <label>.<domain>."""


class Access(Document, frozen=True, kw_only=True):
    """Who may see a branch; without users, everyone."""

    users: dict[User, PasswordHash] | None = None
    """User → hash by `edge hash-password`. For a branch, None is the app's; {} opens it."""
    exempt: tuple[PathGlob, ...] = ()
    """Paths that need no password."""


class BranchSettings(Document, frozen=True, kw_only=True):
    """What one branch, or each branch of a pattern, has of its own."""

    performance_mode: bool = False
    """Whether files stay in the cache across a deploy, for up to a day."""
    access: Access | None = None
    """None is the app's."""


class CacheKey(Document, frozen=True, kw_only=True):
    """What tells stored responses of one path apart, and how long they are fresh."""

    query: AllOrNone | tuple[Text, ...] = "all"
    """Parameters that make a difference."""
    cookies: AllOrNone | tuple[Text, ...] = "none"
    """Cookies that make a difference."""
    default_s_maxage: DeltaSeconds = 600
    """Seconds, where no header says otherwise."""


class Retain(Document, frozen=True, kw_only=True):
    """How long what no longer serves is kept."""

    deployments: Count = 20
    """Deployments of one branch that a rollback can reach."""
    assets: Duration = 7 * DAY
    """Fingerprinted files of earlier deployments."""
    branches: Duration = 30 * DAY
    """A branch without a domain of its own, from its last deploy."""


class App(Document, frozen=True, kw_only=True):
    """`rules/<app>/app.yml`."""

    production_branch: Branch = "main"
    app_root: Text | None = None
    """This app's appRoot in files of a monorepo."""
    domains: dict[Host, Domain] = msgspec.field(default_factory=dict)
    branches: dict[Pattern, BranchSettings] = msgspec.field(default_factory=dict)
    """Branch name or pattern → what differs there."""
    access: Access = Access(users={})
    """For every branch without its own."""
    cache: CacheKey = CacheKey()
    trailing_slash: Literal["auto", "add", "strip", "leave"] = "auto"
    retain: Retain = Retain()
    not_found: TreePath | None = "404.html"
    """The nearest one up the tree; None is the built-in page."""


def decode_settings(text: str, file: str) -> tuple[Settings | None, list[ConfigError]]:
    """`edge.yml`; None exactly when there is a mistake, and then all of them."""
    return reading.decode(text, file, Settings, RETIRED_SETTINGS)


def decode_app(text: str, file: str) -> tuple[App | None, list[ConfigError]]:
    """`app.yml`; None exactly when there is a mistake, and then all of them."""
    app, mistakes = reading.decode(text, file, App, RETIRED_APP)
    faults = list(islice(check_domains(app), reading.MAX_MISTAKES)) if app else []
    if not faults:
        return app, mistakes
    root = yaml_nodes.compose(text, file)
    return None, [
        ConfigError(file, *yaml_nodes.find_key(root, path, is_same_key), problem, remedy)
        for path, problem, remedy in faults
    ]


def check_domains(app: App) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Key path, problem and remedy for each host that could never be asked for."""
    for domain, entry in app.domains.items():
        for subdomain in entry.subdomains:
            try:
                canonical_host(f"{subdomain}.{domain}".removeprefix("."))
            except ValueError as error:
                path = ("domains", domain, "subdomains", subdomain)
                yield path, str(error), "write a shorter one"
        if entry.auto_subdomains and len(domain) + 1 + MAX_LABEL > MAX_HOST:
            problem = "the domain is too long for a branch's label in front of it"
            yield ("domains", domain, "auto_subdomains"), problem, "write explicit subdomains"


def position_of(text: str, key_path: Sequence[str | int]) -> tuple[int, int]:
    """
    1-based line and column of a key, or of a list's item by its index.

    Host names may be canonical here and otherwise in the file. What is not there has the place of
    its nearest parent, and (1, 1) is the whole file's.
    """
    try:
        root = yaml_nodes.compose(text, "")
    except ConfigError:
        return 1, 1
    return yaml_nodes.find_key(root, key_path, is_same_key)


def is_same_key(written: str, wanted: str) -> bool:
    """Whether a key of the file, which is not spelled so, is the wanted one as a host name."""
    try:
        return canonical_host(written) == wanted
    except ValueError:
        return False


def branch_settings(app: App, branch: str) -> BranchSettings:
    """
    What holds for a branch: its own entry, else that of the longest pattern; access is resolved.

    Of equally long patterns the first in the file wins.
    """
    entry = app.branches.get(branch)
    if entry is None:
        patterns = [each for each in app.branches if branch_matches(each, branch)]
        entry = app.branches[max(patterns, key=len)] if patterns else BranchSettings()
    access = app.access if entry.access is None else entry.access
    if access.users is None:
        access = msgspec.structs.replace(access, users=app.access.users or {})
    return BranchSettings(performance_mode=entry.performance_mode, access=access)
