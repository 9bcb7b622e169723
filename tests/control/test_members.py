"""The laws that members of every format obey."""

from __future__ import annotations

import pytest

from edge.control.members import (
    FILE,
    FOLDER,
    RATIO_FLOOR,
    ArchiveLimits,
    Gate,
    is_unpublished,
    refuse,
)
from edge.errors import StoreError


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (".git/config", True),
        (".git", True),
        ("themes/x/.git/HEAD", True),
        (".hg/x", True),
        (".svn/x", True),
        ("a/b/.DS_Store", True),
        ("__MACOSX/._index.html", True),
        (".gitignore", False),
        ("repo.git/HEAD", False),
        ("a/__MACOSX/x", False),
        (".DS_Store/x", False),
        (".well-known/security.txt", False),
    ],
)
def test_leavings_are_known(path, verdict):
    """Version control anywhere, Finder's notes anywhere, AppleDouble at the top."""
    assert is_unpublished(path) is verdict


def test_folders_and_leavings_have_no_path_to_take():
    """They are checked and passed over; a file's path loses its leading `./`."""
    gate = Gate(ArchiveLimits(), 100)

    assert gate.admit("./", FOLDER) is None
    assert gate.admit("a/", FOLDER) is None
    assert gate.admit(".git/hooks", "a symbolic link") is None
    assert gate.admit("./a/b", FILE) == "a/b"


def test_a_ratio_counts_from_its_floor():
    """10 MiB from nothing pass; the byte behind them is a bomb, unless the archive is as large."""
    gate = Gate(ArchiveLimits(ratio=100), 1)
    gate.meter(RATIO_FLOOR, "a")

    with pytest.raises(StoreError, match=r"'a'.*archive_ratio"):
        gate.meter(1, "a")

    Gate(ArchiveLimits(ratio=100), RATIO_FLOOR // 100 + 1).meter(RATIO_FLOOR + 1, "a")


def test_the_limits_are_inclusive():
    """Exactly as many files and bytes as allowed pass; one more does not."""
    gate = Gate(ArchiveLimits(files=2, bytes=10), 1000)
    gate.admit("a", FILE)
    gate.admit("b", FILE)
    gate.meter(10, "b")

    with pytest.raises(StoreError, match=r"'c'.*2 are allowed.*archive_files"):
        gate.admit("c", FILE)
    with pytest.raises(StoreError, match=r"'b'.*over 10 bytes.*archive_bytes"):
        gate.meter(1, "b")


def test_a_refusal_fits_on_a_terminal():
    """A name of any length and any characters is printed short and escaped."""
    with pytest.raises(StoreError) as refusal:
        refuse("\x1b[2J" + "n" * 10_000, "is odd")

    assert str(refusal.value).startswith("member '\\x1b[2Jnnn")
    assert len(str(refusal.value)) < 300
