"""
The once-a-second look at every connection, in slices with pauses between: thousands that end
together delay nobody, and neither do the thousands that come again at once.

Laws: a look is over within a second, or as soon as it can be; a connection that has gone meanwhile
is not looked at, for its descriptor is another's; one connection's trouble is no other's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge.node.transport import Connection

log = logging.getLogger("edge.worker")

SLICE_SECONDS: Final = 0.0005
"""After so long others have their turn. 10,000 idle connections take 10 ms, to end them 1 s."""

PAUSE_SECONDS: Final = 0.01
"""Between two slices. 500 slow attackers ended at once held honest requests up for 2 ms."""

SPREAD_SECONDS: Final = 0.8
"""After so long there are no more pauses: others have their turns, but the look goes on."""


async def sweep(connections: Iterable[Connection], now: float) -> None:
    """Have each look at its limits."""
    began = monotonic()
    until = began + SLICE_SECONDS
    for connection in connections:
        if connection not in connection.service.connections:
            continue
        try:
            connection.sweep(now)
        except Exception:  # one connection's trouble must not stop everyone's clock
            log.exception("a connection could not be swept")
        if (read := monotonic()) > until:
            await asyncio.sleep(PAUSE_SECONDS if read - began < SPREAD_SECONDS else 0)
            until = monotonic() + SLICE_SECONDS
