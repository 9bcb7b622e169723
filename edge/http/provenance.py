"""
Where a request comes from, told to whoever gets it next: Forwarded, X-Forwarded-*, Via, CDN-Loop.

Laws: what names the client is ours, or was appended to by us behind a proxy that is trusted; no
value that came in can swallow what is appended to it, and none can hide a loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from edge.errors import OriginError
from edge.http.fields import OWS, TCHAR, Line, is_token
from edge.http.hops import Met, split_plain

CDN_LOOP: Final = b"cdn-loop"
FORWARDED: Final = b"forwarded"
VIA: Final = b"via"
X_FORWARDED_FOR: Final = b"x-forwarded-for"

PSEUDONYM: Final = b"edge"
"""Our name where it need not be the only one: towards clients, and in Proxy-Status."""

UNKNOWN: Final = b"unknown"
"""Source: RFC 7239 §6.2."""

MAX_CLIENTS: Final = 4_096
"""Clients whose lines are remembered, 3 MiB; making them takes 5 µs."""

MAX_TRANSLATED: Final = 20
"""Elements of X-Forwarded-For that become Forwarded, from the right: as many as `node.clients`
looks at."""

RECEIVED_PROTOCOL: Final = {b"1.0": b"1.0", b"1.1": b"1.1", b"2": b"2.0"}

QUOTED: Final = rb'"(?:[^"\\]++|\\.)*+"'
BALANCED: Final = re.compile(
    rb"(?:[;, \t]*+" + TCHAR + rb"++=(?:" + TCHAR + rb"++|" + QUOTED + rb"))*+[;, \t]*+",
    re.DOTALL,
)
"""Forwarded elements in which every quote is closed. Source: RFC 7239 §4."""

NODE: Final = re.compile(
    rb"(?P<four>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::[0-9]{1,5})?"
    rb"|\[(?P<bracketed>[0-9A-Fa-f:.]{2,45})\](?P<port>:[0-9]{1,5})?"
    rb"|(?P<six>[0-9A-Fa-f.]{0,4}:[0-9A-Fa-f:.]{1,40})"
)
"""An address, perhaps with its port, as proxies write it into X-Forwarded-For."""


# Who asks


@lru_cache(maxsize=MAX_CLIENTS)
def client_lines(peer: str, scheme: bytes, authority: bytes) -> Sequence[Line]:
    """
    X-Forwarded-For, -Proto, -Host and Forwarded for a request of `peer`. Cost: 0.2 µs again.

    Host and scheme have one value, never a list: what is forwarded must be what a stored response
    is known by.
    """
    return lines_of([], [], peer, scheme, authority)


def trusted_client_lines(met: Met, peer: str, scheme: bytes, authority: bytes) -> Sequence[Line]:
    """The same behind what a trusted proxy said."""
    chain = [value for value in met.get(X_FORWARDED_FOR, ()) if value]
    return lines_of(chain, met.get(FORWARDED, []), peer, scheme, authority)


def lines_of(
    chain: list[bytes], stated: list[bytes], peer: str, scheme: bytes, authority: bytes
) -> list[Line]:
    """The four lines, of which the client's host may be unknown."""
    node = peer.partition("%")[0].encode() or UNKNOWN
    lines = [
        (X_FORWARDED_FOR, b", ".join([*chain, node])),
        (b"x-forwarded-proto", scheme),
        (FORWARDED, forwarded(stated, chain, element(node, scheme, authority))),
    ]
    if authority:
        lines.append((b"x-forwarded-host", authority))
    return lines


def element(node: bytes, scheme: bytes, authority: bytes) -> bytes:
    """One forwarded-element (RFC 7239 §4)."""
    host = b";host=" + quote(authority) if authority else b""
    return b"for=" + quote(bracket(node)) + host + b";proto=" + quote(scheme)


def forwarded(stated: Iterable[bytes], chain: Iterable[bytes], own: bytes) -> bytes:
    """
    Forwarded with our element last; before it what was stated, else X-Forwarded-For translated.

    Without the translation a server that prefers Forwarded would take a proxy for the client.

    Source: RFC 7239 §7.4.
    """
    elements = [value for value in stated if value and BALANCED.fullmatch(value)]
    if not elements:
        nodes = b",".join(chain).rsplit(b",", MAX_TRANSLATED)[-MAX_TRANSLATED:]
        elements = [
            b"for=" + quote(parse_node(node)) for each in nodes if (node := each.strip(OWS))
        ]
    return b", ".join([*elements, own])


def parse_node(text: bytes) -> bytes:
    """A node of RFC 7239 §6 from an element of X-Forwarded-For."""
    found = NODE.fullmatch(text)
    if found is None:
        return UNKNOWN
    if found["four"]:
        return text
    return b"[%b]%b" % (found["bracketed"] or found["six"], found["port"] or b"")


def bracket(node: bytes) -> bytes:
    """An IPv6 address in brackets; any other node as it is."""
    return b"[%b]" % node if b":" in node else node


def quote(value: bytes) -> bytes:
    """A token as it is, anything else as a quoted-string (RFC 9110 §5.6.4)."""
    if is_token(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


# Which way


def path_lines(met: Met, version: bytes, name: bytes) -> Sequence[Line]:
    """
    Via and CDN-Loop of a request, our element last.

    Source: RFC 9110 §7.6.3, RFC 8586 §2.
    """
    if VIA not in met and CDN_LOOP not in met:
        return first_lines(version, name)
    passed = b", ".join([*filter(None, met.get(CDN_LOOP, ())), name])
    return via(met, version, name), (CDN_LOOP, passed)


@lru_cache(maxsize=64)
def first_lines(version: bytes, name: bytes) -> Sequence[Line]:
    """The same where nobody has passed it on before."""
    return via({}, version, name), (CDN_LOOP, name)


def via(met: Met, version: bytes, name: bytes) -> Line:
    """Via with our element last."""
    if VIA not in met:
        return first_via(version, name)
    return VIA, b", ".join([*filter(None, met[VIA]), received(version, name)])


@lru_cache(maxsize=64)
def first_via(version: bytes, name: bytes) -> Line:
    """The same where nobody has passed it on before."""
    return VIA, received(version, name)


def received(version: bytes, name: bytes) -> bytes:
    """Our element: how it came to us, and who we are."""
    return b"%b %b" % (RECEIVED_PROTOCOL.get(version, version), name)


def check_loop(met: Met, name: bytes) -> None:
    """
    Refuse a request that has been here.

    Commas are counted whatever is quoted: an open quote or parenthesis that a client wrote must
    not hide what we appended behind it.

    Raises:
        OriginError: `name`, lower case, is in CDN-Loop or Via.

    Source: RFC 8586 §2, RFC 9110 §7.6.3.
    """
    if VIA not in met and CDN_LOOP not in met:
        return
    passed = [each.partition(b";")[0].rstrip(OWS) for each in split_plain(met.get(CDN_LOOP, ()))]
    for received in split_plain(met.get(VIA, ())):
        passed += received.split()[1:2]
    if any(each.lower() == name for each in passed):
        raise OriginError("proxy_loop_detected", "the request came back to the node that sent it")
