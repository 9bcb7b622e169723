"""
A state folder out of a backup: all of it, or nothing.

Laws: it is built in `restoring`, where nobody looks, and verified to its last byte; one rename
makes it `restored`, and from then on whoever comes next (a restore, a start, a command) moves it to
its places, `current` last. So whoever dies leaves what was, or what will be. Nothing but plain
files is ever made, below that folder alone. What was there before is moved aside, not deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from edge.control import durable
from edge.control.backup_format import (
    BEFORE,
    DAMAGED,
    OPERATORS,
    Folders,
    Front,
    Piece,
    Reader,
    Show,
)
from edge.control.blobs import BlobStore
from edge.control.deployments import Deployments, Marked
from edge.errors import EdgeError, StoreError
from edge.node import orders
from edge.site.decoding import decode_json
from edge.site.places import Places

log = logging.getLogger("edge.restore")

STAYS: Final = frozenset({"backup", "lock", "log", "restored", "restoring", "run", "store.lock"})
"""What of a state folder a restore leaves where it is."""

POINTER: Final = re.compile(r"generations/[0-9]{1,18}")

NEW, FOLDERS, ASIDE, EMPTIED = "new", "folders", "aside", "emptied"
"""
Of `restored`: what is to be moved, where the operator's folders are, where to what was there goes,
that it went.
"""


def restore(
    places: Places,
    folders: Folders,
    file: BinaryIO,
    *,
    show: Show,
    force: bool = False,
) -> tuple[Front, str | None]:
    """
    Make a state folder what a backup says; returns that, and where what was there went.

    Raises:
        EdgeError: a node runs there.
        StoreError: something is there already, or the backup is none; nothing has changed.
    """
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(places), durable.locked(places.store_lock):
        _finish(places)
        if not force and is_occupied(places):
            raise StoreError(
                f"{places.state} is in use: --force moves aside what is there, and restores"
            )
        try:
            front = _build(places, file, show)
            aside = _make_ready(places, folders)
        except BaseException:
            shutil.rmtree(places.restoring, ignore_errors=True)
            raise
        had_any = is_occupied(places)
        _finish(places)
    return front, aside if had_any else None


def finish(places: Places) -> None:
    """Go on with a restore whose process died, if there is one and nobody is at it."""
    if places.restored.is_dir():
        with contextlib.suppress(EdgeError), _alone(places), durable.locked(places.store_lock):
            _finish(places)


def is_occupied(places: Places) -> bool:
    """Whether anything is there that a restore would move."""
    return any(True for _ in _movable(places))


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """
    Keep nodes from starting.

    Raises:
        EdgeError: one runs, or its workers do without it.
    """
    lock = durable.try_lock(places.lock)
    if lock is None:
        raise EdgeError(f"a node runs on {places.state}; stop it first")
    try:
        if any(orders.peers(places.run, kind) for kind in ("worker", "control")):
            raise EdgeError(f"workers of a node still run on {places.state}; stop them first")
        yield
    finally:
        os.close(lock)


def _build(places: Places, file: BinaryIO, show: Show) -> Front:
    """Everything in `restoring/new`, verified and durable."""
    shutil.rmtree(places.restoring, ignore_errors=True)
    new = Places(places.restoring / NEW)
    new.state.mkdir(mode=0o700, parents=True)
    reader = Reader(file)
    _check_room(places, reader.front)
    show.phase("restoring", reader.front.bytes)
    pointer = ""
    for piece in reader.pieces():
        if piece.path == "current":
            pointer = b"".join(piece.chunks).decode(errors="replace")
            continue
        _write(new, piece, show)
    if not POINTER.fullmatch(pointer) or not (new.state / pointer).is_file():
        raise StoreError(DAMAGED)
    new.current.symlink_to(pointer)
    _check_blobs(new)
    give(places.restoring, places.state.stat())
    durable.sync_filesystem(places.restoring)
    return reader.front


def _check_room(places: Places, front: Front) -> None:
    status = os.statvfs(places.state)
    if front.bytes > status.f_bavail * status.f_frsize:
        raise StoreError(f"the backup has {front.bytes} bytes, more than the disk has room for")


def _write(new: Places, piece: Piece, show: Show) -> None:
    """
    A file that was not there.

    Raises:
        StoreError: it was, or its name is taken by a folder, or it is a blob of another name.
    """
    path = new.state / piece.path
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"the backup has {piece.path!r} twice") from error
    with os.fdopen(descriptor, "wb") as file:
        for chunk in piece.chunks:
            file.write(chunk)
            digest.update(chunk)
            show.advance(len(chunk))
    os.utime(path, (piece.mtime, piece.mtime))
    is_blob = path.parent.parent == new.blobs and "." not in path.name
    if is_blob and digest.hexdigest() != path.name:
        raise StoreError(DAMAGED)


def _check_blobs(new: Places) -> None:
    """Every blob that a manifest names is there."""
    blobs = BlobStore(new)
    if missing := blobs.missing(Deployments(new, blobs).mark(Marked()).blobs):
        raise StoreError(f"the backup lacks {len(missing)} blobs that its deployments have")


def give(path: Path, owner: os.stat_result) -> None:
    """Made by root, it is for the user whose node it is."""
    if os.geteuid() == 0 and owner.st_uid != 0:
        for each in (path, *path.rglob("*")):
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _make_ready(places: Places, folders: Folders) -> str:
    """From here on it is what will be. Returns where to what was there goes."""
    durable.write(places.restoring / FOLDERS, msgspec.json.encode(folders))
    aside = BEFORE + time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    while (places.state / aside).exists():
        aside += "+"
    durable.write(places.restoring / ASIDE, aside.encode())
    places.restoring.rename(places.restored)
    durable.sync_folder(places.state)
    return aside


def _finish(places: Places) -> None:
    """Move what is restored to its places; again, if whoever began died."""
    new, emptied = places.restored / NEW, places.restored / EMPTIED
    if not places.restored.is_dir():
        return
    if not emptied.exists():
        aside = places.state / (places.restored / ASIDE).read_text()
        aside.mkdir(mode=0o700, exist_ok=True)
        for path in list(_movable(places)):
            path.rename(aside / path.name)
        durable.sync_folder(aside)
        durable.sync_folder(places.state)
        with contextlib.suppress(OSError):  # there was something
            aside.rmdir()
        durable.write(emptied, b"")
    _give_operators(places, new / OPERATORS)
    for path in sorted(new.iterdir(), key=lambda each: each.name == places.current.name):
        path.rename(places.state / path.name)
    durable.sync_folder(places.state)
    shutil.rmtree(places.restored)


def _give_operators(places: Places, saved: Path) -> None:
    """What of the operator's folders is lacking; what he has is his, and stays as it is."""
    folders = decode_json((places.restored / FOLDERS).read_bytes(), Folders)
    for name, folder in msgspec.structs.asdict(folders).items():
        for path in (saved / name).iterdir() if (saved / name).is_dir() else ():
            target = Path(folder) / path.name
            try:
                if not target.exists():
                    _copy(path, target, places.state.stat())
            except OSError as error:
                log.warning("%s is not restored (%s); it is in the backup", target, error)
    shutil.rmtree(saved, ignore_errors=True)


def _copy(path: Path, target: Path, owner: os.stat_result) -> None:
    """A file or a folder, there when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = durable.temporary_beside(target)
    if path.is_dir():
        shutil.copytree(path, temporary)
    else:
        shutil.copy2(path, temporary)
    give(temporary, owner)
    temporary.rename(target)
    durable.sync_filesystem(target.parent)


def _movable(places: Places) -> Iterator[Path]:
    """What is there, without what stays."""
    for path in places.state.iterdir():
        if path.name not in STAYS and not path.name.startswith(BEFORE):
            yield path
