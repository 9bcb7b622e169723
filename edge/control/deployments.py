"""
Deployments on the disk: begin, complete, list, retain, delete, collect.

Laws: a deployment is pending until its manifest is written, and its manifest is written when all
its blobs are in the store. Which deployment serves is not known here (`generations` knows). What
a pending deployment or a manifest names is never collected.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from edge.control import durable
from edge.control.blobs import BlobStore
from edge.errors import StoreError
from edge.site.hosts import assign_label
from edge.site.manifest import Entry, Header, decode_blocks, decode_header, encode_manifest
from edge.site.media import is_compressible, media_type
from edge.site.paths import Collisions, check_artifact_path
from edge.site.places import Places

LEASE = 3600.0
"""Seconds that a pending deployment keeps what it names, counted from its last use."""

ABANDONED = 24 * 3600.0
"""Seconds after which a pending deployment that nobody continued is forgotten."""

APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
IDENTIFIER = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as a deployer announces it."""

    sha256: str
    size: int


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment whose blobs are still on their way."""

    header: Header
    files: dict[str, FileDigest]


class BranchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The label that a branch was given at its first deploy, for good."""

    name: str
    label: str
    created: float


class Missing(StoreError):
    """Blobs that have to be sent before a deployment can be activated."""

    def __init__(self, hashes: list[str]) -> None:
        super().__init__(f"{len(hashes)} blobs are missing; send them and activate again")
        self.hashes = hashes


