"""
Commands about the access log.

Laws: as in `commands`. They read the files of this machine; no node has to run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

from edge import report_logs
from edge.control import configuration
from edge.control.logquery import LogTable
from edge.control.logs import LogReader, files_aside
from edge.errors import EdgeError
from edge.node.loader import read_document
from edge.nodes import find_settings
from edge.site.generation import Generation
from edge.site.logwindow import Filter, Window, parse_host, parse_moment, parse_statuses

RECENT: Final = 600.0
"""Seconds that somebody at a terminal sees who asks for nothing particular."""


def logs(options: argparse.Namespace) -> int:
    """Lines of a window, in the order of time; or what SQL says about them."""
    form = form_of(options)
    path = find_log(options)
    reader = LogReader(path, window_of(options), filter_of(options))
    if options.sql is not None:
        with LogTable(reader.read()) as table:
            code = report_logs.answer(*table.ask(options.sql), form)
    elif options.follow:
        batches = reader.follow(only_tail=options.first is None)
        code = report_logs.lines(batches, form, is_live=True)
    else:
        code = report_logs.lines(reader.read(), form, is_live=False)
    if not options.json:
        report_logs.trouble(reader.skipped, reader.damaged)
    return code


def form_of(options: argparse.Namespace) -> str:
    """
    In which form the lines are printed, or the answer of SQL.

    Raises:
        EdgeError: options contradict each other.
    """
    if options.node:
        raise EdgeError("logs reads files: run it on the node's own machine, without --node")
    if options.json and options.format not in (None, "json"):
        raise EdgeError(f"--json and --format {options.format} contradict each other: give one")
    if options.follow and (options.last is not None or options.sql is not None):
        raise EdgeError("--follow has no end: leave out --to and --sql")
    if options.branch is not None and options.app is None:
        raise EdgeError("--branch goes with --app: it says whose branch that is")
    if options.sql is not None and options.format == "combined":
        raise EdgeError("an answer of --sql has columns: take --format csv or json")
    if options.json:
        return "json"
    if options.sql is None and not sys.stdout.isatty():
        return options.format or "json"
    return options.format or "text"


def window_of(options: argparse.Namespace) -> Window:
    """
    What is asked for; on a terminal, unless anything is said, what is recent.

    Raises:
        EdgeError: it is no time, or the end comes first.
    """
    now = time.time()
    first = None if options.first is None else parse_moment(options.first, now)
    last = None if options.last is None else parse_moment(options.last, now)
    if first is not None and last is not None and first >= last:
        raise EdgeError("--from is not before --to: there is nothing between them")
    asked = (options.first, options.last, options.sql, options.format)
    if asked == (None,) * 4 and not (options.follow or options.json) and sys.stdout.isatty():
        report_logs.recent()
        first = now - RECENT
    return Window(first=first, last=last)


def filter_of(options: argparse.Namespace) -> Filter:
    """What lines have to be."""
    return Filter(
        app=options.app,
        branch=options.branch,
        host=None if options.host is None else parse_host(options.host),
        statuses=() if options.status is None else parse_statuses(options.status),
    )


def find_log(options: argparse.Namespace) -> Path:
    """
    The file that the node of this config writes: as it serves, or else as `edge.yml` says.

    Raises:
        EdgeError: there is none.
    """
    settings, config, places = find_settings(options)
    root = configuration.config_root(config)
    if places.current.exists():
        serving = read_document(places.current, Generation)
        settings, root = serving.settings, Path(serving.root or root)
    if settings.access_log.path is None:
        raise EdgeError("access_log.path is null in edge.yml: there is no access log")
    path = Path(os.path.realpath(root / settings.access_log.path))
    if not path.exists() and not (path.parent.is_dir() and files_aside(path)):
        raise EdgeError(f"there is no access log at {path}: a node writes it while it serves")
    return path
