"""
Tar, plain or gzipped: one pass from front to back.

ustar, GNU long names and pax headers are understood. What changes the meaning of another member
from afar (a global path or size), says where holes are (sparse) or continues elsewhere
(multi-volume) is refused. The archive ends with its end mark and nothing but zeros behind it.

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
"Basic Tar Format".
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn

from edge.control.members import CHUNK, CUT_SHORT, FILE, FOLDER, PACK_AGAIN, Gate, Member, refuse
from edge.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.control.members import ArchiveLimits

BLOCK = 512
GZIP = b"\x1f\x8b"
NOTHING = bytes(BLOCK)
POSIX, GNU = b"ustar\x00", b"ustar "
"""The magic. A tar before both (V7) has no prefix, GNU keeps times there."""

MAX_EXTENSION = 1024 * 1024
"""Longest pax or long-name header: macOS puts extended attributes there, a path needs 1 KiB."""

KINDS = {
    b"\x00": FILE,
    b"0": FILE,
    b"7": FILE,  # contiguous, a wish about the disk
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": FOLDER,
    b"6": "a named pipe",
    b"M": "the rest of a file in another volume",
    b"S": "a sparse file",
}
PAX, PAX_GLOBAL = (b"x", b"X"), b"g"
LONG_NAME, LONG_LINK = b"L", b"K"

OCTAL = re.compile(rb"[0-7]{0,22}")
DECIMAL = re.compile(rb"[0-9]{1,19}")
RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
"""A pax record is `length SP key "=" value LF`, its length counted from its own first digit."""


class Header(NamedTuple):
    """What one 512-byte block says, not yet corrected by what came before it."""

    name: bytes
    size: int
    kind: bytes
    mtime: int = 0
    """Epoch seconds; 0 where it is malformed."""

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.decode(errors="backslashreplace")


Extension = dict[bytes, bytes]
"""Records that correct the next header: `path`, `size`, and others that are not used."""


def tar_members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[Member]:
    """
    The files of a tar or tar.gz, in its order.

    Raises:
        StoreError: at any point of the iteration.
    """
    gate = Gate(limits, file.seek(0, 2))
    tape = Tape(file, gate)
    for header in read_headers(tape):
        label = tape.label = header.label
        kind = KINDS.get(header.kind, f"of an unknown type {ascii(header.kind)[2:-1]!r}")
        if kind == FILE and header.name.endswith(b"/"):
            kind = FOLDER  # how a tar before ustar says it
        path = gate.admit(decode_name(header), kind)
        if path is None and kind != FILE and header.size:
            refuse(label, f"is {kind} with content", PACK_AGAIN)
        content = tape.content(header.size)
        if path is not None:
            yield Member(path, header.size, content)
        deque(content, maxlen=0)  # what the caller left is counted nevertheless


def is_tar(block: bytes) -> bool:
    """Whether a file's first block is a tar header, or the end mark of an empty archive."""
    return len(block) == BLOCK and (block == NOTHING or _has_checksum(block))


