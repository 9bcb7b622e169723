"""
Archives that lie, through the door that deployers use: refused by name, or exactly the tree.

What single fields can say wrong stands in `tests/control/test_zips.py` and `test_tars.py`. Here are
archives that two readers could understand in two ways, those that cost much, and any of them.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.control.archives import ArchiveLimits, archive_members
from edge.control.sources import stage
from edge.errors import StoreError
from tests.support_archives import TAR_END, Packer, extra, header, member, pax, raw_pax
from tests.support_fuzz_archives import PYTHON_REFUSES, as_python_reads

KIB, MIB = 1024, 1024**2
LIMITS = ArchiveLimits(files=20, bytes=20 * MIB, ratio=100)
WIDE = 0xFFFFFFFF
"""A narrow field that says: look at the 64-bit one."""


# Zips


def page(packer=None):
    """A packer that has a page already."""
    return (packer or Packer()).add("index.html")


def wide(*values, **lies):
    """A zip whose member `vast` has its size, packed size or offset in 64 bits."""
    field = extra(1, b"".join(struct.pack("<Q", value) for value in values))
    return page().add("vast", **{"method": 8, "extra": field} | lies).bytes()


def hidden():
    """A member with a local header that the directory does not list."""
    packer = Packer().add("evil.html", b"evil")
    packer.directory.clear()
    packer.count = 0
    return page(packer).bytes()


def with_descriptor(crc):
    """A member whose CRC and sizes follow it, as a packer that writes to a pipe does."""
    packer = Packer().add("a", b"123", flags=0x808, local_crc=0, local_packed=0, local_size=0)
    packer.body += struct.pack("<4s3L", b"PK\x07\x08", crc, 3, 3)
    return page(packer).bytes()


def two_ends():
    """A whole other zip in the comment of a zip; its offsets count from its own start."""
    return page().bytes(comment=Packer().add("evil.html").bytes())


def two_true_ends():
    """The same, its offsets counted from the start of the file: both ends could be believed."""
    outer = page()
    start = len(outer.bytes())
    inner = Packer().add("evil.html")
    directory = bytes(inner.directory[:-13]) + struct.pack("<L", start) + inner.directory[-9:]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), start + len(inner.body), 0)
    return outer.bytes(comment=bytes(inner.body) + directory + end)


def crowded(count, announced):
    """A directory of `count` empty members that says how many it would like to have."""
    packer = Packer().add("x", b"")
    line = bytes(packer.directory)
    packer.directory = bytearray(line * count)
    return packer.bytes(count=announced)


def matryoshka(depth, archive):
    """A zip in a zip in a zip."""
    for level in range(depth):
        archive = Packer().add(f"{level}.zip", archive, method=8).bytes()
    return archive


def full_overlap():
    """Every name inflates the same kernel: David Fifield's bomb in its simplest form."""
    packer = Packer().add("0", bytes(8 * MIB), method=8)
    line, size = bytes(packer.directory), len(packer.body)
    lines = [line[:-1] + bytes([ord("0") + number]) for number in range(10)]
    packer.directory, packer.count = bytearray(b"".join(lines)), 10
    assert size < 10 * KIB
    return packer.bytes()


def one_zip(name, data=b"x", **lies):
    """A zip of a page and one member."""
    return page().add(name, data, **lies).bytes()


