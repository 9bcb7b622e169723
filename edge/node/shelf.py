"""
Stored answers of origins: by key and variant, and by the labels that purges go by.

Laws: bounded by bytes together with the files (`room`), by number in a key's variants and in what
is remembered of keys that nothing is stored for. What is dropped is found by no later request.
What may be stored and when it serves is `broker`'s to ask; here is no judgement.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from edge.http.freshening import mark_stale, recency
from edge.node.cache import SECOND_CHANCES
from edge.node.look import were_used

if TYPE_CHECKING:
    from edge.http.caching import Reason
    from edge.http.fields import Line
    from edge.http.freshness import Stored
    from edge.http.partial import Extent, Part
    from edge.node.inquiry import Inquiry
    from edge.node.look import Look
    from edge.node.room import Room

MAX_VARIANTS: Final = 64
"""Variants of one key; an origin that varies by User-Agent makes one for each browser."""

MAX_PAGES: Final = 16
"""Addresses by which one answer is found; more happen where a rule maps many paths to one."""

MAX_MARKS: Final = 50_000
"""Keys of which is remembered why nothing is stored, by their hashes: 10 MiB."""

SHARE: Final = 4
"""Copies of what other workers store take no more than this part of a worker's memory."""

OVERHEAD: Final = 4096
"""Bytes that an answer costs besides content, field lines and labels."""

LABEL: Final = 400
"""Bytes that a label costs besides its own: places in two indices."""

HEADS: Final = 5
"""Times that field lines are in memory: as stored, as sent; as lines, block and frame of HTTP/2."""


class Entry:
    """One stored answer."""

    __slots__ = (
        "__weakref__",
        "_used",
        "content",
        "cost",
        "dressed",
        "extent",
        "is_copy",
        "is_lent",
        "key",
        "labels",
        "lines",
        "number",
        "pages",
        "parts",
        "stored",
        "variant",
    )

    def __init__(
        self,
        key: bytes,
        variant: bytes,
        stored: Stored,
        lines: list[Line],
        content: bytes,
    ) -> None:
        self.key = key
        self.variant = variant
        """What the request stated in the fields that Vary names."""
        self.stored = stored
        self.lines = lines
        """As the origin sent them, Content-Length included, without Age."""
        self.content = content
        self.labels: dict[bytes, None] = {}
        """What it is found by when it has to go."""
        self.pages = 0
        """Addresses that it has answered, as far as they are counted."""
        self.number = 0
        """Which of a rule's targets it came from."""
        self.extent: Extent | None = None
        """Of which representation it has parts alone."""
        self.parts: list[Part] = []
        self.is_copy = False
        """Whether another worker has the original."""
        self.is_lent = False
        """Whether another worker may have a copy."""
        self.dressed: dict[object, Look] = {}
        """As it is sent at the addresses that lead here."""
        self.cost = 0
        """Bytes of memory, once it is stored."""
        self._used = False

    def use(self) -> None:
        """Somebody got it."""
        self._used = True

    def was_used(self) -> bool:
        """Whether anybody did since this was asked."""
        used = were_used(self.dressed.values()) or self._used
        self._used = False
        return used

    def undress(self) -> None:
        """Have it looked for anew by all who know what it looks like."""
        for dressed in self.dressed.values():
            dressed.let_go()
        self.dressed.clear()

    def renewed(self, stored: Stored, lines: list[Line]) -> Entry:
        """The same content with what a 304 says of it."""
        entry = Entry(self.key, self.variant, stored, lines, self.content)
        entry.labels = dict(self.labels)
        entry.number, entry.pages = self.number, self.pages
        return entry

    def count(self) -> int:
        """Bytes of memory."""
        fields = sum(len(name) + len(value) + 64 for name, value in self.lines)
        size = len(self.content) + sum(len(content) for _, content in self.parts)
        labels = sum(map(len, self.labels)) + LABEL * len(self.labels)
        names = len(self.key) + len(self.variant)
        return OVERHEAD + HEADS * fields + size + labels + names


