"""Stored answers that have to go: by label, by turn, for want of room; nothing is left of them."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from edge.node.cache import SECOND_CHANCES
from edge.node.shelf import Entry
from tests.support_store import COST, NOW, asking, is_exact, labelled, shelf_of, variant


def test_a_drop_takes_what_is_under_any_of_the_labels():
    """Each counted once; the rest stays."""
    shelf = shelf_of()
    both, one, none = (
        labelled(*labels, key=key)
        for key, labels in ((b"1", [b"a", b"b"]), (b"2", [b"b"]), (b"3", [b"c"]))
    )
    for entry in (both, one, none):
        shelf.put(entry)

    assert shelf.drop([b"a", b"b", b"nothing"], NOW) == 2
    assert list(shelf._queue) == [none]
    assert is_exact(shelf)
    assert shelf.drop([b"a", b"b"], NOW) == 0


def test_every_drop_is_counted():
    """One that finds nothing too: what it is about may be on its way."""
    shelf = shelf_of()
    shelf.drop([b"nothing"], NOW)
    shelf.clear(NOW)

    assert shelf.drops == 2


@pytest.mark.parametrize("everything", [False, True])
def test_copies_are_not_counted(everything):
    """Another worker has the original, and counts it."""
    shelf = shelf_of()
    copy, original = labelled(b"a", key=b"001"), labelled(b"a", key=b"002")
    copy.is_copy = True
    for entry in (copy, original):
        shelf.put(entry)

    assert (shelf.clear(NOW) if everything else shelf.drop([b"a"], NOW)) == 1
    assert len(shelf) == 0


@pytest.mark.parametrize("everything", [False, True])
def test_a_soft_drop_has_answers_validated(everything):
    """They are stale at once; copies go, for nobody validates them."""
    shelf = shelf_of()
    copy, original = labelled(b"a", key=b"001"), labelled(b"a", key=b"002")
    copy.is_copy = True
    for entry in (copy, original):
        shelf.put(entry)
    now = NOW + 10
    count = shelf.clear(now, soft=True) if everything else shelf.drop([b"a"], now, soft=True)

    assert (count, list(shelf._queue)) == (1, [original])
    assert original.stored.fresh_until == now
    assert is_exact(shelf)
    assert shelf.drop([b"a"], now + 5, soft=True) == 1
    assert original.stored.fresh_until == now


def test_what_is_dropped_is_held_by_nobody():
    """Its content is free at once, and no collector has to look for it."""
    gc.disable()
    shelf, entry = shelf_of(), labelled(b"a")
    shelf.put(entry)
    shelf.name_page(entry, b"page", b"pages")
    shelf.select(asking())
    gone = weakref.ref(entry)
    del entry
    shelf.drop([b"a"], NOW)
    gc.enable()

    assert gone() is None


def test_removing_what_is_not_there_changes_nothing():
    """Nor twice."""
    shelf, entry, other = shelf_of(), labelled(b"a"), labelled(b"a")
    shelf.remove(entry)
    shelf.put(other)
    shelf.remove(entry)
    assert shelf.has(other)
    shelf.remove(other)
    shelf.remove(other)
    assert shelf.size == 0
    assert is_exact(shelf)


def test_what_was_used_gets_a_second_chance():
    """Once; then it goes like any other."""
    shelf = shelf_of(3)
    first, second, third, fourth, fifth, sixth = (labelled(key=b"%03d" % n) for n in range(6))
    for entry in (first, second, third):
        shelf.put(entry)
    shelf.select(asking(key=b"000"))
    shelf.put(fourth)
    assert list(shelf._queue) == [third, fourth, first]
    shelf.put(fifth)
    shelf.put(sixth)
    assert list(shelf._queue) == [first, fifth, sixth]
    shelf.put(labelled(key=b"006"))
    assert not shelf.has(first)


def test_an_eviction_ends_though_all_were_used():
    """After a bounded look."""
    shelf = shelf_of(4 * SECOND_CHANCES)
    added = [labelled(key=b"%03d" % number) for number in range(2 * SECOND_CHANCES)]
    for entry in added:
        shelf.put(entry)
        entry.use()
    assert shelf.evict()

    assert sum(not entry.was_used() for entry in added) == SECOND_CHANCES
    assert len(shelf) == len(added) - 1


def test_an_empty_shelf_has_nothing_to_let_go():
    """What is coming is not its own."""
    shelf = shelf_of()
    shelf.reserve(COST)

    assert not shelf.evict()


def test_a_new_answer_of_which_there_is_no_room_is_not_stored():
    """It says so, though it was there for a moment."""
    shelf = shelf_of(2)
    shelf.reserve(COST)
    shelf.put(labelled(key=b"001"))
    found = labelled(key=b"002")
    assert shelf.put(found) == shelf.has(found)
    assert is_exact(shelf)


LABELS = [b"label %d" % number for number in range(12)]


class Chance:
    """One random step after the other."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.shelf = shelf_of(40)
        self.reserved: list[int] = []

    def any_entry(self) -> Entry:
        """One that is stored, or one that is not."""
        stored = [*self.shelf._queue, labelled()]
        return self.source.choice(stored)

    def put(self) -> None:
        """An answer of any size; it is there, or it was not stored."""
        source = self.source
        entry = variant(str(source.randrange(4)), b"%d" % source.randrange(20))
        entry.content = bytes(source.randrange(9000))
        entry.labels = dict.fromkeys(source.choices(LABELS, k=3))
        entry.is_copy = source.random() < 0.2
        assert self.shelf.put(entry) == self.shelf.has(entry)

    def select(self) -> None:
        """Use one."""
        key = b"%d" % self.source.randrange(20)
        self.shelf.select(asking("Accept-Language: 1", key=key))

    def drop(self) -> None:
        """By labels, or now and then all of them."""
        soft = self.source.random() < 0.5
        if self.source.random() < 0.05:
            self.shelf.clear(NOW, soft=soft)
        else:
            self.shelf.drop(self.source.choices(LABELS, k=2), NOW, soft=soft)

    def remove(self) -> None:
        """One."""
        self.shelf.remove(self.any_entry())

    def name_page(self) -> None:
        """Of one that is stored."""
        entry = self.any_entry()
        if self.shelf.has(entry):
            self.shelf.name_page(entry, b"page %d" % self.source.randrange(30), b"pages")

    def resize(self) -> None:
        """The room."""
        self.shelf.room.resize(self.source.randrange(20, 60) * COST)

    def reserve(self) -> None:
        """Room for something that comes."""
        size = self.source.randrange(5 * COST)
        if self.shelf.reserve(size):
            self.reserved.append(size)

    def give_back(self) -> None:
        """Of what was reserved."""
        if self.reserved:
            self.shelf.give_back(self.reserved.pop(self.source.randrange(len(self.reserved))))

    def step(self) -> None:
        """Any of these, mostly the first."""
        steps = (self.select, self.drop, self.remove, self.name_page, self.resize, self.reserve)
        self.source.choice((*(self.put,) * 6, *steps, self.give_back))()


