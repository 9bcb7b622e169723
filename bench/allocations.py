"""
How many blocks a call takes from the allocator, and how many bytes: glibc's own record of it.

A process with Python's allocator set aside (PYTHONMALLOC=malloc) and `libc_malloc_debug` loaded
before all others writes down each `malloc`, so nothing is estimated. What comes from Python's free
lists (floats, tuples, frames) is not taken from the allocator, and not counted. Such a process is
some ten times slower: it counts, another one tells the time.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LIBRARY = "libc_malloc_debug.so.0"
"""Part of glibc since 2.34 (Debian: libc6)."""

VERSION = b"GLIBC_2.2.5"
"""Of the symbols in it; libc itself has stubs of the same names."""

CALLS = 200

Taken = tuple[float, float]
"""Blocks and bytes for a call."""


def in_a_child(script: str, arguments: list[str]) -> dict[str, Taken]:
    """
    What `script --count` prints in a process that counts: by name, blocks and bytes.

    Empty where there is no such library, or the process failed, which it says itself.
    """
    with tempfile.TemporaryDirectory(prefix="edge-micro-") as folder:
        variables = {
            "PYTHONMALLOC": "malloc",
            "LD_PRELOAD": LIBRARY,
            "MALLOC_TRACE": str(Path(folder, "trace")),
        }
        command = [sys.executable, script, "--count", *arguments]
        done = subprocess.run(
            command, env=os.environ | variables, stdout=subprocess.PIPE, check=False
        )
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else {}


class Recorder:
    """Counts in the process that `in_a_child` starts."""

    def __init__(self) -> None:
        """Raises OSError or AttributeError where this is no such process."""
        library = ctypes.CDLL(LIBRARY)
        find = ctypes.CDLL(None).dlvsym
        find.restype = ctypes.c_void_p
        find.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        self._begin, self._end = (
            ctypes.CFUNCTYPE(None)(find(library._handle, name, VERSION))  # noqa: SLF001 - dlvsym wants it
            for name in (b"mtrace", b"muntrace")
        )
        self._record = Path(os.environ["MALLOC_TRACE"])

    def taken(self, call: Callable[[], object]) -> Taken:
        """What a call takes, on the average; the first ones, which fill tables, do not count."""
        for _ in range(CALLS):
            call()
        gc.collect()
        gc.disable()
        self._begin()
        for _ in range(CALLS):
            call()
        self._end()
        gc.enable()
        with self._record.open() as record:
            blocks, size = added_up(record)
        return blocks / CALLS, size / CALLS


def added_up(record: Iterable[str]) -> tuple[int, int]:
    """
    Blocks and bytes that were taken, by the lines of glibc's record.

    `@ WHERE + ADDRESS SIZE` is one of `malloc`, with `>` instead of `+` of `realloc`; what has no
    size is given back.
    """
    blocks = size = 0
    for line in record:
        parts = line.split()
        if len(parts) >= 3 and parts[-3] in {"+", ">"}:
            blocks += 1
            size += int(parts[-1], 16)
    return blocks, size
