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
import contextlib
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from edge.node.memory import LIBC, PAGE

COLLAPSE: Final = 25
"""MADV_COLLAPSE (madvise(2)): now, and not when the kernel comes by."""

SMALL: Final = 4096
LARGE: Final = 2 << 20
"""Of machines whose other pages are `SMALL`."""

STEP: Final = 16 << 20
"""Bytes by which a process has grown that is looked at again."""

LEAST: Final = 48 << 20
"""Bytes below which it is left alone: most of them are its parent's too, and would be copied."""

PAUSE: Final = 0.05
"""Seconds between two of them: one takes 0.3 to 2.5 ms, in which who touches it waits."""

STILL: Final = STEP // 8
"""Bytes a second that are no growth."""

SETTING: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""What the machine's owner says: `always [madvise] never`."""

PAGEMAP: Final = Path("/proc/self/pagemap")
ENTRY: Final = 8
"""Bytes that say of a page where it is; the highest bit, whether it is there at all."""

MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 +(?:\[heap\])?\n")
"""Memory that is no file's and nobody else's, but for stacks with a name."""


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
    """Whether the machine has large pages of this size, and its owner did not switch them off."""
    try:
        return PAGE == SMALL and "[never]" not in setting.read_text()
    except OSError:
        return False


async def move() -> int:
    """Have what is full in large pages, one after the other; how many are."""
    moved = 0
    with contextlib.suppress(OSError):  # a system that does not tell where its pages are
        for start in await asyncio.to_thread(candidates):
            moved += await asyncio.to_thread(collapse, start)
            await asyncio.sleep(PAUSE)
    return moved


def candidates() -> list[int]:
    """Where pages would be large, and full."""
    with PAGEMAP.open("rb", buffering=0) as table:
        return [start for start in starts() if is_full(table, start)]


def starts(path: Path = Path("/proc/self/maps")) -> Iterator[int]:
    """Where a large page could be, in memory that is this process's alone."""
    for found in MAPPING.finditer(path.read_text()):
        start, end = int(found[1], 16), int(found[2], 16)
        yield from range(-(-start // LARGE) * LARGE, end - LARGE + 1, LARGE)


def is_full(table: BinaryIO, start: int) -> bool:
    """Whether nine of ten small pages are there. Source: Linux, admin-guide/mm/pagemap."""
    table.seek(start // PAGE * ENTRY)
    flags = table.read(LARGE // PAGE * ENTRY)[ENTRY - 1 :: ENTRY]
    return sum(flag >> 7 for flag in flags) * PAGE * 10 >= LARGE * 9


def collapse(start: int) -> bool:
    """Have the bytes from `start` on in a large page; False where the kernel will not."""
    return not LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(LARGE), COLLAPSE)
