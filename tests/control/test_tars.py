"""Tars that packers write, and tars that attackers write."""

from __future__ import annotations

import gzip
import io
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.control.archives import ArchiveLimits, tar_members
from edge.control.sources import stage
from edge.errors import StoreError
from tests.support_archives import TAR_END as END
from tests.support_archives import header, member, pax, raw_pax

LIMITS = ArchiveLimits(files=20, bytes=20 * 1024**2, ratio=100)
MIB = 1024**2


def one(*members):
    """A tar of a good page and these blocks."""
    return member("index.html") + b"".join(members) + END


def bomb(size):
    """A gzip of one member of zeros."""
    return gzip.compress(one(member("bomb", bytes(size))), mtime=0)


def flipped(archive, at):
    """One byte turned over."""
    return archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]


PACKED = gzip.compress(one(member("last.html", b"hello" * 100)), mtime=0)


@pytest.mark.parametrize(
    ("archive", "name", "reason"),
    [
        pytest.param(one(member("/etc/passwd")), "/etc/passwd", "is absolute", id="absolute"),
        pytest.param(one(member("../up")), "../up", "'..' segment", id="parent"),
        pytest.param(one(member("a/../../up")), "a/../../up", "'..' segment", id="inner parent"),
        pytest.param(one(member("../up/", b"", b"5")), "../up/", "'..'", id="parent folder"),
        pytest.param(one(member("..", b"", b"5")), "'..'", "'..' segment", id="parent itself"),
        pytest.param(
            one(member("up", prefix=b"../..")), "../../up", "'..' segment", id="parent in prefix"
        ),
        pytest.param(one(member("a\\b")), "a\\\\b", "backslash", id="backslash"),
        pytest.param(one(member("C:x")), "C:x", "drive letter", id="drive"),
        pytest.param(one(member("a\rb")), "a\\rb", "control character", id="control"),
        pytest.param(one(member(b"caf\xe9")), "caf\\\\xe9", "not UTF-8", id="Latin-1"),
        pytest.param(one(member("")), "''", "is empty", id="no name"),
        pytest.param(
            one(member("d/" * 49 + "x", prefix=b"d/" * 19 + b"d")), "d/d", "folders deep", id="deep"
        ),
        pytest.param(
            one(member("link", b"", b"2", link=b"/etc/passwd")), "link", "symbolic", id="symlink"
        ),
        pytest.param(
            one(member("link", b"", b"2", link=b"index.html")), "link", "symbolic", id="inner link"
        ),
        pytest.param(
            one(member("hard", b"", b"1", link=b"../x")), "hard", "hard-dereference", id="hard link"
        ),
        pytest.param(one(member("tty", b"", b"3")), "tty", "character device", id="char device"),
        pytest.param(one(member("sda", b"", b"4")), "sda", "block device", id="block device"),
        pytest.param(one(member("pipe", b"", b"6")), "pipe", "named pipe", id="pipe"),
        pytest.param(one(member("holes", b"", b"S")), "holes", "sparse", id="GNU sparse"),
        pytest.param(one(member("rest", b"", b"M")), "rest", "volume", id="multi-volume"),
        pytest.param(one(member("odd", b"", b"Z")), "odd", "unknown type 'Z'", id="unknown type"),
        pytest.param(one(member("dir/", b"x", b"5")), "dir/", "content", id="folder with content"),
        pytest.param(one(member("a"), member("a")), "'a'", "twice", id="twice"),
        pytest.param(one(member("a"), member("A")), "'A'", "'a'", id="case"),
        pytest.param(one(member("\u00e9"), member("e\u0301")), "\u00e9", "form", id="Unicode form"),
        pytest.param(one(member("a"), member("a/b")), "a/b", "a folder", id="file and folder"),
        pytest.param(one(member("A/x"), member("a/y")), "a/y", "'A/x'", id="folders by case"),
        pytest.param(
            one(pax(path="../up"), member("fine")), "../up", "'..' segment", id="pax parent"
        ),
        pytest.param(
            one(pax(path="/etc/x"), member("fine")), "/etc/x", "is absolute", id="pax absolute"
        ),
        pytest.param(
            one(pax(path=b"\xff"), member("fine")), "\\\\xff", "not UTF-8", id="pax not UTF-8"
        ),
        pytest.param(one(pax(path=""), member("fine")), "''", "is empty", id="pax empty path"),
        pytest.param(
            one(pax(size="+3"), member("fine")), "fine", "malformed size", id="pax size with sign"
        ),
        pytest.param(
            one(pax(size="1_0"), member("fine")), "fine", "malformed size", id="pax size in Python"
        ),
        pytest.param(
            one(pax(size="-512"), member("fine")), "fine", "malformed size", id="pax size below 0"
        ),
        pytest.param(
            one(pax(size="9" * 19), member("fine")), "fine", "cut short", id="pax size far beyond"
        ),
        pytest.param(
            one(pax(GNU__sparse__major="1"), member("fine")), "next", "sparse", id="pax sparse"
        ),
        pytest.param(one(pax(b"g", path="x")), "next", "all members one path", id="global path"),
        pytest.param(one(pax(b"g", size="9")), "next", "all members one path", id="global size"),
        pytest.param(
            one(pax(path="a"), pax(path="b"), member("c")), "next", "second header", id="two pax"
        ),
        pytest.param(
            one(pax(path="a"), member("@LongLink", b"b\0", b"L"), member("c")),
            "@LongLink",
            "second header",
            id="pax and GNU name",
        ),
        pytest.param(
            one(member("@LongLink", b"../up\0", b"L"), member("c")),
            "../up",
            "'..' segment",
            id="parent in GNU name",
        ),
        pytest.param(one(raw_pax(b"99 path=a\n")), "next", "malformed pax", id="pax too long"),
        pytest.param(one(raw_pax(b"3 path=a\n")), "next", "malformed pax", id="pax too short"),
        pytest.param(one(raw_pax(b"0 path=a\n")), "next", "malformed pax", id="pax length 0"),
        pytest.param(one(raw_pax(b"+9 path=a\n")), "next", "malformed pax", id="pax sign"),
        pytest.param(one(raw_pax(b"9 path:a\n")), "next", "malformed pax", id="pax no equals"),
        pytest.param(
            one(raw_pax(b"9 path=a\n9 path=b\n")), "next", "malformed pax", id="pax key twice"
        ),
        pytest.param(one(pax(path="a")), "next", "does not follow", id="pax for nothing"),
        pytest.param(
            one(pax(comment="c" * (MIB + 1)), member("fine")), "next", "a header of", id="huge pax"
        ),
        pytest.param(
            one(header("@LongLink", 8**11 - 1, b"L")), "@LongLink", "a header of", id="8 GiB name"
        ),
        pytest.param(
            one(header("neg", 0, number=b"\xff" * 12)), "neg", "malformed size", id="size below 0"
        ),
        pytest.param(
            one(header("neg", 0, number=b"-0000000001\0")), "neg", "malformed", id="size with sign"
        ),
        pytest.param(
            one(header("vast", 0, number=b"\x80" + b"\xff" * 11)), "vast", "cut short", id="2^88"
        ),
        pytest.param(
            one(member("bad", checksum=b"0000000\0")), "index.html", "damaged header", id="checksum"
        ),
        pytest.param(one(member("a"))[:1536], "'a'", "cut short", id="cut in content"),
        pytest.param(one(member("a"))[:2048], "'a'", "before the archive is cut", id="no end mark"),
        pytest.param(one(member("a"))[:1700], "'a'", "cut short", id="cut in padding"),
        pytest.param(bomb(15 * MIB), "bomb", "as a bomb", id="bomb"),
        pytest.param(bomb(21 * MIB), "bomb", "as a bomb", id="large bomb"),
        pytest.param(one(member("big", bytes(21 * MIB))), "big", "over 20971520", id="too large"),
        pytest.param(
            gzip.compress(one(member("last")) + bytes(15 * MIB)), "last", "bomb", id="bomb behind"
        ),
        pytest.param(PACKED[:-20], "last.html", "cut short", id="cut gzip"),
        pytest.param(PACKED[:-4], "last.html", "cut short", id="cut gzip trailer"),
        pytest.param(flipped(PACKED, -6), "last.html", "damaged", id="gzip CRC"),
        pytest.param(PACKED + b"junk", "last.html", "damaged", id="junk behind gzip"),
        pytest.param(
            one(*(member(str(number)) for number in range(20))), "'19'", "20 are", id="too many"
        ),
        pytest.param(
            one(*(member(f"{n}/", b"", b"5") for n in range(41))), "39/", "40 are", id="folders"
        ),
    ],
)
def test_a_hostile_member_is_refused_by_name(tmp_path, archive, name, reason):
    """The message names the member and the reason, and nothing stays in the workspace."""
    assert_refused(tmp_path, archive, name, reason)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        pytest.param(END, "holds no files", id="empty"),
        pytest.param(bytes(512), "holds no files", id="empty, one mark"),
        pytest.param(gzip.compress(b""), "cut short", id="gzip of nothing"),
        pytest.param(gzip.compress(b"x" * 5000), "no tar archive", id="gzip of something else"),
        pytest.param(one() + one(), "goes on behind its end", id="two archives"),
        pytest.param(gzip.compress(one()) + gzip.compress(one()), "goes on behind", id="two gzips"),
        pytest.param(
            member("__MACOSX/x") + member(".git/x", b"", b"2") + END, "no files", id="leavings"
        ),
        pytest.param(member("dist/index.html") + END, "cd dist && zip -r", id="folder"),
    ],
)
def test_a_broken_tar_is_refused(tmp_path, archive, reason):
    """What concerns no single member is said of the archive."""
    assert_refused(tmp_path, archive, "site.tar", reason)


