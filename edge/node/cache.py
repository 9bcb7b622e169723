"""
Stored responses of this worker: bounded by bytes, fresh for their lifetime.

Laws: a stored response hangs on the asset it answers for, so a hit needs no key; the cache knows
all of them to keep the sum of bytes under its bound. Eviction is second chance: a hit costs one
attribute instead of a move in a list. A swap drops what the new world does not have at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from edge.http.message import Head, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.node.clock import Clock
    from edge.site.manifest import Asset

JOIN_BELOW = 32 * 1024
"""Content under this is joined to its head; above it, copying costs more than a second buffer."""

OVERHEAD = 2048
"""Bytes that a stored response costs besides its content: heads, objects, the asset."""

Key = tuple[bytes, bool, int]


class Stored:
    """One stored response: a finished head, its content, and what it looks like this second."""

    __slots__ = (
        "asset",
        "content",
        "etag",
        "head",
        "key",
        "lifetime",
        "modified",
        "not_modified",
        "response",
        "second",
        "size",
        "stored_at",
        "used",
    )

    head: Head
    not_modified: Head
    """The head of 304."""
    modified: int
    """Last-Modified in epoch seconds."""

    def __init__(self, asset: Asset, key: Key, size: int, etag: bytes) -> None:
        self.asset = asset
        self.key = key
        """(coding, noindex, status)."""
        self.size = size
        """Bytes of content, in memory or not."""
        self.etag = etag
        self.content = b""
        self.stored_at = 0
        self.lifetime = -1
        self.used = False
        self.second = -1
        self.response: Response | None = None

    def store(self, stored_at: int, lifetime: int) -> None:
        """Count as stored at `stored_at` (epoch seconds) for `lifetime` seconds."""
        self.stored_at = stored_at
        self.lifetime = lifetime
        self.second = -1

    def hit(self, clock: Clock) -> Response:
        """The whole response as a hit; made once a second, shared by all requests of it."""
        if self.second != clock.epoch:
            self.second = clock.epoch
            self.response = self._finish(self.block(clock))
        return self.response  # type: ignore[return-value]  # made for this second above

    def _finish(self, block: bytes) -> Response:
        """Small contents are joined to their head here, once, instead of at every write."""
        response = Response(self.head, block, self.content)
        if self.size < JOIN_BELOW:
            response.whole = self.head.lines + block + self.content
        return response

    def block(self, clock: Clock) -> bytes:
        """The field lines of a hit in this second: Date, Age, Cache-Status (RFC 9111, 9211)."""
        age = max(0, clock.epoch - self.stored_at)
        return b"%bAge: %d\r\nCache-Status: edge; hit; ttl=%d\r\n\r\n" % (
            clock.date,
            age,
            self.lifetime - age,
        )


class Cache:
    """The stored responses of a worker, least recently used out first (about)."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        """Bytes, overhead included."""
        self._ring: deque[Stored] = deque()

    def add(self, stored: Stored) -> None:
        """Keep `stored` on its asset, and make room."""
        stored.asset.stored[stored.key] = stored
        self._ring.append(stored)
        self.size += stored.size + OVERHEAD
        while self.size > self.capacity and self._ring:
            self._evict_one()

    def drop(self, assets: Iterable[Asset]) -> int:
        """Forget what is stored for `assets`; how many responses that was."""
        count = 0
        for asset in assets:
            for stored in asset.stored.values():
                self.size -= cast("Stored", stored).size + OVERHEAD
                count += 1
            asset.stored.clear()
        return count

    def clear(self) -> int:
        """Forget everything; how many responses that was."""
        count = 0
        while self._ring:
            stored = self._ring.popleft()
            if stored.asset.stored.pop(stored.key, None) is stored:
                count += 1
        self.size = 0
        return count

    def _evict_one(self) -> None:
        stored = self._ring.popleft()
        if stored.asset.stored.get(stored.key) is not stored:
            return  # dropped or replaced before
        if stored.used:
            stored.used = False
            self._ring.append(stored)
            return
        del stored.asset.stored[stored.key]
        self.size -= stored.size + OVERHEAD
