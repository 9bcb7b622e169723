"""Preconditions against the table of RFC 9110 §13.2.2, ranges against a plain set of positions."""

from __future__ import annotations

from email import message_from_bytes
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http import conditional
from edge.http.conditional import Precondition, evaluate, select_ranges
from edge.http.fields import FieldList

ETAG = b'"v1"'
SATURDAY = b"Sat, 05 Nov 1994 08:49:37 GMT"
SUNDAY = b"Sun, 06 Nov 1994 08:49:37 GMT"
MONDAY = b"Mon, 07 Nov 1994 08:49:37 GMT"
MODIFIED = 784_111_777  # SUNDAY

PROCEED, NOT_MODIFIED, FAILED = Precondition


def judge(
    method: bytes,
    *lines: tuple[bytes, bytes],
    etag: bytes = ETAG,
    last_modified: int | None = MODIFIED,
) -> Precondition:
    """The verdict on a request with these field lines."""
    return evaluate(method, FieldList(list(lines)), etag, last_modified)


# Preconditions


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE"])
def test_no_preconditions(method):
    """A request without preconditions proceeds."""
    assert judge(method, (b"host", b"a")) is PROCEED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"v1"', PROCEED),
        (b'"v0", "v1"', PROCEED),
        (b"*", PROCEED),
        (b'"v0"', FAILED),
        (b'W/"v1"', FAILED),
        (b"", FAILED),
        (b"v1", FAILED),
        (b'"v1" garbage', FAILED),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_if_match(method, value, expected):
    """If-Match compares strongly for every method; one that is not understood is false."""
    assert judge(method, (b"if-match", value)) is expected


def test_if_match_of_a_weak_representation():
    """No entity-tag matches a weak representation strongly, not even its own."""
    assert judge(b"GET", (b"if-match", b'W/"v1"'), etag=b'W/"v1"') is FAILED


@pytest.mark.parametrize(
    ("value", "reading", "writing"),
    [
        (b'"v1"', NOT_MODIFIED, FAILED),
        (b'W/"v1"', NOT_MODIFIED, FAILED),
        (b'"v0", W/"v1"', NOT_MODIFIED, FAILED),
        (b"*", NOT_MODIFIED, FAILED),
        (b'"v0"', PROCEED, PROCEED),
        (b"", PROCEED, PROCEED),
        (b"v1", PROCEED, FAILED),
        (b'"v1', PROCEED, FAILED),
    ],
)
def test_if_none_match(value, reading, writing):
    """If-None-Match compares weakly; when broken, reading is answered and writing refused."""
    verdicts = [judge(method, (b"if-none-match", value)) for method in (b"GET", b"HEAD", b"PUT")]

    assert verdicts == [reading, reading, writing]


@pytest.mark.parametrize("name", [b"if-match", b"if-none-match"])
def test_tags_on_several_lines_are_one_list(name):
    """Field lines of the same name are read as one list."""
    lines = [(name, b'"v0"'), (name, b'"v1"')]

    assert judge(b"GET", *lines) is (PROCEED if name == b"if-match" else NOT_MODIFIED)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(SATURDAY, FAILED), (SUNDAY, PROCEED), (MONDAY, PROCEED), (b"yesterday", PROCEED)],
)
@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_if_unmodified_since(method, value, expected):
    """If-Unmodified-Since fails for what changed later; an invalid date is ignored."""
    assert judge(method, (b"if-unmodified-since", value)) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SATURDAY, PROCEED),
        (SUNDAY, NOT_MODIFIED),
        (MONDAY, NOT_MODIFIED),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", NOT_MODIFIED),
        (b"0", PROCEED),
    ],
)
def test_if_modified_since(value, expected):
    """If-Modified-Since saves an answer to GET and HEAD and means nothing elsewhere."""
    verdicts = [
        judge(method, (b"if-modified-since", value)) for method in (b"GET", b"HEAD", b"PUT")
    ]

    assert verdicts == [expected, expected, PROCEED]


@pytest.mark.parametrize("name", [b"if-modified-since", b"if-unmodified-since"])
def test_a_date_given_twice_is_ignored(name):
    """Two dates are a list, which is no date."""
    good = SATURDAY if name == b"if-unmodified-since" else MONDAY

    assert judge(b"GET", (name, good)) is not PROCEED
    assert judge(b"GET", (name, good), (name, good)) is PROCEED


