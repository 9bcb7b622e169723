"""
The access log, read: a window of it in the order of time, and what comes behind it.

Laws: reads, never writes, and takes memory for some thousand lines, however large the log is. Files
that cannot have a line of the window are not opened; files that are set aside, compressed or
deleted meanwhile are no mistake. What comes out are lines of JSON without their newlines, whatever
form the files have. A line that cannot be read is counted and passed over.

A line is written when its request has ended, by a worker that collects a few. So what takes part
in sorting are the last some ten thousand lines, and a request that took longer than those comes
where it ended.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Final

from edge.control.records import GZIP, Inflated
from edge.site.logfiles import aside_of
from edge.site.logforms import LOOK, UNREADABLE, form_of
from edge.site.logline import Entry, decode_entry
from edge.site.logreading import READERS, Read, as_line
from edge.site.logwindow import HEAD, TIME, Filter, Window

BLOCK: Final = 1 << 20
"""Bytes read at a time."""

MAX_LINE: Final = 1 << 20
"""Bytes of a line; a node's own are at most six times its `limits.fields`, escaped."""

KEPT: Final = 32_768
"""Lines that wait for earlier ones, at most twice."""

KEPT_BYTES: Final = 32 << 20
"""The same in bytes."""

TAIL: Final = 1 << 16
"""Bytes at the end of the current file that a tail looks at."""

TAIL_LINES: Final = 10
PAUSE: Final = 0.25
"""Seconds between two looks for new lines."""

WHOLE: Final = (b'"complete":true}', b'"complete":false}')
"""How a line of ours ends; any other has to be taken apart to know whether it is one."""

ROTATED: Final = re.compile(r"(?:\.[0-9]{1,6}|-[0-9]{8}(?:-?[0-9]{1,10})?)(?:\.gz)?")
"""What logrotate puts behind a name."""

Keyed = tuple[bytes, bytes]
"""A line behind its time."""

Inode = tuple[int, int]


class LogReader:
    """The lines of the log at `path` that are of a window and pass a filter."""

    def __init__(self, path: Path, window: Window, wanted: Filter) -> None:
        self.path = path
        self.window = window
        self.wanted = wanted
        self.skipped = 0
        """Lines that could not be read so far."""
        self.damaged: list[str] = []
        """Files that could not be read to their end, and why."""

    def read(self) -> Iterator[list[bytes]]:
        """What is there now, in the order of time, some lines at a time."""
        current = self._open(self.path)
        try:
            yield from ordered(self._until_now(current))
        finally:
            if current is not None:
                current.close()

    def follow(
        self, *, only_tail: bool, pause: Callable[[], object] | None = None
    ) -> Iterator[list[bytes]]:
        """
        What is there now, or the last few lines of it, and without an end what comes then.

        `pause` is called where there is nothing new, to wait; what it raises ends this.
        """
        pause = pause or partial(time.sleep, PAUSE)
        with closing(Place(self._open(self.path))) as place:
            yield from ordered(self._endless(place, pause, only_tail=only_tail))

    def _open(self, path: Path) -> Stream | None:
        try:
            return Stream(self, path)
        except FileNotFoundError:
            return None

    def _until_now(self, current: Stream | None) -> Iterator[list[Keyed]]:
        """
        Earlier files, then the current one, which was opened first.

        Where it was set aside meanwhile, it is known by its inode, and later ones are left out.
        """
        first = self.window.first or 0.0
        for ended, path in files_aside(self.path):
            if ended + 1 < first:
                continue
            stream = self._open(path) or self._open(path.with_name(path.name + ".gz"))
            if stream is None:
                continue
            with closing(stream):
                if current is not None and stream.inode == current.inode:
                    break
                yield from stream.read()
                if stream.is_over:
                    return
        if current is not None:
            yield from current.read()

    def _endless(
        self, place: Place, pause: Callable[[], object], *, only_tail: bool
    ) -> Iterator[list[Keyed]]:
        """As `_until_now`, and then on; an empty list says that nothing else is there yet."""
        if not only_tail:
            yield from self._until_now(place.stream)
        elif place.stream is not None:
            yield place.stream.tail()
        while True:
            yield []
            old = place.stream
            there = inode_at(self.path)
            newest = None
            if there is not None and (old is None or there != old.inode):
                newest = self._open(self.path)
            if newest is None:
                pause()
            if old is not None:
                yield from old.read()  # where it was moved: what was written until then
            if newest is not None:
                if old is not None:
                    yield from self._between(old, newest)
                place.move(newest)
                yield from newest.read()

    def _between(self, old: Stream, newest: Stream) -> Iterator[list[Keyed]]:
        """Files that were begun and set aside since `old` was, and before `newest` was."""
        paths = [path for _, path in files_aside(self.path)]
        inodes = [inode_at(path) for path in paths]
        if old.inode in inodes:
            paths = paths[inodes.index(old.inode) + 1 :]
        else:  # it was compressed or deleted
            paths = [path for path in paths if ended_at(path) > old.ended]
        for path in paths:
            stream = self._open(path)
            if stream is not None:
                with closing(stream):
                    if stream.inode == newest.inode:
                        return
                    yield from stream.read()


