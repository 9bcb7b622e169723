"""
The suite under pauses: any of its processes is stopped at any moment, as on a machine with too much
to do. `make pauses` runs it; arguments are pytest's.

A test that fails here, and not without it, takes an order for granted: what CI meets once in a
hundred runs shows within one. Pauses are far below the limits that are tested, of which the
shortest is a second.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

BETWEEN: Final = (0.02, 0.2)
"""Seconds between two pauses."""

LASTING: Final = (0.05, 0.5)
"""Seconds of one."""


def main() -> int:
    """Run pytest and what it starts, with pauses; its exit code."""
    tests = subprocess.Popen([sys.executable, "-m", "pytest", *sys.argv[1:]])
    is_over = threading.Event()
    threading.Thread(target=pause_in_turn, args=(tests.pid, is_over)).start()
    try:
        return tests.wait()
    finally:
        is_over.set()


def pause_in_turn(root: int, is_over: threading.Event) -> None:
    """One of the processes at a time."""
    while not is_over.wait(random.uniform(*BETWEEN)):
        running = [pid for pid in below(root) if state_of(pid) in "RSD"]
        if running:
            pause(random.choice(running), is_over)


def pause(pid: int, is_over: threading.Event) -> None:
    """Stop a process, and let it go on."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            is_over.wait(random.uniform(*LASTING))
        finally:
            os.kill(pid, signal.SIGCONT)


def below(root: int) -> list[int]:
    """A process's descendants, without itself."""
    names = (each.name for each in Path("/proc").iterdir())
    parents = {pid: parent_of(pid) for pid in map(int, filter(str.isdigit, names))}
    found, last = [], [root]
    while last:
        last = [pid for pid, parent in parents.items() if parent in last]
        found += last
    return found


def parent_of(pid: int) -> int:
    """0 for one that is gone."""
    return int(field_of(pid, 1) or 0)


def state_of(pid: int) -> str:
    """A letter of proc(5): T is stopped, by a test that means it."""
    return field_of(pid, 0) or "Z"


def field_of(pid: int, number: int) -> str | None:
    """A field of /proc/PID/stat behind the name, which may have blanks in it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[number]
    return None


if __name__ == "__main__":
    sys.exit(main())