@pytest.mark.parametrize("name", [b"if-modified-since", b"if-unmodified-since"])
@pytest.mark.parametrize("value", [SATURDAY, MONDAY])
def test_unknown_modification_date(name, value):
    """Without a modification date, conditions on it are ignored."""
    assert judge(b"GET", (name, value), last_modified=None) is PROCEED


@pytest.mark.parametrize("method", [b"CONNECT", b"OPTIONS", b"TRACE"])
def test_methods_without_a_representation(method):
    """Methods that select no representation ignore all preconditions."""
    assert judge(method, (b"if-match", b'"v0"'), (b"if-none-match", b"*")) is PROCEED


@pytest.mark.parametrize(
    ("match", "unmodified", "none_match", "modified"),
    [
        *product(
            (None, b'"v1"', b'"v0"'),
            (None, SUNDAY, SATURDAY),
            (None, b'"v0"', b'"v1"'),
            (None, SATURDAY, SUNDAY),
        )
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT"])
def test_order_of_precedence(method, match, unmodified, none_match, modified):
    """All combinations of true, false and absent conditions follow the steps of §13.2.2."""
    names = (b"if-match", b"if-unmodified-since", b"if-none-match", b"if-modified-since")
    values = (match, unmodified, none_match, modified)
    lines = [(name, value) for name, value in zip(names, values, strict=True) if value]
    reading = method != b"PUT"
    if match == b'"v0"' or (match is None and unmodified == SATURDAY):
        expected = FAILED
    elif none_match == b'"v1"':
        expected = NOT_MODIFIED if reading else FAILED
    elif none_match is None and reading and modified == SUNDAY:
        expected = NOT_MODIFIED
    else:
        expected = PROCEED

    assert judge(method, *lines) is expected


@given(
    st.sampled_from([b"GET", b"PUT", b"OPTIONS"]),
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"]
            ),
            st.binary(max_size=40) | st.sampled_from([b"*", ETAG, SUNDAY]),
        )
    ),
)
def test_any_preconditions_have_a_verdict(method, lines):
    """No field value makes the evaluation raise, and only reading is answered 304."""
    verdict = judge(method, *lines)

    assert verdict is not NOT_MODIFIED or method == b"GET"


# Ranges


def ranges(
    value: bytes, length: int = 1000, if_range: bytes | None = None
) -> list[tuple[int, int]] | None:
    """The spans selected by a Range of a representation tagged ETAG."""
    lines = [(b"range", value)] + ([(b"if-range", if_range)] if if_range is not None else [])
    return select_ranges(FieldList(lines), ETAG, MODIFIED, length)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=500-999", [(500, 1000)]),
        (b"bytes=999-", [(999, 1000)]),
        (b"bytes=-500", [(500, 1000)]),
        (b"bytes=-5000", [(0, 1000)]),
        (b"bytes=0-", [(0, 1000)]),
        (b"bytes=900-5000", [(900, 1000)]),
        (b"BYTES=0-0", [(0, 1)]),
        (b"bytes=0-0,-1", [(0, 1), (999, 1000)]),
        (b"bytes=-1,0-0", [(999, 1000), (0, 1)]),
        (b"bytes= ,0-0 ,\t2-2,", [(0, 1), (2, 3)]),
        (b"bytes=0-9,10-19", [(0, 20)]),
        (b"bytes=0-9,5-19", [(0, 20)]),
        (b"bytes=0-9,11-19", [(0, 10), (11, 20)]),
        (b"bytes=500-509,0-9,505-519", [(500, 520), (0, 10)]),
        (b"bytes=500-509,0-9,490-499,10-10", [(490, 510), (0, 11)]),
        (b"bytes=0-99,10-19", [(0, 100)]),
        (b"bytes=0-9,5000-", [(0, 10)]),
        (b"bytes=000000000000000000000000-" + b"9" * 5000, [(0, 1000)]),
        (b"bytes=-" + b"9" * 100_000, [(0, 1000)]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_satisfiable_ranges(value, expected):
    """Ranges become spans inside the representation, merged, in the order asked."""
    assert ranges(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=1000-",
        b"bytes=5000-6000",
        b"bytes=-0",
        b"bytes=-0,1000-",
        b"bytes=" + b"9" * 100_000 + b"-",
    ],
    ids=lambda value: repr(value)[:40],
)
def test_unsatisfiable_ranges(value):
    """Ranges of which nothing exists select no span."""
    assert ranges(value) == []


