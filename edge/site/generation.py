"""
What control writes and workers read: a generation, its apps, their branches. Pure.

A generation names one compiled document an app by its hash, so that a change of one app out of a
thousand costs one document and a worker reuses the other 999. `current` points to the generation
that serves; it is the only truth about which deployment is active.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edge.site.documents import App, Settings
from edge.site.manifest import Entry


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment and since when it serves."""

    deployment: str
    at: float
    """Epoch seconds."""


class BranchState(msgspec.Struct, frozen=True, kw_only=True):
    """What one branch serves."""

    name: str
    label: str
    active: Activation | None = None
    previous: Activation | None = None
    """What performance mode may still answer with; None after rollback or purge."""
    purged: tuple[str, ...] = ()
    """Of that, what was purged since: files by their names, addresses from their slash on."""
    history: tuple[str, ...] = ()
    """Deployments that were active, newest first, without the active one; for rollback."""
    waiting: tuple[str, ...] = ()
    """Complete deployments that were never active."""
    retained: str | None = None
    """Compiled document of fingerprinted files that earlier deployments had."""
    rules: str | None = None
    """Compiled document of the rules that the active deployment carries; None: the app's hold."""
    headers: str | None = None
    """The same of custom headers."""

    def documents(self) -> Iterator[str]:
        """The keys of all compiled documents that it names."""
        yield from filter(None, (self.retained, self.rules, self.headers))


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """One app: its last good configuration and its branches."""

    name: str
    config: App | None
    """None when its folder never had a valid configuration: its hosts answer 503."""
    branches: dict[str, BranchState] = {}
    """By label."""
    rules: str | None = None
    """Compiled document of the rules of its folder; None: it has none."""
    headers: str | None = None
    """The same of custom headers."""

    def documents(self) -> Iterator[str]:
        """The keys of all compiled documents that it names."""
        yield from filter(None, (self.rules, self.headers))
        for branch in self.branches.values():
            yield from branch.documents()


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One whole configuration of the node."""

    number: int
    created: float
    settings: Settings
    root: str = ""
    """Folder that relative paths of the settings start from."""
    apps: dict[str, str] = {}
    """App → sha256 of its compiled `AppState`."""


class RetainedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A fingerprinted file of an earlier deployment."""

    deployment: str
    created: float
    until: float
    """Epoch seconds."""
    entry: Entry
