"""
Sizes and durations as operators write them: `256MiB`, `30s`.

Here: text to bytes, text to seconds. Not here: which key takes which, or what a value is for
(`documents`). Every refusal is a `ValueError(problem, remedy)` in the operator's words.
"""

from __future__ import annotations

import re
from typing import Final

BYTES: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
"""Binary units only: `MB` means two different numbers to two different people."""

SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

QUANTITY: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
"""Twelve digits of the largest unit are within a float, and no text is slow to read."""


def parse_size(text: str) -> int:
    """
    Whole bytes; a bare number is bytes.

    Raises:
        ValueError: not a number with one of `BYTES`.
    """
    number, factor = split(text, "size", BYTES, "a number and KiB, MiB or GiB, such as 256MiB")
    return round(number * factor)


def parse_duration(text: str) -> float:
    """
    Seconds. A bare number is refused, except 0: nobody remembers whose unit it would be in.

    Raises:
        ValueError: not a number with one of `SECONDS`.
    """
    if text == "0":
        return 0.0
    number, factor = split(text, "duration", SECONDS, "a number and s, m, h or d, such as 30s")
    return number * factor


def split(text: str, kind: str, units: dict[str, int], form: str) -> tuple[float, int]:
    """The number and what its unit multiplies it by."""
    found = QUANTITY.fullmatch(text)
    if found is None or found[2] not in units:
        raise ValueError(f"{text[:40]!r} is not a {kind}", f"write {form}")
    return float(found[1]), units[found[2]]
