"""
Letters on their way: a queue for each recipient, tried again with growing pauses.

Laws: of one recipient in order, one at a time; no recipient waits for another, and nobody for any.
A letter that a recipient refuses is given up at once, one that fails in passing after `PAUSES`.
Queues are bounded. What waits is told (`waiting`) for whoever keeps it over a restart: a letter
arrives at least once, and twice only if control dies between its arrival and the note of it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from edge.control.letters import Letter, Undelivered, name_of
from edge.control.mail import Mailing
from edge.control.webhooks import post
from edge.node.roots import checking_context
from edge.node.tasks import spawn
from edge.site.alarms import Smtp

log = logging.getLogger("edge.notifying")

PAUSES: Final = (5.0, 30.0, 120.0, 600.0, 1_800.0)
"""Seconds before each further try; after the last one a letter is given up."""

LONGEST_WAIT: Final = 3_600.0
"""Seconds that a recipient may ask for (Retry-After)."""

MAX_WAITING: Final = 100
"""Letters of one recipient; of more, the oldest that waits is given up."""

MAIL_S: Final = 60.0
"""For one mail, whatever the server does."""

MAILS: Final = 2
"""Mails at a time."""

Result = Literal["sent", "failed", "dropped"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the last letter about something to somebody."""

    about: str
    to: str
    result: Literal["sent", "failed", "dropped", "waiting"]
    at: float
    """Epoch seconds."""
    error: str = ""


class Post:
    """How letters are brought to whom they are for."""

    def __init__(self) -> None:
        self.smtp: Smtp | None = None
        self.root = Path()
        self.trusted: ssl.SSLContext | None = None
        """Who is trusted; None is the system's authorities, which a test has others for."""
        self._mailing = ThreadPoolExecutor(MAILS, "mail")

    async def deliver(self, letter: Letter) -> None:
        """
        Bring it.

        Raises:
            Undelivered: it was not taken.
        """
        if letter.to.startswith("mailto:"):
            await self._mail(letter)
        else:
            context = self.trusted
            if context is None:
                context = await asyncio.to_thread(checking_context)
            await post(letter.to, letter.document, context)

    async def _mail(self, letter: Letter) -> None:
        if self.smtp is None:
            raise Undelivered("there is no 'smtp' in edge.yml any more", is_final=True)
        mailing = Mailing(self.smtp, self.root, self.trusted)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAIL_S):
                await loop.run_in_executor(self._mailing, mailing.send, letter)
        except TimeoutError:
            raise Undelivered(f"the mail was not taken within {MAIL_S:g} s") from None
        finally:
            mailing.abort()

    def close(self) -> None:
        """Send nothing more."""
        self._mailing.shutdown(wait=False, cancel_futures=True)


class Courier:
    """The letters of one node; of the loop's thread."""

    def __init__(
        self,
        deliver: Callable[[Letter], Awaitable[None]],
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_change` is called when a letter has gone or failed."""
        self._deliver = deliver
        self._on_change = on_change
        self._clock = clock
        self._pause = pause
        self._queues: dict[str, list[Letter]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self.counts: dict[Result, int] = {"sent": 0, "failed": 0, "dropped": 0}
        """Since control began."""
        self.on_end: Callable[[Result], None] = lambda _: None
        """Is told what became of each letter."""
        self.last: dict[tuple[str, str], Outcome] = {}
        """By (about, to)."""

    def add(self, letters: Iterable[Letter]) -> None:
        """Take letters; they go with the next `start`."""
        for letter in letters:
            queue = self._queues.setdefault(letter.to, [])
            if len(queue) >= MAX_WAITING:
                self._end(queue.pop(1), "dropped", f"over {MAX_WAITING} letters waited")
            queue.append(letter)
            self._note(letter, "waiting", letter.error)

    def start(self) -> None:
        """Have everything that waits sent."""
        for to, queue in self._queues.items():
            if queue and to not in self._running:
                self._running[to] = spawn(self._serve(to, queue), f"notify {name_of(to)}")

    @property
    def waiting(self) -> list[Letter]:
        """What has not gone yet, each recipient's in order."""
        return [letter for queue in self._queues.values() for letter in queue]

    def keep(self, recipients: set[str], subjects: set[str]) -> None:
        """Forget letters to all others, and what became of those about anything else."""
        for to in self._queues.keys() - recipients:
            if to in self._running:
                self._running.pop(to).cancel()
            for letter in self._queues.pop(to):
                self._end(letter, "dropped", "the recipient is no longer in edge.yml")
            self._on_change()
        self.last = {key: each for key, each in self.last.items() if key[0] in subjects}

    async def _serve(self, to: str, queue: list[Letter]) -> None:
        try:
            while queue:
                letter = queue[0]
                if (wait := letter.next - self._clock()) > 0:
                    await self._pause(min(wait, LONGEST_WAIT))
                await self._try(letter, queue)
                self._on_change()
        finally:
            if self._queues.get(to) is queue:
                self._running.pop(to, None)

    async def _try(self, letter: Letter, queue: list[Letter]) -> None:
        """One try; the letter has gone, failed, or stays in front with the time of the next."""
        try:
            await self._deliver(letter)
        except Undelivered as error:
            if error.is_final or letter.tries >= len(PAUSES):
                queue.pop(0)
                self._end(letter, "failed", str(error))
                return
            wait = max(PAUSES[letter.tries], min(error.wait or 0.0, LONGEST_WAIT))
            queue[0] = msgspec.structs.replace(
                letter, tries=letter.tries + 1, next=self._clock() + wait, error=str(error)
            )
            self._note(letter, "waiting", str(error))
            log.warning("%s: %s; next try in %g s", name_of(letter.to), error, wait)
        except Exception:
            queue.pop(0)
            log.exception("a letter to %s", name_of(letter.to))
            self._end(letter, "failed", "something broke; the node's log says more")
        else:
            queue.pop(0)
            self._end(letter, "sent", "")

    def _end(self, letter: Letter, result: Result, error: str) -> None:
        self.counts[result] += 1
        self.on_end(result)
        self._note(letter, result, error)
        if error:
            log.error("%s is not told %r: %s", name_of(letter.to), letter.subject, error)

    def _note(
        self, letter: Letter, result: Literal["sent", "failed", "dropped", "waiting"], error: str
    ) -> None:
        self.last[letter.about, letter.to] = Outcome(
            about=letter.about, to=letter.to, result=result, at=self._clock(), error=error
        )

    def close(self) -> None:
        """Send nothing more; what waits is kept by whoever keeps it."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    def describe(self) -> dict[str, int]:
        """Letters by what became of them since control began, and how many wait."""
        sent, failed, dropped = (self.counts[key] for key in ("sent", "failed", "dropped"))
        return {"sent": sent, "failed": failed, "dropped": dropped, "waiting": len(self.waiting)}

    def outcomes(self, about: str) -> list[dict[str, Any]]:
        """What became of the last letter about something, a recipient each."""
        return [
            {"to": name_of(each.to), "result": each.result, "at": each.at, "error": each.error}
            for key, each in self.last.items()
            if key[0] == about
        ]
