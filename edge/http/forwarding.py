"""
What a gateway does to field lines on their way to an origin and back.

Laws: nothing that belongs to one connection crosses to another (`hops`); what says who the client
is comes from us (`provenance`); a message is framed anew from what was understood. What cannot be
sent without guessing is refused, whole. Here: fields. Not here: when to try again, what to store.

Source: RFC 9110 §7.6, RFC 9113 §8.2, RFC 9209.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import msgspec

from edge.errors import MalformedRequest, OriginError
from edge.http.fields import DIGITS, OWS, Line, saturating_int
from edge.http.hops import (
    HOP_BY_HOP,
    X_FORWARDED,
    Met,
    Names,
    is_protected,
    removed_options,
    sort_out,
    split_plain,
)
from edge.http.provenance import (
    PSEUDONYM,
    check_loop,
    client_lines,
    path_lines,
    trusted_client_lines,
    via,
)
from edge.http.tracing import FIELDS, trace_lines

if TYPE_CHECKING:
    from edge.http.message import Request

NEVER_FORWARDED: Final = HOP_BY_HOP | {b"expect", b"host", b"proxy", b"x-request-id"}
"""
100 (Continue) is our own business, Host names us, requests have identifiers of ours, and `Proxy`
becomes HTTP_PROXY in CGI (CVE-2016-5385).
"""

STATED: Final = frozenset((b"x-original-url", b"x-real-ip", b"x-rewrite-url"))
"""
Not ours, but believed by origins: the client's address, and a path past all rules. Only trusted
proxies may say so; X-Forwarded-*, all of them, are ours alone.
"""

OVERRIDING: Final = frozenset(
    b"x-forwarded x-host x-http-host-override x-http-method x-http-method-override"
    b" x-method-override x-original-host".split()
)
"""
What frameworks take for the method or the host, and no key has: from nobody, where the answer may
be stored for others.
"""

TRAILING: Final = frozenset((b"content-digest", b"etag"))
"""Of the protected ones, those that may come behind the content. Source: RFC 9110 §6.5.1."""

EXPECTS_CONTENT: Final = frozenset((b"PATCH", b"POST", b"PUT"))
COUNTS_HOPS: Final = frozenset((b"OPTIONS", b"TRACE"))

CHUNKED: Final = (b"transfer-encoding", b"chunked")
VALUE: Final = itemgetter(1)
VALUE_BYTES: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))

READ: Final = frozenset(b"connection content-length trailer transfer-encoding upgrade via".split())
READ_OF_REQUESTS: Final = (
    READ | FIELDS | {b"cdn-loop", b"cookie", b"forwarded", b"te", b"x-forwarded-for"}
)

RETURNED: Final = Names(HOP_BY_HOP | {b"x-request-id"}, READ)
TRAILERS: Final = Names(NEVER_FORWARDED, ())


class Gateway:
    """What origins know this node as; made once from the settings."""

    __slots__ = ("name", "others", "shared", "shared_others", "trusted")

    def __init__(self, instance: bytes, stated: Iterable[bytes] = ()) -> None:
        self.name = b"%b-%b" % (PSEUDONYM, instance.lower())
        """In Via and CDN-Loop; no other node may have it, or a chain of two is taken for a loop."""
        more = {name.lower() for name in stated}
        """Fields that are believed from trusted proxies alone, such as the client's country."""
        self.trusted = Names(NEVER_FORWARDED, READ_OF_REQUESTS, (X_FORWARDED,))
        unkeyed = NEVER_FORWARDED | STATED | OVERRIDING
        self.shared = Names(unkeyed, READ_OF_REQUESTS, (X_FORWARDED,))
        """From trusted proxies, of what is stored for others: none of it is in a key."""
        self.others = Names(NEVER_FORWARDED | STATED | more, READ_OF_REQUESTS, (X_FORWARDED,))
        self.shared_others = Names(unkeyed | more, READ_OF_REQUESTS, (X_FORWARDED,))


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one request beside its message."""

    host: bytes
    """The target's authority."""
    scheme: bytes
    """`http` or `https`: what the client used, as far as it is believed."""
    authority: bytes
    """What the client asked for, as the cache's key has it; empty without one."""
    is_trusted: bool = False
    """Whether the peer is a trusted proxy."""
    is_shared: bool = False
    """Whether the answer may be stored for others: they are told of the client's address alone."""
    is_verified: bool = False
    """Whether its credentials were for us: they end here."""
    upgrade: bytes = b""
    """Protocols of a tunnel, from `hops.offered_upgrade`."""
    overrides: Mapping[bytes, bytes] = {}
    """Other values for fields of the client's, by lower-case name; empty to leave one out."""


