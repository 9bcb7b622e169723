"""The grammar of field values against RFC examples, plain references and hostile bytes."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import zttp
from hypothesis import given
from hypothesis import strategies as st

from edge.http import fields
from edge.http.fields import FieldList, Fields

SUNDAY = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT, the date of every example in RFC 9110
HUGE = 100_000


def received(*lines: tuple[bytes, bytes]) -> Fields:
    """A field section as zttp parses it from the wire."""
    connection = zttp.Connection(zttp.SERVER, zttp.HTTP1)
    block = b"".join(b"%s: %s\r\n" % line for line in lines)
    connection.receive_data(b"GET / HTTP/1.1\r\n" + block + b"\r\n")
    request = connection.next_event()
    assert isinstance(request, zttp.Request)
    assert isinstance(request.headers, zttp.HeaderBlock)
    return request.headers


# Field sections


@pytest.mark.parametrize(
    "make", [received, lambda *lines: FieldList(list(lines))], ids=["zttp", "list"]
)
def test_both_sections_read_alike(make):
    """Zttp's block and our list answer every question of `Fields` the same way."""
    section: Fields = make((b"host", b"a"), (b"via", b"1"), (b"via", b"2"), (b"empty", b""))

    assert section.get(b"Via") == b"1"
    assert section.get(b"empty") == b""
    assert section.get(b"absent") is None
    assert section.get(b"absent", b"-") == b"-"
    assert section.getall(b"VIA") == [b"1", b"2"]
    assert section.getall(b"absent") == []
    assert list(section)[1:3] == [(b"via", b"1"), (b"via", b"2")]
    assert len(section) == 4


def test_empty_section_has_nothing():
    """A section without lines answers with defaults."""
    section = FieldList([])

    assert (section.get(b"a"), section.getall(b"a"), list(section), len(section)) == (
        None,
        [],
        [],
        0,
    )


# Tokens and lists


@pytest.mark.parametrize("value", [b"gzip", b"*", b"!#$%&'*+-.^_`|~09azAZ"])
def test_tokens(value):
    """A run of tchar is a token."""
    assert fields.is_token(value)


@pytest.mark.parametrize("value", [b"", b"a b", b"a\n", b'"a"', b"a,", b"\xe9", b"a:", b"a/b"])
def test_not_tokens(value):
    """Delimiters, whitespace, controls, other bytes and nothing at all are no token."""
    assert not fields.is_token(value)


@given(st.binary())
def test_field_values_hold_no_controls(value):
    """A field value is any bytes without controls other than HTAB."""
    expected = all(byte == 9 or (byte >= 32 and byte != 127) for byte in value)

    assert fields.is_field_value(value) == expected


def test_every_byte_of_a_field_value_is_judged():
    """Each of the 256 bytes alone is accepted or refused as RFC 9110 §5.5 has it."""
    refused = [byte for byte in range(256) if not fields.is_field_value(bytes([byte]))]

    assert refused == [*range(9), *range(10, 32), 127]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b"foo ,bar,", [b"foo", b"bar"]),
        (b"foo , ,bar,charlie", [b"foo", b"bar", b"charlie"]),
        (b", \t,", []),
        (b'a="x,y", b', [b'a="x,y"', b"b"]),
        (b'"a\\",b",c', [b'"a\\",b"', b"c"]),
        (b'a,"b,c', [b"a", b'"b,c']),
        (b'a,"b,c\\', [b"a", b'"b,c\\']),
        (b'"\n,",x', [b'"\n,"', b"x"]),
    ],
    ids=[
        "empty",
        "rfc-trailing",
        "rfc-hole",
        "only-commas",
        "quoted-comma",
        "quoted-pair",
        "unclosed",
        "unclosed-backslash",
        "newline",
    ],
)
def test_split_list(value, expected):
    """Elements are trimmed, empty ones dropped, commas inside quotes kept."""
    assert fields.split_list(value) == expected


def split_slowly(value: bytes) -> list[bytes]:
    """The list rule, one character at a time."""
    elements, current, quoted, escaped = [], b"", False, False
    for byte in (value[at : at + 1] for at in range(len(value))):
        if byte == b"," and not quoted:
            elements.append(current)
            current = b""
            continue
        current += byte
        if escaped:
            escaped = False
        elif quoted and byte == b"\\":
            escaped = True
        elif byte == b'"':
            quoted = not quoted
    return [part.strip(b" \t") for part in [*elements, current] if part.strip(b" \t")]


