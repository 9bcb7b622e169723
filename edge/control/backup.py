"""
A backup of a state folder, while its node runs or not.

Laws: what it holds was so at one instant: under the store's lock everything but the blobs is held
fast by hard links, and until the end no blob is deleted. It is read by who makes it, so that a
damaged blob is found now and not at a restore. Pending deployments, logs, and what is of this
moment (`ELSEWHERE`) are not in it. The operator's folders are: an app without its folder does not
serve. His edge.yml is not; it may name anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from edge.control import durable
from edge.control.backup_format import FORMAT, OPERATORS, Folders, Front, Show, Writer, belongs
from edge.control.blobs import BlobStore, held
from edge.control.deployments import Deployments, Marked
from edge.control.fleet import Fleet
from edge.control.generations import Generations
from edge.errors import StoreError
from edge.site.places import SUFFIX, Places

PATIENCE: Final = 600.0
"""Seconds to wait for a collection or a change that is under way."""

KEY: Final = ".pem"
"""Read after the files that name them: a name that is held fast has its file."""

File = tuple[str, Path, os.stat_result]
"""Path in the backup, where it is read, and what it is."""


def back_up(places: Places, folders: Folders, file: BinaryIO, show: Show) -> Front:
    """
    Write a backup.

    Raises:
        StoreError: nothing serves yet, a change takes too long, or a blob is missing or damaged.
    """
    if not places.current.is_symlink():
        raise StoreError(f"{places.state} has nothing to back up: nothing was ever served")
    with held(places.blobs, PATIENCE), frozen(places) as still:
        for name, folder in msgspec.structs.asdict(folders).items():
            copy(Path(folder), still.state / OPERATORS / name)
        blobs = sorted(_named(still))  # first: what nobody names goes by that
        files = list(_small(still))
        sizes = [each[2].st_size for each in (*files, *_blobs(places, blobs))]
        front = Front(
            format=FORMAT,
            made=time.time(),
            version=importlib.metadata.version("edge"),
            generation=int(still.current.readlink().name),
            files=len(sizes),
            bytes=sum(sizes),
        )
        show.phase("saving", front.bytes)
        writer = Writer(file, front)
        for path, where, status in files:
            with where.open("rb") as source:
                writer.add(path, status.st_size, int(status.st_mtime), source)
            show.advance(status.st_size)
        for path, where, status in _blobs(places, blobs):
            _add_blob(writer, path, where, status)
            show.advance(status.st_size)
        writer.finish()
    return front


@contextlib.contextmanager
def frozen(places: Places) -> Iterator[Places]:
    """Everything but the blobs, as it is at one instant."""
    still = Places(places.frozen)
    shutil.rmtree(still.state, ignore_errors=True)  # of one that died
    still.state.mkdir(mode=0o700)
    try:
        with durable.locked(places.store_lock, PATIENCE):
            still.current.symlink_to(places.current.readlink())
            for folder in ("generations", "compiled", "deployments", "branches"):
                link_all(places.state / folder, places, still)
        others = [each for each in places.state.iterdir() if not (still.state / each.name).exists()]
        for path in others:
            if path != places.blobs and not path.is_symlink() and belongs(path.name):
                link_all(path, places, still)
        yield still
    finally:
        shutil.rmtree(still.state, ignore_errors=True)


def link_all(path: Path, places: Places, still: Places) -> None:
    """Hold fast a file, or the files of a folder; those that are in no backup are left out."""
    for is_key in (False, True):
        found = [path] if path.is_file() else path.rglob("*")
        for each in [each for each in found if (each.suffix == KEY) is is_key]:
            _link(each, places, still)


def _link(each: Path, places: Places, still: Places) -> None:
    name = each.relative_to(places.state)
    if each.is_file() and not each.is_symlink() and belongs(name.as_posix()):
        target = still.state / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # it went meanwhile
            hold(each, target)


def copy(folder: Path, target: Path) -> None:
    """The plain files of an operator's folder; he may be writing them."""
    for path in sorted(folder.rglob("*")):
        if path.parent == folder and path.is_dir() and not any(path.iterdir()):
            target.joinpath(path.name).mkdir(mode=0o700, parents=True)
            (target / path.name / "app.yml").touch()  # an app by its name alone
        name = path.relative_to(folder).as_posix()
        if (
            path.is_file()
            and not path.is_symlink()
            and belongs(f"{OPERATORS}/{target.name}/{name}")
        ):
            (target / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(path, target / name)


def hold(file: Path, target: Path) -> None:
    """A second name for a file; a copy where the file system has none."""
    try:
        os.link(file, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(file, target)


def _named(still: Places) -> set[str]:
    """Every blob that is named: by manifests, and by what earlier deployments left."""
    still.compiled.mkdir(exist_ok=True)
    deployments = Deployments(still, BlobStore(still))
    retained = Generations(still, Fleet(still.run)).collect()
    return deployments.mark(Marked()).blobs | retained


def _small(still: Places) -> Iterator[File]:
    """All that is held fast; `current` is a file that says where it points."""
    pointer = still.state / "current.txt"
    pointer.write_text(os.fspath(still.current.readlink()))
    yield "current", pointer, pointer.stat()
    for path in sorted(still.state.rglob("*")):
        if path.is_file() and path not in (pointer, still.current):
            yield path.relative_to(still.state).as_posix(), path, path.stat()


def _blobs(places: Places, hashes: list[str]) -> Iterator[File]:
    """
    Blobs, each with the codings that were made of it.

    Raises:
        StoreError: one is not there.
    """
    for sha256 in hashes:
        for coding in SUFFIX:
            path = places.blob(sha256, coding)
            try:
                yield path.relative_to(places.state).as_posix(), path, path.stat()
            except FileNotFoundError:
                if coding == "identity":
                    raise damaged(sha256) from None


def _add_blob(writer: Writer, path: str, where: Path, status: os.stat_result) -> None:
    """Write a blob, and look whether it is what it is called."""
    with where.open("rb") as source:
        if (
            "." not in where.name
            and hashlib.file_digest(source, "sha256").hexdigest() != where.name
        ):
            raise damaged(where.name)
        source.seek(0)
        writer.add(path, status.st_size, int(status.st_mtime), source)


def damaged(sha256: str) -> StoreError:
    """What to do about a blob that is not what it should be."""
    return StoreError(
        f"blob {sha256} is missing or damaged, and what it belongs to cannot be served; deploy "
        f"that again, or delete its branch, then back up again"
    )
