"""A stored answer as one client gets it: conditions, ranges, HEAD, and its Age."""

from __future__ import annotations

import email
import re

import pytest

from edge.http.cache_status import HIT, Forwarded, Handling
from edge.http.fields import format_http_date
from edge.node.presenting import present
from edge.node.shelf import Entry
from tests.support_store import NOW, asking, entry_of, lines_of

CONTENT = b"0123456789"
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
FRESH = "Cache-Control: max-age=60"
OWN = (FRESH, 'ETag: "a"', f"Last-Modified: {MODIFIED}", "Content-Type: text/plain", "X-A: b")


def told(entry: Entry, *fields: str, method: bytes = b"GET", now: float = NOW):
    """Status, fields and content of what a request gets."""
    supply = present(entry, asking(*fields, method=method), now, HIT)
    assert len(dict(supply.lines)) == len(supply.lines)
    return supply.status, dict(supply.lines), supply.content


ALL, SAME, NONE = (200, CONTENT), (304, None), (416, b"")


def part(start: int, stop: int) -> tuple[int, bytes]:
    """One part."""
    return 206, CONTENT[start:stop]


ASKED = {
    (): ALL,
    # Conditions
    ('If-None-Match: "a"',): SAME,
    ('If-None-Match: W/"a"',): SAME,
    ('If-None-Match: "b", "a"',): SAME,
    ('If-None-Match: "b"', 'If-None-Match: "a"'): SAME,
    ("If-None-Match: *",): SAME,
    ('If-None-Match: "b"',): ALL,
    ("If-None-Match: a",): ALL,
    (f"If-Modified-Since: {MODIFIED}",): SAME,
    (f"If-Modified-Since: {LATER}",): SAME,
    (f"If-Modified-Since: {EARLIER}",): ALL,
    ("If-Modified-Since: yesterday",): ALL,
    ('If-None-Match: "b"', f"If-Modified-Since: {MODIFIED}"): ALL,
    ('If-None-Match: "a"', f"If-Modified-Since: {EARLIER}"): SAME,
    # Ranges
    ("Range: bytes=2-4",): part(2, 5),
    ("Range: bytes=7-",): part(7, 10),
    ("Range: bytes=-3",): part(7, 10),
    ("Range: bytes=0-99",): part(0, 10),
    ("Range: bytes=1-2,2-4",): part(1, 5),
    ("Range: bytes=10-",): NONE,
    ("Range: bytes=-0",): NONE,
    ("Range: bytes=5-2",): ALL,
    ("Range: items=0-1",): ALL,
    ("Range: bytes=0-",): part(0, 10),
    ("Range: bytes=0-9,0-9",): ALL,
    # Ranges and conditions
    ("Range: bytes=2-4", 'If-Range: "a"'): part(2, 5),
    ("Range: bytes=2-4", 'If-Range: W/"a"'): ALL,
    ("Range: bytes=2-4", 'If-Range: "b"'): ALL,
    ("Range: bytes=2-4", f"If-Range: {MODIFIED}"): part(2, 5),
    ("Range: bytes=2-4", f"If-Range: {LATER}"): ALL,
    ("Range: bytes=99-", 'If-Range: "b"'): ALL,
    ("Range: bytes=2-4", 'If-None-Match: "a"'): SAME,
    ("Range: bytes=99-", 'If-None-Match: "a"'): SAME,
    ("Range: bytes=2-4", 'If-None-Match: "b"'): part(2, 5),
}


@pytest.mark.parametrize(("fields", "expected"), ASKED.items(), ids=str)
def test_conditions_and_ranges_are_decided_by_what_is_stored(fields, expected):
    """A hit is what its origin would have said (RFC 9111 §4.3.2; RFC 9110 §13.2, §14.2)."""
    status, lines, content = told(entry_of(CONTENT, *OWN), *fields)

    assert (status, content) == expected
    if content is not None:
        assert lines[b"content-length"] == b"%d" % len(content)
    assert (b"content-range" in lines) == (status in (206, 416))