ZIPS = [
    pytest.param(wide(2**63, 9, size=WIDE), "vast", "over 20971520", id="8 EiB"),
    pytest.param(wide(2**64 - 1, size=WIDE), "vast", "over 20971520", id="size of -1"),
    pytest.param(wide(packed=WIDE, size=WIDE), "vast", "lacks its size", id="no wide size"),
    pytest.param(wide(1, packed=WIDE, size=WIDE), "vast", "lacks its size", id="half a wide size"),
    pytest.param(wide(2**40, packed=WIDE), "vast", "shares bytes", id="packed beyond the file"),
    pytest.param(wide(2**40, offset=WIDE), "vast", "not where", id="offset beyond the file"),
    pytest.param(wide(2**64 - 1, offset=WIDE), "vast", "not where", id="offset of -1"),
    pytest.param(
        page().add("xy", extra=extra(1, bytes(8)) * 2).bytes(), "xy", "malformed extra",
        id="two wide sizes",
    ),
    pytest.param(two_ends(), "", "not where it should be", id="two ends"),
    pytest.param(page().bytes(comment=b"PK\5\6"), "", "end of the zip", id="an end in the comment"),
    pytest.param(page().bytes() * 2, "", "not where it should be", id="a zip behind a zip"),
    pytest.param(b"MZ" + page().bytes(), "", "no archive", id="a program before"),
    pytest.param(full_overlap(), "", "as a bomb does", id="ten names for one kernel"),
    pytest.param(
        page().add("bomb", bytes(15 * MIB), method=8).bytes(), "bomb", "as a bomb", id="bomb"
    ),
    pytest.param(
        page().add("a/", b"", mode=0o120777).bytes(), "a/", "symbolic link", id="link as a folder"
    ),
    pytest.param(
        page().add("a", b"/etc", mode=0o120777).add("a/passwd").bytes(), "'a'", "symbolic",
        id="through a link",
    ),
    pytest.param(page().add("s", mode=0o140644).bytes(), "'s'", "socket", id="socket"),
    pytest.param(page().add("stra\u00dfe").add("STRASSE").bytes(), "STRASSE", "case", id="\u00df"),
    pytest.param(page().add("\u212a").add("k").bytes(), "'k'", "case", id="Kelvin"),
    pytest.param(page().add("e\u0301/a").add("\u00e9/b").bytes(), "/b", "spell", id="NFD folder"),
    pytest.param(page().add("a\x7fb").bytes(), "x7f", "control", id="DEL"),
    pytest.param(page().add(b"\xed\xa0\x80").bytes(), "xed", "UTF-8", id="a lone surrogate"),
    pytest.param(page().add(b"\xc0\xae\xc0\xae/x").bytes(), "xc0", "UTF-8", id="overlong dots"),
    pytest.param(page().add("\\\\host\\x").bytes(), "host", "backslash", id="UNC"),
    pytest.param(page().add("a/..").bytes(), "a/..", "'..'", id="ends with two dots"),
    pytest.param(page().add("a", b"x", crc=0).bytes(), "'a'", "CRC", id="no CRC"),
    pytest.param(one_zip("x", b"a", size=2, local_size=1), "'x'", "two sizes", id="one byte more"),
]  # fmt: skip


# Tars


def one(*members):
    """A tar of a page and these blocks."""
    return member("index.html") + b"".join(members) + TAR_END


def long_name(name, ends=b"\0"):
    """GNU's header for a name that does not fit."""
    return member("././@LongLink", name.encode() + ends, b"L")


def wide_number(value):
    """GNU's base 256, of a value that may be negative."""
    return (value + (1 << 96 if value < 0 else 1 << 95)).to_bytes(12, "big")


def zipped_often(times, archive):
    """A gzip in a gzip in a gzip."""
    for _ in range(times):
        archive = gzip.compress(archive, mtime=0)
    return archive


LINK = member("a", b"", b"2", link=b"/etc")

