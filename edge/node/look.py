"""
What a stored response looks like in one second: a file's, or an origin's answer.

Laws: who answers unparsed needs this and nothing else of what is stored, since each object that a
core has not at hand is a wait for memory. A look reckons by itself how old it is and whether it is
fresh; who stores the response tells it when that changes, and when it is stored no longer.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, cast

from edge.http.message import CRLF, REQUEST_ID, Head, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.node.clock import Clock
    from edge.node.ledger import Repeat
    from edge.node.recurring import Framed

WRITTEN_AT_ONCE: Final = 256 * 1024
"""Bytes of content that are written, and encrypted, before the client took them."""

GONE: Final = Head(0, b"")


class Look:
    """One response as all who ask for it in a second get it; kept by whoever found it."""

    __slots__ = (
        "_born",
        "_least",
        "_lifetime",
        "_whole",
        "content",
        "framed",
        "head",
        "is_dated",
        "opening",
        "origin",
        "repeat",
        "second",
        "used",
    )

    _whole: Response | None
    framed: Framed | None
    repeat: Repeat | None

    def __init__(
        self,
        head: Head,
        content: bytes,
        lived: tuple[float, float, float],
        *,
        is_dated: bool = False,
        origin: bytes = b"",
    ) -> None:
        """`lived` as `keep` has it."""
        self.head = head
        self.content = content
        self.origin = origin
        """Whose answer it is, as `Response.origin`."""
        self.is_dated = is_dated
        """Whether Date is of each second; an origin's is among the lines of its head."""
        self.used = False
        """Whether anybody got it since that was asked."""
        self.second = -1
        """The epoch second that it looks so in; -1 for none."""
        self.opening = b""
        """HTTP/1.1 up to the identifier of a request; empty where it is not written at once."""
        self.repeat = None
        """What is entered of all that get it, from the first one on."""
        self.framed = None
        """The same in frames of HTTP/2, once it was asked."""
        self._whole = None
        self.keep(*lived)

    def keep(self, born: float, lifetime: float, least: float = 0.0) -> None:
        """Be so old as since `born` (epoch seconds), or `least`; fresh for `lifetime` seconds."""
        self._born, self._lifetime, self._least = born, lifetime, least
        self.second = -1

    def let_go(self) -> None:
        """It is stored no longer: nobody finds it, and who keeps this does not keep that."""
        self.keep(0.0, -inf)
        self.head, self.content, self.opening = GONE, b"", b""
        self._whole = self.framed = self.repeat = None

    def renew(self, clock: Clock) -> bool:
        """Look as it does now; False where it is not fresh, or not stored."""
        if self._age(clock) >= self._lifetime:
            return False
        opening = b""
        if len(self.content) <= WRITTEN_AT_ONCE:
            opening = b"".join((self.head.lines, self._state(clock), REQUEST_ID))
        if len(opening) != len(self.opening):
            self.repeat = None  # its size is another one
        elif self.repeat is None and self._whole is not None:
            self.repeat = cast("Repeat | None", self._whole.repeat)
        self._whole = self.framed = None
        self.second, self.opening, self.used = clock.epoch, opening, True
        return True

    def whole(self, clock: Clock) -> Response | None:
        """The same as a response, where a request was parsed; None as above is False."""
        if self.second != clock.epoch and not self.renew(clock):
            return None
        response = self._whole
        if response is None:
            block = self.block(clock)
            response = Response(self.head, block, self.content, origin=self.origin)
            response.opening, response.repeat = self.opening, self.repeat
            self._whole = response
        return response

    def block(self, clock: Clock) -> bytes:
        """The field lines of a hit in this second (RFC 9111 §5.1, RFC 9211), the empty one too."""
        return self._state(clock) + CRLF

    def _state(self, clock: Clock) -> bytes:
        date = clock.date if self.is_dated else b""
        age = self._age(clock)
        ttl = self._lifetime - age
        return b"%bAge: %d\r\nCache-Status: edge; hit; ttl=%d\r\n" % (date, int(age), int(ttl))

    def _age(self, clock: Clock) -> float:
        """In seconds (RFC 9111 §4.2.3); a clock that is set back stops it."""
        return max(self._least, clock.epoch - self._born)


def were_used(looks: Iterable[Look]) -> bool:
    """Whether anybody got any of them since this was asked."""
    used = False
    for look in looks:
        used |= look.used
        look.used = False
    return used
