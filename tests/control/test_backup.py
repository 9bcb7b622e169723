"""A backup of a state folder: what is in it, and that it is of one instant."""

from __future__ import annotations

import io
import os
import threading

import pytest

from edge.control import backup
from edge.control.backup import frozen, hold
from edge.control.blobs import held
from edge.errors import StoreError
from tests.support_backup import Shown, contents, folders, full_store, restored, saved
from tests.support_control import new_store, places_of, publish, sha256

ELSEWHERE = ("log/", "pending/", "run/", "tls/lock", "tls/challenges.json", "lock", "store.lock")


@pytest.fixture
def store(tmp_path):
    """A state folder with something in every corner."""
    return full_store(tmp_path / "node")


def test_all_that_serves_is_in_it(tmp_path, store):
    """Byte for byte, codings and earlier deployments included; nothing of this moment is."""
    before = contents(tmp_path / "node" / "var")
    after = contents(restored(tmp_path / "other", saved(tmp_path / "node")).state)

    expected = {
        name: content
        for name, content in before.items()
        if not name.startswith(ELSEWHERE) and ".tmp-" not in name
    }
    assert {name for name in after if not name.startswith(ELSEWHERE)} == set(expected)
    assert {name: after[name] for name in expected} == expected
    assert any(name.endswith(".br") for name in after)
    assert contents(tmp_path / "node" / "var") == before  # nothing of the backup is left there


def test_times_are_kept(tmp_path, store):
    """To the second: by them it is told which version of a certificate came later."""
    file = tmp_path / "node" / "var" / "tls" / "certs" / "files" / "www.example.com" / "1.pem"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    places = restored(tmp_path / "other", saved(tmp_path / "node"))

    twin = places.tls / "certs" / "files" / "www.example.com" / "1.pem"
    assert twin.stat().st_mtime == 1_700_000_000


def test_it_is_of_one_instant(tmp_path, store):
    """What changes while it is written is in none of it: the pointer, manifests, blobs."""
    places = places_of(tmp_path / "node")
    with held(places.blobs), frozen(places) as still:
        kept = still.current.readlink()
        publish(store, "shop", "main", {"index.html": "newer"})
        store.delete_branch("blog", "feature/one")
        with pytest.raises(StoreError, match="a backup or a collection is under way"):
            store.collect()

        assert places.current.readlink() != kept
        assert (still.state / kept).exists()
        assert len(list(still.deployments.glob("blog/*/*"))) == 1
    assert not places.frozen.exists()
    store.collect()


def test_a_collection_that_runs_is_waited_for(tmp_path, store):
    """And not for ever."""
    places = places_of(tmp_path / "node")
    going, done = threading.Event(), threading.Event()

    def collect():
        with held(places.blobs):
            going.set()
            done.wait(10)

    thread = threading.Thread(target=collect)
    thread.start()
    going.wait(10)
    threading.Timer(0.1, done.set).start()
    assert saved(tmp_path / "node")
    thread.join()


def test_what_one_that_died_left_goes(tmp_path, store):
    """With the next backup."""
    places = places_of(tmp_path / "node")
    (places.frozen / "deployments").mkdir(parents=True)
    (places.frozen / "deployments" / "old").write_text("x")

    saved(tmp_path / "node")

    assert not places.frozen.exists()


def test_blobs_that_nothing_names_are_left_out(tmp_path, store):
    """A pending deployment's, and what waits for the collection."""
    store.blobs.put(sha256("orphan"), iter([b"orphan"]))
    store.blobs.settle()

    places = restored(tmp_path / "other", saved(tmp_path / "node"))

    assert places_of(tmp_path / "node").blob(sha256("orphan")).exists()
    assert not places.blob(sha256("orphan")).exists()


def test_documents_that_nothing_names_are_left_out(tmp_path, store):
    """A change that was killed leaves them until the collection: a backup goes on without."""
    orphan = places_of(tmp_path / "node").compiled / ("0" * 64)
    orphan.write_bytes(b"{}")

    places = restored(tmp_path / "other", saved(tmp_path / "node"))

    assert orphan.exists()
    assert not (places.compiled / orphan.name).exists()


@pytest.mark.parametrize("damage", [None, b"blo", b"glob"], ids=["missing", "short", "other"])
def test_a_damaged_blob_is_found_now(tmp_path, store, damage):
    """Not at the restore."""
    blob = places_of(tmp_path / "node").blob(sha256("blog"))
    if damage is None:
        blob.unlink()
    else:
        blob.write_bytes(damage)

    with pytest.raises(StoreError, match=f"blob {sha256('blog')} is missing or damaged"):
        saved(tmp_path / "node")


def test_with_nothing_served_there_is_nothing_to_save(tmp_path):
    """A new folder."""
    new_store(tmp_path / "node")

    with pytest.raises(StoreError, match="nothing was ever served"):
        saved(tmp_path / "node")


def test_without_hard_links_it_is_copied(tmp_path, monkeypatch):
    """Some file systems have none; what went meanwhile is gone."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    (tmp_path / "a").write_text("a")
    hold(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "a"
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        hold(tmp_path / "c", tmp_path / "d")


def test_progress_adds_up(tmp_path, store):
    """To what was announced, which is what the front says."""
    shown = Shown()
    folder = tmp_path / "node"
    front = backup.back_up(places_of(folder), folders(folder), io.BytesIO(), shown)

    assert shown.total == shown.done == front.bytes
    assert front.generation == 4
