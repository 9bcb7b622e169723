"""The table of countries."""

from __future__ import annotations

import pytest

from edge.site.countries import COUNTRIES


def test_the_table_is_the_standard_s():
    """249 officially assigned codes, and Kosovo's."""
    assert len(COUNTRIES) == 250


@pytest.mark.parametrize(
    ("code", "known"), [("US", True), ("GB", True), ("XK", True), ("UK", False), ("ZZ", False)]
)
def test_a_code_is_a_country(code, known):
    """What a condition may name."""
    assert (code in COUNTRIES) is known
