"""
A whole node under whatever clients send: answers that are well formed, one line each, no traceback.

The checks themselves are those of the fuzzers (`tests/support_fuzz_wire.py`); what is drawn here is
closer to requests than what a mutation leaves of one.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.http.fields import is_field_value
from tests.support_fuzz_wire import (
    WITHOUT_CONTENT,
    check_answers,
    check_frames,
    node,
    read_content,
    read_head,
)
from tests.support_memory import Played
from tests.support_wire import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, string

UNHURRIED = settings(deadline=None, max_examples=200)
MAIN = b"main.site.edge.localhost"

WORDS = st.sampled_from(
    [b"a", b"-", b"%0d%0aX-Evil:%20y", b"%0A", b"%00", b"%2F", b"/", b"//", b"%5c", b"\\", b"@",
     b"evil.example", b"https:", b"?", b"#", b"<a>", b"%3Ca%3E", b"$1", b"{env.HOME}", b"%7B",
     b"%C3%A9", b"%ff", b"..", b"%2e%2e", b"&", b"=", b"%09", b";", b":", b"%250a"]
)  # fmt: skip
RULED = [
    b"/old/",
    b"/go/x-",
    b"/go/",
    b"/q?id=",
    b"/re/",
    b"/in/",
    b"/spa/",
    b"/gone",
    b"/us",
    b"/",
]
TARGETS = st.builds(
    lambda start, words: start + b"".join(words), st.sampled_from(RULED), st.lists(WORDS)
)
BYTES = st.binary(max_size=30).filter(is_field_value)
NAMES = st.sampled_from(
    [b"Referer", b"User-Agent", b"X-Forwarded-For", b"Range", b"If-None-Match", b"Accept",
     b"Accept-Encoding", b"Authorization", b"X-Country", b"Cookie", b"If-Range", b"Forwarded"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES, BYTES), max_size=4)
METHODS = st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS", b"POST", b"DELETE"])
REQUESTS = st.lists(st.tuples(METHODS, TARGETS, FIELDS), min_size=1, max_size=4)


def written(method: bytes, target: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """One request."""
    lines = b"".join(b"%b: %b\r\n" % line for line in fields)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, MAIN, lines)


@UNHURRIED
@given(REQUESTS, st.integers(1, 400))
def test_what_is_captured_and_logged_stays_one_line(requests, size):
    """No control reaches a head, whatever a rule captured; each request is one line of JSON."""
    data = b"".join(written(*each) for each in requests)
    played = node().play([data[at : at + size] for at in range(0, len(data), size)])

    check_answers(played)
    for location in locations(played):
        check_location(location)


def locations(played: Played) -> list[str]:
    """Of every answer, in a browser's reading."""
    found, rest = [], played.written
    for line in played.lines:
        status, fields, rest = read_head(rest)
        if line["method"] != "HEAD" and status not in WITHOUT_CONTENT:
            rest = read_content(fields, rest)
        if b"location" in fields:
            found.append(fields[b"location"].decode())
    return found


def check_location(location: str) -> None:
    """A path stays on this host; the one rule that names a host goes below that name."""
    base = "http://" + MAIN.decode()
    where = urlsplit(urljoin(base, location.replace("\\", "/")))
    if location.startswith("/"):
        assert where.hostname == MAIN.decode(), location
    else:
        assert where.scheme == "https", location
        assert where.hostname is not None, location
        assert where.hostname.endswith(".example.com"), location


@UNHURRIED
@given(REQUESTS)
def test_the_same_over_http2(requests):
    """As fields of frames: what is no request is refused, and nothing of it is sent on."""
    sent = HELLO
    for number, (method, target, fields) in enumerate(requests):
        pairs = [(name.lower(), value) for name, value in fields]
        sent += framed(2 * number + 1, method, target[:250], pairs)

    check_frames(node().play([sent]))


HELLO = PREFACE + frame(SETTINGS, 0, 0)
ALL = END_HEADERS | END_STREAM


def framed(stream: int, method: bytes, path: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """One request, without compression."""
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", MAIN)]
    block = b"".join(b"\0" + string(name) + string(value) for name, value in (*pseudo, *pairs))
    return frame(HEADERS, ALL, stream, block)


@pytest.mark.parametrize("name", [b"referer", b"user-agent", b"x-a", b"cookie", b"x-country"])
def test_a_value_that_would_break_a_line_is_refused(name):
    """HTTP/2 can carry one (RFC 9113 §8.2.1): no answer but to the value without it."""
    good = node().play([HELLO + framed(1, b"GET", b"/about", [(name, b"a b")])])
    assert [line["status"] for line in good.lines] == [200]

    for breaker in (b"\r", b"\n", b"\r\nX-Evil: y", b"\0"):
        played = node().play([HELLO + framed(1, b"GET", b"/about", [(name, b"a" + breaker)])])

        check_frames(played)
        assert not any(line["status"] == 200 for line in played.lines)