@pytest.mark.parametrize("seed", range(4))
def test_the_accounts_stay_exact(seed):
    """Whatever happens in whatever order; at the end nothing is left of anything."""
    chance = Chance(seed)
    shelf = chance.shelf
    for _ in range(1500):
        chance.step()
        assert is_exact(shelf)
        assert shelf.coming == sum(chance.reserved)
        assert shelf.size <= max(shelf.room.capacity, shelf.coming)
    while chance.reserved:
        chance.give_back()
    shelf.clear(NOW)
    shelf.clear(NOW)

    assert (shelf.size, shelf.coming, shelf._slots, shelf._labels) == (0, 0, {}, {})


def test_a_renewed_answer_is_found_by_what_the_old_one_was():
    """With other lines; the old one keeps its own labels."""
    entry = labelled(b"a", b"page 1")
    entry.number, entry.pages = 2, 1
    renewed = entry.renewed(entry.stored, [(b"a", b"b")])
    renewed.labels[b"b"] = None

    assert (renewed.content, renewed.variant, renewed.lines) == (b"hello", b"", [(b"a", b"b")])
    assert (renewed.number, renewed.pages, list(renewed.labels)) == (2, 1, [b"a", b"page 1", b"b"])
    assert list(entry.labels) == [b"a", b"page 1"]
