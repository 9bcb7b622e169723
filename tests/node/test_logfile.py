"""The access log's file: queues, disks that refuse, and several processes that turn it over."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.node.logfile import QUEUE, LogFile, chunks
from edge.site.logline import CSV_HEADER
from edge.site.settings import AccessLog
from tests.support import eventually
from tests.support_logs import files_of, ids, line, numbered, total

DAY = 86_400


def settings(**changes):
    """As an operator wrote them."""
    return AccessLog(**{"path": "log/access.jsonl", **changes})


@pytest.fixture
def log(tmp_path):
    """Opens logs in a folder; all are closed."""
    opened = []

    def begin(**changes):
        opened.append(LogFile(tmp_path, settings(**changes)))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@pytest.fixture
def path(tmp_path):
    """Where it lies."""
    return tmp_path / "log" / "access.jsonl"


def lock(path):
    """Another process that has the lock; a line to it and it lets go."""
    path.parent.mkdir(exist_ok=True)
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.readline()"
    )
    place = path.with_name("access.jsonl.lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_lines_are_written_as_they_are(log, path):
    """In their order; for the node's user and group alone."""
    file = log()
    file.put([line(id="1"), line(id="2")])
    file.put([line(id="3")])
    file.close()

    assert path.read_bytes() == line(id="1") + line(id="2") + line(id="3")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == 0o750
    assert file.dropped == 0


def test_lines_are_on_the_disk_at_once(log, path):
    """Not only at the end: nothing is held back for more."""
    file = log()
    file.put([line()])

    assert eventually(path.exists)
    assert eventually(lambda: path.read_bytes() == line())


def test_without_a_path_there_is_no_log(log, tmp_path):
    """Nobody needs to make lines, and none count as dropped."""
    file = log(path=None)
    file.put([line()])
    file.close()

    assert not file.is_wanted
    assert file.dropped == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["csv", "combined"])
def test_other_forms_are_made_here(log, path, form):
    """One header a file, whoever begins it; a line that is none is dropped and counted."""
    first, second = log(format=form), log(format=form)
    first.put([line(), b"none\n"])
    first.close()
    second.put([line()])
    second.close()

    assert path.read_bytes().count(b"www.example.com" if form == "csv" else b"GET /blog") >= 2
    assert path.read_bytes().startswith(CSV_HEADER) == (form == "csv")
    assert path.read_bytes().count(b"\n") == (3 if form == "csv" else 2)
    assert (first.dropped, second.dropped) == (1, 0)


def test_a_file_has_one_form(log, path):
    """Another one begins another file."""
    file = log()
    file.put([line()])
    file.configure(settings(format="csv"))
    file.put([line()])
    file.close()

    old, new = files_of(path)
    assert old.read_bytes() == line()
    assert new.read_bytes().startswith(CSV_HEADER)


def test_a_full_queue_drops_and_counts(log, path):
    """`put` does not wait for whoever holds the disk; what fits is written when it is free."""
    holder = lock(path)
    file = log()
    lines = numbered(0, 60_000)
    file.put(lines[:50_000])
    file.put(lines[50_000:])
    fits = QUEUE // 100

    assert file.dropped == 60_000 - fits
    holder.communicate(b"\n")
    file.close()
    assert ids(path) == list(range(fits))
    file.put(numbered(0, 1))
    assert file.dropped == 60_000 - fits


def test_the_end_is_bounded(log, path):
    """A disk that hangs does not hang the end of a worker."""
    holder = lock(path)
    file = log()
    file.put([line()])
    file.close(timeout=0.05)

    assert not path.exists()
    holder.communicate(b"\n")
    eventually(lambda: path.exists() and path.read_bytes() == line())


def test_files_are_turned_over_by_size(log, path):
    """None is larger than `rotate`; each is named by its end."""
    file = log(rotate=1000)
    file.put(numbered(0, 95))
    file.close()

    sizes = [each.stat().st_size for each in files_of(path)]
    assert sizes == [1000] * 9 + [500]
    assert sorted(ids(path)) == list(range(95))
    assert all(
        re.fullmatch(r"access(-\d{8}T\d{6}Z(-\d+)?)?\.jsonl", f.name) for f in files_of(path)
    )


def test_files_are_turned_over_every_day(log, path):
    """So that what is deleted by its age is no more than a day older than that."""
    file = log()
    file.put([line(id="1")])
    file.close()
    yesterday = time.time() - DAY
    os.utime(path, (yesterday, yesterday))
    again = log()
    again.put([line(id="2")])
    again.close()

    old, new = files_of(path)
    assert time.strftime("%Y%m%d", time.gmtime(yesterday)) in old.name
    assert (old.read_bytes(), new.read_bytes()) == (line(id="1"), line(id="2"))


