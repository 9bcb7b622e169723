"""Dictionaries against RFC 8941's examples and its parser written out; directives of RFC 9213."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.fields import FieldList
from edge.http.targeted import directives_of, parse_dictionary, targeted_directives

CDN = b"cdn-cache-control"
OWN = b"edge-cache-control"


# Dictionaries


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", {}),
        (b"   ", {}),
        (b"x", {b"x": True}),
        (b"max-age=60", {b"max-age": 60}),
        (b" max-age=60 ", {b"max-age": 60}),
        (b"a=-0, b=-999999999999999", {b"a": 0, b"b": -999_999_999_999_999}),
        (b'en="Applepie", da=:w4ZibGV0w6ZydGU=:', {b"en": "Applepie", b"da": None}),
        (b"a=?0, b, c; foo=bar", {b"a": False, b"b": True, b"c": True}),
        (b"rating=1.5, feelings=(joy sadness)", {b"rating": None, b"feelings": None}),
        (b"a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid", {b"a": None, b"b": 3, b"c": 4, b"d": None}),
        (b'a=( "x";q=1   tok ), b=()', {b"a": None, b"b": None}),
        (b"a=1;  b;c=?1;d=:YQ==:;e=1.250", {b"a": 1}),
        (b"a=*tok/en:x%", {b"a": b"*tok/en:x%"}),
        (b'a="q\\"b\\\\"', {b"a": 'q"b\\'}),
        (b"a=?1", {b"a": True}),
        (b"*.-_9=1", {b"*.-_9": 1}),
        (b"a\t ,\t b\t", {b"a": True, b"b": True}),
        (b"a=1, b=2, a=3", {b"a": 3, b"b": 2}),
        (b"a=999999999999.999", {b"a": None}),
    ],
    ids=repr,
)
def test_dictionaries(value, expected):
    """Members keep their types; parameters go; the last of a key counts (§3.2, §4.2.2)."""
    assert parse_dictionary(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"a,",
        b"a, ",
        b",a",
        b"a,,b",
        b"a b",
        b"\ta",
        b"A=1",
        b"1a=1",
        b"a =1",
        b"a= 1",
        b"a=",
        b"a=1 ;b",
        b"a;",
        b"a;;b",
        b"a;b=",
        b"a;B",
        b"a=1000000000000000",
        b"a=1.",
        b"a=.5",
        b"a=1.0000",
        b"a=1234567890123.0",
        b"a=1.5.5",
        b"a=+1",
        b"a=--1",
        b"a=?2",
        b"a=?",
        b'a="x',
        b'a="\\x"',
        b'a="\x7f"',
        b'a="\xe9"',
        b"a=\xe9",
        b"a=:YQ",
        b"a=:Y*:",
        b"a=(1",
        b"a=(1 2",
        b"a=(1\t2)",
        b"a=(1,2)",
        b"a=((1))",
        b"a=(1)2",
        b"a=@1659578233",
        b'a=%"f%c3%bc"',
        b"max-age=10000, &&&&&",
    ],
    ids=repr,
)
def test_no_dictionaries(value):
    """One fault anywhere and nothing is read; types of RFC 9651 are faults (§4.2)."""
    assert parse_dictionary(value) is None


class Parser:
    """RFC 8941 §4.2, step by step, as prose has it. Raises ValueError to fail."""

    def __init__(self, value: bytes) -> None:
        self.text = value.decode("ascii")

    def take(self, pattern: str) -> str:
        """What the text begins with."""
        match = re.match(pattern, self.text)
        if match is None:
            raise ValueError(self.text)
        self.text = self.text[match.end() :]
        return match[0]

    def dictionary(self) -> dict[bytes, object]:
        """§4.2.2."""
        self.take(" *")
        members: dict[bytes, object] = {}
        while self.text.strip(" "):
            key = self.take(r"[a-z*][a-z0-9_\-.*]*")
            members[key.encode()] = self.member()
            self.parameters()
            self.take("[ \t]*")
            if not self.text:
                return members
            self.take(",")
            self.take("[ \t]*")
            if not self.text:
                raise ValueError
        return members

    def member(self) -> object:
        """What follows a key."""
        if self.text[:1] != "=":
            return True
        self.take("=")
        return self.inner_list() if self.text[:1] == "(" else self.item()

    def inner_list(self) -> None:
        """§4.2.1.2."""
        self.take(r"\(")
        while True:
            self.take(" *")
            if self.text[:1] == ")":
                self.take(r"\)")
                return
            self.item()
            self.parameters()
            if self.text[:1] not in (" ", ")") or not self.text:
                raise ValueError

    def parameters(self) -> None:
        """§4.2.3.2."""
        while self.text[:1] == ";":
            self.take("; *")
            self.take(r"[a-z*][a-z0-9_\-.*]*")
            if self.text[:1] == "=":
                self.take("=")
                self.item()

    def item(self) -> object:
        """§4.2.3.1."""
        first = self.text[:1]
        if first == "-" or first.isdigit():
            return self.number()
        if first == '"':
            return self.string()
        if first == ":":
            self.take(":[A-Za-z0-9+/=]*:")
            return None
        if first == "?":
            return self.take(r"\?[01]") == "?1"
        return self.take(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*").encode()

    def number(self) -> int | None:
        """§4.2.4."""
        digits = self.take("-?[0-9]+")
        if self.text[:1] == ".":
            fraction = self.take(r"\.[0-9]*")
            if len(digits.lstrip("-")) > 12 or not 2 <= len(fraction) <= 4:
                raise ValueError
            return None
        if len(digits.lstrip("-")) > 15:
            raise ValueError
        return int(digits)

    def string(self) -> str:
        """§4.2.5."""
        quoted = self.take(r'"(?:[ !#-\[\]-~]|\\["\\])*"')
        return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def parse_slowly(value: bytes) -> dict[bytes, object] | None:
    """The dictionary by the RFC's own steps."""
    try:
        return Parser(value.strip(b" ")).dictionary()
    except ValueError:
        return None


