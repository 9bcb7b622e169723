"""
Writing so that a crash at any instant leaves the old or the new, never a torn file.

Every write is: temporary file → fsync → rename → fsync of the folder. Many files at once are made
durable by one `syncfs` before their renames: the same promise at a fraction of the cost (10,000
fsyncs take minutes on a plain disk). Temporary names begin with `.tmp-`; no reader looks at them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from edge.errors import StoreError

TEMPORARY = ".tmp-"
"""How names begin that nobody reads."""

FEW = 8
"""Files up to which an fsync each is cheaper than a syncfs, which waits for other writers too."""

_libc = ctypes.CDLL(None, use_errno=True)


def write(path: Path, data: bytes | Iterable[bytes], mode: int = 0o644) -> None:
    """Replace `path` whole, durably; parent folders are made."""
    make_folder(path.parent)
    with _temporary(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    sync_folder(path.parent)


def write_all(files: Mapping[Path, bytes]) -> None:
    """Replace each file whole, durably. All of them lie in one folder, which exists."""
    if len(files) <= FEW:
        for path, data in files.items():
            write(path, data)
        return
    with contextlib.ExitStack() as stack:
        written = {path: stack.enter_context(_temporary(path)) for path in files}
        for path, temporary in written.items():
            temporary.write_bytes(files[path])
        folder = next(iter(files)).parent
        sync_filesystem(folder)
        for path, temporary in written.items():
            temporary.rename(path)
        sync_folder(folder)


def point(link: Path, target: str) -> None:
    """Make the symbolic link `link` point to `target` in one step, durably."""
    with _temporary(link) as temporary:
        temporary.symlink_to(target)
        temporary.rename(link)
    sync_folder(link.parent)


def make_folder(path: Path) -> None:
    """Make a folder and the parents it lacks, durably: a file is lost with the name above it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nobody reads; leftovers are removed by `sweep`."""
    return path.with_name(TEMPORARY + secrets.token_hex(8))


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A temporary name; if its file was not renamed, it is removed."""
    temporary = temporary_beside(path)
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sweep(root: Path, older_than: float, passed_over: str) -> int:
    """
    Delete what writers that died left under `root` before `older_than`: how many files.

    Folders called `passed_over` are not looked into.
    """
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != passed_over]
        for name in names:
            path = Path(folder, name)
            if name.startswith(TEMPORARY) and path.lstat().st_mtime < older_than:
                path.unlink(missing_ok=True)
                count += 1
    return count


def trouble(error: OSError) -> str | None:
    """What to do about a disk that takes nothing; None where that is not what went wrong."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: make room (`edge doctor` shows how much there is), then try again"
    if error.errno in (errno.EIO, errno.EROFS):
        reason = os.strerror(error.errno)
        return f"the disk fails ({reason}): look at `dmesg` and `mount`, mend it, then try again"
    return None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(folder: Path) -> None:
    """Make everything written so far to the file system of `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", os.fspath(folder))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, wait_s: float = 30.0) -> Iterator[None]:
    """
    Hold the lock file `path`; it is free again when the holder dies, however it dies.

    Raises:
        StoreError: another process held it for `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + wait_s)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_folder(folder: Path, wait_s: float) -> Iterator[None]:
    """
    Hold a lock on a folder itself: it takes no file of its own.

    Raises:
        BlockingIOError: another process held it for `wait_s` seconds.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """
    A file that is written bit by bit and replaces `path` when it is whole, durably.

    It has no name until then, where the file system can do that: whoever dies leaves nothing.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode)
        is_nameless = True
    except OSError:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        is_nameless = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            if is_nameless:
                source = f"/proc/self/fd/{descriptor}"  # with a dir_fd the link is followed
                os.link(source, temporary, src_dir_fd=descriptor, follow_symlinks=True)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock while it is open, or None when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{path} is held by another process; wait for its change to end"
                ) from None
            time.sleep(0.02)
        else:
            return
