"""
Generations to snapshots: read what changed, reuse the rest, in slices that never stall serving.

Laws: reads the state folder, writes nothing. A generation that cannot be read whole is refused
whole; what serves keeps serving.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import msgspec

from edge.errors import StoreError
from edge.node.trees import Trees
from edge.site.generation import AppState, Generation
from edge.site.places import Places
from edge.site.snapshot import CompiledApp, Site, Snapshot, Tree, TreeSource, compile_app

T = TypeVar("T")

SLICE_SECONDS = 0.004
"""Work between two looks at the sockets (design.md allows 5 ms)."""

FORGET_AFTER = 30.0
"""Seconds that a tree no snapshot has keeps its manifest, for requests still under way."""


class Loader:
    """Makes snapshots of the generations in a state folder."""

    def __init__(self, places: Places, trees: Trees) -> None:
        self._places = places
        self._trees = trees
        self._source = TreeSource()
        self.generation: Generation | None = None
        """The generation that `load` read last."""

    def current(self) -> int | None:
        """The number that `current` points to, or None before the first generation."""
        try:
            return int(self._places.current.readlink().name)
        except (FileNotFoundError, ValueError):
            return None

    async def load(self, number: int, old: Snapshot) -> Snapshot:
        """
        The snapshot of a generation, sharing with `old` what is equal.

        Raises:
            StoreError: a document is missing or torn.
        """
        generation = read_document(self._places.generation(number), Generation)
        domain = generation.settings.default_domain
        if self.generation is not None and self.generation.settings.default_domain != domain:
            old = Snapshot(0, {}, {})
        hosts = dict(old.hosts)
        apps: dict[str, CompiledApp] = {}
        pause = perf_counter() + SLICE_SECONDS
        for name, key in generation.apps.items():
            kept = old.apps.get(name)
            if kept is None or kept.key != key:
                state = read_document(self._places.compiled / key, AppState)
                kept = self._replace(hosts, kept, compile_app(key, state, domain, self._source))
            apps[name] = kept
            if perf_counter() > pause:
                await asyncio.sleep(0)
                pause = perf_counter() + SLICE_SECONDS
        for name in old.apps.keys() - apps.keys():
            remove(hosts, old.apps[name])
        snapshot = Snapshot(number, apps, hosts)
        await self._warm(old, snapshot)
        self.generation = generation
        return snapshot

    def _replace(
        self, hosts: dict[bytes, Site], old: CompiledApp | None, new: CompiledApp
    ) -> CompiledApp:
        if old is not None:
            remove(hosts, old)
        hosts.update(new.hosts)
        return new

    async def _warm(self, old: Snapshot, new: Snapshot) -> None:
        """Load manifests that take over from loaded ones, so that no request waits."""
        for name, app in new.apps.items():
            before = old.apps.get(name)
            if before is None or before is app:
                continue
            loaded = {tree.label for tree in trees_of(before) if tree.manifest is not None}
            for tree in trees_of(app):
                if tree.label in loaded:
                    await self._trees.load(tree)

    def retire(self, old: Snapshot, new: Snapshot) -> None:
        """After a swap: what only `old` had is dropped, heads of changed apps are made anew."""
        gone = []
        for name, app in old.apps.items():
            after = new.apps.get(name)
            if after is app:
                continue
            kept = {tree.id for tree in trees_of(after)} if after is not None else set()
            for tree in trees_of(app):
                self._trees.drop_stored(tree)
                if tree.id not in kept:
                    gone.append(tree)
        for tree in gone:
            self._source.trees.pop(tree.id, None)
        if gone:
            asyncio.get_running_loop().call_later(FORGET_AFTER, self._forget, gone)

    def _forget(self, trees: list[Tree]) -> None:
        for tree in trees:
            if self._source.trees.get(tree.id) is not tree:
                self._trees.forget(tree)


def read_document(path: Path, kind: type[T]) -> T:
    """
    One document, decoded.

    Raises:
        StoreError: it is missing or torn.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def remove(hosts: dict[bytes, Site], app: CompiledApp) -> None:
    """Take an app's hosts away, unless another app has taken them over."""
    for host, site in app.hosts.items():
        if hosts.get(host) is site:
            del hosts[host]


def trees_of(app: CompiledApp) -> list[Tree]:
    """Every tree an app's branches may answer from."""
    branches = {id(site.branch): site.branch for site in app.hosts.values() if site.branch}
    trees = [tree for branch in branches.values() for tree in (branch.active, branch.previous)]
    return [tree for tree in trees if tree is not None]
