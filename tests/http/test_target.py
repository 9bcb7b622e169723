"""The one decoding policy of request targets."""

from __future__ import annotations

import pytest

from edge.errors import MalformedRequest
from edge.http.target import decode_path, encode_path, split_query

DECODED = {
    "root": (b"/", "/"),
    "plain": (b"/docs/a-b_c.~1/x.html", "/docs/a-b_c.~1/x.html"),
    "every pchar": (b"/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
    "escape": (b"/a%20b", "/a b"),
    "lower-case escape": (b"/%c3%a4", "/ä"),
    "UTF-8 as it is": ("/ä".encode(), "/ä"),
    "once": (b"/%2541", "/%41"),
    "slash stays": (b"/a%2Fb", "/a%2Fb"),
    "slash stays, lower case": (b"/a%2fb", "/a%2Fb"),
    "two slashes": (b"//a//b/", "//a//b/"),
    "dot": (b"/a/./b", "/a/b"),
    "dot at the end": (b"/a/.", "/a/"),
    "dots": (b"/a/b/../c", "/a/c"),
    "dots at the end": (b"/a/b/..", "/a/"),
    "up to the root": (b"/a/..", "/"),
    "encoded dots": (b"/a/%2e%2E/b", "/b"),
    "half encoded dots": (b"/a/.%2e/b", "/b"),
    "dots beside a kept slash": (b"/a/..%2Fb", "/a/..%2Fb"),
    "three dots": (b"/a/.../b", "/a/.../b"),
    "hidden name": (b"/.well-known/x", "/.well-known/x"),
    "hash": (b"/c%23.html", "/c#.html"),
    "question mark": (b"/why%3F", "/why?"),
}


@pytest.mark.parametrize(("raw", "decoded"), DECODED.values(), ids=DECODED.keys())
def test_a_path_is_decoded_once(raw, decoded):
    """Escapes are resolved once, then dot segments; an encoded slash is data."""
    assert decode_path(raw) == decoded


REFUSED = {
    "empty": b"",
    "relative": b"a",
    "asterisk": b"*",
    "absolute URL": b"http://a/",
    "escape cut short": b"/%4",
    "lone percent": b"/100%",
    "escape of no digits": b"/%zz",
    "escape with a sign": b"/%+1",
    "NUL": b"/%00",
    "line feed": b"/%0a",
    "delete": b"/%7f",
    "C1 control": b"/%c2%85",
    "raw control": b"/\x01",
    "backslash": b"/a\\b",
    "encoded backslash": b"/a%5cb",
    "fragment": b"/a#b",
    "not UTF-8": b"/%ff",
    "overlong dot": b"/%c0%ae",
    "surrogate": b"/%ed%a0%80",
    "above the root": b"/..",
    "above the root, later": b"/a/../../b",
    "above the root, encoded": b"/%2e%2e/etc/passwd",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_a_path_that_could_be_read_two_ways_is_refused(raw):
    """Bad escapes, controls, backslashes, bad UTF-8 and paths that leave the root are 400."""
    with pytest.raises(MalformedRequest):
        decode_path(raw)


ENCODED = {
    "plain": ("/a/b.html", b"/a/b.html"),
    "blank": ("/a b", b"/a%20b"),
    "UTF-8": ("/ä", b"/%C3%A4"),
    "kept slash": ("/a%2Fb", b"/a%2Fb"),
    "percent": ("/100%", b"/100%25"),
    "reserved": ("/a?b#c", b"/a%3Fb%23c"),
    "line feed": ("/a\nb", b"/a%0Ab"),
    "quotes": ("/<\"'>", b"/%3C%22'%3E"),
}


@pytest.mark.parametrize(("path", "raw"), ENCODED.values(), ids=ENCODED.keys())
def test_a_path_is_encoded_for_a_location(path, raw):
    """Everything outside `pchar` is escaped, a kept slash stays."""
    assert encode_path(path) == raw


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/a", (b"/a", None)),
        (b"/a?", (b"/a", b"")),
        (b"/a?b?c", (b"/a", b"b?c")),
        (b"?", (b"", b"")),
    ],
    ids=["none", "empty", "first mark", "no path"],
)
def test_the_query_begins_at_the_first_mark(target, parts):
    """No query and an empty one are different things."""
    assert split_query(target) == parts
