"""
What a file inside an archive must be before a byte of it is believed.

Here stand the laws for every format: the grammar and the neighbors of its path, its kind, and how
much may come out. The readers of the formats (`zips`, `tars`) know bytes and nothing of these laws;
they ask a `Gate`. Every refusal is a `StoreError` that names the member and says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import msgspec

from edge.errors import StoreError
from edge.site.paths import Collisions, check_artifact_path

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 256 * 1024
"""Most bytes of content held at once."""

RATIO_FLOOR = 10 * 1024 * 1024
"""Output below which no ratio is a bomb: a site of empty pages compresses a thousand to one."""

FOLDER, FILE = "a folder", "a file"


class ArchiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source may hold; beyond it the source is refused."""

    files: int = 100_000
    """Files; folders have the same bound of their own."""
    bytes: int = 10 * 1024**3
    """Bytes of all files together, and of an archive that is downloaded."""
    ratio: int = 100
    """Bytes out for each byte of the archive, once 10 MiB are out."""


class Member(NamedTuple):
    """One file of an archive. `chunks` must be consumed before the next member is asked for."""

    path: str
    size: int
    """What the archive claims; `chunks` yields exactly as many, or raises."""
    chunks: Iterator[bytes]


UNPUBLISHED = {".git", ".hg", ".svn"}


def is_unpublished(path: str) -> bool:
    """Whether a path is what tools leave behind, never part of a site: it is passed over."""
    segments = path.split("/")
    return (
        segments[0] == "__MACOSX"
        or segments[-1] == ".DS_Store"
        or not UNPUBLISHED.isdisjoint(segments)
    )


def refuse(member: str, reason: str, remedy: str = "pack the archive again without it") -> NoReturn:
    """Raises the `StoreError` for one member. `reason` continues a sentence."""
    name = member if len(member) <= 200 else f"{member[:200]}…"
    raise StoreError(f"member {name!r} {reason}; {remedy}")


class Gate:
    """What every member of one archive passes, whatever its format: grammar, kind, limits."""

    def __init__(self, limits: ArchiveLimits, archive_bytes: int) -> None:
        self.limits = limits
        self.archive_bytes = archive_bytes
        self.collisions = Collisions()
        self.entries = 0
        self.output = 0

    def admit(self, name: str, kind: str) -> str | None:
        """The path of a file to take; None for folders and what is never published."""
        self.entries += 1
        self._bound_count(self.entries, 2 * self.limits.files, name)
        path = name.removeprefix("./")  # as `tar -c .` spells every member
        if kind != FILE:
            path = path.removesuffix("/")
        if kind == FOLDER and path in {"", "."}:
            return None
        try:
            check_artifact_path(path)
        except ValueError as error:
            refuse(name, str(error), "rename it, and pack from inside the site's folder")
        if kind == FOLDER or is_unpublished(path):
            return None
        self._add(name, path, kind)
        return path

    def _add(self, name: str, path: str, kind: str) -> None:
        if kind != FILE:
            refuse(name, f"is {kind}", REMEDIES.get(kind, "pack the archive again without it"))
        try:
            self.collisions.add(path)
        except ValueError as error:
            refuse(name, f"has no place of its own: {error}", "rename one of them")
        self._bound_count(self.collisions.files, self.limits.files, name)
        self._bound_count(self.collisions.folders, self.limits.files, name)

    def bound_entries(self, count: int) -> None:
        """Refuses an archive with, or announcing, so many members of any kind."""
        if count > 2 * self.limits.files:
            raise StoreError(
                f"the archive counts {count} members, over {2 * self.limits.files};"
                f" {RAISE_LIMIT.format('files')}"
            )

    def _bound_count(self, count: int, limit: int, name: str) -> None:
        if count > limit:
            refuse(name, f"is one too many: {limit} are allowed", RAISE_LIMIT.format("files"))

    def meter(self, size: int, name: str) -> None:
        """Counts bytes that came out for a member."""
        self.output += size
        self.bound(self.output, name)

    def bound(self, total: int, name: str) -> None:
        """Refuses a member with which the output is, or would be, `total` bytes."""
        if total > self.limits.bytes:
            reason = f"takes the archive over {self.limits.bytes} bytes"
            refuse(name, reason, RAISE_LIMIT.format("bytes"))
        if total > RATIO_FLOOR and total > self.limits.ratio * self.archive_bytes:
            reason = f"expands the archive over {self.limits.ratio} times, as a bomb does"
            refuse(name, reason, RAISE_LIMIT.format("ratio"))


RAISE_LIMIT = "remove what does not belong to the site, or raise limits.archive_{}"
REMEDIES = {
    "a symbolic link": "pack what it points to (tar --dereference, zip without -y)",
    "a hard link": "pack it as a file (tar --hard-dereference)",
    "a sparse file": "pack the archive again without --sparse",
}

PACK_AGAIN = "pack or download the archive again"
CUT_SHORT = f"the archive is cut short; {PACK_AGAIN}"
