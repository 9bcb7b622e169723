"""
A parent's processes: fork, reap, replace, signal.

Laws: one thread, and nothing of control imported. A child has clean signals and leaves without its
parent's stack. One that dies is replaced, at once or with a growing pause if it keeps dying.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from edge.control import signals

log = logging.getLogger("edge.parent")

LONGEST_BACKOFF: Final = 30.0
"""Seconds between two starts of a child that keeps dying at once."""

STEADY_SECONDS: Final = 10.0
"""A child that lived this long did not fail to start: its next replacement comes at once."""


class Child:
    """One process to keep alive."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.pid = 0
        self.started = 0.0
        self.backoff = 0.0
        self.due = 0.0
        """When it is started again, in monotonic seconds."""


class Children:
    """All of one parent."""

    def __init__(self) -> None:
        self.all: list[Child] = []
        self.are_leaving = False
        """Whether those that end are to end."""
        self.restarts = 0
        """Workers that died and were replaced."""
        self.deaths = 0
        """Of any of them."""

    def start(self) -> None:
        """Fork all."""
        for child in self.all:
            self._fork(child)

    def pids(self) -> set[int]:
        """Of the living."""
        return {child.pid for child in self.all if child.pid}

    def names(self) -> dict[int, str]:
        """What the living are, by pid."""
        return {child.pid: child.name for child in self.all if child.pid}

    def signal(self, number: int, name: str | None = None) -> None:
        """Send a signal to all, or to those of a name."""
        for child in self.all:
            if child.pid and name in (None, child.name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    def reap(self) -> Iterator[tuple[int, int]]:
        """Take note of who has ended; pid and status of those that are nobody's here."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                mine = [child for child in self.all if child.pid == pid]
                for child in mine:
                    self.ended(child, status)
                if not mine:
                    yield pid, status

    def ended(self, child: Child, status: int) -> None:
        """Plan the replacement."""
        now = time.monotonic()
        if not self.are_leaving:
            reason = os.waitstatus_to_exitcode(status)
            log.warning("%s %s ended (%s) and is replaced", child.name, child.pid, reason)
            self.restarts += child.name == "worker"
            self.deaths += 1
        steady = now - child.started > STEADY_SECONDS
        child.backoff = 0.0 if steady else min(LONGEST_BACKOFF, child.backoff * 2 or 0.1)
        child.due = now + child.backoff
        child.pid = 0

    def restart_due(self) -> None:
        """Fork those whose time has come."""
        now = time.monotonic()
        for child in self.all:
            if not child.pid and child.due <= now:
                self._fork(child)

    def _fork(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.started = time.monotonic()
        child.pid = os.fork()
        if child.pid == 0:
            become(child)


def become(child: Child) -> None:
    """In the child: clean signals, do the work, leave without the parent's stack."""
    for number in signals.WAITED:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # the parent's to pass on, for who listens to them
    signals.unblock()
    code = 0
    try:
        child.work()
    except Exception:
        log.exception("%s ended", child.name)
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
