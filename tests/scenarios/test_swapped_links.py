"""Links that take a file's place while it is read: nothing of what they point to gets out."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.control.archives import ArchiveLimits
from edge.control.sources import stage
from edge.errors import StoreError
from edge.node.blobs import Blobs
from edge.site.places import Places
from tests.support import write_tree

READS = int(os.environ.get("EDGE_TEST_SWAPS", "2500"))
"""By hand 100,000."""

OWN, SECRET = b"everybody's", b"the secret!"
LIMITS = ArchiveLimits(files=1000, bytes=1 << 20, ratio=100)

AT_FDCWD, EXCHANGE = -100, 2
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Two names change places in one step (renameat2(2))."""
    names = os.fsencode(one), AT_FDCWD, os.fsencode(other)
    assert _libc.renameat2(AT_FDCWD, *names, EXCHANGE) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Two names that change places all the time."""
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            exchange(one, other)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        done.set()
        swapper.join()


def tries(told: Counter, count: int) -> Iterator[int]:
    """So many, and more until both sides of the swap were seen."""
    for number in range(100 * count):
        if number >= count and len(told) > 1:
            return
        yield number


@pytest.fixture
def secret(tmp_path):
    """A folder that nobody publishes."""
    return write_tree(tmp_path / "secret", {"key.html": SECRET, "index.html": SECRET})


def test_a_blob_is_its_own_bytes_or_an_error(tmp_path, secret):
    """The node reads a blob while a link to a secret and the blob change places."""
    places = Places(tmp_path / "var")
    blobs = Blobs(places)
    sha256 = hashlib.sha256(OWN).hexdigest()
    path = places.blob(sha256)
    write_tree(path.parent, {path.name: OWN})
    link = path.with_name("link")
    link.symlink_to(secret / "key.html")
    told: Counter[bytes] = Counter()
    with swapping(path, link):
        for _ in tries(told, READS):
            try:
                told[blobs.read_now(sha256, b"identity", len(OWN)) or OWN] += 1
            except StoreError:
                told[b"refused"] += 1

    assert told.keys() == {OWN, b"refused"}


@pytest.mark.parametrize("what", ["key.html", "sub"])
def test_a_folder_is_published_without_what_is_outside(tmp_path, secret, what):
    """A deploy walks a folder, while a file or a folder of it and a link out change places."""
    site = write_tree(tmp_path / "site", {"index.html": OWN, "key.html": OWN, "sub/key.html": OWN})
    link = tmp_path / "link"
    link.symlink_to(secret if what == "sub" else secret / what)
    told: Counter[str] = Counter()
    with swapping(site / what, link):
        for _ in tries(told, READS // 5):
            try:
                tree = stage(str(site), tmp_path, limits=LIMITS)
                told.update(file.sha256 for file in tree.values())
            except StoreError:
                told["refused"] += 1

    assert told.keys() == {hashlib.sha256(OWN).hexdigest(), "refused"}
