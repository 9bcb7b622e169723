"""
Which field lines cross a hop: what is of one connection only, and what no Connection can remove.

Laws: a name leaves in lower case, as HTTP/2 has it; an alias (`X_Forwarded_For`, `via.`) of a name
that matters crosses nowhere, for CGI and its heirs take it for the name itself; what a name means
here is decided once and remembered.

Source: RFC 9110 §7.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edge.errors import MalformedRequest
from edge.http.fields import OWS, TCHAR, Line, is_token

if TYPE_CHECKING:
    from edge.http.message import Request

Met = dict[bytes, list[bytes]]
"""Values of the fields that are read, not passed on as they are; by lower-case name."""

HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-authenticate proxy-authentication-info"
    b" proxy-authorization proxy-connection te transfer-encoding upgrade".split()
)
"""
Of one connection, whether Connection names them or not.

Source: RFC 9110 §7.6.1; §11.7 for the proxy's own login, which is never between us and an origin.
"""

X_FORWARDED: Final = b"x-forwarded-"

PROTECTED: Final = frozenset(
    b"age allow authorization cookie date early-data etag expect expires forwarded host"
    b" last-modified link location max-forwards origin permissions-policy pragma proxy proxy-status"
    b" range referer referrer-policy retry-after server set-cookie strict-transport-security"
    b" trailer user-agent vary via www-authenticate x-content-type-options x-frame-options"
    b" x-original-url x-real-ip x-requested-with x-rewrite-url".split()
)
PROTECTED_PREFIXES: Final = (
    b"accept", b"access-control-", b"cache-", b"cdn-", b"content-", b"cross-origin-", b"if-",
    b"sec-", b"surrogate-", b"x-csrf", b"x-edge-", X_FORWARDED, b"x-xsrf",
)  # fmt: skip
"""
What Connection cannot remove: fields meant for the whole chain, which no sender may name there,
and whose absence somebody behind us would take for a statement.
"""

FOLD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.", b"abcdefghijklmnopqrstuvwxyz--")
"""One spelling for all that cannot be told apart behind CGI (GHSA-7r4p-vjf4-gxv4)."""

MAX_NAMES: Final = 2_000
MAX_NAME: Final = 64
"""Names that are remembered, and their octets: 300 KiB. The longest registered one has 40."""

USUAL: Final = frozenset((b"close", b"keep-alive", b"Keep-Alive", b"Upgrade"))
"""Of Connection, as most write it; nothing to remove."""

PROTOCOL: Final = re.compile(TCHAR + rb"++(?:/" + TCHAR + rb"++)?")
"""Source: RFC 9110 §7.8."""

OWN_PROTOCOLS: Final = frozenset((b"h2", b"h2c", b"h3", b"http", b"tls"))
"""Behind an upgrade to these our back would carry requests that nobody judged."""


class Names(dict[bytes, bytes]):
    """A name as received → as it is sent; empty for one that is not."""

    def __init__(
        self, dropped: Iterable[bytes], read: Iterable[bytes], prefixes: tuple[bytes, ...] = ()
    ) -> None:
        super().__init__()
        self.dropped = frozenset(dropped)
        """Lower-case names."""
        self.read = frozenset(read)
        """Those that are put together anew from what they said."""
        self.prefixes = prefixes
        """Of what is dropped, unless it is read."""

    def __missing__(self, name: bytes) -> bytes:
        sent = self.judge(name)
        if len(name) <= MAX_NAME:
            if len(self) >= MAX_NAMES:
                self.clear()
            self[name] = sent
        return sent

    def judge(self, name: bytes) -> bytes:
        """
        Whether and how a name crosses.

        Raises:
            MalformedRequest: it is no name (RFC 9110 §5.1).
        """
        if not is_token(name):
            raise MalformedRequest("the name of a field is no token")
        sent, folded = name.lower(), name.translate(FOLD)
        if sent == folded:
            is_dropped = sent in self.dropped or sent.startswith(self.prefixes)
            return b"" if is_dropped and sent not in self.read else sent
        is_alias = folded in HOP_BY_HOP or folded in self.dropped or is_protected(folded)
        return b"" if is_alias else sent


def sort_out(fields: Iterable[Line], names: Names) -> tuple[list[Line], Met]:
    """
    The lines that cross as they are, and what is read. Cost: 0.1 µs a line.

    Raises:
        MalformedRequest: a name is no token.
    """
    lines: list[Line] = []
    met: Met = {}
    read = names.read
    for name, value in fields:
        sent = names[name]
        if sent in read:
            met.setdefault(sent, []).append(value)
        elif sent:
            lines.append((sent, value))
    return lines, met


def is_protected(name: bytes) -> bool:
    """Whether a field, lower case, is meant for the whole chain."""
    return name in PROTECTED or name.startswith(PROTECTED_PREFIXES)


def split_plain(values: Iterable[bytes]) -> list[bytes]:
    """Elements of lists that have no quotes in their grammar, blanks trimmed."""
    return [each.strip(OWS) for value in values for each in value.split(b",")]


def removed_options(met: Met) -> set[bytes]:
    """The fields that Connection names, lower case, but for those that it cannot remove."""
    if b"connection" not in met:
        return set()
    unusual = [value for value in met[b"connection"] if value not in USUAL]
    if not unusual:
        return set()
    options = {option.lower() for option in split_plain(unusual)}
    return {option for option in options if not is_protected(option)}


def offered_upgrade(request: Request) -> bytes:
    """
    The protocols that a tunnel may be made for; empty where there is to be none.

    Never another version of HTTP, nor TLS. A request with content is none either: where it ends
    and the other protocol begins would be for two to agree on.

    Source: RFC 9110 §7.8, which has the field of HTTP/1.0 and HTTP/2 clients ignored.
    """
    fields = request.fields
    if fields.get(b"upgrade") is None or request.version != b"1.1" or not request.ends:
        return b""
    options = (option.lower() for option in split_plain(fields.getall(b"connection")))
    if b"upgrade" not in options:
        return b""
    return b", ".join([each for each in split_plain(fields.getall(b"upgrade")) if may_tunnel(each)])


def may_tunnel(protocol: bytes) -> bool:
    """Whether it is a protocol, and none of ours."""
    name = protocol.partition(b"/")[0].lower()
    return PROTOCOL.fullmatch(protocol) is not None and name not in OWN_PROTOCOLS
