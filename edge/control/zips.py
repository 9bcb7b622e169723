"""
Zip: the central directory is the truth, local headers must agree with it.

The directory is walked entry by entry, bounded by the count that its end announces before the
first is read; members are then inflated in the order of their bytes. Stored and deflated members
only. What lies behind the end is refused, not skipped.

Source: PKWARE APPNOTE.TXT 6.3.10; section numbers below are its own.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from edge.control.members import CHUNK, CUT_SHORT, FILE, FOLDER, PACK_AGAIN, Gate, Member, refuse
from edge.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.control.members import ArchiveLimits

END = struct.Struct("<4s4H2LH")  # 4.3.16
END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
STORED, DEFLATED = 0, 8
ENCRYPTED = 0x1 | 0x40 | 0x2000  # 4.4.4: traditional, strong, masked directory
DESCRIPTOR, UTF8 = 0x8, 0x800
ZIP64, UNICODE_PATH = 0x0001, 0x7075
ABSENT16, ABSENT32 = 0xFFFF, 0xFFFFFFFF

INPUT = 64 * 1024
"""Bytes inflated at a time; what does not fit into a chunk waits, so it is less than one."""


class Directory(NamedTuple):
    """Where the central directory says it is."""

    members: int
    start: int
    end: int


class Entry(msgspec.Struct, gc=False):
    """One member as the central directory describes it."""

    name: bytes
    path: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    """Where its local header begins."""
    mode: int
    """Unix mode, 0 where the packer knew none."""


def zip_members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[Member]:
    """
    The files of a zip, in the order of their bytes.

    Every name is checked before the first member is yielded.

    Raises:
        StoreError: at any point of the iteration.
    """
    size = file.seek(0, 2)
    gate = Gate(limits, size)
    directory = _find_directory(file, size)
    entries = sorted(_read_directory(file, directory, gate), key=lambda entry: entry.offset)
    # A member ends before the next one begins: overlaps are how 42 KB become petabytes.
    ends = [*(entry.offset for entry in entries[1:]), directory.start]
    for entry, end in zip(entries, ends, strict=False):  # no entries: still one end
        if entry.offset >= directory.start:  # also: what is too large for a seek
            refuse(entry.path, "is not where the directory says", PACK_AGAIN)
        start = _find_content(file, entry)
        if start + entry.packed > end:
            refuse(entry.path, "shares bytes with another member or the directory", PACK_AGAIN)
        content = _read_content(file, entry, start, gate)
        yield Member(entry.path, entry.size, content)
        deque(content, maxlen=0)  # what the caller left is checked nevertheless


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return _read(file, size)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise StoreError(CUT_SHORT)
    return data


def _find_directory(file: BinaryIO, size: int) -> Directory:
    """The end of central directory record, which must be the end of the file as well."""
    start = max(0, size - END.size - ABSENT16)
    tail = _read_at(file, start, size - start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + END.size > len(tail):
        raise StoreError(f"the end of the zip is missing; {PACK_AGAIN}")
    _, disk, first, here, count, length, offset, comment = END.unpack_from(tail, at)
    if at + END.size + comment != len(tail):
        raise StoreError(f"the zip does not stop at its end; {PACK_AGAIN}")
    end = start + at
    if ABSENT16 in {disk, first, here, count} or ABSENT32 in {length, offset}:
        zip64 = _find_zip64(file, end)
        if zip64:
            end, disk, first, here, count, length, offset = zip64
    if disk or first or here != count:
        raise StoreError("the zip is one part of several; pack it as one file")
    if offset + length != end:
        raise StoreError(f"the zip's directory is not where it should be; {PACK_AGAIN}")
    return Directory(count, offset, end)


def _find_zip64(file: BinaryIO, end: int) -> tuple[int, ...] | None:
    """The same fields in their wide form; None where 65,535 simply was the number."""
    if end < END64.size + END64_LOCATOR.size:
        return None
    locator = end - END64_LOCATOR.size
    magic, disk, offset, disks = END64_LOCATOR.unpack(_read_at(file, locator, END64_LOCATOR.size))
    if magic != b"PK\x06\x07":
        return None
    if disk or disks > 1 or offset + END64.size > locator:
        raise StoreError(f"the zip's directory is not where it should be; {PACK_AGAIN}")
    record = END64.unpack(_read_at(file, offset, END64.size))
    magic, length = record[:2]
    if magic != b"PK\x06\x06" or offset + 12 + length != locator:
        raise StoreError(f"the zip's directory is not where it should be; {PACK_AGAIN}")
    return (offset, *record[4:])


def _read_directory(file: BinaryIO, directory: Directory, gate: Gate) -> list[Entry]:
    """The files to take. Their count and their claimed bytes are within the limits."""
    gate.bound_entries(directory.members)
    entries = []
    total = 0
    file.seek(directory.start)
    for _ in range(directory.members):
        if file.tell() >= directory.end:
            raise StoreError(f"the zip holds fewer members than it counts; {PACK_AGAIN}")
        entry = _read_entry(file)
        path = gate.admit(entry.path, _kind(entry))
        if path is None:
            continue
        entry.path = path
        _check_packing(entry)
        total += entry.size
        gate.bound(total, path)
        entries.append(entry)
    if file.tell() != directory.end:
        raise StoreError(f"the zip holds more members than it counts; {PACK_AGAIN}")
    return entries


def _read_entry(file: BinaryIO) -> Entry:
    # fmt: off
    (magic, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size,
     disk, _, attributes, offset) = CENTRAL.unpack(_read(file, CENTRAL.size))
    # fmt: on
    if magic != b"PK\x01\x02":
        raise StoreError(f"the zip's directory is damaged; {PACK_AGAIN}")
    name = _read(file, name_size)
    extra = _parse_extra(_read(file, extra_size), name)
    _read(file, comment_size)
    path = _decode_name(name, flags, extra.get(UNICODE_PATH))
    if disk:
        refuse(path, "is on another disk", "pack it as one file")
    wide = _Wide(extra.get(ZIP64, b""), path)
    size, packed, offset = wide.value(size), wide.value(packed), wide.value(offset)
    return Entry(name, path, flags, method, crc, packed, size, offset, attributes >> 16)


def _parse_extra(extra: bytes, name: bytes) -> dict[int, bytes]:
    """The extra fields by their id (4.5.1). One that is there twice could be read in two ways."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4
        if at + size > len(extra) or (kind in {ZIP64, UNICODE_PATH} and kind in fields):
            refuse(ascii(name)[2:-1], "has a malformed extra field", PACK_AGAIN)
        fields[kind] = extra[at : at + size]
        at += size
    return fields


