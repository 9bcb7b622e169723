"""Lines of the access log, as combined and as CSV."""

from __future__ import annotations

import csv
import json
import re
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.site.logline import COLUMNS, CSV_HEADER, Entry, combined, csv_row, decode_entry
from tests.support_logs import FULL, TIME, line


def entry(**changes):
    """An entry, by its line."""
    return decode_entry(line(**changes))


def row(**changes):
    """The cells of its row, by column."""
    text = csv_row(entry(**changes)).decode()
    cells = text.removesuffix("\n").split(",")
    assert len(cells) == len(COLUMNS) == 33
    assert next(csv.reader([text])) == cells
    return dict(zip(COLUMNS, cells, strict=True))


def test_a_line_has_these_keys_in_this_order():
    """Other people's programs read them."""
    assert list(Entry.__struct_fields__) == list(FULL)
    assert msgspec.to_builtins(entry()) == FULL


def test_a_line_of_another_version_is_read():
    """What is new is passed over, what is missing is nothing."""
    found = decode_entry(b'{"time":"2026-11-26T07:29:59.123Z","new":[1]}')

    assert found == Entry(time=TIME)
    assert combined(found) == b'- - - [26/Nov/2026:07:29:59 +0000] "-" 000 0 "-" "-"\n'
    assert csv_row(found).count(b",-") == 23


@pytest.mark.parametrize("bad", [b"", b"x", b"[]", b"{}", b'{"time":1}', b'{"time":"\xff"}'])
def test_what_is_no_line_is_refused(bad):
    """By errors that readers expect."""
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        decode_entry(bad)


def test_combined():
    """As Apache's."""
    assert combined(entry()) == (
        b'203.0.113.40 - - [26/Nov/2026:07:29:59 +0000] "GET /blog/a%20b?x=1 HTTP/1.1" 200 6110 '
        b'"https://example.org/" "curl/8"\n'
    )
    assert b'"GET /? HTTP' in combined(entry(path="/", query=""))
    assert b'"GET / HTTP' in combined(entry(path="/", query=None))


def test_combined_escapes_what_would_break_the_line():
    """Quotes and backslashes by a backslash, other bytes by their number."""
    found = combined(
        entry(path='/a"\\', query="b c\xe9", user_agent='x" 1\n\x7f\xff ü', referer="")
    )

    assert b'"GET /a\\"\\\\?b\\x20c\\xe9 HTTP/1.1"' in found
    assert found.endswith(b' "-" "x\\" 1\\x0a\\x7f\\xff \\xfc"\n')
    assert b"\\xe2\\x82\\xac" in combined(entry(path="/\u20ac"))


@pytest.mark.parametrize("unread", ["", "-"])
def test_what_nobody_could_read(unread):
    """Is nothing in either form."""
    changes = {"method": unread, "path": unread, "query": None, "status": 400}
    found = row(**changes)

    assert found["cs-method"] == found["cs-uri-stem"] == "-"
    assert b'+0000] "-" 400 ' in combined(entry(**changes))


def test_csv_has_the_33_columns():
    """In the order that scripts know."""
    assert CSV_HEADER.decode() == ",".join(COLUMNS) + "\n"
    assert ",".join(row().values()) == (
        "2026-11-26,07:29:59,EDGE,6110,203.0.113.40,GET,www.example.com,/blog/a%2520b,200,"
        "https://example.org/,curl/8,x=1,-,Hit,01J5EXAMPLE,www.example.com,https,827,0.003,-,"
        "TLSv1.3,TLS_AES_128_GCM_SHA256,Hit,HTTP/1.1,-,-,50122,0.001,Hit,text/html,5800,-,-"
    )


