"""What tests of the access log share: its lines, and what lies on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.site.logfiles import aside_of
from tests.support import eventually

TIME = "2026-11-26T07:29:59.123Z"

FULL = {
    "time": TIME,
    "id": "01J5EXAMPLE",
    "client": "203.0.113.40",
    "port": 50122,
    "method": "GET",
    "scheme": "https",
    "protocol": "HTTP/1.1",
    "host": "www.example.com",
    "path": "/blog/a%20b",
    "query": "x=1",
    "status": 200,
    "bytes_out": 6110,
    "bytes_in": 827,
    "ttfb": 0.001234,
    "total": 0.003111,
    "referer": "https://example.org/",
    "user_agent": "curl/8",
    "forwarded_for": None,
    "country": "US",
    "app": "shop",
    "branch": "main",
    "deployment": "20261126-072900-5569a5",
    "rule": None,
    "cache": "hit",
    "origin": None,
    "tls": "TLSv1.3",
    "cipher": "TLS_AES_128_GCM_SHA256",
    "type": "text/html",
    "length": 5800,
    "range": None,
    "complete": True,
}
"""A line with all its keys, in their order."""


def line(**changes: object) -> bytes:
    """A line as a worker writes it."""
    return json.dumps({**FULL, **changes}, separators=(",", ":")).encode() + b"\n"


def numbered(first: int, count: int, size: int = 100) -> list[bytes]:
    """Small lines of one size that tell each other apart by their id."""
    made = []
    for number in range(first, first + count):
        text = f'{{"time":"{TIME}","id":"{number:08d}","path":"/","pad":""}}\n'
        made.append(text.replace('"pad":""', f'"pad":"{"x" * (size - len(text))}"').encode())
    return made


def files_of(path: Path) -> list[Path]:
    """All files of a log, oldest first, the current one last."""
    names = [each.name for each in path.parent.iterdir()]
    aside = [path.with_name(each.name) for each in aside_of(path, names)]
    return [*aside, path] if path.exists() else aside


def lines_of(path: Path) -> list[bytes]:
    """All lines of all files; each has to be whole."""
    return b"".join(eventually(lambda: contents(path))).splitlines()


def entries_of(path: Path) -> list[dict[str, Any]]:
    """What all lines of all files say, even of a file that is being written to."""
    return [json.loads(each) for each in lines_of(path)]


def contents(path: Path) -> list[bytes] | None:
    """What all files hold; nothing while one is being written to or set aside."""
    files = files_of(path)
    try:
        found = [file.read_bytes() for file in files]
    except FileNotFoundError:
        return None
    is_whole = all(each.endswith(b"\n") for each in found if each)
    return [b"", *found] if is_whole and files_of(path) == files else None


def ids(path: Path) -> list[int]:
    """The ids of all lines of all files."""
    return [int(each["id"]) for each in entries_of(path)]


def total(path: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in files_of(path))
