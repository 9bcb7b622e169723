"""
Stored responses of this worker: bounded by bytes, fresh for their lifetime.

Laws: a stored response hangs on the asset it answers for, so a hit needs no key; the cache knows
all of them to keep the sum of bytes under its bound. Eviction is second chance: a hit costs one
attribute instead of a move in a list. A swap drops what the new world does not have at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from edge.http.message import REQUEST_ID, Head, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.node.clock import Clock
    from edge.node.room import Room
    from edge.site.envelope import Envelope
    from edge.site.manifest import Asset

JOIN_BELOW = 32 * 1024
"""Content under this is joined to its head; above it, copying costs more than a second buffer."""

WRITTEN_AT_ONCE = 256 * 1024
"""Bytes of content that are written, and encrypted, before the client took them."""

OVERHEAD = 5120
"""
Bytes that a stored response costs besides its content: the asset, two heads, the objects (2.5 KiB
measured), and its field lines for HTTP/2 (2.4 KiB more).
"""

HEADS = 4
"""
Times that an operator's fields are in memory for each response: in its two heads, in the finished
message, in the field lines for HTTP/2. They may be a megabyte.
"""

SECOND_CHANCES = 64
"""Used responses that one eviction may pass over: it must end, however many were used."""

Key = tuple[bytes, int, "Envelope"]


class Shown:
    """What a stored response looks like in one second, to be kept by who found it."""

    __slots__ = ("asked", "response", "second", "stored", "unchanged")

    def __init__(self, stored: Stored) -> None:
        self.stored: Stored | None = stored
        """None once it is let go of: who keeps this does not keep that."""
        self.second = -1
        """The epoch second that `response` is of; -1 while there is none."""
        self.response: Response | None = None
        self.asked = -1
        """The epoch second that `unchanged` is of."""
        self.unchanged: Response | None = None
        """304."""

    def renew(self, clock: Clock) -> Response | None:
        """What it looks like now; None where it is not fresh, or not stored."""
        stored = self.stored
        if stored is None or not stored.is_fresh(clock):
            return None
        stored.used = True
        return stored.hit(clock)


class Stored:
    """One stored response: a finished head, its content, and what it looks like this second."""

    __slots__ = (
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
        "shown",
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
        self.used = False
        self.shown = Shown(self)

    def store(self, stored_at: int) -> None:
        """Count as stored at `stored_at` (epoch seconds)."""
        self.stored_at = stored_at
        self.shown.second = self.shown.asked = -1

    def let_go(self) -> None:
        """It is no longer stored: nobody finds it any more, by whatever way."""
        del self.asset.stored[self.key]
        shown = self.shown
        shown.second, shown.response, shown.unchanged, shown.stored = -1, None, None, None

    def is_fresh(self, clock: Clock) -> bool:
        """Whether it may be sent as it is (RFC 9111 §4.2)."""
        return clock.epoch - self.stored_at < self.lifetime

    def hit(self, clock: Clock) -> Response:
        """The whole response as a hit; made once a second, shared by all requests of it."""
        shown = self.shown
        if shown.second != clock.epoch:
            shown.second, before = clock.epoch, shown.response
            shown.response = response = self._finish(self.block(clock))
            if before is not None and len(before.opening) == len(response.opening):
                response.repeat = before.repeat  # what is entered of it is the same
        return shown.response  # type: ignore[return-value]  # made for this second above

    def unchanged(self, clock: Clock) -> Response:
        """304 (Not Modified), likewise."""
        shown = self.shown
        if shown.asked != clock.epoch or shown.unchanged is None:
            shown.asked, block = clock.epoch, self.block(clock)
            shown.unchanged = response = Response(self.not_modified, block, b"")
            response.opening = self.not_modified.lines + block[:-2] + REQUEST_ID
        return shown.unchanged

    def _finish(self, block: bytes) -> Response:
        """What many requests share is made here."""
        response = Response(self.head, block, self.content)
        if self.size <= WRITTEN_AT_ONCE:
            response.opening = self.head.lines + block[:-2] + REQUEST_ID
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
            if not stored.used:
                break
            stored.used = False
            self._queue.move_to_end(stored)
        self._remove(next(iter(self._queue)))
        return True

    def _remove(self, stored: Stored) -> None:
        del self._queue[stored]
        stored.let_go()
        self.size -= stored.cost
