"""
An archive, read as a stream of members that are safe to store.

Nothing is extracted: a member is a checked path and an iterator of bytes, and whoever consumes it
names its file by the hash of what came out. zipfile and tarfile are not used, because both build
what the archive claims before it can be bounded (a directory of 10^7 entries, a pax header of a
gigabyte) and zipfile does not see that two members share bytes. The formats are read strictly, and
what two readers could understand differently is refused.

The contract: a member is good when its iterator has ended. Everything else is a `StoreError` that
names the member and says what to do. Here is only the choice of the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from edge.control.members import ArchiveLimits, Member, is_unpublished
from edge.control.tars import GZIP, is_tar, tar_members
from edge.control.zips import zip_members
from edge.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ArchiveLimits",
    "Member",
    "archive_members",
    "is_unpublished",
    "tar_members",
    "zip_members",
]

FOREIGN_FORMATS = {
    b"\xfd7zXZ\x00": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"<": "a page of HTML or XML, perhaps a login or an error",
}


def archive_members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[Member]:
    """
    The files of an archive, in the format that its first bytes announce. Its name is not asked.

    Raises:
        StoreError: here, or at any point of the iteration.
    """
    file.seek(0)
    start = file.read(512)
    if start.startswith(b"PK"):
        return zip_members(file, limits)
    if start.startswith(GZIP) or is_tar(start):
        return tar_members(file, limits)
    for magic, name in FOREIGN_FORMATS.items():
        if start.startswith(magic):
            raise StoreError(f"it is {name}; hand in a .zip, .tar.gz or .tar")
    raise StoreError("it is no archive; hand in a folder, a .zip, a .tar.gz or a .tar")
