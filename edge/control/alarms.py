"""
The watch over a node: alarms once a minute, deployments as they end, and letters about both.

Laws: one loop does it all and nothing waits for it. What an alarm is and which letters wait is on
the disk before the first of them goes, so a restart neither forgets nor repeats. A letter's URL is
shown without its path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from edge.control import durable
from edge.control.changes import Changes
from edge.control.events import DeployEnded, Event
from edge.control.letters import DEPLOYMENTS, Letter, of_alarm, of_deploy
from edge.control.notifying import Courier, Post
from edge.errors import StoreError
from edge.site.alarming import Minute, Standing, Transition, survey
from edge.site.alarms import Alarm
from edge.site.decoding import decode_json
from edge.site.documents import App
from edge.site.places import Places
from edge.site.settings import Settings

log = logging.getLogger("edge.alarms")

LOOK_EVERY: Final = 5.0
"""Seconds between two looks whether a minute is over; a look without one costs nothing."""

MAX_EVENTS: Final = 1_000
"""Deployments that ended and were not told yet; of more, the oldest are not told."""


class Series(Protocol):
    """What was counted, by minute."""

    def minutes(self, app: str | None) -> Sequence[Minute]:
        """Of an app or the node, oldest first, the running one last."""

    def percentile(self, latency: Sequence[int], share: float) -> float:
        """Seconds that a share of the requests stay below."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a restart."""

    standings: dict[str, Standing] = {}
    """By the title of the alarm."""
    waiting: list[Letter] = []


class Alarms:
    """The watch over one node; of the loop's thread."""

    def __init__(
        self,
        places: Places,
        changes: Changes,
        series: Series,
        courier: Callable[[Callable[[Letter], Any], Callable[[], None]], Courier] = Courier,
    ) -> None:
        """`courier` makes one; a test's has other times."""
        self._path = places.alarms
        self._changes = changes
        self._series = series
        self.post = Post()
        self.courier = courier(self.post.deliver, self._note)
        self.standings: dict[str, Standing] = {}
        """By the title of the alarm."""
        self._events: deque[DeployEnded] = deque(maxlen=MAX_EVENTS)
        self._nudged = asyncio.Event()
        self._is_stale = False
        self._loop: asyncio.AbstractEventLoop | None = None
        changes.events.subscribe(self._hear)

    async def run(self) -> None:
        """Watch until cancelled."""
        await self.open()
        try:
            while True:
                try:
                    await self.look()
                except Exception:
                    log.exception("the alarms were not looked at")
                await self._wait()
        finally:
            self.close()

    def close(self) -> None:
        """End; what has gone meanwhile is noted, or it would go again."""
        self.courier.close()
        self.post.close()
        if self._is_stale:
            self._write(self._kept())

    async def open(self) -> None:
        """Begin where the process before ended."""
        self._loop = asyncio.get_running_loop()
        kept = await asyncio.to_thread(read, self._path)
        self.standings = kept.standings
        self.courier.add(kept.waiting)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._nudged.wait()
        self._nudged.clear()

    def _hear(self, event: Event) -> None:
        """Take an event, in any thread."""
        if isinstance(event, DeployEnded) and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the node with it
                self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: DeployEnded) -> None:
        self._events.append(event)
        self._nudged.set()

    def _note(self) -> None:
        """A letter has gone or failed."""
        self._is_stale = True
        self._nudged.set()

    async def look(self) -> None:
        """One look at what happened since the last."""
        generation = self._changes.generations.current()
        if generation is None:
            return
        settings = generation.settings
        self.post.smtp, self.post.root = settings.smtp, Path(generation.root)
        self._forget(settings)
        letters = await asyncio.to_thread(self._letters, self._survey(settings), settings)
        self.courier.add(letters)
        if letters or self._is_stale:
            await self._keep()
        self.courier.start()

    def _forget(self, settings: Settings) -> None:
        """Nobody is told who is no longer to be."""
        told = [to for alarm in settings.alarms for to in alarm.notify]
        told += [to for entry in settings.notifications for to in entry.notify]
        titles = {alarm.title for alarm in settings.alarms}
        self.courier.keep(set(told), {DEPLOYMENTS, *titles})

    def _survey(self, settings: Settings) -> list[Transition]:
        before = self.standings
        series = self._series
        self.standings, transitions = survey(
            settings.alarms, before, series.minutes, series.percentile
        )
        if states(before) != states(self.standings):
            self._is_stale = True
        return transitions

    def _letters(self, transitions: list[Transition], settings: Settings) -> list[Letter]:
        """What is to be told. May run in a thread."""
        node, letters = socket.gethostname(), []
        for transition in transitions:
            url = self._url_of_app(transition.alarm.app)
            letters += of_alarm(transition, secrets.token_hex(8), node, url)
            log.warning("alarm %r: %s (%g)", *told(transition))
        while self._events:
            event = self._events.popleft()
            url = self._url(event.app, event.label)
            identifier = secrets.token_hex(8)
            letters += of_deploy(event, settings.notifications, identifier, node, url)
        return letters

    def _url_of_app(self, app: str | None) -> str | None:
        """Where the production branch of an app answers."""
        if app is None:
            return None
        with contextlib.suppress(StoreError):
            owner = self._changes.app(app)
            branch = self._changes.branch(app, (owner.config or App()).production_branch)
            return self._url(app, branch.label)
        return None

    def _url(self, app: str, label: str) -> str | None:
        with contextlib.suppress(StoreError):
            return next(iter(self._changes.urls(app, label)), None)
        return None

    async def _keep(self) -> None:
        self._is_stale = False
        await asyncio.to_thread(self._write, self._kept())

    def _kept(self) -> bytes:
        kept = Kept(standings=self.standings, waiting=self.courier.waiting)
        return msgspec.json.encode(kept)

    def _write(self, data: bytes) -> None:
        try:
            durable.write(self._path, data, 0o600)
        except OSError as error:
            log.error("alarms are not kept over a restart: %s", error)

    # For people

    def describe(self) -> dict[str, Any]:
        """How every alarm stands, and what became of letters."""
        generation = self._changes.generations.current()
        alarms = generation.settings.alarms if generation is not None else ()
        return {
            "alarms": [self._describe(alarm) for alarm in alarms],
            "notifications": {
                **self.courier.describe(),
                "deployments": self.courier.outcomes(DEPLOYMENTS),
            },
        }

    def _describe(self, alarm: Alarm) -> dict[str, Any]:
        standing = self.standings.get(alarm.title, Standing())
        return {
            "name": alarm.title,
            "app": alarm.app,
            "metric": alarm.metric,
            "condition": alarm.condition,
            "state": standing.state,
            "value": standing.value,
            "since": standing.since or None,
            "notified": self.courier.outcomes(alarm.title),
        }


def states(standings: dict[str, Standing]) -> dict[str, tuple[str, int]]:
    """What of standings is worth a write."""
    return {title: (each.state, each.since) for title, each in standings.items()}


def told(transition: Transition) -> tuple[str, str, float]:
    """What the log says of a transition."""
    return transition.alarm.title, transition.state, transition.value


def read(path: Path) -> Kept:
    """What the process before kept; nothing where that is missing or torn."""
    try:
        return decode_json(path.read_bytes(), Kept)
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s is begun anew: %s", path, error)
        return Kept()
