"""
The grammar of an artifact path, and which paths cannot live together.

A path names an artifact inside one deployment: relative, segments divided by `/`, exactly as the
deployer spelled it. Nothing here normalizes a path that is kept; folding is for comparison alone.
What is accepted can be written to any disk a deployer has, and never leads outside its folder.
Pure: no I/O. Links, devices and sizes are the business of whoever reads the source.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

MAX_PATH_BYTES = 1024
"""Longest path: S3's limit for a key, a quarter of Linux's PATH_MAX."""

MAX_SEGMENT_BYTES = 255
"""Longest segment: NAME_MAX of ext4, xfs and APFS."""

MAX_DEPTH = 64
"""Most segments in a path. Sites nest about ten deep; each level costs memory here."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DRIVE = re.compile(r"[A-Za-z]:")


def check_artifact_path(path: str) -> str:
    """
    The path itself, once it is known to obey the grammar.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence that began with the path.
    """
    _check_characters(path)
    if path.startswith("/"):
        raise ValueError("is absolute")
    if path.endswith("/"):
        raise ValueError("ends with a slash")
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        raise ValueError(f"is more than {MAX_DEPTH} folders deep")
    for segment in segments:
        _check_segment(segment)
    return path


def _check_characters(path: str) -> None:
    if not path:
        raise ValueError("is empty")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8") from None
    if size > MAX_PATH_BYTES:
        raise ValueError(f"is longer than {MAX_PATH_BYTES} bytes")
    if CONTROL.search(path):
        raise ValueError("contains a control character")
    if "\\" in path:
        raise ValueError("contains a backslash")
    if DRIVE.match(path):
        raise ValueError("begins with a drive letter")


def _check_segment(segment: str) -> None:
    if not segment:
        raise ValueError("contains an empty segment")
    if segment in {".", ".."}:
        raise ValueError(f"contains a '{segment}' segment")
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        raise ValueError(f"has a segment longer than {MAX_SEGMENT_BYTES} bytes")


def fold(segment: str) -> str:
    """
    What two names have in common when a disk could hold only one of them.

    Source: Unicode D145, canonical caseless matching; NFC instead of NFD for the result.
    """
    if segment.isascii():
        return segment.lower()
    # Folding can undo a normal form (U+0345 and its kin): once before, once after.
    folded = unicodedata.normalize("NFD", segment).casefold()
    return unicodedata.normalize("NFC", folded)


class Place(msgspec.Struct, gc=False):
    """One name in one folder, as the first path that used it spelled it."""

    number: int
    """Identifies the folder in the keys of its children."""
    spelling: str
    path: str
    """The first path through this place; shared with its other segments, not copied."""
    is_file: bool


class Collisions:
    """
    The paths of one deployment so far; says which new one could not stand beside them.

    The keys are (folder's number, folded name), so a path costs memory by its segments and never
    by the square of its depth. After a refusal the object is of no further use.
    """

    def __init__(self) -> None:
        self.places: dict[tuple[int, str], Place] = {}
        self.files = 0

    @property
    def folders(self) -> int:
        """How many folders the paths so far imply. Callers bound it: one path may imply 63."""
        return len(self.places) - self.files

    def add(self, path: str) -> None:
        """
        Takes one more path, which already obeys the grammar.

        Raises:
            ValueError: names both paths, if they are equal when case and Unicode form are
                disregarded, if their folders are, or if one is a file and the other's folder.
        """
        *folders, name = path.split("/")
        parent = 0
        for segment in folders:
            parent = self._enter(parent, segment, path)
        known = len(self.places)
        place = self._place(parent, name, path, is_file=True)
        if len(self.places) == known:
            raise ValueError(_file_collision(place, path))

    def _enter(self, parent: int, segment: str, path: str) -> int:
        place = self._place(parent, segment, path, is_file=False)
        if place.is_file:
            raise ValueError(f"{place.path!r} is a file, and {path!r} needs it to be a folder")
        if place.spelling != segment:
            raise ValueError(
                f"{place.path!r} and {path!r} spell a folder differently,"
                f" {place.spelling!r} and {segment!r}, which many disks hold to be one"
            )
        return place.number

    def _place(self, parent: int, segment: str, path: str, *, is_file: bool) -> Place:
        key = parent, fold(segment)
        place = self.places.get(key)
        if place is None:
            place = Place(len(self.places) + 1, segment, path, is_file)
            self.places[key] = place
            self.files += is_file
        return place


def _file_collision(place: Place, path: str) -> str:
    if not place.is_file:
        return f"{path!r} is a file, and {place.path!r} needs it to be a folder"
    if place.path == path:
        return f"{path!r} appears twice"
    return f"{place.path!r} and {path!r} differ only by case or Unicode form"