class Shelf:
    """The stored answers of a worker."""

    def __init__(self, room: Room) -> None:
        self.room = room
        room.tenants.append(self)
        self.size = 0
        """Bytes, overhead included, with those of answers that are still coming."""
        self.coming = 0
        """Bytes of answers that will be stored once they are whole."""
        self.drops = 0
        """How often something was dropped: what was asked for before is not to be stored."""
        self.turns = 0
        """Counts up before a reason not to ask for a key may end."""
        self.on_lent_gone: Callable[[bytes], None] = lambda _: None
        """Called with the key of an answer that other workers may have copies of."""
        self._marks: dict[int, tuple[Reason | None, int]] = {}
        """
        By the hash of a key: why its last answer was not stored (None where it could have been),
        and the hash of the label of its target. Two keys that share one cost each other a fetch.
        """
        self._copies: OrderedDict[Entry, None] = OrderedDict()
        self._copied = 0
        """Bytes of copies."""
        self._slots: dict[bytes, list[Entry]] = {}
        self._labels: dict[bytes, dict[Entry, None]] = {}
        self._queue: OrderedDict[Entry, None] = OrderedDict()
        """Exactly what is stored, next to go first."""

    def __len__(self) -> int:
        """How many answers are stored."""
        return len(self._queue)

    # Finding

    def has(self, entry: Entry) -> bool:
        """Whether this very answer is stored."""
        return entry in self._queue

    def variants(self, key: bytes) -> list[Entry]:
        """What is stored under a key."""
        return self._slots.get(key, [])

    def select(self, inquiry: Inquiry, key: bytes | None = None) -> Entry | None:
        """
        The most recent answer that a request selects (RFC 9111 §4.1); `key` if not the inquiry's.

        One that varies by Cookie is for nobody who has other cookies than the key knows.
        """
        found: Entry | None = None
        stated: dict[tuple[bytes, ...], bytes | None] = {}
        for entry in self._slots.get(key or inquiry.key, ()):
            vary = entry.stored.vary
            if vary not in stated:
                stated[vary] = inquiry.variant(vary)
            if entry.variant == stated[vary] and (
                found is None or recency(entry.stored) > recency(found.stored)
            ):
                found = entry
        if found is not None:
            found.use()
        return found

    def under(self, label: bytes) -> list[Entry]:
        """Originals that a purge of a label would find."""
        return [entry for entry in self._labels.get(label, ()) if not entry.is_copy]

    # Storing

    def put(self, entry: Entry) -> bool:
        """Store an answer in place of the one it replaces; False when there is no room for it."""
        for other in tuple(self.variants(entry.key)):
            if other.variant == entry.variant:
                self.remove(other)
            elif other.stored.vary != entry.stored.vary:
                other.undress()  # both may be selected: the most recent one is
        entry.cost = entry.count()
        if entry.cost > self.room.capacity // (SHARE if entry.is_copy else 1):
            return False
        self.turns += 1
        if len(self.variants(entry.key)) >= MAX_VARIANTS:
            self.remove(self.variants(entry.key)[0])
        self._slots.setdefault(entry.key, []).append(entry)
        for label in entry.labels:
            self._labels.setdefault(label, {})[entry] = None
        self._queue[entry] = None
        self.size += entry.cost
        if entry.is_copy:
            self._count_copy(entry)
        self.room.settle()
        self.room.make()
        return entry in self._queue

    def _count_copy(self, entry: Entry) -> None:
        """Copies have a share of their own: the oldest give way."""
        self._copies[entry] = None
        self._copied += entry.cost
        while self._copied > self.room.capacity // SHARE:
            self.remove(next(iter(self._copies)))

    def name_page(self, entry: Entry, page: bytes, any_page: bytes) -> None:
        """Have a purge of one more page find an answer; of any page once they are too many."""
        if page in entry.labels:
            return
        label = page if entry.pages < MAX_PAGES else any_page
        entry.pages += 1
        if label in entry.labels:
            return
        entry.labels[label] = None
        if entry in self._queue:
            self._labels.setdefault(label, {})[entry] = None
            self.resize(entry)

    def resize(self, entry: Entry) -> None:
        """Count anew what a stored answer costs."""
        cost = entry.count()
        self.size += cost - entry.cost
        if entry.is_copy:
            self._copied += cost - entry.cost
        entry.cost = cost
        self.room.make()

    # Remembering

    def mark(self, key: bytes, target: bytes, reason: Reason | None) -> None:
        """Remember of a key why nothing is stored; `target` is the label of what it leads to."""
        name = hash(key)
        if name not in self._marks and len(self._marks) >= MAX_MARKS:
            del self._marks[next(iter(self._marks))]
        self._marks[name] = reason, hash(target)
        self.turns += 1

    def unmark(self, key: bytes) -> None:
        """Something is stored for a key."""
        self._marks.pop(hash(key), None)
        self.turns += 1

    def forget_reasons(self) -> None:
        """Everything may be stored again, until it is found out."""
        self._marks.clear()
        self.turns += 1

    def reason(self, key: bytes) -> Reason | None:
        """Why the last answer of a key was not stored; None too where nothing is known."""
        mark = self._marks.get(hash(key))
        return None if mark is None else mark[0]

    def knows(self, key: bytes) -> bool:
        """Whether anything is known of a key's answers."""
        return key in self._slots or hash(key) in self._marks

    def reasons(self, target: bytes) -> list[Reason]:
        """Why the last answers of a target were not stored; looks at all that is remembered."""
        name = hash(target)
        found = [reason for reason, place in self._marks.values() if place == name]
        return [reason for reason in dict.fromkeys(found) if reason is not None]

    def reserve(self, size: int) -> bool:
        """Room for so many bytes of an answer that is still coming; never more than half of all."""
        if self.coming + size > self.room.capacity // 2:
            return False
        self.coming += size
        self.size += size
        self.room.make()
        return True

    def give_back(self, size: int) -> None:
        """What was reserved is not needed any more."""
        self.coming -= size
        self.size -= size

    # Letting go

    def drop(
        self,
        labels: Iterable[bytes],
        now: float,
        *,
        soft: bool = False,
        within: frozenset[bytes] | None = None,
    ) -> int:
        """
        Let go of all under any of the labels, or have it validated before it serves again.

        With `within`, only of what is under one of these, too.

        Returns:
            How many answers that were, copies of other workers' not counted.
        """
        self.drops += 1
        found: dict[Entry, None] = {}
        for label in labels:
            under = self._labels.get(label, {})
            if within is not None:
                under = {each: None for each in under if not within.isdisjoint(each.labels)}
            found.update(under)
        return self._let_go(found, now, soft=soft)

    def clear(self, now: float, *, soft: bool = False) -> int:
        """The same for everything; what is remembered of other keys too."""
        self.drops += 1
        self.forget_reasons()
        return self._let_go(tuple(self._queue), now, soft=soft)

    def _let_go(self, entries: Iterable[Entry], now: float, *, soft: bool) -> int:
        count = 0
        for entry in entries:
            count += not entry.is_copy
            if soft and not entry.is_copy:
                self.age(entry, now)
            else:
                self.remove(entry)
        return count

    def age(self, entry: Entry, now: float) -> None:
        """Have an answer validated before it serves again."""
        entry.undress()
        entry.stored = mark_stale(entry.stored, now)
        if entry.is_lent:
            self.on_lent_gone(entry.key)

    def forget(self, key: bytes) -> None:
        """Let go of all variants of a key."""
        for entry in tuple(self._slots.get(key, ())):
            self.remove(entry)

    def evict(self) -> bool:
        """Let one go that was not used of late; False when there is none."""
        if not self._queue:
            return False
        for _ in range(SECOND_CHANCES):
            entry = next(iter(self._queue))
            if not entry.was_used():
                break
            self._queue.move_to_end(entry)
        self.remove(next(iter(self._queue)))
        return True

    def remove(self, entry: Entry) -> None:
        """Let one go, if it is there."""
        if entry not in self._queue:
            return
        del self._queue[entry]
        slot = self._slots[entry.key]
        slot.remove(entry)
        if not slot:
            del self._slots[entry.key]
        for label in entry.labels:
            under = self._labels[label]
            del under[entry]
            if not under:
                del self._labels[label]
        if entry.is_copy:
            del self._copies[entry]
            self._copied -= entry.cost
        elif entry.is_lent:
            self.on_lent_gone(entry.key)
        entry.undress()
        self.size -= entry.cost
