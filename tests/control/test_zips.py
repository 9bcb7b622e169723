"""Zips that packers write, and zips that attackers write."""

from __future__ import annotations

import io
import struct
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.control.archives import ArchiveLimits, zip_members
from edge.control.members import CHUNK
from edge.control.sources import stage
from edge.errors import StoreError
from tests.support_archives import Packer, deflate, extra, unicode_path

LIMITS = ArchiveLimits(files=20, bytes=20 * 1024**2, ratio=100)
MIB = 1024**2


def one(name, data=b"x", **lies):
    """A zip of a good page and one member."""
    return Packer().add("index.html").add(name, data, **lies).bytes()


def several(*names):
    """A zip of these names."""
    packer = Packer()
    for name in names:
        packer.add(name)
    return packer.bytes()


def zip64_end(count, **lies):
    """A zip that announces its count in the wide form."""
    packer = Packer().add("index.html")
    start, length = len(packer.body), len(packer.directory)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    at = lies.get("at", start + length)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, lies.get("disks", 1))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, length, start, 0)
    return bytes(packer.body + packer.directory) + wide + locator + end


def quine():
    """Two names for the same local header."""
    return Packer().add("a.html").add("b.html", offset=0).bytes()


def overlap():
    """A member whose content is the next member's header and content: Fifield's bomb."""
    kernel = Packer().add("kernel.html", b"k" * 100, method=8).body
    packer = Packer().add("outer.html", bytes(kernel))
    inside = len(packer.body) - len(kernel)
    data = b"k" * 100
    packer.add("kernel.html", data, method=8, offset=inside)
    return packer.bytes()


def into_directory():
    """A stored member that goes on into the central directory."""
    return one("a.html", b"x", packed=60, size=60, local_packed=60, local_size=60)


def truncated(size):
    """A good zip without its last bytes."""
    return several("index.html", "a.html")[:-size]


def many_huge():
    """Members that are small alone and too much together."""
    packer = Packer()
    for number in range(5):
        packer.add(f"{number}.bin", bytes(5 * MIB), method=8)
    return packer.bytes()


