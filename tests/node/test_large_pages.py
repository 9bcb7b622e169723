"""Memory in large pages: when, which part of it, and that nothing of it changes."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import partial
from pathlib import Path

import pytest

from edge.node import large_pages
from edge.node.large_pages import LARGE, LEAST, STEP, STILL, LargePages, Mapping, mappings

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


SMAPS = """\
7f0000000000-7f0000800000 rw-p 00000000 00:00 0~
Size:               8192 kB
Rss:                8000 kB
AnonHugePages:      2048 kB
7f0001000000-7f0001800000 rw-p 00000000 fe:00 260386                     /usr/lib/libc.so.6
Rss:                8192 kB
AnonHugePages:         0 kB
7f0002000000-7f0002800000 r--p 00000000 00:00 0~
Rss:                8192 kB
7f0003000000-7f0003001000 rw-p 00000000 00:00 0~
Rss:                   4 kB
555500000000-555501000000 rw-p 00000000 00:00 0                          [heap]
Rss:               16384 kB
AnonHugePages:         0 kB
7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0                          [stack]
Rss:                8192 kB
""".replace("~", " ")


def test_private_memory_is_found(tmp_path):
    """No file's, no stack, nothing that is small or cannot be written."""
    (tmp_path / "smaps").write_text(SMAPS)
    found = list(mappings(tmp_path / "smaps"))

    assert [(each.end - each.start, each.resident, each.large) for each in found] == [
        (8 * MIB, 8000 << 10, 2 * MIB),
        (16 * MIB, 16 * MIB, 0),
    ]
    assert list(mappings(tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    ("resident", "large", "is_worth_it"),
    [(100, 0, True), (90, 0, True), (89, 0, False), (100, 90, False), (100, 89, True)],
)
def test_what_is_full_is_worth_it(resident, large, is_worth_it):
    """And not there yet."""
    mapping = Mapping(0, 100 * MIB, resident * MIB, large * MIB)

    assert mapping.is_worth_it() is is_worth_it


def test_large_pages_have_their_places():
    """Whole ones alone."""
    assert list(Mapping(LARGE - 4096, 3 * LARGE + 4096, 0, 0).pages()) == [LARGE, 2 * LARGE]
    assert list(Mapping(1, LARGE, 0, 0).pages()) == []
    assert list(Mapping(LARGE, 2 * LARGE, 0, 0).pages()) == [LARGE]


def reserved(size: int) -> tuple[mmap.mmap, int]:
    """Memory of its own, and where it is."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


def mapping_of(address: int) -> Mapping:
    """Where an address lies; neighbours are one for Linux."""
    (found,) = [each for each in mappings() if each.start <= address < each.end]
    return found


async def test_what_is_full_is_moved_and_stays_what_it_was():
    """In the process itself."""
    memory, address = reserved(SIZE)
    memory[:] = content = os.urandom(SIZE)
    if not large_pages.collapse(-(-address // LARGE) * LARGE):
        pytest.skip("this kernel has no MADV_COLLAPSE")
    await large_pages.move()
    found = mapping_of(address + SIZE // 2)

    assert memory[:] == content
    assert not found.is_worth_it()
    assert found.resident <= found.end - found.start


async def test_what_is_hardly_used_is_left_alone():
    """It would take memory that it has no use for; stacks of threads are such."""
    memory, address = reserved(4 * SIZE)
    for start in range(0, 4 * SIZE, MIB):
        memory[start] = 1
    before = mapping_of(address + SIZE)
    await large_pages.move()
    after = mapping_of(address + SIZE)

    assert not before.is_worth_it()
    assert after.large == before.large
