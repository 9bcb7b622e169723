"""A backup as a file. What hostile ones do is in `test_restore`."""

from __future__ import annotations

import io
import subprocess

import pytest

from edge.control import backup_format
from edge.control.backup_format import FORMAT, Front, Reader, Writer, belongs
from edge.errors import StoreError


def front(files: dict[str, bytes]) -> Front:
    """What a backup of these files says of itself."""
    size = sum(map(len, files.values()))
    return Front(format=FORMAT, made=1.5, version="1", generation=7, files=len(files), bytes=size)


def written(files: dict[str, bytes]) -> bytes:
    """A backup of these files."""
    out = io.BytesIO()
    writer = Writer(out, front(files))
    for path, content in files.items():
        writer.add(path, len(content), 1_700_000_000, io.BytesIO(content))
    writer.finish()
    return out.getvalue()


FILES = {
    "current": b"generations/7",
    "a/" + "n" * 150 + "/" + "m" * 150: b"a long name",
    "deployments/ü": b"",
    "blobs/aa/b": bytes(range(256)) * 5000,
}


def test_what_is_written_is_read():
    """Long and strange names, empty and large files, times."""
    reader = Reader(io.BytesIO(written(FILES)))
    found = {piece.path: (piece.mtime, b"".join(piece.chunks)) for piece in reader.pieces()}

    assert reader.front == front(FILES)
    assert found == {path: (1_700_000_000, content) for path, content in FILES.items()}


def test_other_programs_read_it_too(tmp_path):
    """It is a tar, by zstd."""
    (tmp_path / "backup").write_bytes(written(FILES))
    import zstandard  # noqa: PLC0415

    with (tmp_path / "backup").open("rb") as packed, (tmp_path / "tar").open("wb") as plain:
        zstandard.ZstdDecompressor().copy_stream(packed, plain)
    done = subprocess.run(
        ["tar", "-tf", tmp_path / "tar"], capture_output=True, text=True, check=True
    )

    names = done.stdout.splitlines()
    assert (names[0], names[-1]) == ("edge-backup.json", "edge-backup-end.json")
    assert len(names) == len(FILES) + 2


def test_a_file_that_shrinks_is_told():
    """While it is read."""
    writer = Writer(io.BytesIO(), front({}))
    with pytest.raises(StoreError, match="cut short while it was read"):
        writer.add("a", 10, 0, io.BytesIO(b"short"))


def test_a_disk_that_fails_is_not_taken_for_that():
    """Its own error is told."""

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    writer = Writer(Full(), front({"a": bytes(100)}))
    writer.add("a", 100, 0, io.BytesIO(bytes(100)))
    with pytest.raises(OSError, match="No space"):
        writer.finish()


def test_two_ends_are_one_too_many():
    """What stands behind the end is refused."""
    out = io.BytesIO()
    writer = Writer(out, front({}))
    writer._document(backup_format.END, writer._total.end())
    writer.finish()

    with pytest.raises(StoreError, match="damaged"):
        list(Reader(io.BytesIO(out.getvalue())).pieces())


@pytest.mark.parametrize(
    ("path", "is_in"),
    [
        ("blobs/ab/cd", True),
        ("tls/certs/files/[::1]/x~1.pem", True),
        ("tls/lock", False),
        ("tls/lock/x", True),
        ("lock", False),
        ("log/a", False),
        ("alarms.json", False),
        ("before-20260101-000000/blobs/a", False),
        ("..", False),
        ("a/.tmp-1", False),
    ],
)
def test_what_is_in_a_backup(path, is_in):
    """Nothing of this moment and this machine."""
    assert belongs(path) is is_in