def test_csv_of_what_has_little():
    """`-` for nothing, 000 for who went before an answer."""
    nothing = {
        key: None for key, value in FULL.items() if key in ("query", "referer", "tls", "type")
    }
    found = row(status=0, ttfb=None, length=None, port=None, protocol="HTTP/2", **nothing)

    assert found["sc-status"] == "000"
    assert found["cs-protocol-version"] == "HTTP/2.0"
    for column in ("cs-uri-query", "cs(Referer)", "ssl-protocol", "sc-content-type", "c-port"):
        assert found[column] == "-"
    assert found["time-to-first-byte"] == found["sc-content-len"] == "-"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a,b", "a%2Cb"),
        ('"quoted"', "%22quoted%22"),
        ("50%", "50%25"),
        ("back\\slash", "back%5Cslash"),
        ("two words", "two%20words"),
        ("line\r\nbreak", "line%0D%0Abreak"),
        ("\xe9", "%E9"),
        ("€", "%E2%82%AC"),
        ("=1+1", "%3D1+1"),
        ("@SUM(A1)", "%40SUM(A1)"),
        ("+1", "%2B1"),
        ("-", "%2D"),
        ("", "-"),
    ],
)
def test_csv_escapes_what_would_break_the_row(text, cell):
    """And what a spreadsheet would run, or take for nothing."""
    assert row(user_agent=text)["cs(User-Agent)"] == cell


@pytest.mark.parametrize(
    ("changes", "types"),
    [
        ({"cache": "hit"}, ("Hit", "Hit", "Hit")),
        ({"cache": "stale"}, ("Hit", "Hit", "Hit")),
        ({"cache": "revalidated"}, ("RefreshHit", "RefreshHit", "RefreshHit")),
        ({"cache": "miss"}, ("Miss", "Miss", "Miss")),
        ({"cache": "bypass"}, ("Miss", "Miss", "Miss")),
        ({"cache": None}, ("Miss", "Miss", "Miss")),
        ({"cache": None, "status": 301}, ("Redirect", "Redirect", "Redirect")),
        ({"cache": "miss", "status": 301}, ("Miss", "Miss", "Miss")),
        ({"cache": "hit", "status": 404}, ("Error", "Error", "Error")),
        ({"status": 0}, ("Error", "Error", "ClientHungUpRequest")),
        ({"complete": False}, ("Hit", "Error", "ClientCommError")),
    ],
)
def test_result_types(changes, types):
    """Before the first byte, after the last one, and in detail."""
    found = row(**changes)

    assert types == (
        found["x-edge-response-result-type"],
        found["x-edge-result-type"],
        found["x-edge-detailed-result-type"],
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"range": "bytes=0-499", "length": 500}, ("0", "499")),
        ({"range": "bytes=100-", "length": 50}, ("100", "149")),
        ({"range": "bytes=100-9999", "length": 50}, ("100", "149")),
        ({"range": "bytes=100-9999", "length": None}, ("100", "9999")),
        ({"range": "bytes=100-", "length": None}, ("100", "-")),
        ({"range": "bytes=-500", "length": 500}, ("-", "-")),
        ({"range": "bytes=0-1,3-4"}, ("-", "-")),
        ({"range": "bytes=0-499", "status": 200}, ("-", "-")),
        ({"range": None}, ("-", "-")),
    ],
)
def test_ranges(changes, expected):
    """Those that were sent, not those that were asked for."""
    found = row(**{"status": 206, **changes})

    assert (found["sc-range-start"], found["sc-range-end"]) == expected


TEXTS = st.text(st.characters(max_codepoint=255), max_size=40)


NAMES = ("path", "query", "method", "referer", "user_agent", "host", "protocol")


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, TEXTS)), st.integers(0, 999))
def test_one_request_is_one_line(texts, status):
    """Whatever bytes it came with; they can be read back from either form."""
    found = decode_entry(json.dumps({"time": TIME, "status": status, **texts}).encode())
    text, cells = combined(found).decode("ascii"), csv_row(found).decode("ascii").split(",")
    agent = "" if cells[10] == "-" else cells[10]

    assert text[:-1].isprintable()
    assert text.endswith("\n")
    assert len(re.findall(r'"((?:[^"\\]|\\.)*)"', text)) == 3
    assert len(cells) == 33
    assert cells[-1].endswith("\n")
    assert "".join(cells)[:-1].isprintable()
    assert unquote_to_bytes(agent) == texts["user_agent"].encode("latin-1")