def test_positions_of_eighteen_digits():
    """Positions are exact to eighteen digits, far beyond any file."""
    last = 10**18 - 1

    assert ranges(b"bytes=%d-" % last, length=10**18) == [(last, 10**18)]


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=-1", b"bytes=0-0,-5"])
def test_empty_representation(value):
    """An empty representation satisfies no range."""
    assert ranges(value, length=0) == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=--1",
        b"bytes=1",
        b"bytes=a-b",
        b"bytes=2-1",
        b"bytes=0-1,2-1",
        b"bytes=0-1,x",
        b"bytes=+0-1",
        b"bytes=0-1_0",
        b"bytes=0 -1",
        b"bytes =0-1",
        b"bytes=0-1\n",
        "bytes=٤-".encode(),
        b"bytes=0-1,bytes=2-3",
        b"items=0-1",
        b"0-1",
    ],
    ids=repr,
)
def test_ranges_not_understood(value):
    """What is malformed or in another unit is answered with the whole representation."""
    assert ranges(value) is None


def test_no_range():
    """Without Range the whole representation is the answer, whatever If-Range says."""
    assert select_ranges(FieldList([(b"if-range", ETAG)]), ETAG, MODIFIED, 10) is None


def test_range_given_twice():
    """Range is no list; two of them select the whole."""
    lines = [(b"range", b"bytes=0-1"), (b"range", b"bytes=2-3")]

    assert select_ranges(FieldList(lines), ETAG, MODIFIED, 10) is None


def test_sixteen_ranges_at_most():
    """Sixteen parts are served, seventeen are not; empty elements are no parts."""
    asked = [b"%d-%d" % (at, at) for at in range(0, 34, 2)]

    assert len(ranges(b"bytes=,," + b",".join(asked[:16])) or []) == 16
    assert ranges(b"bytes=" + b",".join(asked)) is None


def test_more_than_the_whole():
    """Several ranges asking for more bytes than there are select the whole."""
    assert ranges(b"bytes=0-,0-,0-") is None
    assert ranges(b"bytes=0-499,500-999") == [(0, 1000)]
    assert ranges(b"bytes=0-499,499-999") is None


@pytest.mark.parametrize(
    ("if_range", "holds"),
    [
        (ETAG, True),
        (SUNDAY, True),
        (b"Sun Nov  6 08:49:37 1994", True),
        (b'"v0"', False),
        (b'W/"v1"', False),
        (SATURDAY, False),
        (MONDAY, False),
        (b'"v0", "v1"', False),
        (b"*", False),
        (b"", False),
        (b"v1", False),
    ],
)
def test_if_range(if_range, holds):
    """A range is served when If-Range names exactly this representation."""
    assert ranges(b"bytes=0-1", if_range=if_range) == ([(0, 2)] if holds else None)


@pytest.mark.parametrize(
    ("lines", "etag", "last_modified"),
    [
        ([(b"if-range", b'W/"v1"')], b'W/"v1"', MODIFIED),
        ([(b"if-range", b"")], b"", MODIFIED),
        ([(b"if-range", SUNDAY)], ETAG, None),
        ([(b"if-range", b"never")], ETAG, None),
        ([(b"if-range", ETAG), (b"if-range", ETAG)], ETAG, MODIFIED),
    ],
    ids=["weak", "no-etag", "no-date", "no-date-invalid", "twice"],
)
def test_if_range_without_a_strong_validator(lines, etag, last_modified):
    """If-Range does not hold where nothing exact can be compared."""
    section = FieldList([(b"range", b"bytes=0-1"), *lines])

    assert select_ranges(section, etag, last_modified, 10) is None


def positions(spec: str, length: int) -> set[int] | None:
    """The positions one range-spec names, counted one by one; None when it is invalid."""
    first, dash, last = spec.partition("-")
    if not dash or not (first or last) or any(char not in "0123456789" for char in first + last):
        return None
    if not first:
        return {at for at in range(length) if at >= length - int(last)}
    if last and int(last) < int(first):
        return None
    return {at for at in range(length) if at >= int(first) and (not last or at <= int(last))}


def select_plainly(value: str, length: int) -> list[tuple[int, int]] | None:
    """What `select_ranges` promises, on sets of positions."""
    if not value.lower().startswith("bytes="):
        return None
    specs = [spec.strip(" ") for spec in value[6:].split(",") if spec.strip(" ")]
    named = [positions(spec, length) for spec in specs]
    asked = [some for some in named if some]
    if not 1 <= len(named) <= 16 or None in named:
        return None
    if len(asked) > 1 and sum(map(len, asked)) > length:
        return None
    wanted = {at for some in asked for at in some}
    starts = sorted(at for at in wanted if at - 1 not in wanted)
    stops = sorted(at + 1 for at in wanted if at + 1 not in wanted)
    spans = list(zip(starts, stops, strict=True))
    return sorted(
        spans,
        key=lambda span: next(
            place for place, some in enumerate(asked) if any(span[0] <= at < span[1] for at in some)
        ),
    )


