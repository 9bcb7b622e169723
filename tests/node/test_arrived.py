"""What came of a response: in its order, and counted."""

from __future__ import annotations

import pytest

from edge.http.heads import Head
from edge.http.http1_client import WHOLE, End
from edge.node.arrived import Arrived

HEAD = Head(200, [(b"a", b"b")], b"1.1")


def arrived(*events: object) -> Arrived:
    """What came, in this order."""
    found = Arrived()
    found.add(events)
    return found


def test_content_is_counted_until_it_is_taken():
    """What is put back counts again."""
    found = arrived(HEAD, b"hello", b"you")
    sizes = [found.size]
    for _ in range(2):
        event = found.take()
        sizes.append(found.size)
    found.put_back(event)

    assert (event, sizes, found.size, len(found)) == (b"hello", [8, 8, 3], 8, 2)
    assert [found.take() for _ in range(2)] == [b"hello", b"you"]


@pytest.mark.parametrize("pieces", [[], [b"one"], [b"one", b"", b"two"]])
def test_a_whole_response_is_taken_at_once(pieces):
    """Its pieces as one."""
    found = arrived(HEAD, *pieces, WHOLE)

    assert found.take_whole() == (HEAD, b"".join(pieces))
    assert (len(found), found.size) == (0, 0)


NOT_WHOLE = {
    "nothing": [],
    "a head": [HEAD],
    "no end": [HEAD, b"one"],
    "trailers": [HEAD, b"one", End([(b"a", b"b")])],
    "an interim one": [Head(103, [], b"1.1"), HEAD, b"one", WHOLE],
    "two heads": [HEAD, HEAD, WHOLE],
    "two heads and content": [HEAD, HEAD, b"one", WHOLE],
    "no head": [b"one", WHOLE],
}


@pytest.mark.parametrize("events", NOT_WHOLE.values(), ids=NOT_WHOLE.keys())
def test_what_is_not_whole_is_left_as_it_is(events):
    """For whoever takes it piece by piece."""
    found = arrived(*events)

    assert found.take_whole() is None
    assert [found.take() for _ in range(len(found))] == events
