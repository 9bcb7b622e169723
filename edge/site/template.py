"""
The target of a rule, compiled: what a request becomes.

Laws: a capture is substituted once and never read again as a placeholder; it is data, so it adds no
authority, no query, no fragment and no dot segment that the target did not have. Nothing that
leaves here holds a byte outside of visible ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import quote

import msgspec

from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site import reading
from edge.site.hosts import canonical_host
from edge.site.pattern import PLAIN, REST, Domain, Expression, Source
from edge.site.subject import Captures, Subject

PLACE: Final = re.compile(r"\$?<([^<>/?&=#]+)>")
PLACE_OR_GROUP: Final = re.compile(r"\$?<([^<>/?&=#]+)>|\$([1-9][0-9]?)")
ORIGIN: Final = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)
SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|//|[/\\]\\")
PORT: Final = re.compile(r":(?:[1-9][0-9]{0,4})\Z")

IN_PATH: Final = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@%/-]")
IN_QUERY: Final = re.compile(rb"[^A-Za-z0-9._~!$'()*,;=:@%/?-]")
"""Without `&` and `+`: a capture is one value, whatever it holds."""

IN_FRAGMENT: Final = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@%/?-]")
UNSENDABLE: Final = re.compile(rb"[^!-~]|#")
"""What never goes into a Location's query, though the rest of a query goes as it came."""

LITERAL: Final = "%!$&'()*+,;=:@/~"
"""What `quote` leaves of an operator's text, `%` included: what is escaped already stays so."""

DOT_SEGMENT: Final = re.compile(rb"/(?:\.|%2[Ee]){1,2}(?:/|\Z)")
DOMAIN_END: Final = re.compile(rb"(?:\.[A-Za-z0-9-]+)+")
HOST_PART: Final = re.compile(rb"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")

MAX_FILLED: Final = 16_384
"""
Bytes of one part of a target once it is filled in: twice what a request line holds.

A capture may stand in a target hundreds of times, and an escape makes three bytes of one.
"""

Pieces = tuple[bytes | str, ...]
"""Bytes as they are, and names of captures."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """One target."""

    origin: Pieces
    """Scheme and authority; empty for a path of this site."""
    path: Pieces
    """With its slash, or empty behind an origin."""
    query: Pieces | None
    fragment: Pieces | None
    appends: bool
    """Whether path and query of the request are put behind it: a domain's without `<*>`."""
    keeps_query: bool
    """Whether the request's query goes along: neither source nor target has one."""
    fixed: bytes | None
    """Origin and path, where they depend on nothing."""
    fixed_path: str | None
    """The same decoded, for a path of this site."""

    @property
    def scheme(self) -> bytes:
        """`http` or `https`; empty for a path of this site."""
        first = self.fixed if self.fixed is not None else b"".join(literals(self.origin))
        return first.partition(b"://")[0] if self.origin else b""

    @property
    def prefix(self) -> bytes:
        """What is in front of `<*>` at the end of its path; empty where something else is there."""
        if self.appends:
            return b"".join(literals(self.path)) or b"/"
        pieces = self.path
        is_prefix = len(pieces) == 2 and isinstance(pieces[0], bytes) and pieces[1] == REST
        return pieces[0] if is_prefix else b""  # type: ignore[return-value]

    def location(self, subject: Subject, captures: Captures) -> bytes:
        """
        The value of Location; relative when the target is a path.

        Raises:
            MalformedRequest: a capture is no part of a host, makes a dot segment, or is too long.
        """
        location = self.fill_path(subject, captures)
        if self.query is not None or subject.query is not None:
            location += self.fill_query(subject, captures)
        if self.fragment is None:
            return location
        return location + b"#" + fill(self.fragment, IN_FRAGMENT, subject, captures)

    def url(self, subject: Subject, captures: Captures) -> bytes:
        """An absolute URL to fetch. Raises as `location`."""
        path = self.fill_path(subject, captures)
        slash = b"" if self.path or self.appends else b"/"
        return path + slash + self.fill_query(subject, captures)

    def file_path(self, subject: Subject, captures: Captures) -> str:
        """A path of this site, decoded. Raises as `location`."""
        if self.fixed_path is not None:
            return self.fixed_path
        return decode_path(self.fill_path(subject, captures))

    def fill_path(self, subject: Subject, captures: Captures) -> bytes:
        """Origin and path."""
        if self.fixed is not None:
            return self.fixed
        path = fill(self.path, IN_PATH, subject, captures)
        if self.appends:
            path = path.removesuffix(b"/") + IN_PATH.sub(escape, subject.resolved)
        if (b"/." in path or b"/%" in path) and DOT_SEGMENT.search(path):
            raise MalformedRequest("a capture makes a dot segment")
        if self.origin:
            return fill_origin(self.origin, subject, captures) + path
        # Two slashes would begin an authority, and a browser takes a backslash for a slash (which
        # never arrives here: it is escaped).
        return b"/" + path.lstrip(b"/")

    def fill_query(self, subject: Subject, captures: Captures) -> bytes:
        """The query with its `?`: the target's own, the request's, or nothing."""
        if self.query is not None:
            return b"?" + fill(self.query, IN_QUERY, subject, captures)
        if self.keeps_query and subject.query is not None:
            return b"?" + sendable(subject.query)
        return b""


