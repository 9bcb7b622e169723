"""Archives that ordinary packers write come out as they went in; what is no archive says so."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edge.control.archives import ArchiveLimits, archive_members
from edge.errors import StoreError

FILES = {
    "index.html": b"<!doctype html>",
    "empty": b"",
    "a/caf\u00e9.txt": b"x" * 3_000_000,
    "a/b/noise": zlib.compress(bytes(range(256)) * 4000),
    "/".join(["n" * 120] * 5): b"behind a name too long for ustar",
}


def contents(archive, limits=None):
    """Path → bytes, as the members yield them."""
    members = archive_members(io.BytesIO(archive), limits or ArchiveLimits())
    return {member.path: b"".join(member.chunks) for member in members}


def test_what_zipfile_packs_comes_out():
    """Stored, deflated, empty and large members, folders, comments and Unicode names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packer:
        packer.comment = b"PK\1\2 packed by hand"
        packer.mkdir("a")
        for number, (path, data) in enumerate(FILES.items()):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            packer.writestr(path, data, method)

    assert contents(buffer.getvalue()) == FILES


def test_a_zip_written_to_a_pipe_comes_out():
    """Sizes behind the content (data descriptors) and forced zip64 fields are understood."""

    class Pipe(io.RawIOBase):
        data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as packer:
        with packer.open("index.html", "w", force_zip64=True) as member:
            member.write(b"streamed" * 1000)
        packer.writestr("b", b"2")

    assert contents(pipe.data) == {"index.html": b"streamed" * 1000, "b": b"2"}


def test_more_members_than_16_bits_count():
    """A zip of 70,000 files has a zip64 end, which is found."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packer:
        for number in range(70_000):
            packer.writestr(str(number), b"")

    assert len(contents(buffer.getvalue())) == 70_000


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["GNU", "pax"])
def test_what_tarfile_packs_comes_out(mode, form):
    """GNU's long names and pax headers, plain and gzipped."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as packer:
        for path, data in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            packer.addfile(info, io.BytesIO(data))

    assert contents(buffer.getvalue()) == FILES


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("zip -qr - .", id="zip to a pipe"),
        pytest.param("tar c .", id="tar"),
        pytest.param("tar cz *", id="tar.gz"),
        pytest.param("tar c --format=ustar .", id="ustar"),
        pytest.param("tar c --format=v7 --mode=644 *", id="V7"),
        pytest.param("tar cz --format=pax .", id="pax"),
    ],
)
def test_what_the_commands_pack_comes_out(tmp_path, command):
    """Debian's zip and tar, with the options people use."""
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_bytes(b"hello" * 1000)
    (tmp_path / "a" / "caf\u00e9").write_bytes(b"")

    packed = subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)

    assert contents(packed.stdout) == {"index.html": b"hello" * 1000, "a/caf\u00e9": b""}


def test_what_git_archives_comes_out():
    """git's global pax header carries a comment, which changes no member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "a" * 40}) as packer:
        info = tarfile.TarInfo("index.html")
        info.size = 1
        packer.addfile(info, io.BytesIO(b"x"))

    assert contents(buffer.getvalue()) == {"index.html": b"x"}


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        pytest.param(lzma.compress(b"x"), "xz", id="xz"),
        pytest.param(bz2.compress(b"x"), "bzip2", id="bzip2"),
        pytest.param(zstandard.compress(b"x"), "zstd", id="zstd"),
        pytest.param(b"7z\xbc\xaf\x27\x1c rest", "7z", id="7z"),
        pytest.param(b"Rar!\x1a\x07\x01\x00", "rar", id="rar"),
        pytest.param(b"<!doctype html><title>Sign in", "HTML", id="HTML"),
        pytest.param(b"hello", "no archive", id="text"),
        pytest.param(b"", "no archive", id="nothing"),
    ],
)
def test_another_format_is_named(archive, reason):
    """The deployer learns what the file is and what to hand in."""
    with pytest.raises(StoreError, match=rf"{reason}.*; hand in"):
        contents(archive)


def test_a_site_of_empty_pages_is_no_bomb():
    """Below 10 MiB no ratio is refused."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packer:
        packer.writestr("index.html", bytes(9 * 1024**2))

    assert len(contents(buffer.getvalue())["index.html"]) == 9 * 1024**2


@given(st.binary(max_size=2000), st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"\0"]))
def test_noise_is_refused(noise, magic):
    """Whatever the bytes: a StoreError, or a tree; no other exception."""
    for archive in (magic + noise, gzip.compress(magic + noise)):
        try:
            contents(archive)
        except StoreError:
            continue