def test_old_files_are_deleted(log, path):
    """By their names' word, compressed ones too; names that are not ours stay."""
    path.parent.mkdir()
    stamps = {
        days: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - days * DAY))
        for days in (1, 13, 15)
    }
    for stamp in stamps.values():
        path.with_name(f"access-{stamp}.jsonl").write_bytes(line())
        path.with_name(f"access-{stamp}-2.jsonl.gz").write_bytes(gzip.compress(line()))
    for name in ("access.jsonl.1", "access-notes.txt", "access-20200101T000000Z.jsonl.bak"):
        path.with_name(name).touch()
    log(keep_days=14).close()

    kept = {each.name for each in path.parent.iterdir()}
    assert kept == {
        *("access.jsonl", "access.jsonl.lock", "access.jsonl.1", "access-notes.txt"),
        "access-20200101T000000Z.jsonl.bak",
        *(f"access-{stamps[days]}{rest}" for days in (1, 13) for rest in (".jsonl", "-2.jsonl.gz")),
    }


@contextlib.contextmanager
def watched(path):
    """Adds up all files again and again, whenever nobody writes; the largest sum comes out."""
    found = [0]
    done = threading.Event()

    def watch():
        eventually(path.exists)
        with path.with_name("access.jsonl.lock").open() as held:
            while not done.wait(0.0005):
                fcntl.flock(held, fcntl.LOCK_SH)
                found.append(total(path))
                fcntl.flock(held, fcntl.LOCK_UN)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def test_the_bound_is_hard(log, path):
    """The oldest files make room; there never is more than `max_total`."""
    file = log(rotate=1000, max_total=5000)
    with watched(path) as sums:
        for first in range(0, 1000, 10):
            file.put(numbered(first, 10))
        file.close()

    assert ids(path) == list(range(950, 1000))
    assert max(sums) <= 5000
    assert file.dropped == 0


def test_a_bound_below_one_file_makes_smaller_files(log, path):
    """`rotate` is a quarter of it then; lines that have no room at all are dropped."""
    file = log(max_total=1200)
    file.put(numbered(0, 40))
    eventually(lambda: path.exists() and 39 in ids(path))
    file.put(numbered(40, 1, size=2000))
    eventually(lambda: file.dropped == 1)
    file.put(numbered(41, 1))
    file.close()

    assert total(path) <= 1200
    assert ids(path)[-3:] == [38, 39, 41]
    assert file.dropped == 1


def test_somebody_else_deletes_as_well(log, path):
    """A file that has gone meanwhile is no trouble, and no reason to delete another one."""
    file = log(rotate=1000, max_total=4500)
    file.put(numbered(0, 40))
    eventually(lambda: path.exists() and ids(path) == list(range(40)))
    files_of(path)[1].unlink()
    file.put(numbered(40, 10))
    file.close()

    assert ids(path) == [*range(10), *range(20, 50)]
    assert file.dropped == 0


def test_a_lower_bound_counts_at_once(log, path):
    """Even where the current file alone is above it."""
    file = log()
    file.put(numbered(0, 100))
    eventually(lambda: path.exists() and path.stat().st_size == 10_000)
    file.configure(settings(max_total=4000))
    file.put(numbered(100, 1))
    file.close()

    assert ids(path) == [100]


WRITERS = """
import sys
from pathlib import Path
from edge.node.logfile import LogFile
from edge.site.settings import AccessLog
from tests.support_logs import numbered

root, first, count, rotate, bound = Path(sys.argv[1]), *map(int, sys.argv[2:])
file = LogFile(root, AccessLog(path="log/access.jsonl", rotate=rotate, max_total=bound))
sys.stdin.readline()
for start in range(first, first + count, 7):
    file.put(numbered(start, min(7, first + count - start)))
print("put", flush=True)
file.close(60)
print(file.dropped)
"""


