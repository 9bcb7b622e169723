"""Reading the access log: windows, order, files that come and go, and following."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from edge.control import logs
from edge.control.logs import LogReader, files_aside, ordered
from edge.control.records import Records
from edge.node.logfile import LogFile
from edge.site.logline import CSV_HEADER, combined, csv_row, decode_entry
from edge.site.logwindow import Filter, Window, stamp_of
from edge.site.settings import AccessLog
from tests.support import eventually
from tests.support_logs import line

NOW = 1_795_678_199.0
DAY = 86_400.0


def at(second, number=0, **changes):
    """A line of a time, relative to `NOW`."""
    return line(time=stamp_of(NOW + second).decode(), id=str(number), **changes)


def name_at(second):
    """The name of a file that ended then."""
    return f"access-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(NOW + second))}.jsonl"


@pytest.fixture
def path(tmp_path):
    """The current file."""
    return tmp_path / "access.jsonl"


def read(path, first=None, last=None, **wanted):
    """The ids of lines, and that each could be read."""
    window = Window(
        first=None if first is None else NOW + first, last=None if last is None else NOW + last
    )
    reader = LogReader(path, window, Filter(**wanted))
    found = [int(json.loads(each)["id"]) for each in itertools.chain(*reader.read())]
    assert (reader.skipped, reader.damaged) == (0, [])
    return found


def test_all_files_are_one_log(path):
    """Current and set aside, compressed, and those that logrotate moved; oldest first."""
    path.write_bytes(at(0, 7))
    path.with_name(name_at(-10)).write_bytes(at(-10, 6))
    path.with_name(name_at(-30) + ".gz").write_bytes(gzip.compress(at(-31, 4) + at(-30, 5)))
    for number, name in enumerate(("access.jsonl.3.gz", "access.jsonl.2", "access.jsonl-20261125")):
        content = at(number - 100, number + 1)
        moved = path.with_name(name)
        moved.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        os.utime(moved, (NOW + number - 100,) * 2)
    for name in ("access.jsonl.lock", "access.jsonl.swp", "access.jsonl.bak.1", "other.jsonl"):
        path.with_name(name).write_bytes(at(0, 99))

    assert read(path) == [1, 2, 3, 4, 5, 6, 7]


def test_a_window(path):
    """From its first instant until before its last."""
    path.write_bytes(b"".join(at(second, second) for second in range(10)))

    assert read(path, first=3, last=6) == [3, 4, 5]
    assert read(path, first=8) == [8, 9]
    assert read(path, last=2) == [0, 1]
    assert read(path, first=3.0005, last=3.001) == [3]
    assert read(path, first=20) == []


def test_files_that_end_before_the_window_are_not_opened(path, monkeypatch):
    """Their name tells; nor are those behind it, a day later, read on."""
    for days in (5, 4, 3, 2, 1):
        path.with_name(name_at(-days * DAY)).write_bytes(at(-days * DAY, days))
    path.write_bytes(at(0, 0))
    opened = []
    make = logs.Stream.__init__

    def spy(stream, reader, where):
        opened.append(where.name)
        make(stream, reader, where)

    monkeypatch.setattr(logs.Stream, "__init__", spy)

    assert read(path, first=-3.5 * DAY, last=-2.5 * DAY) == [3]
    assert opened == ["access.jsonl", *(name_at(-days * DAY) for days in (3, 2, 1))]


def test_what_ended_after_the_window_is_found(path):
    """A request that began in it and took hours has its line in a later file."""
    path.with_name(name_at(10)).write_bytes(at(0, 1))
    path.with_name(name_at(20_000)).write_bytes(at(10_000, 3) + at(1, 2))
    path.write_bytes(at(30_000, 4))

    assert read(path, first=0, last=5) == [1, 2]


def test_lines_of_several_workers_come_in_order(path):
    """Each wrote its own in order, some at a time."""
    lines = [at(0.001 * number, number) for number in range(1000)]
    flushes = [lines[n : n + 100] for n in range(0, 1000, 100)]
    mixed = [each for flush in flushes for worker in (1, 0) for each in flush[worker::2]]
    path.write_bytes(b"".join(mixed))

    assert read(path) == list(range(1000))


def test_order_over_the_bound_of_what_waits():
    """Lines that are no further apart than half of it are in order."""
    keyed = [(b"%09d" % (number ^ 1023), b"%09d" % (number ^ 1023)) for number in range(300_000)]
    batches = [keyed[n : n + 1700] for n in range(0, len(keyed), 1700)]
    out = list(ordered(iter(batches)))

    assert list(itertools.chain(*out)) == sorted(text for _, text in keyed)
    assert len(out) > 5
    assert list(ordered(iter([]))) == []


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"app": "shop"}, [1, 3]),
        ({"app": "shop", "branch": "dev"}, [3]),
        ({"host": "blog.example.org"}, [2]),
        ({"statuses": ("404",)}, [2]),
        ({"statuses": ("4xx", "5xx")}, [2, 3]),
        ({"app": "shop", "statuses": ("2xx",)}, [1]),
        ({"app": "none"}, []),
    ],
)
def test_filters(path, wanted, ids):
    """By app, branch, host and status."""
    path.write_bytes(
        at(1, 1)
        + at(2, 2, app="blog", host="Blog.Example.org:8080", status=404)
        + at(3, 3, branch="dev", status=500)
        + at(4, 4, app=None, branch=None, user_agent='"app":"shop"', host=None, status=0)
    )

    assert read(path, **wanted) == ids


@pytest.mark.parametrize(("form", "encode"), [("csv", csv_row), ("combined", combined)])
def test_files_of_other_forms_are_read(path, form, encode):
    """As JSON, with what they hold; each file may have another one."""
    path.with_name(name_at(-10)).write_bytes(at(-10, 1, path="/1"))
    header = CSV_HEADER if form == "csv" else b""
    rows = [encode(decode_entry(at(n, n, path=f"/{n + 2}", status=404 + n))) for n in range(2)]
    path.write_bytes(header + rows[0] + b"\nbroken\n" + rows[1])
    reader = LogReader(path, Window(last=NOW + 1), Filter())
    found = [json.loads(each) for each in itertools.chain(*reader.read())]

    assert [each["path"] for each in found] == ["/1", "/2"]
    assert list(found[1]) == list(found[0])
    assert reader.skipped == 1
    later = LogReader(path, Window(first=NOW), Filter(statuses=("405",)))
    assert [json.loads(each)["path"] for each in itertools.chain(*later.read())] == ["/3"]


def test_lines_that_cannot_be_read_are_counted(path):
    """Torn, too long, or no entry at all; those beside them are read."""
    torn = at(0, 2)[:-30]
    long = b'{"time":"' + b"x" * 3_000_000
    alien = b'{"time":"2026-11-26T07:29:59.000Z","id":"5","new":true}\n'
    lines = [at(0, 1), torn + b"\n", long + b"\n", at(0, 3), b"\n", b"[" * 2000 + b"\n", alien]
    path.write_bytes(b"".join(lines) + at(0, 4)[:-1])
    reader = LogReader(path, Window(), Filter())
    found = [json.loads(each)["id"] for each in itertools.chain(*reader.read())]

    assert found == ["1", "3", "5"]
    assert reader.skipped == 3
    filtered = LogReader(path, Window(), Filter(app="shop"))
    path.write_bytes(at(0, 1).replace(b'"port":', b'"port":x'))
    assert list(filtered.read()) == []
    assert filtered.skipped == 1


def test_a_damaged_file_is_told(path):
    """What was in front of the damage is read, and so are the other files."""
    packed = gzip.compress(b"".join(at(-10, n) for n in range(3000)))
    path.with_name(name_at(-10) + ".gz").write_bytes(packed[:-20])
    path.write_bytes(at(0, 5000))
    reader = LogReader(path, Window(), Filter())
    found = [json.loads(each)["id"] for each in itertools.chain(*reader.read())]

    assert found[-1] == "5000"
    assert len(reader.damaged) == 1
    assert name_at(-10) in reader.damaged[0]


def test_a_file_that_is_being_compressed_is_read_once(path):
    """Both lie there for a while; and one that was compressed since the look is found."""
    plain = path.with_name(name_at(-10))
    plain.write_bytes(at(-10, 1))
    packed = Path(f"{plain}.gz")
    packed.write_bytes(gzip.compress(at(-10, 1))[:20])
    path.write_bytes(at(0, 2))
    assert read(path) == [1, 2]

    reader = LogReader(path, Window(), Filter())
    assert files_aside(path) == [(NOW - 10, plain)]
    packed.write_bytes(gzip.compress(at(-10, 1)))
    listed = files_aside(path)
    plain.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "files_aside", lambda _: [*listed, (NOW, path.with_name("gone"))])
        found = [json.loads(each)["id"] for each in itertools.chain(*reader.read())]
    assert found == ["1", "2"]


def test_a_log_without_a_current_file(path):
    """What was set aside is there."""
    path.with_name(name_at(-10)).write_bytes(at(-10, 1))

    assert read(path) == [1]


def test_memory_does_not_grow_with_the_log(path, monkeypatch):
    """What is held are blocks, and lines that wait for others."""
    monkeypatch.setattr(logs, "KEPT", 2000)
    with path.open("wb") as file:
        for second in range(100):
            file.write(at(second) * 1500)
    size = path.stat().st_size
    reader = LogReader(path, Window(), Filter())
    tracemalloc.start()
    try:
        count = sum(len(lines) for lines in reader.read())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 150_000
    assert size > 80_000_000
    assert peak < 10_000_000


@pytest.fixture
def follow(path):
    """Follows the log in a thread until the test ends; the ids as they come."""
    done = threading.Event()
    threads = []

    def pause():
        if done.wait(0.005):
            raise EOFError

    def run(reader, found, only_tail):
        with contextlib.suppress(EOFError):
            for lines in reader.follow(only_tail=only_tail, pause=pause):
                found.extend(int(json.loads(each)["id"]) for each in lines)

    def begin(first=None, **more):
        window = Window(first=None if first is None else NOW + first)
        reader, found = LogReader(path, window, Filter(**more)), []
        threads.append(threading.Thread(target=run, args=(reader, found, first is None)))
        threads[-1].start()
        return found

    yield begin
    done.set()
    for each in threads:
        each.join()


def test_a_tail(path, follow):
    """The last ten lines that are wanted, then those that come."""
    path.write_bytes(b"".join(at(n, n, status=200 + n % 2) for n in range(1000)))
    found = follow(statuses=("200",))
    eventually(lambda: len(found) == 10)
    assert found == list(range(980, 1000, 2))
    with path.open("ab") as file:
        file.write(at(1000, 1000)[:-50])
        file.flush()
        file.write(at(1000, 1000)[-50:] + at(1001, 1001, status=404) + at(1002, 1002))

    assert eventually(lambda: found[10:] == [1000, 1002])


def test_following_from_a_time(path, follow):
    """All since then, from earlier files too."""
    path.with_name(name_at(-10)).write_bytes(at(-20, 1) + at(-10, 2))
    path.write_bytes(at(0, 3))
    found = follow(first=-15)

    assert eventually(lambda: found == [2, 3])


def test_following_waits_for_a_log(path, follow):
    """That is not there yet."""
    found = follow()
    path.write_bytes(at(0, 1))

    assert eventually(lambda: found == [1])


def test_following_survives_rotation(path, follow):
    """Whatever number of files is set aside between two looks: no line is lost or told twice."""
    settings = AccessLog(path=str(path), rotate=3000)
    writer = LogFile(path.parent, settings)
    writer.put([at(0, 0)])
    eventually(lambda: path.exists() and path.stat().st_size)
    found = follow()
    eventually(lambda: found == [0])
    for number in range(1, 600):
        writer.put([at(number, number)])
    writer.close()

    eventually(lambda: len(found) >= 600)
    assert found == list(range(600))
    assert len(files_aside(path)) > 50


def test_following_survives_what_others_do_to_files(path, follow):
    """Moved away and compressed, at once, with another file set aside in between."""
    path.write_bytes(at(0, 1))
    found = follow()
    eventually(lambda: found == [1])
    with path.open("ab") as file:
        file.write(at(1, 2))
    aside = path.with_name(name_at(1))
    path.rename(aside)
    moved = path.with_name(name_at(2))
    moved.write_bytes(at(2, 3))
    Path(f"{aside}.gz").write_bytes(gzip.compress(aside.read_bytes()))
    os.utime(f"{aside}.gz", (NOW,) * 2)
    aside.unlink()
    path.write_bytes(at(3, 4))

    assert eventually(lambda: found == [1, 2, 3, 4])


def test_files_that_are_set_aside_while_somebody_looks(path):
    """Each is read once, in its turn, though it is the current one for a moment only."""
    for number in range(5):
        path.with_name(name_at(number)).write_bytes(at(number, number))
    path.write_bytes(at(5, 5))
    reader = LogReader(path, Window(), Filter())
    old, newest = (logs.Stream(reader, path.with_name(name_at(number))) for number in (1, 3))
    between = [json.loads(each)["id"] for ((_, each),) in reader._between(old, newest)]
    until = [json.loads(each)["id"] for ((_, each),) in reader._until_now(newest)]
    old.close()
    newest.close()

    assert between == ["2"]
    assert until == ["0", "1", "2", "3"]


@pytest.mark.parametrize("form", ["json", "csv", "combined"])
def test_what_is_written_can_be_replayed(tmp_path, form):
    """`edge replay` reads each form, and decides what a request asked for."""
    writer = LogFile(tmp_path, AccessLog(path="log", format=form))
    writer.put(
        [at(0, 1), at(1, 2, path="/a,b%2Fc", query="x=1%2C2&y=%25", status=404, method="PUT")]
    )
    writer.put([at(2, 3, path="/", query=None, status=0)])
    writer.close()
    records = Records(tmp_path / "log")
    found = list(records)
    host = None if form == "combined" else "www.example.com"
    country = "US" if form == "json" else None
    comma = b"%2C" if form == "csv" else b","

    assert records.format == form
    assert (records.skipped, records.examples) == (0, [])
    assert [each.target for each in found] == [
        b"/blog/a%20b?x=1",
        b"/a" + comma + b"b%2Fc?x=1%2C2&y=%25",
        b"/",
    ]
    assert [each.method for each in found] == [b"GET", b"PUT", b"GET"]
    assert [each.status for each in found] == [200, 404, None]
    assert {each.host for each in found} == {host}
    assert {each.country for each in found} == {country}


@pytest.mark.parametrize("form", ["json", "combined"])
def test_bytes_of_a_target_are_replayed(tmp_path, form):
    """A text of the log holds bytes, as Latin-1."""
    writer = LogFile(tmp_path, AccessLog(path="log", format=form))
    writer.put([at(0, 1, path="/\xc3\xa9", query="\xff")])
    writer.close()

    assert [each.target for each in Records(tmp_path / "log")] == [b"/\xc3\xa9?\xff"]
