"""
A folder, walked and hashed where it stands.

The walk says which files a folder publishes and under which paths; links inside it are followed,
links that leave it only when asked. Hashing opens what the walk saw, and nothing that took its
place since, and notices a file that changes under the reader. Where a file lies is asked of the
kernel once it is open: a name may lead elsewhere by the time it is used, a descriptor does not.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from edge.control.members import RAISE_LIMIT, ArchiveLimits, is_unpublished
from edge.errors import StoreError
from edge.site.paths import Collisions, check_artifact_path

if TYPE_CHECKING:
    from collections.abc import Iterator

Identity = tuple[int, int]
"""Device and inode."""

CHANGED = "changed while it was read; run the deploy again"


class FoundFile(msgspec.Struct, frozen=True):
    """A regular file that a folder publishes."""

    path: str
    """Its artifact path."""
    file: Path
    """Where it is, every link resolved."""
    identity: Identity
    within: str = ""
    """The folder that it must lie in, with its slash; empty for anywhere."""


class Folder:
    """One walk through a folder: what it may follow, and what it has met."""

    def __init__(self, root: Path, limits: ArchiveLimits, *, follow_links: bool) -> None:
        self.root = Path(os.path.realpath(root))
        self.limits = limits
        self.follow_links = follow_links
        self.collisions = Collisions()
        self._within = "" if follow_links else str(self.root / "_")[:-1]

    def walk(self) -> Iterator[FoundFile]:
        """
        The files, sorted within each folder.

        Raises:
            StoreError: names the path within the folder.
        """
        yield from self._walk(self.root, "", (_identity(self.root.stat()),))

    def _walk(self, folder: Path, prefix: str, above: tuple[Identity, ...]) -> Iterator[FoundFile]:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            path = _check_path(prefix + entry.name)
            if is_unpublished(path):
                continue
            target, status = self._resolve(entry, path)
            identity = _identity(status)
            if stat.S_ISREG(status.st_mode):
                self._admit(path)
                yield FoundFile(path, target, identity, self._within)
            elif not stat.S_ISDIR(status.st_mode):
                _refuse(path, "is a device, pipe or socket", "remove it from the folder")
            elif identity in above:
                _refuse(path, "is a link to a folder that it is in", "remove the link")
            else:
                yield from self._walk(target, f"{path}/", (*above, identity))

    def _resolve(self, entry: os.DirEntry[str], path: str) -> tuple[Path, os.stat_result]:
        """Where an entry really is, and what is there."""
        if not entry.is_symlink():
            return Path(entry.path), entry.stat(follow_symlinks=False)
        try:
            target = Path(os.path.realpath(entry.path, strict=True))
        except OSError as error:
            looped = error.errno == errno.ELOOP
            reason = "is a link that leads to itself" if looped else "is a link to nothing"
            _refuse(path, reason, "remove it, or make what it points to")
        if not self.follow_links and not target.is_relative_to(self.root):
            reason = f"is a link that leads outside the folder, to {str(target)!r}"
            _refuse(path, reason, "--follow-links publishes what they point to")
        return target, target.stat(follow_symlinks=False)

    def _admit(self, path: str) -> None:
        try:
            self.collisions.add(path)
        except ValueError as error:
            raise StoreError(f"{error}; rename one of them") from None
        if self.collisions.files > self.limits.files:
            reason = f"is one too many: {self.limits.files} are allowed"
            _refuse(path, reason, RAISE_LIMIT.format("files"))


def hash_file(found: FoundFile) -> tuple[str, int]:
    """
    The sha256 (hex) and the size of a file, if it stayed the same from the walk to the last byte.

    Raises:
        StoreError: it did not, or cannot be read.
    """
    try:
        # O_NONBLOCK: a pipe that took the file's place must not hold us up.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(found.file, flags)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise StoreError(f"{found.path!r} {CHANGED}") from None
        _refuse(found.path, f"cannot be read ({error.strerror})", "check its permissions")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        where = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if _identity(before) != found.identity or not where.startswith(found.within):
            raise StoreError(f"{found.path!r} {CHANGED}")
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        same = _state(os.fstat(descriptor)) == _state(before)
        if not same or file.tell() != before.st_size:
            raise StoreError(f"{found.path!r} {CHANGED}")
    return digest, before.st_size


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _check_path(path: str) -> str:
    try:
        return check_artifact_path(path)
    except ValueError as error:
        _refuse(path, str(error), "rename it")


def _refuse(path: str, reason: str, remedy: str) -> NoReturn:
    raise StoreError(f"{path!r} {reason}; {remedy}")
