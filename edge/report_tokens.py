"""
What the commands about tokens print.

Laws: as in `report`. A token's text is printed once, alone on stdout, so that it can be piped into
where it is kept; what people should know of it goes to stderr.
"""

from __future__ import annotations

import sys
import time

from edge import report
from edge.control.operations import Document


def created(token: Document, as_document: bool) -> int:
    """A new token."""
    if as_document:
        return report.line("", token, as_document)
    print(token["token"])
    print(f"edge: token {token['id']} may {purpose(token)}; {until(token)}", file=sys.stderr)
    print("edge: this is the only time it is shown", file=sys.stderr)
    return 0


def tokens(document: Document, as_document: bool) -> int:
    """The tokens that there are."""
    if as_document:
        return report.line("", document, as_document)
    rows = [
        (
            each["id"],
            each["name"],
            purpose(each),
            report.when(each["created"])[:10],
            "expired" if each["expired"] else until(each),
            "never" if each["last_used"] is None else report.when(each["last_used"])[:16],
        )
        for each in document["tokens"]
    ]
    return report.table(("id", "name", "may", "created", "expires", "last used (UTC)"), rows)


def purpose(token: Document) -> str:
    """`deploy, read of shop, branch pr-*`."""
    branch = "" if token["branch"] is None else f", branch {token['branch']}"
    return f"{', '.join(token['may'])} of {token['app']}{branch}"


def until(token: Document) -> str:
    """When it opens nothing any more, to the day."""
    if token["expires"] is None:
        return "never expires"
    return f"until {time.strftime('%Y-%m-%d', time.gmtime(token['expires']))}"
