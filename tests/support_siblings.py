"""Two workers of one node in one process, on one state folder, with an origin behind them."""

from __future__ import annotations

import contextlib
import copy
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from edge.node.shelf import Entry
from tests.support_origin import Origin
from tests.support_proxied import idle, proxied, stored
from tests.support_serving import Site, set_epoch


class Pair:
    """The same site, served by two workers that know each other."""

    def __init__(self, site: Site, origin: Origin) -> None:
        self.origin = origin
        self.sites = [copy.copy(site), copy.copy(site)]
        self.desks: list = []

    async def open(self) -> Pair:
        """Have both serve."""
        for slot, site in enumerate(self.sites):
            await site.start(site.new_worker(workers=2, slot=slot))
            self.desks.append(await site.worker.open_desk())
        return self

    async def close(self) -> None:
        """Nothing is under way any more, at either of them; then they end."""
        try:
            for site in self.sites:
                await idle(site.worker)
        finally:
            for desk, site in zip(self.desks, self.sites, strict=True):
                desk.close()
                site.worker._siblings.close()
                site.worker._origins.close()
                for connection in tuple(site.worker._desk.service.connections):
                    connection.transport.abort()

    def of(self, path: str, query: str = "") -> tuple[Site, Site]:
        """The owner of a path of the origin, and the other one."""
        url = f"http://127.0.0.1:{self.origin.port}{path}{query}"
        owner = zlib.crc32(b"site " + url.encode()) % 2
        return self.sites[owner], self.sites[1 - owner]

    def pass_time(self, seconds: float) -> None:
        """For both."""
        for site in self.sites:
            site.pass_time(seconds)


@contextlib.asynccontextmanager
async def pairing(folder: Path, origin: Origin, edge_yml: str = "") -> AsyncIterator[Pair]:
    """Two workers; afterwards nothing has been leaked at either."""
    pair = await Pair(proxied(folder, origin, edge_yml=edge_yml), origin).open()
    for site in pair.sites:  # a second may have begun between the two
        set_epoch(site.clock, pair.sites[0].clock.epoch)
    try:
        yield pair
    finally:
        await pair.close()


def kept(site: Site, path: str) -> list[Entry]:
    """Originals of a path that a worker has."""
    return [entry for entry in stored(site, path) if not entry.is_copy]


def copies(site: Site, path: str) -> list[Entry]:
    """Copies of a path that a worker has."""
    return [entry for entry in stored(site, path) if entry.is_copy]


async def drop(site: Site, *labels: bytes) -> None:
    """Everywhere, by the word of one."""
    await site.worker._siblings.drop(list(labels))
