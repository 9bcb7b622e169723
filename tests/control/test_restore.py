"""A state folder out of a backup: all of it, or nothing, whatever the archive is and who dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from edge.control import durable
from edge.control import restore as module
from edge.control.backup_format import DAMAGED, NO_BACKUP
from edge.control.restore import finish, is_occupied
from edge.errors import EdgeError, StoreError
from tests.support import eventually
from tests.support_backup import contents, full_store, packed, plain, restored, saved
from tests.support_control import (
    FakeWorker,
    active,
    obedient,
    open_store,
    places_of,
    publish,
    upload,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A backup."""
    folder = tmp_path_factory.mktemp("good")
    full_store(folder)
    return saved(folder)


def left(folder: Path) -> set[str]:
    """What a state folder has, without locks."""
    return {path.name for path in (folder / "var").iterdir()} - {"lock", "store.lock"}


def test_it_serves_what_was_served(tmp_path, good):
    """A rollback goes where it would have gone; every file is for its owner alone."""
    places = restored(tmp_path, good)
    (tmp_path / "edge.yml").write_text("")
    changes = open_store(tmp_path)
    second = active(changes, "shop")

    assert changes.rollback("shop", "main").id != second
    assert active(changes, "blog", "feature/one")
    modes = {path.stat().st_mode & 0o777 for path in places.blobs.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_what_waits_to_be_activated_is_in_it(tmp_path):
    """With its files; it still serves nothing."""
    (tmp_path / "edge.yml").write_text("")
    changes = full_store(tmp_path / "old")
    identifier = upload(changes, "shop", "main", {"index.html": "waits"}).id
    changes.complete(identifier)
    serves = active(changes, "shop")
    restored(tmp_path, saved(tmp_path / "old"))
    again = open_store(tmp_path)

    assert again.branch("shop", "main").waiting == (identifier,)
    assert active(again, "shop") == serves
    again.activate(identifier)
    assert active(again, "shop") == identifier


def test_what_is_there_is_moved_aside_by_force_alone(tmp_path, good):
    """Logs and locks stay; the old state is whole where it went."""
    store = full_store(tmp_path)
    publish(store, "shop", "main", {"index.html": "after the backup"})
    before = contents(tmp_path / "var")
    with pytest.raises(StoreError, match="--force moves aside"):
        restored(tmp_path, good)
    assert contents(tmp_path / "var") == before | {"lock": b""}

    places = restored(tmp_path, good, force=True)

    (aside,) = places.state.glob("before-*")
    old = {
        name: content
        for name, content in before.items()
        if not name.startswith(("log/", "run/", "lock", "store.lock"))
    }
    assert contents(aside) == old
    assert (places.state / "log" / "audit.jsonl").exists()
    again = restored(tmp_path, good, force=True)
    assert len(list(again.state.glob("before-*"))) == 2


def test_the_operators_folders_are_made_whole(tmp_path, good, caplog):
    """An app without its folder would not serve. What he has stays as it is."""
    mine = tmp_path / "rules" / "shop" / "app.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    restored(tmp_path, good)

    assert contents(tmp_path / "rules")["shop/app.yml"] == b"mine"
    assert {"blog", "empty"} < {path.name for path in (tmp_path / "rules").iterdir()}
    assert contents(tmp_path / "certs") == {"www.example.com.pem": b"key and chain"}
    assert not (tmp_path / "rules" / "link").exists()
    assert not (tmp_path / "var" / "operator").exists()

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "certs").write_text("no folder")
    places = restored(tmp_path / "other", good)
    assert "is not restored" in caplog.text
    assert places.current.is_symlink()


def test_not_where_a_node_runs(tmp_path, good):
    """Nor where its workers outlived it."""
    places = places_of(tmp_path)
    lock = durable.try_lock(places.lock)
    with pytest.raises(EdgeError, match="a node runs"):
        restored(tmp_path, good)
    os.close(lock)
    places.run.mkdir()
    worker = FakeWorker(places.run, obedient)
    with pytest.raises(EdgeError, match="workers of a node still run"):
        restored(tmp_path, good)
    worker.close()
    assert restored(tmp_path, good).current.is_symlink()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.99])
def test_what_is_cut_short_is_nothing(tmp_path, good, share):
    """However much of it there is."""
    with pytest.raises(StoreError):
        restored(tmp_path, good[: int(len(good) * share)])

    assert left(tmp_path) == set()


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.95])
def test_what_is_damaged_is_nothing(tmp_path, good, place):
    """By one bit, anywhere: nothing is restored, or no other byte than without it."""
    at = int(len(good) * place)
    damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    try:
        found = restored(tmp_path / "one", damaged)
    except StoreError:
        assert left(tmp_path / "one") == set()
    else:  # a bit of padding, that no sum is of: all that was restored is as it was
        assert contents(found.state) == contents(restored(tmp_path / "other", good).state)


POINTER = ("current", b"generations/1")
GENERATION = ("generations/1", b"{}")


