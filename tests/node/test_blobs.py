"""Content on the disk, read-only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.node import blobs as module
from edge.node.blobs import CHUNK, READ_AT_ONCE, Blobs
from edge.site.places import Places
from tests.support_wire import until

SHA256 = "ab" + "0" * 62


@pytest.fixture
def blobs(tmp_path):
    """Blobs of an empty state folder."""
    return Blobs(Places(tmp_path))


def write(tmp_path, content: bytes, coding: str = "identity") -> None:
    """Have a blob on the disk."""
    path = Places(tmp_path).blob(SHA256, coding)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def opened(tmp_path) -> list[str]:
    """Files of the state folder that this process has open, those that are gone included."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this very look
            found.append(str(each.readlink()))
    return [each for each in found if each.startswith(f"{tmp_path}/")]


@pytest.fixture(autouse=True)
def no_leak(tmp_path):
    """Every test closes what it opens."""
    yield
    assert not opened(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 5000, READ_AT_ONCE])
async def test_a_blob_is_read_whole(tmp_path, blobs, size):
    """By the loop or by a thread, all of its bytes come."""
    content = os.urandom(size)
    write(tmp_path, content)
    assert blobs.read_now(SHA256, b"identity", size) in (content, None)
    assert await blobs.read_all(SHA256, b"identity", size) == content


def test_what_is_in_the_page_cache_is_read_at_once(tmp_path, blobs):
    """A file that was just written costs no thread."""
    write(tmp_path, b"here")
    assert blobs.read_now(SHA256, b"identity", 4) == b"here"


def test_large_blobs_are_not_copied_on_the_loop(tmp_path, blobs):
    """Above a bound even what is in memory is a thread's work."""
    write(tmp_path, bytes(READ_AT_ONCE + 1))
    assert blobs.read_now(SHA256, b"identity", READ_AT_ONCE + 1) is None


def test_each_coding_has_its_own_file(tmp_path, blobs):
    """The coding names the file."""
    write(tmp_path, b"brotli", "br")
    assert blobs.read_now(SHA256, b"br", 6) == b"brotli"
    with pytest.raises(StoreError, match=SHA256):
        blobs.read_now(SHA256, b"identity", 6)


async def test_a_missing_blob_says_which(blobs):
    """Every way of reading names the blob that is gone."""
    with pytest.raises(StoreError, match=f"{SHA256} cannot be read: No such file"):
        blobs.read_now(SHA256, b"identity", 1)
    with pytest.raises(StoreError, match=SHA256):
        blobs.check(SHA256, b"identity", 1)
    with pytest.raises(StoreError, match=SHA256):
        await blobs.read_all(SHA256, b"identity", 1)
    with pytest.raises(StoreError, match=SHA256):
        [chunk async for chunk in blobs.stream(SHA256, b"identity", 0, 1)]


async def test_a_short_blob_is_never_served(tmp_path, blobs):
    """A file with fewer bytes than its manifest says is an error, not a short answer."""
    write(tmp_path, b"short")
    assert blobs.read_now(SHA256, b"identity", 6) is None
    with pytest.raises(StoreError, match="shorter"):
        blobs.check(SHA256, b"identity", 6)
    with pytest.raises(StoreError, match="shorter"):
        await blobs.read_all(SHA256, b"identity", 6)
    with pytest.raises(StoreError, match="shorter"):
        [chunk async for chunk in blobs.stream(SHA256, b"identity", 0, 6)]
    blobs.check(SHA256, b"identity", 5)


async def test_a_link_is_not_followed(tmp_path, blobs):
    """Nothing but a file of the store is read."""
    (tmp_path / "secret").write_bytes(b"secret")
    path = Places(tmp_path).blob(SHA256)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError):
        blobs.read_now(SHA256, b"identity", 6)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 2 * CHUNK + 17), (0, 0), (5, 6), (CHUNK - 1, CHUNK + 1), (2 * CHUNK, 2 * CHUNK + 17)],
)
async def test_a_stream_gives_exactly_its_span(tmp_path, blobs, start, stop):
    """The chunks of a stream are the bytes asked for, none above the chunk's size."""
    content = os.urandom(2 * CHUNK + 17)
    write(tmp_path, content)
    chunks = [chunk async for chunk in blobs.stream(SHA256, b"identity", start, stop)]
    assert b"".join(chunks) == content[start:stop]
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)