def writers(tmp_path, number, count, rotate, bound):
    """Processes that write at once, each its own ids."""
    found = [
        subprocess.Popen(
            [sys.executable, "-c", WRITERS, tmp_path, *map(str, (n * count, count, rotate, bound))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for n in range(number)
    ]
    for each in found:
        each.stdin.write(b"\n")
        each.stdin.flush()
    return found


def test_several_processes_turn_one_log_over(tmp_path, path):
    """No line is lost, none comes twice, none is torn; no file is larger than it may be."""
    processes = writers(tmp_path, 3, 1500, 5000, 10**9)
    answers = [each.communicate(timeout=60)[0].split() for each in processes]

    assert answers == [[b"put", b"0"]] * 3
    assert sorted(ids(path)) == list(range(4500))
    assert max(each.stat().st_size for each in files_of(path)) <= 5000
    assert len(files_of(path)) >= 90


def test_the_bound_holds_over_processes(tmp_path, path):
    """Exactly: whoever writes counts what the others wrote."""
    with watched(path) as sums:
        processes = writers(tmp_path, 2, 1500, 1000, 20_000)
        answers = [each.communicate(timeout=60)[0].split() for each in processes]

    assert answers == [[b"put", b"0"]] * 2
    assert max(sums) <= 20_000
    assert 19_000 <= total(path) <= 20_000
    assert len(set(ids(path))) == len(ids(path))


def test_a_process_that_is_killed_tears_one_line_at_the_most(tmp_path, path):
    """
    The others go on, whoever held the lock, and lines of their own stay apart from it.

    The kernel ends the write of a killed process behind a page: what it tore has no end.
    """
    processes = writers(tmp_path, 2, 5000, 5000, 10**9)
    eventually(lambda: path.exists() and len(files_of(path)) > 5)
    processes[0].kill()
    for each in processes:
        each.communicate(timeout=60)

    lines = [one for each in files_of(path) for one in each.read_bytes().splitlines()]
    whole = [each for each in lines if each.endswith(b"}")]
    assert len(lines) - len(whole) <= 1
    found = [int(json.loads(each)["id"]) for each in whole]
    assert set(range(5000, 10_000)) <= set(found)
    assert len(set(found)) == len(found)


def test_a_torn_line_stays_alone(log, path):
    """Whoever writes next begins a line of its own."""
    path.parent.mkdir()
    path.write_bytes(line(id="1") + b'{"time":"2026-11-2')
    file = log()
    file.put([line(id="2")])
    file.close()

    assert path.read_bytes() == line(id="1") + b'{"time":"2026-11-2\n' + line(id="2")


def test_a_file_that_was_moved_away(log, path):
    """The next line begins a new one, and `reopen` does so without a line."""
    file = log()
    file.put([line(id="1")])
    eventually(lambda: path.exists() and path.stat().st_size)
    path.rename(path.with_name("access.jsonl.1"))
    file.reopen()
    eventually(path.exists)
    path.rename(path.with_name("access.jsonl.2"))
    file.put([line(id="2")])
    file.close()

    assert path.read_bytes() == line(id="2")
    assert path.with_name("access.jsonl.1").read_bytes() == line(id="1")


def test_a_folder_that_was_removed(log, path):
    """Lock and all: it is made again."""
    file = log()
    eventually(path.exists)
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    file.put([line()])
    file.close()

    assert path.read_bytes() == line()


def test_a_link_is_followed(log, path, tmp_path):
    """What it leads to is turned over, and so is bounded."""
    (tmp_path / "log").mkdir()
    (tmp_path / "else").mkdir()
    path.symlink_to(tmp_path / "else" / "real.jsonl")
    file = log(rotate=1000)
    file.put(numbered(0, 15))
    file.close()

    assert path.is_symlink()
    assert len(files_of(tmp_path / "else" / "real.jsonl")) == 2


@pytest.mark.parametrize("target", ["/dev/full", "."])
def test_what_is_no_file_is_refused(log, caplog, target):
    """With one message; the lines are counted."""
    file = log(path=target)
    file.put([line()] * 3)
    file.close()

    assert file.dropped == 3
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text


SMALL = """
import resource, sys
from pathlib import Path
from edge.node.logfile import LogFile
from edge.site.settings import AccessLog
from tests.support_logs import numbered

resource.setrlimit(resource.RLIMIT_FSIZE, (1050, resource.RLIM_INFINITY))
file = LogFile(Path(sys.argv[1]), AccessLog(path="log/access.jsonl"))
file.put(numbered(0, 8))
file.close()
again = LogFile(Path(sys.argv[1]), AccessLog(path="log/access.jsonl"))
again.put(numbered(8, 8))
again.close()
print(file.dropped, again.dropped)
"""


def test_what_the_disk_takes_in_part_is_whole_lines(tmp_path, path):
    """A write that ends in the middle of a line leaves no half of it, and the rest is counted."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL, tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "0 6\n"
    assert "cannot be written: File too large; 6 lines are lost" in done.stderr
    assert ids(path) == list(range(10))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB at `log/`."""
    folder = tmp_path / "log"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_costs_lines_and_nothing_else(small_disk, log, path, caplog):
    """They are counted, told once, and when there is room again writing goes on."""
    (small_disk / "other").write_bytes(b"x" * 32_768)
    file = log()
    file.put(numbered(0, 500))
    eventually(lambda: file.dropped)
    lost = file.dropped
    assert ids(path) == list(range(500 - lost))
    for _ in range(3):
        file.put(numbered(500, 10))
    eventually(lambda: file.dropped == lost + 30)
    (small_disk / "other").unlink()
    file.put(numbered(1000, 10))
    file.close()

    assert ids(path)[-10:] == list(range(1000, 1010))
    texts = [each.getMessage() for each in caplog.records]
    assert len(texts) == 2
    assert texts[0].endswith(f"cannot be written: No space left on device; {lost} lines are lost")
    assert texts[1].endswith("is written again; 30 more lines were lost")


def test_lines_are_grouped_by_bytes():
    """A line that is longer than the limit is alone."""
    lines = [b"12", b"34", b"5", b"678901", b"2"]

    assert chunks(lines, 4) == [[b"12", b"34"], [b"5"], [b"678901"], [b"2"]]
    assert chunks(lines, 13) == [lines]
    assert chunks([], 4) == [[]]
