"""
What people ask about requests: `explain`, of what serves or of rules given along.

Laws: a question changes nothing. What is asked with rules of its own is asked of these alone, with
files that are names.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.control.announcements import Malformed
from edge.control.rehearsals import Rehearsals, inline
from edge.errors import MalformedRequest, Mistaken
from edge.http.fields import FieldList, is_field_value, is_token
from edge.http.message import Request
from edge.http.target import encode_path
from edge.site.countries import COUNTRIES
from edge.site.explain import explain
from edge.site.hosts import parse_authority
from edge.site.paths import check_artifact_path
from edge.site.redirects import decode_redirects
from edge.site.rehearsal import World, make_request

HOST = "www.example.com"
"""Of a question with rules of its own whose request is a path."""

MAX_FILES = 100_000

FORM = 'send {"request": "https://host/path"}, or {"request": {"url": …, "method": …}}'


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request that somebody asks about."""

    url: str
    """`https://host/path?query`; the scheme may be left out."""
    method: str = "GET"
    country: str | None = None
    headers: dict[str, str] = {}


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """A request, and the rules and files to ask instead of those that serve."""

    request: str | Asked
    rules: msgspec.Raw | None = None
    files: list[str] = []


def ask(body: bytes, rehearsals: Rehearsals) -> dict[str, Any]:
    """
    The trail of the request that a question is about, as a document.

    Raises:
        Malformed: it is no question.
        Mistaken: its rules have mistakes.
    """
    try:
        question = msgspec.json.decode(body, type=Question)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f"{error}; {FORM}") from error
    asked = question.request
    if isinstance(asked, str):
        asked = Asked(asked)
    country = check_country(asked.country)
    request = request_of(asked, is_inline=question.rules is not None)
    if question.rules is None:
        trail = explain(request, rehearsals.serving(), country)
    else:
        trail = explain(request, world_of(question, request), country)
    document: dict[str, Any] = msgspec.to_builtins(trail)
    return document


def world_of(question: Question, request: Request) -> World:
    """A world of the rules and files of a question."""
    text = bytes(question.rules or b"").decode()
    rules, errors, _ = decode_redirects(text, "rules.json")
    if rules is None:
        raise Mistaken(errors)
    if len(question.files) > MAX_FILES:
        raise Malformed(f"there are more than {MAX_FILES} files")
    try:
        files = [check_artifact_path(path.removeprefix("/")) for path in question.files]
        return inline(rules, files, parse_authority(request.authority))
    except (ValueError, MalformedRequest) as error:
        raise Malformed(str(error)) from error


def check_country(country: str | None) -> str | None:
    """A country's code in upper case."""
    code = country.upper() if country is not None else None
    if code is not None and code not in COUNTRIES:
        raise Malformed(f"{code[:20]!r} is no country: write a code such as US")
    return code


def request_of(asked: Asked, *, is_inline: bool) -> Request:
    """The request as a connection would make it; characters that URLs lack are escaped."""
    url = asked.url.strip()
    if url.startswith("/") and is_inline:
        url = HOST + url
    if "://" not in url:
        url = "http://" + url
    scheme, _, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    if "?" in authority:
        authority, _, query = authority.partition("?")
        slash, target = "/?", query
    if scheme not in ("http", "https") or not authority:
        raise Malformed(f"{asked.url[:200]!r} is no URL: write https://host/path")
    path = (slash + target.partition("#")[0]) or "/"
    return make_request(
        authority.encode(), escaped(path), check_method(asked.method), fields_of(asked.headers)
    )


def escaped(target: str) -> bytes:
    """A target as it travels: what is no visible ASCII is percent-encoded."""
    return b"".join(each.encode() if "!" <= each <= "~" else encode_path(each) for each in target)


def check_method(method: str) -> bytes:
    """A method's name."""
    name = method.encode()
    if not is_token(name):
        raise Malformed(f"{method[:40]!r} is no method: write GET, HEAD, POST …")
    return name


def fields_of(headers: dict[str, str]) -> FieldList:
    """Fields of a request."""
    lines = [(name.lower().encode(), value.strip().encode()) for name, value in headers.items()]
    for name, value in lines:
        if not is_token(name) or not is_field_value(value):
            raise Malformed(f"{name.decode()!r} is no header: write 'Name: value'")
    return FieldList(lines)
