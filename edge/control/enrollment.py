"""
The public authorities' side of keeping: who is asked, when, for what; and what they advise.

Laws: so many tries at a time, one a name. An authority that said stop, or whose allowance is used
up, is not asked; another one only where `renewal.may_fall_back` lets it. A try that breaks is a
failure of its name, whatever broke.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge.control.acme_errors import AcmeError
from edge.control.agenda import Agenda
from edge.control.answers import Answers
from edge.control.authorities import Authorities
from edge.control.fleet import Fleet
from edge.control.inventory import Inventory, validity_of
from edge.control.obtaining import Obtaining
from edge.control.proofs import Proofs, challenges_for
from edge.control.resolver import Resolver
from edge.errors import EdgeError
from edge.node.tasks import spawn
from edge.site import renewal
from edge.site.certificates import Certificate
from edge.site.renewal import Attempt, Record, Window
from edge.site.settings import Acme, Settings
from edge.site.wanted import Wanted

log = logging.getLogger("edge.enrollment")

AT_A_TIME: Final = 20
"""Certificates that are asked for at the same time."""

POLLS: Final = 4
"""Certificates whose renewal is asked about at the same time."""


class Enrollment:
    """What public authorities are asked by one node; of the loop's thread."""

    def __init__(  # noqa: PLR0913 - what a test's authority has otherwise
        self,
        inventory: Inventory,
        agenda: Agenda,
        fleet: Fleet,
        *,
        clock: Callable[[], float] = time.time,
        resolver: Resolver | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._inventory = inventory
        self._agenda = agenda
        self._clock = clock
        self._answers = Answers(inventory.vault, fleet)
        self.authorities = Authorities(inventory.vault, clock)
        self._proofs = Proofs(self._answers, self.authorities, resolver or Resolver(), ports)
        self.obtaining = Obtaining(inventory.vault, self.authorities, self._proofs, clock)
        self.running: dict[str, asyncio.Task[None]] = {}
        """Tries by name."""
        self.polling: dict[str, asyncio.Task[None]] = {}
        """Questions about renewals by name."""
        self._tended = 0
        """Which round of the inventory was seen to."""
        self._next = 0.0
        """When something becomes due before the next one."""
        self.on_change: Callable[[], None] = lambda: None
        """Hears that a try has ended."""

    async def open(self) -> None:
        """Take back what a keeper that died has left."""
        await self._answers.open()

    def close(self) -> None:
        """Begin nothing more; what is begun is taken back as far as there is time."""
        for task in (*self.running.values(), *self.polling.values()):
            task.cancel()

    async def tend(self, settings: Settings, root: Path) -> None:
        """Begin what is due; between two rounds only where something has become so."""
        now = self._clock()
        is_new = self._tended != self._inventory.rounds
        if not (is_new or now >= self._next or self._agenda.forced):
            return
        self._tended = self._inventory.rounds
        self.authorities.configure(settings.tls.acme, root)
        self._proofs.configure(settings, root)
        wishes = [wish for wish in self._inventory.wishes.wanted if wish.source == "acme"]
        await self._agenda.load(wish.name for wish in wishes)
        await self._begin(wishes, now)
        for wish in wishes:
            self._poll(wish, now)

    async def _begin(self, wishes: list[Wanted], now: float) -> None:
        stored = self._inventory.stored
        self._next = min(
            (at for wish in wishes if (at := self._ready_at(wish)) > now), default=math.inf
        )
        for wish in self._agenda.queue(wishes, stored, now):
            if len(self.running) >= AT_A_TIME:  # the end of each is a look
                break
            if wish.name in self.running:
                continue
            acme = self._choose(wish, now)
            free = await self.authorities.wait_for(acme, ahead=len(self.running))
            if free > now:
                self._next = min(self._next, free)
                continue
            self._agenda.forced.discard(wish.name)
            task = spawn(self._try(wish, acme), f"certificate of {wish.name}")
            self.running[wish.name] = task

    def _ready_at(self, wish: Wanted) -> float:
        return self._agenda.ready_at(wish.name, self._stored(wish))

    def _stored(self, wish: Wanted) -> Certificate | None:
        return self._inventory.stored.get(("acme", wish.name))

    # Tries

    def _choose(self, wish: Wanted, now: float) -> Acme:
        """The authority to ask: another than the first one takes turns with it."""
        primary, record = self.authorities.primary, self._agenda.record(wish.name)
        fallback, stored = primary.fallback, self._stored(wish)
        validity = None if stored is None else validity_of(stored)
        if (
            fallback is not None
            and challenges_for(fallback, wish)
            and renewal.may_fall_back(record, primary.directory, validity, now)
            and record.attempts[-1:] != ()
            and record.attempts[-1].authority != fallback.directory
        ):
            return fallback
        return primary

    async def _try(self, wish: Wanted, acme: Acme) -> None:
        try:
            record = await self.obtaining.obtain(wish, acme, self._agenda.record(wish.name))
        except Exception as error:
            if not isinstance(error, EdgeError | OSError):
                log.exception("the try for %s broke", wish.name)
            record = self._broken(wish, acme, error)
        finally:
            self.running.pop(wish.name, None)
        await self._agenda.keep(record)
        self._inventory.is_stale = True
        self.on_change()

    def _broken(self, wish: Wanted, acme: Acme, error: Exception) -> Record:
        """What is remembered of a try that the node itself broke."""
        record, now, stored = self._agenda.record(wish.name), self._clock(), self._stored(wish)
        attempt = Attempt(
            at=now,
            authority=acme.directory,
            outcome="failed",
            kind="node",
            detail=str(error) or repr(error),
        )
        left = 0.0 if stored is None else stored.not_after - now
        drawn = random.random()  # noqa: S311 - spreads, keeps no secret
        return renewal.failed(record, attempt, renewal.wait_after(record, left, drawn), now)

    # What authorities advise

    def _poll(self, wish: Wanted, now: float) -> None:
        """Ask when a certificate should be renewed, if it is time to ask."""
        record = self._agenda.record(wish.name)
        certificate = self._stored(wish)
        acme = self.authorities.find(record.issued_by)
        is_busy = wish.name in self.running or wish.name in self.polling
        if certificate is None or acme is None or is_busy or len(self.polling) >= POLLS:
            return
        is_named = "." in certificate.id and "~" not in certificate.id
        if is_named and renewal.may_poll(record.window, validity_of(certificate), now):
            asking = self._ask(wish.name, certificate, acme)
            self.polling[wish.name] = spawn(asking, f"renewal of {wish.name}")

    async def _ask(self, name: str, certificate: Certificate, acme: Acme) -> None:
        before = self._agenda.record(name).window
        try:
            window = await self._heard(certificate, acme, before)
        finally:
            self.polling.pop(name, None)
        await self._agenda.hear(name, window)
        if before is None or before.instant != window.instant:
            self._inventory.is_stale = True
            self.on_change()

    async def _heard(self, certificate: Certificate, acme: Acme, before: Window | None) -> Window:
        drawn, wait = random.random(), None  # noqa: S311 - spreads, keeps no secret
        try:
            info = await self.authorities.client(acme).renewal_info(certificate.id)
        except AcmeError as error:
            log.info("%s says nothing about %s: %s", acme.directory, certificate.names[0], error)
            wait = error.retry_after
        else:
            if info is not None:
                answer = Window(
                    certificate=certificate.id,
                    start=info.start,
                    end=info.end,
                    explanation=info.explanation_url or "",
                )
                heard = renewal.heard(before, answer, info.retry_after, self._clock(), drawn)
                if heard is not None:
                    return heard
            wait = renewal.DAY
        return renewal.unheard(before, certificate.id, wait, self._clock(), drawn)
