"""
Stored responses of this worker: bounded by bytes, fresh for their lifetime.

Laws: a stored response hangs on the asset it answers for, so a hit needs no key; the cache knows
all of them to keep the sum of bytes under its bound. Eviction is second chance: a hit costs one
attribute instead of a move in a list. A swap drops what the new world does not have at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from edge.node.look import Look, were_used

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.http.message import Head
    from edge.node.clock import Clock
    from edge.node.room import Room
    from edge.site.envelope import Envelope
    from edge.site.manifest import Asset

JOIN_BELOW = 32 * 1024
"""Content under this is joined to its head; above it, copying costs more than a second buffer."""

OVERHEAD = 6144
"""
Bytes that a stored response costs besides its content: the asset, two heads, the objects (2.5 KiB
measured), its field lines for HTTP/2 (2.4 KiB more), and two field blocks and what is in frames
(1 KiB more).
"""

HEADS = 10
"""
Times that an operator's fields are in memory for each response: in its two heads, and for both in
the finished message, in the field lines for HTTP/2, in a block of them and in a frame. They may be
a megabyte; the last two are not made of more than 8 KiB.
"""

SECOND_CHANCES = 64
"""Used responses that one eviction may pass over: it must end, however many were used."""

Key = tuple[bytes, int, "Envelope"]


class Stored:
    """One stored response: a finished head, its content, and what it looks like this second."""

    __slots__ = (
        "_look",
        "_unchanged",
        "_used",
        "asset",
        "coding",
        "content",
        "cost",
        "envelope",
        "etag",
        "head",
        "key",
        "lifetime",
        "modified",
        "not_modified",
        "size",
        "stored_at",
    )

    head: Head
    not_modified: Head
    """The head of 304."""
    modified: int
    """Last-Modified in epoch seconds."""

    def __init__(self, asset: Asset, key: Key, size: int, etag: bytes) -> None:
        self.asset = asset
        self.key = key
        """Coding, status and envelope."""
        self.coding = key[0]
        self.envelope = key[2]
        self.size = size
        """Bytes of content, in memory or not."""
        fields = HEADS * self.envelope.size
        self.cost = OVERHEAD + fields + size
        """Bytes of memory."""
        self.etag = etag
        self.content = b""
        self.stored_at = 0
        """Epoch seconds."""
        self.lifetime = self.envelope.lifetime
        """Seconds from `stored_at` for which it is fresh."""
        self._used = False
        self._look: Look | None = None
        self._unchanged: Look | None = None

    @property
    def look(self) -> Look:
        """What all of it looks like."""
        if self._look is None:
            self._look = Look(self.head, self.content, self._lived, is_dated=True)
        return self._look

    @property
    def unchanged(self) -> Look:
        """The same for whoever has it already: 304 (Not Modified)."""
        if self._unchanged is None:
            self._unchanged = Look(self.not_modified, b"", self._lived, is_dated=True)
        return self._unchanged

    @property
    def _lived(self) -> tuple[float, float, float]:
        return self.stored_at, self.lifetime, 0.0

    def _looks(self) -> list[Look]:
        return [look for look in (self._look, self._unchanged) if look is not None]

    def store(self, stored_at: int) -> None:
        """Count as stored at `stored_at` (epoch seconds)."""
        self.stored_at = stored_at
        for look in self._looks():
            look.keep(*self._lived)

    def let_go(self) -> None:
        """It is no longer stored: nobody finds it any more, by whatever way."""
        del self.asset.stored[self.key]
        for look in self._looks():
            look.let_go()

    def use(self) -> None:
        """Somebody got it."""
        self._used = True

    def was_used(self) -> bool:
        """Whether anybody did since this was asked."""
        used = were_used(self._looks()) or self._used
        self._used = False
        return used

    def is_fresh(self, clock: Clock) -> bool:
        """Whether it may be sent as it is (RFC 9111 §4.2)."""
        return clock.epoch - self.stored_at < self.lifetime

    def block(self, clock: Clock) -> bytes:
        """The field lines of a hit in this second: Date, Age, Cache-Status (RFC 9111, 9211)."""
        return self.look.block(clock)


class Cache:
    """The stored files of a worker, least recently used out first (about)."""

    def __init__(self, room: Room) -> None:
        self.room = room
        room.tenants.append(self)
        self.size = 0
        """Bytes, overhead included; never above the room's capacity."""
        self._queue: OrderedDict[Stored, None] = OrderedDict()
        """Exactly what is stored, next to go first."""

    def __len__(self) -> int:
        """How many responses are stored."""
        return len(self._queue)

    def add(self, stored: Stored) -> bool:
        """Keep `stored` on its asset and make room; False when there could never be enough."""
        if stored.cost > self.room.capacity:
            return False
        twin = cast("Stored | None", stored.asset.stored.get(stored.key))
        if twin is not None:  # two requests missed at once
            self._remove(twin)
        stored.asset.stored[stored.key] = stored
        self._queue[stored] = None
        self.size += stored.cost
        self.room.settle()
        self.room.make()
        return True

    def drop(self, assets: Iterable[Asset]) -> int:
        """Forget what is stored for `assets`; how many responses that was."""
        before = len(self._queue)
        for asset in assets:
            for stored in tuple(asset.stored.values()):
                self._remove(stored)
        return before - len(self._queue)

    def clear(self) -> int:
        """Forget everything; how many responses that was."""
        count = len(self._queue)
        for stored in self._queue:
            stored.let_go()
        self._queue.clear()
        self.size = 0
        return count

    def evict(self) -> bool:
        """Let one go that was not used of late; False when there is none."""
        if not self._queue:
            return False
        for _ in range(SECOND_CHANCES):
            stored = next(iter(self._queue))
            if not stored.was_used():
                break
            self._queue.move_to_end(stored)
        self._remove(next(iter(self._queue)))
        return True

    def _remove(self, stored: Stored) -> None:
        del self._queue[stored]
        stored.let_go()
        self.size -= stored.cost