NUMBER = st.just("") | st.integers(0, 70).map(str)
SPEC = st.builds("{}-{}".format, NUMBER, NUMBER)
NEARBY = st.builds(lambda at, more: f"{at}-{at + more}", st.integers(0, 60), st.integers(0, 5))
RANGE = st.lists(NEARBY | SPEC, max_size=18).map(",".join) | st.text("0123456789-, x", max_size=20)


@given(RANGE.map("bytes={}".format), st.integers(0, 64))
@example("bytes=9-9,1-1,5-5,2-4", 64)
@example("bytes=-0", 0)
def test_ranges_equal_plain_reading(value, length):
    """Any Range selects what counting positions one by one selects."""
    assert ranges(value.encode(), length) == select_plainly(value, length)


@given(st.lists(NEARBY, min_size=1, max_size=16).map(",".join), st.integers(0, 2**62))
def test_spans_are_inside_and_apart(value, length):
    """Spans lie in [0, length), are never empty, and neither overlap nor touch."""
    spans = ranges(b"bytes=" + value.encode(), length) or []

    assert all(0 <= start < stop <= length for start, stop in spans)
    assert all(one[1] < other[0] for one, other in pairwise(sorted(spans)))


@given(st.binary(), st.binary(), st.integers(0, 2**62))
def test_any_bytes_are_a_range_or_not(value, if_range, length):
    """No field value makes the selection raise."""
    for candidate in (value, b"bytes=" + value):
        assert isinstance(ranges(candidate, length, if_range), list | None)
        assert isinstance(ranges(candidate, length), list | None)


@pytest.mark.parametrize(
    "unit", [b"0-1,", b"9", b"-", b",", b" ", b"0-", b"1-1, ", b"\t,"], ids=repr
)
def test_hostile_ranges_return(unit):
    """100 KB of any repeated fragment is read in one pass."""
    assert ranges(b"bytes=" + unit * (100_000 // len(unit))) is None


# Partial answers


def test_content_range():
    """Content-Range gives the last position, not the one after it."""
    assert conditional.content_range(0, 500, 1234) == b"bytes 0-499/1234"
    assert conditional.unsatisfied_range(1234) == b"bytes */1234"


def test_multipart_body_is_as_in_the_rfc():
    """The layout around two spans gives the body of RFC 9110 §14.6, byte for byte."""
    spans = [(500, 505), (7000, 7003)]
    size, preambles, closing = conditional.multipart_layout(
        spans, b"application/pdf", 8000, b"THIS_STRING_SEPARATES"
    )
    body = preambles[0] + b"first" + preambles[1] + b"two" + closing

    assert body == (
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: application/pdf\r\n"
        b"Content-Range: bytes 500-504/8000\r\n"
        b"\r\n"
        b"first\r\n"
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: application/pdf\r\n"
        b"Content-Range: bytes 7000-7002/8000\r\n"
        b"\r\n"
        b"two\r\n"
        b"--THIS_STRING_SEPARATES--\r\n"
    )
    assert size == len(body)


@given(st.binary(min_size=1, max_size=200), RANGE, st.sampled_from([b"", b"text/plain"]))
def test_multipart_body_is_read_back(content, value, kind):
    """A MIME reader finds the spans, their ranges and the type; the length is exact."""
    content = content.replace(b"\r", b"r").replace(b"\n", b"n")  # the reader translates line ends
    spans = ranges(b"bytes=" + value.encode(), len(content)) or [(0, len(content))]
    size, preambles, closing = conditional.multipart_layout(spans, kind, len(content), b"edge-4f")
    parts = [content[start:stop] for start, stop in spans]
    body = b"".join(b for pair in zip(preambles, parts, strict=True) for b in pair) + closing
    head = b"Content-Type: multipart/byteranges; boundary=edge-4f\r\n\r\n"
    messages = message_from_bytes(head + body).get_payload()

    assert size == len(body)
    assert [part.get_payload(decode=True) for part in messages] == parts
    assert [part["content-range"].encode() for part in messages] == [
        conditional.content_range(*span, len(content)) for span in spans
    ]
    assert all(part["content-type"] == (kind.decode() or None) for part in messages)
