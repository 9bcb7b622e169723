"""
A SOURCE that a deployer names, opened into a tree of files that are checked and hashed.

A source is a folder, an archive, or the address of one. Nothing is stored here: a folder's files
stay where they are, an archive's stand in the caller's workspace, named by their hash, until the
caller takes or removes them. A refusal is a `StoreError` and leaves the workspace as it was.
Synchronous: runs in the CLI or in a thread, never on a loop. Bytes are held 256 KiB at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.control.archives import ArchiveLimits, Member, archive_members
from edge.control.downloads import download, is_address, public_name
from edge.control.folders import Folder, FoundFile, hash_file
from edge.control.members import RAISE_LIMIT
from edge.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]
    """Hears files and bytes so far; files are 0 while an archive is downloaded."""

HASHING_THREADS = 2
"""Hashing outruns a disk; two hide each other's opening and closing of small files."""

SLICE = 32
"""Files a thread takes at a time: one by one, handing over costs as much as hashing 10 KiB."""

BATCH = 16 * SLICE
"""Files in the hands of the pool at once, so that a folder's size costs no memory there."""


class StagedFile(msgspec.Struct, frozen=True):
    """One file of a source, its bytes known by their hash."""

    sha256: str
    """Lowercase hex."""
    size: int
    file: Path
    """Where the bytes are: the folder's own file, or one in the workspace named by the hash."""


Tree = dict[str, StagedFile]
"""Artifact path → file, sorted by path."""


def stage(
    source: str,
    workspace: Path,
    *,
    limits: ArchiveLimits,
    follow_links: bool = False,
    on_progress: Progress | None = None,
) -> Tree:
    """
    The tree that a SOURCE holds.

    Files of an archive are put into a folder of their own in `workspace`, identical ones once. A
    folder's files are not copied: whoever reads them later compares the hash again.

    `follow_links` publishes what a folder's links outside of it point to.

    Raises:
        StoreError: begins with the source, names what is wrong with it and what to do.
    """
    progress = on_progress or _silence
    try:
        if not is_address(source) and Path(source).is_dir():
            tree = _stage_folder(Path(source), limits, progress, follow_links=follow_links)
            _check_folder(tree, source)
        else:
            tree = _stage_archive(source, workspace, limits, progress)
    except StoreError as error:
        raise StoreError(f"{public_name(source)}: {error}") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or type(error).__name__
        raise StoreError(f"{public_name(source)}: {reason}{where}") from error
    return tree


def _silence(_files: int, _bytes: int) -> None:
    """Nobody listens."""


def _stage_folder(
    root: Path, limits: ArchiveLimits, progress: Progress, *, follow_links: bool
) -> Tree:
    tree: Tree = {}
    total = 0
    found = Folder(root, limits, follow_links=follow_links).walk()
    with ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="hash") as pool:
        while batch := list(islice(found, BATCH)):
            slices = [batch[at : at + SLICE] for at in range(0, len(batch), SLICE)]
            for path, staged in chain.from_iterable(pool.map(_hash_slice, slices)):
                tree[path] = staged
                total += staged.size
                _check_total(total, path, limits)
                progress(len(tree), total)
    return dict(sorted(tree.items()))


def _hash_slice(found: list[FoundFile]) -> list[tuple[str, StagedFile]]:
    return [(one.path, StagedFile(*hash_file(one), one.file)) for one in found]


def _check_total(total: int, path: str, limits: ArchiveLimits) -> None:
    if total > limits.bytes:
        remedy = RAISE_LIMIT.format("bytes")
        raise StoreError(f"{path!r} takes the folder over {limits.bytes} bytes; {remedy}")


def _stage_archive(source: str, workspace: Path, limits: ArchiveLimits, progress: Progress) -> Tree:
    with _own_folder(workspace) as folder:
        if is_address(source):
            archive = folder / "archive"
            download(source, archive, limits.bytes, lambda size: progress(0, size))
            tree = _unpack(archive, folder, limits, progress)
            archive.unlink()
        else:
            tree = _unpack(_find_archive(source), folder, limits, progress)
        _check_archive(tree)
    return tree


def _find_archive(source: str) -> Path:
    archive = Path(source)
    if not archive.exists():
        raise StoreError("there is no such file or folder; check the path")
    if not archive.is_file():  # opening a pipe would wait for ever
        raise StoreError("it is neither a file nor a folder; hand in a folder or an archive")
    return archive


@contextlib.contextmanager
def _own_folder(workspace: Path) -> Iterator[Path]:
    """A new folder in the workspace, gone again if what happens in it fails."""
    folder = Path(tempfile.mkdtemp(prefix="source-", dir=workspace))
    try:
        yield folder
    except BaseException:  # also when the deployer presses Ctrl-C
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unpack(archive: Path, folder: Path, limits: ArchiveLimits, progress: Progress) -> Tree:
    tree: Tree = {}
    total = 0
    with archive.open("rb") as file:
        for member in archive_members(file, limits):
            staged = tree[member.path] = _keep(member, folder)
            total += staged.size
            progress(len(tree), total)
    return dict(sorted(tree.items()))


def _keep(member: Member, folder: Path) -> StagedFile:
    """Writes a member under the hash of its bytes, once they have all come."""
    incoming = folder / "incoming"
    digest = hashlib.sha256()
    size = 0
    with incoming.open("wb") as file:
        for chunk in member.chunks:
            digest.update(chunk)
            size += file.write(chunk)
    kept = folder / digest.hexdigest()
    incoming.replace(kept)  # over an identical one, if there is one
    return StagedFile(kept.name, size, kept)


def _check_archive(tree: Tree) -> None:
    if not tree:
        raise StoreError("it holds no files; pack the folder that your build wrote")
    if top := _single_top(tree):
        command = f"cd {shlex.quote(top)} && zip -r ../site.zip ."
        raise StoreError(
            f"it holds the folder {top!r} instead of its contents;"
            f" deploy the contents of '{top}/', e.g. {command}"
        )


def _check_folder(tree: Tree, source: str) -> None:
    if not tree:
        raise StoreError("it holds no files; deploy the folder that your build wrote")
    if top := _single_top(tree):
        inner = shlex.quote(str(Path(source, top)))
        raise StoreError(f"the site is in its folder {top!r}; deploy that: edge deploy {inner}")


def _single_top(tree: Tree) -> str | None:
    """The one folder that holds everything and looks like the site itself."""
    tops = {path.partition("/")[0] for path in tree}
    top = next(iter(tops))
    return top if len(tops) == 1 and f"{top}/index.html" in tree else None
