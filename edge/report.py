"""
What commands print: tables and sentences for people, one JSON document for machines.

Laws: every function returns the exit code. Progress is a bar on a terminal, lines elsewhere, and
nothing with `--json`. Errors go to stderr; with `--json` their document goes to stdout, as every
other, and one line to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.cells import cell_len, set_cell_size

from edge.control.changes import origin_of
from edge.control.client import Refusal
from edge.control.configuration import as_json
from edge.control.deployments import Missing
from edge.control.operations import refused_document
from edge.control.reload import Refused
from edge.errors import ConfigError, Mistaken, StoreError
from edge.site.generation import Generation
from edge.site.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Document = dict[str, Any]

LINE_EVERY = 2.0
"""Seconds between progress lines where there is no terminal."""


def counted(number: int, noun: str) -> str:
    """`1 app`, `2 apps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def line(text: str, document: Document, as_document: bool) -> int:
    """One sentence, or the document."""
    print(json.dumps(document) if as_document else text)
    return 0


def note(text: str, as_document: bool) -> int:
    """What stdout has no room for, since something else goes there; nothing for machines."""
    if not as_document:
        print(f"edge: {text}", file=sys.stderr)
    return 0


def failure(text: str, as_document: bool) -> int:
    """One clear line on stderr; for machines its document on stdout."""
    if as_document:
        print(json.dumps({"error": text}))
    print(f"edge: {shown(text)}", file=sys.stderr)
    return 1


def refusal(refused: StoreError, as_document: bool) -> int:
    """Located mistakes, one a line, and what was kept; else the one line of a failure."""
    document = refusal_document(refused)
    if as_document:
        print(json.dumps(document))
        print(f"edge: {shown(str(refused))}", file=sys.stderr)
        return 1
    mistakes = refused.errors if isinstance(refused, Mistaken) else []
    mistakes = refused.mistakes() if isinstance(refused, Refusal) else mistakes
    if not mistakes:
        return failure(str(refused), as_document)
    for mistake in mistakes:
        print(shown(str(mistake)), file=sys.stderr)
    if document.get("kept"):
        print(f"edge: kept as they were: {', '.join(document['kept'])}", file=sys.stderr)
    return 1


def refusal_document(refused: StoreError) -> Document:
    """What a machine can act on; `error` is the text that a person gets."""
    document: Document = {"error": str(refused)}
    match refused:
        case Refused():
            document |= refused_document(refused)
        case Mistaken():
            document |= {"errors": [as_json(error) for error in refused.errors]}
        case Missing():
            document |= {"missing": refused.hashes}
        case Refusal():
            document |= refused.document
    return document


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
        with bar() as shown_bar:
            yield BarProgress(shown_bar)
    else:
        yield LineProgress()


def bar() -> Bar:
    """What rich draws on stderr."""
    from rich import console, progress  # noqa: PLC0415 - 40 ms, which only terminals have to wait

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    rates = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    return progress.Progress(*columns, *rates, console=console.Console(stderr=True))


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
    print_warnings(served.get("warnings", ()))
    if not served["configured"]:
        print(
            f"edge: these answer 503: app {served['app']} never had a valid configuration; "
            f"`edge check {served['app']}` says where the mistake is",
            file=sys.stderr,
        )
    return 0


def deployments(document: Document, as_document: bool) -> int:
    """A branch's deployments, newest first."""
    if as_document:
        return line("", document, as_document)
    rows = [
        (
            "*" if each["active"] else "never active" if each.get("waiting") else "",
            each["id"],
            when(each["created"]),
            str(each["files"]),
            in_bytes(each["bytes"]),
            each["message"],
        )
        for each in document["deployments"]
    ]
    return table(("", "id", "created (UTC)", "files", "size", "message"), rows)


def branches(document: Document, as_document: bool) -> int:
    """An app's branches."""
    if as_document:
        return line("", document, as_document)
    rows = [
        (each["branch"], each["label"], each["deployment"] or "none", (each["urls"] or [""])[0])
        for each in document["branches"]
    ]
    return table(("branch", "label", "deployment", "URL"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """
    Columns as wide as their content, two blanks between them and none at the end.

    Nothing is cut or folded, whatever the terminal's width: what is printed is to be copied.
    """
    lines = [[shown(cell).replace("\n", " ") for cell in row] for row in (heads, *rows)]
    widths = [max(cell_len(row[column]) for row in lines) for column in range(len(heads))]
    for row in lines:
        cells = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def shown(text: str) -> str:
    """Text that somebody else wrote, without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)


def status(document: Document, as_document: bool) -> int:
    """What a node is doing."""
    if as_document:
        return line("", document, as_document)
    if "workers" not in document:  # what a scoped token is told
        print(f"generation {document['generation']}")
        return branches(document, as_document)
    print(f"generation {document['generation']}, {document['apps']} apps")
    rows = [
        (
            str(each["pid"]),
            str(each["generation"]),
            str(each["connections"]),
            str(sum(each["responses"].values())),
            str(each["responses"]["5xx"]),
            str(each["slow_patterns"]),
            in_bytes(each["cache"]["bytes"]),
        )
        for each in document["workers"]
    ]
    if rows:
        return table(
            ("worker", "generation", "connections", "responses", "errors", "slow", "cache"), rows
        )
    print("no worker is running")
    return 0


def print_warnings(warnings: Iterable[Document]) -> None:
    """What is right and probably not what was meant."""
    for warning in warnings:
        mistake = ConfigError(**warning)
        print(shown(str(mistake)).replace(": ", ": warning: ", 1), file=sys.stderr)


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
