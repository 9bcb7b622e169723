"""
What a deployment holds: paths → files, by content hash. Pure.

A manifest is written once, when a deployment is complete, and never changed. On disk it is JSON
lines: a header, then blocks of entries, so that a worker can read 10,000 files in slices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

BLOCK = 256
"""Entries a line: about 0.2 ms of decoding, well inside a slice of 5 ms."""

CODINGS = ("br", "zstd", "gzip")
"""Content codings made at deploy, in our order of preference."""

RESERVED = frozenset({"customHttp.yml", "redirects.json"})
"""Files at a deployment's root that configure it and are never served (contract)."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One file."""

    path: str
    """Without a leading slash, e.g. `docs/index.html`."""
    sha256: str
    size: int
    media_type: str
    codings: dict[str, int]
    """Bytes of each coding that is worth sending; empty for most images and small files."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment is, without its files."""

    id: str
    app: str
    branch: str
    label: str
    created: float
    """Epoch seconds."""
    message: str = ""
    files: int = 0
    bytes: int = 0


class Manifest:
    """All files of one deployment, by path."""

    __slots__ = ("assets", "files", "header")

    def __init__(self, header: Header) -> None:
        self.header = header
        self.files: dict[str, Entry] = {}
        self.assets: dict[str, Asset] = {}
        """What was asked for so far; heads are finished at the first request of a path."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Take a block of entries; reserved files are known to the store but not served."""
        for entry in entries:
            if entry.path not in RESERVED:
                self.files[entry.path] = entry

    def asset(self, path: str) -> Asset:
        """The asset at a path that `files` has."""
        asset = self.assets.get(path)
        if asset is None:
            asset = self.assets[path] = Asset(self.files[path], self.header)
        return asset


class Asset:
    """One file of one deployment, as it is served."""

    __slots__ = ("codings", "created", "deployment", "entry", "stored")

    def __init__(self, entry: Entry, header: Header) -> None:
        self.entry = entry
        self.deployment = header.id
        self.created = int(header.created)
        """Epoch seconds; the deployment's, since a file's own time says nothing about content."""
        self.codings = frozenset(name.encode() for name in entry.codings)
        self.stored: dict[tuple[bytes, bool, int], Any] = {}
        """Stored responses by (coding, noindex, status); owned by `node.cache`."""


def encode_manifest(header: Header, entries: list[Entry]) -> Iterator[bytes]:
    """The manifest as lines."""
    encode = msgspec.json.Encoder().encode
    yield encode(header) + b"\n"
    for start in range(0, len(entries), BLOCK):
        yield encode(entries[start : start + BLOCK]) + b"\n"


def decode_header(line: bytes) -> Header:
    """The header from a manifest's first line."""
    return msgspec.json.decode(line, type=Header)


def decode_blocks(lines: Iterable[bytes]) -> Iterator[list[Entry]]:
    """The entries, a block at a time; the caller may pause between blocks."""
    decoder = msgspec.json.Decoder(list[Entry])
    for line in lines:
        yield decoder.decode(line)


TOKEN = re.compile(r"(?:^|[-._~])([A-Za-z0-9_]{8,64})(?=[-._~]|$)")


def is_fingerprinted(path: str) -> bool:
    """
    Whether a file's name says which content it has, so that it may outlive its deployment.

    A part of the name of 8 characters or more that looks like a hash: hexadecimal with a digit,
    mixed letters and digits, mixed case, or all capitals; `main.3f2a1b9c.js`, `index-BxK3d9Qz.css`,
    `chunk-ABCDEFGH.js`. The first part counts only when a whole name is a hash (`/3f2a1b9c.js`).
    """
    name = path.rsplit("/", 1)[-1]
    stem = name.split(".", 1)[0] if name.count(".") == 1 else name.rpartition(".")[0]
    return any(_looks_hashed(match[1]) for match in TOKEN.finditer(stem))


def _looks_hashed(token: str) -> bool:
    digits = any(character.isdigit() for character in token)
    letters = any(character.isalpha() for character in token)
    if digits and letters:
        return True
    if digits:
        return len(token) >= 16  # a date or a counter is no hash
    return token.isupper() or not (token.islower() or token.istitle() or _is_camel(token))


def _is_camel(token: str) -> bool:
    """`MyComponent` is a name; `BxKdQzRt` is not: words are longer than their capitals."""
    words = re.findall(r"[A-Z]?[a-z]+", token)
    return "".join(words) == token and len(token) / len(words) >= 3
