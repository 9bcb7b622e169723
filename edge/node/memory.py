"""
How much memory this process has, and how much there is: as Linux and its control groups say.

Laws: reads a handful of small files, once a second. What cannot be read bounds nothing.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Final

LIBC: Final = ctypes.CDLL(None)
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
UNBOUNDED: Final = 1 << 60
"""More than any machine has; control groups of version 1 say such a number for no limit."""

GROUPS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of version 2 and 1: limit, use, and what of `memory.stat` is given back when asked for."""


TOGETHER: Final = ((-8, 1), (-3, 32 << 20), (-1, 1 << 30))
"""
For `mallopt`: M_ARENA_MAX, M_MMAP_THRESHOLD (its highest), M_TRIM_THRESHOLD. The last two keep
large blocks that come and go cheap: without them, a file of 300 KB takes a third longer to code.
"""


class Memory:
    """What there is of it."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._groups = [each for each in self._find_groups() if each[1] < UNBOUNDED]

    def resident(self) -> int:
        """Bytes of this process that are its own; the pages of files are the kernel's to drop."""
        fields = self._read("proc/self/statm").split()
        return (int(fields[1]) - int(fields[2])) * PAGE if len(fields) > 2 else 0

    def total(self) -> int:
        """Bytes that there are."""
        limits = [limit for _, limit, _ in self._groups]
        return min(self._machine("MemTotal"), *limits, UNBOUNDED)

    def available(self) -> int:
        """Bytes that may be had before the kernel ends somebody."""
        rest = self._machine("MemAvailable")
        for folder, limit, (_, use, idle) in self._groups:
            stat = re.search(rf"^{idle} (\d+)$", self._read(folder / "memory.stat"), re.MULTILINE)
            used = self._number(folder / use, 0) - (int(stat[1]) if stat else 0)
            rest = min(rest, limit - used)
        return rest

    def _machine(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", self._read("proc/meminfo"), re.MULTILINE)
        return int(found[1]) * 1024 if found else UNBOUNDED

    def _find_groups(self) -> list[tuple[Path, int, tuple[str, str, str]]]:
        """Control groups of this process, and those above them, with their limits."""
        found = []
        for line in self._read("proc/self/cgroup").splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if controllers and "memory" not in controllers.split(","):
                continue
            files = GROUPS[1 if controllers else 0]
            mount = Path("sys/fs/cgroup", "memory" if controllers else "")
            folder = mount / path.lstrip("/")
            within = [each for each in (folder, *folder.parents) if each.is_relative_to(mount)]
            found += [(each, self._number(each / files[0], UNBOUNDED), files) for each in within]
        return found

    def _number(self, path: Path, otherwise: int) -> int:
        text = self._read(path).strip()
        return int(text) if text.isdigit() else otherwise

    def _read(self, path: str | Path) -> str:
        try:
            return (self._root / path).read_text()
        except OSError:
            return ""


def keep_together() -> None:
    """
    Have all threads share one heap, which only `give_back` makes smaller (glibc alone has others).

    Otherwise threads get heaps of their own, which keep the most that they ever held.
    For a process whose threads allocate little at once; to be called before there are any.
    """
    set_option = getattr(LIBC, "mallopt", None)
    if set_option is not None:
        for option, value in TOGETHER:
            set_option(option, value)


def give_back() -> None:
    """Have the C library return to the kernel what it keeps of freed memory (glibc alone does)."""
    trim = getattr(LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)
