"""
Where the admin API is listened to: in clear text on this machine, by TLS for all others.

Laws: what others reach is listened to only with a certificate; where none can be had, it is tried
again, and the rest of control goes on meanwhile. A certificate that is new is taken over by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from edge.control.admin_tls import LOOK_EVERY, AdminTls
from edge.control.inventory import Inventory
from edge.node.orders import Listeners
from edge.site.settings import Listen, Settings

log = logging.getLogger("edge.admin")

LAST_REQUESTS: Final = 0.25
"""Seconds between the last connection and the end of those that did not ask anything."""


class Entrance:
    """The listeners of one admin API."""

    def __init__(
        self, runner: web.AppRunner, inventory: Inventory, settings: Callable[[], Settings]
    ) -> None:
        self._runner = runner
        self._settings = settings
        self._tls = AdminTls(inventory)
        self._address: str | None = None
        """Of the listener that speaks TLS."""
        self._waiting: list[web.SockSite] = []
        """What is listened to once there is a certificate."""

    async def open(self, listeners: Listeners) -> None:
        """Begin to listen."""
        for name, listener in listeners.entries:
            address = name.removeprefix("admin ")
            if not Listen(http=(), admin=address).is_admin_remote:
                await web.SockSite(self._runner, listener.dup()).start()
                continue
            self._address = address
            context = self._tls.context
            self._waiting.append(web.SockSite(self._runner, listener.dup(), ssl_context=context))
        await self.look()

    async def close(self) -> None:
        """Take no more connections; who has just been let in may still ask."""
        for site in tuple(self._runner.sites):
            await site.stop()
        await asyncio.sleep(LAST_REQUESTS)

    async def keep(self) -> None:
        """Take over what is new, for as long as it runs."""
        while self._address is not None:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Take over what is new; listen, if that had to wait for it."""
        if self._address is None:
            return
        try:
            await asyncio.to_thread(self._tls.look, self._address, self._settings(), time.time())
        except Exception:
            log.exception(
                "the admin API has no certificate, and is not listened to without one"
                if self._waiting
                else "the admin API keeps the certificate that it has"
            )
            return
        waiting, self._waiting = self._waiting, []
        for site in waiting:
            await site.start()
