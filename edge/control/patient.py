"""
What `edge doctor` looks at, and what it finds.

Laws: a finding is one line for whoever runs the node; what is not well names its remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edge.errors import ConfigError
from edge.site.places import Places
from edge.site.settings import Settings

Level = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    level: Level
    text: str
    remedy: str = ""
    """What to do; empty where all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A node, running or not, and the machine that it is to run on."""

    settings: Settings
    """As they are written; with mistakes, those of the last good generation, else the defaults."""
    mistakes: tuple[ConfigError, ...]
    """Those of `edge.yml`."""
    config: Path | None
    root: Path
    """Where relative paths start."""
    places: Places
    parent: int | None
    """Its process, where the node runs."""
    workers: tuple[int, ...]
    """Those that live."""

    @property
    def pids(self) -> frozenset[int]:
        """Processes that may have the node's ports."""
        return frozenset(self.workers) | ({self.parent} if self.parent else set())

    def path(self, text: str) -> Path:
        """A path of `edge.yml`."""
        return self.root / text


def fine(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def warning(text: str, remedy: str) -> Finding:
    """It works, and may not for long, or not as meant."""
    return Finding("warning", text, remedy)


def wrong(text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding("wrong", text, remedy)
