"""
`edge upgrade`: ask the node that runs to put another version in its place, and hear of it.

Laws: works on the machine itself, through the state folder; the node does the rest (`handover`).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from pathlib import Path

from edge.control import durable, handover
from edge.control.handover import GRACE_S, PATIENCE_S
from edge.errors import EdgeError
from edge.site.places import Places

LOOK_EVERY = 0.05
"""Seconds between two looks for the answer."""


def upgrade(places: Places, python: Path) -> int:
    """
    Have the program of an interpreter serve in place of the node's; the new process.

    Raises:
        EdgeError: no node runs, or the new version does not come to serve; the old one does.
    """
    pid = running(places)
    if not os.access(python, os.X_OK):
        raise EdgeError(f"{python} cannot be run; give the interpreter of the new version")
    mark = secrets.token_hex(8)
    result = places.run / handover.RESULT
    result.unlink(missing_ok=True)
    handover.write(places.run / handover.REQUEST, {"id": mark, "python": str(python.absolute())})
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + PATIENCE_S + 2 * GRACE_S
    while time.monotonic() < deadline:
        told = read(result)
        if told.get("id") == mark:
            if told["reason"]:
                raise EdgeError(f"the old version serves on: {told['reason']}")
            return int(told["pid"])
        if not is_alive(pid) and (heir := heir_of(pid, places)):
            return heir
        time.sleep(LOOK_EVERY)
    raise EdgeError("the node does not say what came of it; its log may")


def running(places: Places) -> int:
    """
    The process of the node.

    Raises:
        EdgeError: none runs.
    """
    pid = handover.signed(places)
    lock = durable.try_lock(places.lock)
    if lock is not None:
        os.close(lock)
    if lock is not None or not is_alive(pid):
        raise EdgeError(f"no node runs on {places.state}: edge serve")
    return pid


def heir_of(pid: int, places: Places) -> int:
    """
    The process that serves although the one that would have told of it has died; 0 while it may.

    Raises:
        EdgeError: none does, nor will.
    """
    heir = handover.signed(places)
    if heir != pid and is_alive(heir):
        return heir
    lock = durable.try_lock(places.lock)
    if lock is None:
        return 0
    os.close(lock)
    raise EdgeError("the node has ended meanwhile; its log says why: edge serve")


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return pid > 0 and " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def read(path: Path) -> dict[str, str]:
    """A small document; nothing where there is none yet."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
