"""
The listeners that a worker accepts from; not while there are no descriptors for connections.

Laws: what is closed here is a duplicate: the queue of a listener stays, and whoever waits in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from edge.node import descriptors
from edge.node.connection import Http1Connection
from edge.node.secure import Secured

if TYPE_CHECKING:
    from edge.node.orders import Listeners
    from edge.node.reception import Reception
    from edge.node.transport import Service

log = logging.getLogger("edge.worker")

BACKLOG: Final = 4096
"""Connections that wait to be taken; a Unix socket refuses the next one at once."""

UNSENT: Final = 128 * 1024
"""
Bytes that the kernel takes of a connection beyond what is on its way. Without, it takes 2.5 MB of
each slow reader, and a thousand of them have all the memory that TCP may have, everyone's.
"""


class Listening:
    """Accepts, or not."""

    def __init__(self, listeners: Listeners, service: Service, reception: Reception) -> None:
        self._listeners = listeners
        self._service = service
        self._reception = reception
        self._servers: list[asyncio.AbstractServer] = []
        self._is_wanted = False
        self.are_short: Callable[[], bool] = descriptors.are_short

    async def open(self) -> None:
        """Accept from every listener."""
        self._is_wanted = True
        loop = asyncio.get_running_loop()
        for name, listener in self._listeners.entries:
            bound_unsent(listener)
            begin: Callable[[], Http1Connection | Secured] = partial(Http1Connection, self._service)
            if name.startswith("https "):
                begin = partial(Secured, self._reception)
            server = await loop.create_server(begin, sock=listener.dup(), backlog=BACKLOG)  # type: ignore[arg-type]
            self._servers.append(server)

    async def follow(self) -> None:
        """Once a second: stop accepting where descriptors have run out, and begin again."""
        if not self._is_wanted:
            return
        is_short = self.are_short()
        if is_short and self._servers:
            log.warning("no descriptors are left: connections wait until some are (ulimit -n)")
            self._service.counters.refuse("descriptors")
            self._pause()
        elif not is_short and not self._servers:
            try:
                await self.open()
            except OSError:  # they have run out meanwhile
                self._pause()

    def close(self) -> None:
        """Accept no more, for good."""
        self._is_wanted = False
        self._pause()
        self._listeners.close()

    def _pause(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()


def bound_unsent(listener: socket.socket) -> None:
    """Have whatever is accepted from a listener hold less in the kernel, as it inherits."""
    with contextlib.suppress(OSError):  # not on a Unix socket
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
