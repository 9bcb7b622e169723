"""
Deployments on the disk: begin, complete, list, retain, delete, collect.

Laws: a deployment is pending until its manifest is written, and its manifest is written when all
its blobs are in the store. Which deployment serves is not known here (`generations` knows). What
a pending deployment or a manifest names is never collected.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from edge.control import durable
from edge.control.announcements import (
    BranchRecord,
    FileDigest,
    Pending,
    check_files,
    check_identifier,
    check_names,
)
from edge.control.blobs import BlobStore
from edge.errors import StoreError
from edge.site.decoding import decode_json
from edge.site.hosts import assign_label
from edge.site.limits import Limits
from edge.site.manifest import Entry, Header, decode_blocks, decode_header, encode_manifest
from edge.site.media import is_compressible, media_type
from edge.site.places import Places

LEASE = 3600.0
"""Seconds that a pending deployment keeps what it names, counted from its last use."""

ABANDONED = 24 * 3600.0
"""Seconds after which a pending deployment that nobody continued is forgotten."""

NAMED = 10
"""Files named in a refusal; the rest are counted."""

MAX_SEEN = 20_000
"""Deployments whose place is remembered: 5 MiB."""

MAX_MESSAGE = 1000
"""Characters of a message that are kept."""


class NoSuch(StoreError):
    """A name that nothing here has; the text says which names there are."""


class Missing(StoreError):
    """Blobs that have to be sent before a deployment can be activated."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files`: path → sha256."""
        self.hashes = sorted(set(files.values()))
        named = ", ".join(sorted(files)[:NAMED]) + (", …" if len(files) > NAMED else "")
        super().__init__(
            f"{len(self.hashes)} blobs are missing ({named}); send them, then activate again"
        )


class Marked:
    """What a collection keeps, while it looks."""

    def __init__(self) -> None:
        self.deployments: set[str] = set()
        self.blobs: set[str] = set()