@pytest.mark.parametrize(
    ("archive", "member", "reason"),
    [
        pytest.param(one("/etc/passwd"), "/etc/passwd", "is absolute", id="absolute"),
        pytest.param(one("../up.html"), "../up.html", "'..' segment", id="parent"),
        pytest.param(one("a/../../up.html"), "a/../../up.html", "'..' segment", id="inner parent"),
        pytest.param(one("../up/"), "../up/", "'..' segment", id="parent folder"),
        pytest.param(one("..\\up.html"), "..\\\\up.html", "backslash", id="backslash"),
        pytest.param(one("C:/up.html"), "C:/up.html", "drive letter", id="drive"),
        pytest.param(one("a\0b.html"), "a\\x00b.html", "control character", id="NUL"),
        pytest.param(one("a\nb.html"), "a\\nb.html", "control character", id="newline"),
        pytest.param(one("a//b.html"), "a//b.html", "empty segment", id="empty segment"),
        pytest.param(one("a/./b.html"), "a/./b.html", "'.' segment", id="dot segment"),
        pytest.param(one("././b.html"), "././b.html", "'.' segment", id="two leading dots"),
        pytest.param(one(""), "''", "is empty", id="no name"),
        pytest.param(one("n" * 300), "n" * 200, "longer than 255", id="long segment"),
        pytest.param(one("d/" * 64 + "x"), "d/d/d/", "folders deep", id="deep"),
        pytest.param(one("n" * 60000), "n" * 200, "longer than 1024", id="very long name"),
        pytest.param(one(b"caf\x82.html", flags=0), "caf\\\\x82.html", "UTF-8", id="code page"),
        pytest.param(one("link", mode=0o120777), "link", "symbolic link", id="symlink"),
        pytest.param(one("dev", mode=0o020666), "dev", "device", id="device"),
        pytest.param(one("pipe", mode=0o010666), "pipe", "device, pipe", id="pipe"),
        pytest.param(one("dir/", b"x"), "dir/", "folder with content", id="folder with content"),
        pytest.param(several("a", "a"), "'a'", "twice", id="twice"),
        pytest.param(several("a.html", "A.html"), "A.html", "'a.html'", id="case"),
        pytest.param(several("\u00e9", "e\u0301"), "\u00e9", "Unicode form", id="Unicode form"),
        pytest.param(several("a", "a/b"), "a/b", "to be a folder", id="file and folder"),
        pytest.param(several("A/x", "a/y"), "a/y", "'A/x'", id="folders by case"),
        pytest.param(one("secret", flags=0x801), "secret", "encrypted", id="encrypted"),
        pytest.param(one("secret", flags=0x841), "secret", "encrypted", id="strongly encrypted"),
        pytest.param(one("x", method=12), "'x'", "method 12", id="bzip2"),
        pytest.param(one("x", method=99), "'x'", "method 99", id="AES"),
        pytest.param(one("x", local_name=b"y"), "'y'", "in its own header", id="other local name"),
        pytest.param(one("xy", local_method=8), "'xy'", "two ways", id="other local method"),
        pytest.param(one("xy", local_flags=1), "'xy'", "two ways", id="locally encrypted"),
        pytest.param(one("xy", local_size=9), "'xy'", "two ways", id="other local size"),
        pytest.param(one("xy", offset=41), "'xy'", "not where", id="offset into nothing"),
        pytest.param(quine(), "a.html", "shares bytes", id="one header, two names"),
        pytest.param(overlap(), "outer.html", "shares bytes", id="overlap"),
        pytest.param(into_directory(), "a.html", "shares bytes", id="into the directory"),
        pytest.param(one("xy", b"123", crc=7), "'xy'", "CRC", id="CRC"),
        pytest.param(one("xy", b"1" * 9, method=8, size=5), "'xy'", "larger", id="says too little"),
        pytest.param(one("xy", b"1" * 9, method=8, size=15), "'xy'", "smaller", id="says too much"),
        pytest.param(one("xy", b"123", size=5), "'xy'", "two sizes", id="stored, two sizes"),
        pytest.param(one("xy", method=8, content=b"\xff" * 9), "'xy'", "inflated", id="no deflate"),
        pytest.param(
            one("xy", b"123" * 9, method=8, content=deflate(b"123" * 9)[:-2]),
            "'xy'",
            "cut short",
            id="cut deflate",
        ),
        pytest.param(
            one("xy", b"123", method=8, content=deflate(b"123") + b"hidden"),
            "'xy'",
            "behind its content",
            id="bytes behind deflate",
        ),
        pytest.param(one("bomb", bytes(15 * MIB), method=8), "bomb", "as a bomb", id="bomb"),
        pytest.param(
            one("bomb", bytes(15 * MIB), method=8, size=1), "bomb", "larger", id="lying bomb"
        ),
        pytest.param(one("big", bytes(21 * MIB), method=8), "big", "over 20971520", id="too large"),
        pytest.param(many_huge(), "2.bin", "as a bomb", id="together too much"),
        pytest.param(several(*map(str, range(21))), "'20'", "20 are allowed", id="too many"),
        pytest.param(
            several(*(f"{number}/{number}/x" for number in range(11))),
            "10/10/x",
            "20 are allowed",
            id="too many folders",
        ),
        pytest.param(one("xy", extra=b"\1\0\xff\0x"), "'xy'", "extra field", id="extra overrun"),
        pytest.param(one("xy", size=0xFFFFFFFF), "'xy'", "lacks its size", id="no zip64 size"),
        pytest.param(one("xy", extra=extra(1, b"") * 2), "'xy'", "extra field", id="extra twice"),
        pytest.param(
            one("xy", extra=unicode_path(b"xy", b"../z")), "'xy'", "two names", id="two names"
        ),
        pytest.param(
            one("xy", flags=0, extra=unicode_path(b"xy", b"../z")),
            "../z",
            "'..' segment",
            id="parent in Info-ZIP's name",
        ),
        pytest.param(one("xy", disk=1), "'xy'", "another disk", id="another disk"),
    ],
)
def test_a_hostile_member_is_refused_by_name(tmp_path, archive, member, reason):
    """The message names the member and the reason, and nothing stays in the workspace."""
    assert_refused(tmp_path, archive, member, reason)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        pytest.param(truncated(1), "end of the zip is missing", id="cut by one byte"),
        pytest.param(truncated(60), "end of the zip is missing", id="cut in the directory"),
        pytest.param(several("a") + b"x", "does not stop at its end", id="bytes behind"),
        pytest.param(b"junk" + several("a"), "no archive", id="bytes before"),
        pytest.param(b"PK\3\4" + several("a"), "not where it should be", id="zip before"),
        pytest.param(Packer().add("a").bytes(count=0), "more members", id="hidden member"),
        pytest.param(Packer().add("a").bytes(count=2), "fewer members", id="missing member"),
        pytest.param(Packer().add("a").bytes(count=41), "counts 41", id="announces too many"),
        pytest.param(zip64_end(10**7), "counts 10000000", id="announces ten million"),
        pytest.param(zip64_end(1, at=5), "not where it should be", id="zip64 elsewhere"),
        pytest.param(zip64_end(1, at=2**40), "not where it should be", id="zip64 far away"),
        pytest.param(zip64_end(1, disks=2), "not where it should be", id="zip64 of two disks"),
        pytest.param(Packer().add("a").bytes(length=5), "not where it should", id="short length"),
        pytest.param(Packer().add("a").bytes(disk=1), "one part of several", id="split"),
        pytest.param(Packer().bytes(), "holds no files", id="empty"),
        pytest.param(several("__MACOSX/x", ".git/config"), "holds no files", id="only leavings"),
        pytest.param(several("dist/index.html", "dist/a"), "cd dist && zip -r", id="folder"),
    ],
)
def test_a_broken_zip_is_refused(tmp_path, archive, reason):
    """What concerns no single member is said of the archive."""
    assert_refused(tmp_path, archive, "site.zip", reason)


