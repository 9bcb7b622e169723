"""Content by hash: taken, found, made part of the store, collected."""

from __future__ import annotations

import io
import os
import time

import pytest

from edge.control import blobs
from edge.control.blobs import BlobStore, BlobWriter
from edge.errors import StoreError
from edge.site.places import Places
from tests.support_control import HOUR, PAGE, age, sha256


@pytest.fixture
def places(tmp_path):
    """An empty state folder."""
    return Places(tmp_path / "var")


@pytest.fixture
def store(places):
    """Its blobs."""
    found = BlobStore(places)
    found.open()
    return found


def put(store, content):
    """Store one blob; its hash."""
    store.put(sha256(content), [content])
    return sha256(content)


def names(folder):
    """The files under a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_blob_that_is_settled_meanwhile_is_not_missing(store, monkeypatch):
    """Another deployment's activation moves it between the look into the store and the next."""
    name = put(store, b"hello")
    look, looked = blobs._size_of, []

    def look_and_settle(path):
        looked.append(look(path))
        if len(looked) == 1:
            store.settle()
        return looked[-1]

    monkeypatch.setattr(blobs, "_size_of", look_and_settle)

    assert store.missing([name]) == []
    assert looked == [None, None, 5]


def test_a_blob_arrives_under_its_hash(places, store):
    """It is staged first and durable after `settle`, with the bytes that were sent."""
    name = put(store, b"hello")

    assert places.staged_blob(name).read_bytes() == b"hello"
    store.settle()
    assert places.blob(name).read_bytes() == b"hello"
    assert names(places.staged) == []


def test_bytes_of_another_hash_are_refused(places, store):
    """Nothing is stored, and the text names both hashes."""
    with pytest.raises(StoreError, match=f"{sha256(b'a')}.*{sha256(b'b')}"):
        store.put(sha256(b"a"), io.BytesIO(b"b"))

    assert names(places.staged) == []
    assert store.missing([sha256(b"a")]) == [sha256(b"a")]


def test_a_writer_that_gives_up_leaves_nothing(places, store):
    """A client that hangs up half way costs no disk."""
    writer = BlobWriter(places, sha256(b"ab"))
    writer.write(b"a")
    writer.close()

    assert names(places.staged) == []


def test_missing_names_each_absent_blob_once(store):
    """Present blobs, staged or settled, are not asked for."""
    settled = put(store, b"settled")
    store.settle()
    staged = put(store, b"staged")
    absent = sha256(b"absent")

    assert store.missing([absent, settled, staged, absent]) == [absent]
    assert store.sizes([settled, staged, absent]) == {settled: 7, staged: 6}


def test_codings_are_made_once(places, store):
    """After they are made, staged or settled, they are known with their sizes."""
    name = put(store, PAGE.encode())
    assert store.coded(name) is None

    store.encode([name])
    staged = store.coded(name)
    store.settle()

    assert staged == store.coded(name)
    assert {coding: places.blob(name, coding).stat().st_size for coding in staged} == staged
    assert set(staged) == {"br", "zstd", "gzip"}


def test_half_made_codings_count_as_none(places, store):
    """A deploy that died between two codings makes them again."""
    name = put(store, PAGE.encode())
    store.encode([name])
    places.staged_blob(name, "gzip").unlink()

    assert store.coded(name) is None


def test_codings_of_a_settled_blob_are_made_beside_the_staged(places, store):
    """A file that was an image once may become a page."""
    name = put(store, PAGE.encode())
    store.settle()

    store.encode([name])
    store.settle()

    assert store.coded(name)
    assert places.blob(name, "br").exists()


def test_settle_leaves_blobs_on_their_way_alone(places, store):
    """A blob that is being written has no place in the store yet."""
    writer = BlobWriter(places, sha256(b"ab"))
    writer.write(b"a")
    put(store, b"x")

    store.settle()
    writer.write(b"b")
    writer.finish()

    assert names(places.blobs) == [sha256(b"x")]
    assert names(places.staged) == [sha256(b"ab")]


def test_a_blob_that_is_sent_again_during_a_settle_waits(places, store, monkeypatch):
    """What was written after the sync is not known to be on the disk."""
    again, other = put(store, b"again"), put(store, b"other")
    sync = blobs.sync_filesystem

    def sync_and_send(folder):
        sync(folder)
        if folder == places.staged:
            store.put(again, [b"again"])

    monkeypatch.setattr(blobs, "sync_filesystem", sync_and_send)
    store.settle()

    assert (names(places.blobs), names(places.staged)) == ([other], [again])


def test_codings_are_made_of_a_blob_that_is_settled_meanwhile(store, monkeypatch):
    """Making them holds no lock, so it may be moved under the reader."""
    name = put(store, PAGE.encode())
    encode_all = blobs.encode_all

    def settle_and_encode(jobs):
        jobs = list(jobs)
        store.settle()
        encode_all(jobs)

    monkeypatch.setattr(blobs, "encode_all", settle_and_encode)
    store.encode([name])

    assert store.coded(name)


def test_collect_deletes_old_blobs_that_nothing_names(places, store):
    """What is live or young stays; the codings go with the blob, and all is counted."""
    live, dead, young = (put(store, each) for each in (b"live", PAGE.encode(), b"young"))
    store.encode([dead])
    store.settle()
    size = sum(places.blob(dead, coding).stat().st_size for coding in ("identity", *STORED))
    for path in places.blobs.rglob("*"):
        if young not in path.name:
            age(path, 2 * HOUR) if path.is_file() else None

    assert store.collect({live}, time.time() - HOUR) == (4, size)
    assert names(places.blobs) == sorted([live, young])


STORED = ("br", "zstd", "gzip")


def test_collect_staged_spares_what_is_live_or_young(places, store):
    """Staged blobs of a pending deploy stay however old; orphans and torn halves go."""
    live, dead = put(store, b"live"), put(store, b"dead")
    torn = BlobWriter(places, sha256(b"torn"))
    age(places.staged, 2 * HOUR)
    young = put(store, b"young")

    store.collect_staged({live}, time.time() - HOUR)
    torn.close()

    assert names(places.staged) == sorted([live, young])
    assert store.missing([dead]) == [dead]


def test_staged_blobs_of_another_boot_are_dropped(places, store):
    """A power cut may have torn them; settled ones were synced and stay."""
    settled = put(store, b"settled")
    store.settle()
    staged = put(store, b"staged")
    BlobStore(places).open()
    assert store.missing([staged]) == []

    (places.pending / "boot").write_text("another boot")
    BlobStore(places).open()

    assert store.missing([settled, staged]) == [staged]


def test_sent_again_it_replaces_itself(places, store):
    """A client may send a blob twice; readers of the first see no difference."""
    name = put(store, b"x")
    store.settle()
    descriptor = os.open(places.blob(name), os.O_RDONLY)
    put(store, b"x")
    store.settle()

    assert os.read(descriptor, 10) == b"x"
    assert places.blob(name).read_bytes() == b"x"
    os.close(descriptor)
