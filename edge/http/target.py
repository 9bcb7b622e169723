"""
The request target: one decoding policy for rules, look-up and logs.

Laws: the path is split from the query at the first `?`, percent-decoded once as UTF-8, and its
dot segments are resolved before anything is decided. What two readers could read differently is
refused (400). `%2F` stays encoded: it is data, not a separator.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from edge.errors import MalformedRequest

PLAIN = re.compile(rb"(?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@-]*)+")
"""Paths that decode to themselves: no escape, and no segment that begins with a dot."""

ESCAPE = re.compile(rb"%(?:([0-9A-Fa-f]{2})|)")
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
ABSOLUTE_FORM = re.compile(rb"(?i)https?://([^/?#@]+)((?:[/?][^#]*)?)")
SAFE = "/!$&'()*+,;=:@~"
"""Characters of RFC 3986 §3.3 `pchar` that `quote` would escape."""


def split_query(target: bytes) -> tuple[bytes, bytes | None]:
    """(path, query) of an origin-form target; None when there is no `?` at all."""
    path, mark, query = target.partition(b"?")
    return path, query if mark else None


def decode_path(path: bytes) -> str:
    """
    The path that decides: decoded once, dot segments resolved, `%2F` kept as written.

    Raises:
        MalformedRequest: bad escape, control character, backslash, a `#` that is not escaped,
            invalid UTF-8, or a path that leaves the root.

    Source: RFC 3986 §2.1, §5.2.4. Cost: one regex for plain paths.
    """
    if PLAIN.fullmatch(path):
        return path.decode("ascii")
    if path[:1] != b"/":
        raise MalformedRequest("the path does not begin with /")
    if b"#" in path:
        raise MalformedRequest("the path holds a fragment")
    try:
        text = ESCAPE.sub(_unescape, path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequest("the path is not UTF-8") from error
    if FORBIDDEN.search(text):
        raise MalformedRequest("the path holds a control character or a backslash")
    return _resolve_dots(text)


def encode_path(path: str) -> bytes:
    """The path as it goes into a Location: everything outside `pchar` escaped, `%2F` as it was."""
    return b"%2F".join(quote(part, safe=SAFE).encode() for part in path.split("%2F"))


def _unescape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        raise MalformedRequest("the path holds a % that begins no escape")
    byte = bytes.fromhex(digits.decode("ascii"))
    return b"%2F" if byte == b"/" else byte


def _resolve_dots(path: str) -> str:
    """RFC 3986 §5.2.4, but a path that leaves the root is refused instead of clamped."""
    if "/." not in path:
        return path
    segments: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            if not segments:
                raise MalformedRequest("the path leaves the root")
            segments.pop()
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """
    (origin-form or `*`, authority) of a request target that is not in origin-form.

    A `Host` that disagrees with an absolute-form target is refused: a front and a back that pick
    different ones is how hosts are confused (RFC 9112 §3.2.2 would let the target win).

    Raises:
        MalformedRequest: authority-form outside CONNECT, or another form that means nothing here.
    """
    if target == b"*" and method == b"OPTIONS":
        return target, host
    if method == b"CONNECT":
        return target, host
    absolute = ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise MalformedRequest("the request target is neither a path nor an absolute URL")
    authority, rest = absolute[1], absolute[2]
    if host and host.lower() != authority.lower():
        raise MalformedRequest("Host and the authority of the request target differ")
    return (rest if rest[:1] == b"/" else b"/" + rest), authority
