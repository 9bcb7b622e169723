"""The audit log: one line a call, bounded, and never in the way."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading

import pytest

from edge.control import audit
from edge.control.audit import Audit, encode, entry_of


@pytest.fixture
def path(tmp_path):
    """Where the log is."""
    return tmp_path / "log" / "audit.jsonl"


def lines(path):
    """What a file has."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def entry(number=0):
    """A line."""
    return entry_of("admin", "reload", {"id": str(number)}) | {"status": 200}


def test_a_line_has_its_keys_in_order(path):
    """For its owner's eyes, in a folder of its own."""
    log = Audit(path)
    log.note(entry_of("admin", "activate", {"id": "i", "secret": "x"}, "10.0.0.1")).result()
    log.close()

    (line,) = lines(path)
    assert list(line) == ["time", "who", "client", "action", "app", "branch", "id"]
    assert (line["client"], line["id"], line["app"]) == ("10.0.0.1", "i", None)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_all_files_together_have_a_bound(path):
    """The oldest goes; no line is torn, and the newest are all there."""
    size = len(encode(entry(100)))
    log = Audit(path, max_file=size * 10, max_files=3)
    for number in range(100, 200):
        log.note(entry(number)).result()
    log.close()

    files = [path.with_name(f"{path.name}.{n}") for n in (2, 1)] + [path]
    kept = [line["id"] for file in files for line in lines(file)]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= size * 10 for file in files)
    assert kept == [str(number) for number in range(170, 200)]


def test_several_writers_share_the_files(path):
    """A node and a command: no line is lost or torn while files are begun anew."""
    size = len(encode(entry(1000)))
    logs = [Audit(path, max_file=size * 50, max_files=20) for _ in range(3)]

    def write(log, first):
        for number in range(first, first + 100):
            log.note(entry(number)).result()

    threads = [
        threading.Thread(target=write, args=(log, 1000 * (n + 1))) for n, log in enumerate(logs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    written = [line["id"] for file in path.parent.iterdir() for line in lines(file)]
    expected = [str(number) for n in (1, 2, 3) for number in range(1000 * n, 1000 * n + 100)]
    assert sorted(written) == expected


def test_who_waited_while_a_file_was_turned_over_writes_the_new_one(path, monkeypatch):
    """And turns nothing over again, though the one that it waited for is full."""
    size = len(encode(entry(100)))
    log = Audit(path, max_file=size * 2, max_files=5)
    for number in (100, 101):
        log.note(entry(number)).result()

    def lock_late(descriptor, deadline, lock=audit.lock):
        monkeypatch.setattr(audit, "lock", lock)
        path.rename(path.with_name("audit.jsonl.1"))
        path.write_bytes(encode(entry(102)))
        lock(descriptor, deadline)

    monkeypatch.setattr(audit, "lock", lock_late)
    log.note(entry(103)).result()
    log.close()

    assert [line["id"] for line in lines(path)] == ["102", "103"]
    assert len(list(path.parent.iterdir())) == 2


def test_who_took_the_file_away_is_written_anew(path):
    """As logrotate does."""
    log = Audit(path)
    log.note(entry(1)).result()
    path.rename(path.with_name("away"))
    log.note(entry(2)).result()

    assert [line["id"] for line in lines(path)] == ["2"]


def test_with_the_disk_full_the_line_goes_to_the_nodes_log(path, caplog, monkeypatch):
    """Nothing fails; half a line is taken back, and the next one says how many are lacking."""
    log = Audit(path)
    log.note(entry(1)).result()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
    with caplog.at_level(logging.ERROR):
        log.note(entry(2)).result()
        log.note(entry(3)).result()
    monkeypatch.undo()
    log.note(entry(4)).result()

    assert [text.count('"id":"2"') for text in caplog.messages] == [1, 0]
    assert "the disk is full" in caplog.text
    first, lost, last = lines(path)
    assert (first["id"], lost["lost"], last["id"]) == ("1", 2, "4")


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path, caplog):
    """The line is in the node's log."""
    (tmp_path / "file").write_text("")
    log = Audit(tmp_path / "file" / "audit.jsonl")

    log.note(entry()).result()

    assert "audit (" in caplog.text


def test_who_holds_the_lock_is_waited_for_a_moment(path, monkeypatch):
    """A stopped process must not stop the node."""
    monkeypatch.setattr(audit, "PATIENCE", 0.05)
    log = Audit(path)
    log.note(entry(1)).result()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        log.note(entry(2)).result()

    assert [line["id"] for line in lines(path)] == ["1", "2"]


def test_what_waits_for_a_slow_disk_is_bounded(path, caplog, monkeypatch):
    """What is too much goes to the node's log."""
    monkeypatch.setattr(audit, "MAX_WAITING", 2)
    log = Audit(path)
    gate = threading.Event()
    monkeypatch.setattr(log, "_write", lambda _: gate.wait(10))
    waiting = [log.note(entry(number)) for number in range(3)]

    assert waiting[2].done()
    assert "too slow" in caplog.text
    gate.set()
    log.close()


def test_a_change_of_the_command_line(path):
    """By the user who made it; what it was about may be known only afterwards."""
    log = Audit(path)
    with log.locally("activate", id="i") as about:
        about["app"] = "shop"
    with pytest.raises(ValueError, match="no"), log.locally("reload"):
        raise ValueError("no" + "!" * 1000)

    good, bad = lines(path)
    assert (good["who"], good["app"], good["error"]) == (f"local:{os.getuid()}", "shop", None)
    assert bad["error"].startswith("no!")
    assert len(bad["error"]) == audit.MAX_TEXT + 1
