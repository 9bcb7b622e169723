"""What `edge logs` prints."""

from __future__ import annotations

import datetime as dt
import decimal
import json

import pytest

from edge import report_logs
from edge.site.logline import CSV_HEADER
from tests.support_logs import line


def printed(capfdbinary, form, *changes):
    """What comes out for lines."""
    batches = [[line(**each)[:-1] for each in changes], [], [b"broken"]]
    assert report_logs.lines(batches, form, is_live=True) == 0
    return capfdbinary.readouterr().out


def test_json_as_it_is(capfdbinary):
    """Line by line."""
    assert printed(capfdbinary, "json", {}, {}) == line() * 2 + b"\nbroken\n".removeprefix(b"\n")


def test_csv_and_combined(capfdbinary):
    """A header once; what cannot be read is left out."""
    found = printed(capfdbinary, "csv", {}, {})

    assert found.startswith(CSV_HEADER)
    assert found.count(b"\n") == 3
    assert printed(capfdbinary, "combined", {}).startswith(b"203.0.113.40 - - [26/Nov/2026")


def test_text(capfdbinary):
    """Time, status, method, address, duration, verdict, app and branch."""
    none = dict.fromkeys(("app", "branch", "cache", "query"))
    found = printed(
        capfdbinary,
        "text",
        {},
        {"status": 0, "complete": False, "method": "", "host": None, **none},
    )

    assert found.decode().splitlines() == [
        "2026-11-26 07:29:59.123  200  GET www.example.com/blog/a%20b?x=1  3.1ms  hit  shop/main",
        "2026-11-26 07:29:59.123  000  - /blog/a%20b  3.1ms (not sent whole)  -  -",
    ]


def test_nothing_a_client_sent_reaches_a_terminal(capfdbinary):
    """Escapes of terminals and ends of lines are shown as what they are."""
    found = printed(capfdbinary, "text", {"host": "\x1b[2J\n\x9b", "path": "/\x1b]0;x\x07\r\n"})

    assert found.count(b"\n") == 1
    assert found[:-1].decode().isprintable()


ROWS = [
    ("/a", 2, 0.125, dt.datetime(2026, 11, 26, 7, tzinfo=dt.UTC)),
    (None, 1, 1e9, None),
]
NAMES = ["path", "n", "mean", "last"]


def test_an_answer_as_a_table(capsys):
    """What is nothing is a dash."""
    assert report_logs.answer(NAMES, iter([ROWS[:1], ROWS[1:]]), "text") == 0
    out, err = capsys.readouterr()

    assert out.splitlines() == [
        "path  n  mean   last",
        "/a    2  0.125  2026-11-26 07:00:00+00:00",
        "-     1  1e+09  -",
    ]
    assert err == ""


def test_a_long_answer_is_cut_for_people(capsys):
    """And says so."""
    batches = ([(number,)] * 500 for number in range(10))
    report_logs.answer(["n"], batches, "text")
    out, err = capsys.readouterr()

    assert len(out.splitlines()) == 1001
    assert "more than these 1000 rows" in err


def test_an_answer_of_nothing(capsys):
    """A statement without columns."""
    assert report_logs.answer([], iter([]), "text") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [decimal.Decimal("1.5"), b"x"])
def test_an_answer_as_json(capsys, value):
    """An object a row; what JSON has not is text."""
    report_logs.answer([*NAMES, "more"], iter([[(*ROWS[0], value)]]), "json")
    found = json.loads(capsys.readouterr().out)

    assert found == {
        "path": "/a",
        "n": 2,
        "mean": 0.125,
        "last": "2026-11-26T07:00:00+00:00",
        "more": str(value),
    }


def test_an_answer_as_csv(capsys):
    """With its columns on top."""
    report_logs.answer(["a", "b"], iter([[('x,"y', 1)]]), "csv")

    assert capsys.readouterr().out == 'a,b\n"x,""y",1\n'


def test_trouble(capsys):
    """On stderr."""
    report_logs.trouble(0, [])
    assert capsys.readouterr().err == ""
    report_logs.trouble(2, ["x.gz: cut short"])
    assert capsys.readouterr().err == "edge: x.gz: cut short\nedge: 2 lines could not be read\n"
