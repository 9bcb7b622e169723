"""What Python's own readers see in an archive, and archives of any bytes held against that."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from edge.control.archives import ArchiveLimits, tar_members, zip_members
from edge.control.members import Member
from edge.errors import StoreError
from edge.site.paths import check_artifact_path

T = TypeVar("T")
UTF8 = 0x800
UNICODE_PATH = b"\x75\x70"

LONG_NAME = re.compile(rb"(?s)L.{100}ustar.{250}[^\0]{121}")
"""A header for a long name, and 121 bytes without the NUL that ends one."""

LIMITS = ArchiveLimits(files=50, bytes=1024**2, ratio=100)

PYTHON_REFUSES = (
    zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError, UnicodeDecodeError
)  # fmt: skip
"""What zipfile and tarfile raise for what they do not read (RuntimeError: a password is wanted)."""


def as_python_reads(archive: bytes) -> dict[str, bytes]:
    """Path → bytes by zipfile and tarfile, without what is never published."""
    file = io.BytesIO(archive)
    if archive.startswith(b"PK"):
        with zipfile.ZipFile(file) as found:
            named = [(name_of(each), each) for each in found.infolist() if not each.is_dir()]
            return {path: found.read(each) for path, each in published(named)}
    with tarfile.open(fileobj=file, mode="r:") as found:
        named = [(each.name, each) for each in found if not is_folder(each)]
        if any(is_misread(archive[each.offset_data - 512 :]) for _, each in named):
            raise NotImplementedError("Python takes GNU's times for a prefix")
        if LONG_NAME.search(archive):
            raise NotImplementedError("Python looks for the end of a long name behind it")
        if any(archive[found.offset :][:512]):
            raise tarfile.ReadError("it stops without a word at a header that it does not like")
        return {path: found.extractfile(each).read() for path, each in published(named)}


def is_folder(found: tarfile.TarInfo) -> bool:
    """By its kind, or by its name, as tar(1) has it; Python asks that of the oldest kind alone."""
    return found.isdir() or (found.name.endswith("/") and not found.size)


def is_misread(block: bytes) -> bool:
    """Whether a header is GNU's and has something where POSIX has the prefix."""
    return block[257:263] == b"ustar " and block[345] > 0


def name_of(found: zipfile.ZipInfo) -> str:
    """A name as we read it: UTF-8 whether it says so or not; Python takes it for code page 437."""
    if UNICODE_PATH in found.extra:
        raise NotImplementedError("Python 3.11 does not look there")
    return found.filename if found.flag_bits & UTF8 else found.filename.encode("cp437").decode()


def published(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Without `./` in front, and without what version control leaves."""
    for name, found in named:
        path = name.removeprefix("./")
        if ".git" not in path.split("/"):
            yield path, found


def fuzz_zip(data: bytes) -> None:
    """Refused, or the tree that zipfile sees as well."""
    compare(data, zip_members)


def fuzz_tar(data: bytes) -> None:
    """The same for tars; every block that could be a header gets the checksum that it lacks."""
    compare(data, tar_members)
    compare(summed(data), tar_members)


def compare(archive: bytes, read: Callable[..., Iterator[Member]]) -> None:
    """One reading against the other; Python may refuse what we take, and we what it takes."""
    try:
        members = read(io.BytesIO(archive), LIMITS)
        tree = {found.path: b"".join(found.chunks) for found in members}
    except StoreError:
        return
    for path in tree:
        check_artifact_path(path)
    with contextlib.suppress(*PYTHON_REFUSES):
        assert tree == as_python_reads(archive)


def summed(archive: bytes) -> bytes:
    """With checksums: no fuzzer guesses one."""
    blocks = [archive[start : start + 512] for start in range(0, len(archive), 512)]
    return b"".join(with_checksum(block) if b"ustar" in block else block for block in blocks)


def with_checksum(block: bytes) -> bytes:
    """One block."""
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % total + block[156:]