TARS = [
    pytest.param(one(LINK, member("a/passwd")), "'a'", "symbolic", id="through a link"),
    pytest.param(
        one(pax(linkpath="/etc/passwd"), member("a", b"", b"2")), "'a'", "symbolic", id="pax link"
    ),
    pytest.param(
        one(pax(linkpath="../x"), member("a", b"", b"1")), "'a'", "hard link", id="pax hard link"
    ),
    pytest.param(
        one(member("././@LongLink", b"/etc/passwd\0", b"K"), member("a", b"", b"2")), "'a'",
        "symbolic", id="GNU long link",
    ),
    pytest.param(one(pax(path="a\0b"), member("x")), "x00", "control", id="NUL in a pax path"),
    pytest.param(one(pax(path="a\nb"), member("x")), "\\n", "control", id="LF in a pax path"),
    pytest.param(
        one(pax(size="513"), member("x", b"1"), member("y")), "'x'", "damaged header",
        id="pax size hides a header",
    ),
    pytest.param(one(pax(size="0x9"), member("x")), "'x'", "malformed size", id="hex pax size"),
    pytest.param(one(pax(size=" 1"), member("x")), "'x'", "malformed size", id="blank pax size"),
    pytest.param(
        one(pax(size="\u0661"), member("x")), "'x'", "malformed size", id="Arabic pax size"
    ),
    pytest.param(one(pax(size=""), member("x")), "'x'", "malformed size", id="no pax size"),
    pytest.param(one(header("x", 0, number=wide_number(-512))), "'x'", "size", id="size of -512"),
    pytest.param(
        one(header("x", 0, number=wide_number(2**62))), "'x'", "cut short", id="4 EiB in base 256"
    ),
    pytest.param(
        one(header("x", 0, number=b"0000000001x\0")), "'x'", "malformed", id="octal and garbage"
    ),
    pytest.param(one(header("x", 0, number=b"0x000000010\0"[:12])), "'x'", "malformed", id="hex"),
    pytest.param(one(header("x", 0, number=b"00000000008\0")), "'x'", "malformed", id="an 8"),
    pytest.param(
        one(header("x", 0, number=b"1\0" + b"7" * 10)), "'x'", "malformed", id="NUL in a size"
    ),
    pytest.param(
        one(header("x", 0, number=b"77777777777\0")), "'x'", "cut short", id="8 GiB of nothing"
    ),
    pytest.param(
        one(header("x", 0, number=bytes(4) + b"0000001\0")), "'x'", "malformed",
        id="NULs before a size",
    ),
    pytest.param(
        one(member("x", magic=bytes(8), prefix=b"p")), "'x'", "no known form",
        id="a prefix without a magic",
    ),
    pytest.param(one(long_name("../up"), member("x")), "../up", "'..'", id="GNU long parent"),
    pytest.param(one(long_name("n" * 1025), member("x")), "nnn", "longer", id="GNU long name"),
    pytest.param(
        one(long_name("a"), long_name("b"), member("x")), "@Long", "second header", id="two names"
    ),
    pytest.param(one(long_name("a")), "@Long", "does not follow", id="name for nothing"),
    pytest.param(
        one(pax(GNU__sparse__name="a", GNU__sparse__realsize="9"), member("x")), "next", "sparse",
        id="pax sparse name",
    ),
    pytest.param(
        one(pax(b"g", GNU__sparse__major="1"), member("x")), "next", "sparse", id="global sparse"
    ),
    pytest.param(one(member("V", b"", b"V")), "'V'", "unknown type 'V'", id="volume label"),
    pytest.param(one(member("D", b"x", b"D")), "'D'", "unknown type 'D'", id="GNU dump folder"),
    pytest.param(one(member("null", b"", b"3")), "null", "character device", id="device"),
    pytest.param(one(member("a/", b"", b"6")), "a/", "named pipe", id="pipe as a folder"),
    pytest.param(one(member("../", b"", b"5")), "../", "'..'", id="parent folder"),
    pytest.param(one(member("a"), member("a/", b"", b"5"), member("a/b")), "a/b", "is a file",
                 id="file, then folder"),
    pytest.param(one(member("stra\u00dfe"), member("STRASSE")), "STRASSE", "case", id="\u00df"),
    pytest.param(
        member("index.html") + bytes(512) + member("evil") + TAR_END, "", "goes on behind",
        id="a member behind one mark",
    ),
    pytest.param(one() + b"junk", "", "goes on behind", id="junk behind the end"),
    pytest.param(b"junk" * 128 + one(), "", "no archive", id="junk before"),
    pytest.param(zipped_often(2, one()), "", "archive is cut short", id="gzip in a gzip"),
    pytest.param(
        zipped_often(3, bytes(9 * MIB)), "", "archive is cut short", id="zeros, three times"
    ),
    pytest.param(gzip.compress(one())[:-8], "index.html", "cut short", id="gzip without its end"),
    pytest.param(gzip.compress(one())[:15], "", "archive is cut short", id="gzip cut in a header"),
    pytest.param(
        b"\x1f\x8b\x08\xff" + b"\xff" * 600, "", "archive is cut short", id="gzip of flags"
    ),
    pytest.param(
        one(*[member(f"{n}/", b"", b"5") for n in range(50)]), "39/", "40 are", id="folders"
    ),
    pytest.param(
        gzip.compress(one(*[pax(comment="c" * 900_000) + member(f"{n}") for n in range(19)])),
        "next", "bomb", id="bomb of comments",
    ),
    pytest.param(
        gzip.compress(one(*[pax(b"g", comment="c" * 900_000)] * 20)), "next", "bomb",
        id="bomb of global comments",
    ),
    pytest.param(
        one(raw_pax(b"".join(b"9 %04x=v\n" % n for n in range(65_536))[:-1])), "next", "malformed",
        id="65,536 records, the last without its end",
    ),
]  # fmt: skip


