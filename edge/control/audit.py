"""
The audit log: who did what, when, and what came of it, one JSON line a call.

Laws: no secret and no body is ever in it. A line is one write at the file's end, under the file's
lock; the oldest file goes before there are too many. What is to be done is done, whatever becomes
of its line: with the disk full, a rollback must work. A line that cannot be written goes to the
node's own log (stderr), and the next one that can says how many those were.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

log = logging.getLogger("edge.audit")

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of one file; a line is about 300."""

MAX_FILES: Final = 10
"""Files, the one that is written included: 160 MiB, half a million calls."""

MAX_TEXT: Final = 500
"""Characters of a path or an error."""

MAX_WAITING: Final = 10_000
"""Lines that wait for a slow disk; more go to the node's own log."""

PATIENCE: Final = 1.0
"""Seconds that a change waits for its line to be written, and a writer for the file's lock."""

Entry = dict[str, Any]


class Audit:
    """The audit log of one state folder; several processes may write it."""

    def __init__(self, path: Path, max_file: int = MAX_FILE, max_files: int = MAX_FILES) -> None:
        self._path = path
        self._max_file = max_file
        self._max_files = max_files
        self._descriptor: int | None = None
        self._writer = ThreadPoolExecutor(1, "audit")
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._lost = 0

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._writer.shutdown()
        self._let_go()

    def note(self, entry: Entry) -> Future[None]:
        """Have a line written; the future is done when it is, or when it is lost."""
        if not self._waiting.acquire(blocking=False):
            self._lose(encode(entry), "the disk is too slow")
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._writer.submit(self._note, entry)

    def _note(self, entry: Entry) -> None:
        line = encode(entry)
        try:
            before = encode({"time": entry["time"], "lost": self._lost}) if self._lost else b""
            self._write(before + line)
            self._lost = 0
        except OSError as error:
            self._let_go()
            self._lose(line, error.strerror or type(error).__name__)
        finally:
            self._waiting.release()

    def _lose(self, line: bytes, reason: str) -> None:
        self._lost += 1
        log.error("audit (%s): %s", reason, line.decode().rstrip())

    @contextlib.contextmanager
    def locally(self, action: str, **about: str | None) -> Iterator[Entry]:
        """Note a change of the command line; what is added to the yielded dict is noted, too."""
        begun, found = time.monotonic(), {**about}
        error: str | None = None
        try:
            yield found
        except Exception as raised:
            error = str(raised) or type(raised).__name__
            raise
        finally:
            entry = entry_of(f"local:{os.getuid()}", action, found)
            entry |= {"error": shorten(error), "seconds": round(time.monotonic() - begun, 6)}
            self.note(entry).result()

    # The file

    def _write(self, data: bytes) -> None:
        """Add lines at the end, whole or not at all. Raises OSError."""
        descriptor = self._open()
        lock(descriptor, time.monotonic() + PATIENCE)
        try:
            if not self._is_current(descriptor):  # another began a new one while this one waited
                return self._write(data)
            size = os.fstat(descriptor).st_size
            if size and size + len(data) > self._max_file:
                self._rotate()
                self._let_go()  # and of its lock
                return self._write(data)
            written = os.write(descriptor, data)
            if written < len(data):
                os.ftruncate(descriptor, size)
                raise OSError(28, "the disk is full")
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        return None

    def _open(self) -> int:
        """The file as it is called now: another process may have begun a new one."""
        if self._descriptor is not None:
            if self._is_current(self._descriptor):
                return self._descriptor
            self._let_go()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        """Whether a file is the one that has the name, and not one that was turned over."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._path.stat(), os.fstat(descriptor))
        return False

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rotate(self) -> None:
        """Each file gets the next number; the oldest goes."""
        numbered = [self._path.with_name(f"{self._path.name}.{n}") for n in range(self._max_files)]
        numbered[0] = self._path
        for number in range(self._max_files - 2, -1, -1):
            with contextlib.suppress(FileNotFoundError):
                numbered[number].replace(numbered[number + 1])


def entry_of(who: str, action: str, about: Entry, client: str | None = None) -> Entry:
    """The beginning of a line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = {name: shorten(about.get(name)) for name in ("app", "branch", "id")}
    return {"time": now, "who": who, "client": client, "action": action, **names}


def encode(entry: Entry) -> bytes:
    """A line, in ASCII: readers end lines, and terminals do things, at characters beyond it."""
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def shorten(text: str | None) -> str | None:
    """Text of which not too much is kept."""
    return text if text is None or len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def lock(descriptor: int, deadline: float) -> None:
    """Take a file's lock; who holds it too long (a stopped process) is not waited for."""
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