def sendable(query: bytes) -> bytes:
    """A request's query as it may stand in a Location: byte for byte, but for what is no URL."""
    return UNSENDABLE.sub(escape, query)


def fill(pieces: Pieces, unsafe: re.Pattern[bytes], subject: Subject, captures: Captures) -> bytes:
    """
    The pieces with what was captured, escaped where it would mean more than itself.

    Raises:
        MalformedRequest: it gets longer than anybody could use.
    """
    parts, size = [], 0
    for piece in pieces:
        if isinstance(piece, bytes):
            part = piece
        else:
            part = captured(piece, subject, captures)
            if not part.isalnum():  # most are, and need no search: 0.2 µs
                part = unsafe.sub(escape, part)
        size += len(part)
        if size > MAX_FILLED:
            raise MalformedRequest("what was captured makes too long a target")
        parts.append(part)
    return b"".join(parts)


def captured(name: str, subject: Subject, captures: Captures) -> bytes:
    """A capture as it arrived."""
    found = captures[name]
    return found if isinstance(found, bytes) else subject.arrived(found)


def escape(found: re.Match[bytes]) -> bytes:
    """One byte, percent-encoded."""
    return b"%%%02X" % found[0][0]


def fill_origin(pieces: Pieces, subject: Subject, captures: Captures) -> bytes:
    """Scheme and authority; a capture there is labels of a host and nothing else."""
    for piece in pieces:
        if isinstance(piece, str) and not HOST_PART.fullmatch(captured(piece, subject, captures)):
            raise MalformedRequest("a capture is no part of a host name")
    return fill(pieces, IN_PATH, subject, captures)


def compile_target(text: str, source: Source) -> Target:
    """
    A target, for what its rule's source captures.

    Raises:
        ValueError: (problem, remedy)
    """
    is_domain = isinstance(source.path, Domain)
    if PLAIN.fullmatch(text) and not is_domain and not text.startswith("//"):
        return plain_target(text, source)
    if not ORIGIN.match(text) and SCHEME.match(text):
        problem = f"the target {text[:80]!r} is neither a path nor an http URL"
        raise ValueError(problem, "write / and a path, or https:// and a host")
    rest, hash_, fragment = text.partition("#")
    rest, mark, query = rest.partition("?")
    found = ORIGIN.match(rest)
    path = rest[found.end() :] if found else "/" + rest.removeprefix("/")
    place = PLACE_OR_GROUP if isinstance(source.path, Expression) else PLACE
    origin = compile_origin(found[1], found[2], source, place) if found else ()
    pieces = split(path, source.names, place)
    appends = is_domain and REST not in pieces
    is_done = not appends and is_fixed(origin + pieces)
    fixed = b"".join(literals(pieces)) if is_done else None
    check_path(pieces)
    return Target(
        origin=origin,
        path=pieces,
        query=split(query, source.names, place, "?") if mark else None,
        fragment=split(fragment, source.names, place, "?") if hash_ else None,
        appends=appends,
        keeps_query=not mark and not source.parameters,
        fixed=None if fixed is None else b"".join(literals(origin)) + fixed,
        fixed_path=None if fixed is None or found else decode_path(fixed),
    )


