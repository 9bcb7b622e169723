"""
Commands about names and certificates.

Laws: as in `commands`.
"""

from __future__ import annotations

import argparse

from edge import report, report_tls
from edge.nodes import open_node


def domains(options: argparse.Namespace) -> int:
    """Which DNS records hostnames need, and what resolves now."""
    with open_node(options) as node:
        return report_tls.domains(node.domains(options.app), options.json)


def certs(options: argparse.Namespace) -> int:
    """Each name and its certificate; or renew one, or print the own authority's root."""
    with open_node(options) as node:
        if options.renew is not None:
            begun = node.renew(options.renew)
            text = f"{begun['name']} is renewed: edge certs shows how it goes"
            return report.line(text, begun, options.json)
        document = node.certificates()
    if options.root:
        return report_tls.root(document, options.json)
    return report_tls.certs(document, options.name, options.json)
