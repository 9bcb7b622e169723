"""
Who stays in the foreground when another process has become the node.

A terminal, a container or a supervisor waits for the process that it started. After an upgrade that
one has nothing left to do but pass signals on and end as the node ends. systemd is told instead
which process is the main one (MAINPID), and then nobody waits here.

Laws: one thread, no loop, nothing of control imported. Of several upgrades only the first process
stays: it adopts those whose parents have gone (PR_SET_CHILD_SUBREAPER), and the lock says who the
node is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Final

from edge.control import handover, signals, systemd
from edge.site.places import Places

PR_SET_CHILD_SUBREAPER: Final = 36
"""Source: prctl(2)."""


def is_needed() -> bool:
    """Whether this process has to stay: a container ends with it, or nobody hears of another."""
    return os.getpid() == 1 or not systemd.is_told()


def adopt_orphans() -> None:
    """Be the parent of descendants whose parents end, so that their ends are known."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def forward(pid: int, number: int) -> None:
    """Pass a signal on; one who has ended needs none."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def pass_on(number: int, heir: int, places: Places) -> None:
    """
    Pass a signal on to the process that is the node now.

    The heir may just have passed on what it had, and would take the signal with it.
    """
    forward(handover.signed(places) or heir, number)


def accompany(heir: int, places: Places, ended: dict[int, int]) -> int:
    """
    Pass signals on until the node has ended; its exit code, 128 and more for a signal's.

    `ended` are processes that have, with their status.
    """
    while True:
        reap(ended)
        if heir in ended:
            code, following = os.waitstatus_to_exitcode(ended[heir]), handover.signed(places)
            if code != 0 or following == heir or not (following in ended or is_child(following)):
                return code if code >= 0 else 128 - code
            heir = following
            continue
        caught = signals.wait(1.0)
        if caught not in (None, signal.SIGCHLD):
            pass_on(caught, heir, places)


def reap(ended: dict[int, int]) -> None:
    """Take note of all who have ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            ended[pid] = status


def is_child(pid: int) -> bool:
    """Whether a living process is one that is waited for here."""
    try:
        return pid > 0 and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
