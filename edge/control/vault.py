"""
Where certificates lie: versions that never change, and for each name which of them serves.

Laws: a version is written whole before `current` names it, so a crash at any instant leaves a
certificate that serves or a version that is found again. A broken file never hides a good one.
Everything about a certificate is read from its PEM and its folder; records are advice, and a broken
one is begun anew. Every file is 0600: nearly all of them have keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from edge.control import chains, durable
from edge.control.chains import BadPem, Chain
from edge.site.certificates import Certificate, Challenges, Keyring, Source
from edge.site.decoding import decode_json
from edge.site.pace import Pace
from edge.site.places import Places
from edge.site.renewal import Record

log = logging.getLogger("edge.vault")

SECRET: Final = 0o600
KEPT: Final = 14 * 86_400.0
"""Seconds that what serves no more is kept: expired versions, names that nobody wants."""

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.~-]{1,200}")
"""What a version may be called."""

CURRENT: Final = "current"
UNWANTED: Final = "unwanted"
"""Says since when nobody wants a name, in epoch seconds."""

Key = tuple[Source, str]
"""Whose certificate it is and what it is called by: each has its own `current`."""

T = TypeVar("T")


class Current:
    """What serves a name, and what tells that it still does, at the cost of two questions."""

    __slots__ = ("_mark", "_pointer", "_version", "certificate")

    def __init__(self, pointer: Path, version: Path, certificate: Certificate) -> None:
        self._pointer = os.fspath(pointer)
        self._version = os.fspath(version)
        self._mark = _mark(self._pointer)
        self.certificate = certificate

    def is_same(self) -> bool:
        """Whether the pointer is as it was, and the version there."""
        return _mark(self._pointer) == self._mark and _mark(self._version) is not None


class Vault:
    """The folder `tls` of one state folder; one process writes it (`lock`)."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._certificates = places.tls / "certs"
        self._known: dict[Path, Certificate] = {}
        """Versions that were read: they never change."""
        self._currents: dict[Key, Current] = {}
        """What serves, while nothing of it changes: 10,000 names are looked at every minute."""

    def open(self) -> None:
        """Make the folder, for nobody else to look into."""
        durable.make_folder(self._places.state)
        self._places.tls.mkdir(mode=0o700, exist_ok=True)
        self._places.tls.chmod(0o700)

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self._places.tls

    @property
    def lock(self) -> Path:
        """Held by who keeps certificates; free when its holder dies."""
        return self._places.tls / "lock"

    def probe(self) -> None:
        """
        Write and remove a file: what cannot be stored should not be ordered.

        Raises:
            OSError: nothing can be written.
        """
        path = durable.temporary_beside(self._certificates / "probe")
        durable.write(path, b"x", SECRET)
        path.unlink()

    # Certificates

    def publish(self, name: str, pem: bytes, source: Source) -> Certificate:
        """
        Make a key and a chain the version of `name` that serves.

        Raises:
            BadPem: the two do not belong together, or cannot be read.
            OSError: the disk refuses them; what served serves on.
        """
        chain = chains.parse_chain(pem)
        folder = self._folder(source, name)
        path = self._version(folder, chain, pem)
        certificate = self._remember(path, chain, source)
        if self._named(folder)[0] != path.stem:
            durable.write(folder / CURRENT, f"{path.stem}\n".encode(), SECRET)
        (folder / UNWANTED).unlink(missing_ok=True)
        self._currents.pop((source, name), None)
        return certificate

    def _version(self, folder: Path, chain: Chain, pem: bytes) -> Path:
        """
        The file of a version, written if it is new.

        The same certificate with other issuers is another version: workers know one by its name.
        """
        path = folder / f"{chain.id}.pem"
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == pem:
                return path
            path = folder / f"{chain.id}~{hashlib.sha256(pem).hexdigest()[:12]}.pem"
        durable.write(path, pem, SECRET)
        return path

    def current(self, source: Source, name: str) -> Certificate | None:
        """
        The version of a name that serves, or None when there is none that can be read.

        A version that was written and, before it served, died with its writer is found here.
        """
        found = self._currents.get((source, name))
        if found is not None and found.is_same():
            return found.certificate
        folder = self._folder(source, name)
        current = self._find(folder, source)
        if current is not None and (folder / CURRENT).exists():
            version = self._places.tls / current.file
            self._currents[source, name] = Current(folder / CURRENT, version, current)
        return current

    def _find(self, folder: Path, source: Source) -> Certificate | None:
        named, since = self._named(folder)
        if named is None or not (certificate := self._read(folder / f"{named}.pem", source)):
            return _newest(self._versions(folder, source))
        orphans = [each for each in self._versions(folder, source, since) if each != certificate]
        return _newest([certificate, *orphans])

    def _named(self, folder: Path) -> tuple[str | None, float]:
        """(which version serves, since when)."""
        path = folder / CURRENT
        try:
            named = path.read_text(encoding="ascii").strip()
            since = path.stat().st_mtime
        except (OSError, UnicodeDecodeError):
            return None, 0.0
        return (named if IDENTIFIER.fullmatch(named) else None), since

    def _versions(self, folder: Path, source: Source, after: float = 0.0) -> Iterator[Certificate]:
        """Those that can be read and were written after an instant."""
        for path in folder.glob("*.pem"):
            if path.stat().st_mtime > after and (certificate := self._read(path, source)):
                yield certificate

    def _read(self, path: Path, source: Source) -> Certificate | None:
        known = self._known.get(path)
        if known is not None and path.exists():
            return known
        try:
            return self._remember(path, chains.parse_chain(path.read_bytes()), source)
        except (OSError, BadPem) as error:
            log.error("%s cannot be used: %s", path, error)
            return None

    def _remember(self, path: Path, chain: Chain, source: Source) -> Certificate:
        file = path.relative_to(self._places.tls).as_posix()
        certificate = self._known[path] = chain.certificate(path.stem, file, source)
        return certificate

    def read_pem(self, certificate: Certificate) -> bytes:
        """The key and the chain of a certificate. Raises OSError."""
        return (self._places.tls / certificate.file).read_bytes()

    def names(self, source: Source) -> list[str]:
        """What there are certificates for, whether they can be read or not."""
        folder = self._certificates / source
        if not folder.is_dir():
            return []
        return sorted(unfile(path.name) for path in folder.iterdir() if path.is_dir())

    def _folder(self, source: Source, name: str) -> Path:
        return self._certificates / source / file_of(name)

    # Records and accounts

    def record(self, name: str) -> Record:
        """What is remembered about a name; a new one where nothing is, or nothing readable."""
        record = _decode(self._record(name), Record)
        return record if record is not None and record.name == name else Record(name=name)

    def keep(self, record: Record) -> None:
        """Remember. Raises OSError."""
        durable.write(self._record(record.name), msgspec.json.encode(record), SECRET)

    def _record(self, name: str) -> Path:
        return self._places.tls / "records" / f"{file_of(name)}.json"

    def account(self, directory: str) -> Path:
        """The folder of the account at an authority, by its directory's URL; made by who writes."""
        parts = urlsplit(directory)
        plain = f"{parts.netloc}{parts.path}".replace("/", "-").replace(":", "-")
        return self._places.tls / "accounts" / plain

    def pace(self, directory: str) -> Pace:
        """How fast an authority may be asked."""
        return _decode(self.account(directory) / "pace.json", Pace) or Pace()

    def keep_pace(self, directory: str, pace: Pace) -> None:
        """Remember it. Raises OSError."""
        durable.write(self.account(directory) / "pace.json", msgspec.json.encode(pace), SECRET)

    # What workers read

    def keyring(self) -> Keyring:
        """What workers were told last."""
        return _decode(self._places.keyring, Keyring) or Keyring()

    def write_keyring(self, keyring: Keyring) -> None:
        """Tell workers which certificates there are, the first of a name serving it."""
        durable.write(self._places.keyring, msgspec.json.encode(keyring), SECRET)

    def challenges(self) -> Challenges:
        """What authorities are answered."""
        return _decode(self._places.challenges, Challenges) or Challenges()

    def write_challenges(self, challenges: Challenges) -> None:
        """Tell workers what authorities are answered."""
        durable.write(self._places.challenges, msgspec.json.encode(challenges), SECRET)

    # Cleaning

    def clean(self, wanted: Collection[Key], now: float) -> int:
        """
        Delete what has served no more for 14 days; how many files.

        Expired versions that are not current; everything of names that nobody wants.
        """
        count = 0
        for source in get_args(Source):
            for name in self.names(source):
                folder = self._folder(source, name)
                if (source, name) in wanted:
                    (folder / UNWANTED).unlink(missing_ok=True)
                    count += self._clean_versions(folder, source, now)
                elif self._is_long_unwanted(folder, now):
                    count += self._delete(folder)
        return count

    def _clean_versions(self, folder: Path, source: Source, now: float) -> int:
        current = self.current(source, unfile(folder.name))
        count = 0
        for path in folder.glob("*.pem"):
            certificate = self._read(path, source)
            if certificate and certificate != current and certificate.not_after + KEPT <= now:
                self._known.pop(path, None)
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _is_long_unwanted(self, folder: Path, now: float) -> bool:
        """Whether nobody has wanted a name for long; the first look that says so begins it."""
        mark = folder / UNWANTED
        since = _decode(mark, float)
        if since is None:
            durable.write(mark, msgspec.json.encode(now), SECRET)
        return since is not None and since + KEPT <= now

    def _delete(self, folder: Path) -> int:
        count = len(list(folder.glob("*.pem")))
        for path in [path for path in self._known if path.parent == folder]:
            del self._known[path]
        shutil.rmtree(folder)
        self._record(unfile(folder.name)).unlink(missing_ok=True)
        return count


def file_of(name: str) -> str:
    """A name as a file's: the star is none of shells' business."""
    return name.replace("*.", "wildcard_.", 1) if name.startswith("*.") else name


def unfile(name: str) -> str:
    """The name that a file is called after."""
    return name.replace("wildcard_.", "*.", 1) if name.startswith("wildcard_.") else name


def _mark(path: str) -> tuple[int, int] | None:
    """What tells a file from another of its name; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - half the cost, twenty thousand times a minute
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _newest(certificates: Collection[Certificate] | Iterator[Certificate]) -> Certificate | None:
    return max(certificates, key=lambda each: (each.not_before, each.not_after), default=None)


def _decode(path: Path, kind: type[T]) -> T | None:
    """A document, or None where there is none that can be read."""
    try:
        return decode_json(path.read_bytes(), kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s cannot be read and is begun anew: %s", path, error)
        return None
