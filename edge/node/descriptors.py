"""
How many files and sockets this process may open, and what is kept free of them.

Laws: connections never take the last ones: disks, origins and siblings need some. Where the kernel
has none left nobody accepts: libuv would close what comes, or spin on it, while a connection that
waits in the listener's queue is served later.
"""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Final

SPARE: Final = 8
"""As many must be free for connections to be accepted."""

LEAST_RESERVED, MOST_RESERVED = 64, 1024
"""Of the limit a quarter, within these, is not for connections."""


def raise_limit() -> int:
    """Have as many as an administrator allows (`ulimit -Hn`); how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


def for_connections(limit: int) -> int:
    """How many connections a limit of descriptors is enough for."""
    reserved = min(MOST_RESERVED, max(LEAST_RESERVED, limit // 4))
    return max(1, limit - reserved)


def are_short() -> bool:
    """Whether fewer than `SPARE` can be opened, by this process or by any. Cost: 10 µs."""
    taken: list[int] = []
    try:
        while len(taken) < SPARE:
            taken.append(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return True
    finally:
        for each in taken:
            os.close(each)
    return False
