"""What a worker tells of its stored answers."""

from __future__ import annotations

from edge.http.caching import Policy, Reason, may_store
from edge.http.fields import FieldList
from edge.http.freshness import arrival_of, describe
from edge.node.room import Room
from edge.node.shelf import Entry, Shelf
from edge.node.telling import tell_of
from edge.site import keys

URL = "https://o.test/x?a"
NOW = 1_750_000_000


def key_of(app: str, url: str) -> bytes:
    """A key as `forward` makes it."""
    return keys.store_key(app.encode(), b"main", b"", b"http://a.test", url.encode(), b"a=secret")


def shelved(shelf: Shelf, app: str = "shop", url: str = URL, *, is_copy: bool = False) -> None:
    """Store an answer."""
    lines = [(b"cache-control", b"max-age=60"), (b"vary", b"accept"), (b"age", b"20")]
    fields = FieldList(lines)
    verdict = may_store(b"GET", FieldList([]), 200, fields, Policy())
    arrival = arrival_of(fields, NOW, NOW)
    stored = describe(200, fields, verdict.directives, arrival, Policy())
    entry = Entry(key_of(app, url), b"", stored, lines, b"hello")
    entry.labels = dict.fromkeys([keys.label_of_target(app, url), keys.label_of_tag(b"t\xe9")])
    entry.is_copy = is_copy
    assert shelf.put(entry)


def test_what_is_stored_of_a_url():
    """As of now; copies are told by their owner."""
    shelf = Shelf(Room(1 << 20))
    shelved(shelf)
    shelved(shelf, "other")
    shelved(shelf, url="https://o.test/y")
    shelved(shelf, url="https://o.test/z", is_copy=True)

    assert tell_of(shelf, "shop", URL, NOW + 10) == {
        "stored": [
            {
                "status": 200, "ttl": 30, "age": 30, "lifetime": 60, "stated_by": "max-age",
                "bytes": 5, "varies_by": ["accept"], "tags": ["t\xe9"],
            }
        ],
        "reasons": [],
    }  # fmt: skip
    assert tell_of(shelf, "shop", "https://o.test/z", NOW)["stored"] == []


def test_why_nothing_is_stored_of_a_url():
    """For any host and cookies, each reason once; what could be stored has none."""
    shelf = Shelf(Room(1 << 20))
    shelf.mark(key_of("shop", URL), keys.label_of_target("shop", URL), Reason.PRIVATE)
    shelf.mark(key_of("shop", URL) + b"2", keys.label_of_target("shop", URL), Reason.PRIVATE)
    shelf.mark(
        key_of("shop", "https://o.test/y"),
        keys.label_of_target("shop", "https://o.test/y"),
        Reason.NO_STORE,
    )
    shelf.mark(key_of("other", URL), keys.label_of_target("other", URL), Reason.NO_STORE)
    shelf.mark(
        key_of("shop", "https://o.test/z"), keys.label_of_target("shop", "https://o.test/z"), None
    )

    assert tell_of(shelf, "shop", URL, NOW) == {"stored": [], "reasons": ["private"]}
    assert tell_of(shelf, "shop", "https://o.test/z", NOW) == {"stored": [], "reasons": []}
