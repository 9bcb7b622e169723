"""
The keeper of certificates: the loop that has them there in time.

Laws: never in the way of serving, whatever breaks: what serves serves on, and the next look makes
up for it. What public authorities are asked for is `enrollment`'s, which is loaded by the first
name that needs one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge.control import certificates
from edge.control.agenda import Agenda
from edge.control.changes import Changes
from edge.control.deployments import NoSuch
from edge.control.inventory import Inventory
from edge.control.metrics import Metrics
from edge.errors import StoreError
from edge.site.certificates import wildcard_of
from edge.site.places import Places
from edge.site.wanted import Wanted

if TYPE_CHECKING:
    from edge.control.enrollment import Enrollment

log = logging.getLogger("edge.keeper")

LOOK_EVERY: Final = 5.0
"""Seconds between two looks whether anything is another, or due."""

REST: Final = 3
LONGEST_REST: Final = 3.0
"""
A look that was called for waits so many times as long as the last one took, seconds at most:
thousands of certificates come one by one, and each is worth a look.
"""


class Keeper:
    """What keeps the certificates of one node."""

    def __init__(
        self,
        places: Places,
        changes: Changes,
        clock: Callable[[], float] = time.time,
        enroll: Callable[[Keeper], Enrollment] | None = None,
    ) -> None:
        """`enroll` is for a test's authority, which is looked for elsewhere."""
        self.inventory = Inventory(places, changes, clock)
        self.agenda = Agenda(self.inventory.vault)
        self.changes = changes
        self.clock = clock
        self.metrics = Metrics()
        changes.events.subscribe(self.metrics.hear)
        self.enrollment: Enrollment | None = None
        self._enroll = enroll or _enroll
        self._nudged = asyncio.Event()
        self._keeping = ThreadPoolExecutor(1, "keep")

    async def run(self) -> None:
        """Keep until cancelled."""
        try:
            while True:
                begun = time.monotonic()
                try:
                    await self.look()
                except Exception:
                    log.exception("certificates were not looked after; they serve as they are")
                took = time.monotonic() - begun
                await self._wait()
                await asyncio.sleep(min(LONGEST_REST, REST * took))
        finally:
            if self.enrollment is not None:
                self.enrollment.close()
            self._keeping.shutdown(wait=False)
            self.inventory.close()

    def nudge(self) -> None:
        """Something may be another: look now. From the loop's thread."""
        self._nudged.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._nudged.wait()
        except TimeoutError:
            pass
        self._nudged.clear()

    async def look(self) -> None:
        """One look at everything, and a beginning of what is due."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._keeping, self.inventory.look)
        self.metrics.tell(self.inventory.serving)
        generation = self.inventory.generation
        if generation is None or not self._has_public_names():
            return
        if self.enrollment is None:
            enrollment = self._enroll(self)
            enrollment.on_change = self.nudge
            enrollment.obtaining.count = self.metrics.count_order
            await enrollment.open()
            self.enrollment = enrollment
        await self.enrollment.tend(generation.settings, Path(generation.root))

    def _has_public_names(self) -> bool:
        return any(wish.source == "acme" for wish in self.inventory.wishes.wanted)

    # For people

    def describe(self) -> dict[str, Any]:
        """Every name, its certificate, what is next and what was."""
        running = set(self.enrollment.running) if self.enrollment is not None else set()
        return certificates.describe(self.inventory, self.agenda, running, self.clock())

    async def renew(self, name: str) -> dict[str, Any]:
        """
        Have a new certificate of a name as soon as may be; its back-off is forgotten.

        Raises:
            NoSuch: there is no such name.
            StoreError: it is the operator's own.
        """
        wish = self._wish(name)
        if wish.source == "internal":
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._keeping, self.inventory.sign, wish)
            self.inventory.is_stale = True
        else:
            await self.agenda.force(wish.name)
            if self.enrollment is not None:
                await self.enrollment.authorities.unblock()
        self.nudge()
        return {"name": wish.name, "source": wish.source}

    def _wish(self, name: str) -> Wanted:
        wishes = {wish.name: wish for wish in self.inventory.wishes.wanted}
        wish = wishes.get(name) or wishes.get(wildcard_of(name))
        if wish is not None:
            return wish
        if any(name in each.names or name == key for key, each in self.inventory.own.items()):
            raise StoreError(f"the certificate of {name} is your own: replace its file")
        for refused in self.inventory.wishes.refused:
            if refused.name == name:
                raise StoreError(f"{name} gets no certificate: {refused.reason}")
        known = ", ".join(sorted(wishes)[:20]) or "none"
        raise NoSuch(f"no certificate is wanted for {name} (wanted are: {known})")


def _enroll(keeper: Keeper) -> Enrollment:
    from edge.control.enrollment import Enrollment  # noqa: PLC0415 - 14 MiB, for who needs it

    return Enrollment(keeper.inventory, keeper.agenda, keeper.changes.fleet, clock=keeper.clock)
