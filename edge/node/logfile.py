"""
The file of the access log: written by a thread of each worker, bounded, turned over.

Laws: `put` never waits, neither for a disk nor for a lock: what does not fit into the queue is
dropped and counted. Several processes append to one file, one at a time, under the lock of a file
beside it; who holds it looks whether the file is still the one it knows, sets it aside when it is
full or of another day, deletes what is too old or too much, and writes whole lines in one call.
So the bound `max_total` is exact, whoever dies when, and every line begins at the start of a line.
A disk that refuses costs lines, never the serving; what serves the lines is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from edge.site.logfiles import Aside, aside_of, lock_name, name_aside
from edge.site.logforms import FORMS, LOOK, form_of
from edge.site.settings import AccessLog

log = logging.getLogger("edge.log")

MODE: Final = 0o640
"""Addresses of clients are personal: for the node's user, and the group that reads logs."""

FOLDER_MODE: Final = 0o750
QUEUE: Final = 4 << 20
"""Bytes that wait for the disk, a worker; about ten thousand lines."""

BATCH: Final = 1 << 20
"""Bytes written at a time, at most."""

IDLE: Final = 60.0
"""Seconds without a line after which old files are looked for all the same."""

COMPLAIN: Final = 60.0
"""Seconds between two messages about a disk that refuses."""

DAY: Final = 86_400