def request_fields(request: Request, passage: Passage, gateway: Gateway) -> list[Line]:
    """
    The field lines for the origin, Host first, of an HTTP/1.1 request.

    `transfer-encoding: chunked` is among them where the length of the content is unknown.

    Raises:
        MalformedRequest: framing that contradicts itself, or bytes that no field may hold.
        OriginError: the request has been here before (508).

    Cost: 8 µs for a browser's request.
    """
    if passage.is_shared:
        names = gateway.shared if passage.is_trusted else gateway.shared_others
    else:
        names = gateway.trusted if passage.is_trusted else gateway.others
    lines, met = sort_out(request.fields, names)
    check_loop(met, gateway.name)
    removed = removed_names(request, passage, met)
    if removed:
        lines = [line for line in lines if line[0] not in removed]
    lines.insert(0, (b"host", passage.host))
    if met or passage.upgrade or passage.overrides or request.method != b"GET" or not request.ends:
        lines += content_lines(request, met)  # nothing of all this: 3 µs less
        lines += connection_lines(passage, met)
        lines += override_lines(request, passage, met)
        if not FIELDS.isdisjoint(met):
            lines += trace_lines(met, is_shared=passage.is_shared)
    lines += origin_of(request, passage, met)
    lines += path_lines(met, request.version, gateway.name)
    if not is_sendable(lines):
        raise MalformedRequest("a field holds what may not go on the wire")
    return lines


def removed_names(request: Request, passage: Passage, met: Met) -> set[bytes]:
    """Lower-case names of lines that would cross, and do not in this request."""
    removed = removed_options(met)
    if passage.overrides:
        removed.update(passage.overrides)
    if passage.is_verified:
        removed.add(b"authorization")
    if request.method in COUNTS_HOPS:
        removed.add(b"max-forwards")
    return removed


def origin_of(request: Request, passage: Passage, met: Met) -> Sequence[Line]:
    """Who asks, and what for."""
    if passage.is_trusted and not passage.is_shared:
        return trusted_client_lines(met, request.peer, passage.scheme, passage.authority)
    return client_lines(request.peer, passage.scheme, passage.authority)


def override_lines(request: Request, passage: Passage, met: Met) -> list[Line]:
    """What is said in the client's stead, its cookies in one line, and one hop less."""
    lines = [(name, value) for name, value in passage.overrides.items() if value]
    crumbs = [crumb for crumb in met.get(b"cookie", ()) if crumb]
    if crumbs and b"cookie" not in passage.overrides:
        lines.append((b"cookie", b"; ".join(crumbs)))  # RFC 9113 §8.2.3
    if request.method in COUNTS_HOPS and (left := forwards_left(request)):
        lines.append((b"max-forwards", b"%d" % (left - 1)))
    return lines


def connection_lines(passage: Passage, met: Met) -> list[Line]:
    """What is asked of the connection to the origin: a tunnel, or trailers."""
    if passage.upgrade:
        return [(b"connection", b"Upgrade"), (b"upgrade", passage.upgrade)]
    if b"te" not in met:
        return []
    codings = (coding.partition(b";")[0].rstrip(OWS) for coding in split_plain(met[b"te"]))
    if any(coding.lower() == b"trailers" for coding in codings):
        return [(b"connection", b"TE"), (b"te", b"trailers")]
    return []


def forwards_left(request: Request) -> int | None:
    """
    Max-Forwards of an OPTIONS or TRACE; at 0 we are the last to answer. None where it is no limit.

    Source: RFC 9110 §7.6.2.
    """
    value = request.fields.get(b"max-forwards")
    if request.method not in COUNTS_HOPS or value is None or DIGITS.fullmatch(value) is None:
        return None
    return saturating_int(value)


# Framing


