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

from edge.site.decoding import decode_json, decoder_of

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
        self.stored: dict[tuple[bytes, int, Any], Any] = {}
        """Stored responses by coding, status and envelope; owned by `node.cache`."""


def encode_manifest(header: Header, entries: list[Entry]) -> Iterator[bytes]:
    """The manifest as lines."""
    encode = msgspec.json.Encoder().encode
    yield encode(header) + b"\n"
    for start in range(0, len(entries), BLOCK):
        yield encode(entries[start : start + BLOCK]) + b"\n"


def decode_header(line: bytes) -> Header:
    """The header from a manifest's first line."""
    return decode_json(line, Header)


def decode_blocks(lines: Iterable[bytes]) -> Iterator[list[Entry]]:
    """The entries, a block at a time; the caller may pause between blocks."""
    decoder = decoder_of(list[Entry])
    for line in lines:
        yield decoder.decode(line)


# Fingerprinted names

IMMUTABLE = ("/_next/static/", "/_app/immutable/")
"""Folders whose files are all named after their content or build (Next.js, SvelteKit)."""

DOCUMENTS = ("html", "htm", "xhtml", "md", "txt", "xml")
"""Pages and documents are never fingerprinted; their names hold dates and verification codes."""

TAIL = re.compile(r"[-._~]([A-Za-z0-9_-]{8})(?:\.[a-z][a-z0-9]{1,6})+\Z")
"""Eight characters before the extensions: where Rollup, Vite, esbuild and Angular put a hash."""

BASE32 = re.compile(r"[A-Z2-7]{8}")
PART = re.compile(r"[A-Za-z0-9]{8,128}")
HEX = re.compile(r"(?=.*[0-9])(?:(?=.*[a-f])[0-9a-f]+|(?=.*[A-F])[0-9A-F]+)")
DIMENSIONS = re.compile(r"[0-9]+x[0-9]+(?:px|w|h)?")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
"""Words, acronyms and numbers that people put together: `MyHTMLPage2`."""

STRICT_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]|[0-9]+")


def is_fingerprinted(path: str) -> bool:
    """
    Whether a file's name says which content it has, so that it may outlive its deployment.

    What bundlers write is known by its place and alphabet (`index-BxK3d9Qz.css`,
    `chunk-QXVCJ7SJ.js`); elsewhere, a part of 8 characters or more counts that is hexadecimal or
    falls into more pieces than words and numbers of people do. Of random names 3 % are missed
    in Vite's alphabet, 2 % in 8 hexadecimal digits (those without a letter, like a date).
    """
    if any(folder in f"/{path}" for folder in IMMUTABLE):
        return True
    name = path.rsplit("/", 1)[-1]
    stem, _, extension = name.rpartition(".")
    if not stem or extension.lower() in DOCUMENTS:
        return False
    tail = TAIL.search(name)
    if tail is not None and _is_bundlers_hash(tail[1]):
        return True
    return any(_looks_hashed(part) for part in PART.findall(stem))


def _is_bundlers_hash(tail: str) -> bool:
    """Base32 (esbuild, Angular) or base64url (Rollup, Vite), and not words (`SemiBold`)."""
    if BASE32.fullmatch(tail):
        return True
    has_two_cases = tail != tail.lower() and tail != tail.upper()
    has_mixture = tail.isalnum() and not tail.isalpha() and not tail.isdigit()
    if DIMENSIONS.fullmatch(tail) or not (has_two_cases or has_mixture):
        return False
    return len(STRICT_WORD.findall(tail)) >= 3


def _looks_hashed(part: str) -> bool:
    if HEX.fullmatch(part):
        return True
    if part.isdigit() or DIMENSIONS.fullmatch(part):
        return False
    if part.isalpha() and part in (part.lower(), part.upper()):
        return False
    average = len(part) / len(WORD.findall(part))
    return average < (2.3 if part.isalpha() else 2.7)
