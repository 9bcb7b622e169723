"""
A backup as a file: a tar, compressed by zstd, that says in front what it is and at its end that
it is whole.

Laws: a member is a plain file below the state folder, or it is refused. The last one has the hash
of everything in front of it: what is cut short, damaged or put together differently is no backup.
Read front to back, once; nothing of it is believed before the end has been seen.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol, TypeVar

import msgspec
import zstandard

from edge.control.members import FILE, ArchiveLimits, Gate
from edge.control.tars import KINDS, Header, Tape, decode_name, read_headers
from edge.errors import StoreError
from edge.site.decoding import decode_json

FORMAT: Final = 1
"""Counts formats that older versions cannot read."""

FRONT, END = "edge-backup.json", "edge-backup-end.json"

SEGMENT: Final = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")
MAX_SEGMENTS: Final = 8
MAX_DOCUMENT: Final = 4096
"""Bytes of the first and the last member."""

CHUNK: Final = 256 * 1024
LEVEL: Final = 3
"""Of zstd: most of a backup is compressed already."""

ELSEWHERE: Final = frozenset(
    {
        "alarms.json",
        "backup",
        "lock",
        "log",
        "pending",
        "restored",
        "restoring",
        "run",
        "store.lock",
    }
)
"""What of a state folder is of this moment and this machine, and in no backup."""

OPERATORS: Final = "operator"
"""Where the operator's own folders are in a backup."""

BEFORE: Final = "before-"
"""How the folder begins that a restore moved what was there to."""

PASSED_OVER: Final = frozenset({"tls/lock", "tls/challenges.json"})

NO_BACKUP: Final = "this is no backup of edge"
DAMAGED: Final = "the backup is damaged or cut short, and nothing of it was restored"


DocumentT = TypeVar("DocumentT")


class Show(Protocol):
    """Where it is told how far one is."""

    def phase(self, name: str, total: int = 0) -> None:
        """Something begins that has so many bytes."""
        ...

    def advance(self, size: int) -> None:
        """So many more of them are done."""
        ...


class Folders(msgspec.Struct, frozen=True):
    """The operator's own folders, beside the state."""

    rules: str
    certs: str


class Front(msgspec.Struct, kw_only=True):
    """What a backup is."""

    format: int
    made: float
    """Epoch seconds."""
    version: str
    """Of the program that made it."""
    generation: int
    files: int
    bytes: int


class End(msgspec.Struct, kw_only=True):
    """That it is whole."""

    sha256: str
    files: int
    bytes: int


class Piece(NamedTuple):
    """One file. `chunks` must be consumed before the next piece is asked for."""

    path: str
    size: int
    mtime: int
    chunks: Iterator[bytes]


