"""Stored answers of origins: found by key and variant, every bound kept, all of it counted."""

from __future__ import annotations

import sys

import pytest

from edge.http.cache_status import HIT
from edge.http.caching import Reason
from edge.node import shelf as module
from edge.node.cache import JOIN_BELOW
from edge.node.presenting import present
from edge.node.shelf import MAX_PAGES, MAX_VARIANTS, OVERHEAD
from tests.support_store import COST, NOW, asking, entry_of, is_exact, labelled, shelf_of, variant

# Finding


def test_what_is_stored_is_found_by_its_key():
    """And counted."""
    shelf, entry = shelf_of(), labelled(b"app a")
    assert shelf.put(entry)

    assert shelf.select(asking()) is entry
    assert shelf.select(asking(key=b"other")) is None
    assert (shelf.size, len(shelf), shelf.has(entry)) == (entry.cost, 1, True)
    assert is_exact(shelf)


def test_a_request_selects_what_its_vary_names():
    """What another one stated is nothing for it."""
    shelf = shelf_of()
    german, french = variant("de"), variant("fr")
    shelf.put(german)
    shelf.put(french)

    assert shelf.select(asking("Accept-Language: de")) is german
    assert shelf.select(asking("Accept-Language: fr")) is french
    assert shelf.select(asking("Accept-Language: en")) is None
    assert shelf.select(asking()) is None
    assert shelf.variants(b"key") == [german, french]


def test_the_most_recent_of_those_that_fit_is_selected():
    """By its Date, wherever it stands (RFC 9111 §4.1)."""
    shelf = shelf_of()
    new, old = variant("de", now=NOW), entry_of(now=NOW - 1)
    for entry in (new, old):
        shelf.put(entry)
    asked = asking("Accept-Language: de")
    assert shelf.select(asked) is new
    shelf.remove(old)
    old = entry_of(now=NOW + 1)
    shelf.put(old)
    assert shelf.select(asked) is old


def test_what_is_selected_counts_as_used():
    """And nothing else does."""
    shelf = shelf_of()
    german, french = variant("de"), variant("fr")
    shelf.put(german)
    shelf.put(french)
    shelf.select(asking("Accept-Language: de"))

    assert (german.was_used(), french.was_used()) == (True, False)


# Storing


def test_an_answer_takes_the_place_of_its_variant():
    """The labels of the old one lead nowhere any more."""
    shelf = shelf_of()
    shelf.put(labelled(b"tag old", b"app a"))
    other = variant("de")
    shelf.put(other)
    new = labelled(b"tag new", b"app a")
    assert shelf.put(new)

    assert (len(shelf), set(shelf.variants(b"key"))) == (2, {new, other})
    assert shelf.drop([b"tag old"], NOW) == 0
    assert is_exact(shelf)


def test_what_can_never_fit_is_not_stored():
    """What it would have replaced is outdated all the same."""
    shelf = shelf_of(3)
    kept, old = labelled(key=b"kept"), labelled(b"app a")
    shelf.put(kept)
    shelf.put(old)
    assert not shelf.put(entry_of(bytes(4 * COST)))

    assert (shelf.has(kept), shelf.has(old), len(shelf)) == (True, False, 1)
    assert is_exact(shelf)


def test_a_key_has_so_many_variants_and_no_more():
    """The oldest goes; other keys keep theirs."""
    shelf = shelf_of(1000)
    other = entry_of(key=b"other")
    shelf.put(other)
    added = [variant(f"x-{number}") for number in range(MAX_VARIANTS + 3)]
    for entry in added:
        assert shelf.put(entry)
        assert len(shelf.variants(b"key")) <= MAX_VARIANTS

    assert shelf.variants(b"key") == added[3:]
    assert shelf.has(other)
    assert is_exact(shelf)


@pytest.mark.parametrize("size", [0, 1, JOIN_BELOW - 1, JOIN_BELOW, 10 * JOIN_BELOW])
def test_the_cost_covers_the_content(size):
    """Once: it is joined to a head only on its way out."""
    held = size

    assert held + OVERHEAD <= entry_of(bytes(size)).count() <= held + OVERHEAD + COST


@pytest.mark.parametrize("what", ["label", "line", "key"])
def test_the_cost_covers_what_an_answer_brings_beside_its_content(what):
    """Tags, fields and addresses are as long as their origin or a client makes them."""
    long = b"x" * 10_000
    entry = entry_of(key=long if what == "key" else b"key")
    if what == "label":
        entry.labels[long] = None
    if what == "line":
        entry.lines.append((b"x-a", long))

    assert entry.count() - COST >= len(long) - len(b"key")


def test_the_overhead_is_not_less_than_what_an_answer_takes():
    """Of the objects that Python can measure."""
    entry = labelled(b"app a", b"branch a main", b"host a.test", b"target a x", b"page a.test/x")
    present(entry, asking(), NOW, HIT)
    parts = [entry, entry.stored, entry.stored.lifetime, entry.stored.staleness, entry.labels,
             entry.lines, entry.dressed, *entry.labels, *entry.lines]  # fmt: skip

    assert sum(map(sys.getsizeof, parts)) < OVERHEAD