@pytest.mark.parametrize("fields", ASKED, ids=str)
def test_head_is_get_without_content(fields):
    """But for ranges, which are GET's alone (RFC 9110 §14.2)."""
    entry = entry_of(CONTENT, *OWN)
    unranged = [each for each in fields if not each.startswith(("Range", "If-Range"))]
    status, lines, content = told(entry, *fields, method=b"HEAD")

    assert (status, lines) == told(entry, *unranged)[:2]
    assert content is None


def test_what_is_sent_has_the_stored_lines():
    """All of them, with the Age."""
    entry = entry_of(CONTENT, *OWN)

    assert told(entry)[1] == dict(lines_of(*OWN, "Content-Length: 10", "Age: 0"))


def test_304_has_no_word_about_the_content():
    """The client has it already (RFC 9110 §15.4.5)."""
    _, lines, _ = told(entry_of(CONTENT, *OWN), 'If-None-Match: "a"')
    kept = (each for each in OWN if not each.startswith("Content-"))

    assert lines == dict(lines_of(*kept, "Age: 0"))


def test_a_part_has_the_lines_of_the_whole():
    """But for its length, and where it is."""
    _, lines, _ = told(entry_of(CONTENT, *OWN), "Range: bytes=2-4")
    own = ("Content-Length: 3", "Content-Range: bytes 2-4/10", "Age: 0")

    assert lines == dict(lines_of(*OWN, *own))


def test_what_cannot_be_satisfied_says_how_much_there_is():
    """And nothing of the whole, which it is not."""
    _, lines, _ = told(entry_of(CONTENT, *OWN), "Range: bytes=10-")

    assert lines == dict(lines_of("Content-Range: bytes */10", "Content-Length: 0", "Age: 0"))


@pytest.mark.parametrize("kind", ["text/plain", ""])
def test_several_parts_are_one_answer(kind):
    """Each with its place and the type of the whole (RFC 9110 §15.3.7.2)."""
    own = [each for each in OWN if not each.startswith("Content-Type")]
    own += [f"Content-Type: {kind}"] if kind else []
    status, lines, content = told(entry_of(CONTENT, *own), "Range: bytes=0-1, -2, 4-5")
    message = email.message_from_bytes(
        b"Content-Type: " + lines[b"content-type"] + b"\r\n\r\n" + content
    )
    parts = [
        (each["content-range"], each["content-type"], each.get_payload())
        for each in message.get_payload()
    ]

    assert status == 206
    assert parts == [
        ("bytes 0-1/10", kind or None, "01"),
        ("bytes 8-9/10", kind or None, "89"),
        ("bytes 4-5/10", kind or None, "45"),
    ]
    assert lines[b"content-length"] == b"%d" % len(content)
    assert b"content-range" not in lines


def test_no_boundary_is_used_twice():
    """Whoever can foresee it could write it into the content."""
    entry = entry_of(CONTENT, *OWN)
    kinds = {told(entry, "Range: bytes=0-1, -2")[1][b"content-type"] for _ in range(9)}

    assert len(kinds) == 9
    assert all(
        re.fullmatch(rb"multipart/byteranges; boundary=[0-9a-f]{24}", kind) for kind in kinds
    )


@pytest.mark.parametrize("status", [203, 301, 404, 500])
def test_parts_are_of_a_200_alone(status):
    """Anything else is sent whole."""
    assert told(entry_of(CONTENT, *OWN, status=status), "Range: bytes=2-4")[::2] == (
        status,
        CONTENT,
    )


@pytest.mark.parametrize("status", [301, 404, 410, 500])
@pytest.mark.parametrize(
    "condition", ["If-None-Match: *", 'If-None-Match: "a"', f"If-Modified-Since: {LATER}"]
)
def test_an_error_page_is_nobodys_copy(status, condition):
    """Conditions are about what is there (RFC 9110 §13.2.1)."""
    assert told(entry_of(CONTENT, *OWN, status=status), condition)[::2] == (status, CONTENT)


WITHOUT = {
    ('If-None-Match: "a"',): 200,
    ("If-None-Match: *",): 304,
    (f"If-Modified-Since: {MODIFIED}",): 200,
    (f"If-Modified-Since: {format_http_date(NOW).decode()}",): 304,
    (f"If-Modified-Since: {format_http_date(NOW - 1).decode()}",): 200,
    ("Range: bytes=2-4", 'If-Range: "a"'): 200,
    ("Range: bytes=2-4", f"If-Range: {MODIFIED}"): 200,
    ("Range: bytes=2-4",): 206,
}