class _Wide:
    """The 64-bit values of one entry, present in order for those that did not fit (4.5.3)."""

    def __init__(self, field: bytes, path: str) -> None:
        self.field = field
        self.path = path
        self.at = 0

    def value(self, narrow: int) -> int:
        if narrow != ABSENT32:
            return narrow
        if self.at + 8 > len(self.field):
            refuse(self.path, "lacks its size or offset", PACK_AGAIN)
        self.at += 8
        return int.from_bytes(self.field[self.at - 8 : self.at], "little")


def _decode_name(name: bytes, flags: int, field: bytes | None) -> str:
    """
    A member's name, UTF-8 whether it says so (4.4.4 bit 11) or not, as macOS writes it.

    A name in a code page is refused: to guess it would publish a URL nobody asked for. Info-ZIP
    gives such a name in UTF-8 as well, in an extra field tied to the name by its CRC (4.6.9).
    """
    if field and field[:5] == b"\x01" + zlib.crc32(name).to_bytes(4, "little"):
        if flags & UTF8 and field[5:] != name:
            refuse(ascii(name)[2:-1], "has two names", PACK_AGAIN)
        name = field[5:]
    try:
        return name.decode()
    except UnicodeDecodeError:
        refuse(ascii(name)[2:-1], "has a name that is not UTF-8", "rename it, or pack with UTF-8")


def _kind(entry: Entry) -> str:
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        return "a symbolic link"
    if entry.path.endswith("/") or kind == stat.S_IFDIR:
        return FOLDER if not entry.size else "a folder with content"
    return FILE if kind in {0, stat.S_IFREG} else "a device, pipe or socket"


def _check_packing(entry: Entry) -> None:
    if entry.flags & ENCRYPTED:
        refuse(entry.path, "is encrypted", "pack it without a password")
    if entry.method not in {STORED, DEFLATED}:
        remedy = "pack it with deflate, as zip does by default"
        refuse(entry.path, f"is packed with method {entry.method}", remedy)
    if entry.method == STORED and entry.packed != entry.size:
        refuse(entry.path, "has two sizes", PACK_AGAIN)


def _find_content(file: BinaryIO, entry: Entry) -> int:
    """Where a member's bytes begin, once its local header agrees with the directory."""
    # fmt: off
    (magic, _, flags, method, _, _, crc, packed, size, name_size,
     extra_size) = LOCAL.unpack(_read_at(file, entry.offset, LOCAL.size))
    # fmt: on
    if magic != b"PK\x03\x04":
        refuse(entry.path, "is not where the directory says", PACK_AGAIN)
    name = _read(file, name_size)
    if name != entry.name:
        refuse(entry.path, f"is called {ascii(name)[2:-1]!r} in its own header", PACK_AGAIN)
    agrees = method == entry.method and not (flags ^ entry.flags) & ENCRYPTED
    if not flags & DESCRIPTOR:
        agrees = agrees and crc == entry.crc
        agrees = agrees and packed in {entry.packed, ABSENT32} and size in {entry.size, ABSENT32}
    if not agrees:
        refuse(entry.path, "is described in two ways", PACK_AGAIN)
    start: int = entry.offset + LOCAL.size + name_size + extra_size
    return start


def _read_content(file: BinaryIO, entry: Entry, start: int, gate: Gate) -> Iterator[bytes]:
    """A member's bytes; ends only when they are as many as claimed and have the right CRC."""
    file.seek(start)
    packed = _read_packed(file, entry)
    left, crc = entry.size, 0
    for chunk in packed if entry.method == STORED else _inflate(packed, entry):
        left -= len(chunk)
        if left < 0:
            refuse(entry.path, "is larger than it claims", PACK_AGAIN)
        gate.meter(len(chunk), entry.path)
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if left:
        refuse(entry.path, "is smaller than it claims", PACK_AGAIN)
    if crc != entry.crc:
        refuse(entry.path, "is damaged (its CRC is wrong)", PACK_AGAIN)


def _read_packed(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    left = entry.packed
    while left:
        data = file.read(min(INPUT, left))
        if not data:
            refuse(entry.path, "is cut short", PACK_AGAIN)
        left -= len(data)
        yield data


def _inflate(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    while not machine.eof:
        data = machine.unconsumed_tail or next(packed, b"")
        try:
            chunk = machine.decompress(data, CHUNK)
        except zlib.error:
            refuse(entry.path, "is damaged (it cannot be inflated)", PACK_AGAIN)
        if not data and not chunk:
            refuse(entry.path, "is cut short", PACK_AGAIN)
        if chunk:
            yield chunk
    if machine.unused_data or next(packed, b""):
        refuse(entry.path, "holds bytes behind its content", PACK_AGAIN)
