"""
Lines of an access log in its other forms, read back as entries: what they still say of one.

Laws: pure; undoes what `logline` does, and nothing else: logs of other programs are read by
`control.records`. What a form does not hold is nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from edge.site.logforms import FormName
from edge.site.logline import COLUMNS, CSV_HEADER, MONTHS, NOTHING, Entry

COMBINED: Final = re.compile(
    rb"([^ ]*+) - - \[([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9:]{8}) \+0000\] "
    rb'"((?:[^"\\]|\\.)*+)" ([0-9]{3}) ([0-9]++) "((?:[^"\\]|\\.)*+)" "((?:[^"\\]|\\.)*+)"'
)
ESCAPED: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)

Read = Callable[[bytes], Entry | None]
"""
A line, with its newline or without → its entry; None for a header.

Raises:
    ValueError: it is no such line.
"""


def read_row(line: bytes) -> Entry | None:
    """A row of our CSV."""
    if line == CSV_HEADER.rstrip():
        return None
    cells = line.rstrip(b"\n").split(b",")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} fields where {len(COLUMNS)} should be")
    row = dict(zip(COLUMNS, map(plain, cells), strict=True))
    protocol = row["cs-protocol-version"] or ""
    return Entry(
        time=f"{row['date']}T{row['time']}.000Z",
        id=row["x-edge-request-id"] or "",
        client=row["c-ip"] or "",
        port=whole(row["c-port"]),
        method=row["cs-method"] or "",
        scheme=row["cs-protocol"] or "",
        protocol="HTTP/2" if protocol == "HTTP/2.0" else protocol,
        host=row["x-host-header"],
        path=row["cs-uri-stem"] or "",
        query=row["cs-uri-query"],
        status=whole(row["sc-status"]) or 0,
        bytes_out=whole(row["sc-bytes"]) or 0,
        bytes_in=whole(row["cs-bytes"]) or 0,
        ttfb=None if row["time-to-first-byte"] is None else float(row["time-to-first-byte"]),
        total=float(row["time-taken"] or 0),
        referer=row["cs(Referer)"],
        user_agent=row["cs(User-Agent)"],
        forwarded_for=row["x-forwarded-for"],
        tls=row["ssl-protocol"],
        cipher=row["ssl-cipher"],
        type=row["sc-content-type"],
        length=whole(row["sc-content-len"]),
    )


def plain(cell: bytes) -> str | None:
    """What a cell says."""
    return None if cell == NOTHING.encode() else unquote_to_bytes(cell).decode("latin-1")


def whole(cell: str | None) -> int | None:
    """A whole number, if there is one."""
    return None if cell is None else int(cell)


def read_combined(line: bytes) -> Entry | None:
    """A line of our combined log."""
    found = COMBINED.fullmatch(line.rstrip(b"\n"))
    if found is None:
        raise ValueError("the line is not in combined format")
    client, day, month, year, clock, request, status, size, referer, agent = found.groups()
    number = MONTHS.index(month.decode()) + 1
    method, target, protocol = b"", b"", b""
    if request != NOTHING.encode():
        method, target, protocol = request.split(b" ")
    path, mark, query = unescaped(target).partition("?")
    return Entry(
        time=f"{year.decode()}-{number:02d}-{day.decode()}T{clock.decode()}.000Z",
        client="" if client == NOTHING.encode() else unescaped(client),
        method=unescaped(method),
        protocol=unescaped(protocol),
        path=path,
        query=query if mark else None,
        status=int(status),
        bytes_out=int(size),
        referer=None if referer == NOTHING.encode() else unescaped(referer),
        user_agent=None if agent == NOTHING.encode() else unescaped(agent),
    )


def unescaped(value: bytes) -> str:
    """What was escaped by a backslash."""
    return ESCAPED.sub(unescape, value).decode("latin-1")


def unescape(found: re.Match[bytes]) -> bytes:
    """One byte."""
    digits, sign = found.groups()
    return sign if digits is None else bytes.fromhex(digits.decode())


READERS: Final[dict[FormName, Read]] = {"csv": read_row, "combined": read_combined}


def as_line(entry: Entry) -> bytes:
    """An entry as a line of JSON, without its newline, escaped as workers do it."""
    return json.dumps(msgspec.to_builtins(entry), separators=(",", ":")).encode()