@given(st.text(alphabet=',"\\ \ta\n', max_size=30).map(str.encode))
def test_split_list_equals_plain_reading(value):
    """The expression and a character loop see the same elements in any value."""
    assert fields.split_list(value) == split_slowly(value)


# Dates


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"Mon, 06 Nov 1994 08:49:37 GMT",
    ],
    ids=["imf-fixdate", "rfc850", "asctime", "other-weekday"],
)
def test_dates_of_all_forms(value):
    """The three forms of RFC 9110 name the same second; the weekday decides nothing."""
    assert fields.parse_http_date(value) == SUNDAY


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"sun, 06 nov 1994 08:49:37 gmt",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 30 Feb 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov +994 08:49:37 GMT",
        b"Sun, 06 Nov 1_94 08:49:37 GMT",
        "Sun, 06 Nov 199٤ 08:49:37 GMT".encode(),
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Sun Nov 06 08:49:37 1994 GMT",
        b"Sun Nov  0 08:49:37 1994",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_invalid_dates(value):
    """Whatever departs from the grammar or the calendar is no date."""
    assert fields.parse_http_date(value, SUNDAY) is None


def test_leap_second_is_the_next_second():
    """Second 60 is accepted and names the second after it."""
    actual = fields.parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT")

    assert actual == calendar.timegm((2017, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("short", "now", "year"),
    [
        ("94", None, 1994),
        ("70", None, 1970),
        ("69", None, 2069),
        ("94", (2026, 1, 1, 0, 0, 0), 1994),
        ("26", (2026, 1, 1, 0, 0, 0), 2026),
        ("75", (2026, 1, 1, 0, 0, 0), 2075),
        ("76", (2026, 11, 6, 8, 49, 37), 2076),
        ("76", (2026, 11, 6, 8, 49, 36), 1976),
        ("77", (2026, 12, 31, 0, 0, 0), 1977),
        ("00", (2099, 12, 31, 0, 0, 0), 2100),
        ("99", (1994, 1, 1, 0, 0, 0), 1999),
    ],
)
def test_two_digit_years(short, now, year):
    """A two-digit year lies at most fifty years after now, to the second."""
    value = f"Sunday, 06-Nov-{short} 08:49:37 GMT".encode()
    moment = None if now is None else calendar.timegm(now)

    assert fields.parse_http_date(value, moment) == calendar.timegm((year, 11, 6, 8, 49, 37))


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_dates_round_trip(epoch):
    """Every second of the years 1 to 9999 survives writing and reading."""
    assert fields.parse_http_date(fields.format_http_date(epoch)) == epoch


@given(st.integers(0, 4_102_444_800))
def test_dates_are_written_as_the_standard_library_does(epoch):
    """The writer agrees with the email package, which is slower."""
    expected = format_datetime(datetime.fromtimestamp(epoch, UTC), usegmt=True).encode()

    assert fields.format_http_date(epoch) == expected


@given(st.binary() | st.text(alphabet="Sun, 06Nov-194:3GMT ", max_size=40).map(str.encode))
def test_any_bytes_are_a_date_or_none(value):
    """Reading a date never raises."""
    assert isinstance(fields.parse_http_date(value, SUNDAY), int | None)


# Entity-tags


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"*", (b"*",)),
        (b" * ", (b"*",)),
        (b'"xyzzy"', (b'"xyzzy"',)),
        (b'W/"a" ,"b,c",, ""', (b'W/"a"', b'"b,c"', b'""')),
        (b'"a\\","b"', (b'"a\\"', b'"b"')),
        (b'"\xe9"', (b'"\xe9"',)),
        (b"", ()),
        (b" , ", ()),
        (b"xyzzy", None),
        (b'w/"a"', None),
        (b'"a" "b"', None),
        (b'"a""b"', None),
        (b'"a', None),
        (b'"a b"', None),
        (b'*, "a"', None),
        (b'"a", *', None),
        (b'"a"\n', None),
        (b'W/ "a"', None),
    ],
)
def test_parse_entity_tags(value, expected):
    """A list of entity-tags or the asterisk is read, anything else is None."""
    assert fields.parse_entity_tags(value) == expected