# What is odd, and can be understood in one way alone

PIPED = b"123"
EXACT = [
    pytest.param(hidden(), {"index.html": b"x"}, id="the directory lists less than there is"),
    pytest.param(two_true_ends(), {"evil.html": b"x"}, id="of two ends the last one"),
    pytest.param(with_descriptor(7), {"a": PIPED, "index.html": b"x"}, id="descriptor that lies"),
    pytest.param(page().bytes(comment=b"PK\5\6"[:3]), {"index.html": b"x"}, id="almost an end"),
    pytest.param(
        page().add("a.html.").add("a ").add("CON").add("xx:y").bytes(),
        {"index.html": b"x", "a.html.": b"x", "a ": b"x", "CON": b"x", "xx:y": b"x"},
        id="names that Windows has not",
    ),
    pytest.param(
        matryoshka(3, bytes(3000)), {"2.zip": matryoshka(2, bytes(3000))}, id="zips in a zip"
    ),
    pytest.param(page().add("e\u0301").bytes(), {"index.html": b"x", "e\u0301": b"x"}, id="NFD"),
    pytest.param(
        one(pax(size="0"), header("x", 512), member("y")),
        {"index.html": b"x", "x": b"", "y": b"x"}, id="pax size before ustar's",
    ),
    pytest.param(
        one(pax(size="0"), member("x", member("y"))), {"index.html": b"x", "x": b"", "y": b"x"},
        id="pax size shows a member",
    ),
    pytest.param(
        one(pax(linkpath="/etc/passwd"), member("x")), {"index.html": b"x", "x": b"x"},
        id="a link's target for a file",
    ),
    pytest.param(
        one(long_name("a/b", b""), member("x"), member("y", link=b"/etc")),
        {"index.html": b"x", "a/b": b"x", "y": b"x"}, id="GNU name without its NUL",
    ),
    pytest.param(
        one(pax(GNU__volume__label="x", SCHILY__realsize="99"), member("x")),
        {"index.html": b"x", "x": b"x"}, id="vendors' words",
    ),
    pytest.param(
        one(*[pax(b"g", comment="c")] * 50), {"index.html": b"x"}, id="many global comments"
    ),
    pytest.param(
        gzip.compress(one()[:1024]) + gzip.compress(TAR_END), {"index.html": b"x"},
        id="a gzip in two pieces",
    ),
    pytest.param(one() + bytes(10_240), {"index.html": b"x"}, id="zeros behind the end"),
]  # fmt: skip


def listing(folder):
    """Everything below a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def place(tmp_path):
    """An archive's name, a workspace, and something beside it that is not the archive's."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "index.html").write_bytes(b"not yours")
    (tmp_path / "workspace").mkdir()
    return tmp_path


@pytest.mark.parametrize(("archive", "name", "reason"), [*ZIPS, *TARS])
def test_a_hostile_archive_is_refused_and_leaves_nothing(place, archive, name, reason):
    """The message says which member and why; no file is there that was not before."""
    (place / "site").write_bytes(archive)
    before = listing(place)

    with pytest.raises(StoreError) as refusal:
        stage(str(place / "site"), place / "workspace", limits=LIMITS)

    said = str(refusal.value).removeprefix(str(place))
    assert name in said
    assert reason in said
    assert listing(place) == before