# Pages


def test_an_answer_is_found_by_every_page_that_it_was_sent_for():
    """Each once."""
    shelf, entry = shelf_of(), labelled(b"app a")
    shelf.put(entry)
    for page in (b"page 1", b"page 2", b"page 1"):
        shelf.name_page(entry, page, b"pages")
    assert (entry.pages, list(entry.labels)) == (2, [b"app a", b"page 1", b"page 2"])
    assert is_exact(shelf)

    assert shelf.drop([b"page 2"], NOW) == 1
    assert is_exact(shelf)


def test_with_too_many_pages_any_of_them_finds_it():
    """Those that are counted still do; the index stays bounded."""
    shelf, entry = shelf_of(), entry_of()
    shelf.put(entry)
    for number in range(MAX_PAGES + 5):
        shelf.name_page(entry, b"page %d" % number, b"pages")

    assert len(entry.labels) == MAX_PAGES + 1
    assert list(entry.labels)[-2:] == [b"page %d" % (MAX_PAGES - 1), b"pages"]
    assert is_exact(shelf)
    assert shelf.drop([b"pages"], NOW) == 1


def test_pages_are_counted():
    """Their addresses are as long as clients make them."""
    shelf, entry = shelf_of(1000), entry_of()
    shelf.put(entry)
    for number in range(MAX_PAGES):
        shelf.name_page(entry, b"page %d " % number + b"x" * 8000, b"pages")

    assert shelf.size >= 8000 * MAX_PAGES
    assert is_exact(shelf)


def test_what_is_gone_has_no_more_pages():
    """Nothing would ever take them out of the index; counting one may have made it go."""
    shelf, entry = shelf_of(1.5), entry_of()
    shelf.put(entry)
    for number in range(3):
        shelf.name_page(entry, b"page %d" % number + b"x" * 8000, b"pages")

    assert not shelf.has(entry)
    assert is_exact(shelf)
    assert (shelf.size, shelf._labels) == (0, {})


# Marks


def test_why_nothing_is_stored_is_remembered(monkeypatch):
    """Of so many keys and no more: the first ones are forgotten."""
    monkeypatch.setattr(module, "MAX_MARKS", 3)
    shelf = shelf_of()
    for number in range(5):
        shelf.mark(b"%d" % number, b"target", Reason.PRIVATE)
    assert [shelf.knows(b"%d" % number) for number in range(5)] == [False] * 2 + [True] * 3
    shelf.mark(b"2", b"other", None)
    assert [shelf.reason(b"%d" % number) for number in (2, 3)] == [None, Reason.PRIVATE]
    assert shelf.reasons(b"target") == [Reason.PRIVATE]
    assert shelf.reasons(b"other") == []
    shelf.unmark(b"3")
    assert not shelf.knows(b"3")


def test_what_may_end_a_reason_not_to_ask_is_a_turn():
    """Whoever keeps one looks again then; what only takes away is none."""
    shelf, turns = shelf_of(), []
    shelf.mark(b"1", b"target", Reason.PRIVATE)
    changes = (
        lambda: shelf.mark(b"1", b"target", None),
        lambda: shelf.unmark(b"1"),
        lambda: shelf.put(labelled(b"app a")),
        lambda: shelf.clear(0.0),
        shelf.forget_reasons,
    )
    for change in changes:
        turns.append(shelf.turns)
        change()

    assert turns == sorted({*turns, shelf.turns})[:-1]


def test_dropping_everything_forgets_that_too():
    """Dropping something does not."""
    shelf = shelf_of()
    shelf.mark(b"key", b"target", Reason.PRIVATE)
    shelf.drop([b"key key"], NOW)
    assert shelf.knows(b"key")
    shelf.clear(NOW)
    assert not shelf.knows(b"key")


# Answers that are still coming


def test_what_is_coming_takes_room():
    """What is stored gives way to it; half of all is the most."""
    shelf = shelf_of(4)
    for number in range(4):
        shelf.put(entry_of(key=b"%03d" % number))
    assert shelf.reserve(COST)
    assert (len(shelf), shelf.size, shelf.coming) == (3, 4 * COST, COST)
    assert shelf.reserve(COST)
    assert not shelf.reserve(1)
    assert (len(shelf), shelf.size, shelf.coming) == (2, 4 * COST, 2 * COST)
    shelf.give_back(2 * COST)
    assert (len(shelf), shelf.size, shelf.coming) == (2, 2 * COST, 0)


def test_what_is_stored_has_the_room_that_is_left():
    """Beside what is coming."""
    shelf = shelf_of(4)
    shelf.reserve(2 * COST)
    for number in range(4):
        shelf.put(entry_of(key=b"%03d" % number))

    assert (len(shelf), shelf.size) == (2, 4 * COST)
