"""
The public authorities that the settings name: a connection to each, and how fast it may be asked.

Laws: one client an authority, made at its first use and kept while the settings say the same. What
an authority forbids is kept on the disk: a restart is no new allowance. Whoever wants to order asks
here first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.control.vault import Vault
from edge.node.tasks import spawn
from edge.site import pace
from edge.site.pace import Pace
from edge.site.settings import Acme

if TYPE_CHECKING:
    from edge.control.acme import Client

log = logging.getLogger("edge.authorities")


class Authorities:
    """Those of one node, by the URLs of their directories; of the loop's thread."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock
        self._acme = Acme()
        self._root = Path()
        self._clients: dict[str, Client] = {}
        self._paces: dict[str, Pace] = {}

    def configure(self, acme: Acme, root: Path) -> None:
        """Use these from now on; `root` is the folder that relative paths start from."""
        if (acme, root) != (self._acme, self._root):
            for client in self._clients.values():
                spawn(client.close(), "close authority")
            self._clients.clear()
            self._acme, self._root = acme, root

    async def close(self) -> None:
        """End all connections, after what is being asked."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    @property
    def primary(self) -> Acme:
        """The one that is asked first."""
        return self._acme

    def find(self, directory: str) -> Acme | None:
        """The settings of an authority that is still one of ours; staging ones are not."""
        configured = (self._acme, self._acme.fallback)
        return next((each for each in configured if each and each.directory == directory), None)

    def client(self, acme: Acme) -> Client:
        """The connection to an authority."""
        client = self._clients.get(acme.directory)
        if client is None:
            client = self._clients[acme.directory] = self._connect(acme)
        return client

    def _connect(self, acme: Acme) -> Client:
        from edge.control.acme import Client  # noqa: PLC0415 - 14 MiB, for who needs it

        eab = acme.eab
        if eab is not None:
            file = str(self._root / eab.hmac_key_file)
            eab = msgspec.structs.replace(eab, hmac_key_file=file)
        return Client(
            acme.directory,
            self._vault.account(acme.directory),
            ca_file=self._root / acme.ca_file if acme.ca_file is not None else None,
            email=acme.email,
            eab=eab,
        )

    # How fast

    async def open(self, acme: Acme) -> Pace:
        """What is known about an authority's limits."""
        known = self._paces.get(acme.directory)
        if known is None:
            known = await asyncio.to_thread(self._vault.pace, acme.directory)
            known = self._paces.setdefault(acme.directory, known)
        return known

    async def wait_for(self, acme: Acme, ahead: int = 0) -> float:
        """When the next order may be made behind `ahead` others; what is over is at once."""
        return pace.ready_at(await self.open(acme), self._clock(), ahead)

    async def spend(self, acme: Acme) -> None:
        """An order is about to be made."""
        await self._keep(acme, pace.spent(await self.open(acme), self._clock()))

    async def block(self, acme: Acme, retry_after: float | None, reason: str) -> None:
        """An authority said stop."""
        log.warning("%s is not asked for a while: %s", acme.directory, reason)
        known = await self.open(acme)
        await self._keep(acme, pace.blocked(known, retry_after, reason, self._clock()))

    async def broke(self, acme: Acme, reason: str) -> None:
        """An order failed by the authority's own fault."""
        await self._keep(acme, pace.broke(await self.open(acme), reason, self._clock()))

    async def worked(self, acme: Acme) -> None:
        """An order was answered as it should be."""
        known = await self.open(acme)
        if known.failures:
            await self._keep(acme, pace.worked(known))

    async def unblock(self) -> None:
        """A hand has looked after it: each may be asked again."""
        for acme in (self._acme, self._acme.fallback):
            if acme is not None and (await self.open(acme)).blocked_until:
                await self._keep(acme, pace.unblocked(await self.open(acme)))

    async def _keep(self, acme: Acme, known: Pace) -> None:
        self._paces[acme.directory] = known
        try:
            await asyncio.to_thread(self._vault.keep_pace, acme.directory, known)
        except OSError as error:  # then it holds until a restart
            log.warning("the limits of %s cannot be kept: %s", acme.directory, error)


def staging_of(acme: Acme) -> Acme | None:
    """
    Where an authority's orders are rehearsed, if it has such a place.

    The default is another authority's than one that the operator named: it is not used for that.
    """
    default = Acme()
    is_foreign = acme.directory != default.directory and acme.staging == default.staging
    if acme.staging is None or is_foreign or acme.staging == acme.directory:
        return None
    return msgspec.structs.replace(acme, directory=acme.staging, staging=None, fallback=None)