def content_lines(request: Request, met: Met) -> list[Line]:
    """
    How the content is framed towards the origin.

    Source: RFC 9112 §6.3; RFC 9110 §8.6 for the zero.
    """
    length = content_length(met)
    is_coded = b"transfer-encoding" in met
    if is_coded and (length is not None or request.ends):
        raise MalformedRequest("the content is framed twice")
    if not request.ends:
        return trailer_lines(met) if length is None else [(b"content-length", length)]
    if length not in (None, b"0"):
        raise MalformedRequest("the content is missing")
    if length is None and request.method not in EXPECTS_CONTENT:
        return []
    return [(b"content-length", b"0")]


def trailer_lines(met: Met) -> list[Line]:
    """Content in chunks, and the trailers that are announced behind it."""
    return [CHUNKED, *((b"trailer", value) for value in met.get(b"trailer", ()))]


def content_length(met: Met) -> bytes | None:
    """The one length that all Content-Length lines state, without zeros; None without any."""
    lengths = met.get(b"content-length")
    if lengths is None:
        return None
    length = lengths[0]
    if DIGITS.fullmatch(length) is None or lengths.count(length) != len(lengths):
        raise MalformedRequest("Content-Length is not one number")
    return length.lstrip(b"0") or b"0"


# Back to the client


def response_fields(status: int, version: bytes, fields: Iterable[Line]) -> list[Line]:
    """
    The field lines of an origin's response for being passed on or stored, in the origin's URLs.

    Content-Length is there at most once; a message without one is framed by whoever sends it.

    Raises:
        OriginError: the response cannot be framed or sent without guessing.

    Cost: 4 µs.
    """
    try:
        lines, met = sort_out(fields, RETURNED)
        content = response_content_lines(status, met)
    except MalformedRequest as error:
        raise OriginError("http_protocol_error", str(error)) from error
    if removed := removed_options(met):
        lines = [line for line in lines if line[0] not in removed]
    lines += content
    lines.append(via(met, version, PSEUDONYM))
    if not is_sendable(lines):
        raise OriginError("http_protocol_error", "a field holds what may not go on the wire")
    return lines


def response_content_lines(status: int, met: Met) -> list[Line]:
    """
    Content-Length, which 1xx and 204 do not have, or what is announced behind the content.

    Source: RFC 9110 §8.6, RFC 9112 §6.1.
    """
    length = content_length(met)
    for coding in met.get(b"transfer-encoding", ()):
        if coding.lower() != b"chunked":
            raise OriginError("http_response_transfer_coding", "a transfer coding besides chunked")
        if length is not None:
            raise MalformedRequest("the content is framed twice")
    if status == 101:
        return tunnel_lines(met)
    if status < 200 or status == 204:
        return []
    return trailer_lines(met)[1:] if length is None else [(b"content-length", length)]


def tunnel_lines(met: Met) -> list[Line]:
    """Which protocol follows a 101; it has to say (RFC 9110 §15.2.2)."""
    protocols = [value for value in met.get(b"upgrade", ()) if value]
    if not protocols:
        raise OriginError("http_upgrade_failed", "101 (Switching Protocols) without Upgrade")
    return [(b"connection", b"Upgrade"), (b"upgrade", b", ".join(protocols))]


def trailer_fields(lines: Iterable[Line]) -> list[Line]:
    """
    The trailers that may go on, either way: nothing that frames, routes, authenticates or decides.

    Raises:
        MalformedRequest: a name is no token.

    Source: RFC 9110 §6.5.1, which lets the others be discarded.
    """
    passing = sort_out(lines, TRAILERS)[0]
    kept = [line for line in passing if line[0] in TRAILING or not is_protected(line[0])]
    return [line for line in kept if is_sendable([line])]


def is_sendable(lines: list[Line]) -> bool:
    """Whether no value holds a control other than HTAB (RFC 9110 §5.5)."""
    return not b"".join(map(VALUE, lines)).translate(None, VALUE_BYTES)


def proxy_status(error: OriginError) -> bytes:
    """
    The value of Proxy-Status: who failed to get an answer, and how. Never where it was asked.

    Source: RFC 9209 §2.
    """
    return b"%b; error=%b" % (PSEUDONYM, error.kind.encode())