class Deployments:
    """The deployments of one state folder."""

    def __init__(self, places: Places, blobs: BlobStore) -> None:
        self._places = places
        self._root = os.fspath(places.deployments)
        self.blobs = blobs
        self._seen: dict[str, tuple[str, str]] = {}
        """Deployment → (app, label), of those that were looked at lately."""

    # A new deployment

    def begin(  # noqa: PLR0913 - an announcement has as many parts
        self,
        app: str,
        branch: str,
        files: Mapping[str, FileDigest],
        message: str,
        limits: Limits,
        *,
        withheld: Iterable[str] = (),
    ) -> tuple[Header, list[str]]:
        """
        Announce a deployment: its header, and which blobs have to be sent.

        Those that are `withheld` have to be, whether they are here or not (`belongings`).

        Raises:
            StoreError: a name, a path, a hash or a size is not acceptable.
        """
        check_files(files, limits)
        now = time.time()
        header = Header(
            id=time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now)) + secrets.token_hex(3),
            app=app,
            branch=branch,
            label=self.label(app, branch, now),
            created=now,
            message=message[:MAX_MESSAGE],
            files=len(files),
            bytes=sum(file.size for file in files.values()),
        )
        pending = Pending(header=header, files=dict(files), withheld=sorted(withheld))
        durable.write(self._places.pending / header.id, msgspec.json.encode(pending))
        missing = self.blobs.missing(file.sha256 for file in files.values())
        return header, sorted({*missing, *pending.withheld})

    def label(self, app: str, branch: str, now: float) -> str:
        """The branch's label; a new branch gets one and keeps it."""
        check_names(app, branch)
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
            StoreError: there is no such deployment, or a blob is not as it was announced.
        """
        pending = self.pending(identifier)
        if pending is None:
            return self.find(identifier)
        header = pending.header
        path = self._places.manifest(header.app, header.label, identifier)
        if not path.exists():
            self._check_blobs(pending)
            entries = self._entries(pending)
            self.blobs.settle()
            durable.write(path, encode_manifest(header, entries))
        (self._places.pending / identifier).unlink(missing_ok=True)
        return header

    def _check_blobs(self, pending: Pending) -> None:
        files, app = pending.files, pending.header.app
        sizes = self.blobs.sizes({file.sha256 for file in files.values()})
        for sha256 in pending.withheld:
            if not (self._places.brought / app / sha256).exists():
                sizes.pop(sha256, None)
        missing = {path: file.sha256 for path, file in files.items() if file.sha256 not in sizes}
        if missing:
            raise Missing(missing)
        for path, file in files.items():
            if sizes[file.sha256] != file.size:
                raise StoreError(
                    f"{path!r} was announced with {file.size} bytes and has {sizes[file.sha256]}; "
                    f"deploy it again"
                )

    def prepare(self, identifier: str) -> None:
        """
        Do what of `complete` takes long, without the store's lock: make the codings.

        Raises:
            Missing: blobs are not here yet.
            StoreError: a blob is not as it was announced.
        """
        pending = self.pending(identifier)
        if pending is not None:
            self._check_blobs(pending)
            self._coded(pending)

    def _entries(self, pending: Pending) -> list[Entry]:
        coded = self._coded(pending)
        return [
            Entry(path, file.sha256, file.size, media_type(path), coded.get(file.sha256, {}))
            for path, file in sorted(pending.files.items())
        ]

    def _coded(self, pending: Pending) -> dict[str, dict[str, int]]:
        """Bytes of each coding of each compressible blob, made where it has none yet."""
        coded = self._coded_before(pending.header)
        for path, file in pending.files.items():
            if file.sha256 not in coded and is_compressible(media_type(path)):
                coded[file.sha256] = self.blobs.coded(file.sha256)
        lacking = [sha256 for sha256, sizes in coded.items() if sizes is None]
        self.blobs.encode(lacking)
        coded |= {sha256: self.blobs.coded(sha256) for sha256 in lacking}
        return {sha256: sizes or {} for sha256, sizes in coded.items()}

    def _coded_before(self, header: Header) -> dict[str, dict[str, int] | None]:
        """
        What the branch's newest manifest says: a small change looks at few files.

        What a manifest names is never collected.
        """
        newest = max(self._identifiers(header.app, header.label), default=None)
        if newest is None:
            return {}
        with contextlib.suppress(StoreError):
            entries = self.entries(self.header(header.app, header.label, newest))
            return {
                entry.sha256: entry.codings
                for entry in entries
                if is_compressible(entry.media_type)
            }
        return {}

    def pending(self, identifier: str) -> Pending | None:
        """A deployment whose blobs are still on their way, if that is what it is."""
        try:
            data = (self._places.pending / check_identifier(identifier)).read_bytes()
        except FileNotFoundError:
            return None
        return decode_json(data, Pending)

    def _all_pending(self) -> list[Pending]:
        found = [self.pending(path.name) for path in self._places.pending.glob("[0-9]*")]
        return [pending for pending in found if pending is not None]

    # What there is

    def branches(self, app: str) -> list[BranchRecord]:
        """The branches of an app, by label."""
        folder = self._places.branches / app
        if not folder.is_dir():
            return []
        return [
            decode_json(path.read_bytes(), BranchRecord)
            for path in sorted(folder.iterdir())
            if path.name[0] != "."
        ]

    def find(self, identifier: str) -> Header:
        """
        The header of a complete deployment of any branch. Cost: a stat a branch, if it is news.

        Raises:
            NoSuch: there is none.
        """
        app, label = self._seen.get(check_identifier(identifier), ("", ""))
        if app and self._places.manifest(app, label, identifier).exists():
            return self.header(app, label, identifier)
        for app, label in self._folders():
            if os.path.exists(f"{self._root}/{app}/{label}/{identifier}"):  # noqa: PTH110  (10,000)
                return self.header(app, label, identifier)
        raise NoSuch(
            f"there is no deployment {identifier}; `edge deployments` lists those there are"
        )

    def _folders(self) -> Iterator[tuple[str, str]]:
        """(app, label) of all branches with deployments."""
        for app in _names(self._root):
            for label in _names(f"{self._root}/{app}"):
                yield app, label

    def header(self, app: str, label: str, identifier: str) -> Header:
        """
        The header of a deployment whose place is known.

        Raises:
            StoreError: its manifest cannot be read.
        """
        path = self._places.manifest(app, label, identifier)
        try:
            with path.open("rb") as file:
                header = decode_header(file.readline())
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f"the manifest {path} cannot be read: {error}") from error
        if len(self._seen) > MAX_SEEN:
            self._seen.clear()
        self._seen[identifier] = app, label
        return header

    def of_branch(self, app: str, label: str) -> list[Header]:
        """The complete deployments of a branch, newest first; unreadable ones are left out."""
        headers = []
        for identifier in self._identifiers(app, label):
            with contextlib.suppress(StoreError):
                headers.append(self.header(app, label, identifier))
        return sorted(headers, key=lambda header: header.created, reverse=True)

    def _identifiers(self, app: str, label: str) -> list[str]:
        return _names(f"{self._root}/{app}/{label}")

    def stale(self, limits: Mapping[str, float]) -> Iterator[tuple[str, BranchRecord]]:
        """(app, branch) of those nobody deployed to since their app's limit, in epoch seconds."""
        waiting = {(each.header.app, each.header.label) for each in self._all_pending()}
        for app, limit in limits.items():
            for record in self.branches(app):
                is_waiting = (app, record.label) in waiting
                if not is_waiting and self._last_deploy(app, record) < limit:
                    yield app, record

    def _last_deploy(self, app: str, record: BranchRecord) -> float:
        newest = max(self._identifiers(app, record.label), default=None)
        if newest is None:
            return record.created
        return self.header(app, record.label, newest).created

    def entries(self, header: Header) -> Iterator[Entry]:
        """
        The files of a deployment.

        Raises:
            StoreError: its manifest cannot be read.
        """
        path = self._places.manifest(header.app, header.label, header.id)
        try:
            with path.open("rb") as file:
                file.readline()
                for block in decode_blocks(file):
                    yield from block
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f"the manifest {path} cannot be read: {error}") from error

    # What goes

    def surplus(self, app: str, label: str, count: int, keep: Iterable[str]) -> list[str]:
        """All but the newest `count` deployments of a branch and those in `keep`."""
        kept = set(keep)
        return [each.id for each in self.of_branch(app, label)[count:] if each.id not in kept]

    def delete(self, app: str, label: str, identifiers: Iterable[str]) -> None:
        """Forget deployments of a branch."""
        for identifier in identifiers:
            self._places.manifest(app, label, identifier).unlink(missing_ok=True)
            self._seen.pop(identifier, None)

    def delete_branch(self, app: str, label: str) -> None:
        """Forget a branch: what is pending, its deployments, last its label."""
        for pending in self._all_pending():
            header = pending.header
            if (header.app, header.label) == (app, label):
                (self._places.pending / header.id).unlink(missing_ok=True)
        folder = self._places.deployments / app / label
        self.delete(app, label, [path.name for path in folder.glob("*")])
        if folder.is_dir():
            folder.rmdir()
        self._places.branch(app, label).unlink(missing_ok=True)

    def mark(self, marked: Marked) -> Marked:
        """
        Note what manifests name that were not looked at before.

        Reading 200,000 manifests takes long: the first pass goes without the lock, and the second,
        with it, reads what came meanwhile.

        Raises:
            StoreError: a manifest cannot be read; what it names cannot be told.
        """
        for app, label in self._folders():
            for identifier in self._identifiers(app, label):
                path = self._places.manifest(app, label, identifier)
                if identifier in marked.deployments or not path.exists():
                    continue
                marked.deployments.add(identifier)
                entries = self.entries(self.header(app, label, identifier))
                marked.blobs.update(entry.sha256 for entry in entries)
        return marked

    def collect(self, marked: Marked, now: float) -> tuple[int, int]:
        """
        Delete what nothing names: how many blobs, how many bytes.

        Blobs younger than a lease stay: a deployment that found them present may be about to say
        so.
        """
        self._forget_abandoned(now)
        live = self.mark(marked).blobs
        for pending in self._all_pending():
            live.update(file.sha256 for file in pending.files.values())
        self.blobs.collect_staged(live, now - LEASE)
        return self.blobs.collect(live, now - LEASE)

    def _forget_abandoned(self, now: float) -> None:
        """Pending deployments that nobody continued."""
        for path in self._places.pending.glob("[0-9]*"):
            if path.stat().st_mtime < now - ABANDONED:
                path.unlink(missing_ok=True)


def _names(folder: str) -> list[str]:
    """What is in a folder, without temporary files; nothing if there is no such folder."""
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(folder) if name[0] != "."]  # noqa: PTH208  (names only)
    return []