class Place:
    """Where somebody is who follows."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def move(self, stream: Stream) -> None:
        """On to the next file."""
        self.close()
        self.stream = stream

    def close(self) -> None:
        """Let go of the file."""
        if self.stream is not None:
            self.stream.close()


class Stream:
    """One file, read on from where it was."""

    def __init__(self, reader: LogReader, path: Path) -> None:
        self.path = path
        packed = path.open("rb", buffering=0)
        status = os.fstat(packed.fileno())
        self.inode: Inode = (status.st_dev, status.st_ino)
        self.is_over = False
        """Whether nobody needs to read further: it is behind the window."""
        is_packed = packed.read(len(GZIP)) == GZIP
        packed.seek(0)
        self._file = Inflated(packed) if is_packed else packed
        self._packed = packed
        self._reader = reader
        self._first = reader.window.first_stamp
        self._last = reader.window.last_stamp
        self._enough = reader.window.enough
        self._read: Read | None = None
        self._is_known = False
        self._rest = b""
        """The beginning of a line whose end has not come."""
        self._is_cut = False
        """Whether that line is too long, and its beginning has gone."""

    @property
    def ended(self) -> float:
        """Epoch seconds of its last line so far."""
        return os.fstat(self._packed.fileno()).st_mtime

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def read(self) -> Iterator[list[Keyed]]:
        """What is wanted of it, to its end for now."""
        while not self.is_over:
            try:
                block = self._file.read(BLOCK)
            except (EOFError, zlib.error, OSError) as error:
                self._reader.damaged.append(f"{self.path}: {error}")
                return
            if not block:
                return
            if picked := self._pick(self._split(block)):
                yield picked

    def tail(self) -> list[Keyed]:
        """The last few lines that are wanted."""
        size = self._file.seek(0, os.SEEK_END)
        self._learn()
        self._file.seek(max(0, size - TAIL))
        lines = self._split(self._file.read(TAIL) or b"")
        picked = self._pick(lines[1:] if size > TAIL else lines)
        return sorted(picked, key=itemgetter(0))[-TAIL_LINES:]

    def _learn(self, beginning: bytes | None = None) -> None:
        """The form that the file has, by its beginning."""
        if not self._is_known:
            if beginning is None:
                beginning = os.pread(self._packed.fileno(), LOOK, 0)
            self._is_known = bool(beginning)
            self._read = READERS.get(form_of(beginning))

    def _split(self, block: bytes) -> list[bytes]:
        """Whole lines; one that is too long is passed over without being held."""
        self._learn(block[:LOOK])
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if self._is_cut and lines:
            del lines[0]
            self._is_cut = False
        if self._is_cut or len(self._rest) > MAX_LINE:
            self._reader.skipped += not self._is_cut
            self._is_cut = True
            self._rest = b""
        return lines

    def _pick(self, lines: list[bytes]) -> list[Keyed]:
        if self._read is None:
            return self._pick_json(lines)
        return self._pick_others(lines, self._read)

    def _pick_json(self, lines: list[bytes]) -> list[Keyed]:
        """Cost: 0.3 µs a line, 3 µs more of those that pass the quick look of a filter."""
        if lines and min(lines[0][TIME], lines[-1][TIME]) >= self._enough:
            self.is_over = True
            return []
        first, last = self._first, self._last
        found = [(line[TIME], line) for line in lines if first <= line[TIME] < last]
        whole = [pair for pair in found if pair[1].endswith(WHOLE) or is_entry(pair[1])]
        whole = [pair for pair in whole if pair[1].startswith(HEAD)]
        self._reader.skipped += len(found) - len(whole)
        wanted = self._reader.wanted
        if wanted.is_open:
            return whole
        return [pair for pair in whole if wanted.may_be(pair[1]) and self._fits(pair[1])]

    def _fits(self, line: bytes) -> bool:
        try:
            return self._reader.wanted.fits(decode_entry(line))
        except UNREADABLE:
            self._reader.skipped += 1
            return False

    def _pick_others(self, lines: Iterable[bytes], read: Read) -> list[Keyed]:
        """Of the forms that workers can be told to write instead of JSON. Cost: 30 µs a line."""
        found: list[Keyed] = []
        for line in lines:
            try:
                entry = read(line)
            except ValueError:
                self._reader.skipped += line != b""
                continue
            if entry is not None and self._is_wanted(entry):
                found.append((entry.time.encode(), as_line(entry)))
        return found

    def _is_wanted(self, entry: Entry) -> bool:
        return self._first <= entry.time.encode() < self._last and self._reader.wanted.fits(entry)


def ordered(batches: Iterator[list[Keyed]]) -> Iterator[list[bytes]]:
    """Lines by their time, as far as they are not too far apart; an empty batch lets all go."""
    waiting: list[Keyed] = []
    size = 0
    for batch in batches:
        waiting += batch
        size += sum(len(line) for _, line in batch)
        if batch and len(waiting) < 2 * KEPT and size < 2 * KEPT_BYTES:
            continue
        if waiting:
            waiting.sort(key=itemgetter(0))
            count = len(waiting) // 2 if batch else len(waiting)
            yield [line for _, line in waiting[:count]]
            del waiting[:count]
            size = sum(len(line) for _, line in waiting)
    if waiting:
        waiting.sort(key=itemgetter(0))
        yield [line for _, line in waiting]


def is_entry(line: bytes) -> bool:
    """Whether a line is whole."""
    try:
        decode_entry(line)
    except UNREADABLE:
        return False
    return True


def files_aside(path: Path) -> list[tuple[float, Path]]:
    """When each file that was set aside ended, by us or by logrotate; oldest first."""
    with os.scandir(path.parent) as entries:
        names = {entry.name for entry in entries}
    plain = {name for name in names if name.removesuffix(".gz") == name or name[:-3] not in names}
    found = [(each.ended, each.number, each.name) for each in aside_of(path, plain)]
    others = (name for name in plain if name.startswith(path.name))
    moved = [name for name in others if ROTATED.fullmatch(name, len(path.name))]
    found += [(ended_at(path.with_name(name)), 0, name) for name in moved]
    return [(ended, path.with_name(name)) for ended, _, name in sorted(found)]


def inode_at(path: Path) -> Inode | None:
    """Which file has this name now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def ended_at(path: Path) -> float:
    """When a file was written last, in epoch seconds; 0 where it has gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
