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
    from edge.node.ledger import Repeat
    from edge.node.room import Room
    from edge.site.envelope import Envelope
    from edge.site.manifest import Asset

JOIN_BELOW = 32 * 1024
"""Content under this is joined to its head; above it, copying costs more than a second buffer."""

WRITTEN_AT_ONCE = 256 * 1024
"""Bytes of content that are written, and encrypted, before the client took them."""

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


class Look:
    """
    What a stored response looks like in one second, to be kept by who found it.

    What a request that is answered unparsed needs of the response is here too, so that it touches
    no more of memory than it has to.
    """

    __slots__ = ("content", "opening", "repeat", "response", "second")

    def __init__(self) -> None:
        self.second = -1
        """The epoch second that `response` is of; -1 while there is none."""
        self.response: Response | None = None
        self.opening = b""
        """The response's; empty where it is not sent at once."""
        self.content = b""
        """The response's, where there is an opening."""
        self.repeat: Repeat | None = None
        """The response's, once it was sent."""

    def renew(self, clock: Clock) -> Response | None:
        """What it looks like now; None where it is not fresh, or not stored."""
        raise NotImplementedError

    def turn(self, second: int, response: Response) -> Response:
        """Look so from now on."""
        before = self.response
        if before is not None and len(before.opening) == len(response.opening):
            response.repeat = before.repeat  # what is entered of it is the same
        self.second, self.response = second, response
        self.opening, self.repeat = response.opening, cast("Repeat | None", response.repeat)
        self.content = cast("bytes", response.content) if response.opening else b""
        return response

    def hide(self) -> None:
        """It may not be sent any more as it is: nobody finds it, by whatever way."""
        self.second, self.response = -1, None
        self.opening, self.content, self.repeat = b"", b"", None


class Shown(Look):
    """What a file that is stored looks like."""

    __slots__ = ("stored",)

    def __init__(self, stored: Stored) -> None:
        super().__init__()
        self.stored: Stored | None = stored
        """None once it is let go of: who keeps this does not keep that."""

    def renew(self, clock: Clock) -> Response | None:
        """As `Look`."""
        stored = self.stored
        if stored is None or not stored.is_fresh(clock):
            return None
        stored.used = True
        return self.turn(clock.epoch, self._finish(stored, stored.block(clock)))

    def let_go(self) -> None:
        """It is no longer stored."""
        self.hide()
        self.stored = None

    def _finish(self, stored: Stored, block: bytes) -> Response:
        """What many requests share is made here."""
        response = Response(stored.head, block, stored.content)
        if stored.size <= WRITTEN_AT_ONCE:
            response.opening = stored.head.lines + block[:-2] + REQUEST_ID
        return response


class Unchanged(Shown):
    """The same for whoever has it already: 304 (Not Modified)."""

    __slots__ = ()

    def _finish(self, stored: Stored, block: bytes) -> Response:
        response = Response(stored.not_modified, block, b"")
        response.opening = stored.not_modified.lines + block[:-2] + REQUEST_ID
        return response


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
        "unchanged",
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
        self.unchanged = Unchanged(self)

    def store(self, stored_at: int) -> None:
        """Count as stored at `stored_at` (epoch seconds)."""
        self.stored_at = stored_at
        self.shown.second = self.unchanged.second = -1

    def let_go(self) -> None:
        """It is no longer stored: nobody finds it any more, by whatever way."""
        del self.asset.stored[self.key]
        self.shown.let_go()
        self.unchanged.let_go()

    def is_fresh(self, clock: Clock) -> bool:
        """Whether it may be sent as it is (RFC 9111 §4.2)."""
        return clock.epoch - self.stored_at < self.lifetime

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
