"""
What `edge logs` prints: lines for people, and the forms that other programs read.

Laws: as in `report`; nothing that a client sent reaches a terminal as it is.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final

from edge.report import counted, shown, table
from edge.site.logforms import FORMS, UNREADABLE
from edge.site.logline import Entry, decode_entry, target_of

LISTED: Final = 1000
"""Rows of an answer that a person gets to see."""


def lines(batches: Iterable[list[bytes]], form: str, *, is_live: bool) -> int:
    """Lines of JSON, in a form."""
    out = sys.stdout.buffer
    render = RENDERERS.get(form, render_json)
    if form in FORMS:
        write(out, FORMS[form].header)
    for batch in batches:
        write(out, render(batch))
        if is_live:
            out.flush()
    out.flush()
    return 0


def write(out: BinaryIO, data: bytes) -> None:
    """All of it: with PYTHONUNBUFFERED a pipe may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def render_json(batch: list[bytes]) -> bytes:
    """As they are."""
    return b"\n".join([*batch, b""])


def render_csv(batch: list[bytes]) -> bytes:
    """Rows."""
    return b"".join(FORMS["csv"].make(batch)[0])


def render_combined(batch: list[bytes]) -> bytes:
    """As Apache writes them."""
    return b"".join(FORMS["combined"].make(batch)[0])


def render_text(batch: list[bytes]) -> bytes:
    """For people."""
    return "".join(shown(text).replace("\n", "�") + "\n" for text in texts(batch)).encode()


def texts(batch: list[bytes]) -> Iterator[str]:
    """One line each, of those that can be read."""
    for line in batch:
        try:
            yield text_of(decode_entry(line))
        except UNREADABLE:
            continue


def text_of(entry: Entry) -> str:
    """Time, status, method, address, duration, verdict, app and branch."""
    moment = entry.time[:23].replace("T", " ")
    asked = f"{entry.method or '-'} {entry.host or ''}{target_of(entry)}"
    where = f"{entry.app}/{entry.branch}" if entry.app else "-"
    spent = f"{entry.total * 1000:.1f}ms" + ("" if entry.complete else " (not sent whole)")
    return f"{moment}  {entry.status:03d}  {asked}  {spent}  {entry.cache or '-'}  {where}"


RENDERERS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "text": render_text,
    "csv": render_csv,
    "combined": render_combined,
}


def answer(names: list[str], batches: Iterator[list[tuple[Any, ...]]], form: str) -> int:
    """The rows of an answer: a table, CSV, or an object a line."""
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for rows in batches:
            writer.writerows(rows)
        return 0
    if form == "json":
        for rows in batches:
            for row in rows:
                print(json.dumps(dict(zip(names, map(plain, row), strict=True)), default=str))
        return 0
    found: list[tuple[str, ...]] = []
    for rows in batches:
        found += [tuple(map(cell, row)) for row in rows]
        if len(found) > LISTED:
            break
    if names:
        table(names, found[:LISTED])
    if len(found) > LISTED:
        print(f"… and more than these {LISTED} rows; --json has all of them", file=sys.stderr)
    return 0


def plain(value: object) -> object:
    """A value that JSON has; times as the log writes them."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def cell(value: object) -> str:
    """A value for people."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def recent() -> None:
    """That this is not all there is."""
    print("edge: the last 10 minutes; --from 2h goes further back", file=sys.stderr)


def trouble(skipped: int, damaged: list[str]) -> None:
    """What could not be read."""
    for each in damaged:
        print(shown(f"edge: {each}"), file=sys.stderr)
    if skipped:
        print(f"edge: {counted(skipped, 'line')} could not be read", file=sys.stderr)
