"""What tests of `packaging/` share: the metrics that there are, programs that may be missing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"

README = (ROOT / "README.md").read_text()
METRICS = {
    name
    for row in re.findall(r"^\| (`edge_[^|]*`) \|", README, re.MULTILINE)
    for name in re.findall(r"`(edge_\w+)`", row)
}
"""Those of the README's table, which has what /metrics has."""


def metrics_in(*expressions: str) -> set[str]:
    """The metrics that expressions ask for; a histogram by its own name."""
    found = set()
    for each in expressions:
        bare = re.sub(r'"[^"]*"', "", each)
        found |= set(re.findall(r"\bedge_[a-z_]+", bare))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def needs(program: str) -> pytest.MarkDecorator:
    """Tests that ask a program need it; CI has all of `.ci/packages.txt`."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
