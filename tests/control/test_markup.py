"""HTML of values: whatever they are, they stay text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.control.markup import (
    UNFIT,
    Html,
    escape,
    in_bytes,
    join,
    moment,
    number,
    percent,
    seconds,
    span,
    table,
    tag,
    value,
)
from tests.support_page import HOSTILE, Read


def test_text_is_escaped_and_markup_is_not():
    """By its type alone."""
    assert tag("p", "<b>", tag("i", "&")) == "<p>&lt;b&gt;<i>&amp;</i></p>"
    assert join("<", Html("<br>"), None, ["a", ["'"]]) == "&lt;<br>a&#x27;"


def test_attributes_are_quoted():
    """None and False leave one out, True has no value; a trailing underscore is Python's."""
    found = tag("input", class_='a"b', required=True, hidden=False, value=None, data_h=3)

    assert found == '<input class="a&quot;b" required data-h="3">'


def test_a_hostile_value_is_read_as_it_was_written():
    """In an attribute and as content; what no document may have is replaced."""
    read = Read(tag("p", value(HOSTILE), title=HOSTILE))
    fit = HOSTILE.replace("\x00", "\ufffd")

    assert [name for name, _ in read.elements] == ["p", "bdi"]
    assert read.elements[0][1] == {"title": fit}
    assert read.text == fit


@given(st.text())
def test_any_text_is_read_as_it_was_written(text):
    """Whatever it is made of, it makes no element and leaves no attribute."""
    read = Read(join(tag("p", text, title=text), text))
    fit = UNFIT.sub("\ufffd", text)

    assert read.elements == [("p", {"title": fit})]
    assert read.text == fit * 2


@pytest.mark.parametrize("text", ["\x00", "\x1b", "\x7f", "\x85", "\ud800", "\uffff"])
def test_what_no_document_may_have_is_replaced(text):
    """A lone surrogate could not even be sent."""
    assert escape(f"a{text}b").encode() == "a\ufffdb".encode()


def test_a_long_value_is_cut():
    """It is told that it was."""
    assert value("x" * 200, 10) == f"<bdi>{'x' * 10}…</bdi>"


def test_a_table_names_its_columns_and_rows():
    """For those who hear it: a caption, scopes; for phones, the head of each cell."""
    read = Read(table("Numbers", ("Name", "#Count"), [("a", "1")]))

    assert "Numbers" in read.text
    assert [each.get("scope") for each in read.all("th")] == ["col", "col", "row"]
    assert read.all("td") == [{"class": "n", "data-h": "Count"}]
    assert read.unbalanced == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (number(12345.4), "12,345"),
        (percent(0, 10), "0 %"),
        (percent(1, 3), "33.3 %"),
        (percent(10, 10), "100 %"),
        (percent(1, 0), "–"),
        (seconds(0.00042), "0.4 ms"),
        (seconds(0.0254), "25 ms"),
        (seconds(1.23), "1.2 s"),
        (seconds(0), "0 ms"),
        (in_bytes(12), "12 B"),
        (in_bytes(5 << 20), "5.0 MiB"),
        (in_bytes(3 << 40), "3.0 TiB"),
        (span(0.2), "now"),
        (span(59), "59 s"),
        (span(300), "5 min"),
        (span(7200), "2 h"),
        (span(62 * 86400), "62 days"),
    ],
)
def test_numbers_are_for_people(found, text):
    """Short, with a unit."""
    assert found == text


def test_a_moment_is_told_from_now():
    """And exactly for who points at it, or reads by program."""
    past = moment(1_000_000, 1_000_000 + 7200)
    exact = {"datetime": "1970-01-12T13:46:40Z", "title": "1970-01-12 13:46:40 UTC"}

    assert Read(past).all("time") == [exact]
    assert "2 h ago" in past
    assert ">in 2 h<" in moment(7200, 0)
    assert ">now<" in moment(0, 0)
