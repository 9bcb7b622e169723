"""
Field blocks of HTTP/2 (RFC 7541) that touch no dynamic table: which are such, and how to write one.

Laws: pure. A block that neither inserts nor resizes means the same as long as no other one does,
and the same with another path in it; what is written here is the same for every connection,
whatever was written before it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from edge.http.message import head_pairs, parse_lines

if TYPE_CHECKING:
    from edge.http.message import Head

INDEXED: Final = 0x80
RESIZED: Final = 0x20
PATH: Final = 4
"""What a literal begins with that is not indexed and whose name is `:path`: as browsers, curl and
nghttp2 send it, since each path would drive out what comes again."""

SECONDS: Final = 1024
"""Lines of a second that are remembered: files that were stored in one have the same in others."""

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


Rest = bytes | tuple[bytes, bytes]
"""A block but for its path: what stands before and behind that, or all where there is none."""


def cut_path(block: bytes) -> tuple[Rest, bytes]:
    """
    The rest of a block, and its path as it is written there, with its length.

    Says something of blocks alone whose path `is_cut_right`, and of those with the same rest.
    """
    start = block.find(PATH) + 1
    if not 0 < start < len(block):
        return block, b""
    length, end = read_integer(block, start, 7)
    end += length
    return (block[:start], block[end:]), block[start:end]


def is_cut_right(block: bytes) -> bool:
    """Whether the first octet that looks so begins the path of a block, whatever the path is."""
    return is_stable(block[: block.find(PATH)])


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


def write_head(head: Head) -> bytes:
    """The beginning of a block: a status that is one of STATUS, and what does not vary."""
    lines = b"".join(write_line(*pair) for pair in head_pairs(head))
    head.packed = STATUS[head.status] + lines
    return head.packed


@lru_cache(SECONDS)
def write_lines(lines: bytes) -> bytes:
    """Finished field lines of HTTP/1.1 as HTTP/2 has them."""
    return b"".join(write_line(*pair) for pair in parse_lines(lines))
