"""
The once-a-second look at every connection, in slices with pauses between: thousands that end
together delay nobody, and neither do the thousands that come again at once.

Laws: pauses make no look longer than a second; a connection that has gone meanwhile is not looked
at, for its descriptor is another's; one connection's trouble is no other's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.transport import Connection

log = logging.getLogger("edge.worker")

SLICE_SECONDS: Final = 0.0005
"""After so long others have their turn. 10,000 idle connections take 10 ms, to end them 1 s."""

PAUSE_SECONDS: Final = 0.01
"""Between two slices. 500 slow attackers ended at once held honest requests up for 2 ms."""

SPREAD_SECONDS: Final = 0.8
"""Pauses leave room for all connections in so long; who has more to do makes none."""


async def sweep(connections: Collection[Connection], clock: Clock) -> None:
    """Have each look at its limits, in the time that it is then."""
    began = monotonic()
    until = began + SLICE_SECONDS
    for done, connection in enumerate(connections, 1):
        if connection not in connection.service.connections:
            continue
        try:
            connection.sweep(clock.now)
        except Exception:  # one connection's trouble must not stop everyone's clock
            log.exception("a connection could not be swept")
        if (read := monotonic()) > until:
            is_early = read - began < SPREAD_SECONDS * done / len(connections)
            await asyncio.sleep(PAUSE_SECONDS if is_early else 0)
            until = monotonic() + SLICE_SECONDS
