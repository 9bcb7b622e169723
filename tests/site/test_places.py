"""Where everything lies in the state folder."""

from __future__ import annotations

from pathlib import Path

from edge.site.manifest import CODINGS
from edge.site.places import SUFFIX, Places

SHA256 = "ab" + "0" * 62
PLACES = Places(Path("/state"))


def test_the_layout_is_the_one_that_is_documented():
    """The state folder looks as design.md and the README say."""
    names = {
        "lock": "lock",
        "current": "current",
        "generations": "generations",
        "compiled": "compiled",
        "blobs": "blobs",
        "deployments": "deployments",
        "branches": "branches",
        "pending": "pending",
        "run": "run",
    }
    assert {name: getattr(PLACES, name) for name in names} == {
        name: Path("/state") / path for name, path in names.items()
    }
    assert PLACES.generation(7) == Path("/state/generations/7")
    assert PLACES.manifest("a", "b", "id") == Path("/state/deployments/a/b/id")
    assert PLACES.branch("a", "b") == Path("/state/branches/a/b")


def test_every_coding_of_a_blob_has_a_place_of_its_own():
    """A blob and its codings lie side by side, staged ones elsewhere, and none hides another."""
    codings = ("identity", *CODINGS)
    assert set(SUFFIX) == set(codings)
    blobs = [PLACES.blob(SHA256, coding) for coding in codings]
    staged = [PLACES.staged_blob(SHA256, coding) for coding in codings]
    assert len({*blobs, *staged}) == 2 * len(codings)
    assert {path.parent for path in blobs} == {Path("/state/blobs/ab")}
    assert {path.parent for path in staged} == {PLACES.staged}
    assert blobs[0].name == SHA256
