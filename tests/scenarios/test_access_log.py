"""The access log of a real node: every request, whatever dies or is full."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess

import pytest

from edge.site.logline import COLUMNS, Entry
from tests.support import eventually, running, write_tree
from tests.support_logs import entries_of, files_of

HOST = "main.site.edge.localhost"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two workers and a site; files of 20 KiB. Each test asks by numbers of its own."""
    folder = tmp_path_factory.mktemp("log")
    with running(folder / "node", 2, "access_log: {rotate: 20KiB}\n") as found:
        found.deploy(write_tree(folder / "site", {"index.html": "<h1>hello</h1>"}))
        yield found


def log_of(node):
    """Its current file."""
    return node.folder / "var" / "log" / "access.jsonl"


def entries(node):
    """All lines of all files."""
    return entries_of(log_of(node))


def ask(node, numbers):
    """Requests that can be told apart, some on a connection; how many were answered."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    answered = 0
    for number in numbers:
        if number % 25 == 0:
            connection.close()
        try:
            connection.request("GET", f"/?n={number}", headers={"Host": HOST})
            answered += connection.getresponse().read() == b"<h1>hello</h1>"
        except (OSError, http.client.HTTPException):
            connection.close()
    connection.close()
    return answered


def logged(found, numbers):
    """Which of these requests are in the log, in its order."""
    asked = [int(each["query"][2:]) for each in found if (each["query"] or "").startswith("n=")]
    return [number for number in asked if number in numbers]


def test_every_request_is_a_line_with_all_keys(node):
    """One of each, over rotations and workers; the command reads them in their order."""
    mine = range(1000, 1300)
    assert ask(node, mine) == 300
    eventually(lambda: sorted(logged(entries(node), mine)) == list(mine))
    found = entries(node)
    read = [json.loads(each) for each in node.edge("logs", "--host", HOST).stdout.splitlines()]
    rows = node.edge("logs", "--format", "csv").stdout.splitlines()

    assert {frozenset(each) for each in found} == {frozenset(Entry.__struct_fields__)}
    assert sorted(logged(read, mine)) == list(mine)
    assert [each["time"] for each in read] == sorted(each["time"] for each in read)
    assert len(files_of(log_of(node))) > 5
    assert rows[0] == ",".join(COLUMNS)
    assert {len(each.split(",")) for each in rows} == {33}
    sql = "SELECT count(*) AS n FROM log WHERE status = 200 AND app = 'site' AND query LIKE 'n=1%'"
    assert node.edge("logs", "--sql", sql).stdout.split() == ["n", "300"]


def test_a_log_that_is_moved_away(node):
    """As logrotate does it: the old one is let go of at SIGUSR1, the new one is there."""
    mine = range(2000, 2010)
    path = log_of(node)
    eventually(path.exists)
    path.rename(path.with_name("access.jsonl.1"))
    node.process.send_signal(signal.SIGUSR1)

    assert eventually(path.exists)
    assert node.is_ready()
    assert ask(node, mine) == 10
    assert eventually(lambda: sorted(logged(entries(node), mine)) == list(mine))


def test_a_worker_that_is_killed_loses_a_second_at_most(node):
    """What was answered earlier is in the log; no line is torn, none comes twice."""
    before, around, after = range(3000, 3200), range(3200, 3400), range(3400, 3600)
    assert ask(node, before) == 200
    eventually(lambda: len(logged(entries(node), before)) == 200)
    ask(node, around)
    victim = node.pids("worker")[0]
    os.kill(victim, signal.SIGKILL)
    ask(node, after)
    eventually(lambda: len({*node.pids("worker")} - {victim}) == 2)
    eventually(lambda: ask(node, [3600]))
    eventually(lambda: logged(entries(node), [3600]))
    found = logged(entries(node), range(3000, 3600))

    assert set(before) <= set(found)
    assert len(found) == len(set(found))


def test_a_reload_changes_the_log(node):
    """Its form, its place, and whether there is one; the last test of this node."""
    config = node.folder / "edge.yml"
    text = config.read_text()
    config.write_text(text.replace("20KiB}", "20KiB, format: combined, path: other.log}"))
    node.edge("reload")
    assert ask(node, [4000]) == 1
    other = node.folder / "other.log"
    eventually(lambda: other.exists() and b'"GET /?n=4000 HTTP/1.1" 200' in other.read_bytes())
    config.write_text(text.replace("20KiB}", "20KiB, path: null}"))
    node.edge("reload")
    size = other.stat().st_size
    assert ask(node, range(5)) == 5

    assert "access_log.path is null" in node.edge("logs", ok=False).stderr
    assert other.stat().st_size == size


def test_a_full_disk_costs_lines_and_no_request(tmp_path):
    """They are counted, and written again when there is room."""
    folder = tmp_path / "node" / "var" / "log"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with running(tmp_path / "node", 1) as node:
            node.deploy(write_tree(tmp_path / "site", {"index.html": "<h1>hello</h1>"}))
            (folder / "other").write_bytes(b"x" * 32_768)
            assert ask(node, range(300)) == 300
            eventually(lambda: len(logged(entries(node), range(300))) + dropped(node) == 300)
            (folder / "other").unlink()
            assert ask(node, range(300, 310)) == 10
            eventually(lambda: 309 in logged(entries(node), range(310)))
            found = logged(entries(node), range(310))

            assert found == sorted(set(found))
            assert len(found) + dropped(node) == 310
            assert dropped(node) > 100
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def dropped(node):
    """Lines that were lost, as `/metrics` counts them."""
    text = node.admin("GET", "/metrics")[1]
    lines = [each for each in text.splitlines() if each.startswith("edge_log_dropped_total")]
    return sum(int(float(each.rpartition(" ")[2])) for each in lines)
