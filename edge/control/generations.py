"""
Generations: what the whole node serves, compiled, committed in two phases.

Laws: `current` is the only truth. A change is written whole beside it, loaded by every worker,
and only then pointed to; one that any worker refuses leaves nothing behind but its number, which
is never used again: a worker may have loaded it.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

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

    def __init__(self, places: Places, fleet: Fleet, root: Path = Path()) -> None:
        """`root` is the folder that relative paths of settings start from."""
        self._root = str(root)
        self._places = places
        self._fleet = fleet
        self._refused = places.generations / "refused"
        """The highest number that was refused."""
        self._current: Generation | None = None
        self._apps: dict[str, AppState] = {}
        """By key, apps of the generation that serves: every change makes one more."""

    def current(self) -> Generation | None:
        """The generation that serves, or None before the first."""
        try:
            number = int(self._places.current.readlink().name)
        except FileNotFoundError:
            return None
        if self._current is None or self._current.number != number:
            self._current = read_document(self._places.generation(number), Generation)
        return self._current

    def app(self, key: str) -> AppState:
        """A compiled app by its hash."""
        state = self._apps.get(key)
        if state is None:
            state = self._apps[key] = read_document(self._places.compiled / key, AppState)
        return state

    def document(self, key: str) -> bytes:
        """
        A compiled document as it is stored.

        Raises:
            StoreError: it cannot be read.
        """
        path = self._places.compiled / key
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error

    def apps(self, generation: Generation | None) -> dict[str, AppState]:
        """All apps of a generation."""
        keys = generation.apps if generation is not None else {}
        return {name: self.app(key) for name, key in keys.items()}

    def find(self, generation: Generation | None, app: str) -> AppState | None:
        """One app of a generation, if it has it."""
        key = generation.apps.get(app) if generation is not None else None
        return self.app(key) if key is not None else None

    def set_aside(self, state: AppState) -> None:
        """Remember what an app served when its folder is gone."""
        durable.write(self._aside(state.name), msgspec.json.encode(state))

    def recall(self, app: str) -> AppState | None:
        """What an app served when its folder went, if that was ever so."""
        path = self._aside(app)
        return read_document(path, AppState) if path.exists() else None

    def _aside(self, app: str) -> Path:
        return self._places.generations / f"without-{app}"

    def commit(
        self,
        settings: Settings,
        changed: Mapping[str, AppState | None],
        documents: Mapping[str, bytes] | None = None,
    ) -> Generation:
        """
        Serve the current generation with `changed` apps (None: gone) on every worker.

        `documents` are what the changed apps name, by their keys.

        Raises:
            StoreError: a worker refused it; nothing has changed.
        """
        before = self.current()
        apps, compiled = self._compile(before.apps if before is not None else {}, changed)
        number = self._next_number(before)
        generation = Generation(
            number=number, created=time.time(), settings=settings, root=self._root, apps=apps
        )
        written = self._write(compiled | dict(documents or {}))
        durable.write(self._places.generation(number), msgspec.json.encode(generation))
        try:
            self._fleet.load(number)
        except StoreError:
            self._leave_nothing(number, written)
            raise
        durable.point(self._places.current, f"generations/{number}")
        self._current = generation
        self._remember(apps, changed)
        self._fleet.swap(number)
        self.prune()
        return generation

    def _compile(
        self, before: Mapping[str, str], changed: Mapping[str, AppState | None]
    ) -> tuple[dict[str, str], dict[str, bytes]]:
        """(keys of all apps by name, documents of the changed ones by key)."""
        apps, documents = dict(before), {}
        for name, state in changed.items():
            apps.pop(name, None)
            if state is not None:
                document = msgspec.json.encode(state)
                key = apps[name] = key_of(document)
                documents[key] = document
        return dict(sorted(apps.items())), documents

    def _remember(self, apps: Mapping[str, str], changed: Mapping[str, AppState | None]) -> None:
        """Have what serves at hand, and nothing of what served before."""
        known = {key: self._apps[key] for key in apps.values() if key in self._apps}
        new = {apps[name]: state for name, state in changed.items() if state is not None}
        self._apps = known | new

    def _write(self, documents: Mapping[str, bytes]) -> list[str]:
        """Store compiled documents; returns the keys of those that are new."""
        folder = self._places.compiled
        new = [key for key in documents if not (folder / key).exists()]
        durable.write_all({folder / key: documents[key] for key in new})
        return new

    def _leave_nothing(self, number: int, written: list[str]) -> None:
        durable.write(self._refused, str(number).encode())
        self._places.generation(number).unlink(missing_ok=True)
        for key in written:
            (self._places.compiled / key).unlink(missing_ok=True)

    def retained(self, key: str | None) -> list[RetainedFile]:
        """Fingerprinted files of a branch's earlier deployments."""
        if key is None:
            return []
        return read_document(self._places.compiled / key, list[RetainedFile])

    def _next_number(self, before: Generation | None) -> int:
        """Above everything on the disk, and above what was refused."""
        numbers = [before.number if before is not None else 0, *self._numbers()]
        with contextlib.suppress(FileNotFoundError):
            numbers.append(int(self._refused.read_bytes()))
        return max(numbers) + 1

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._places.generations.glob("[0-9]*")]

    def prune(self) -> None:
        """Delete generations that nobody asks for any more."""
        current = self.current()
        for number in self._numbers():
            if current is not None and number < current.number - KEPT:
                self._places.generation(number).unlink(missing_ok=True)

    def collect(self) -> set[str]:
        """Delete old generations and documents nobody names; the blobs that the rest retains."""
        self.prune()
        kept: set[str] = set()
        blobs: set[str] = set()
        for number in self._numbers():
            kept.update(read_document(self._places.generation(number), Generation).apps.values())
        for key in tuple(kept):
            state = self.app(key)
            kept.update(state.documents())
            for branch in state.branches.values():
                blobs.update(file.entry.sha256 for file in self.retained(branch.retained))
        if self.current() is not None:
            self._forget(kept)
        return blobs

    def _forget(self, kept: set[str]) -> None:
        for path in self._places.compiled.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)
        self._apps = {key: state for key, state in self._apps.items() if key in kept}


def key_of(document: bytes) -> str:
    """The name of a compiled document: its hash."""
    return hashlib.sha256(document).hexdigest()
