"""
The signals that a parent waits for, one at a time.

Law: nobody waits with `sigtimedwait`. Interrupted when its time is over, as in a process that was
stopped and goes on (a paused container, Ctrl-Z and `fg`), CPython's (3.11 to 3.13) returns what
lies on its stack: a signal that nobody sent.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from typing import Final

WAITED: Final = frozenset(
    (
        *(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT),
        *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    )
)

SIGSET: Final = ctypes.c_uint64 * 16
"""A set of signals as C has it: 1,024 bits, of which the first is signal 1."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def block() -> None:
    """From now on they wait until they are waited for; children inherit it, and `unblock`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)


def unblock() -> None:
    """Have them do what they do to any process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED)


def wait(seconds: float) -> int | None:
    """The number of the next of them, once they are blocked; None where none comes for so long."""
    descriptor = _signalfd()
    try:
        arrivals = select.poll()
        arrivals.register(descriptor, select.POLLIN)
        arrivals.poll(seconds * 1000)
    finally:
        os.close(descriptor)  # opened anew each time, for else children would have it
    caught = signal.sigtimedwait(WAITED, 0)  # without a wait nothing interrupts it
    return None if caught is None else caught.si_signo


def _signalfd() -> int:
    """Can be read when one of them is there. Source: signalfd(2)."""
    mask = SIGSET(sum(1 << number - 1 for number in WAITED))
    descriptor: int = _libc.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signals cannot be waited for")
    return descriptor
