"""SQL over the access log, and what SQL may not do."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from edge.control import logquery
from edge.control.logquery import COLUMNS, LogTable
from edge.errors import EdgeError
from edge.site.logline import Entry
from tests.support_logs import FULL, line


def lines(*changes):
    """Lines without their newlines, as a reader has them."""
    return [line(**each)[:-1] for each in changes]


def ask(table, sql):
    """All rows of an answer."""
    names, batches = table.ask(sql)
    return names, [row for rows in batches for row in rows]


@pytest.fixture
def table():
    """A few requests."""
    statuses = [{"status": status, "path": f"/{status}é"} for status in (200, 200, 404, 500)]
    with LogTable([lines(*statuses[:2]), [], lines(*statuses[2:])]) as found:
        yield found


def test_the_table_has_the_keys_of_a_line():
    """Numbers are numbers, times are times."""
    with LogTable([lines({})]) as table:
        names, rows = ask(table, "SELECT * FROM log")

    assert names == list(COLUMNS) == list(Entry.__struct_fields__) == list(FULL)
    assert rows[0][0].isoformat() == "2026-11-26T07:29:59.123000"
    assert rows[0][1:] == tuple(FULL.values())[1:]


def test_questions(table):
    """Whatever SQL can ask."""
    sql = "SELECT status, count(*) AS requests FROM log GROUP BY status ORDER BY status"

    assert ask(table, sql) == (["status", "requests"], [(200, 2), (404, 1), (500, 1)])
    assert ask(table, "SELECT path FROM log WHERE status = 404") == (["path"], [("/404é",)])
    assert ask(table, "SELECT count(*) FROM log WHERE time > '2027-01-01'")[1] == [(0,)]


def test_an_empty_log():
    """Is a table all the same."""
    with LogTable([]) as table:
        assert ask(table, "SELECT count(*) FROM log")[1] == [(0,)]


def test_many_lines_go_through_a_pipe():
    """More than it holds, and than an answer brings at a time."""
    with LogTable([lines({})] * 5000) as table:
        assert len(ask(table, "SELECT path FROM log")[1]) == 5000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM read_csv('/proc/self/fd/0')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "COPY log TO '{}/out'",
        "COPY (SELECT 1) TO '/dev/stderr'",
        "EXPORT DATABASE '{}/out'",
        "ATTACH '{}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_json('https://example.com/')",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SET temp_directory = '{}'",
        "PRAGMA profiling_output = '{}/out'",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "SELECT * FROM names",
        "SELECT getenv('HOME')",
    ],
)
def test_sql_reaches_nothing_but_the_log(table, tmp_path, sql):
    """No file, network, extension or variable of this program; and it cannot allow itself."""
    names = [1]

    with pytest.raises(EdgeError, match=r"^--sql: "):
        ask(table, sql.format(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert ask(table, "SELECT count(*) FROM log")[1] == [(4,)]
    assert names == [1]


def test_a_question_that_is_none(table):
    """Says in one line what is wrong, also where that shows while it is answered."""
    with pytest.raises(
        EdgeError, match=r"^--sql: Parser Error: syntax error at or near \"SELEC\"$"
    ):
        ask(table, "SELEC 1")
    with pytest.raises(EdgeError, match=r"^--sql: .*abc"):
        ask(table, "SELECT CAST(x AS INTEGER) FROM (VALUES ('1'), ('abc')) AS t(x)")
    assert ask(table, "CREATE TABLE mine AS SELECT 1 AS one; SELECT * FROM mine") == (
        ["one"],
        [(1,)],
    )
    with pytest.raises(EdgeError, match="there is no question"):
        ask(table, " ; ")
    assert ask(table, "CREATE TABLE nothing (n INTEGER)")[1] == []


def test_nothing_is_left(table, tmp_path, monkeypatch):
    """The database and what it spilled go with the table; with a reader that fails too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken():
        yield lines({})
        raise OSError(5, "Input/output error")

    with LogTable([lines({})]):
        assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="Input/output"):
        LogTable(broken())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(monkeypatch):
    """Or whatever else the database says while it is filled; the pipe ends, and nobody waits."""
    monkeypatch.setattr(logquery, "MEMORY", "nothing")
    with pytest.raises(EdgeError, match="the log cannot be loaded"):
        LogTable([])
    monkeypatch.setattr(logquery, "MEMORY", "1GiB")
    monkeypatch.setitem(COLUMNS, "time", "NONSENSE")
    with pytest.raises(EdgeError, match="the log cannot be loaded"):
        LogTable([lines({})] * 5000)


def test_without_duckdb(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(EdgeError, match=r"pip install 'edge\[logs\]'"):
        LogTable([])


def test_the_extra_is_declared():
    """As the message has it."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()

    assert 'logs = [\n  "duckdb' in text
    assert msgspec.json.decode(lines({})[0]) == FULL
