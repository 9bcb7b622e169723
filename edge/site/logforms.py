"""
The three forms of an access log: what each begins with, and how lines of JSON become its lines.

Laws: pure. A line in, a line out, with its newline. JSON is passed on as it is, so it costs
nothing; the other two take each line apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from edge.site.logline import CSV_HEADER, Entry, combined, csv_row, decode_entry

FormName = Literal["json", "csv", "combined"]

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
"""What comes of a line that is no entry."""


class Form(NamedTuple):
    """One of the forms."""

    name: FormName
    header: bytes
    """The first line of a file."""
    encode: Callable[[Entry], bytes] | None
    """What writes an entry; None where its JSON is the line."""

    def make(self, lines: list[bytes]) -> tuple[list[bytes], int]:
        """The lines of lines of JSON, and how many of those could not be read."""
        if self.encode is None:
            return lines, 0
        made = [each for each in map(self._convert, lines) if each]
        return made, len(lines) - len(made)

    def _convert(self, line: bytes) -> bytes:
        assert self.encode is not None, "JSON is not converted"
        try:
            return self.encode(decode_entry(line))
        except UNREADABLE:
            return b""


FORMS: Final = {
    "json": Form("json", b"", None),
    "csv": Form("csv", CSV_HEADER, csv_row),
    "combined": Form("combined", b"", combined),
}

LOOK: Final = 16
"""Bytes of a file's beginning that tell its form."""


def form_of(beginning: bytes) -> FormName:
    """The form of a file that begins like this."""
    if beginning.startswith(b"{"):
        return "json"
    return "csv" if beginning.startswith(CSV_HEADER[:LOOK]) else "combined"
