"""Sizes and durations as operators write them."""

from __future__ import annotations

import pytest

from edge.site.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("8KiB", 8_192),
        ("8 KiB", 8_192),
        ("1.5MiB", 1_572_864),
        ("10GiB", 10_737_418_240),
        ("2TiB", 2_199_023_255_552),
    ],
)
def test_a_size_is_bytes(text, size):
    """A number with a binary unit, or without any, is whole bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "256MB", "256mib", "-1KiB", "+1KiB", "1_0KiB", "1e3", "1.KiB", "٣KiB", "1KiB\n"],
)
def test_a_doubtful_size_is_refused(text):
    """Decimal units, signs and what only Python reads as digits are refused with the form."""
    with pytest.raises(ValueError, match="is not a size") as caught:
        parse_size(text)

    assert "256MiB" in caught.value.args[1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("30s", 30.0), ("0.5s", 0.5), ("2m", 120.0), ("1h", 3_600.0), ("7 d", 604_800.0)],
)
def test_a_duration_is_seconds(text, seconds):
    """A number with s, m, h or d is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "30S", "1h30m", "-5s", "5 sec", "1_0s", "٣s"])
def test_a_doubtful_duration_is_refused(text):
    """A bare number has no unit to guess, and the rest is no duration."""
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration(text)

    assert "30s" in caught.value.args[1]
