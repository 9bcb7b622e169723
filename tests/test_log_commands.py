"""`edge logs`, as people type it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from edge.site.logline import CSV_HEADER
from edge.site.logwindow import stamp_of
from tests.support import EDGE, eventually
from tests.support_cli import offline, quiet
from tests.support_control import open_store
from tests.support_logs import line

FIXTURES = offline, quiet


def ago(seconds, **changes):
    """A line that old; its id is its age."""
    return line(time=stamp_of(time.time() - seconds).decode(), id=f"{seconds}", **changes)


@pytest.fixture
def path(offline):
    """A log of four lines."""
    path = offline.folder / "var" / "log" / "access.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(ago(7200) + ago(1800, app="blog") + ago(60, status=503) + ago(1))
    return path


@pytest.fixture
def logs(offline, path):
    """Runs `edge logs`; what it prints."""
    return lambda *arguments: offline("logs", *arguments)[0]


def ids(out):
    """Of lines of JSON."""
    return [json.loads(each)["id"] for each in out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["7200", "1800", "60", "1"]),
        (["--json"], ["7200", "1800", "60", "1"]),
        (["--from", "1h"], ["1800", "60", "1"]),
        (["--from", "1h", "--to", "30s"], ["1800", "60"]),
        (["--from", "2020-01-01", "--to", "1h"], ["7200"]),
        (["--app", "blog"], ["1800"]),
        (["--app", "shop", "--branch", "main", "--from", "10m"], ["60", "1"]),
        (["--status", "5xx"], ["60"]),
        (["--status", "404,503", "--host", "WWW.example.com"], ["60"]),
        (["--host", "example.org"], []),
    ],
)
def test_what_programs_get(logs, arguments, expected):
    """Lines of JSON, all that is kept unless a window is given."""
    assert ids(logs(*arguments)) == expected


def test_forms(logs):
    """Those that other tools read, and the one for people."""
    assert logs("--format", "csv").startswith(CSV_HEADER.decode())
    assert logs("--format", "csv").count("\n") == 5
    assert '"GET /blog/a%20b?x=1 HTTP/1.1" 503' in logs("--format", "combined", "--from", "10m")
    assert "  503  GET www.example.com/blog/a%20b?x=1  3.1ms" in logs("--format", "text")


def test_sql(logs):
    """A table, CSV, or an object a row; of the lines that the other options leave."""
    sql = "SELECT status, count(*) AS n FROM log GROUP BY status ORDER BY status"

    assert logs("--sql", sql) == "status  n\n200     3\n503     1\n"
    assert logs("--sql", sql, "--format", "csv") == "status,n\n200,3\n503,1\n"
    assert logs("--sql", sql, "--json", "--app", "blog") == '{"status": 200, "n": 1}\n'
    assert logs("--sql", sql, "--from", "10m") == "status  n\n200     1\n503     1\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--node", "http://127.0.0.1:1"], "logs reads files: run it on the node's own machine"),
        (["--json", "--format", "csv"], "--json and --format csv contradict each other"),
        (["--follow", "--to", "1m"], "--follow has no end: leave out --to and --sql"),
        (["--follow", "--sql", "SELECT 1"], "--follow has no end"),
        (["--branch", "main"], "--branch goes with --app"),
        (["--sql", "SELECT 1", "--format", "combined"], "an answer of --sql has columns"),
        (["--from", "yesterday"], "'yesterday' is no time: write 2h, 30m"),
        (["--from", "1m", "--to", "1h"], "--from is not before --to"),
        (["--status", "teapot"], "'teapot' is no status"),
        (["--host", "a b"], "'a b' is no host"),
        (["--sql", "SELEC"], "--sql: Parser Error"),
    ],
)
def test_refusals(offline, path, arguments, error):
    """One line that says what to do, nothing else; to programs as JSON."""
    out, err = offline("logs", *arguments, code=1)

    assert out == ""
    assert error in err
    assert err.count("\n") == 1


def test_trouble_is_told(offline, path):
    """Lines that cannot be read, after those that can."""
    with path.open("ab") as file:
        file.write(b'{"time":"2026-11-26T\n' + ago(0))
    out, err = offline("logs")

    assert ids(out) == ["7200", "1800", "60", "1", "0"]
    assert err == "edge: 1 line could not be read\n"


def test_there_is_no_log(offline):
    """Not yet, or because nobody wants one."""
    _, err = offline("logs", code=1)
    assert f"there is no access log at {offline.folder}/var/log/access.jsonl" in err
    with (offline.folder / "edge.yml").open("a") as file:
        file.write("access_log: {path: null}\n")
    _, err = offline("logs", code=1)
    assert "access_log.path is null in edge.yml" in err


def test_the_log_of_what_serves(offline, path):
    """A path that was edited counts from the reload on."""
    config = offline.folder / "edge.yml"
    store = open_store(offline.folder)
    store.reload()
    text = config.read_text()
    config.write_text(text + "access_log: {path: else.jsonl}\n")
    assert len(ids(offline("logs")[0])) == 4
    store.reload()
    (offline.folder / "else.jsonl").write_bytes(ago(3))

    assert ids(offline("logs")[0]) == ["3"]


README = (Path(__file__).parents[1] / "README.md").read_text()
CHAPTER = README.partition("### Reading it\n")[2].partition("\n## ")[0]
TOLD = re.findall(r"```sh\nedge (logs [^\n]*)\n```\n\n```\n(.*?)```", CHAPTER, re.DOTALL)


@pytest.mark.parametrize(("command", "printed"), TOLD)
def test_what_the_readme_says_is_printed_is_printed(offline, path, command, printed):
    """Of a log like this."""
    root = [line(time=f"2026-11-26T08:1{n}:00.000Z", path="/", status=304 - n) for n in range(3)]
    cart = {"path": "/api/cart", "method": "POST", "cache": "miss"}
    asked = {"path": "/wp-login.php", "query": None, "cache": "miss", "total": 0.00041}
    others = [
        line(time="2026-11-26T08:14:03.120Z", status=404, **asked),
        line(time="2026-11-26T08:14:05.000Z", query="id=6", **cart),
        line(time="2026-11-26T08:14:09.531Z", query="id=7", status=502, total=3.002711, **cart),
    ]
    path.write_bytes(b"".join(root + others))

    assert offline(*shlex.split(command))[0] == printed


def test_the_readme_has_examples():
    """Of lines and of SQL."""
    assert len(TOLD) == 2


class Terminal:
    """A command whose stdout is a terminal."""

    def __init__(self, folder, *arguments):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [EDGE, "logs", *arguments], cwd=folder, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.shown = ""

    def shows(self, text):
        """Whether it has shown this by now."""
        if select.select([self.ours], [], [], 0.05)[0]:
            try:
                self.shown += os.read(self.ours, 65_536).decode()
            except OSError:  # it has ended
                assert text in self.shown, self.shown
        return text in self.shown

    def end(self):
        """Interrupt it."""
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def terminal(offline):
    """Commands at a terminal; all are ended."""
    begun = []

    def run(*arguments):
        begun.append(Terminal(offline.folder, *arguments))
        return begun[-1]

    yield run
    for each in begun:
        each.end()


def test_what_people_get(terminal, path):
    """What is recent, and that there is more."""
    screen = terminal()
    eventually(lambda: screen.shows("  200  GET www"))

    assert "edge: the last 10 minutes; --from 2h goes further back" in screen.shown
    assert screen.shown.count("  GET ") == 2
    assert "  503  GET www.example.com/blog/a%20b?x=1  3.1ms  hit  shop/main" in screen.shown


def test_following_at_a_terminal(terminal, path):
    """The last lines, then each as it comes, over a rotation."""
    screen = terminal("--follow")
    eventually(lambda: screen.shows("blog/main"))
    with path.open("ab") as file:
        file.write(ago(0, path="/new"))
    eventually(lambda: screen.shows("/new"))
    path.rename(path.with_name("access-20261126T072959Z.jsonl"))
    path.write_bytes(ago(0, path="/newer"))
    eventually(lambda: screen.shows("/newer"))

    assert screen.shown.count("  GET ") == 6
    assert screen.process.poll() is None


def test_a_reader_that_has_seen_enough(path, offline):
    """`edge logs | head` ends."""
    path.write_bytes(ago(1) * 20_000)
    with subprocess.Popen([EDGE, "logs"], cwd=offline.folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()

        assert process.wait(30) == 1
