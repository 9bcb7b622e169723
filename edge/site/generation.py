"""
What control writes and workers read: a generation, its apps, their branches. Pure.

A generation names one compiled document an app by its hash, so that a change of one app out of a
thousand costs one document and a worker reuses the other 999. `current` points to the generation
that serves; it is the only truth about which deployment is active.
"""

from __future__ import annotations

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
    history: tuple[str, ...] = ()
    """Deployments that were active, newest first, without the active one; for rollback."""
    retained: str | None = None
    """Compiled document of fingerprinted files that earlier deployments had."""


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """One app: its last good configuration and its branches."""

    name: str
    config: App | None
    """None when its folder never had a valid configuration: its hosts answer 503."""
    branches: dict[str, BranchState] = {}
    """By label."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One whole configuration of the node."""

    number: int
    created: float
    settings: Settings
    apps: dict[str, str] = {}
    """App → sha256 of its compiled `AppState`."""


class RetainedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A fingerprinted file of an earlier deployment."""

    deployment: str
    created: float
    until: float
    """Epoch seconds."""
    entry: Entry
