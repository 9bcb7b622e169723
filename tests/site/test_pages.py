"""The node's own pages."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from edge.site import pages


class Reader(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  (the base's name)
        """Note a tag."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


PAGES = [
    pages.NOT_FOUND,
    pages.NOT_DEPLOYED,
    pages.UNCONFIGURED,
    pages.unknown_host("shop.example"),
    pages.unanswered("connection_refused"),
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_stands_alone(page):
    """A page is small, loads nothing from elsewhere, and says something to a person."""
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert b"http" not in page
    assert len(page) < 2048
    assert {"h1", "p", "title"} <= set(reader.tags)


def test_the_page_of_an_unknown_host_names_it():
    """Who mistyped a name sees it."""
    assert "shop.example is not served here" in Reader(pages.unknown_host("shop.example")).text


@pytest.mark.parametrize(
    "host", ["<script>alert(1)</script>", '"><img src=x>', "a&amp;b", "\ufffd"]
)
def test_what_a_client_sent_is_escaped(host):
    """A host on the page is text, whatever is in it."""
    reader = Reader(pages.unknown_host(host))
    assert reader.tags == Reader(pages.unknown_host("a")).tags
    assert host in reader.text


def test_the_head_counts_bytes():
    """Content-Length is that of the encoded page; it is not to be stored unless said otherwise."""
    page = pages.render("Ü", "…")
    head = pages.page_head(404, page)
    assert head.status == 404
    assert b"Content-Length: %d\r\n" % len(page) in head.lines
    assert b"Cache-Control: no-store\r\n" in head.lines
    assert b"Content-Type: text/html; charset=utf-8\r\n" in head.lines


def test_more_fields_cannot_split_the_head():
    """A line break in a field is refused, not sent."""
    with pytest.raises(ValueError, match="may not go on the wire"):
        pages.page_head(301, b"", (b"Location", b"/a\r\nSet-Cookie: b"))


def test_a_page_of_an_origin_s_silence_says_why_in_words():
    """Whoever is on call reads it first."""
    page = Reader(pages.unanswered("connection_read_timeout"))

    assert "connection read timeout" in page.text