TEXTS = st.text(alphabet='ab*=,; \t"()?10.-:/\\A', max_size=24).map(str.encode)


@given(TEXTS | st.binary(max_size=20))
def test_dictionaries_equal_the_steps_of_the_rfc(value):
    """The expression and the algorithm in prose read the same members in any value."""
    assert parse_dictionary(value) == parse_slowly(value)


@pytest.mark.parametrize(
    "value",
    [
        b"a=(" + b"1 " * 50_000,
        b'a="' + b"\\\\" * 50_000,
        b"a" + b";b" * 50_000 + b"!",
        b"a=(" + b" " * 100_000,
        b"a" * 100_000 + b"=!",
        b"a, " * 30_000,
    ],
    ids=["inner-list", "string", "parameters", "blanks", "key", "members"],
)
def test_hostile_dictionaries_are_read_in_linear_time(value):
    """A hundred kilobytes of anything take milliseconds."""
    began = time.process_time()
    parse_dictionary(value)

    assert time.process_time() - began < 1


# Directives


def test_directives_have_the_shape_of_cache_control():
    """Booleans are bare, what is false is not there, Strings come unquoted (RFC 9213 §2.1)."""
    members = parse_dictionary(
        b'no-store, public=?0, max-age=60, no-cache="a, b", private=set-cookie, x=1.5'
    )
    assert members is not None

    assert directives_of(members) == {
        b"no-store": None,
        b"max-age": b"60",
        b"no-cache": b"a, b",
        b"private": b"set-cookie",
        b"x": b"",
    }


@pytest.mark.parametrize(
    "name", [b"max-age", b"s-maxage", b"stale-if-error", b"stale-while-revalidate"]
)
@pytest.mark.parametrize("value", [b'"60"', b"sixty", b"60.0", b"(60)", b":YQ==:"])
def test_seconds_are_integers_alone(name, value):
    """A lifetime of another type is not coerced; it is there and says nothing (§2.1)."""
    members = parse_dictionary(b"%b=%b" % (name, value))
    assert members is not None

    assert directives_of(members) == {name: b""}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([(CDN, b"max-age=1")], {b"max-age": b"1"}),
        ([(CDN, b"max-age=1"), (OWN, b"max-age=2")], {b"max-age": b"2"}),
        ([(CDN, b"max-age=1"), (OWN, b"")], {b"max-age": b"1"}),
        ([(CDN, b"max-age=1"), (OWN, b"&")], {b"max-age": b"1"}),
        ([(CDN, b""), (OWN, b"&")], None),
        ([(CDN, b"max-age=1"), (CDN, b"public")], {b"max-age": b"1", b"public": None}),
        ([(CDN, b"max-age=1"), (CDN, b"max-age=2")], {b"max-age": b"2"}),
        ([(CDN, b"a=?0")], {}),
        ([(CDN, b"none")], {b"none": None}),
    ],
    ids=[
        "absent",
        "one",
        "first-of-the-list",
        "empty-is-skipped",
        "invalid-is-skipped",
        "nothing-valid",
        "lines-joined",
        "last-counts",
        "false-alone",
        "rfc-none",
    ],
)
def test_the_first_valid_field_of_the_target_list_counts(lines, expected):
    """What is empty or has a fault is as if it were not there (RFC 9213 §2.2)."""
    assert targeted_directives(FieldList(lines), (OWN, CDN)) == expected


@given(st.lists(st.binary(max_size=30) | TEXTS, max_size=3))
def test_any_bytes_give_directives_or_none(values):
    """Reading a targeted field never raises."""
    directives = targeted_directives(FieldList([(CDN, value) for value in values]), (CDN,))

    assert directives is None or all(name == name.lower() for name in directives)
