"""Tags that origins give their answers: both spellings, and nobody else sees them."""

from __future__ import annotations

import pytest

from edge.http.tags import tags_of, without_tags

LINES = {
    "none": ([(b"etag", b'"a"'), (b"x-cache-tag", b"a")], []),
    "one": ([(b"cache-tag", b"a")], [b"a"]),
    "a list with commas": ([(b"cache-tag", b"a, b ,\tc")], [b"a", b"b", b"c"]),
    "a list with spaces": ([(b"surrogate-key", b"a  b\tc")], [b"a", b"b", b"c"]),
    "spaces between commas are of the tag": ([(b"cache-tag", b"a b, c")], [b"a b", b"c"]),
    "commas between spaces are of the tag": ([(b"surrogate-key", b"a,b c")], [b"a,b", b"c"]),
    "empty elements": ([(b"cache-tag", b",, a,,")], [b"a"]),
    "nothing in it": ([(b"cache-tag", b""), (b"surrogate-key", b"  ")], []),
    "several lines": ([(b"cache-tag", b"a"), (b"cache-tag", b"b")], [b"a", b"b"]),
    "each once": ([(b"cache-tag", b"a, b, a"), (b"surrogate-key", b"b c")], [b"a", b"b", b"c"]),
    "case matters": ([(b"cache-tag", b"a, A")], [b"a", b"A"]),
}


@pytest.mark.parametrize(("lines", "tags"), LINES.values(), ids=LINES.keys())
def test_an_answer_has_the_tags_of_both_fields(lines, tags):
    """In the order in which they are stated."""
    assert tags_of(lines) == tags


def test_nobody_else_sees_the_tags():
    """All other lines stay, in their order."""
    lines = [(b"a", b"1"), (b"cache-tag", b"x"), (b"b", b"2"), (b"surrogate-key", b"y")]

    assert without_tags(lines) == [(b"a", b"1"), (b"b", b"2")]
    assert without_tags(lines[:1]) == lines[:1]