@pytest.mark.parametrize(("fields", "status"), WITHOUT.items(), ids=str)
def test_without_validators_the_date_is_one(fields, status):
    """When it was made; for ranges it is none (RFC 9111 §4.3.2)."""
    assert told(entry_of(CONTENT, FRESH), *fields)[0] == status


@pytest.mark.parametrize("condition", ['If-Match: "b"', f"If-Unmodified-Since: {EARLIER}"])
def test_what_only_an_origin_can_judge_is_not_judged(condition):
    """It does not make a hit an error (RFC 9111 §4.3.2)."""
    assert told(entry_of(CONTENT, *OWN), condition)[0] == 200


def test_an_empty_answer_has_no_parts():
    """No place in it exists."""
    assert told(entry_of(b"", *OWN), "Range: bytes=0-")[::2] == NONE
    assert told(entry_of(b"", *OWN))[::2] == (200, b"")


def test_204_has_no_content_and_no_length():
    """Not even one of zero (RFC 9110 §8.6)."""
    entry = entry_of(b"", *OWN, status=204)
    entry.lines = [line for line in entry.lines if line[0] != b"content-length"]
    supply = present(entry, asking(), NOW, HIT)

    assert (supply.status, supply.content) == (204, None)


AGES = {
    "just made": (("Date: @0",), 0, 0),
    "some time here": ((), 7, 7),
    "some time elsewhere": (("Age: 10",), 0, 10),
    "both": (("Age: 10",), 7, 17),
    "its date is older": (("Date: @-20", "Age: 10"), 7, 27),
    "a fraction of a second": ((), 7.9, 7),
    "a clock that was set back": (("Age: 10",), -5, 10),
}


@pytest.mark.parametrize(("lines", "later", "age"), AGES.values(), ids=AGES.keys())
@pytest.mark.parametrize("fields", [(), ('If-None-Match: "a"',), ("Range: bytes=0-1",)], ids=str)
def test_whatever_is_sent_has_its_age(lines, later, age, fields):
    """The origin's own is part of it, and is not sent beside it (RFC 9111 §5.1)."""
    dated = [re.sub("@(-?[0-9]+)", lambda m: date(int(m[1])), each) for each in lines]
    entry = entry_of(CONTENT, FRESH, 'ETag: "a"', *dated)
    entry.lines = [line for line in entry.lines if line[0] != b"age"]
    _, found, _ = told(entry, *fields, now=NOW + later)

    assert found[b"age"] == b"%d" % age


def date(later: int) -> str:
    """An HTTP-date near now."""
    return format_http_date(NOW + later).decode()


def test_nothing_is_changed_by_being_presented():
    """Lines that are added are added to a copy."""
    entry = entry_of(CONTENT, *OWN)
    before = list(entry.lines), entry.content, entry.stored
    for fields in ASKED:
        told(entry, *fields)

    assert (entry.lines, entry.content, entry.stored) == before


def test_what_is_told_about_it_is_told():
    """And which of the targets it came from."""
    entry = entry_of(CONTENT, *OWN)
    entry.number = 3
    supply = present(entry, asking(), NOW, Handling(forwarded=Forwarded.STALE, ttl=9))

    assert (supply.handling, supply.number) == (b"edge; fwd=stale; ttl=9", 3)
    assert (supply.reason, supply.trailers, supply.tunnel) == (b"", [], None)


@pytest.mark.parametrize(
    ("fields", "is_as_it_is"),
    [((), True), (('If-None-Match: "a"',), False), (("Range: bytes=0-1",), False)],
    ids=str,
)
def test_what_is_sent_as_it_is_stored_may_be_copied(fields, is_as_it_is):
    """A part, or a 304, is no answer to others."""
    entry = entry_of(CONTENT, *OWN)

    assert present(entry, asking(*fields), NOW, HIT).entry is (entry if is_as_it_is else None)
