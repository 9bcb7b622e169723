"""
The country of an address, from a database in MMDB format that is reopened when its file changes.

Here: one database, its look-ups, its file. Not here: whose address it is and what a proxy states
(`clients`), what a country decides (`site.rule`). Laws: a look-up never raises and never touches
the disk; the database changes by one assignment; a file that is missing, torn or none at all
leaves the last good one serving, and is told once.
"""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import maxminddb

from edge.node.clients import Address, parse_address
from edge.site.countries import COUNTRIES

log = logging.getLogger("edge.country")

MAX_BYTES: Final = 256 << 20
"""Of a database, as each worker holds it: countries take 10 MB, with networks' owners 60."""

MAX_ADDRESS: Final = 64
"""Characters; the longest address has 45, and what is longer is not worth reading."""

MAX_REMEMBERED: Final = 20_000
"""Addresses whose country is in memory: 2 MiB. When it is full it starts again empty."""

CHECKED: Final = 100
"""Networks among which a database of countries has at least one; 10 ms for one that has none."""

UNKNOWN: Final = ""

Stamp = tuple[int, int, int]


class Countries:
    """Countries by address; the file is read now, and again where `refresh` finds it changed."""

    __slots__ = ("_database", "_problem", "_stamp", "path")

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._database: Database | None = None
        """None as long as there was no good one."""
        self._stamp: Stamp | None = None
        """Of the file that was read last, good or not; None to try again."""
        self._problem = ""
        """What was told last; empty when all is well."""
        self.refresh()

    def find(self, address: str) -> str | None:
        """
        The upper-case ISO code; None for an address that is unknown, private or none at all.

        Cost: 0.1 µs for a remembered address, about 90 for a new one.
        """
        database = self._database
        return database.find(address) if database is not None else None

    def refresh(self) -> None:
        """
        Read the file again if it is another one.

        Cost: one stat, 2 µs; where the file changed, 10 ms for 10 MB. May run in a thread.
        """
        if self.path is None:
            return
        try:
            status = self.path.stat()
            if stamp_of(status) != self._stamp:
                self._stamp = stamp_of(status)
                self._reopen(self.path)
        except OSError as error:
            self._stamp = None  # what denies access now may allow it without a change
            self._tell(f"{self.path} cannot be read: {error.strerror}")
        except ValueError as error:
            self._tell(f"{self.path} {error}")

    def _reopen(self, path: Path) -> None:
        """What changes while it is read has another stamp the next time, and is read again."""
        self._database = read_database(path)
        self._problem = ""
        log.info("geoip.database: %s is %s", path, self._database.description)

    def _tell(self, problem: str) -> None:
        """Once: a second later it is the same problem."""
        if problem != self._problem:
            self._problem = problem
            serving = "the one before stays" if self._database else "no country is known"
            log.error("geoip.database: %s; %s", problem, serving)


class Database:
    """One database, in memory, and what it answered."""

    __slots__ = ("_answers", "_is_told", "_reader", "_version", "built", "description")

    def __init__(self, reader: maxminddb.Reader) -> None:
        metadata = reader.metadata()
        self.built = metadata.build_epoch
        """When it was made, in epoch seconds."""
        built = datetime.fromtimestamp(self.built, UTC)
        self.description = f"{metadata.database_type} of {built:%Y-%m-%d}"
        self._version = metadata.ip_version
        self._reader = reader
        self._answers: dict[str, str] = {}
        """By address as it was asked for. A new database begins without any."""
        self._is_told = False

    def find(self, text: str) -> str | None:
        """The country of an address in text."""
        known = self._answers.get(text)
        return (self._ask(text) if known is None else known) or None

    def _ask(self, text: str) -> str:
        """
        Look up and remember.

        Measured: 0.1 µs where it is remembered. maxminddb decodes the whole record, with the names
        of three places in eight languages: 90 µs in Python, still 7 in its C extension.
        """
        address = parse_address(text) if len(text) <= MAX_ADDRESS else None
        if address is None:
            return UNKNOWN
        if len(self._answers) >= MAX_REMEMBERED:
            self._answers.clear()
        code = self._answers[text] = self._look_up(address)
        return code

    def _look_up(self, address: Address) -> str:
        """What the database says; a damaged one may raise anything, and is told once."""
        if address.version > self._version:
            return UNKNOWN
        try:
            return code_of(self._reader.get(address))
        except Exception as error:  # noqa: BLE001  (no request fails for a country)
            if not self._is_told:
                log.error("geoip.database: damaged at %s, and maybe elsewhere: %r", address, error)
            self._is_told = True
            return UNKNOWN


def read_database(path: Path) -> Database:
    """
    The database at a path.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file that is held in memory, or see `open_database`.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        raise ValueError(f"is no file of up to {MAX_BYTES >> 20} MiB")
    with path.open("rb") as file:
        return open_database(file)


def open_database(file: BinaryIO) -> Database:
    """
    The database in a file, read as a whole and tried out.

    It is held in memory, not mapped: who overwrites a mapped file in place tears it under its
    readers, and who cuts it off ends them by SIGBUS. maxminddb reads memory in Python alone: slower
    than its C extension (see `_ask`), but the worst that a damaged file does there is raise.

    Raises:
        ValueError: it is no database, or one without countries.
    """
    try:  # a damaged file may raise anything
        reader = maxminddb.open_database(file, maxminddb.MODE_FD)
        database = Database(reader)
        reader.get("1.1.1.1")
        has_countries = any(code_of(record) for _, record in islice(reader, CHECKED))
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"is torn, or no MMDB file: {error!r}") from error
    if not has_countries:
        raise ValueError(f"has no country in its first {CHECKED} networks")
    return database


def code_of(record: object) -> str:
    """
    The upper-case code in a record, or `UNKNOWN`.

    MaxMind and DB-IP nest it in `country`. IPinfo has `country_code` with the name in `country`,
    in older databases the code in `country`. MaxMind's `registered_country` is where the network
    is registered, not where the client is: no condition may hold because of it, and an unknown
    country satisfies none.
    """
    if not isinstance(record, dict):
        return UNKNOWN
    country = record.get("country")
    nested = country.get("iso_code") if isinstance(country, dict) else None
    code = nested or record.get("country_code") or country
    return code.upper() if isinstance(code, str) and code.upper() in COUNTRIES else UNKNOWN


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes with a file's content, whether it is replaced or overwritten."""
    return status.st_mtime_ns, status.st_size, status.st_ino
