"""Finished heads, and the same field lines for HTTP/2."""

from __future__ import annotations

import pytest

from edge.http.message import (
    REASONS,
    Response,
    finish_head,
    parse_lines,
    response_pairs,
)


def test_a_head_is_finished_once_in_its_order():
    """Status line and field lines, each with its CRLF, and no empty line."""
    head = finish_head(200, [(b"Content-Type", b"text/html"), (b"ETag", b'"x"')])
    assert head.status == 200
    assert head.lines == b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: "x"\r\n'


def test_an_unregistered_status_has_no_reason():
    """The blank after the status stays (RFC 9112 §4)."""
    assert finish_head(299, []).lines == b"HTTP/1.1 299 \r\n"


def test_every_reason_is_a_phrase():
    """Reason phrases are printable and not empty."""
    assert all(reason.isascii() and reason.decode().isprintable() for reason in REASONS.values())
    assert all(REASONS.values())


SPLITTING = {
    "CRLF in a value": (b"Location", b"/\r\nSet-Cookie: a=b"),
    "LF in a value": (b"Location", b"/\nX: y"),
    "NUL in a value": (b"X", b"\x00"),
    "CRLF in a name": (b"X\r\nY", b"z"),
    "colon in a name": (b"X:", b"z"),
    "blank in a name": (b"X ", b"z"),
    "no name": (b"", b"z"),
}


@pytest.mark.parametrize("pair", SPLITTING.values(), ids=SPLITTING.keys())
def test_nothing_can_split_a_response(pair):
    """A name that is no token or a value with a control character never gets on the wire."""
    with pytest.raises(ValueError, match="may not go on the wire"):
        finish_head(200, [pair])


def test_http2_gets_the_same_fields_in_lower_case():
    """The pairs are those of the head, then those of this second."""
    head = finish_head(200, [(b"Content-Type", b"a/b: c"), (b"X", b"")])
    response = Response(head, b"Date: now\r\nAge: 1\r\n\r\n", None)
    assert response_pairs(response) == [
        (b"content-type", b"a/b: c"),
        (b"x", b""),
        (b"date", b"now"),
        (b"age", b"1"),
    ]


def test_pairs_are_made_once():
    """A shared response gives the same list to every stream, a shared head to every response."""
    head = finish_head(204, [(b"X", b"y")])
    first = Response(head, b"\r\n", None)
    second = Response(head, b"Age: 1\r\n\r\n", None)
    assert response_pairs(first) is response_pairs(first)
    assert head.pairs == [(b"x", b"y")]
    assert response_pairs(second) == [(b"x", b"y"), (b"age", b"1")]
    assert head.pairs == [(b"x", b"y")], "the head's own list is not added to"


def test_lines_of_nothing_are_no_pairs():
    """An empty block has no fields."""
    assert parse_lines(b"") == []
