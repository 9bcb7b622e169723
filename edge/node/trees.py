"""
Manifests in memory: read at the first request of a deployment, in slices, bounded in number.

Laws: one load a manifest however many requests wait for it; no slice holds the loop over 5 ms;
what was read least recently goes first when the bound is met.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import StoreError
from edge.node.cache import Cache
from edge.node.tasks import spawn
from edge.site.generation import RetainedFile
from edge.site.manifest import Manifest, decode_blocks, decode_header
from edge.site.places import Places
from edge.site.snapshot import Retained, Tree

MAX_ENTRIES = 250_000
"""Files of all manifests in memory together: about 100 MiB."""


class Trees:
    """Loads what snapshots name."""

    def __init__(self, places: Places, cache: Cache) -> None:
        self._places = places
        self._cache = cache
        self._loaded: OrderedDict[str, Tree] = OrderedDict()
        self._loading: dict[str, asyncio.Task[None]] = {}
        self.entries = 0
        """Files of the manifests in memory."""

    async def load(self, tree: Tree) -> None:
        """
        Have `tree.manifest`.

        Raises:
            StoreError: the manifest cannot be read.
        """
        if tree.manifest is None:
            await self._once(tree.id, self._load(tree))

    async def load_retained(self, retained: Retained) -> None:
        """Have `retained.files`."""
        if retained.files is None:
            await self._once(retained.key, self._load_retained(retained))

    async def _once(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._loading.get(key)
        if task is not None:
            work.close()
        else:
            task = self._loading[key] = spawn(work, f"load {key}")
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        await asyncio.shield(task)

    async def _load(self, tree: Tree) -> None:
        path = self._places.manifest(tree.app, tree.label, tree.id)
        lines = (await _read(path)).split(b"\n")
        manifest = Manifest(decode_header(lines[0]))
        for block in decode_blocks(filter(None, lines[1:])):
            manifest.add(block)
            await asyncio.sleep(0)
        tree.manifest = manifest
        self._loaded[tree.id] = tree
        self.entries += len(manifest.files)
        self._shrink(keep=tree)

    def _shrink(self, keep: Tree) -> None:
        while self.entries > MAX_ENTRIES and len(self._loaded) > 1:
            tree = next(iter(self._loaded.values()))
            if tree is keep:
                self._loaded.move_to_end(tree.id)
                continue
            self.forget(tree)

    def drop_stored(self, tree: Tree) -> None:
        """Drop what is stored for a deployment: rules, headers or lifetimes changed."""
        if tree.manifest is not None:
            self._cache.drop(tree.manifest.assets.values())

    def forget(self, tree: Tree) -> None:
        """Drop the manifest and everything stored for it."""
        self._loaded.pop(tree.id, None)
        self.drop_stored(tree)
        if tree.manifest is not None:
            self.entries -= len(tree.manifest.files)
            tree.manifest = None

    async def _load_retained(self, retained: Retained) -> None:
        data = await _read(self._places.compiled / retained.key)
        files = msgspec.json.decode(data, type=list[RetainedFile])
        retained.files = {kept.entry.path: kept for kept in files}


async def _read(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
