"""
App folders as they were read last: a reload reads again only those with a file that is another.

Laws: what is remembered is what reading would give. A file counts as the same by its inode, size
and times, and only once these are old enough to tell two writes apart. Mistakes are not remembered:
what was wrong is looked at again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from edge.control import configuration
from edge.control.configuration import Configuration

SETTLED_NS: Final = 2_000_000_000
"""Age of a file's last change from which another would have another time, on any file system."""

REMEMBERED: Final = 16 << 20
"""Bytes of files that are remembered; decoded, they take about four times as much."""

Mark = tuple[str, int, int, int, int]
"""Name, inode, size, and when it was written and changed, in ns."""


class Known(NamedTuple):
    """One folder."""

    of: tuple[Path, str]
    """The folder of all apps, and what it is called in messages."""
    marks: tuple[Mark, ...]
    found: Configuration


class AppFolders:
    """What one process has read."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        """By name: paths of a thousand apps take longer to make than to look at."""
        self._size = 0
        self.read = 0
        """Folders that were read so far."""

    def all(self, folder: Path, shown: str) -> Configuration:
        """
        Every app folder in `folder`. See `configuration.read_apps`.

        Raises:
            StoreError: the folder cannot be listed.
        """
        found = configuration.read_apps(folder, shown, self._one)
        for name in self._known.keys() - found.keys.keys():
            self._forget(name)
        return found

    def _one(self, folder: Path, name: str, shown: str) -> Configuration:
        marks = marks_of(f"{folder}/{name}")
        known = self._known.get(name)
        if known is not None and known.marks == marks and known.of == (folder, shown):
            return known.found
        self._forget(name)
        now = time.time_ns()
        found = configuration.read_one(folder, name, shown)
        self.read += 1
        if marks is not None and not found.broken and are_settled(marks, now):
            size = size_of(marks)
            if self._size + size <= REMEMBERED:
                self._size += size
                self._known[name] = Known((folder, shown), marks, found)
        return found

    def _forget(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            self._size -= size_of(known.marks)


def marks_of(folder: Path | str) -> tuple[Mark, ...] | None:
    """What tells an app's files from others; None where it cannot be known."""
    marks = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in configuration.APP_FILES:
                    status = entry.stat()
                    times = status.st_mtime_ns, status.st_ctime_ns
                    marks.append((entry.name, status.st_ino, status.st_size, *times))
    except OSError:
        return None
    return tuple(sorted(marks))


def are_settled(marks: tuple[Mark, ...], now_ns: int) -> bool:
    """Whether a write from now on would leave other marks."""
    return all(changed <= now_ns - SETTLED_NS for *_, changed in marks)


def size_of(marks: tuple[Mark, ...]) -> int:
    """Bytes of all files."""
    return sum(size for _, _, size, _, _ in marks)
