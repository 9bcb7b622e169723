"""
Commands about scoped tokens.

Laws: as in `commands`.
"""

from __future__ import annotations

import argparse

from edge import report, report_tokens
from edge.control.operations import Document
from edge.control.tokens import LIFETIME
from edge.errors import EdgeError
from edge.nodes import open_node
from edge.site.scopes import parse_may
from edge.site.units import parse_duration


def create(options: argparse.Namespace) -> int:
    """Make a token, and print its text."""
    wish: Document = {
        "app": options.app,
        "branch": options.branch,
        "may": list(_may(options.may)),
        "expires": _lifetime(options.expires),
        "name": options.name,
    }
    with open_node(options) as node:
        made = node.create_token(wish)
    return report_tokens.created(made, options.json)


def list_all(options: argparse.Namespace) -> int:
    """The tokens that there are."""
    with open_node(options) as node:
        return report_tokens.tokens(node.list_tokens(), options.json)


def revoke(options: argparse.Namespace) -> int:
    """Let a token open nothing any more."""
    with open_node(options) as node:
        document = node.revoke_token(options.id)
    return report.line(f"token {document['id']} opens nothing any more", document, options.json)


def _may(text: str) -> tuple[str, ...]:
    try:
        return parse_may(text)
    except ValueError as error:
        raise EdgeError(f"--may: {error}") from error


def _lifetime(text: str | None) -> float | None:
    """Seconds, or None for a token that never expires."""
    if text is None:
        return LIFETIME
    if text == "never":
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise EdgeError(f"--expires: {'; '.join(map(str, error.args))}, or never") from error
