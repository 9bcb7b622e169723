"""What is stored of an origin's answers, in words."""

from __future__ import annotations

import pytest

from edge.control.stored import UNKNOWN, WHY, add_stored
from edge.http.caching import Reason
from edge.site.explain import Trail

STORED = {
    "status": 200, "ttl": 42, "age": 18, "lifetime": 60, "stated_by": "max-age", "bytes": 9,
    "varies_by": [], "tags": [],
}  # fmt: skip
NOTHING = {"stored": [], "reasons": []}


def told(*replies, keys=("https://o.test/x",)):
    """What is added to a trail."""
    asked = []

    def look(app, url):
        asked.append((app, url))
        return list(replies)

    trail = Trail(url="a.test/x", method="GET", app="shop", keys=list(keys))
    add_stored(trail, look)
    assert asked == [("shop", key) for key in keys]
    return trail.stored


SENTENCES = {
    "stored: 200 of 9 bytes, fresh for 42 s more (max-age=60, age 18 s)": {},
    "stored: 200 of 9 bytes, stale for 3 s (max-age=60, age 63 s)": {"ttl": -3, "age": 63},
    "stored: 404 of 9 bytes, stale for 0 s (none=0, age 0 s)": {
        "status": 404, "ttl": 0, "age": 0, "lifetime": 0, "stated_by": "none",
    },
    "stored: 200 of 9 bytes, fresh for 42 s more (max-age=60, age 18 s), "
    "varies by accept, cookie, tags a, b": {"varies_by": ["accept", "cookie"], "tags": ["a", "b"]},
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "different"), SENTENCES.items())
def test_what_is_stored(sentence, different):
    """One sentence for each variant, whichever worker has it."""
    other = {"stored": [STORED | different], "reasons": []}
    assert told(NOTHING, other) == [sentence]


def test_why_nothing_is_stored():
    """Each reason once; what is stored makes reasons of others beside the point."""
    reasons = {"stored": [], "reasons": ["private", "too-large"]}
    assert told(reasons, NOTHING, reasons) == [
        "not stored: its Cache-Control says private",
        "not stored: it is larger than cache.max_object",
    ]
    assert len(told(reasons, {"stored": [STORED], "reasons": []})) == 1


@pytest.mark.parametrize("replies", [(), (NOTHING, NOTHING)])
def test_nothing_is_known(replies):
    """No node runs, or nobody asked."""
    assert told(*replies) == [f"not stored: {UNKNOWN}"]


def test_files_are_no_answers_of_origins():
    """Nobody is asked about them."""
    assert told(NOTHING, keys=()) == []


def test_every_reason_that_is_remembered_has_words():
    """Those that say nothing about the answer are not remembered."""
    assert set(Reason) - set(WHY) == {Reason.COOKIE, Reason.OVERTAKEN, Reason.ELSEWHERE}
