"""What `edge doctor` prints, and its exit codes."""

from __future__ import annotations

import pytest

from edge import report_doctor
from edge.control.patient import fine, warning, wrong

WELL = ("ports", fine("free"))
DOUBT = ("disk", warning("little", "free some"))
FAULT = ("clock", wrong("late", "set it"))


@pytest.mark.parametrize(
    ("found", "code", "strict", "last"),
    [
        ([WELL], 0, 0, "all is well"),
        ([WELL, DOUBT], 0, 1, "0 faults, 1 warning"),
        ([WELL, FAULT, DOUBT, DOUBT], 1, 1, "1 fault, 2 warnings"),
    ],
)
def test_what_fails(capsys, found, code, strict, last):
    """A fault; a warning only where one is strict."""
    assert report_doctor.findings(found, strict=False, as_document=False) == code
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert report_doctor.findings(found, strict=True, as_document=False) == strict


def test_a_line_each_and_its_remedy(capsys):
    """Without what a terminal would obey."""
    report_doctor.findings([("x", wrong("\x1b[31mred", "do"))], strict=False, as_document=False)

    assert capsys.readouterr().out.splitlines()[:2] == [
        "✗  x              �[31mred",
        "                  → do",
    ]
