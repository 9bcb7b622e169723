"""
The vocabulary of field values: lists, tokens, dates, entity-tags, Cache-Control, codings.

Here lives the reading and writing of single values and the view of a field section. What a value
means for a request (conditions, freshness, variants) lives in the modules named after it.
Everything is `bytes`, everything is linear in its input, and no reader raises: a value that does
not follow its grammar is None, or the offending element is left out.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DefaultT = TypeVar("DefaultT")

TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
OWS = b" \t"


Line = tuple[bytes, bytes]
"""A field line: name and value."""

# Field sections


class Fields(Protocol):
    """
    A received field section; zttp's `HeaderBlock` satisfies it as it is.

    `get` gives the first field line of a name, or the default. Names are matched
    case-insensitively there and in `getall`; those coming out of iteration are as received.
    """

    @overload
    def get(self, name: bytes, /) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: DefaultT, /) -> bytes | DefaultT: ...

    def getall(self, name: bytes, /) -> list[bytes]:
        """Return the values of all field lines of that name, in the order received."""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __len__(self) -> int: ...


class FieldList:
    """
    `Fields` over a list of lower-case names and values, as HTTP/2 delivers them.

    The list is kept, not copied, and must not change once it is here.
    """

    __slots__ = ("first", "lines")

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self.lines = lines
        self.first: dict[bytes, bytes] = {}
        """First value of each name, made by the first `get`."""

    @overload
    def get(self, name: bytes, /) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: DefaultT, /) -> bytes | DefaultT: ...
    def get(self, name: bytes, default: object = None, /) -> object:
        """Value of the first field line of that name, or `default`."""
        if not self.first:
            self.first = dict(reversed(self.lines))
        return self.first.get(name.lower(), default)

    def getall(self, name: bytes, /) -> list[bytes]:
        """Values of all field lines of that name, in the order received."""
        wanted = name.lower()
        return [value for candidate, value in self.lines if candidate == wanted]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)


# Tokens and lists

TOKEN = re.compile(TCHAR + rb"++")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")
QUOTED_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# A quoted string that never closes takes the rest of the value, so that no comma of its own can
# begin an element that the sender did not write.
LIST_ELEMENT = re.compile(rb'(?:[^,"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)


def is_token(value: bytes) -> bool:
    """
    Whether the value is a token.

    Source: RFC 9110 §5.6.2.
    """
    return TOKEN.fullmatch(value) is not None


def is_field_value(value: bytes) -> bool:
    """
    Whether the value holds no control other than HTAB; whitespace around it is not judged.

    Source: RFC 9110 §5.5.
    """
    return FIELD_VALUE.fullmatch(value) is not None


def split_list(value: bytes) -> list[bytes]:
    """
    The elements of a comma-separated list, whitespace trimmed and empty elements dropped.

    Quoted strings stay quoted and keep their commas.

    Source: RFC 9110 §5.6.1.2.
    """
    parts = LIST_ELEMENT.findall(value) if b'"' in value else value.split(b",")
    return [element for part in parts if (element := part.strip(OWS))]


def unquote(value: bytes) -> bytes:
    """
    The content of a quoted-string; any other value as it is.

    Source: RFC 9110 §5.6.4.
    """
    if QUOTED_STRING.fullmatch(value) is None:
        return value
    return QUOTED_PAIR.sub(rb"\1", value[1:-1])


# Dates

DAY_NAMES = (b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday")
WEEKDAYS = tuple(name[:3] for name in DAY_NAMES)
MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
MONTH_NUMBERS = {name: number for number, name in enumerate(MONTHS, 1)}
DAY_S = 86_400
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

SHORT_DAY = b"(?:" + b"|".join(WEEKDAYS) + b")"
LONG_DAY = b"(?:" + b"|".join(DAY_NAMES) + b")"
MONTH = b"(?P<month>" + b"|".join(MONTHS) + b")"
# Second 60 is a leap second, which epoch seconds cannot tell from the second after it.
CLOCK = rb"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
DATE_FORMS = (
    # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(
        SHORT_DAY + b", (?P<day>[0-9]{2}) " + MONTH + b" (?P<year>[0-9]{4}) " + CLOCK + b" GMT"
    ),
    # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(
        LONG_DAY + b", (?P<day>[0-9]{2})-" + MONTH + b"-(?P<year>[0-9]{2}) " + CLOCK + b" GMT"
    ),
    # asctime-date: Sun Nov  6 08:49:37 1994
    re.compile(
        SHORT_DAY + b" " + MONTH + b" (?P<day>[0-9 ][0-9]) " + CLOCK + b" (?P<year>[0-9]{4})"
    ),
)


def format_http_date(epoch: int) -> bytes:
    """
    The IMF-fixdate of epoch seconds, for the years 1 to 9999.

    Source: RFC 9110 §5.6.7.
    """
    days, seconds = divmod(epoch, DAY_S)
    day = date.fromordinal(days + EPOCH_ORDINAL)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        WEEKDAYS[day.weekday()],
        day.day,
        MONTHS[day.month - 1],
        day.year,
        seconds // 3600,
        seconds // 60 % 60,
        seconds % 60,
    )


def parse_http_date(value: bytes, now: int | None = None) -> int | None:
    """
    Epoch seconds of an HTTP-date in any of its three forms, or None.

    The name of the weekday must be one, but need not agree with the date (as in Go). `now`, epoch
    seconds, places the two-digit year of an rfc850-date; without it 70 to 99 are in the 1900s.

    Source: RFC 9110 §5.6.7.
    """
    for form in DATE_FORMS:
        if match := form.fullmatch(value):
            return epoch_of(match, now)
    return None


def epoch_of(match: re.Match[bytes], now: int | None) -> int | None:
    """Epoch seconds of a matched date form; None for a day that its month does not have."""
    hour, minute, second = map(int, match.group("hour", "minute", "second"))
    seconds = hour * 3600 + minute * 60 + second
    year, month, day = int(match["year"]), MONTH_NUMBERS[match["month"]], int(match["day"])
    if len(match["year"]) == 2:
        year = full_year((year, month, day, seconds), now)
    try:
        return (date(year, month, day).toordinal() - EPOCH_ORDINAL) * DAY_S + seconds
    except ValueError:
        return None


def full_year(short: tuple[int, int, int, int], now: int | None) -> int:
    """
    The year of (two-digit year, month, day, second of the day): the latest one that does not
    lie more than fifty years after `now`.

    Source: RFC 9110 §5.6.7.
    """
    if now is None:
        return short[0] + (1900 if short[0] >= 70 else 2000)
    days, seconds = divmod(now, DAY_S)
    today = date.fromordinal(days + EPOCH_ORDINAL)
    horizon = today.year + 50
    year = horizon - (horizon - short[0]) % 100
    too_late = (year, *short[1:]) > (horizon, today.month, today.day, seconds)
    return year - 100 if too_late else year


# Entity-tags

ENTITY_TAG = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
ENTITY_TAGS = re.compile(ENTITY_TAG)
# Not `split_list`: a backslash in an opaque-tag is a character, not the start of a quoted-pair.
ENTITY_TAG_LIST = re.compile(rb"[ \t,]*+(?:" + ENTITY_TAG + rb"[ \t]*+(?:,[ \t,]*+|\Z))*+")


def parse_entity_tags(value: bytes) -> tuple[bytes, ...] | None:
    """
    The entity-tags of If-Match or If-None-Match, each as written (`W/"x"` or `"x"`).

    Returns `(b"*",)` for the asterisk, `()` for a list without elements (which the grammar
    allows), and None when any element is not an entity-tag.

    Source: RFC 9110 §8.8.3, §13.1.1, §13.1.2.
    """
    if value.strip(OWS) == b"*":
        return (b"*",)
    if ENTITY_TAG_LIST.fullmatch(value) is None:
        return None
    return tuple(ENTITY_TAGS.findall(value))


def weak_match(one: bytes, other: bytes) -> bool:
    """
    Whether the opaque-tags are the same, weak or not.

    Source: RFC 9110 §8.8.3.2.
    """
    return one.removeprefix(b"W/") == other.removeprefix(b"W/")


def strong_match(one: bytes, other: bytes) -> bool:
    """
    Whether both entity-tags are strong and the same.

    Source: RFC 9110 §8.8.3.2.
    """
    return one == other and not one.startswith(b"W/")


# Cache-Control

DIGITS = re.compile(rb"[0-9]++")
DELTA_MAX = 2**31


def parse_cache_control(values: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """
    The directives of all Cache-Control field lines: lower-case name → argument, None without one.

    Quoted arguments are unquoted. Of a directive given twice the first counts. An argument that
    follows no grammar is kept as it stands, so that a broken `max-age=1h` reads as a lifetime that
    is stated and invalid (§4.2.1: stale), not as one that is missing.

    Source: RFC 9111 §5.2.
    """
    directives: dict[bytes, bytes | None] = {}
    for value in values:
        for element in split_list(value):
            name, equals, argument = element.partition(b"=")
            name = name.rstrip(OWS).lower()
            if is_token(name):
                directives.setdefault(name, unquote(argument.lstrip(OWS)) if equals else None)
    return directives


def delta_seconds(value: bytes | None) -> int | None:
    """
    Seconds of a directive's argument, at most 2**31; None when absent or not made of digits.

    Source: RFC 9111 §1.2.2.
    """
    if value is None or DIGITS.fullmatch(value) is None:
        return None
    return min(saturating_int(value), DELTA_MAX)


def saturating_int(digits: bytes) -> int:
    """
    The number written by ASCII digits, 10**18 for anything longer than eighteen of them.

    The quadratic part of int() is never reached, however long the value is.
    """
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= 18 else 10**18


# Accept-Encoding

CODINGS = (b"br", b"zstd", b"gzip")
"""What we store encoded, best first: at equal weights the smaller representation is sent."""

IDENTITY = b"identity"
MAX_CODINGS = 100
"""Elements of Accept-Encoding that are read; browsers send four or five."""

LEAST_WEIGHT = 1
WEIGHTED_CODING = re.compile(
    rb"(" + TCHAR + rb"++)(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


def acceptable_codings(value: bytes | None) -> tuple[bytes, ...]:
    """
    Those of br, zstd, gzip and identity that the client accepts, best first.

    The order is by weight, ties in the order above; identity comes last unless it is listed. An
    absent or empty field gives identity alone. `()` says that nothing we have is acceptable.

    Source: RFC 9110 §12.5.3; without the field any coding would do, and we choose none.
    """
    if not value:
        return (IDENTITY,)
    weights = coding_weights(value)
    rest = weights.get(b"*", 0)
    ranked = {coding: weights.get(coding, rest) for coding in CODINGS}
    unlisted = 0 if weights.get(b"*") == 0 else LEAST_WEIGHT
    ranked[IDENTITY] = weights.get(IDENTITY, unlisted)
    best_first = sorted(ranked, key=ranked.__getitem__, reverse=True)
    return tuple(coding for coding in best_first if ranked[coding])


def coding_weights(value: bytes) -> dict[bytes, int]:
    """Weight in thousandths of each coding listed, the first mention counting."""
    weights: dict[bytes, int] = {}
    for element in value.split(b",", MAX_CODINGS)[:MAX_CODINGS]:
        if match := WEIGHTED_CODING.fullmatch(element.strip(OWS)):
            coding = match[1].lower()
            name = b"gzip" if coding == b"x-gzip" else coding
            weights.setdefault(name, thousandths(match[2]))
    return weights


def thousandths(qvalue: bytes | None) -> int:
    """The weight of a valid qvalue, 0 to 1000; absent means 1000 (RFC 9110 §12.4.2)."""
    if qvalue is None:
        return 1000
    return int(qvalue[:1] + qvalue[2:].ljust(3, b"0"))
