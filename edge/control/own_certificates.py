"""
The operator's own certificates: `NAME.pem` in a folder, the key and its chain in any order.

Laws: reads, never writes. A file that cannot be served is a mistake with its file, its line and
what to do; the others are not touched by it. `*.example.com.pem` and `_.example.com.pem` both are
the wildcard. Every name of a certificate counts, not only the one that its file is called by.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from edge.control import chains
from edge.control.chains import BadPem, Chain
from edge.errors import ConfigError
from edge.site.certificates import covers

SUFFIX: Final = ".pem"

Marks = frozenset[tuple[str, int, int, int]]
"""Name, inode, time of change and size of each file: another folder has others."""


class Found(msgspec.Struct):
    """What is in the folder."""

    good: dict[str, bytes] = {}
    """Name → key and chain in PEM, in order."""
    present: set[str] = set()
    """The names of all files, those with a mistake too."""
    mistakes: list[ConfigError] = []
    warnings: list[ConfigError] = []

    def texts(self) -> list[str]:
        """What is to be told, for comparing with what was."""
        return [str(each) for each in (*self.warnings, *self.mistakes)]


def marks_of(folder: Path) -> Marks:
    """What tells whether anything in the folder is another than before. Raises OSError."""
    marks = set()
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            marks.add((path.name, status.st_ino, status.st_mtime_ns, status.st_size))
    return frozenset(marks)


def _files(folder: Path) -> list[Path]:
    """Those that should be certificates. A folder that is not there has none; raises OSError."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if path.suffix == SUFFIX and path.name[0] != "."]


def read_folder(folder: Path, shown: str, now: float) -> Found:
    """Every certificate of a folder; `shown` is how it is called in messages. Raises OSError."""
    found = Found()
    for path in _files(folder):
        _add(path, f"{shown}/{path.name}", now, found)
    return found


def _add(path: Path, shown: str, now: float, found: Found) -> None:
    name = name_of(path)
    if not name:
        hint = "call it by the host, such as www.example.com.pem or _.example.com.pem"
        found.mistakes.append(ConfigError(shown, 1, 1, "the file is not called by a host", hint))
        return
    if name in found.present:
        hint = "leave one of them"
        found.mistakes.append(ConfigError(shown, 1, 1, f"there are two files for {name}", hint))
        return
    found.present.add(name)
    try:
        chain = _read(path, shown)
        _judge(chain, name, shown, now)
    except ConfigError as mistake:
        found.mistakes.append(mistake)
        return
    found.good[name] = chain.encode()
    found.warnings += _doubts(path, chain, shown)


def name_of(path: Path) -> str:
    """The host or wildcard that a file is for; empty where there is none."""
    stem = path.name.removesuffix(SUFFIX)
    return chains.canonical_name("*" + stem[1:] if stem.startswith("_.") else stem)


def _read(path: Path, shown: str) -> Chain:
    try:
        with path.open("rb") as file:
            pem = file.read(chains.MAX_PEM + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigError(shown, 1, 1, problem, "check its permissions") from error
    try:
        return chains.parse_chain(pem)
    except BadPem as error:
        line = pem.count(b"\n", 0, error.offset) + 1
        raise ConfigError(shown, line, 1, error.problem, error.hint) from error


def _judge(chain: Chain, name: str, shown: str, now: float) -> None:
    """Raises ConfigError for a certificate that no client would accept for the name."""
    if not any(covers(each, name) for each in chain.names):
        problem = f"the certificate does not cover {name}: it names {', '.join(chain.names[:5])}"
        raise ConfigError(shown, 1, 1, problem, "call the file by one of its names")
    if now >= chain.not_after:
        problem = f"the certificate expired on {day(chain.not_after)}"
        raise ConfigError(shown, 1, 1, problem, "put a renewed one here, or delete the file")
    if now < chain.not_before:
        problem = f"the certificate is not valid before {day(chain.not_before)}"
        raise ConfigError(shown, 1, 1, problem, "is the node's clock right? else wait with it")


def _doubts(path: Path, chain: Chain, shown: str) -> list[ConfigError]:
    """What is right and probably not what was meant."""
    doubts = []
    if path.stat().st_mode & 0o077:
        problem = "others on this machine may read its private key"
        doubts.append(ConfigError(shown, 1, 1, problem, f"chmod 600 {shown}"))
    if chain.unrelated:
        problem = "it has certificates that are no part of the chain; they are not sent"
        doubts.append(ConfigError(shown, 1, 1, problem, "take them out"))
    if not chain.issuers and chain.leaf.issuer != chain.leaf.subject:
        problem = "it has no intermediate certificate; some clients will not trust it"
        doubts.append(ConfigError(shown, 1, 1, problem, "append the issuer's, as it sent them"))
    return doubts


def day(epoch: float) -> str:
    """A date for people."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
