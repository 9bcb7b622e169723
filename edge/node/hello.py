"""
What a client says before TLS begins: the ClientHello, as far as it decides who answers.

Laws: pure; bytes that were looked at and not taken, since OpenSSL reads them again. Nothing is
verified here that OpenSSL verifies. Source: RFC 8446 §4.1.2, §5.1; RFC 6066 §3; RFC 7301 §3.1.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from edge.errors import EdgeError

MAX_HELLO: Final = 16 * 1024
"""Bytes of a hello, records and all; with post-quantum keys they have about 1,800."""

MAX_RECORDS: Final = 16
"""Of one hello; others have one or two. What comes in crumbs is read anew for each of them."""

RECORD_HEADER: Final = 5
HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
EXTENSION: Final = struct.Struct(">HH")
"""Kind and length."""

SERVER_NAME: Final = 0
ALPN: Final = 16


class NotTls(EdgeError):
    """The first bytes are no ClientHello."""


class Hello(msgspec.Struct, frozen=True, gc=False):
    """What a ClientHello states of who is asked, and for what."""

    name: bytes = b""
    """The server name as it was sent; empty without one."""
    protocols: tuple[bytes, ...] = ()
    """Application protocols, the client's favourite first."""


def read_hello(data: bytes) -> Hello | int:
    """
    The hello at the beginning of a connection, or how many bytes there must be to look again.

    Raises:
        NotTls: it is none, or larger than `MAX_HELLO`.
    """
    message = bytearray()
    start, length = 0, 4
    for _ in range(MAX_RECORDS):
        body = start + RECORD_HEADER
        if len(data) < body:
            return _needed(data, start, body)
        if data[start] != HANDSHAKE or data[start + 1] != 3:
            raise NotTls("the client does not speak TLS")
        end = body + int.from_bytes(data[start + 3 : body])
        if end == body or end > MAX_HELLO:
            raise NotTls("the client's first record has no length that a hello has")
        if len(data) < end:
            return end
        message += data[body:end]
        start = end
        if len(message) >= 4:
            length = 4 + int.from_bytes(message[1:4])
        if len(message) >= length:
            break
    else:
        raise NotTls("the client's first message comes in too many records")
    if message[0] != CLIENT_HELLO:
        raise NotTls("the client's first message is no hello")
    return _decode(bytes(message[4:length]))


def _needed(data: bytes, start: int, size: int) -> int:
    """`size`, if what is there can still become a record."""
    if len(data) > start and data[start] != HANDSHAKE:
        raise NotTls("the client does not speak TLS")
    return size


def _decode(hello: bytes) -> Hello:
    """Past version, random, session, suites and compression to the extensions."""
    try:
        at = 35 + hello[34]
        at += 2 + (hello[at] << 8 | hello[at + 1])
        at += 1 + hello[at]
        return _read_extensions(hello, at + 2)
    except (IndexError, struct.error) as error:
        raise NotTls("the hello is cut short") from error


def _read_extensions(hello: bytes, at: int) -> Hello:
    name, total = b"", len(hello)
    protocols: tuple[bytes, ...] = ()
    while at < total and not (name and protocols):  # the rest is OpenSSL's to judge
        kind, size = EXTENSION.unpack_from(hello, at)
        start = at + EXTENSION.size
        at = start + size
        if at > total:
            raise NotTls("an extension is longer than what is there")
        if kind == SERVER_NAME:
            name = _read_name(hello[start:at])
        elif kind == ALPN:
            protocols = _read_protocols(hello[start:at])
    return Hello(name, protocols)


def _read_name(value: bytes) -> bytes:
    """The host name of a list that has one (RFC 6066 §3: one of each type, and only one type)."""
    if value[2] != 0:
        return b""
    return value[5 : 5 + (value[3] << 8 | value[4])]


def _read_protocols(value: bytes) -> tuple[bytes, ...]:
    protocols, at = [], 2
    while at < len(value):
        end = at + 1 + value[at]
        protocols.append(value[at + 1 : end])
        at = end
    return tuple(protocols)
