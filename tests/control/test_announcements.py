"""What a deployer may announce, and how the rest is refused."""

from __future__ import annotations

import pytest

from edge.control.announcements import (
    FileDigest,
    Malformed,
    check_files,
    check_identifier,
    check_names,
    decode_announcement,
)
from edge.errors import StoreError
from edge.site.limits import Limits

HASH = "a" * 64
ONE = {"index.html": FileDigest(HASH, 1)}


@pytest.mark.parametrize(
    ("app", "branch"),
    [("shop", "main"), ("a", "feature/Login_2"), ("0-0", "ü" * 255), ("a" * 63, "100%")],
    ids=["plain", "slash", "longest branch", "longest app"],
)
def test_names_that_are_taken(app, branch):
    """Apps are DNS labels; branches are whatever git and a person can write."""
    check_names(app, branch)


@pytest.mark.parametrize("app", ["", "Shop", "a_b", "-a", "a-", "a.b", "a/b", "..", "a" * 64, "ä"])
def test_app_names_that_are_refused(app):
    """The text shows the name and the grammar."""
    with pytest.raises(StoreError, match=r"is no app name: use a-z"):
        check_names(app, "main")


@pytest.mark.parametrize("branch", ["", ".", "..", "a\nb", "a\0", "\x1b[31m", "\ud800", "b" * 256])
def test_branch_names_that_are_refused(branch):
    """What no URL or terminal could show; a folder's name is said to be one."""
    why = "it is a folder" if branch in (".", "..") else "1 to 255 printable characters"
    with pytest.raises(StoreError, match=rf"is no branch name: .*{why}$"):
        check_names("shop", branch)


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "a\\b", "", "a/./b", "C:/a", "a\0b"])
def test_paths_that_are_refused(path):
    """The path is named."""
    with pytest.raises(StoreError) as refused:
        check_files({path: FileDigest(HASH, 1)}, Limits())

    assert str(refused.value).startswith(repr(path))


@pytest.mark.parametrize(
    ("digest", "text"),
    [
        (FileDigest("A" * 64, 1), "64 hex digits"),
        (FileDigest("a" * 63, 1), "64 hex digits"),
        (FileDigest("a" * 64 + "\n", 1), "64 hex digits"),
        (FileDigest("../" + "a" * 61, 1), "64 hex digits"),
        (FileDigest(HASH, -1), "byte count"),
        (FileDigest(HASH, 101), "limits.blob_bytes"),
    ],
    ids=["capitals", "short", "newline", "path", "negative", "large"],
)
def test_digests_that_are_refused(digest, text):
    """A hash becomes a file name, and a size a promise."""
    with pytest.raises(StoreError, match=rf"^'a.txt': .*{text}"):
        check_files({"a.txt": digest}, Limits(blob_bytes=100))


@pytest.mark.parametrize(
    ("files", "limits", "text"),
    [
        ({}, Limits(), "without files"),
        ({f"{n}": FileDigest(HASH, 1) for n in range(3)}, Limits(archive_files=2), "archive_files"),
        (
            {f"{n}": FileDigest(HASH, 5) for n in range(3)},
            Limits(archive_bytes=14),
            "archive_bytes",
        ),
        ({"A.html": ONE["index.html"], "a.html": ONE["index.html"]}, Limits(), "differ only by"),
    ],
    ids=["none", "many", "large", "collision"],
)
def test_trees_that_are_refused(files, limits, text):
    """The limit is named, so that the operator knows which to raise."""
    with pytest.raises(StoreError, match=text):
        check_files(files, limits)


def test_a_tree_at_its_limits_is_taken():
    """Limits include themselves."""
    check_files(ONE, Limits(archive_files=1, archive_bytes=1, blob_bytes=1))


def test_an_announcement_is_decoded():
    """Files by path, and a message that may be missing."""
    body = b'{"files": {"index.html": {"sha256": "%s", "size": 1}}}' % HASH.encode()

    found = decode_announcement(body)

    assert (found.files, found.message) == (ONE, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"files": []}',
        b'{"files": {"a": 1}}',
        b'{"files": {"a": {"sha256": "x"}}}',
        b'{"files": {"a": {"sha256": "x", "size": 1.5}}}',
        b'{"files": {"a": {"sha256": "x", "size": "1"}}}',
        b'{"files": {}, "mesage": "typo"}',
        b'{"files": {}, "message": 5}',
        b'{"files": {"\xff": {"sha256": "x", "size": 1}}}',
        b'{"files": {"\\ud800": {"sha256": "x", "size": 1}}}',
    ],
)
def test_what_is_no_announcement_is_malformed(body):
    """The text says what to send."""
    with pytest.raises(Malformed, match=r"send \{\"files\""):
        decode_announcement(body)


@pytest.mark.parametrize("identifier", ["", "x", "../20260101-000000-aaaaaa", "20260101-000000-*"])
def test_what_is_no_deployment_id_is_refused(identifier):
    """It would become a file name."""
    with pytest.raises(StoreError, match="is no deployment id"):
        check_identifier(identifier)


def test_a_deployment_id_is_returned():
    """As it was given."""
    assert check_identifier("20260131-093000-1a2b3c") == "20260131-093000-1a2b3c"