def plain_target(text: str, source: Source) -> Target:
    """A target that is one path, as most are: a tenth of the cost."""
    fixed = text.encode()
    return Target(
        origin=(),
        path=(fixed,),
        query=None,
        fragment=None,
        appends=False,
        keeps_query=not source.parameters,
        fixed=fixed,
        fixed_path=text,
    )


def compile_origin(scheme: str, authority: str, source: Source, place: re.Pattern[str]) -> Pieces:
    """
    `https://` and a host, with a port perhaps.

    What is captured never ends the host: `.evil.com` behind `https://example.com` would be another.
    """
    port = PORT.search(authority)
    if port and int(port[0][1:]) > 65_535:
        raise ValueError(f"there is no port {port[0][1:]}", "ports are 1 to 65535")
    host = authority[: port.start()] if port else authority
    pieces = split(host, source.names, place)
    try:
        checked = canonical_host(place.sub("x", host))
    except ValueError as error:
        raise ValueError(str(error), "write https:// and the host's name") from error
    if is_fixed(pieces):
        pieces = (checked.encode(),)
    elif not isinstance(pieces[-1], bytes) or not DOMAIN_END.fullmatch(pieces[-1]):
        problem = f"a capture can change the domain in {authority[:80]!r}"
        raise ValueError(problem, "write / behind the host, or <name>.example.com")
    return (f"{scheme.lower()}://".encode(), *pieces, port[0].encode() if port else b"")


def split(text: str, names: Collection[str], place: re.Pattern[str], more: str = "") -> Pieces:
    """A part of a target as pieces; `more` is what it may hold unescaped beside a path."""
    pieces: list[bytes | str] = []
    at = 0
    for found in place.finditer(text):
        name = found[found.lastindex or 1]
        if name not in names:
            raise ValueError(*unknown_placeholder(found[0], names))
        pieces += [quote(text[at : found.start()], safe=LITERAL + more).encode(), name]
        at = found.end()
    pieces.append(quote(text[at:], safe=LITERAL + more).encode())
    return tuple(piece for piece in pieces if piece)


def unknown_placeholder(written: str, names: Collection[str]) -> tuple[str, str]:
    """Problem and remedy, with the nearest name that the source has."""
    captured = [f"${name}" if name.isdigit() else f"<{name}>" for name in sorted(names)]
    near = reading.nearest(written.lstrip("$")[:60], captured)
    known = ", ".join(captured) or "nothing"
    return f"unknown placeholder {written[:60]}", near or f"the source captures {known}"


def check_path(pieces: Pieces) -> None:
    """Refuses a path that could never be decoded."""
    path = b"".join(piece if isinstance(piece, bytes) else b"x" for piece in pieces)
    try:
        decode_path(path or b"/")
    except MalformedRequest as error:
        problem = f"bad target: {error}"
        raise ValueError(problem, "write the path as a browser sends it, % as %25") from error
    if DOT_SEGMENT.search(path):
        raise ValueError("the target has dot segments", "write the path that they lead to")


def is_fixed(pieces: Pieces) -> bool:
    """Whether nothing is to be filled in."""
    return not any(isinstance(piece, str) for piece in pieces)


def literals(pieces: Pieces) -> list[bytes]:
    """The pieces that are no names."""
    return [piece for piece in pieces if isinstance(piece, bytes)]
