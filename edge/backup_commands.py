"""
Commands that save a state folder, and make one of what was saved.

Laws: as in `commands`. Both work on the folder itself, so they run where it is; a backup may be
made while the node runs, a restore may not.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge import report
from edge.control import durable
from edge.control.backup import back_up
from edge.control.backup_format import Folders
from edge.control.configuration import config_root
from edge.control.restore import restore as restore_from
from edge.errors import EdgeError
from edge.nodes import audited, find_settings
from edge.site.places import Places


def backup(options: argparse.Namespace) -> int:
    """Write everything that a node needs to serve as it does into one file."""
    places, folders = find_places(options)
    with (
        audited(places, "backup"),
        report.progress(options.json or options.file == "-") as show,
        output(options.file) as file,
    ):
        front = back_up(places, folders, file, show)
    text = (
        f"saved generation {front.generation}: {front.files} files, {report.in_bytes(front.bytes)}"
    )
    if options.file == "-":
        return report.note(text, options.json)
    return report.line(f"{text}, in {options.file}", msgspec.to_builtins(front), options.json)


def restore(options: argparse.Namespace) -> int:
    """Make the state folder what a backup says."""
    places, folders = find_places(options)
    with (
        audited(places, "restore"),
        report.progress(options.json) as show,
        source(options.file) as file,
    ):
        front, aside = restore_from(places, folders, file, show=show, force=options.force)
    text = f"restored generation {front.generation}, saved {report.when(front.made)} UTC"
    if aside is not None:
        text += f"; what was there is in {places.state / aside}"
    document = {**msgspec.to_builtins(front), "aside": aside}
    return report.line(text, document, options.json)


def find_places(options: argparse.Namespace) -> tuple[Places, Folders]:
    """
    The state folder of this config, and the operator's own.

    Raises:
        EdgeError: another machine's was meant.
    """
    if options.node:
        raise EdgeError("this works on the state folder itself: run it on the node's machine")
    settings, config, places = find_settings(options)
    root = config_root(config).absolute()
    return places, Folders(rules=str(root / settings.apps), certs=str(root / settings.certs))


@contextlib.contextmanager
def output(name: str) -> Iterator[BinaryIO]:
    """Where a backup goes: a file that is there when it is whole, or stdout."""
    if name != "-":
        with durable.replacing(Path(name)) as file:
            yield file
        return
    if sys.stdout.isatty():
        raise EdgeError("a backup is no text: name a file, or pipe it into something")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def source(name: str) -> Iterator[BinaryIO]:
    """Where a backup comes from."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file
