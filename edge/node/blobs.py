"""
Content on the disk, read-only: blobs by sha256.

Laws: no request names a file; names come from manifests alone. What the page cache has is read in
place (`RWF_NOWAIT`: no thread, no wait); what it has not is read by a thread, never on the loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from edge.errors import StoreError
from edge.site.places import SUFFIX, Places

CHUNK = 256 * 1024
"""Bytes a read: large enough to amortize a thread hop, small enough for thousands of readers."""


class Blobs:
    """The blobs of one state folder."""

    def __init__(self, places: Places) -> None:
        self._root = os.fspath(places.blobs)

    def open(self, sha256: str, coding: bytes) -> int:
        """
        A read-only descriptor; the caller closes it. One open() of a local file: not awaited.

        Raises:
            StoreError: the blob is gone, which only damage to the disk can do.
        """
        path = f"{self._root}/{sha256[:2]}/{sha256}{SUFFIX[coding.decode()]}"
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StoreError(f"the blob {path} cannot be read: {error.strerror}") from error

    def read_now(self, descriptor: int, size: int) -> bytes | None:
        """All `size` bytes if the page cache has them, else None. Never waits for a disk."""
        return _read_cached(descriptor, 0, size)

    async def read(self, descriptor: int, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`, by a thread where the disk is needed."""
        data = _read_cached(descriptor, start, size)
        if data is None:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(None, os.pread, descriptor, size, start)
        return data

    async def read_all(self, descriptor: int, size: int) -> bytes:
        """
        The whole blob, by a thread where the disk is needed.

        Raises:
            StoreError: it is shorter than `size`.
        """
        content = await self.read(descriptor, 0, size)
        if len(content) != size:
            raise StoreError("a blob is shorter than its manifest says")
        return content

    async def stream(
        self, sha256: str, coding: bytes, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """The bytes [start, stop) in chunks; the file is closed however the reader ends."""
        descriptor = self.open(sha256, coding)
        try:
            while start < stop:
                data = await self.read(descriptor, start, min(CHUNK, stop - start))
                if not data:
                    raise StoreError(f"the blob {sha256} is shorter than its manifest says")
                start += len(data)
                yield data
        finally:
            os.close(descriptor)


def _read_cached(descriptor: int, start: int, size: int) -> bytes | None:
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
    except (BlockingIOError, OSError):  # not in the page cache, or a file system without it
        return None
    return bytes(buffer) if count == size else None
