"""
What `edge doctor` prints: a line for each finding, and below what is not well its remedy.

Laws: as in `report`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from edge.control.patient import Finding
from edge.report import counted, line, shown

MARKS = {"ok": "✓", "warning": "!", "wrong": "✗"}
PLAIN = {"ok": "ok", "warning": "!", "wrong": "X"}
"""Where the terminal's letters are ASCII alone."""


def findings(found: Iterable[tuple[str, Finding]], *, strict: bool, as_document: bool) -> int:
    """Exit code 1 where something is wrong; with `strict`, warnings are."""
    told = []
    for check, finding in found:
        told.append((check, finding))
        if not as_document:
            tell(check, finding)
    levels = [finding.level for _, finding in told]
    bad, doubtful = levels.count("wrong"), levels.count("warning")
    code = 1 if bad or (strict and doubtful) else 0
    if as_document:
        entries = [
            {"check": check, "level": each.level, "text": each.text, "remedy": each.remedy}
            for check, each in told
        ]
        line("", {"findings": entries, "wrong": bad, "warnings": doubtful}, as_document)
    else:
        print(
            f"{counted(bad, 'fault')}, {counted(doubtful, 'warning')}"
            if bad or doubtful
            else "all is well"
        )
    return code


def tell(check: str, finding: Finding) -> None:
    """One line, as soon as it is known; one more for the remedy."""
    encoding = (sys.stdout.encoding or "ascii").lower()
    marks = MARKS if encoding.startswith("utf") else PLAIN
    print(shown(f"{marks[finding.level]:2} {check:14} {finding.text}"))
    if finding.remedy:
        print(
            shown(
                f"{'':17} → {finding.remedy}" if marks is MARKS else f"{'':17} > {finding.remedy}"
            )
        )
    sys.stdout.flush()
