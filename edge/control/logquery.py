"""
SQL over the lines of an access log, by DuckDB.

Laws: what is asked sees a table `log` and nothing else. The lines go into a database of its own in
a temporary folder, through a pipe; then DuckDB is shut off from every file, network and extension,
and its settings are locked, before it gets to see the question. It takes `MEMORY` at most, and
the rest of it is on the disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edge.errors import EdgeError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY: Final = "1GiB"
ROWS: Final = 1000
"""Rows fetched at a time."""

COLUMNS: Final = {
    "time": "TIMESTAMP", "id": "VARCHAR", "client": "VARCHAR", "port": "INTEGER",
    "method": "VARCHAR", "scheme": "VARCHAR", "protocol": "VARCHAR", "host": "VARCHAR",
    "path": "VARCHAR", "query": "VARCHAR", "status": "INTEGER", "bytes_out": "BIGINT",
    "bytes_in": "BIGINT", "ttfb": "DOUBLE", "total": "DOUBLE", "referer": "VARCHAR",
    "user_agent": "VARCHAR", "forwarded_for": "VARCHAR", "country": "VARCHAR", "app": "VARCHAR",
    "branch": "VARCHAR", "deployment": "VARCHAR", "rule": "INTEGER", "cache": "VARCHAR",
    "origin": "VARCHAR", "tls": "VARCHAR", "cipher": "VARCHAR", "type": "VARCHAR",
    "length": "BIGINT", "range": "VARCHAR", "complete": "BOOLEAN",
}  # fmt: skip
"""Those of the table: the keys of a line, in their order."""

MISSING: Final = (
    "--sql needs DuckDB, which is not installed: pip install 'edge[logs]' (or pip install duckdb)"
)


class LogTable:
    """The lines as a table that can be asked; `with` ends it and its files."""

    def __init__(self, batches: Iterable[list[bytes]]) -> None:
        try:
            import duckdb  # noqa: PLC0415 - an extra: all else works without it
        except ImportError:
            raise EdgeError(MISSING) from None
        self._mistake = duckdb.Error
        self._folder = tempfile.TemporaryDirectory(prefix="edge-logs-")
        try:
            self._connection = duckdb.connect(
                Path(self._folder.name, "edge.duckdb"),
                config={
                    "memory_limit": MEMORY,
                    "temp_directory": os.fspath(Path(self._folder.name, "spilled")),
                    "preserve_insertion_order": "false",
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "allow_community_extensions": "false",
                    "python_enable_replacements": "false",
                },
            )
            self._load(batches)
        except BaseException as error:
            self._folder.cleanup()
            if isinstance(error, duckdb.Error):
                raise EdgeError(f"the log cannot be loaded: {first_line(error)}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._folder.cleanup()

    def _load(self, batches: Iterable[list[bytes]]) -> None:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
        with Pump(batches) as pump:
            self._connection.execute(
                f"CREATE TABLE log AS SELECT * FROM read_json('{pump.place}', "  # noqa: S608 - ours
                f"format='newline_delimited', ignore_errors=true, columns={{{columns}}})"
            )
        shut_off(self._connection)

    def ask(self, sql: str) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
        """
        The columns of an answer, and its rows, some at a time.

        Raises:
            EdgeError: the question is none, or reaches for what it may not.
        """
        if not sql.strip(" ;\n\t"):
            raise EdgeError("--sql: there is no question; ask SELECT count(*) FROM log")
        try:
            self._connection.execute(sql)
            names = [each[0] for each in self._connection.description or ()]
        except self._mistake as error:
            raise EdgeError(f"--sql: {first_line(error)}") from error
        return names, self._rows()

    def _rows(self) -> Iterator[list[tuple[Any, ...]]]:
        try:
            while rows := self._connection.fetchmany(ROWS):
                yield rows
        except self._mistake as error:
            raise EdgeError(f"--sql: {first_line(error)}") from error


def shut_off(connection: DuckDBPyConnection) -> None:
    """From now on it reaches nothing but its own tables, and nobody can change that."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def first_line(error: Exception) -> str:
    """What it says, without drawings."""
    return str(error).strip().partition("\n")[0]


class Pump:
    """Lines on their way through a pipe, by a thread; its error is raised at the end."""

    def __init__(self, batches: Iterable[list[bytes]]) -> None:
        self._batches = batches
        self._error: BaseException | None = None
        self._out, self._into = os.pipe()
        self.place = f"/proc/self/fd/{self._out}"
        self._thread = Thread(target=self._run, name="pump", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self._out)  # where nobody reads any more, writing ends
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with open(self._into, "wb", buffering=0) as into:  # noqa: PTH123 - a descriptor
                for lines in self._batches:
                    write_whole(into.fileno(), b"\n".join([*lines, b""]))
        except BrokenPipeError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            self._error = error


def write_whole(descriptor: int, data: bytes) -> None:
    """Write it all."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