def assert_refused(tmp_path, archive, name, reason):
    """Stages an archive and looks at what is said and what is left."""
    file = tmp_path / "site.tar"
    file.write_bytes(archive)
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    with pytest.raises(StoreError) as refusal:
        stage(str(file), workspace, limits=LIMITS)

    said = str(refusal.value).removeprefix(str(tmp_path))
    assert name in said
    assert reason in said
    assert list(workspace.iterdir()) == []


def contents(archive):
    """Path → bytes, as the members yield them."""
    members = tar_members(io.BytesIO(archive), LIMITS)
    return {member.path: b"".join(member.chunks) for member in members}


def test_old_and_odd_spellings_are_understood():
    """Contiguous files, V7 folders, GNU's magic, base 256, spaces before numbers, `./`."""
    archive = b"".join(
        [
            member("./", b"", b"5"),
            member("./index.html", b"1"),
            member("seven", b"2", b"7"),
            member("zero", b"3", b"\0", magic=bytes(8)),
            member("folder/", b"", b"\0", magic=bytes(8)),
            member("gnu", b"4", magic=b"ustar  \0", prefix=b"12345"),
            member("wide", b"5", number=b"\x80" + bytes(10) + b"\1"),
            member("spaces", b"6", number=b"          1 "),
            member("deep", b"7", prefix=b"a/b"),
            pax(b"g", comment="a commit"),
            pax(path="caf\u00e9", size="1", mtime="1.5"),
            member("short", b"8", number=b"00000000777\0"),
            END,
        ]
    )

    assert contents(archive) == {
        "index.html": b"1",
        "seven": b"2",
        "zero": b"3",
        "gnu": b"4",
        "wide": b"5",
        "spaces": b"6",
        "a/b/deep": b"7",
        "caf\u00e9": b"8",
    }


def test_what_is_not_consumed_is_passed_over():
    """A caller may ask for the next member without having read this one."""
    archive = one(member("a", b"a" * 70_000), member("b"))

    paths = [found.path for found in tar_members(io.BytesIO(archive), LIMITS)]

    assert paths == ["index.html", "a", "b"]


def test_nothing_is_read_before_it_is_asked_for():
    """A bomb behind the first member does not concern who stops there."""
    members = tar_members(io.BytesIO(bomb(15 * MIB)), LIMITS)

    assert [found.path for found in islice(members, 1)] == ["index.html"]


GOOD = one(pax(path="a/b.html"), member("short"), member("c"))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_harmless(at, value):
    """Whatever byte is changed: a StoreError or clean content; no other exception."""
    archive = bytearray(GOOD)
    archive[at] = value
    try:
        found = contents(bytes(archive))
    except StoreError:
        return

    assert all(len(data) == 1 for data in found.values())


@given(st.integers(0, len(GOOD) - len(END)))
def test_a_tar_cut_anywhere_is_refused(size):
    """No prefix of a tar without an end mark is a tar."""
    with pytest.raises(StoreError):
        contents(GOOD[:size])