class LogFile:
    """
    The access log of one worker. `root` is where a relative `path` starts.

    With `path` null nothing is written, and nothing counts as dropped.
    """

    def __init__(self, root: Path, settings: AccessLog) -> None:
        self._root = root
        self._settings = settings
        self._queue: SimpleQueue[list[bytes] | AccessLog | str] = SimpleQueue()
        self._queued = 0
        """Bytes put so far; only `put` writes it, so that no lock is needed."""
        self._overflowed = 0
        """Lines that the queue had no room for."""
        self._writer = Writer(root, settings)
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def is_wanted(self) -> bool:
        """Whether there is an access log: without one, nobody needs to make lines."""
        return self._settings.path is not None

    @property
    def dropped(self) -> int:
        """Lines that were lost so far: to a full queue, a disk that refuses, or the bound."""
        return self._overflowed + self._writer.lost

    def put(self, lines: list[bytes]) -> None:
        """
        Write finished JSON lines, each with its newline; called by one thread.

        The list is kept: use another one. Cost: 20 ns a line.
        """
        if self._settings.path is None or not lines:
            return
        room = QUEUE - (self._queued - self._writer.taken)
        size = sum(map(len, lines))
        if size > room:
            lines, size, lost = fitting(lines, room)
            self._overflowed += lost
            if not lines:
                return
        self._queued += size
        self._queue.put(lines)

    def reopen(self) -> None:
        """The file was moved away: let go of it, and begin another."""
        self._queue.put("reopen")

    def configure(self, settings: AccessLog) -> None:
        """From now on by these settings."""
        if settings != self._settings:
            self._settings = settings
            self._queue.put(settings)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for so many seconds at most; what is left then is lost."""
        self._queue.put("close")
        self._thread.join(timeout)

    def _run(self) -> None:
        writer = self._writer
        writer.write([], 0)
        while True:
            try:
                order: list[bytes] | AccessLog | str | None = self._queue.get(timeout=IDLE)
            except Empty:
                order = None
            lines: list[bytes] = []
            size = 0
            while isinstance(order, list):
                lines += order
                size += sum(map(len, order))
                order = self._next() if size < BATCH // 2 else None
            if lines or order is None:
                writer.write(lines, size)
            if isinstance(order, AccessLog):
                writer.configure(order)
            elif order == "reopen":
                writer.reopen()
            elif order == "close":
                writer.close()
                return

    def _next(self) -> list[bytes] | AccessLog | str | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None


def fitting(lines: list[bytes], room: int) -> tuple[list[bytes], int, int]:
    """The first lines that fit, their size, and how many did not."""
    size = 0
    for count, line in enumerate(lines):
        if size + len(line) > room:
            return lines[:count], size, len(lines) - count
        size += len(line)
    return lines, size, 0


class Writer:
    """What the thread does; nobody else calls it once the thread runs."""

    def __init__(self, root: Path, settings: AccessLog) -> None:
        self.taken = 0
        """Bytes that left the queue; only this thread writes it."""
        self.lost = 0
        """Lines that could not be written."""
        self._root = root
        self._left = 0
        """Lines of this write that are not on their way to the disk yet."""
        self._complained = -COMPLAIN
        self._told = 0
        """Lines lost when that was told last."""
        self._is_told = False
        """Whether the last that was told is that it cannot be written."""
        self._descriptor = -1
        self._lock = -1
        self._aside: list[Aside] = []
        """What was there when the file that is open was opened; see `_look_around`."""
        self._others = 0
        """Bytes of these."""
        self.configure(settings)

    def configure(self, settings: AccessLog) -> None:
        """From now on by these settings."""
        self.close()
        self._path: Path | None = None
        if settings.path is not None:  # a link is followed once: what it leads to is turned over
            self._path = Path(os.path.realpath(self._root / settings.path))
        self._form = FORMS[settings.format]
        self._bound = settings.max_total
        self._keep = settings.keep_days * DAY
        self._full = min(settings.rotate, max(1, settings.max_total // 4))
        """A bound smaller than a few files needs smaller files: whole ones are deleted."""

    def reopen(self) -> None:
        """Let go of the file, and begin one if it is no longer there."""
        self.close()
        self.write([], 0)

    def close(self) -> None:
        """Let go of both files."""
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def write(self, lines: list[bytes], size: int) -> None:
        """Append lines of JSON, or lose and count them; without any, tidy up. Never raises."""
        if self._path is None:
            self.taken += size
            return
        made, spoiled = self._form.make(lines)
        self.lost += spoiled
        self._left = len(made)
        try:
            with self._held(self._path):
                for chunk in chunks(made, min(BATCH, self._full)):
                    self._append(self._path, b"".join(chunk))
                    self._left -= len(chunk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next lines are to be tried
            self.lost += self._left
            self.close()
            self._complain(error)
        else:
            self._reassure()
        finally:
            self.taken += size

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN:
            self._complained = now
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            text = "the access log %s cannot be written: %s; %d lines are lost"
            log.error(text, self._path, reason, self.lost - self._told)
            self._told = self.lost
            self._is_told = True

    def _reassure(self) -> None:
        if self._is_told:
            self._is_told = False
            count = self.lost - self._told
            self._told = self.lost
            log.warning(
                "the access log %s is written again; %d more lines were lost", self._path, count
            )

    # All below is done while the lock is held

    @contextlib.contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        """Nobody else writes, sets aside or deletes meanwhile."""
        place = path.with_name(lock_name(path))
        while True:
            if self._lock < 0:
                path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
                self._lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if is_at(self._lock, place):
                break
            os.close(self._lock)  # somebody removed it: those who come now use another one
            self._lock = -1
        try:
            yield
        finally:
            if self._lock >= 0:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _append(self, path: Path, data: bytes) -> None:
        """Write lines at the end of a file that has room for them; without any, only tidy up."""
        if len(self._form.header) + len(data) > self._bound:
            raise OSError(errno.EFBIG, "a line is larger than access_log.max_total")
        while True:
            status = self._open(path)
            if not data:
                self._look_around(path)
            front = self._front(status.st_size) if data else b""
            if status.st_size and self._is_over(status, len(data)):
                self._set_aside(path, status)
            elif self._make_room(path, status.st_size + len(front) + len(data)):
                break
            else:
                self._set_aside(path, status)
        if data:
            self._write_whole(front, data, status.st_size)

    def _open(self, path: Path) -> os.stat_result:
        """Have the current file open, whoever moved it or began a new one."""
        if self._descriptor >= 0 and not is_at(self._descriptor, path):
            os.close(self._descriptor)
            self._descriptor = -1
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, MODE)
            self._look_around(path)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return status

    def _look_around(self, path: Path) -> None:
        """
        Delete what is too old, and count the rest.

        The count holds while this file is the current one: only the current one grows, and it
        becomes another when anybody sets it aside.
        """
        expired = time.time() - self._keep
        self._aside, self._others = [], 0
        for each in aside_of(path, names_in(path.parent)):
            with contextlib.suppress(FileNotFoundError):
                if each.ended < expired:
                    path.with_name(each.name).unlink()
                else:
                    self._others += path.with_name(each.name).stat().st_size
                    self._aside.append(each)

    def _is_over(self, status: os.stat_result, size: int) -> bool:
        """Whether the file is full, of another day, or of another form."""
        if status.st_size + size > self._full or status.st_mtime // DAY != time.time() // DAY:
            return True
        return form_of(os.pread(self._descriptor, LOOK, 0)) != self._form.name

    def _set_aside(self, path: Path, status: os.stat_result) -> None:
        """Give the file the name of its end; the next look begins a new one."""
        taken = aside_of(path, names_in(path.parent))
        path.rename(path.with_name(name_aside(path, status.st_mtime, taken)))

    def _front(self, size: int) -> bytes:
        """What has to stand before a line: the header, or the end of a line that was torn."""
        if not size:
            return self._form.header
        return b"" if os.pread(self._descriptor, 1, size - 1) == b"\n" else b"\n"

    def _make_room(self, path: Path, size: int) -> bool:
        """Whether the current file may have this size; the oldest others are deleted for it."""
        if self._others + size > self._bound:
            self._look_around(path)
        while self._others + size > self._bound and self._aside:
            oldest = path.with_name(self._aside[0].name)
            try:
                self._others -= oldest.stat().st_size
                oldest.unlink()
                del self._aside[0]
            except FileNotFoundError:  # somebody was quicker
                self._look_around(path)
        return self._others + size <= self._bound

    def _write_whole(self, front: bytes, data: bytes, size: int) -> None:
        """Append; where the disk takes a part, only whole lines stay."""
        message = front + data
        done = 0
        try:
            while done < len(message):
                done += os.write(self._descriptor, message[done:] if done else message)
        except OSError:
            end = message.rfind(b"\n", 0, done) + 1
            self._left -= max(0, message.count(b"\n", 0, end) - front.count(b"\n"))
            os.ftruncate(self._descriptor, size + end)
            raise


def names_in(folder: Path) -> list[str]:
    """What lies there."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def is_at(descriptor: int, path: Path) -> bool:
    """Whether this very file has the name still."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def chunks(lines: list[bytes], limit: int) -> list[list[bytes]]:
    """Lines in groups of so many bytes at most, a longer line alone; without lines, one of none."""
    if sum(map(len, lines)) <= limit:
        return [lines]
    found: list[list[bytes]] = []
    room = 0
    for line in lines:
        if not found or len(line) > room:
            found.append([])
            room = limit
        found[-1].append(line)
        room -= len(line)
    return found
