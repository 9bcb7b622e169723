"""
What a worker tells of its stored answers to whoever asks why a URL is stored, or is not.

Laws: nothing of a client is told, no content, no cookie: what an operator could read in the
origin's own answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.http.freshness import current_age, remaining
from edge.site.keys import BETWEEN, TAG, label_of_target

if TYPE_CHECKING:
    from edge.node.shelf import Entry, Shelf

APP, URL = 0, 4
"""Places of an app and a URL in a key (`forward.Call.key`)."""


def tell_of(shelf: Shelf, app: str, url: str, now: float) -> dict[str, Any]:
    """What is stored of one URL of an origin, and why nothing is where nothing is."""
    entries = shelf.under(label_of_target(app, url))
    return {"stored": [tell(entry, now) for entry in entries], "reasons": reasons(shelf, app, url)}


def tell(entry: Entry, now: float) -> dict[str, Any]:
    """One stored answer."""
    stored = entry.stored
    return {
        "status": stored.status,
        "ttl": remaining(stored, now),
        "age": int(current_age(stored, now)),
        "lifetime": stored.lifetime.seconds,
        "stated_by": stored.lifetime.stated_by.decode(),
        "bytes": len(entry.content),
        "varies_by": [name.decode() for name in stored.vary],
        "tags": [each.removeprefix(TAG).decode("latin-1") for each in entry.labels
                 if each.startswith(TAG)],
    }  # fmt: skip


def reasons(shelf: Shelf, app: str, url: str) -> list[str]:
    """Why the last answers of one URL were not stored; looks at all that is remembered."""
    wanted = app.encode(), url.encode()
    found: dict[str, None] = {}
    for key, reason in shelf.marks.items():
        parts = key.split(BETWEEN)
        if reason is not None and (parts[APP], parts[URL]) == wanted:
            found[reason.value.decode()] = None
    return list(found)
