"""
Heads of whole responses, and what they say: looked up where the same bytes come again.

Laws: as `manner` for requests, bytes that are the same mean the same, to the same question. Only
what answers a GET, states its length and leaves its connection open; anything else is parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from edge.http.fields import Line

REMEMBERED: Final = 1024
"""Heads; an origin that says the time has another one each second."""

LONGEST: Final = 2048
"""Bytes of one that is remembered."""

FORMS: Final = 64
"""Forms that one of them is remembered in."""


class Head(msgspec.Struct):
    """A response's head, interim (1xx) or final."""

    status: int
    fields: list[Line]
    """Names in lower case."""
    version: bytes
    received: Head | None = None
    """As it is passed on; of one that is remembered, once it was asked."""
    forms: dict[object, Any] | None = None
    """As it is sent, by what decides that; of one that is remembered."""


class Heard(msgspec.Struct, frozen=True):
    """A head that is remembered."""

    head: Head
    length: int
    """Bytes of its content."""
    keeps_s: int | None
    """Seconds that the connection is kept, if it says so."""


class Heads:
    """What was heard of late."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Heard] = {}

    def clear(self) -> None:
        """Forget all, and what its forms were made by."""
        self._known.clear()

    def find(self, lines: bytes, size: int) -> Heard | None:
        """What `lines` and exactly `size` bytes of content say, if they came before."""
        heard = self._known.get(lines)
        return heard if heard is not None and heard.length == size else None

    def remember(self, lines: bytes, head: Head, size: int, keeps_s: int | None) -> None:
        """Keep the head of a whole response with `size` bytes of content, if it states them."""
        stated = [value for name, value in head.fields if name == b"content-length"]
        if len(lines) > LONGEST or head.status < 200 or stated != [b"%d" % size]:
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        head.forms = {}
        self._known[lines] = Heard(head, size, keeps_s)
