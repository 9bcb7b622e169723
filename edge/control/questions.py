"""
What people ask about requests: `explain`, of what serves or of rules given along.

Laws: a question changes nothing. What is asked with rules of its own is asked of these alone, with
files that are names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from edge.control import approach
from edge.control.announcements import Malformed
from edge.control.rehearsals import Rehearsals, inline
from edge.control.stored import Look, add_stored
from edge.errors import MalformedRequest, Mistaken
from edge.http.fields import FieldList, is_field_value, is_token
from edge.http.message import Request
from edge.http.target import encode_path
from edge.site.certificates import Keyring
from edge.site.countries import COUNTRIES
from edge.site.decoding import decode_json
from edge.site.explain import explain
from edge.site.hosts import parse_authority
from edge.site.paths import check_artifact_path
from edge.site.redirects import decode_redirects
from edge.site.rehearsal import World, make_request
from edge.site.scopes import Scope

HOST = "www.example.com"
"""Of a question with rules of its own whose request is a path."""

MAX_FILES = 100_000

URL: Final = re.compile(
    r"(?:https?://|(?![a-z][a-z0-9+.-]*:/))([^/?#]+)([^?#]*)(\?[^#]*)?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
"""Authority, path, query: the scheme may be left out, any other one is refused."""

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
    rules: msgspec.Raw = msgspec.Raw()
    """As in `redirects.json`. Not `Raw | None`: that decodes nothing but null."""
    files: list[str] = []
    """The paths of what these rules decide over."""

    @property
    def is_inline(self) -> bool:
        """Whether it brings rules."""
        return bytes(self.rules) not in (b"", b"null")


def ask(
    body: bytes,
    rehearsals: Rehearsals,
    look: Look,
    read_keyring: Callable[[], Keyring] = Keyring,
    scope: Scope | None = None,
) -> dict[str, Any]:
    """
    The trail of the request that a question is about, as a document.

    `look` is asked what is stored of an origin's answers, `read_keyring` what names are served
    with.

    Raises:
        Malformed: it is no question.
        Mistaken: its rules have mistakes.
        Forbidden: it is about a host outside the scope of who asks.
    """
    try:
        question = decode_json(body, Question)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Malformed(f"{error}; {FORM}") from error
    asked = question.request
    if isinstance(asked, str):
        asked = Asked(asked)
    country = check_country(asked.country)
    if question.files and not question.is_inline:
        raise Malformed("files go with rules: send both, or neither to ask what serves")
    request = request_of(asked, is_inline=question.is_inline)
    world = world_of(question, request) if question.is_inline else rehearsals.serving()
    if scope is not None and not question.is_inline:
        check_host(request, world, scope)
    keyring = Keyring() if question.is_inline else read_keyring()
    trail = approach.lead(asked.url, request, world, keyring)
    if trail is None:
        trail = explain(request, world, country)
        trail.steps[:0] = approach.tell_certificate(request, world, keyring)
    if not question.is_inline:
        add_stored(trail, look)
    document: dict[str, Any] = msgspec.to_builtins(trail)
    return document


def check_host(request: Request, world: World, scope: Scope) -> None:
    """Refuse a question about what is not a token's to look at."""
    try:
        site = world.snapshot.resolve(request.authority)
    except MalformedRequest:
        site = None
    if site is None or site.branch is None:
        raise scope.refusal()
    scope.require("read", site.branch.app, site.branch.name)


def world_of(question: Question, request: Request) -> World:
    """A world of the rules and files of a question."""
    rules, errors, _ = decode_redirects(bytes(question.rules).decode(), "rules.json")
    if rules is None:
        raise Mistaken(errors)
    if len(question.files) > MAX_FILES:
        raise Malformed(f"there are more than {MAX_FILES} files")
    files = [check_file(path) for path in question.files]
    try:
        return inline(rules, files, parse_authority(request.authority))
    except MalformedRequest as error:
        raise Malformed(str(error)) from error


def check_file(path: str) -> str:
    """The path of a file, with a slash in front or not."""
    try:
        return check_artifact_path(path.removeprefix("/"))
    except ValueError as error:
        raise Malformed(f"{path[:200]!r}: {error}") from error


def check_country(country: str | None) -> str | None:
    """A country's code in upper case."""
    code = country.upper() if country is not None else None
    if code is not None and code not in COUNTRIES:
        raise Malformed(f"{code[:20]!r} is no country: write a code such as US")
    return code


def request_of(asked: Asked, *, is_inline: bool) -> Request:
    """
    The request as a connection would make it; characters that URLs lack are escaped.

    A header Host takes the place of the URL's, as with curl.
    """
    url = asked.url.strip()
    if url.startswith("/") and is_inline:
        url = HOST + url
    found = URL.fullmatch(url)
    if found is None:
        raise Malformed(f"{asked.url[:200]!r} is no URL: write https://host/path")
    authority, path, query = found.groups("")
    fields = fields_of(asked.headers)
    return make_request(
        fields.get(b"host", authority.encode()),
        escaped((path or "/") + query),
        check_method(asked.method),
        fields,
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
