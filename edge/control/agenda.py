"""
What is due: which certificates public authorities are asked for now, and in which order.

Laws: records are read once and written at each change; one that cannot be written holds until a
restart. What expires first comes first, new names behind renewals. A name that a hand has asked for
waits for nothing but its turn.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping

from edge.control.inventory import validity_of
from edge.control.vault import Key, Vault
from edge.site import renewal
from edge.site.certificates import Certificate
from edge.site.renewal import Due, Record, Window
from edge.site.wanted import Wanted

log = logging.getLogger("edge.agenda")


class Agenda:
    """The records of one node; of the loop's thread."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._records: dict[str, Record] = {}
        self.forced: set[str] = set()
        """Names that a hand has asked for."""

    async def load(self, names: Iterable[str]) -> None:
        """Read the records of names that are new here."""
        missing = [name for name in names if name not in self._records]
        if missing:
            found = await asyncio.to_thread(lambda: [self._vault.record(name) for name in missing])
            for record in found:
                self._records.setdefault(record.name, record)

    def record(self, name: str) -> Record:
        """What is remembered about a name that was loaded."""
        return self._records.get(name) or Record(name=name)

    async def keep(self, record: Record) -> None:
        """Remember."""
        self._records[record.name] = record
        try:
            await asyncio.to_thread(self._vault.keep, record)
        except OSError as error:
            log.error("what is known about %s cannot be kept: %s", record.name, error)

    async def hear(self, name: str, window: Window) -> None:
        """Remember what an authority said about a certificate, whatever else has come since."""
        record = self.record(name)
        await self.keep(renewal.advised(record, window))

    async def force(self, name: str) -> None:
        """A hand asks: the back-off is forgotten, and the next try is now."""
        await self.load([name])
        await self.keep(renewal.forgiven(self.record(name)))
        self.forced.add(name)

    def queue(
        self, wishes: Iterable[Wanted], stored: Mapping[Key, Certificate | None], now: float
    ) -> list[Wanted]:
        """What may be asked for now, the most pressing first."""
        ranked = []
        for wish in wishes:
            certificate = stored.get(("acme", wish.name))
            if self._is_due(wish.name, certificate, now):
                rank = (1, 0) if certificate is None else (0, certificate.not_after)
                ranked.append((rank, wish.name, wish))
        return [wish for _, _, wish in sorted(ranked, key=lambda each: each[:2])]

    def _is_due(self, name: str, certificate: Certificate | None, now: float) -> bool:
        if name in self.forced:
            return True
        if now < self.ready_at(name, certificate):
            return False
        if certificate is None:
            return True
        record, validity = self.record(name), validity_of(certificate)
        urgent = renewal.is_urgent(validity, record.window, now)
        return renewal.may_issue(record, validity, now, urgent=urgent)

    def ready_at(self, name: str, certificate: Certificate | None) -> float:
        """The first instant at which a name may be asked for; infinity where a hand is needed."""
        record = self.record(name)
        if record.stopped:
            return math.inf
        if certificate is None:
            return record.next_attempt
        return max(record.next_attempt, self.due(name, certificate).at)

    def due(self, name: str, certificate: Certificate) -> Due:
        """When a certificate is renewed, and why then."""
        window = self.record(name).window
        return renewal.renewal_of(
            validity_of(certificate), window, renewal.fraction(certificate.id)
        )
