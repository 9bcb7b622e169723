"""
One certificate from a public authority: looked after, rehearsed, ordered, stored, remembered.

Laws: no try is spent on what is known to fail: the store is probed and the name looked at first.
What came is stored before anything else is done. Each outcome becomes a record that says when the
next try may be; this module never tries by itself again, but for what an authority asks for at once
(another form of the same order, another type of challenge).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from edge.control.acme_errors import AcmeError
from edge.control.authorities import Authorities, staging_of
from edge.control.issuance import Answerer, issue
from edge.control.leaf import Issued
from edge.control.vault import Vault
from edge.errors import EdgeError
from edge.site import renewal
from edge.site.certificates import Certificate
from edge.site.decoding import convert
from edge.site.hosts import parse_address
from edge.site.renewal import Attempt, Finding, Kind, Record
from edge.site.settings import Acme
from edge.site.wanted import Wanted

log = logging.getLogger("edge.obtaining")

REFUSED_S: Final = renewal.DAY
"""Until an order is tried again that an authority will not fulfil: its mind may change."""

STEPS: Final = 30
"""Steps of an attempt that are kept."""

ACCOUNT_S: Final = 3_600.0
"""Until an authority is asked again that wants its account looked after."""

KINDS: Final[dict[str, Kind]] = {
    "name": "name",
    "authority": "authority",
    "limit": "limit",
    "permanent": "refused",
    "replaced": "refused",
    "account": "account",
}
"""Whose fault it is, by `AcmeError.fault`."""

SHORT_PROFILE: Final = "shortlived"
"""The one that certifies addresses, where an authority has it (Let's Encrypt)."""


class Means(Protocol):
    """What the keeper gives for a try."""

    def answerers(self, acme: Acme, wish: Wanted) -> dict[str, Answerer]:
        """By type of challenge, in the order that they are tried in."""
        ...

    def findings(self, acme: Acme, wish: Wanted) -> Awaitable[tuple[Finding, ...]]:
        """What is found in the way of a try."""
        ...


class Obtaining:
    """Tries to get certificates."""

    def __init__(
        self, vault: Vault, authorities: Authorities, means: Means, clock: Callable[[], float]
    ) -> None:
        self.vault = vault
        self.authorities = authorities
        self.means = means
        self.clock = clock
        self.count: Callable[[str], None] = lambda _: None
        """Hears the result of each order."""

    async def obtain(self, wish: Wanted, acme: Acme, record: Record) -> Record:
        """What is remembered after one try; a certificate that came is in the vault by then."""
        current = await asyncio.to_thread(self.vault.current, "acme", wish.name)
        findings = await self.means.findings(acme, wish)
        now = self.clock()
        if any(each.level == "stop" for each in findings):
            return renewal.unready(record, findings, now, random.random())  # noqa: S311
        trial = Trial(self, wish, renewal.ready(record, findings), current)
        return await trial.run(acme)


class Trial:
    """One try of one name."""

    def __init__(
        self, by: Obtaining, wish: Wanted, record: Record, current: Certificate | None
    ) -> None:
        self._by = by
        self._wish = wish
        self._current = current
        self._steps: list[str] = []
        self._begun = by.clock()
        self._started = time.monotonic()
        self.record = record

    async def run(self, acme: Acme) -> Record:
        """Rehearse where that is due, order, store."""
        staging = staging_of(acme)
        if staging is not None and renewal.must_rehearse(self.record):
            if not await self._rehearse(staging):
                return self.record
            self._begin()
        await self._order(acme)
        return self.record

    def _begin(self) -> None:
        self._steps = []
        self._begun, self._started = self._by.clock(), time.monotonic()

    async def _rehearse(self, staging: Acme) -> bool:
        """Whether the real one may follow; a staging authority that is down says nothing."""
        try:
            await self._issue(staging, None)
        except AcmeError as error:
            if error.fault not in ("name", "permanent"):
                self._log(f"the rehearsal was not possible: {error}")
                return True
            self._by.count("rehearsal_failed")
            self._fail(staging, error)
            return False
        self._by.count("rehearsed")
        self.record = renewal.rehearsed(self.record, self._attempt(staging, "rehearsed"))
        return True

    async def _order(self, acme: Acme) -> None:
        try:
            await asyncio.to_thread(self._by.vault.probe)
            account = await self._by.authorities.client(acme).account()
            issued = await self._issue(acme, self._replaced(acme, account))
            await asyncio.to_thread(self._by.vault.publish, self._wish.name, issued.pem, "acme")
        except AcmeError as error:
            await self._refused(acme, error)
        except (OSError, EdgeError) as error:
            self._by.count("failed")
            self._fail(acme, error)
        else:
            await self._by.authorities.worked(acme)
            self._by.count("issued")
            attempt = self._attempt(acme, "issued")
            self.record = renewal.succeeded(self.record, attempt, account, self._by.clock())

    def _replaced(self, acme: Acme, account: str) -> str | None:
        """The certificate that the order replaces: of this very account, and not expired."""
        record, current = self.record, self._current
        if current is None or (record.issued_by, record.account) != (acme.directory, account):
            return None
        return current.id if current.not_after > self._by.clock() else None

    async def _issue(self, acme: Acme, replaces: str | None) -> Issued:
        """One order, in another form where the authority asks for one."""
        client = self._by.authorities.client(acme)
        answerers: Mapping[str, Answerer] = self._by.means.answerers(acme, self._wish)
        profile = await self._profile(acme)
        is_second = False
        while True:
            if replaces is None:
                await self._by.authorities.spend(acme)
            try:
                return await issue(
                    client,
                    [name.strip("[]") for name in self._wish.names],
                    answerers,
                    profile=profile,
                    replaces=replaces,
                    log=self._log,
                )
            except AcmeError as error:
                others = {kind: each for kind, each in answerers.items() if kind != error.challenge}
                if error.fault == "replaced" and replaces is not None:
                    replaces = None
                elif error.kind == "invalidProfile" and profile is not None:
                    profile = None
                elif error.fault == "name" and error.challenge and others and not is_second:
                    answerers, is_second = others, True
                else:
                    raise
                self._log(f"{error}; tried in another form")

    async def _profile(self, acme: Acme) -> str | None:
        """As the operator wrote; for addresses the one that certifies them."""
        if acme.profile is not None or not parse_address(self._wish.name):
            return acme.profile
        directory = await self._by.authorities.client(acme).directory()
        return SHORT_PROFILE if SHORT_PROFILE in (directory.meta.profiles or {}) else None

    # What became of it

    async def _refused(self, acme: Acme, error: AcmeError) -> None:
        """What an authority's refusal leads to."""
        authorities, now = self._by.authorities, self._by.clock()
        self._by.count("limited" if error.fault == "limit" else "failed")
        match error.fault:
            case "limit":
                wait = max(1.0, error.retry_after or renewal.HOUR)
                if not is_about(error, self._wish.name):
                    await authorities.block(acme, wait, str(error))
                attempt = self._attempt(acme, "failed", error)
                self.record = renewal.postponed(self.record, attempt, now + wait)
                return
            case "account":
                await authorities.block(acme, error.retry_after or ACCOUNT_S, str(error))
            case "authority":
                await authorities.broke(acme, str(error))
        self._fail(acme, error)

    def _fail(self, acme: Acme, error: Exception) -> None:
        log.warning("no certificate for %s: %s", self._wish.name, error)
        attempt = self._attempt(acme, "failed", error)
        now = self._by.clock()
        wait = self._wait(now)
        if isinstance(error, AcmeError):
            wait = max(wait, error.retry_after or 0.0)
        if attempt.kind == "refused" and acme.fallback is None:
            wait = max(wait, REFUSED_S)
        self.record = renewal.failed(self.record, attempt, wait, now)

    def _wait(self, now: float) -> float:
        left = 0.0 if self._current is None else self._current.not_after - now
        drawn = random.random()  # noqa: S311 - spreads, keeps no secret
        return renewal.wait_after(self.record, left, drawn)

    def _attempt(
        self, acme: Acme, outcome: renewal.Outcome, error: Exception | None = None
    ) -> Attempt:
        step, kind, detail = "", "", ""
        if error is not None:
            step, kind, detail = "store", "node", str(error)
        if isinstance(error, AcmeError):
            step, kind = error.step, KINDS[error.fault]
        return Attempt(
            at=self._begun,
            authority=acme.directory,
            outcome=outcome,
            step=step,
            kind=convert(kind, Kind),
            detail=detail,
            seconds=round(time.monotonic() - self._started, 3),
            steps=tuple(self._steps[:STEPS]),
        )

    def _log(self, text: str) -> None:
        self._steps.append(f"{time.monotonic() - self._started:.1f} s: {text}")


def is_about(error: AcmeError, name: str) -> bool:
    """
    Whether a limit is the name's, not the account's.

    Authorities that say which name name it, or the domain that it is below (Boulder does).
    """
    labels = name.removeprefix("*.").strip("[]").split(".")
    domains = {".".join(labels[start:]) for start in range(max(1, len(labels) - 1))}
    text = error.detail.lower()
    return any(domain in text for domain in domains)