async def test_many_who_wait_for_a_blob_have_it_read_once(tmp_path, blobs, monkeypatch):
    """And share its bytes, also when the first of them goes away; the next one reads it anew."""
    content, reads = os.urandom(READ_AT_ONCE + 1), []
    write(tmp_path, content)
    pread, go = os.pread, threading.Event()
    monkeypatch.setattr(
        module.os, "pread", lambda *what: reads.append(what) or (go.wait(), pread(*what))[1]
    )
    first, *others = (
        asyncio.ensure_future(blobs.read_all(SHA256, b"identity", len(content))) for _ in range(20)
    )
    await until(lambda: reads)
    first.cancel()
    go.set()
    found = await asyncio.gather(*others)

    assert found[0] == content
    assert all(each is found[0] for each in found)
    assert len(reads) == 1
    assert await blobs.read_all(SHA256, b"identity", len(content)) == content
    assert len(reads) == 2


async def test_a_reading_is_of_a_size(tmp_path, blobs):
    """Who expects more bytes than another one is told that there are fewer."""
    write(tmp_path, b"short")
    short, long = await asyncio.gather(
        blobs.read_all(SHA256, b"identity", 5),
        blobs.read_all(SHA256, b"identity", 9),
        return_exceptions=True,
    )

    assert short == b"short"
    assert isinstance(long, StoreError)


async def test_all_who_wait_for_a_damaged_blob_are_told(tmp_path, blobs):
    """Each of them; once it is whole again it is read."""
    write(tmp_path, b"short")
    waiting = [blobs.read_all(SHA256, b"identity", 6) for _ in range(3)]
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, StoreError)
    write(tmp_path, b"longer")

    assert await blobs.read_all(SHA256, b"identity", 6) == b"longer"


async def test_a_stream_by_threads_is_the_same(tmp_path, blobs, monkeypatch):
    """Where the page cache has nothing (or cannot be asked), a thread reads the same bytes."""
    content = os.urandom(CHUNK + 17)
    write(tmp_path, content)
    monkeypatch.setattr(module.os, "preadv", refuse)
    assert blobs.read_now(SHA256, b"identity", len(content)) is None
    assert await blobs.read_all(SHA256, b"identity", len(content)) == content
    chunks = [chunk async for chunk in blobs.stream(SHA256, b"identity", 3, CHUNK + 17)]
    assert b"".join(chunks) == content[3:]


async def test_a_failing_disk_is_an_error_of_the_store(tmp_path, blobs, monkeypatch):
    """What the system says while reading reaches the handler as a StoreError."""
    write(tmp_path, b"content")
    monkeypatch.setattr(module.os, "preadv", refuse)
    monkeypatch.setattr(module.os, "pread", fail)
    with pytest.raises(StoreError, match="Input/output error"):
        await blobs.read_all(SHA256, b"identity", 7)
    with pytest.raises(StoreError, match="Input/output error"):
        [chunk async for chunk in blobs.stream(SHA256, b"identity", 0, 7)]


def refuse(*_: object) -> int:
    """A page cache that has nothing."""
    raise BlockingIOError(11, "Resource temporarily unavailable")


def fail(*_: object) -> bytes:
    """A disk that breaks."""
    raise OSError(5, "Input/output error")


async def test_a_reader_that_leaves_closes_the_file(tmp_path, blobs):
    """A stream that is not read to its end holds no descriptor."""
    write(tmp_path, bytes(3 * CHUNK))
    stream = blobs.stream(SHA256, b"identity", 0, 3 * CHUNK)
    await anext(stream)
    assert len(opened(tmp_path)) == 1
    await stream.aclose()
    assert not opened(tmp_path)


async def test_a_file_that_is_replaced_under_a_reader_stays_whole(tmp_path, blobs):
    """A stream reads the file that it opened, though the store lets go of it."""
    content = os.urandom(3 * CHUNK)
    write(tmp_path, content)
    stream = blobs.stream(SHA256, b"identity", 0, 3 * CHUNK)
    chunks = [await anext(stream)]
    Places(tmp_path).blob(SHA256).unlink()
    chunks += [chunk async for chunk in stream]
    assert b"".join(chunks) == content
