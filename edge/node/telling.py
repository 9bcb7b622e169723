"""
What a worker tells of its stored answers to whoever asks why a URL is stored, or is not.

Laws: nothing of a client is told, no content, no cookie: what an operator could read in the
origin's own answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.http.freshness import current_age, remaining
from edge.site.keys import TAG, label_of_target

if TYPE_CHECKING:
    from edge.node.shelf import Entry, Shelf


def tell_of(shelf: Shelf, app: str, url: str, now: float) -> dict[str, Any]:
    """What is stored of one URL of an origin, and why nothing is where nothing is."""
    label = label_of_target(app, url)
    stored = [tell(entry, now) for entry in shelf.under(label)]
    return {"stored": stored, "reasons": [reason.value.decode() for reason in shelf.reasons(label)]}


def tell(entry: Entry, now: float) -> dict[str, Any]:
    """One stored answer."""
    stored = entry.stored
    return {
        "status": stored.status,
        "ttl": remaining(stored, now),
        "age": int(current_age(stored, now)),
        "lifetime": stored.lifetime.seconds,
        "stated_by": stored.lifetime.stated_by.decode(),
        "bytes": len(entry.content) + sum(len(content) for _, content in entry.parts),
        "varies_by": [name.decode() for name in stored.vary],
        "tags": [each.removeprefix(TAG).decode("latin-1") for each in entry.labels
                 if each.startswith(TAG)],
    }  # fmt: skip
