"""Memory in large pages: when, which part of it, and that nothing of it changes."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import re
from functools import partial
from pathlib import Path

import pytest

from edge.node import large_pages
from edge.node.large_pages import LARGE, LEAST, STEP, STILL, LargePages, is_full, starts

MIB = 1 << 20
SIZE = 8 * LARGE


@pytest.fixture
def due(tmp_path):
    """In which seconds it is time, where a process has so many bytes in each."""
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")
    return partial(seconds, setting)


def seconds(setting: Path, *residents: int) -> list[int]:
    """Likewise, on a machine that is set so."""
    pages = LargePages(setting)
    return [second for second, resident in enumerate(residents) if pages.are_due(resident)]


def test_it_is_time_once_growth_has_come_to_rest(due):
    """Not while it goes on, and not again before it has grown as much again."""
    assert due(LEAST - MIB, LEAST - MIB, LEAST - MIB) == []
    assert due(LEAST, LEAST, LEAST) == [1]
    assert due(LEAST, LEAST + STEP, LEAST + 2 * STEP, LEAST + 2 * STEP) == [3]
    assert due(LEAST, LEAST, LEAST + STEP - 1, LEAST + STEP - 1, LEAST + STEP) == [1, 4]
    assert due(*range(LEAST, LEAST + STEP, STILL + 1)) == []


def test_what_has_shrunk_may_grow_again_unnoticed(due):
    """A worker that gave way is looked at again beyond what it had."""
    assert due(LEAST, LEAST, LEAST // 2, LEAST, LEAST, LEAST + STEP, LEAST + STEP) == [1, 6]


@pytest.mark.parametrize("text", ["always madvise [never]\n", None])
def test_who_wants_none_gets_none(tmp_path, text):
    """Also where a machine does not know them."""
    setting = tmp_path / "enabled"
    if text is not None:
        setting.write_text(text)

    assert seconds(setting, LEAST, LEAST, LEAST) == []


MAPS = """\
7f0000001000-7f0000801000 rw-p 00000000 00:00 0~
7f0001000000-7f0001800000 rw-p 00000000 fe:00 260386                     /usr/lib/libc.so.6
7f0002000000-7f0002800000 r--p 00000000 00:00 0~
7f0003000000-7f0003001000 rw-p 00000000 00:00 0~
555500000000-555500200000 rw-p 00000000 00:00 0                          [heap]
7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0                          [stack]
""".replace("~", " ")


def test_private_memory_is_found(tmp_path):
    """No file's, no stack, nothing that cannot be written; whole large pages alone."""
    (tmp_path / "maps").write_text(MAPS)
    found = [hex(start) for start in starts(tmp_path / "maps")]

    assert found == ["0x7f0000200000", "0x7f0000400000", "0x7f0000600000", "0x555500000000"]


@pytest.mark.parametrize(("present", "expected"), [(512, True), (461, True), (460, False)])
def test_what_is_full_is_worth_it(present, expected):
    """Nine pages of ten."""
    entries = [1 << 63 | 1 << 55] * present + [1 << 62] * (512 - present)
    table = io.BytesIO(bytes(8 * 512) + b"".join(each.to_bytes(8, "little") for each in entries))

    assert is_full(table, LARGE) is expected
    assert not is_full(table, 0)


def reserved(size: int) -> tuple[mmap.mmap, int]:
    """Memory of its own, and where it is."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


def large_at(address: int) -> int:
    """Bytes in large pages, where an address lies."""
    text = Path("/proc/self/smaps").read_text()
    for found in re.finditer(r"^([0-9a-f]+)-([0-9a-f]+) ", text, re.MULTILINE):
        if int(found[1], 16) <= address < int(found[2], 16):
            return int(re.search(r"AnonHugePages: +(\d+) kB", text[found.end() :])[1]) << 10
    return 0


async def test_what_is_full_is_moved_and_stays_what_it_was():
    """In the process itself."""
    memory, address = reserved(SIZE)
    memory[:] = content = os.urandom(SIZE)
    if not large_pages.collapse(-(-address // LARGE) * LARGE):
        pytest.skip("this kernel has no MADV_COLLAPSE")

    assert await large_pages.move() >= SIZE // LARGE - 1
    assert memory[:] == content
    assert large_at(address + SIZE // 2) >= SIZE - LARGE


async def test_what_is_hardly_used_is_left_alone():
    """It would take memory that it has no use for; stacks of threads are such."""
    memory, address = reserved(SIZE)
    for start in range(0, SIZE, 4096 * 8):
        memory[start] = 1
    first = -(-address // LARGE) * LARGE
    places = large_pages.candidates()

    assert not set(range(first, first + SIZE - LARGE, LARGE)) & set(places)


async def test_a_system_that_says_nothing_is_left_alone(tmp_path, monkeypatch):
    """Where a process may not look at itself."""
    monkeypatch.setattr(large_pages, "PAGEMAP", tmp_path / "nothing")

    assert await large_pages.move() == 0