class Tape:
    """The bytes of a tar in their order, inflated if need be, each counted by the gate."""

    def __init__(self, file: BinaryIO, gate: Gate) -> None:
        file.seek(0)
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        self.source: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
        self.gate = gate
        self.label = ""
        """The member to blame for what is read now."""

    def read(self, size: int) -> bytes:
        """At most so many bytes, fewer only at the end of the file."""
        try:
            data = self.source.read(size)
        except (gzip.BadGzipFile, zlib.error):
            self._blame("is damaged (it cannot be inflated)")
        except EOFError:
            self._blame("is cut short")
        self.gate.meter(len(data), self.label)
        return data

    def _blame(self, reason: str) -> NoReturn:
        """Raises the `StoreError` for the member that is read, or for what comes before any."""
        if self.label:
            refuse(self.label, reason, PACK_AGAIN)
        raise StoreError(f"the archive {reason}; {PACK_AGAIN}")

    def read_whole(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = self.read(size)
        if len(data) < size:
            refuse(self.label, "is cut short", PACK_AGAIN)
        return data

    def content(self, size: int) -> Iterator[bytes]:
        """A member's bytes; takes the padding behind them, too."""
        left = size
        while left:
            chunk = self.read_whole(min(CHUNK, left))
            left -= len(chunk)
            yield chunk
        self.read_whole(-size % BLOCK)

    def extension(self, header: Header) -> bytes:
        """The content of a header that describes the next one, whole in memory."""
        if header.size > MAX_EXTENSION:
            refuse(self.label, f"has a header of {header.size} bytes", PACK_AGAIN)
        return b"".join(self.content(header.size))

    def finish(self) -> None:
        """Reads what is behind the end mark, so that gzip's CRC is checked."""
        while data := self.read(CHUNK):
            if data.count(0) != len(data):
                raise StoreError(f"the tar goes on behind its end; {PACK_AGAIN}")


def read_headers(tape: Tape) -> Iterator[Header]:
    """The headers of members, corrected by their extensions; the content is read in between."""
    extension: Extension = {}
    while (block := tape.read(BLOCK)) != NOTHING:
        if len(block) < BLOCK:
            _refuse_end(tape)
        header = _parse_header(block, tape)
        if header.kind not in {*PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK}:
            yield _correct(header, extension)
            extension = {}
            continue
        tape.label = header.label
        records = _parse_extension(header, tape.extension(header))
        if header.kind == PAX_GLOBAL:
            continue
        if extension.keys() & records.keys():
            refuse(header.label, "is a second header for one member", PACK_AGAIN)
        extension |= records
    if extension:
        refuse(tape.label, "describes a member that does not follow", PACK_AGAIN)
    tape.finish()


def _refuse_end(tape: Tape) -> None:
    if tape.label:
        refuse(tape.label, "is the last before the archive is cut short", PACK_AGAIN)
    raise StoreError(CUT_SHORT)


def _parse_header(block: bytes, tape: Tape) -> Header:
    if not _has_checksum(block):
        if not tape.label:
            raise StoreError(f"it is no tar archive; {PACK_AGAIN}")
        refuse(tape.label, "is followed by a damaged header", PACK_AGAIN)
    name = block[:100].split(b"\x00", 1)[0]
    magic = block[257:263]
    if magic not in {POSIX, GNU} and block[345]:  # some readers take it for a prefix nevertheless
        refuse(name.decode(errors="backslashreplace"), "has a header of no known form", PACK_AGAIN)
    prefix = block[345:500].split(b"\x00", 1)[0] if magic == POSIX else b""
    if prefix:
        name = prefix + b"/" + name
    size = _parse_number(block[124:136])
    if size is None:
        refuse(name.decode(errors="backslashreplace"), "has a malformed size", PACK_AGAIN)
    return Header(name, size, block[156:157], _parse_number(block[136:148]) or 0)


def _has_checksum(block: bytes) -> bool:
    """Whether the sum of the bytes is right, the sum's own field taken as spaces."""
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return _parse_number(block[148:156]) == total


def _parse_number(field: bytes) -> int | None:
    """An octal number, or GNU's base 256 where the first bit is set; None for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.lstrip(b" ").rstrip(b" \x00")  # for some readers a leading NUL is the end
    return int(digits or b"0", 8) if OCTAL.fullmatch(digits) else None


def _parse_extension(header: Header, payload: bytes) -> Extension:
    if header.kind == LONG_LINK:
        return {}  # a link is refused, wherever it leads
    if header.kind == LONG_NAME:
        return {b"path": payload.split(b"\x00", 1)[0]}
    records = _parse_records(header, payload)
    sparse = any(key.startswith(b"GNU.sparse.") for key in records)
    if sparse:
        refuse(header.label, "describes a sparse file", "pack the archive again without --sparse")
    if header.kind == PAX_GLOBAL and records.keys() & {b"path", b"size"}:
        refuse(header.label, "gives all members one path or size", PACK_AGAIN)
    return records


def _parse_records(header: Header, payload: bytes) -> Extension:
    records: Extension = {}
    at = 0
    while at < len(payload):
        digits = RECORD.match(payload, at)
        end = at + int(digits[1]) if digits else 0
        start = digits.end() if digits else 0
        key, equals, value = payload[start : end - 1].partition(b"=")
        if not equals or payload[end - 1 : end] != b"\n" or key in records:
            refuse(header.label, "is a malformed pax header", PACK_AGAIN)
        records[key] = value
        at = end
    return records


def _correct(header: Header, extension: Extension) -> Header:
    """The header as its extension wants it."""
    name = extension.get(b"path", header.name)
    size = extension.get(b"size")
    if size is None:
        return header._replace(name=name)
    if not DECIMAL.fullmatch(size):
        refuse(header.label, "has a malformed size", PACK_AGAIN)
    return header._replace(name=name, size=int(size))


def decode_name(header: Header) -> str:
    """The name of a member. Raises StoreError."""
    try:
        return header.name.decode()
    except UnicodeDecodeError:
        refuse(header.label, "has a name that is not UTF-8", "rename it")
