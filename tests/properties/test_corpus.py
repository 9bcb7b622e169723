"""Every input that was ever worth keeping, and some changes to each, break nothing."""

from __future__ import annotations

import os

import pytest

from tests.support_fuzz import TARGETS
from tests.support_mutation import CORPUS, Mutator, corpus_of

FILES = sorted(path for path in CORPUS.glob("*/*"))

RUNS = {"documents": 100, "imports": 40, "patterns": 300, "logs": 300, "wire": 600, "http2": 600}
"""Mutations for each target in CI, 1,000 where it is not said; all but these take 0.1 ms."""

TIMES = int(os.environ.get("EDGE_FUZZ_TIMES", "1"))
"""So many times more, by hand; `bench/fuzz.py` is for hours."""


def test_every_target_has_a_corpus_and_no_other():
    """A folder is named as its target."""
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(TARGETS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_kept_breaks_nothing(file):
    """Refused or understood, as the target says."""
    TARGETS[file.parent.name](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_changes_to_it_break_nothing(target):
    """The same ones in every run: a failure names the seed's input by its number."""
    mutator = Mutator(corpus_of(target), seed=1)
    for number in range(RUNS.get(target, 1000) * TIMES):
        data = mutator.next()
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"input {number} breaks {target}: {data!r}") from error
