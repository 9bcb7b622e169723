"""
Targeted cache control: directives for one class of caches, written as a structured field.

Laws: a field is read whole or not at all; one fault anywhere and it is as if it were not there,
as is an empty one. Keys are lower-case, so `Max-Age` is a fault and not a directive. What comes out
has the shape of `fields.parse_cache_control`, and everything after it treats both alike.

RFC 9213 names RFC 8941, not its successor: the two types that RFC 9651 added are faults here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from edge.http.fields import Fields

Members = dict[bytes, bytes | None]
"""Directives by lower-case name, each with its argument, or None without one."""

Value = int | bool | str | bytes | None
"""An Integer, a Boolean, a String, a Token; None for what no cache directive takes."""

# RFC 8941 §3.1.2 key, §3.3 bare items, §3.1.2 parameters, §3.1.1 inner lists
KEY = rb"[a-z*][a-z0-9_.*-]*+"
INTEGER = rb"-?+[0-9]{1,15}+(?![0-9.])"
DECIMAL = rb"-?+[0-9]{1,12}+\.[0-9]{1,3}+(?![0-9.])"
STRING = rb'"(?:[ !#-\[\]-~]|\\["\\])*+"'
TOKEN = rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*+"
BYTES = rb":[A-Za-z0-9+/=]*+:"
BOOLEAN = rb"\?[01]"
BARE = b"(?:" + b"|".join((INTEGER, DECIMAL, STRING, TOKEN, BYTES, BOOLEAN)) + b")"
PARAMETERS = b"(?:; *+" + KEY + b"(?:=" + BARE + b")?+)*+"
ITEM = BARE + PARAMETERS
INNER_LIST = rb"\( *+(?:" + ITEM + b"(?: ++" + ITEM + rb")*+ *+)?+\)"

MEMBER = re.compile(
    b"(?P<key>" + KEY + b")(?:="
    b"(?:(?P<integer>" + INTEGER + b")|(?P<string>" + STRING + b")|(?P<token>" + TOKEN + b")"
    rb"|\?(?P<boolean>[01])|(?P<other>"
    + DECIMAL
    + b"|"
    + BYTES
    + b"|"
    + INNER_LIST
    + b")))?+"
    + PARAMETERS
    + rb"[ \t]*+(?P<more>,[ \t]*+)?+"
)
"""One member and the comma behind it."""

ESCAPED = re.compile(r"\\(.)")
SECONDS = frozenset((b"max-age", b"s-maxage", b"stale-if-error", b"stale-while-revalidate"))
"""Directives whose argument is an Integer and nothing else."""


def targeted_directives(fields: Fields, names: Iterable[bytes]) -> Members | None:
    """
    The directives of the first of `names` (a target list) that is valid and not empty, else None.

    Where there are any, Cache-Control and Expires say nothing to this cache.

    Source: RFC 9213 §2.2.
    """
    for name in names:
        values = fields.getall(name)
        if values and (dictionary := parse_dictionary(b", ".join(values))):
            return directives_of(dictionary)
    return None


def directives_of(dictionary: dict[bytes, Value]) -> Members:
    """
    The cache directives that a dictionary states.

    What is false is not stated. An argument of a type that its directive does not take is empty,
    so that a broken lifetime reads as one that has passed; §2.1: it SHOULD NOT be consumed.

    Source: RFC 9213 §2.1.
    """
    stated = {name: value for name, value in dictionary.items() if value is not False}
    return {name: argument_of(name, value) for name, value in stated.items()}


def argument_of(name: bytes, value: Value) -> bytes | None:
    """A directive's argument as Cache-Control would have it, unquoted."""
    if value is True:
        return None
    if isinstance(value, int):
        return b"%d" % value
    if name in SECONDS or value is None:
        return b""
    return value.encode("ascii") if isinstance(value, str) else value


def parse_dictionary(value: bytes) -> dict[bytes, Value] | None:
    """
    The members of a Dictionary, None for anything that is not one; of a key given twice the last.

    Parameters are checked and dropped.

    Source: RFC 8941 §4.2, §4.2.2.
    """
    text = value.strip(b" ")
    members: dict[bytes, Value] = {}
    position, more = 0, bool(text)
    while more:
        member = MEMBER.match(text, position)
        if member is None:
            return None
        members[member["key"]] = value_of(member)
        position, more = member.end(), member["more"] is not None
    return members if position == len(text) else None


def value_of(member: re.Match[bytes]) -> Value:
    """The value of a matched member; a key alone is true (RFC 8941 §3.2)."""
    if (digits := member["integer"]) is not None:
        return int(digits)
    if (quoted := member["string"]) is not None:
        return ESCAPED.sub(r"\1", quoted[1:-1].decode("ascii"))
    if (token := member["token"]) is not None:
        return token
    return None if member["other"] is not None else member["boolean"] != b"0"