def assert_refused(tmp_path, archive, name, reason):
    """Stages an archive and looks at what is said and what is left."""
    file = tmp_path / "site.zip"
    file.write_bytes(archive)
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    with pytest.raises(StoreError) as refusal:
        stage(str(file), workspace, limits=LIMITS)

    said = str(refusal.value).removeprefix(str(tmp_path))
    assert name in said
    assert reason in said
    assert list(workspace.iterdir()) == []


def contents(archive, limits=LIMITS):
    """Path → bytes, as the members yield them."""
    members = zip_members(io.BytesIO(archive), limits)
    return {member.path: b"".join(member.chunks) for member in members}


def test_exactly_65535_members_need_no_wide_end():
    """The number that announces zip64 is also a number."""
    packer = Packer()
    for number in range(65_535):
        packer.add(str(number), b"")

    assert len(contents(packer.bytes(), ArchiveLimits())) == 65_535


def test_names_without_the_flag_are_utf8():
    """macOS writes UTF-8 and does not say so; Info-ZIP says it in an extra field."""
    packer = Packer()
    packer.add("\u00e9", flags=0)
    packer.add(b"\x82x", flags=0, extra=unicode_path(b"\x82x", "\u00e9x".encode()))
    packer.add("y", flags=0, extra=extra(0x7075, b"\1stale") + extra(0x5455, b"\1time"))

    assert contents(packer.bytes()) == {"\u00e9": b"x", "\u00e9x": b"x", "y": b"x"}


def test_leavings_are_passed_over():
    """Version control, Finder's notes and AppleDouble folders are not published."""
    archive = several(
        "index.html",
        ".git/config",
        "a/.hg/x",
        ".svn/y",
        "__MACOSX/._a",
        "a/.DS_Store",
        ".gitignore",
    )

    assert sorted(contents(archive)) == [".gitignore", "index.html"]


def test_a_leading_dot_folder_is_the_archive_itself():
    """`./x` is x, and `./` is nothing."""
    packer = Packer().add("./", b"").add("./index.html")

    assert contents(packer.bytes()) == {"index.html": b"x"}


def test_what_is_not_consumed_is_checked_nevertheless():
    """A caller that asks for the next member without reading this one hears of its damage."""
    members = zip_members(io.BytesIO(one("xy", b"123", crc=7)), LIMITS)
    next(members)
    next(members)

    with pytest.raises(StoreError, match="CRC"):
        next(members)


def test_a_bomb_is_stopped_while_it_inflates():
    """A member that lies about its size yields no more than a chunk beyond it."""
    archive = one("bomb", bytes(15 * MIB), method=8, size=MIB)
    members = zip_members(io.BytesIO(archive), LIMITS)
    next(members)
    bomb = next(members)

    assert sum(map(len, islice(bomb.chunks, MIB // CHUNK))) <= MIB
    with pytest.raises(StoreError, match="larger than it claims"):
        next(bomb.chunks)


GOOD = several("index.html", "a/b.html", "c")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_harmless(at, value):
    """Whatever byte is changed: a StoreError, or files with clean names; no other exception."""
    archive = bytearray(GOOD)
    archive[at] = value
    try:
        found = contents(bytes(archive))
    except StoreError:
        return

    assert all(data == b"x" for data in found.values())


@given(st.integers(0, len(GOOD) - 1))
def test_a_zip_cut_anywhere_is_refused(size):
    """No prefix of a zip is a zip."""
    with pytest.raises(StoreError):
        contents(GOOD[:size])