@pytest.mark.parametrize(("archive", "tree"), EXACT)
def test_an_odd_archive_is_exactly_its_tree(place, archive, tree):
    """Every file, its bytes, and nothing else; all of it in the workspace."""
    (place / "site").write_bytes(archive)
    before = listing(place)

    staged = stage(str(place / "site"), place / "workspace", limits=LIMITS)

    assert {path: file.file.read_bytes() for path, file in staged.items()} == tree
    kept = {str(file.file.relative_to(place)) for file in staged.values()}
    (own,) = (place / "workspace").iterdir()
    assert listing(place).keys() - before.keys() == {*kept, str(own.relative_to(place))}


@pytest.mark.parametrize(
    ("announced", "reason"),
    [(0, "more members than it counts"), (16_960, "counts 16960"), (40, "'x' appears twice")],
    ids=["nothing", "as much as 16 bits say", "as many as allowed"],
)
def test_a_directory_of_a_million_is_left_where_it_ends(announced, reason):
    """Its end announces fewer; no entry beyond those is read, or one too many."""
    archive = io.BytesIO(crowded(10**6, announced))
    tracemalloc.start()
    with pytest.raises(StoreError, match=reason):
        next(archive_members(archive, LIMITS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 256 * KIB


# What they cost

COSTLY = [
    pytest.param(full_overlap(), 2 * MIB, id="ten names for one kernel"),
    pytest.param(gzip.compress(one(member("a", bytes(19 * MIB)))), 2 * MIB, id="19 MiB of zeros"),
    pytest.param(one(long_name("n" * 900_000), member("x")), 4 * MIB, id="a long name"),
    pytest.param(one(*[pax(b"g", comment="c" * 900_000)] * 15), 4 * MIB, id="global comments"),
    pytest.param(
        one(raw_pax(b"".join(b"9 %04x=v\n" % n for n in range(65_536))), member("x")), 16 * MIB,
        id="65,536 records",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("archive", "most"), COSTLY)
def test_memory_does_not_grow_with_what_is_claimed(archive, most):
    """Chunks, the entries that the limits allow, and the headers of one member."""
    file = io.BytesIO(archive)
    tracemalloc.start()
    with contextlib.suppress(StoreError):
        for found in archive_members(file, LIMITS):
            for _ in found.chunks:
                pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < most


# Any of them

PARTS = st.sampled_from(
    ["a", "b", "A", "..", ".", "", "x.html", "\u00e9", "e\u0301", "\\", "\n", "C:", ".git"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=6)


def read(archive):
    """Path → bytes; None where the archive is refused."""
    try:
        members = archive_members(io.BytesIO(archive), LIMITS)
        return {found.path: b"".join(found.chunks) for found in members}
    except StoreError:
        return None


def as_tar(members):
    """These members in a tar."""
    return b"".join(member(name, data) for name, data in members) + TAR_END


def as_zip(members):
    """The same in a zip."""
    packer = Packer()
    for name, data in members:
        packer.add(name, data, method=8)
    return packer.bytes()


@settings(deadline=None)
@given(MEMBERS.filter(bool))
def test_a_zip_and_a_tar_of_the_same_members_are_one_tree(members):
    """Formats differ in bytes alone: what is refused in one is refused in the other."""
    files = [pair for pair in members if not pair[0].endswith("/")]

    assert read(as_zip(files)) == read(as_tar(files))


@settings(deadline=None)
@given(MEMBERS, st.sampled_from([as_zip, as_tar]), st.data())
def test_what_is_accepted_means_the_same_to_python(members, pack, data):
    """Bytes may be wrong anywhere: a tree that comes out is the one that others would see."""
    archive = bytearray(pack(members))
    for _ in range(data.draw(st.integers(0, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    tree = read(bytes(archive))
    if tree is not None:
        with contextlib.suppress(*PYTHON_REFUSES):
            assert tree == as_python_reads(bytes(archive))
