"""
Field blocks of HTTP/2 (RFC 7541) that touch no dynamic table: which are such, and how to write one.

Laws: pure. A block that neither inserts nor resizes means the same as long as no other one does;
what is written here is the same for every connection, whatever was written before it.
"""

from __future__ import annotations

from typing import Final

INDEXED: Final = 0x80
RESIZED: Final = 0x20

STATUS: Final = {200: b"\x88", 204: b"\x89", 304: b"\x8b", 404: b"\x8d"}
"""Those of the static table that answers of the store have."""

NAMES: Final = {
    b"accept-ranges": 18,
    b"age": 21,
    b"cache-control": 24,
    b"content-encoding": 26,
    b"content-length": 28,
    b"content-type": 31,
    b"date": 33,
    b"etag": 34,
    b"last-modified": 44,
    b"server": 54,
    b"vary": 59,
}
"""Of the static table (RFC 7541, appendix A)."""


def is_stable(block: bytes) -> bool:
    """Whether decoding a block leaves the dynamic table as it is; False for what is cut off."""
    position, size = 0, len(block)
    while position < size:
        first = block[position]
        if first >= INDEXED:
            _, position = read_integer(block, position, 7)
        elif first >= RESIZED:
            return False
        else:
            index, position = read_integer(block, position, 4)
            for _ in range(1 if index else 2):
                length, position = read_integer(block, position, 7)
                position += length
    return position == size


def read_integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """An integer (§5.1) and where it ends; past the end of the block where that cuts it off."""
    limit = (1 << bits) - 1
    value = block[position] & limit if position < len(block) else 0
    position += 1
    if value < limit:
        return value, position
    shift = 0
    while position < len(block) and shift < 28:
        octet = block[position]
        position += 1
        value += (octet & 127) << shift
        if octet < INDEXED:
            return value, position
        shift += 7
    return value, len(block) + 1


def write_integer(value: int, bits: int, flags: int = 0) -> bytes:
    """An integer (§5.1) with what stands before it in its first octet."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([flags | value])
    octets = [flags | limit]
    value -= limit
    while value >= INDEXED:
        octets.append(value & 127 | INDEXED)
        value >>= 7
    return bytes([*octets, value])


def write_line(name: bytes, value: bytes) -> bytes:
    """A field line as a literal without indexing (§6.2.2); `name` is in lower case."""
    index = NAMES.get(name, 0)
    named = write_integer(index, 4) if index else b"\x00" + write_integer(len(name), 7) + name
    return named + write_integer(len(value), 7) + value


def write_block(status: int, lines: list[tuple[bytes, bytes]]) -> bytes:
    """A whole block; `status` is one of STATUS."""
    return STATUS[status] + b"".join(write_line(*line) for line in lines)
