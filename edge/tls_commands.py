"""
Commands about names and certificates.

Laws: as in `commands`.
"""

from __future__ import annotations

import argparse

from edge import report_tls
from edge.nodes import open_node


def domains(options: argparse.Namespace) -> int:
    """Which DNS records hostnames need, and what resolves now."""
    with open_node(options) as node:
        return report_tls.domains(node.domains(options.app), options.json)
