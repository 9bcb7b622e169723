"""A whole node under any bytes of a client: each request has one answer, one line, and an end."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hpack

from edge.control.passwords import hash_password
from tests.support_memory import MemoryNode, Played
from tests.support_serving import Site
from tests.support_wire import HEADERS, PREFACE, SETTINGS, frame, frames

TREE = {
    "index.html": "home " * 100, "about.html": "about", "docs/index.html": "docs", "a.js": "js",
    "404.html": "nothing", "é.html": "letter", "big.txt": "big " * 20_000,
}  # fmt: skip
RULES = [
    ("/old/<*>", "/new/<*>"),
    ("/go/<a>-<b>", "https://<b>.example.com/<a>", "302"),
    ("/q?id=<x>", "/n/<x>", "307"),
    (r"</^/re/(.*)$/>", "/$1?x=y#z", "302"),
    ("/us", "/about", "302", "<US>"),
    ("/gone", "/about.html", "410"),
    ("/o/<*>", "http://127.0.0.1:1/<*>", "200"),
    ("/in/<*>", "https://locked.site.edge.localhost/<*>", "200"),
    ("/spa/<*>", "/index.html", "fallback"),
]
HEADERS_YML = """
customHeaders:
  - {pattern: '**/*.js', headers: [{key: X-A, value: js}, {key: Cache-Control, value: s-maxage=5}]}
"""
ACCESS = "branches: {{locked: {{access: {{users: {{u: '{}'}}}}}}}}"
SETTINGS_YML = """
proxy: {allow: ["127.0.0.1:1"]}
clients: {trusted_proxies: [192.0.2.0/24], country_header: X-Country}
"""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [A-Z][A-Za-z -]*\r\n")
FIELD_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]*: [!-~](?:[ -~]*[!-~])?\r\n")
"""Stricter than RFC 9110: nothing that we send needs more."""
WITHOUT_CONTENT = {204, 304}


@functools.cache
def node() -> MemoryNode:
    """One for all inputs, as a worker is for all clients."""
    folder = Path(tempfile.mkdtemp(prefix="edge-fuzz-"))
    access = ACCESS.format(hash_password("correct horse"))
    return MemoryNode(folder, prepare, app_yml=access, edge_yml=SETTINGS_YML)


def prepare(site: Site) -> None:
    """Two branches, one behind a password, and rules of every kind."""
    site.write_rules(*RULES)
    site.write("customHttp.yml", HEADERS_YML)
    for branch in ("main", "locked"):
        site.deploy(TREE, branch)


def fuzz_wire(data: bytes) -> None:
    """HTTP/1.1, or whatever it is, cut at the size that the first byte says."""
    played = node().play(pieces_of(data))
    if not data[1:].lstrip(b"\r\n").startswith(b"PRI"):
        check_answers(played)


def fuzz_http2(data: bytes) -> None:
    """The same after a preface and SETTINGS."""
    played = node().play([PREFACE + frame(SETTINGS, 0, 0), *pieces_of(data)])
    check_frames(played)


def pieces_of(data: bytes) -> list[bytes]:
    """What follows the first byte, in pieces of its size (0: whole)."""
    size = data[0] if data and data[0] else len(data) or 1
    return [data[start : start + size] for start in range(1, len(data), size)]


def check_answers(played: Played) -> None:
    """As many answers as lines, each of its method's shape, and nothing behind them."""
    rest = played.written
    for line in played.lines:
        while rest.startswith(CONTINUE):
            rest = rest[len(CONTINUE) :]
        status, fields, rest = read_head(rest)
        assert status == line["status"], line
        if line["method"] != "HEAD" and status not in WITHOUT_CONTENT:
            rest = read_content(fields, rest)
    assert rest in {b"", CONTINUE}, rest


def read_head(data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, fields by lower-case name, and what follows."""
    found = STATUS_LINE.match(data)
    assert found, data[:100]
    fields: dict[bytes, bytes] = {}
    at = found.end()
    while data[at : at + 2] != b"\r\n":
        line = FIELD_LINE.match(data, at)
        assert line, data[at : at + 100]
        name, _, value = line[0].partition(b": ")
        assert name.lower() not in fields, name
        fields[name.lower()] = value.rstrip()
        at = line.end()
    return int(found[1]), fields, data[at + 2 :]


def read_content(fields: dict[bytes, bytes], data: bytes) -> bytes:
    """What follows the content."""
    if fields.get(b"transfer-encoding") == b"chunked":
        return data[data.index(b"0\r\n\r\n") + 5 :]
    size = int(fields[b"content-length"])
    assert len(data) >= size
    return data[size:]


def check_frames(played: Played) -> None:
    """Whole frames after our SETTINGS; fields that no HTTP/1.1 hop could misread."""
    found = frames(played.written)
    assert sum(9 + len(payload) for *_, payload in found) == len(played.written)
    assert found[0][0] == SETTINGS
    statuses = sorted(status for status in statuses_of(found) if status >= 200)
    assert statuses == sorted(line["status"] for line in played.lines if line["status"]), statuses


def statuses_of(found: list[tuple[int, int, int, bytes]]) -> Iterator[int]:
    """Of every head."""
    decoder = hpack.Decoder()
    for kind, _, _, payload in found:
        if kind != HEADERS:
            continue
        fields: list[Any] = decoder.decode(payload, raw=True)
        assert fields[0][0] == b":status"
        for name, value in fields[1:]:
            assert FIELD_LINE.fullmatch(b"X%b: %b\r\n" % (name.replace(b"_", b"-"), value)), name
            assert name == name.lower()
        yield int(fields[0][1])
