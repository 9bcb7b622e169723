"""The grammar of artifact paths, and the pairs that no disk could hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.site.paths import MAX_DEPTH, Collisions, check_artifact_path, fold


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("index.html", id="plain"),
        pytest.param("a/b/c.html", id="nested"),
        pytest.param(".well-known/acme", id="hidden folder"),
        pytest.param("a..b/...", id="dots that are no parent"),
        pytest.param("a b/%2e%2e/c", id="percent is literal"),
        pytest.param("notes:1.txt", id="colon behind a name"),
        pytest.param("12:30.txt", id="digits are no drive"),
        pytest.param("stra\u00dfe/\U0001f40d.html", id="astral"),
        pytest.param(unicodedata.normalize("NFD", "caf\u00e9"), id="NFD is kept"),
        pytest.param("s" * 255, id="longest segment"),
        pytest.param("/".join(["s" * 204] * 5), id="longest path"),
        pytest.param("/".join("s" * MAX_DEPTH), id="deepest path"),
    ],
)
def test_a_good_path_comes_back_as_given(path):
    """Accepted paths are returned untouched, whatever their Unicode form."""
    assert check_artifact_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("/etc/passwd", "is absolute", id="absolute"),
        pytest.param("//host/share", "is absolute", id="two slashes"),
        pytest.param("C:/x", "drive letter", id="drive"),
        pytest.param("c:x", "drive letter", id="drive without slash"),
        pytest.param("a\\b", "backslash", id="backslash"),
        pytest.param("..\\b", "backslash", id="backslash parent"),
        pytest.param("a\x00b", "control", id="NUL"),
        pytest.param("a\nb", "control", id="C0"),
        pytest.param("a\x7fb", "control", id="DEL"),
        pytest.param("a\x85b", "control", id="C1"),
        pytest.param("a\x9fb", "control", id="last C1"),
        pytest.param("a//b", "empty segment", id="empty segment"),
        pytest.param("a/", "ends with a slash", id="trailing slash"),
        pytest.param(".", "'.' segment", id="dot"),
        pytest.param("./a", "'.' segment", id="leading dot"),
        pytest.param("a/./b", "'.' segment", id="inner dot"),
        pytest.param("..", "'..' segment", id="parent"),
        pytest.param("a/../b", "'..' segment", id="inner parent"),
        pytest.param("a/..", "'..' segment", id="last parent"),
        pytest.param("s" * 256, "segment longer", id="long segment"),
        pytest.param("\u00e9" * 128, "segment longer", id="counted in bytes"),
        pytest.param("/".join(["s" * 204] * 4 + ["s" * 205]), "longer than 1024", id="long path"),
        pytest.param("/".join("s" * (MAX_DEPTH + 1)), "folders deep", id="too deep"),
        pytest.param("a\udcffb", "UTF-8", id="surrogate"),
    ],
)
def test_a_bad_path_is_refused_with_its_reason(path, reason):
    """Whatever could lead outside, or be read in two ways, is refused and says why."""
    with pytest.raises(ValueError, match=reason):
        check_artifact_path(path)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        pytest.param("a", "a", "twice", id="twice"),
        pytest.param("x/a", "x/a", "twice", id="twice in a folder"),
        pytest.param("a.html", "A.HTML", "differ only", id="case"),
        pytest.param("caf\u00e9", "cafe\u0301", "differ only", id="Unicode form"),
        pytest.param("stra\u00dfe", "STRASSE", "differ only", id="sharp s"),
        pytest.param("\u03c3", "\u03c2", "differ only", id="final sigma"),
        pytest.param("\u212aelvin", "kelvin", "differ only", id="Kelvin sign"),
        pytest.param("a", "a/b", "needs it to be a folder", id="file, then folder"),
        pytest.param("a/b", "a", "needs it to be a folder", id="folder, then file"),
        pytest.param("a", "A/x", "needs it to be a folder", id="file, then folded folder"),
        pytest.param("A/x", "a", "needs it to be a folder", id="folded folder, then file"),
        pytest.param("x/a", "x/A/b/c", "needs it to be a folder", id="deep"),
        pytest.param("Assets/x", "assets/y", "spell a folder", id="folders by case"),
        pytest.param("q/\u00e9/x", "q/e\u0301/y", "spell a folder", id="folders by form"),
    ],
)
def test_two_paths_that_no_disk_could_hold(first, second, reason):
    """The refusal names both paths."""
    collisions = Collisions()
    collisions.add(first)

    with pytest.raises(ValueError, match=reason) as refusal:
        collisions.add(second)

    assert repr(first) in str(refusal.value)
    assert repr(second) in str(refusal.value)


def test_neighbors_are_no_collision():
    """Equal names in different folders, and names that share a beginning, stand side by side."""
    collisions = Collisions()
    for path in ["a/x", "b/x", "ab", "a/xy", "a/x.html", "c/a/x", "b/c/a"]:
        collisions.add(path)

    assert collisions.files == 7
    assert collisions.folders == 5


def test_folders_are_counted_once():
    """The number of implied folders is known, so that a caller can bound it."""
    collisions = Collisions()
    collisions.add("a/b/c/1")
    collisions.add("a/b/c/2")
    collisions.add("a/3")

    assert collisions.folders == 3


@given(st.text(max_size=40))
def test_what_is_accepted_stays_inside(path):
    """Whatever the text: it is refused with a ValueError, or it cannot leave its folder."""
    try:
        check_artifact_path(path)
    except ValueError:
        return

    segments = path.split("/")
    assert not path.startswith(("/", "\\"))
    assert not {"", ".", ".."} & set(segments)
    assert path.encode().decode() == path


@given(st.text(max_size=20))
def test_fold_disregards_form_and_case(segment):
    """Folding gives the same for every Unicode form, and folding twice changes nothing."""
    folded = fold(segment)

    assert fold(folded) == folded
    assert fold(unicodedata.normalize("NFD", segment)) == folded
    assert fold(unicodedata.normalize("NFC", segment)) == folded


SEGMENT = st.sampled_from(["a", "A", "b", "\u00e9", "e\u0301"])


@given(st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), max_size=6))
def test_collisions_agree_with_a_case_insensitive_disk(paths):
    """Accepted lists are exactly those a disk that folds names would keep apart and unrenamed."""
    disk: dict[str, tuple[str, str]] = {}
    holds = True
    for path in paths:
        segments = path.split("/")
        for depth in range(1, len(segments) + 1):
            spelled = "/".join(segments[:depth])
            kind = "file" if depth == len(segments) else "folder"
            key = unicodedata.normalize("NFC", spelled.casefold())
            there = disk.setdefault(key, (spelled, kind))
            holds = holds and there == (spelled, kind)
        holds = holds and paths.count(path) == 1

    collisions = Collisions()
    try:
        for path in paths:
            collisions.add(path)
    except ValueError:
        assert not holds
    else:
        assert holds
