"""
What a deployer may announce: the names of an app, a branch and a deployment, and a tree of files.

Here: the grammar, by which these names may become parts of file names and hosts. Not here: what
of it is stored (`deployments`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from edge.errors import StoreError
from edge.site.decoding import decode_json
from edge.site.limits import Limits
from edge.site.manifest import Header
from edge.site.paths import Collisions, check_artifact_path

APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
IDENTIFIER = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")

MAX_BRANCH = 255
"""Characters of a branch's name: what git's file systems allow."""


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as a deployer announces it."""

    sha256: str
    size: int


class Announcement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deployment as a deployer announces it."""

    files: dict[str, FileDigest]
    message: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment whose blobs are still on their way."""

    header: Header
    files: dict[str, FileDigest]
    withheld: list[str] = []
    """Blobs that have to be sent, though another app may have them (`belongings`)."""


class BranchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The label that a branch was given at its first deploy, for good."""

    name: str
    label: str
    created: float


class Malformed(StoreError):
    """Not of the form that is asked for."""


def decode_announcement(body: bytes) -> Announcement:
    """
    An announcement as JSON.

    Raises:
        Malformed: it is something else.
    """
    try:
        return decode_json(body, Announcement)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f'{error}; send {{"files": {{path: {{sha256, size}}}}}}') from error


def check_names(app: str, branch: str) -> None:
    """
    Refuse an app that is no DNS label, and a branch that no URL or table could show.

    Raises:
        StoreError: with the name and what it may be.
    """
    if not APP_NAME.fullmatch(app):
        raise StoreError(f"{app!r} is no app name: use a-z, 0-9 and -, 63 characters at most")
    if branch in {".", ".."}:
        raise StoreError(f"{branch!r} is no branch name: to URLs and disks it is a folder")
    if not 0 < len(branch) <= MAX_BRANCH or not branch.isprintable():
        raise StoreError(f"{branch!r} is no branch name: 1 to {MAX_BRANCH} printable characters")


def check_files(files: Mapping[str, FileDigest], limits: Limits) -> None:
    """
    Refuse a tree that could not be served as it is.

    Raises:
        StoreError: with the path and the reason.
    """
    if not files:
        raise StoreError("a deployment without files is refused")
    if len(files) > limits.archive_files:
        raise StoreError(
            f"{len(files)} files are over limits.archive_files, {limits.archive_files}"
        )
    collisions = Collisions()
    total = 0
    for path, file in files.items():
        try:
            check_artifact_path(path)
            collisions.add(path)
        except ValueError as error:
            raise StoreError(f"{path!r}: {error}") from error
        check_digest(path, file, limits)
        total += file.size
    if total > limits.archive_bytes:
        raise StoreError(f"{total} bytes are over limits.archive_bytes, {limits.archive_bytes}")


def check_digest(path: str, file: FileDigest, limits: Limits) -> None:
    """
    Refuse what no file can have, and files that are too large.

    Raises:
        StoreError: with the path and the reason.
    """
    if not SHA256.fullmatch(file.sha256) or file.size < 0:
        raise StoreError(f"{path!r}: sha256 takes 64 hex digits and size a byte count")
    if file.size > limits.blob_bytes:
        raise StoreError(f"{path!r}: {file.size} bytes are over limits.blob_bytes")


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
