"""One room for all that is stored: never exceeded, and who has the most gives way."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from edge.node.room import SETTLED, Room, thaw


class Pile:
    """A store of things of one size; some of what it takes cannot be let go."""

    def __init__(self, room: Room, things: int = 0, coming: int = 0) -> None:
        room.tenants.append(self)
        self.room = room
        self.things = things
        self.coming = coming

    @property
    def size(self) -> int:
        """Ten for each."""
        return 10 * (self.things + self.coming)

    def evict(self) -> bool:
        """Let one go."""
        if not self.things:
            return False
        self.things -= 1
        return True


GIVING_WAY = {
    "nobody where it fits": (100, [5, 5], [5, 5]),
    "the larger one": (100, [8, 3], [7, 3]),
    "the larger one, wherever it stands": (100, [3, 8], [3, 7]),
    "both once they are as large": (60, [8, 3], [3, 3]),
    "each in turn": (40, [5, 5, 5], [1, 1, 2]),
    "all of them": (0, [5, 5], [0, 0]),
    "one alone has it all": (100, [12, 0], [10, 0]),
}


@pytest.mark.parametrize(("capacity", "before", "after"), GIVING_WAY.values(), ids=GIVING_WAY)
def test_who_has_the_most_gives_way(capacity, before, after):
    """As many as it takes, and no more."""
    room = Room(capacity)
    piles = [Pile(room, things) for things in before]
    room.make()

    assert [pile.things for pile in piles] == after


def test_a_smaller_room_is_made_at_once():
    """A larger one changes nothing."""
    room = Room(100)
    pile = Pile(room, 10)
    room.resize(200)
    assert pile.things == 10
    room.resize(45)
    assert (room.capacity, pile.things) == (45, 4)


def test_the_smaller_one_gives_way_where_the_larger_cannot():
    """What is still coming is nobody's to let go; it ends all the same."""
    room = Room(50)
    large, small = Pile(room, coming=4), Pile(room, 3)
    room.make()
    assert (large.coming, small.things) == (4, 1)
    room.resize(20)
    assert (large.coming, small.things) == (4, 0)


def test_the_sum_never_exceeds_the_capacity():
    """Whoever adds, and however much."""
    source = random.Random(7)
    room = Room(1000)
    piles = [Pile(room) for _ in range(3)]
    for _ in range(1000):
        source.choice(piles).things += source.randrange(30)
        before = {pile: pile.things for pile in piles}
        room.make()
        assert sum(pile.size for pile in piles) <= room.capacity
        for pile in piles:
            if pile.things < before[pile]:  # it was the largest when it gave way
                assert pile.size + 10 >= max(other.size for other in piles)


# The collector of cycles


class Knot:
    """What holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_kept_is_not_looked_at_again():
    """So many things later the collector leaves alone what is there, and what is gone is found."""
    room, kept, gone = Room(0), Knot(), weakref.ref(Knot())
    for _ in range(SETTLED):
        room.settle()

    assert gone() is None
    assert all(each is not kept for each in gc.get_objects())


def test_what_was_held_by_itself_is_found_in_the_end():
    """Where it was kept before it was let go: when memory runs out."""
    knot = Knot()
    gc.freeze()
    gone = weakref.ref(knot)
    del knot
    gc.collect()
    assert gone() is not None
    thaw()

    assert gone() is None
