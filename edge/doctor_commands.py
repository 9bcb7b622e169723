"""
The command that looks at the machine: doctor.

Laws: as in `commands`. It asks no admin API: it is for the night when that does not answer.
"""

from __future__ import annotations

import argparse

from edge import report_doctor
from edge.errors import EdgeError
from edge.nodes import find_config


def doctor(options: argparse.Namespace) -> int:
    """Look at everything that a node needs."""
    if options.node:
        raise EdgeError("doctor looks at the machine that it runs on: run it on the node's")
    from edge.control.doctor import examine, find_patient  # noqa: PLC0415 - it asks the DNS

    findings = examine(find_patient(find_config(options)))
    return report_doctor.findings(findings, strict=options.strict, as_document=options.json)
