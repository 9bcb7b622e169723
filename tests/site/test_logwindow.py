"""Windows of time, and what lines have to be."""

from __future__ import annotations

import re

import pytest

from edge.errors import EdgeError
from edge.site.logline import Entry, decode_entry
from edge.site.logwindow import (
    HEAD,
    TIME,
    Filter,
    Window,
    host_of,
    parse_host,
    parse_moment,
    parse_statuses,
    stamp_of,
)
from tests.support_logs import TIME as NOW
from tests.support_logs import line

SECOND = 1_795_678_199.123
"""`NOW`."""


def test_times_compare_as_lines_have_them():
    """To the millisecond."""
    assert stamp_of(SECOND) == NOW.encode()
    assert stamp_of(SECOND + 0.001) > stamp_of(SECOND)
    assert line().startswith(HEAD)
    assert line()[TIME] == NOW.encode()


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("30m", SECOND - 1800),
        ("2h", SECOND - 7200),
        ("0", SECOND),
        ("99999999d", 0),
        ("2026-11-26T07:29:59.123Z", SECOND),
        ("2026-11-26T07:29:59.123", SECOND),
        ("2026-11-26 08:29:59.123+01:00", SECOND),
        ("2026-11-26", 1_795_651_200),
        ("1969-01-01", 0),
    ],
)
def test_moments(text, epoch):
    """So long ago, or a date; without a zone it is UTC."""
    assert parse_moment(text, SECOND) == pytest.approx(epoch, abs=1e-6)


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "2026-13-01", "7", "-2h", "2 weeks"])
def test_what_is_no_time_is_refused(text):
    """With what to write."""
    with pytest.raises(EdgeError, match=re.escape("is no time: write 2h, 30m, 2026-11-26T07:30")):
        parse_moment(text, SECOND)


def test_a_window():
    """From its first instant on, until before its last."""
    window = Window(first=SECOND, last=SECOND + 1)

    assert window.first_stamp == NOW.encode()
    assert window.last_stamp == b"2026-11-26T07:30:00.123Z"
    assert window.enough == b"2026-11-27T07:30:00.123Z"


def test_a_window_without_ends():
    """Has every line in it."""
    everything = Window()

    assert everything.first_stamp < NOW.encode() < everything.last_stamp == everything.enough
    assert everything.first_stamp > b""


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"app": "shop"}, True),
        ({"app": "sho"}, False),
        ({"app": "shop", "branch": "main"}, True),
        ({"app": "shop", "branch": "dev"}, False),
        ({"host": "www.example.com"}, True),
        ({"host": "example.com"}, False),
        ({"host": "example.org"}, False),
        ({"statuses": ("5xx", "404")}, True),
        ({"statuses": ("4xx",)}, True),
        ({"statuses": ("40",)}, False),
        ({"statuses": ("200", "5xx")}, False),
        ({"statuses": ("0",)}, False),
    ],
)
def test_filters(wanted, fits):
    """What fits passes both looks; the quick one may let more pass."""
    found = Filter(**wanted)
    one = line(status=404, host="WWW.Example.com:443")

    assert found.fits(decode_entry(one)) == fits
    assert found.may_be(one) or not fits
    assert found.is_open == (wanted == {})


def test_the_quick_look_reads_little():
    """Bytes that a line does not have."""
    assert not Filter(app="other").may_be(line())
    assert not Filter(host="other.example").may_be(line())
    assert not Filter(statuses=("5xx", "404")).may_be(line())
    assert Filter(statuses=("0",)).may_be(line(status=0))


def test_hosts():
    """Canonical, whoever wrote them."""
    assert parse_host("WWW.Example.COM:80") == "www.example.com"
    assert host_of(Entry(time=NOW, host="a b")) is None
    assert host_of(Entry(time=NOW)) is None
    with pytest.raises(EdgeError, match="'a b' is no host"):
        parse_host("a b")


def test_statuses():
    """One or several."""
    assert parse_statuses("404,5XX,0") == ("404", "5xx", "0")
    for text in ("", "5x", "604", "404;5xx", "error"):
        with pytest.raises(EdgeError, match="is no status: write 404, 5xx or 4xx,5xx"):
            parse_statuses(text)