class Total:
    """What went by: the hash of it, and how much."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.files = 0
        self.bytes = 0

    def begin(self, path: str, size: int, mtime: int) -> None:
        """One more file."""
        self._hash.update(f"{path}\x00{size}\x00{mtime}\n".encode())
        self.files += 1
        self.bytes += size

    def add(self, chunk: bytes) -> None:
        """Bytes of it."""
        self._hash.update(chunk)

    def end(self) -> End:
        """All of it."""
        return End(sha256=self._hash.hexdigest(), files=self.files, bytes=self.bytes)


def belongs(path: str) -> bool:
    """Whether a file of the state folder is in a backup; its name may be in one at all."""
    segments = path.split("/")
    top = segments[0]
    return not (
        top in ELSEWHERE
        or top.startswith(BEFORE)
        or path in PASSED_OVER
        or len(segments) > MAX_SEGMENTS
        or any(
            each in {".", ".."} or each.startswith(".tmp-") or not SEGMENT.fullmatch(each)
            for each in segments
        )
    )


class Writer:
    """Writes a backup to a file."""

    def __init__(self, file: BinaryIO, front: Front) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._stream = compressor.stream_writer(file, closefd=False)
        self._tar = tarfile.open(  # noqa: SIM115 - `finish` closes it
            mode="w|", fileobj=self._stream, format=tarfile.PAX_FORMAT
        )
        self._total = Total()
        self._document(FRONT, front)

    def _document(self, name: str, document: msgspec.Struct) -> None:
        data = msgspec.json.encode(document)
        self._tar.addfile(_member(name, len(data), 0), io.BytesIO(data))

    def add(self, path: str, size: int, mtime: int, file: BinaryIO) -> None:
        """
        A file.

        Raises:
            StoreError: it does not have `size` bytes.
        """
        self._total.begin(path, size, mtime)
        try:
            self._tar.addfile(_member(path, size, mtime), _Noted(file, self._total))
        except OSError as error:
            if "unexpected end of data" not in str(error):
                raise
            raise StoreError(f"{path} was cut short while it was read") from error

    def finish(self) -> None:
        """Say that it is whole."""
        self._document(END, self._total.end())
        self._tar.close()
        self._stream.close()  # type: ignore[no-untyped-call]


class _Noted(io.RawIOBase):
    """A file whose bytes are noted as they are read."""

    def __init__(self, file: BinaryIO, total: Total) -> None:
        super().__init__()
        self._file = file
        self._total = total

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._total.add(data)
        return data


def _member(path: str, size: int, mtime: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mtime, info.mode = size, mtime, 0o600
    return info


class Reader:
    """Reads a backup from a file that cannot be sought."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises StoreError where it is none, or of a format that is not known."""
        self._tape = _Unpacked(file)
        self._headers = read_headers(self._tape)
        self._total = Total()
        self.front = self._read_front()

    def _read_front(self) -> Front:
        try:
            front = self._document(self._next(), FRONT, Front)
        except StoreError as error:
            raise StoreError(NO_BACKUP) from error
        if front.format != FORMAT:
            raise StoreError(
                f"the backup has format {front.format}, made by edge {front.version[:40]}; "
                f"this version reads format {FORMAT}"
            )
        return front

    def pieces(self) -> Iterator[Piece]:
        """
        Every file, then proof that these were all.

        Raises:
            StoreError: at any point of the iteration.
        """
        while (header := self._next()).name != END.encode():
            path = decode_name(header)
            if KINDS.get(header.kind) != FILE or not belongs(path):
                raise StoreError(f"the backup has {path[:200]!r}, which no backup of edge has")
            self._total.begin(path, header.size, header.mtime)
            if self._total.bytes > self.front.bytes:
                raise StoreError(DAMAGED)
            yield Piece(path, header.size, header.mtime, self._content(header))
        end = self._document(header, END, End)
        if end != self._total.end() or next(self._headers, None) is not None:
            raise StoreError(DAMAGED)

    def _content(self, header: Header) -> Iterator[bytes]:
        for chunk in self._tape.content(header.size):
            self._total.add(chunk)
            yield chunk

    def _next(self) -> Header:
        header = next(self._headers, None)
        if header is None:
            raise StoreError(DAMAGED)
        return header

    def _document(self, header: Header, name: str, kind: type[DocumentT]) -> DocumentT:
        if header.name != name.encode() or header.size > MAX_DOCUMENT:
            raise StoreError(DAMAGED)
        try:
            return decode_json(b"".join(self._tape.content(header.size)), kind)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise StoreError(DAMAGED) from error


class _Unpacked(Tape):
    """The tar inside, by whole reads; sizes are the front's to bound, not a ratio's."""

    def __init__(self, file: BinaryIO) -> None:
        self.gate = Gate(ArchiveLimits(files=1 << 60, bytes=1 << 60), 1 << 60)
        self.label = ""
        reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
        self._unpacked = io.BufferedReader(reader, CHUNK)

    def read(self, size: int) -> bytes:
        """At most so many bytes, fewer only at the end."""
        try:
            return self._unpacked.read(size)
        except zstandard.ZstdError as error:
            raise StoreError(DAMAGED) from error
