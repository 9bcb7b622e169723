"""
The store of content: every blob once, by its sha256.

Laws: bytes arrive in `pending/blobs` under their verified hash; they move to `blobs/` only after
`syncfs`, so that a name in `blobs/` always has its bytes, whatever died in between.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from edge.control.codings import encode_all
from edge.control.durable import locked_folder, sync_filesystem, temporary_beside
from edge.errors import StoreError
from edge.site.manifest import CODINGS
from edge.site.places import SUFFIX, Places

BOOT = Path("/proc/sys/kernel/random/boot_id")


class BlobStore:
    """The blobs of one state folder, for the one process that changes them."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._blobs = os.fspath(places.blobs)
        self._staged = os.fspath(places.staged)

    def open(self) -> None:
        """Make the folders; staged blobs of another boot may be torn by a power cut and go."""
        self._places.staged.mkdir(parents=True, exist_ok=True)
        self._places.blobs.mkdir(parents=True, exist_ok=True)
        mark = self._places.pending / "boot"
        boot = BOOT.read_text()
        if not mark.exists() or mark.read_text() != boot:
            for path in self._places.staged.iterdir():
                path.unlink(missing_ok=True)
            mark.write_text(boot)

    def missing(self, hashes: Iterable[str]) -> list[str]:
        """Those of `hashes` that are not here, each once."""
        wanted = set(hashes)
        return sorted(wanted - self.sizes(wanted).keys())

    def sizes(self, hashes: Iterable[str]) -> dict[str, int]:
        """Bytes of those blobs that are here, for good or staged."""
        found = {sha256: self._size(sha256, "identity") for sha256 in hashes}
        return {sha256: size for sha256, size in found.items() if size is not None}

    def _size(self, sha256: str, coding: str) -> int | None:
        """Bytes of a blob's coding, in the store or staged. Cost: 3 µs where it is stored."""
        name = sha256 + SUFFIX[coding]
        stored, staged = f"{self._blobs}/{sha256[:2]}/{name}", f"{self._staged}/{name}"
        for path in (stored, staged, stored):  # `settle` may move it behind the first look
            size = _size_of(path)
            if size is not None:
                return size
        return None

    def put(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """
        Take a blob.

        Raises:
            StoreError: its bytes have another hash.
        """
        writer = BlobWriter(self._places, sha256)
        try:
            for chunk in chunks:
                writer.write(chunk)
            writer.finish()
        finally:
            writer.close()

    def coded(self, sha256: str) -> dict[str, int] | None:
        """Bytes of each coding that pays, or None when they have not been made."""
        sizes: dict[str, int] = {}
        for coding in CODINGS:
            size = self._size(sha256, coding)
            if size is None:
                return None
            if size:
                sizes[coding] = size
        return sizes

    def encode(self, hashes: Collection[str]) -> None:
        """
        Make the codings of blobs that have none yet, beside the other staged blobs.

        Goes without the store's lock: what two of them make of the same bytes is the same.
        """
        if hashes:  # an activation asks again, under the lock, when all is made
            encode_all(
                (partial(self.read, sha256), partial(self._places.staged_blob, sha256))
                for sha256 in hashes
            )

    def read(self, sha256: str) -> BinaryIO:
        """A blob's bytes; `settle` may move it from the one place to the other meanwhile."""
        try:
            return self._places.staged_blob(sha256).open("rb")
        except FileNotFoundError:
            return self._places.blob(sha256).open("rb")

    def settle(self) -> None:
        """
        Make everything staged durable and part of the store.

        A blob that was sent again while the disk was synced waits for the next time.
        """
        staged = self._staged_inodes()
        if not staged:
            return
        sync_filesystem(self._places.staged)
        for name, inode in self._staged_inodes().items():
            if staged.get(name) == inode:
                folder = self._places.blobs / name[:2]
                folder.mkdir(exist_ok=True)
                (self._places.staged / name).rename(folder / name)
        sync_filesystem(self._places.blobs)

    def _staged_inodes(self) -> dict[str, int]:
        with os.scandir(self._places.staged) as entries:
            return {entry.name: entry.inode() for entry in entries if entry.name[0] != "."}

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._places.blobs) as folders:
            for folder in folders:
                with os.scandir(folder.path) as entries:
                    yield from list(entries)

    def collect(self, live: set[str], older_than: float) -> tuple[int, int]:
        """Delete blobs outside `live` not touched since `older_than`: how many, how many bytes."""
        count = size = 0
        for entry in self._entries():
            if entry.name.partition(".")[0] in live:
                continue
            status = entry.stat()
            if status.st_mtime <= older_than:
                Path(entry.path).unlink(missing_ok=True)
                count += 1
                size += status.st_size
        return count, size

    def collect_staged(self, live: set[str], older_than: float) -> None:
        """Delete what was staged before `older_than` and is not in `live`, halves of it too."""
        for path in self._places.staged.iterdir():
            if path.name.partition(".")[0] in live:
                continue
            with contextlib.suppress(FileNotFoundError):  # a writer renamed it meanwhile
                if path.stat().st_mtime < older_than:
                    path.unlink()


@contextlib.contextmanager
def held(blobs: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the blobs: who deletes some, and who reads them all, take turns."""
    try:
        with locked_folder(blobs, wait_s):
            yield
    except BlockingIOError:
        raise StoreError("a backup or a collection is under way; try again later") from None


def _size_of(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116  (a Path costs five times the call)
    except FileNotFoundError:
        return None


class BlobWriter:
    """One blob while it arrives: hashed as it is written, visible when it is whole and right."""

    def __init__(self, places: Places, sha256: str) -> None:
        self._sha256 = sha256
        self._path = places.staged_blob(sha256)
        self._temporary = temporary_beside(self._path)
        self._file = self._temporary.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._hash.update(chunk)
        self._file.write(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """
        Make it visible.

        Raises:
            StoreError: the bytes have another hash than their name.
        """
        self._file.close()
        found = self._hash.hexdigest()
        if found != self._sha256:
            raise StoreError(f"the bytes sent as blob {self._sha256} have the hash {found}")
        self._temporary.rename(self._path)

    def close(self) -> None:
        """Leave nothing behind if it did not finish."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
