"""
What the commands about rules print: mistakes, trails, replays, imports.

Laws: as in `report`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.control.configuration import Configuration, as_json
from edge.control.imported import Note
from edge.control.operations import Document
from edge.control.replay import Replayed
from edge.report import counted, line, shown, table

LISTED = 50
"""Changes of a replay that a person gets to see; `--json` has more."""


def checked(found: Configuration, apps: int, *, strict: bool, as_document: bool) -> int:
    """The result of a check of so many apps."""
    errors, warnings = found.errors, found.warnings
    code = 1 if errors or (strict and warnings) else 0
    if as_document:
        document = {
            "errors": [as_json(error) for error in errors],
            "warnings": [as_json(warning) for warning in warnings],
            "apps": apps,
        }
        print(json.dumps(document))
        return code
    for error in errors:
        print(shown(str(error)), file=sys.stderr)
    for warning in warnings:
        print(shown(str(warning)).replace(": ", ": warning: ", 1), file=sys.stderr)
    if not errors:
        mistakes = counted(len(warnings), "warning") if warnings else "no mistakes"
        print(f"{counted(apps, 'app')}, {mistakes}")
    return code


def explained(trail: Document, as_document: bool) -> int:
    """A trail, from the host to the cache."""
    if as_document:
        return line("", trail, as_document)
    print(shown(f"{trail['method']} {trail['url']}"))
    for step in trail["steps"]:
        print(shown(f"  {step}"))
    _print_answer(trail)
    return 0


def _print_answer(trail: Document) -> None:
    place = trail["location"] or trail["file"] or ", ".join(trail["origins"])
    print(shown(f"  answer: {trail['status'] or 'from'} {place}".rstrip()))
    if trail["headers"]:
        print(shown(f"  header patterns: {', '.join(trail['headers'])}"))
    for name, value in trail["fields"]:
        print(shown(f"  {name}: {value}"))
    if trail["verdict"]:
        print(shown(f"  cache: {trail['verdict']}"))
    for each in trail["stored"]:
        print(shown(f"  {each}"))


def replayed(found: Replayed, skipped: int, examples: Sequence[str], as_document: bool) -> int:
    """What a replay found, most frequent first."""
    if as_document:
        document = msgspec.to_builtins(found) | {"skipped": skipped, "examples": list(examples)}
        return line("", document, as_document)
    requests = counted(found.requests, "request")
    print(f"{requests}, {found.changed} would be answered differently")
    rows = [(str(each.count), each.request, each.now, each.then) for each in found.changes[:LISTED]]
    if rows:
        table(("requests", "request", "now", "then"), rows)
    if len(found.changes) > LISTED or found.unlisted:
        print(f"… and {len(found.changes) - len(rows)} more addresses; --json lists them")
    for example in examples:
        print(shown(f"edge: {example}"), file=sys.stderr)
    if skipped:
        print(f"edge: {counted(skipped, 'line')} could not be read", file=sys.stderr)
    if found.unclaimed:
        requests, hosts = counted(found.unclaimed, "request"), ", ".join(found.hosts)
        print(f"edge: {requests} named hosts that no app has, such as {hosts}", file=sys.stderr)
    return 0


def imported(app: str, written: Sequence[Path], notes: Sequence[Note], as_document: bool) -> int:
    """What was written, and what could not be carried over."""
    if as_document:
        files = [str(path) for path in written]
        listed = [msgspec.to_builtins(note) for note in notes]
        return line("", {"app": app, "files": files, "notes": listed}, as_document)
    for path in written:
        print(f"wrote {path}")
    for note in notes:
        print(shown(str(note)), file=sys.stderr)
    if notes:
        things = counted(len(notes), "note")
        print(f"edge: {things} on what is not carried over as it was", file=sys.stderr)
    print(f"next: edge check {app}")
    return 0
