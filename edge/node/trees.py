"""
Manifests in memory: read at the first request of a deployment, in slices, bounded in number.

Laws: one load a manifest however many requests wait for it; no slice holds the loop over 5 ms;
what was read least recently goes first when the bound is met. What no snapshot and no request has
any more is gone by itself: only weak references are kept here.
"""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Collection, Coroutine
from pathlib import Path
from typing import Any
from weakref import ref

import msgspec

from edge.errors import StoreError
from edge.node.cache import Cache
from edge.node.tasks import spawn
from edge.site.decoding import decode_json
from edge.site.generation import RetainedFile
from edge.site.manifest import Manifest, decode_blocks, decode_header
from edge.site.places import Places
from edge.site.snapshot import Branch, Retained, Tree

MAX_ENTRIES = 250_000
"""Files of all manifests in memory together: about 100 MiB."""

TORN = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for a document that is damaged."""

Loadable = Tree | Retained


class Trees:
    """Loads what snapshots name."""

    def __init__(self, places: Places, cache: Cache) -> None:
        self._places = places
        self._cache = cache
        self._loaded: OrderedDict[int, tuple[ref[Loadable], int]] = OrderedDict()
        """Files of what is loaded, by its `id`; the first was read least recently."""
        self._loading: dict[Loadable, asyncio.Task[None]] = {}
        self.entries = 0
        """Files of what is loaded, together."""

    # Loading

    async def load(self, tree: Tree) -> None:
        """
        Have `tree.manifest`.

        Raises:
            StoreError: the manifest cannot be read.
        """
        if tree.manifest is None:
            await self._once(tree, self._load(tree, (tree,)))

    async def load_branch(self, branch: Branch, epoch: int) -> None:
        """
        Have every manifest that `branch` answers from at `epoch`, however large they are.

        Raises:
            StoreError: a manifest cannot be read.
        """
        while missing := list(branch.trees(epoch)):
            for tree in missing:
                await self._once(tree, self._load(tree, needed_by(branch)))

    async def load_retained(self, branch: Branch) -> None:
        """
        Have the files of earlier deployments that `branch` keeps.

        Raises:
            StoreError: their document cannot be read.
        """
        retained = branch.retained
        if retained is not None and retained.files is None:
            await self._once(retained, self._load_retained(retained, needed_by(branch)))

    async def _once(self, wanted: Loadable, work: Coroutine[Any, Any, None]) -> None:
        task = self._loading.get(wanted)
        if task is not None:
            work.close()
        else:
            task = self._loading[wanted] = spawn(work, "load")
            task.add_done_callback(lambda _: self._loading.pop(wanted, None))
        await asyncio.shield(task)

    async def _load(self, tree: Tree, keep: Collection[Loadable]) -> None:
        path = self._places.manifest(tree.app, tree.label, tree.id)
        lines = io.BytesIO(await _read(path))
        try:
            manifest = Manifest(decode_header(lines.readline()))
            count = 0
            for block in decode_blocks(lines):
                manifest.add(block)
                count += len(block)
                await asyncio.sleep(0)
        except TORN as error:
            raise StoreError(f"{path} is torn: {error}") from error
        if count != manifest.header.files:
            raise StoreError(f"{path} is torn: {count} files of {manifest.header.files}")
        tree.manifest = manifest
        self._note(tree, len(manifest.files), keep)

    async def _load_retained(self, retained: Retained, keep: Collection[Loadable]) -> None:
        path = self._places.compiled / retained.key
        data = await _read(path)
        try:
            files = decode_json(data, list[RetainedFile])
        except TORN as error:
            raise StoreError(f"{path} is torn: {error}") from error
        retained.files = {kept.entry.path: kept for kept in files}
        self._note(retained, len(files), keep)

    # The bound

    def _note(self, loaded: Loadable, count: int, keep: Collection[Loadable]) -> None:
        key = id(loaded)
        self._loaded[key] = (ref(loaded, lambda _: self._forget_count(key)), count)
        self.entries += count
        if self.entries > MAX_ENTRIES:
            self._shrink(keep)

    def _forget_count(self, key: int) -> None:
        _, count = self._loaded.pop(key, (None, 0))
        self.entries -= count

    def _shrink(self, keep: Collection[Loadable]) -> None:
        """Forget what was read least recently, but nothing of what is needed together now."""
        for reference, _ in tuple(self._loaded.values()):
            if self.entries <= MAX_ENTRIES:
                return
            loaded = reference()
            if loaded is not None and not any(loaded is each for each in keep):
                self.forget(loaded)

    def forget(self, loaded: Loadable) -> None:
        """Drop what was read and everything stored for it; the next request reads it again."""
        self._forget_count(id(loaded))
        self.drop_stored(loaded)
        if isinstance(loaded, Tree):
            loaded.manifest = None
        else:
            loaded.files = None
            loaded.assets.clear()

    def drop_stored(self, loaded: Loadable) -> None:
        """Drop what is stored for its files: rules, headers or lifetimes changed."""
        if isinstance(loaded, Retained):
            self._cache.drop(loaded.assets.values())
        elif loaded.manifest is not None:
            self._cache.drop(loaded.manifest.assets.values())


def needed_by(branch: Branch) -> list[Loadable]:
    """What a branch answers from, together."""
    return [each for each in (*branch.sources(), branch.retained) if each is not None]


async def _read(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
