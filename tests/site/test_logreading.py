"""Our own lines in other forms, read back."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.site.logline import CSV_HEADER, Entry, combined, csv_row, decode_entry
from edge.site.logreading import READERS, as_line, read_combined, read_row
from tests.support_logs import FULL, TIME, line

SECOND = TIME.replace(".123", ".000")
LOST = {"rule": None, "cache": None, "origin": None, "range": None, "complete": True}
CSV_LOST = {**LOST, "country": None, "app": None, "branch": None, "deployment": None}


def test_csv_comes_back():
    """All that it has columns for, times to the second and the millisecond."""
    found = read_row(csv_row(decode_entry(line())))

    assert found is not None
    assert msgspec.to_builtins(found) == {
        **FULL,
        **CSV_LOST,
        "time": SECOND,
        "ttfb": 0.001,
        "total": 0.003,
    }


def test_combined_comes_back():
    """What little it has."""
    found = read_combined(combined(decode_entry(line())))
    names = ("client", "method", "protocol", "path", "query", "status", "bytes_out", "referer")

    assert found == Entry(time=SECOND, user_agent="curl/8", **{name: FULL[name] for name in names})


def test_an_entry_of_little():
    """Nothing comes back as nothing, HTTP/2 as itself."""
    little = Entry(time=SECOND, protocol="HTTP/2", path="/", method="GET")

    assert read_row(csv_row(little)) == little
    assert read_combined(combined(little)) == little
    assert read_combined(combined(Entry(time=SECOND))) == Entry(time=SECOND)


def test_a_header_is_no_entry():
    """With its newline it is a row that is none: only lines without one are asked about."""
    assert read_row(CSV_HEADER.rstrip()) is None


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"x",
        b"a,b",
        b",".join([b"x"] * 33),
        b'- - - [26/Foo/2026:07:29:59 +0000] "-" 200 1 "-" "-"',
        b'- - - [26/Nov/2026:07:29:59 +0000] "GET /" 200 1 "-" "-"',
        b'- - - [26/Nov/2026:07:29:59 +0000] "-" 200 1 "-" "-',
    ],
)
def test_what_is_no_such_line_is_refused(form, bad):
    """By an error that readers expect."""
    with pytest.raises(ValueError, match=r".*"):
        READERS[form](bad)


TEXTS = st.text(st.characters(max_codepoint=255), max_size=20)


@given(
    TEXTS.filter(lambda text: "?" not in text and text != "-"),
    st.none() | TEXTS,
    TEXTS.filter(lambda t: t != "-"),
)
def test_whatever_bytes_come_back(path, query, agent):
    """But for an empty query, and a lone dash in combined, which are nothing there."""
    entry = Entry(time=SECOND, method="GET", path=path, query=query, user_agent=agent or None)
    row, text = read_row(csv_row(entry)), read_combined(combined(entry))

    assert (row.path, row.query, row.user_agent) == (path, query or None, agent or None)
    assert (text.path, text.query, text.user_agent) == (path, query, agent or None)


def test_an_entry_as_a_line():
    """As workers write it."""
    assert as_line(decode_entry(line())) + b"\n" == line()
    assert b"\\u00e9" in as_line(Entry(time=TIME, path="/é"))
    assert json.loads(as_line(Entry(time=TIME)))["complete"] is True