class Deployments:
    """The deployments of one state folder."""

    def __init__(self, places: Places, blobs: BlobStore) -> None:
        self._places = places
        self._blobs = blobs

    # A new deployment

    def begin(
        self, app: str, branch: str, files: Mapping[str, FileDigest], message: str
    ) -> tuple[Header, list[str]]:
        """
        Announce a deployment: its header, and which blobs have to be sent.

        Raises:
            StoreError: a name, a path, a hash or a size is not acceptable.
        """
        check_files(files)
        now = time.time()
        header = Header(
            id=time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now)) + secrets.token_hex(3),
            app=app,
            branch=branch,
            label=self.label(app, branch, now),
            created=now,
            message=message,
            files=len(files),
            bytes=sum(file.size for file in files.values()),
        )
        pending = Pending(header=header, files=dict(files))
        durable.write(self._places.pending / header.id, msgspec.json.encode(pending))
        return header, self._blobs.missing(file.sha256 for file in files.values())

    def label(self, app: str, branch: str, now: float) -> str:
        """The branch's label; a new branch gets one and keeps it."""
        if not APP_NAME.fullmatch(app):
            raise StoreError(f"{app!r} is no app name: use a-z, 0-9 and -, 63 characters at most")
        if not branch or len(branch) > 255 or not branch.isprintable():
            raise StoreError(f"{branch!r} is no branch name: 1 to 255 printable characters")
        records = {record.label: record for record in self.branches(app)}
        for record in records.values():
            if record.name == branch:
                return record.label
        record = BranchRecord(name=branch, label=assign_label(branch, records), created=now)
        durable.write(self._places.branch(app, record.label), msgspec.json.encode(record))
        return record.label

    def complete(self, identifier: str) -> Header:
        """
        Turn a pending deployment into a manifest; one that is complete already is returned.

        Raises:
            Missing: blobs are not here yet.
            StoreError: there is no such deployment.
        """
        header = self.find(identifier)
        if header is not None:
            return header
        pending = self.pending(identifier)
        missing = self._blobs.missing(file.sha256 for file in pending.files.values())
        if missing:
            raise Missing(missing)
        entries = self._entries(pending.files)
        self._blobs.settle()
        header = pending.header
        path = self._places.manifest(header.app, header.label, identifier)
        durable.write(path, encode_manifest(header, entries))
        (self._places.pending / identifier).unlink(missing_ok=True)
        return header

    def _entries(self, files: Mapping[str, FileDigest]) -> list[Entry]:
        """Entries with their codings, made where a compressible blob has none yet."""
        kinds = {path: media_type(path) for path in files}
        coded: dict[str, dict[str, int] | None] = {}
        for path, file in files.items():
            if is_compressible(kinds[path]) and file.sha256 not in coded:
                coded[file.sha256] = self._blobs.coded(file.sha256)
        self._blobs.encode([sha256 for sha256, sizes in coded.items() if sizes is None])
        for sha256, sizes in coded.items():
            if sizes is None:
                coded[sha256] = self._blobs.coded(sha256)
        return [
            Entry(path, file.sha256, file.size, kinds[path], coded.get(file.sha256) or {})
            for path, file in sorted(files.items())
        ]

    def pending(self, identifier: str) -> Pending:
        """
        A pending deployment.

        Raises:
            StoreError: there is none of that name.
        """
        path = self._places.pending / check_identifier(identifier)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Pending)
        except FileNotFoundError:
            raise StoreError(
                f"there is no deployment {identifier}; `edge deployments` lists those there are"
            ) from None

    # What there is

    def branches(self, app: str) -> list[BranchRecord]:
        """The branches of an app, by label."""
        folder = self._places.branches / app
        if not folder.is_dir():
            return []
        return [
            msgspec.json.decode(path.read_bytes(), type=BranchRecord)
            for path in sorted(folder.iterdir())
            if path.name[0] != "."
        ]

    def find(self, identifier: str) -> Header | None:
        """The header of a complete deployment."""
        check_identifier(identifier)
        for path in self._places.deployments.glob(f"*/*/{identifier}"):
            return self.header(path.parent.parent.name, path.parent.name, identifier)
        return None

    def header(self, app: str, label: str, identifier: str) -> Header:
        """The header of a deployment whose place is known."""
        with self._places.manifest(app, label, identifier).open("rb") as file:
            return decode_header(file.readline())

    def of_branch(self, app: str, label: str) -> list[Header]:
        """The complete deployments of a branch, newest first."""
        folder = self._places.deployments / app / label
        if not folder.is_dir():
            return []
        names = [path.name for path in folder.iterdir() if path.name[0] != "."]
        headers = [self.header(app, label, name) for name in names]
        return sorted(headers, key=lambda header: header.created, reverse=True)

    def entries(self, header: Header) -> Iterator[Entry]:
        """The files of a deployment."""
        path = self._places.manifest(header.app, header.label, header.id)
        with path.open("rb") as file:
            file.readline()
            for block in decode_blocks(file):
                yield from block

    # What goes

    def retain(self, app: str, label: str, count: int, keep: Iterable[str]) -> list[str]:
        """Delete all but the newest `count` deployments of a branch and those in `keep`."""
        kept = set(keep)
        gone = [header.id for header in self.of_branch(app, label)[count:] if header.id not in kept]
        for identifier in gone:
            self._places.manifest(app, label, identifier).unlink(missing_ok=True)
        return gone

    def delete_branch(self, app: str, label: str) -> None:
        """Forget a branch, its label and its deployments."""
        folder = self._places.deployments / app / label
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        if folder.is_dir():
            folder.rmdir()
        self._places.branch(app, label).unlink(missing_ok=True)

    def collect(self, retained: set[str], now: float) -> tuple[int, int]:
        """
        Delete what nothing names: how many blobs, how many bytes.

        `retained` are blobs that compiled documents name. Blobs younger than a lease stay: a
        deployment that found them present may be about to say so.
        """
        self._forget_abandoned(now)
        live = set(retained)
        for path in self._places.deployments.glob("*/*/[0-9]*"):
            header = self.header(path.parent.parent.name, path.parent.name, path.name)
            live.update(entry.sha256 for entry in self.entries(header))
        for path in self._places.pending.glob("[0-9]*"):
            files = self.pending(path.name).files
            live.update(file.sha256 for file in files.values())
        return self._blobs.collect(live, older_than=now - LEASE)

    def _forget_abandoned(self, now: float) -> None:
        """Pending deployments nobody continued, and temporary files of those who died."""
        for path in self._places.pending.glob("[0-9]*"):
            if path.stat().st_mtime < now - ABANDONED:
                path.unlink(missing_ok=True)
        named = {
            file.sha256
            for path in self._places.pending.glob("[0-9]*")
            for file in self.pending(path.name).files.values()
        }
        for path in self._places.staged.iterdir():
            old = path.stat().st_mtime < now - LEASE
            if old and path.name.partition(".")[0] not in named:
                path.unlink(missing_ok=True)


def check_files(files: Mapping[str, FileDigest]) -> None:
    """
    Refuse a tree that could not be served as it is.

    Raises:
        StoreError: with the path and the reason.
    """
    if not files:
        raise StoreError("a deployment without files is refused")
    collisions = Collisions()
    for path, file in files.items():
        try:
            check_artifact_path(path)
            collisions.add(path)
        except ValueError as error:
            raise StoreError(f"{path!r}: {error}") from error
        if not SHA256.fullmatch(file.sha256) or file.size < 0:
            raise StoreError(f"{path!r}: sha256 takes 64 hex digits and size a byte count")


def check_identifier(identifier: str) -> str:
    """
    The identifier, if it can be one; it becomes a file name.

    Raises:
        StoreError: it cannot.
    """
    if not IDENTIFIER.fullmatch(identifier):
        raise StoreError(
            f"{identifier!r} is no deployment id (they look like 20260131-093000-1a2b3c)"
        )
    return identifier
