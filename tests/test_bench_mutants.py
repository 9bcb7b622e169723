"""The small mistakes that `bench/mutants.py` makes."""

from __future__ import annotations

import pytest

from bench.mutants import TARGETS, mutants
from tests.test_documented import ROOT


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a == 1", ["a != 1", "a == 2"]),
        ("a and (not b)", ["a or not b", "a and b"]),
        ("x = b'ab' + c", ["x = b'ab' - c", "x = b'abx' + c"]),
        ("f(True)", ["f(False)"]),
        ("a < b", ["a <= b"]),
        ("raise E(1)", []),
        ("assert a == b", []),
        ("x: Literal[1] = y", []),
        ("'words'", []),
        ("class A(B, frozen=True): c = 1", ["class A(B, frozen=True):\n    c = 2"]),
    ],
)
def test_one_place_is_changed_at_a_time(source, expected):
    """And nothing else; words for people are left alone."""
    assert sorted(text for _, _, text in mutants(source)) == sorted(expected)


def test_what_is_judged_is_there():
    """Modules and their tests."""
    files = [*TARGETS, *(test for tests in TARGETS.values() for test in tests)]

    assert [name for name in files if not (ROOT / name).is_file()] == []