def test_the_least_that_is_a_backup(tmp_path):
    """What the hostile ones below are made of."""
    assert restored(tmp_path, packed(POINTER, GENERATION)).current.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("../escaped", "/etc/escaped", "a/../../escaped", "./a", "a//b", "a/./b", "", "a/"),
        *("run/control-1.sock", "lock", "log/audit.jsonl", "restored/new", "pending/x"),
        *("a/.tmp-0", "before-1/x", "tls/lock", "a\\b", "a\nb", "/".join("abcdefghi")),
        *("edge-backup.json/x/..", "a" * 256),
    ],
)
def test_names_that_no_backup_has_are_refused(tmp_path, name):
    """Nothing is ever written but below the folder that is thrown away."""
    folder = tmp_path / "deep" / "deeper"
    with pytest.raises(StoreError):
        restored(folder, packed(POINTER, GENERATION, (name, b"x")))

    assert left(folder) == set()
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def special(kind: bytes, name: str = "deployments/x", target: str = "/etc/passwd") -> object:
    """A member that is no file."""
    info = plain(name, b"")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE],
)
def test_what_is_no_file_is_refused(tmp_path, kind):
    """Links, devices, pipes, folders."""
    with pytest.raises(StoreError):
        restored(tmp_path, packed(POINTER, GENERATION, (special(kind), b"")))

    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("members", "front", "problem"),
    [
        ([GENERATION], {}, DAMAGED),
        ([POINTER], {}, DAMAGED),
        ([("current", b"../../etc"), GENERATION], {}, DAMAGED),
        ([("current", b"generations/2"), GENERATION], {}, DAMAGED),
        ([POINTER, GENERATION, GENERATION], {}, "twice"),
        ([POINTER, GENERATION, ("generations/1/x", b"")], {}, "twice"),
        ([POINTER, GENERATION, ("blobs/00/" + "0" * 64, b"x")], {}, DAMAGED),
        ([POINTER, GENERATION], {"format": 2}, "made by edge 9; this version reads format 1"),
        ([POINTER, GENERATION], {"bytes": 1}, DAMAGED),
        ([POINTER, GENERATION], {"bytes": 1 << 62}, "more than the disk has room for"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, members, front, problem):
    """A pointer to nothing, a name twice, a blob of another name, another format, a bomb."""
    with pytest.raises(StoreError, match=problem):
        restored(tmp_path, packed(*members, **front))

    assert left(tmp_path) == set()


@pytest.mark.parametrize("data", [b"", b"no backup", b"\x28\xb5\x2f\xfd junk"])
def test_what_is_something_else_is_called_so(tmp_path, data):
    """An empty file, text, something that only begins so."""
    with pytest.raises(StoreError, match=NO_BACKUP):
        restored(tmp_path, data)


def test_a_backup_without_its_blobs_is_refused(tmp_path, good, monkeypatch):
    """Even if it says of itself that it is whole."""
    real = module.Reader.pieces

    def without_blobs(self):
        for piece in real(self):
            if piece.path.startswith("blobs/"):
                for _ in piece.chunks:
                    pass
                continue
            yield piece

    monkeypatch.setattr(module.Reader, "pieces", without_blobs)
    with pytest.raises(StoreError, match=r"lacks [0-9]+ blobs"):
        restored(tmp_path, good)

    assert left(tmp_path) == set()


def test_whoever_dies_between_two_moves_is_followed(tmp_path, good, monkeypatch):
    """At every one of them: the next to come ends it, and it is as if nobody had died."""
    whole = contents(restored(tmp_path / "whole", good).state)
    real = Path.rename
    number = died = 0
    while died == number:
        folder = tmp_path / str(number)
        full_store(folder)
        moves = 0

        def rename(self, target, last=number):
            nonlocal moves, died
            is_ours = "var" in self.parts and not self.name.startswith(".tmp-")
            if is_ours and moves == last:
                died += 1
                raise KeyboardInterrupt
            moves += is_ours
            return real(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        with contextlib.suppress(KeyboardInterrupt):
            restored(folder, good, force=True)
        monkeypatch.undo()
        places = places_of(folder)
        was_ready = places.restored.exists()
        finish(places)
        found = {
            name: each
            for name, each in contents(places.state).items()
            if not name.startswith(("before-", "log/", "run/"))
        }
        assert (found == whole) or (number == 0 and not was_ready)
        assert not places.restored.exists()
        number += 1
    assert number > 10


def test_kill_9_in_the_middle_leaves_nothing(tmp_path, good):
    """What was built is nobody's, and goes with the next try."""
    (tmp_path / "edge.yml").write_text("")
    code = "from edge.cli import main; main(['restore', '-'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        process.stdin.write(good[: len(good) // 2])
        process.stdin.flush()
        eventually((tmp_path / "var" / "restoring").exists)
        process.send_signal(signal.SIGKILL)
    places = places_of(tmp_path)
    assert not is_occupied(places)
    assert not places.restored.exists()

    assert restored(tmp_path, good).current.is_symlink()
    assert left(tmp_path) >= {"current", "blobs", "tls", "tokens"}
    assert not places.restoring.exists()


def test_finish_leaves_alone_what_somebody_is_at(tmp_path, good):
    """A restore that runs has the lock."""
    places = restored(tmp_path, good)
    (places.restored / "new").mkdir(parents=True)
    lock = durable.try_lock(places.lock)
    finish(places)
    os.close(lock)

    assert places.restored.exists()
