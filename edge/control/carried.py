"""
The rules and headers that a deployment carries in its own root, and how either kind is stored.

Laws: what a deployment carries is read when it is activated, and one with a mistake is not: what
served before serves on. A document is stored under its hash, so that equal ones are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

import msgspec

from edge.control.blobs import BlobStore
from edge.control.configuration import HEADERS_FILE, MISSPELLED, Rules, decode_text, place
from edge.control.generations import key_of
from edge.errors import ConfigError, Mistaken, StoreError
from edge.site.headers import CustomHttp, decode_headers
from edge.site.manifest import Entry
from edge.site.redirects import MAX_BYTES, decode_redirects
from edge.site.rule import encode_rules

RULES_FILE = "redirects.json"
NOT_READ = {"redirects.yml": RULES_FILE, **MISSPELLED, "redirects.yaml": RULES_FILE}
LAST = max(RULES_FILE, HEADERS_FILE, *NOT_READ)
"""Entries are sorted by path: behind this one there is nothing to look for."""


class Carried(NamedTuple):
    """What a deployment carries; None of what it does not."""

    rules: Rules | None = None
    headers: CustomHttp | None = None
    warnings: tuple[ConfigError, ...] = ()


class Documents:
    """Compiled documents by key, as they are collected for one change."""

    def __init__(self) -> None:
        self.all: dict[str, bytes] = {}

    def add(self, document: bytes) -> str:
        """Take one; its key."""
        key = key_of(document)
        self.all[key] = document
        return key

    def add_rules(self, rules: Rules | None) -> str | None:
        """Take an app's or a deployment's rules, if it has a file of them."""
        return None if rules is None else self.add(encode_rules(rules.rules))

    def add_headers(self, headers: CustomHttp | None) -> str | None:
        """The same of custom headers."""
        return None if headers is None else self.add(msgspec.json.encode(headers))


def read_carried(entries: Iterable[Entry], blobs: BlobStore) -> Carried:
    """
    What is in the root of a deployment with these entries, in the order of their paths.

    Raises:
        Mistaken: there are mistakes; each has its place.
        StoreError: a file's blob cannot be read.
    """
    files = {
        entry.path: entry.sha256
        for entry in takewhile(lambda entry: entry.path <= LAST, entries)
        if entry.path in (RULES_FILE, HEADERS_FILE, *NOT_READ)
    }
    errors: list[ConfigError] = []
    warnings: list[ConfigError] = []
    texts: dict[str, str] = {}
    for path, sha256 in files.items():
        try:
            texts[path] = _text(blobs, sha256, path)
        except ConfigError as error:
            errors.append(error)
    rules = headers = None
    if RULES_FILE in texts:
        decoded, found, warnings = decode_redirects(texts[RULES_FILE], RULES_FILE)
        errors += found
        rules = None if decoded is None else Rules(decoded, RULES_FILE)
    if HEADERS_FILE in texts:
        headers, found = decode_headers(texts[HEADERS_FILE], HEADERS_FILE)
        errors += found
    if errors:
        raise Mistaken(sorted(errors, key=place))
    warnings += [not_read(path) for path in files if path in NOT_READ]
    return Carried(rules, headers, tuple(warnings))


def not_read(path: str) -> ConfigError:
    """A warning for a file that looks as if it counted."""
    problem = "a deployment's root is not searched for this name: it is served like any file"
    return ConfigError(path, 1, 1, problem, f"call it {NOT_READ[path]}")


def _text(blobs: BlobStore, sha256: str, file: str) -> str:
    """One document's text; a ConfigError says what is wrong with it."""
    try:
        with blobs.read(sha256) as blob:
            data = blob.read(MAX_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}; deploy it again") from error
    return decode_text(data, file)
