"""Stored responses: bounded by bytes, second chance, and exact accounts."""

from __future__ import annotations

import random

import pytest

from edge.http.message import finish_head
from edge.node.cache import JOIN_BELOW, OVERHEAD, SECOND_CHANCES, Cache, Stored
from edge.node.clock import Clock
from edge.node.room import Room
from edge.site.envelope import BARE, Envelope, Sharing
from edge.site.manifest import Asset, Entry, Header

HEADER = Header(id="d", app="a", branch="b", label="b", created=0.0)
KEY = (b"identity", 200, Envelope((), Sharing.ALL, lifetime=600, cap=600))


def make(
    size: int = 100, key: tuple[bytes, int, Envelope] = KEY, asset: Asset | None = None
) -> Stored:
    """A stored response of `size` bytes."""
    asset = asset or Asset(Entry("a", "ab" * 32, size, "text/plain", {}), HEADER)
    stored = Stored(asset, key, size, b'"e"')
    stored.content = bytes(size)
    stored.head = finish_head(200, [(b"Content-Length", b"%d" % size)])
    return stored


def remembered(cache: Cache, stored: Stored) -> bool:
    """Whether it can be hit and is accounted for."""
    return stored.asset.stored.get(stored.key) is stored and stored in cache._queue


COST = make().cost


def test_a_stored_response_hangs_on_its_asset():
    """What is added is found on the asset and counted with its overhead."""
    cache = Cache(Room(10 * COST))
    stored = make()
    assert cache.add(stored)
    assert remembered(cache, stored)
    assert (cache.size, len(cache)) == (COST, 1)


@pytest.mark.parametrize("size", [0, 1, JOIN_BELOW - 1, JOIN_BELOW, 10 * JOIN_BELOW])
def test_the_cost_covers_what_is_held(size):
    """The content, and what is made of its head once a second."""
    stored = make(size)
    clock = Clock()
    stored.store(clock.epoch)
    assert stored.look.renew(clock)
    held = len(stored.content) + len(stored.look.opening)
    assert held <= stored.cost <= OVERHEAD + held


def test_the_capacity_is_never_exceeded():
    """However much is added, the sum of bytes stays under the bound, and the oldest went."""
    cache = Cache(Room(3 * COST))
    added = [make() for _ in range(10)]
    for stored in added:
        cache.add(stored)
        assert cache.size <= cache.room.capacity
    assert [remembered(cache, stored) for stored in added] == [False] * 7 + [True] * 3


def test_what_was_used_gets_a_second_chance():
    """A hit saves a response from the next eviction, once."""
    cache = Cache(Room(3 * COST))
    first, second, third, fourth, fifth = (make() for _ in range(5))
    for stored in (first, second, third):
        cache.add(stored)
    first.use()
    cache.add(fourth)
    assert remembered(cache, first)
    assert not remembered(cache, second)
    for stored in (fifth, make()):
        cache.add(stored)
        assert remembered(cache, first)
    cache.add(make())
    assert not remembered(cache, first)


def test_an_eviction_ends_though_all_were_used():
    """With everything in use something goes all the same, after a bounded look."""
    cache = Cache(Room(4 * SECOND_CHANCES * COST))
    added = [make() for _ in range(4 * SECOND_CHANCES)]
    for stored in added:
        cache.add(stored)
        stored.use()
    cache.add(make())
    assert cache.size <= cache.room.capacity
    assert sum(not stored.was_used() for stored in added) == SECOND_CHANCES
    assert len(cache) == len(added)


def test_what_can_never_fit_is_not_stored():
    """A response larger than the cache leaves what is there alone."""
    cache = Cache(Room(3 * COST))
    kept = make()
    cache.add(kept)
    giant = make(4 * COST)
    assert not cache.add(giant)
    assert not giant.asset.stored
    assert remembered(cache, kept)
    assert cache.size == COST


def test_two_that_missed_at_once_are_counted_once():
    """The second copy of a response takes the place of the first."""
    cache = Cache(Room(10 * COST))
    first = make()
    second = make(asset=first.asset)
    cache.add(first)
    cache.add(second)
    assert remembered(cache, second)
    assert (cache.size, len(cache)) == (COST, 1)


def test_variants_are_stored_side_by_side():
    """Coding, status and envelope tell responses of one asset apart, and a drop takes them all."""
    cache = Cache(Room(10 * COST))
    first = make()
    others = [
        make(key=key, asset=first.asset) for key in ((b"br", 200, KEY[2]), (b"br", 404, BARE))
    ]
    for stored in (first, *others):
        cache.add(stored)
    assert len(cache) == 3
    assert cache.drop([first.asset]) == 3
    assert (cache.size, len(cache), first.asset.stored) == (0, 0, {})


def test_a_drop_leaves_nothing_in_the_queue():
    """Over a thousand deploys nothing piles up: what is dropped is gone at once."""
    cache = Cache(Room(100 * COST))
    for _ in range(1000):
        batch = [make() for _ in range(5)]
        for stored in batch:
            cache.add(stored)
        assert cache.drop(stored.asset for stored in batch) == 5
        assert (cache.size, len(cache)) == (0, 0)


def test_clear_forgets_everything():
    """A purge says how many there were and leaves an empty, working cache."""
    cache = Cache(Room(10 * COST))
    added = [make() for _ in range(4)]
    for stored in added:
        cache.add(stored)
    assert cache.clear() == 4
    assert not any(stored.asset.stored for stored in added)
    assert cache.clear() == 0
    assert cache.add(added[0])
    assert cache.size == COST


def test_a_smaller_capacity_counts_at_once():
    """When the operator lowers the bound, responses go without waiting for the next addition."""
    cache = Cache(Room(10 * COST))
    for _ in range(10):
        cache.add(make())
    cache.room.resize(4 * COST)
    assert (cache.size, len(cache)) == (4 * COST, 4)
    cache.room.resize(0)
    assert (cache.size, len(cache)) == (0, 0)


def test_the_accounts_stay_exact():
    """Whatever happens in whatever order, `size` is the sum of what is stored."""
    source = random.Random(7)
    cache = Cache(Room(50 * COST))
    assets = [make().asset for _ in range(30)]
    keys = [(coding, *KEY[1:]) for coding in (b"identity", b"br", b"gzip")]
    for _ in range(3000):
        match source.randrange(10):
            case 0:
                cache.drop(source.choices(assets, k=3))
            case 1:
                cache.room.resize(source.randrange(60) * COST)
            case _:
                stored = make(source.randrange(9000), source.choice(keys), source.choice(assets))
                if source.random() < 0.5:
                    stored.use()
                cache.add(stored)
        found = [stored for asset in assets for stored in asset.stored.values()]
        assert cache.size == sum(stored.cost for stored in found) <= cache.room.capacity
        assert set(cache._queue) == set(found)
