"""What tests of stored answers share: entries and inquiries as they come to be, of plain values."""

from __future__ import annotations

from edge.http import caching, freshness, variants
from edge.http.caching import Policy
from edge.http.fields import FieldList, Line
from edge.node.inquiry import Inquiry
from edge.node.room import Room
from edge.node.shelf import Entry, Shelf

NOW = 1_750_000_000
POLICY = Policy()


def lines_of(*written: str) -> list[Line]:
    """Field lines, as `Name: value`."""
    pairs = (each.partition(":") for each in written)
    return [(name.strip().lower().encode(), value.strip().encode()) for name, _, value in pairs]


def asking(*written: str, **changes: object) -> Inquiry:
    """A GET for one page of one app, with these fields."""
    values = {
        "method": b"GET",
        "lines": [(b"host", b"o.test"), *lines_of(*written)],
        "urls": ("http://o.test/x",),
        "is_carried": False,
        "key": b"key",
        "app": "app",
        "branch": "main",
        "host": "a.test",
        "page": b"page a.test/x",
    }
    return Inquiry(**values | changes)  # type: ignore[arg-type]


def entry_of(
    content: bytes = b"hello",
    *written: str,
    key: bytes = b"key",
    status: int = 200,
    now: float = NOW,
    asked: Inquiry | None = None,
) -> Entry:
    """A stored answer; without a word about it, fresh for a minute."""
    lines = lines_of(*(written or ("Cache-Control: max-age=60",)))
    fields = FieldList(lines)
    directives = caching.response_directives(fields, POLICY.targeted)
    arrival = freshness.arrival_of(fields, now, now)
    stored = freshness.describe(status, fields, directives, arrival, POLICY)
    variant = variants.variant_key(stored.vary, (asked or asking()).fields) or b""
    lines.append((b"content-length", b"%d" % len(content)))
    return Entry(key, variant, stored, lines, content)


COST = entry_of().count()
LANGUAGE = ("Cache-Control: max-age=60", "Vary: Accept-Language")


def labelled(*labels: bytes, key: bytes = b"key", **options: object) -> Entry:
    """An entry with labels."""
    entry = entry_of(key=key, **options)  # type: ignore[arg-type]
    entry.labels = dict.fromkeys(labels)
    return entry


def variant(language: str, key: bytes = b"key", **options: object) -> Entry:
    """An entry for those who ask for a language."""
    asked = asking(f"Accept-Language: {language}")
    return entry_of(b"hello", *LANGUAGE, key=key, asked=asked, **options)  # type: ignore[arg-type]


def shelf_of(entries: float = 100) -> Shelf:
    """A shelf with room for so many of the simplest."""
    return Shelf(Room(int(entries * COST)))


def is_exact(shelf: Shelf) -> bool:
    """Whether every index has exactly what is stored."""
    stored = set(shelf._queue)
    in_slots = [entry for slot in shelf._slots.values() for entry in slot]
    labels = {label for entry in stored for label in entry.labels}
    return (
        shelf.size == sum(entry.cost for entry in stored) + shelf.coming
        and set(in_slots) == stored
        and len(in_slots) == len(stored) == len(shelf)
        and all(entry in shelf.variants(entry.key) for entry in stored)
        and shelf._labels.keys() == labels
        and all(set(under) <= stored for under in shelf._labels.values())
        and all(entry in shelf._labels[label] for entry in stored for label in entry.labels)
    )
