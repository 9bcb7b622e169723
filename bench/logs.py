"""
Access logs while servers are measured: each line is counted, and none is kept.

A log that grows for ten minutes would fill the memory that it lies in, and a server that drops
lines does less than one that writes them.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Server

SETTLED_S = 1.2
"""Seconds without a write after which all is written: nginx keeps lines for a second."""

PATIENCE_S = 10.0

CHUNK = 1 << 20


def emptied(server: Server) -> int | None:
    """
    Lines that its log had, once it has come to rest; it is empty then, with what was set aside.

    None where there is no log. Those who write append, so that nothing of theirs has to be told.
    """
    log = server.access_log
    if log is None:
        return None
    wait_until_settled(log)
    return sum(emptied_file(path) for path in files_of(log))


def files_of(log: Path) -> list[Path]:
    """The log and what was set aside: `access.jsonl`, `access-….jsonl`; not what locks them."""
    return sorted(log.parent.glob(f"{log.stem}*{log.suffix}"))


def wait_until_settled(log: Path) -> None:
    """Return when nothing was written for a while; usually others were measured meanwhile."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        with contextlib.suppress(FileNotFoundError):
            quiet = time.time() - log.stat().st_mtime
            if quiet >= SETTLED_S:
                return
        time.sleep(0.05)


def emptied_file(path: Path) -> int:
    """Lines of one file that has none afterwards."""
    lines = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            lines += chunk.count(b"\n")
    os.truncate(path, 0)
    return lines
