"""Old or new, never torn; and locks that die with their holder."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import threading
import time

import pytest

from edge.control import durable
from edge.errors import StoreError
from tests.support import eventually


def temporaries(folder):
    """What a writer that died would leave."""
    return [path for path in folder.rglob("*") if path.name.startswith(durable.TEMPORARY)]


@pytest.mark.parametrize("data", [b"new", [b"n", b"ew"]], ids=["bytes", "chunks"])
def test_write_replaces_a_file_whole(tmp_path, data):
    """The content is the new one, and no temporary file is left."""
    path = tmp_path / "a" / "b" / "file"
    durable.write(path, b"old and longer")

    durable.write(path, data)

    assert path.read_bytes() == b"new"
    assert temporaries(tmp_path) == []


def test_write_that_fails_leaves_the_old_content(tmp_path):
    """An error half way through the content leaves the old file and nothing beside it."""
    path = tmp_path / "file"
    durable.write(path, b"old")

    def broken():
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        durable.write(path, broken())

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_sets_the_mode_before_there_is_content(tmp_path):
    """A secret is never readable by others, not even for an instant."""
    modes = []

    def content():
        modes.append(temporaries(tmp_path)[0].stat().st_mode & 0o777)
        yield b"secret"

    durable.write(tmp_path / "token", content(), mode=0o600)

    assert modes == [0o600]
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("count", [0, 1, durable.FEW, durable.FEW + 1])
def test_write_all_writes_every_file(tmp_path, count):
    """Few or many: each is there whole, and nothing else."""
    files = {tmp_path / str(number): b"%d" % number for number in range(count)}

    durable.write_all(files)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_write_all_that_fails_leaves_no_temporary_file(tmp_path):
    """What was replaced before the error stays whole; the rest is as before."""
    files = {tmp_path / str(number): b"x" for number in range(20)}
    (tmp_path / "7").mkdir()

    with pytest.raises(OSError, match="directory"):
        durable.write_all(files)

    assert temporaries(tmp_path) == []
    assert all(path.is_dir() or path.read_bytes() == b"x" for path in tmp_path.iterdir())


def test_point_moves_a_link(tmp_path):
    """The link points to the new target in one step."""
    link = tmp_path / "current"

    durable.point(link, "generations/1")
    durable.point(link, "generations/2")

    assert str(link.readlink()) == "generations/2"
    assert list(tmp_path.iterdir()) == [link]


def test_sweep_removes_old_temporary_files_only(tmp_path):
    """Leftovers go once they are old; young ones may belong to a writer that lives."""
    old = tmp_path / "a" / f"{durable.TEMPORARY}1"
    young = tmp_path / "a" / f"{durable.TEMPORARY}2"
    other = tmp_path / "a" / "file"
    link = tmp_path / f"{durable.TEMPORARY}3"
    old.parent.mkdir()
    passed_over = tmp_path / "blobs" / old.name
    passed_over.parent.mkdir()
    for path in (old, young, other, passed_over):
        path.write_bytes(b"")
    link.symlink_to("nowhere")
    now = time.time()
    for path in (old, other, link, passed_over):
        os.utime(path, (now - 100, now - 100), follow_symlinks=False)

    assert durable.sweep(tmp_path, now - 50, "blobs") == 2
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {young, other, passed_over}


def test_lock_keeps_others_out(tmp_path):
    """While one holds the lock, another process's attempt ends with a clear error."""
    with (
        durable.locked(tmp_path / "lock"),
        pytest.raises(StoreError, match=r"lock is held by another process"),
        durable.locked(tmp_path / "lock", wait_s=0.05),
    ):
        pass


def test_lock_waits_for_its_holder(tmp_path):
    """A waiter gets the lock as soon as it is free."""
    got = threading.Event()

    def wait():
        with durable.locked(tmp_path / "lock"):
            got.set()

    with durable.locked(tmp_path / "lock"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not got.wait(0.05)
    waiter.join(10)

    assert got.is_set()


def test_lock_is_freed_by_death(tmp_path):
    """A holder that is killed holds nothing any more."""
    lock = tmp_path / "lock"
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        with durable.locked(lock):
            os.write(told, b"x")
            signal.pause()
    select.select([ready], [], [], 10)
    assert durable.try_lock(lock) is None

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    descriptor = eventually(lambda: durable.try_lock(lock))
    os.close(descriptor)
    os.close(ready)
    os.close(told)


# Locks on folders, files written bit by bit


def test_a_folder_is_locked_by_one_at_a_time(tmp_path):
    """It takes no file; who waits long enough gets it."""
    with (
        durable.locked_folder(tmp_path, 0.0),
        pytest.raises(BlockingIOError),
        durable.locked_folder(tmp_path, 0.05),
    ):
        raise AssertionError
    with durable.locked_folder(tmp_path, 0.0):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_nameless", [True, False])
def test_a_file_that_is_written_bit_by_bit(tmp_path, monkeypatch, is_nameless):
    """It is there when it is whole, for its owner; else what was there is."""
    if not is_nameless:
        monkeypatch.setattr(os, "O_TMPFILE", 0o40000000)  # as a file system that has none
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), durable.replacing(path) as file:
        file.write(b"%d" % (1 // 0))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]

    with durable.replacing(path) as file:
        file.write(b"half")
        assert path.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == (1 if is_nameless else 2)
        file.write(b", whole")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("file", "half, whole")
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full: make room"),
        (errno.EDQUOT, "the disk is full: make room"),
        (errno.EIO, r"the disk fails \(Input/output error\): look at `dmesg`"),
        (errno.EROFS, r"the disk fails \(Read-only file system\): look at `dmesg`"),
        (errno.EACCES, "None"),
    ],
)
def test_what_to_do_about_a_disk(number, advice):
    """Where it takes nothing; other errors say themselves what they are."""
    assert re.match(advice, str(durable.trouble(OSError(number, "x"))))
