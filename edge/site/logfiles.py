"""
Names of access log files: the current one, and what was set aside beside it.

Laws: pure. `access.jsonl` becomes `access-20261126T072959Z.jsonl`: the second (UTC) at which it
ended, and a number where that second has a file already. Compressed copies (`.gz`) of those belong
to the log as well; every other name beside them is somebody else's, and is never deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

STAMP: Final = "%Y%m%dT%H%M%SZ"
ENDED: Final = re.compile(r"-([0-9]{8}T[0-9]{6}Z)(?:-([0-9]{1,9}))?")


class Aside(NamedTuple):
    """A file that was set aside; they sort by their age."""

    ended: float
    """Epoch seconds of its last line."""
    number: int
    """Which one of its second, from 1."""
    name: str


def lock_name(path: Path) -> str:
    """The file beside a log whose lock its writers take turns with."""
    return path.name + ".lock"


def aside_of(path: Path, names: Iterable[str]) -> list[Aside]:
    """Those of `names` that were set aside of the log at `path`, oldest first."""
    found = []
    for name in names:
        rest = name.removesuffix(".gz").removesuffix(path.suffix)
        if not name.startswith(path.stem) or rest + path.suffix != name.removesuffix(".gz"):
            continue
        match = ENDED.fullmatch(rest, len(path.stem))
        ended = None if match is None else parse_stamp(match[1])
        if match is not None and ended is not None:
            found.append(Aside(ended, int(match[2] or 1), name))
    return sorted(found)


def parse_stamp(text: str) -> float | None:
    """Epoch seconds, if it is a time at all."""
    try:
        return datetime.strptime(text, STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def name_aside(path: Path, now: float, taken: Iterable[Aside]) -> str:
    """A name for the log at `path` that ends now, unlike all that are taken."""
    stamp = datetime.fromtimestamp(int(now), UTC).strftime(STAMP)
    second = parse_stamp(stamp)
    number = max((each.number for each in taken if each.ended == second), default=0) + 1
    suffix = "" if number == 1 else f"-{number}"
    return f"{path.stem}-{stamp}{suffix}{path.suffix}"
