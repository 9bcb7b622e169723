"""
What the fields of a request say that answers of files depend on: looked up once for many requests.

Laws: clients send the same field lines again and again; bytes that are the same mean the same.
Ten look-ups (1.2 µs) become one. Nothing here decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.http.fields import Fields, Line
    from edge.http.forwarding import Passage

KEEP_ALIVE: Final = b"keep-alive"
MOST: Final = 32 << 20
"""
Bytes of memory for field lines that are remembered: each client with cookies has others. What comes
again and is not among them costs 4 µs more.
"""

FOR_A_HOST: Final = 1024
"""Bytes more for each host: 100,000 of them by chance cost 13 µs a request without, 8 with."""

OBJECTS: Final = 512
"""Bytes that are kept of field lines besides twice their own (measured: 480, and 2.3 times)."""

LONGEST: Final = 8192
"""Bytes of field lines that are remembered."""

NOTHING: Final[dict[bytes, object]] = {}


class Manner:
    """The fields of a request, as far as they were asked."""

    __slots__ = (
        "accept_encoding",
        "agent",
        "authority",
        "fields",
        "forwarded",
        "host",
        "is_conditional",
        "is_read",
        "lines",
        "none_match",
        "passed",
        "referer",
        "stored",
        "told",
        "ways",
        "wish",
    )

    accept_encoding: bytes | None
    agent: bytes | None
    referer: bytes | None
    forwarded: bytes | None
    """X-Forwarded-For."""
    is_conditional: bool
    """Whether less than the whole representation is asked for (RFC 9110 §13.1, §14.2)."""
    none_match: bytes | None
    """If-None-Match where it alone decides, and is said once: browsers' way to ask again."""
    wish: Wish
    """What of a file is asked for: what it was remembered by if it was the same."""

    def __init__(self, authority: bytes, fields: Fields) -> None:
        self.authority = authority
        self.fields = fields
        self.is_read = False
        """Whether the rest is there."""
        self.host: bytes | None = None
        """What the log says of the authority, once it was asked."""
        self.lines: Mapping[bytes, object] = NOTHING
        """What is remembered of the site that they are for, by request line."""
        self.stored: Mapping[bytes, object] = NOTHING
        """Likewise of origins' answers, once one of them was found by these fields."""
        self.ways: Mapping[bytes, object] = NOTHING
        """Likewise of what leads past the store, once one of them went there."""
        self.passed: tuple[str, Passage, list[Line]] | None = None
        """Whose they were, and how they went on to an origin, the last time they did."""
        self.told: bytes | None = None
        """What the log says of what it says about itself, once it was asked."""

    def read(self) -> Manner:
        """Look everything up."""
        get = self.fields.get
        self.accept_encoding = get(b"accept-encoding")
        self.agent = get(b"user-agent")
        self.referer = get(b"referer")
        self.forwarded = get(b"x-forwarded-for")
        self.none_match = get(b"if-none-match")
        is_special = (
            get(b"range") is not None
            or get(b"if-match") is not None
            or get(b"if-unmodified-since") is not None
        )
        self.is_conditional = (
            is_special or self.none_match is not None or get(b"if-modified-since") is not None
        )
        if is_special or len(self.fields.getall(b"if-none-match")) != 1:
            self.none_match = None
        said, known = self.accept_encoding, self.none_match
        self.wish = said if known is None else (said, known)
        self.is_read = True
        return self


Spelling = bytes | tuple[str, bytes]
"""Field lines as they arrive; with TLS, its name before them."""

Wish = bytes | tuple[bytes | None, bytes] | None
"""Accept-Encoding; with If-None-Match, both."""


MeaningT = TypeVar("MeaningT")


class Spellings(dict[Spelling, MeaningT], Generic[MeaningT]):
    """What is meant, by how it was spelt; at a bound all are forgotten."""

    __slots__ = ("_size", "most")

    def __init__(self, most: int) -> None:
        """`most` is the bytes of memory that they may take."""
        super().__init__()
        self.most = most
        self._size = 0

    def keep(self, spelling: Spelling, lines: bytes, meaning: MeaningT) -> None:
        """Remember one more; `lines` are what of it has a size."""
        if spelling not in self:
            size = OBJECTS + 2 * len(lines)
            if self._size + size > self.most:
                self.clear()
            self._size += size
        self[spelling] = meaning

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._size = 0


class Manners:
    """
    Field lines of whole GETs that were accepted, and what they say.

    What stands in front of such bytes is the request line alone. Who knows that one too need not
    parse: no length, no coding and no option of the connection can hide in them, since none did.
    """

    __slots__ = ("asking", "paths", "validating")

    def __init__(self) -> None:
        self.asking = Spellings[Manner](MOST)
        """Those that set no condition."""
        self.validating = Spellings[Manner](MOST // 4)
        """Those with If-None-Match: each file has others, which must not drive out the rest."""
        self.paths = Spellings[bytes](MOST // 4)
        """Request lines, by the path as HTTP/2 has it in its field blocks."""

    def expect(self, hosts: int) -> None:
        """Have room for so many hosts: each is asked by field lines of its own."""
        self.asking.most = MOST + hosts * FOR_A_HOST

    def find(self, spelling: Spelling) -> Manner | None:
        """What the same bytes said before."""
        return self.asking.get(spelling) or self.validating.get(spelling)

    def remember(self, spelling: Spelling, manner: Manner) -> None:
        """Keep field lines that ask for a file, or whether it is another one, and no more."""
        lines = spelling if isinstance(spelling, bytes) else spelling[1]
        manner.read()
        if len(lines) > LONGEST or not is_plain(manner):
            return
        known = self.validating if manner.is_conditional else self.asking
        known.keep(spelling, lines, manner)

    def clear(self) -> None:
        """Forget all, and where it leads."""
        self.asking.clear()
        self.validating.clear()
        self.paths.clear()


def is_plain(manner: Manner) -> bool:
    """Whether no condition but one is set, and nothing asked of the connection but to stay."""
    fields = manner.fields
    return (
        all(each.lower() == KEEP_ALIVE for each in fields.getall(b"connection"))
        and not fields.getall(b"expect")
        and not fields.getall(b"upgrade")
        and (manner.none_match is not None or not manner.is_conditional)
    )
