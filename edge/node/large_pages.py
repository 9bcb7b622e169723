"""
Large pages for what a worker has in memory.

Where each request needs other bytes than the one before, finding out where a page of 4 KiB lies
costs as much as reading it, on a virtual machine several times as much: 10,000 files by chance take
a sixth less of the processor in pages of 2 MiB.

Laws: a thread does it, when the process has grown and stands still; what is full already is moved,
nothing else, so that hardly any memory is taken for it; a kernel that cannot (before Linux 6.1), or
must not (`never`), goes on as before.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from edge.node.memory import LIBC

COLLAPSE: Final = 25
"""MADV_COLLAPSE (madvise(2)): now, and not when the kernel comes by."""

LARGE: Final = 2 << 20
STEP: Final = 16 << 20
"""Bytes by which a process has grown that is looked at again."""

LEAST: Final = 48 << 20
"""Bytes below which it is left alone: most of them are its parent's too, and would be copied."""

PAUSE: Final = 0.01
"""Seconds between two of them: one takes 0.3 to 2.5 ms, in which who touches it waits."""

STILL: Final = STEP // 8
"""Bytes a second that are no growth."""

SETTING: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""What the machine's owner says: `always [madvise] never`."""

MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 +(\[heap\])?\n")
"""Memory that is no file's and nobody else's, but for stacks with a name."""


class Mapping(NamedTuple):
    """A part of the memory of this process, all numbers in bytes."""

    start: int
    end: int
    resident: int
    large: int

    def pages(self) -> range:
        """Where large pages within begin."""
        return range(-(-self.start // LARGE) * LARGE, self.end - LARGE + 1, LARGE)

    def is_worth_it(self) -> bool:
        """Whether large pages would be full of what is there, and are not there yet."""
        size = self.end - self.start
        return self.resident * 10 >= size * 9 and self.large * 10 < self.resident * 9


class LargePages:
    """Those of this process, as it grows."""

    def __init__(self, setting: Path = SETTING) -> None:
        self._are_wanted = are_wanted(setting)
        self._moved_at = LEAST - STEP
        """Bytes that it had when it was looked at last."""
        self._before = 0
        """A second ago."""

    def are_due(self, resident: int) -> bool:
        """Whether to `move` now that it has so many bytes; asked once a second."""
        growth, self._before = resident - self._before, resident
        if not self._are_wanted or resident - self._moved_at < STEP or growth > STILL:
            return False
        self._moved_at = resident
        return True


def are_wanted(setting: Path) -> bool:
    """Whether the machine has large pages, and its owner did not switch them off."""
    try:
        return "[never]" not in setting.read_text()
    except OSError:
        return False


async def move() -> int:
    """Have what is full in large pages, one after the other; how many are."""
    moved = 0
    for start in await asyncio.to_thread(candidates):
        moved += await asyncio.to_thread(collapse, start)
        await asyncio.sleep(PAUSE)
    return moved


def candidates() -> list[int]:
    """Where pages would be large, and full."""
    return [start for each in mappings() if each.is_worth_it() for start in each.pages()]


def collapse(start: int) -> bool:
    """Have the bytes from `start` on in a large page; False where the kernel will not."""
    return not LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(LARGE), COLLAPSE)


def mappings(path: Path = Path("/proc/self/smaps")) -> Iterator[Mapping]:
    """Private memory, as Linux says it; nothing where it does not."""
    try:
        text = path.read_text()
    except OSError:
        return
    for found in MAPPING.finditer(text):
        start, end = int(found[1], 16), int(found[2], 16)
        if end - start >= LARGE:
            facts = text[found.end() : found.end() + 1024]
            yield Mapping(start, end, kib(facts, "Rss"), kib(facts, "AnonHugePages"))


def kib(facts: str, name: str) -> int:
    """A number of a mapping, in bytes."""
    found = re.search(rf"^{name}: +(\d+) kB$", facts, re.MULTILINE)
    return int(found[1]) << 10 if found else 0
