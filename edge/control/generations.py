"""
Generations: what the whole node serves, compiled, committed in two phases.

Laws: `current` is the only truth. A change is written whole beside it, loaded by every worker,
and only then pointed to; one that any worker refuses leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping

import msgspec

from edge.control import durable
from edge.control.fleet import Fleet
from edge.errors import StoreError
from edge.node.loader import read_document
from edge.site.generation import AppState, Generation, RetainedFile
from edge.site.places import Places
from edge.site.settings import Settings

KEPT = 10
"""Generations kept behind the current one, for whoever asks what was served an hour ago."""


class Generations:
    """The generations of one state folder, for the one process that changes them."""

    def __init__(self, places: Places, fleet: Fleet) -> None:
        self._places = places
        self._fleet = fleet
        self._apps: dict[str, AppState] = {}

    def current(self) -> Generation | None:
        """The generation that serves, or None before the first."""
        try:
            name = self._places.current.readlink().name
        except FileNotFoundError:
            return None
        return read_document(self._places.generations / name, Generation)

    def app(self, key: str) -> AppState:
        """A compiled app by its hash."""
        state = self._apps.get(key)
        if state is None:
            state = self._apps[key] = read_document(self._places.compiled / key, AppState)
        return state

    def apps(self, generation: Generation | None) -> dict[str, AppState]:
        """All apps of a generation."""
        keys = generation.apps if generation is not None else {}
        return {name: self.app(key) for name, key in keys.items()}

    def commit(self, settings: Settings, changed: Mapping[str, AppState | None]) -> Generation:
        """
        Serve the current generation with `changed` apps (None: gone) on every worker.

        Raises:
            StoreError: a worker refused it; nothing has changed.
        """
        before = self.current()
        apps = dict(before.apps) if before is not None else {}
        written: list[str] = []
        for name, state in changed.items():
            apps.pop(name, None)
            if state is not None:
                apps[name] = self.write(msgspec.json.encode(state), written)
                self._apps[apps[name]] = state
        number = self._next_number(before)
        generation = Generation(
            number=number, created=time.time(), settings=settings, apps=dict(sorted(apps.items()))
        )
        path = self._places.generation(number)
        durable.write(path, msgspec.json.encode(generation))
        try:
            self._fleet.load(number)
        except StoreError:
            path.unlink(missing_ok=True)
            for key in written:
                (self._places.compiled / key).unlink(missing_ok=True)
            raise
        durable.point(self._places.current, f"generations/{number}")
        self._fleet.swap(number)
        return generation

    def write(self, document: bytes, written: list[str]) -> str:
        """Store a compiled document under its hash; `written` gets the hash if it is new."""
        key = hashlib.sha256(document).hexdigest()
        if not (self._places.compiled / key).exists():
            durable.write(self._places.compiled / key, document)
            written.append(key)
        return key

    def retained(self, key: str | None) -> list[RetainedFile]:
        """Fingerprinted files of a branch's earlier deployments."""
        if key is None:
            return []
        return read_document(self._places.compiled / key, list[RetainedFile])

    def _next_number(self, before: Generation | None) -> int:
        """Above everything on the disk: a refused number is never used for something else."""
        numbers = [int(path.name) for path in self._places.generations.glob("[0-9]*")]
        return max([before.number if before is not None else 0, *numbers]) + 1

    def collect(self) -> set[str]:
        """Delete old generations and documents nobody names; the blobs that the rest retains."""
        current = self.current()
        if current is None:
            return set()
        kept: set[str] = set()
        blobs: set[str] = set()
        for path in self._places.generations.glob("[0-9]*"):
            if int(path.name) <= current.number - KEPT:
                path.unlink(missing_ok=True)
                continue
            for key in read_document(path, Generation).apps.values():
                kept.add(key)
        for key in tuple(kept):
            for branch in self.app(key).branches.values():
                if branch.retained is not None:
                    kept.add(branch.retained)
                    blobs.update(file.entry.sha256 for file in self.retained(branch.retained))
        for path in self._places.compiled.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)
        self._apps = {key: state for key, state in self._apps.items() if key in kept}
        return blobs