def parse_tags_slowly(value: bytes) -> tuple[bytes, ...] | None:
    """The entity-tag list, one element at a time; its whitespace is spaces only."""
    if value.strip(b" ") == b"*":
        return (b"*",)
    tags, rest = [], value.lstrip(b" ,")
    while rest:
        weak = b"W/" if rest.startswith(b"W/") else b""
        opaque, quote, after = rest[len(weak) + 1 :].partition(b'"')
        after = after.lstrip(b" ")
        if rest[len(weak) :][:1] != b'"' or not quote or b" " in opaque or after[:1] not in b",":
            return None
        tags.append(weak + b'"' + opaque + b'"')
        rest = after.lstrip(b" ,")
    return tuple(tags)


@given(st.text(alphabet='W/"a, *\\', max_size=20).map(str.encode))
def test_entity_tags_equal_plain_reading(value):
    """The expression and a reading element by element agree on any value."""
    assert fields.parse_entity_tags(value) == parse_tags_slowly(value)


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        (b'W/"1"', b'W/"1"', False, True),
        (b'W/"1"', b'W/"2"', False, False),
        (b'W/"1"', b'"1"', False, True),
        (b'"1"', b'W/"1"', False, True),
        (b'"1"', b'"1"', True, True),
        (b'"1"', b'"2"', False, False),
    ],
)
def test_comparisons(one, other, strong, weak):
    """The two comparisons give the table of RFC 9110 §8.8.3.2."""
    assert (fields.strong_match(one, other), fields.weak_match(one, other)) == (strong, weak)


# Cache-Control


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([b"Max-Age=60, PUBLIC"], {b"max-age": b"60", b"public": None}),
        ([b"max-age=1", b"max-age=2, no-store"], {b"max-age": b"1", b"no-store": None}),
        ([b'max-age="60"'], {b"max-age": b"60"}),
        ([b'private="set-cookie, x", ext="a\\"b"'], {b"private": b"set-cookie, x", b"ext": b'a"b'}),
        ([b'ext="\n\\\n"'], {b"ext": b"\n\n"}),
        ([b"max-age=1h"], {b"max-age": b"1h"}),
        ([b"max-age="], {b"max-age": b""}),
        ([b"max-age = 60"], {b"max-age": b"60"}),
        ([b'max-age="60'], {b"max-age": b'"60'}),
        ([b"=5, a b, , @=1, public"], {b"public": None}),
    ],
    ids=[
        "absent",
        "case",
        "first-counts",
        "quoted",
        "quoted-list",
        "quoted-newline",
        "invalid-argument-kept",
        "empty-argument",
        "whitespace",
        "unclosed",
        "nameless-dropped",
    ],
)
def test_parse_cache_control(values, expected):
    """Directives are read across lines, names lower-case, arguments unquoted."""
    assert fields.parse_cache_control(values) == expected


@given(st.lists(st.binary(max_size=40) | st.text('a="\\, ', max_size=20).map(str.encode)))
def test_cache_control_names_are_tokens(values):
    """Reading directives never raises and gives lower-case tokens only."""
    names = fields.parse_cache_control(values)

    assert all(fields.is_token(name) and name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"0060", 60),
        (b"2147483647", 2**31 - 1),
        (b"2147483649", 2**31),
        (b"9" * HUGE, 2**31),
        (b"0" * HUGE + b"7", 7),
        (None, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1_0", None),
        (b"1.5", None),
        (b" 1", None),
        (b"1\n", None),
        ("٤".encode(), None),
    ],
    ids=str,
)
def test_delta_seconds(value, expected):
    """Digits are seconds, capped; anything else is None."""
    assert fields.delta_seconds(value) == expected


@pytest.mark.parametrize(
    ("digits", "expected"),
    [(b"9" * 18, 10**18 - 1), (b"1" + b"0" * 18, 10**18), (b"9" * HUGE, 10**18), (b"000", 0)],
    ids=["eighteen", "nineteen", "huge", "zeros"],
)
def test_saturating_int(digits, expected):
    """Numbers are exact to eighteen digits and saturate beyond."""
    assert fields.saturating_int(digits) == expected


# Accept-Encoding

