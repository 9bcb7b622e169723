"""
The command line of a script whose commands are functions `(chosen, work) -> None`.

A command's help is its function's docstring, its options are whole numbers, and everything that it
writes lies in a temporary folder that goes with it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from processes import NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - no other name
    Command = Callable[[argparse.Namespace, Path], None]


def make_parser(description: str | None) -> tuple[argparse.ArgumentParser, Subparsers]:
    """A parser, and what takes its commands."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser, parser.add_subparsers(dest="command", required=True)


def add_command(commands: Subparsers, name: str, function: Command, **options: int) -> None:
    """One command, with the defaults of its options."""
    sub = commands.add_parser(name, help=str(function.__doc__).strip())
    for option, default in options.items():
        sub.add_argument(f"--{option}", type=int, default=default, help=f"({default:,})")
    sub.set_defaults(function=function)


def run(chosen: argparse.Namespace) -> int:
    """0 when everything could be measured, whatever the figures."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix=f"edge-{chosen.command}-") as folder:
        try:
            chosen.function(chosen, Path(folder))
        except (NotStarted, OSError) as problem:
            print(f"{chosen.command}: {problem}", file=sys.stderr)
            return 1
    return 0


def raise_file_limit(wanted: int) -> None:
    """Room for that many descriptors, here and in every process started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotStarted(f"the limit of open files is {hard}: raise it to {wanted} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def print_circumstances() -> None:
    """What figures depend on beside the code: other work, and whose build of Python runs Edge."""
    print(f"load average before: {os.getloadavg()[0]:.2f} (other work on the machine blurs this)")
    source = importlib.util.find_spec("edge.node.connection")
    is_compiled = source is not None and not str(source.origin).endswith(".py")
    how = ", the hot modules compiled" if is_compiled else ""
    print(f"Python {platform.python_version()} of {sys.base_prefix}{how}")
