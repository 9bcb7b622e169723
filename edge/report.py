"""
What commands print: tables and sentences for people, one JSON document for machines.

Laws: every function returns the exit code. Progress is a bar on a terminal, lines elsewhere, and
nothing with `--json`. Errors go to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from edge.control.changes import Refused, origin_of
from edge.control.client import Refusal
from edge.control.configuration import as_json
from edge.control.operations import reloaded
from edge.errors import ConfigError
from edge.site.generation import Generation
from edge.site.settings import Settings

Document = dict[str, Any]

LINE_EVERY = 2.0
"""Seconds between progress lines where there is no terminal."""


def line(text: str, document: Document, as_document: bool) -> int:
    """One sentence, or the document."""
    print(json.dumps(document) if as_document else text)
    return 0


def failure(text: str, as_document: bool) -> int:
    """One clear line on stderr."""
    print(json.dumps({"error": text}) if as_document else f"edge: {text}", file=sys.stderr)
    return 1


def refusal(refused: Refused | Refusal, as_document: bool) -> int:
    """Located mistakes, one a line, and what was kept."""
    if isinstance(refused, Refused):
        errors, kept, document = refused.errors, refused.kept, refused_document(refused)
    else:
        errors, document = refused.mistakes(), refused.document
        kept = document.get("kept", [])
    if as_document:
        print(json.dumps(document), file=sys.stderr)
        return 1
    for error in errors:
        print(error, file=sys.stderr)
    if kept:
        print(f"edge: kept as they were: {', '.join(kept)}", file=sys.stderr)
    if not errors:
        print(f"edge: {refused}", file=sys.stderr)
    return 1


def refused_document(refused: Refused) -> Document:
    """The document of a refused reload."""
    errors = [as_json(error) for error in refused.errors]
    return {"errors": errors, "kept": refused.kept, **reloaded(refused.reloaded)}


def serving(settings: Settings, generation: Generation) -> None:
    """What a node that just began to serve says."""
    scheme, port = origin_of(settings)
    for address in (*settings.listen.https, *settings.listen.http):
        print(f"edge: serving on {address} ({len(generation.apps)} apps)")
    print(f"edge: admin API on {settings.listen.admin}")
    for app in list(generation.apps)[:10]:
        print(f"edge: {scheme}://main.{app}.{settings.default_domain}{port}")
    sys.stdout.flush()


# Progress


class Progress(Protocol):
    """Where a long command says how far it is."""

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase of `total` bytes."""
        ...

    def count(self, files: int, size: int) -> None:
        """So many files and bytes were read."""
        ...

    def advance(self, size: int) -> None:
        """So many more bytes are done."""
        ...


@contextmanager
def progress(as_document: bool) -> Iterator[Progress]:
    """A bar on a terminal, lines elsewhere, nothing for machines."""
    if as_document:
        yield Silence()
    elif sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Bar(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as bar:
            yield BarProgress(bar)
    else:
        yield LineProgress()


class Silence:
    """No progress."""

    def phase(self, name: str, total: int = 0) -> None:
        """Say nothing."""

    def count(self, files: int, size: int) -> None:
        """Say nothing."""

    def advance(self, size: int) -> None:
        """Say nothing."""


class BarProgress:
    """A bar a phase."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def phase(self, name: str, total: int = 0) -> None:
        """A new bar."""
        self._bar.update(self._task, visible=False)
        self._task = self._bar.add_task(name, total=total or None)

    def count(self, files: int, size: int) -> None:
        """Move the bar to an absolute place."""
        self._bar.update(self._task, completed=size, description=f"reading {files} files")

    def advance(self, size: int) -> None:
        """Move the bar on."""
        self._bar.advance(self._task, size)


class LineProgress:
    """A line now and then."""

    def __init__(self) -> None:
        self._name = ""
        self._total = 0
        self._done = 0
        self._last = time.monotonic()

    def phase(self, name: str, total: int = 0) -> None:
        """A line for the phase."""
        self._name, self._total, self._done = name, total, 0
        if name != "sending" or total:
            print(f"{name} {in_bytes(total)}" if total else name, file=sys.stderr)

    def count(self, files: int, size: int) -> None:
        """Where reading is."""
        self._say(f"{self._name}: {files} files, {in_bytes(size)}")

    def advance(self, size: int) -> None:
        """Where sending is."""
        self._done += size
        self._say(f"{self._name}: {in_bytes(self._done)} of {in_bytes(self._total)}")

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last > LINE_EVERY:
            self._last = now
            print(text, file=sys.stderr)


# Results


def deployed(served: Document, files: int, sent: int, as_document: bool) -> int:
    """A deployment that serves."""
    if as_document:
        return line("", served | {"files": files, "sent": sent}, as_document)
    print(f"deployed {served['id']}: {files} files, {sent} new")
    return _print_urls(served)


def uploaded(begun: Document, sent: int, as_document: bool) -> int:
    """A deployment that waits for its activation."""
    text = f"uploaded {begun['id']}: {sent} new files; serve it with `edge activate {begun['id']}`"
    return line(text, {"id": begun["id"], "sent": sent}, as_document)


def activated(served: Document, as_document: bool) -> int:
    """A deployment that serves now."""
    if as_document:
        return line("", served, as_document)
    print(f"{served['id']} serves branch {served['branch']} of {served['app']}")
    return _print_urls(served)


def _print_urls(served: Document) -> int:
    for url in served["urls"]:
        print(f"  {url}")
    return 0


def deployments(document: Document, as_document: bool) -> int:
    """A branch's deployments, newest first."""
    if as_document:
        return line("", document, as_document)
    table = Table("", "id", "created (UTC)", "files", "size", "message", box=None)
    for each in document["deployments"]:
        table.add_row(
            "*" if each["active"] else "",
            each["id"],
            when(each["created"]),
            str(each["files"]),
            in_bytes(each["bytes"]),
            each["message"],
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def branches(document: Document, as_document: bool) -> int:
    """An app's branches."""
    if as_document:
        return line("", document, as_document)
    table = Table("branch", "label", "deployment", "URL", box=None)
    for each in document["branches"]:
        urls = each["urls"] or [""]
        table.add_row(each["branch"], each["label"], each["deployment"] or "none", urls[0])
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def status(document: Document, as_document: bool) -> int:
    """What a node is doing."""
    if as_document:
        return line("", document, as_document)
    print(f"generation {document['generation']}, {document['apps']} apps")
    table = Table("worker", "generation", "connections", "responses", "errors", "cache", box=None)
    for each in document["workers"]:
        table.add_row(
            str(each["pid"]),
            str(each["generation"]),
            str(each["connections"]),
            str(sum(each["responses"].values())),
            str(each["responses"]["5xx"]),
            in_bytes(each["cache"]["bytes"]),
        )
    if document["workers"]:
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    else:
        print("no worker is running")
    return 0


def checked(errors: list[ConfigError], apps: int, as_document: bool) -> int:
    """The result of a check."""
    if as_document:
        print(json.dumps({"errors": [as_json(error) for error in errors], "apps": apps}))
        return 1 if errors else 0
    for error in errors:
        print(error, file=sys.stderr)
    if not errors:
        print(f"{apps} apps, no mistakes")
    return 1 if errors else 0


def in_bytes(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def when(epoch: float) -> str:
    """A time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch))