ALL = (b"br", b"zstd", b"gzip", b"identity")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (b"identity",)),
        (b"", (b"identity",)),
        (b"gzip, deflate, br, zstd", ALL),
        (b"gzip, deflate", (b"gzip", b"identity")),
        (b"GZip", (b"gzip", b"identity")),
        (b"x-gzip", (b"gzip", b"identity")),
        (b"gzip;q=1.0, br;q=0.5", (b"gzip", b"br", b"identity")),
        (b"br;q=0.001, gzip;Q=0.002", (b"gzip", b"br", b"identity")),
        (b"gzip ; q=0.5 ,\tbr\t;\tq=0.7", (b"br", b"gzip", b"identity")),
        (b"br;q=0.12, gzip;q=0.5", (b"gzip", b"br", b"identity")),
        (b"br;q=0, gzip", (b"gzip", b"identity")),
        (b"br;q=0.000", (b"identity",)),
        (b"*", ALL),
        (b"*;q=0.5, gzip", (b"gzip", b"br", b"zstd", b"identity")),
        (b"gzip;q=0, *", (b"br", b"zstd", b"identity")),
        (b"*;q=0", ()),
        (b"identity;q=0", ()),
        (b"identity;q=0, gzip", (b"gzip",)),
        (b"*;q=0, gzip", (b"gzip",)),
        (b"*;q=0, identity", (b"identity",)),
        (b"identity, *;q=0", (b"identity",)),
        (b"identity;q=0.5, *;q=0", (b"identity",)),
        (b"identity, gzip;q=0.5", (b"identity", b"gzip")),
        (b"identity, gzip", (b"gzip", b"identity")),
        (b"gzip;q=2, br", (b"br", b"identity")),
        (b"gzip;q=1.001", (b"identity",)),
        (b"gzip;q=0.0001", (b"identity",)),
        (b"gzip;q=-1", (b"identity",)),
        (b"gzip;q=.5", (b"identity",)),
        (b"gzip;q=", (b"identity",)),
        (b"gzip;level=9", (b"identity",)),
        (b"gzip;q=1.;q=0", (b"identity",)),
        (b"gzip;q=0., br;q=1.", (b"br", b"identity")),
        (b"gzip, gzip;q=0", (b"gzip", b"identity")),
        (b",,br,,", (b"br", b"identity")),
        (b"deflate;q=0," * 99 + b"br", (b"br", b"identity")),
        (b"deflate;q=0," * 100 + b"br", (b"identity",)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else repr(value)[:40],
)
def test_acceptable_codings(value, expected):
    """Weights order the codings, then our preference; identity is last unless listed."""
    assert fields.acceptable_codings(value) == expected


CODING = st.sampled_from(["br", "zstd", "gzip", "identity", "*", "x-gzip", "deflate"])
WEIGHT = st.sampled_from(["", ";q=0", ";q=0.5", ";q=1", ";q=0.123", ";q=7"])


@given(st.lists(st.builds(str.__add__, CODING, WEIGHT)).map(lambda items: ",".join(items).encode()))
def test_codings_are_ours_and_distinct(value):
    """Any list gives each of our codings at most once."""
    codings = fields.acceptable_codings(value)

    assert len(set(codings)) == len(codings)
    assert set(codings) <= set(ALL)


@given(st.binary())
def test_codings_of_any_bytes(value):
    """Reading Accept-Encoding never raises."""
    assert set(fields.acceptable_codings(value)) <= set(ALL)


# Hostile size


@pytest.mark.parametrize(
    "unit",
    [
        b'"',
        b'\\"',
        b'"\\',
        b",",
        b'"",',
        b'W/"",',
        b" ",
        b'" ',
        b"a=",
        b'a="b\\',
        b"gzip;q=0.",
        b"0",
    ],
    ids=repr,
)
def test_hostile_values_return(unit):
    """100 KB of any repeated fragment is read in one pass; a quadratic reader would not return."""
    value = unit * (HUGE // len(unit))

    assert sum(map(len, fields.split_list(value))) <= len(value)
    assert isinstance(fields.parse_entity_tags(value), tuple | None)
    assert isinstance(fields.parse_cache_control([value]), dict)
    assert isinstance(fields.acceptable_codings(value), tuple)
    assert fields.parse_http_date(value) is None
    assert fields.is_field_value(value)
