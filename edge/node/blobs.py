"""
Content on the disk, read-only: blobs by sha256.

Laws: no request names a file; names come from manifests alone. What the page cache has is read in
place (`RWF_NOWAIT`: no thread, no wait); what it has not is read by a thread, never on the loop,
and once for all who wait for it, however many clients ask for a file that is cold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from edge.errors import StoreError
from edge.node.tasks import spawn
from edge.site.places import SUFFIX, Places

CHUNK = 256 * 1024
"""Bytes a read: large enough to amortize a thread hop, small enough for thousands of readers."""

READ_AT_ONCE = 1024 * 1024
"""Bytes that are copied on the loop (0.4 ms); more of them are a thread's work."""


class Blobs:
    """The blobs of one state folder."""

    def __init__(self, places: Places) -> None:
        self._root = os.fspath(places.blobs)
        self._reading: dict[tuple[str, bytes, int], asyncio.Task[bytes]] = {}
        """Whole blobs that threads are at."""

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

    def read_now(self, sha256: str, coding: bytes, size: int) -> bytes | None:
        """
        The whole blob if it is small and in the page cache, else None. Never waits for a disk.

        Raises:
            StoreError: the blob is gone.
        """
        descriptor = self.open(sha256, coding)
        try:
            return _read_cached(descriptor, 0, size) if size <= READ_AT_ONCE else None
        finally:
            os.close(descriptor)

    def check(self, sha256: str, coding: bytes, size: int) -> None:
        """
        Make sure that a blob can be streamed, while there is still an error to answer with.

        Raises:
            StoreError: it is gone or shorter than `size`.
        """
        descriptor = self.open(sha256, coding)
        try:
            if os.fstat(descriptor).st_size < size:
                raise StoreError(f"the blob {sha256} is shorter than its manifest says")
        finally:
            os.close(descriptor)

    async def read_all(self, sha256: str, coding: bytes, size: int) -> bytes:
        """
        The whole blob, by a thread; the same bytes for all who wait at the same time.

        Raises:
            StoreError: it is gone, shorter than `size`, or the disk fails.
        """
        key = sha256, coding, size
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = spawn(self._read_whole(*key), f"blob {sha256[:8]}")
            reading.add_done_callback(lambda _: self._reading.pop(key))
        return await asyncio.shield(reading)

    async def _read_whole(self, sha256: str, coding: bytes, size: int) -> bytes:
        descriptor = self.open(sha256, coding)
        try:
            content = await _read_by_thread(descriptor, 0, size)
        finally:
            os.close(descriptor)
        if len(content) != size:
            raise StoreError(f"the blob {sha256} is shorter than its manifest says")
        return content

    async def stream(
        self, sha256: str, coding: bytes, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """
        The bytes [start, stop) in chunks; the file is closed however the reader ends.

        Raises:
            StoreError: the blob is gone or ends early, or the disk fails.
        """
        descriptor = self.open(sha256, coding)
        try:
            while start < stop:
                size = min(CHUNK, stop - start)
                data = _read_cached(descriptor, start, size)
                if data is None:
                    data = await _read_by_thread(descriptor, start, size)
                if not data:
                    raise StoreError(f"the blob {sha256} is shorter than its manifest says")
                start += len(data)
                yield data
        finally:
            os.close(descriptor)


async def _read_by_thread(descriptor: int, start: int, size: int) -> bytes:
    """
    Up to `size` bytes from `start`.

    A reader that is canceled closes the descriptor under its thread; what that reads goes nowhere.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(
            None, os.pread, descriptor, size, start
        )
    except OSError as error:
        raise StoreError(f"a blob cannot be read: {error.strerror}") from error


def _read_cached(descriptor: int, start: int, size: int) -> bytes | None:
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
    except (BlockingIOError, OSError):  # not in the page cache, or a file system without it
        return None
    return bytes(buffer) if count == size else None
