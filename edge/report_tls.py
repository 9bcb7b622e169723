"""
What the commands about names and certificates print.

Laws: as in `report`. What other machines said is printed without what a terminal would obey.
"""

from __future__ import annotations

import sys
import time

from edge.control.operations import Document
from edge.report import counted, failure, line, shown, table
from edge.site.certificates import wildcard_of

HEADS = ("hostname", "branch", "now", "certificate", "set")


def domains(document: Document, as_document: bool) -> int:
    """A line for each hostname, with a further one for each further record; then what is wrong."""
    code = 1 if document["missing"] else 0
    if as_document:
        line("", document, as_document)
        return code
    hosts = document["hosts"]
    if not hosts:
        print("no hostnames: nothing is deployed, and no app.yml names a domain")
        return code
    if document["public"]:
        print(f"this node: {', '.join(document['public'])}")
    table(HEADS, [row for host in hosts for row in rows_of(host)])
    for host in hosts:
        for problem in host["problems"]:
            print(shown(f"{host['host']}: {problem}"), file=sys.stderr)
    if document["note"] and any(host["records"] for host in hosts):
        print(f"edge: {document['note']}", file=sys.stderr)
    if document["missing"]:
        count = counted(sum(host["missing"] for host in hosts), "hostname")
        print(f"edge: records are missing for {count}", file=sys.stderr)
    return code


def rows_of(host: Document) -> list[tuple[str, ...]]:
    """A hostname's rows; the first one has all that is not a record."""
    branch = f"{host['app']}/{host['branch']}"
    first = (host["host"], branch, state_of(host), host["certificate"] or "")
    records = [record_of(each) for each in host["records"]] or ["nothing"]
    return [(*first, records[0]), *(("", "", "", "", each) for each in records[1:])]


def state_of(host: Document) -> str:
    """Where a name leads now."""
    if not host["records"]:
        return "here"
    if not host["resolves"]:
        return "nothing"
    mark = {True: "here: ", False: "elsewhere: ", None: ""}[host["here"]]
    return mark + ", ".join(host["resolves"])


def record_of(record: Document) -> str:
    """A record as zones are written."""
    value = "(a public address of this node)" if record["value"] is None else record["value"]
    return f"{record['name']} {record['type']} {value}"


CERTS = ("name", "state", "issuer", "until", "next")


def certs(document: Document, name: str | None, as_document: bool) -> int:
    """A line for each certificate, then what is wrong; of one name its attempts, too."""
    entries = document["certificates"]
    if name is not None:
        entries = covering(entries, name)
        document = document | {"certificates": entries}
    code = 1 if document["mistakes"] or any(is_wrong(each) for each in entries) else 0
    if name is not None and not entries:
        return failure(f"no certificate is wanted for {name}", as_document)
    if as_document:
        line("", document, as_document)
        return code
    if not entries:
        print("no certificates: nothing listens for https, or nothing is deployed")
    else:
        table(CERTS, [row_of(each) for each in entries])
    for each in entries:
        tell(each, whole=name is not None)
    for mistake in document["mistakes"]:
        print(shown(located(mistake)), file=sys.stderr)
    return code


def covering(entries: list[Document], name: str) -> list[Document]:
    """The entries of a name itself, else those of the wildcard that covers it."""
    for wanted in (name, wildcard_of(name)):
        found = [each for each in entries if wanted in (each["name"], *each["names"])]
        if found:
            return found
    return []


def root(document: Document, as_document: bool) -> int:
    """The own authority's root, for those who are to trust it."""
    if document["root"] is None:
        return failure("the own authority has signed nothing yet, and so has no root", as_document)
    return line(document["root"].rstrip(), {"root": document["root"]}, as_document)


def is_wrong(entry: Document) -> bool:
    """Whether somebody should look at it."""
    return entry["state"] in ("failing", "stopped", "expired") or entry["failures"] > 0


def row_of(entry: Document) -> tuple[str, ...]:
    """A certificate's row."""
    until = "" if entry["not_after"] is None else when(entry["not_after"])
    following = entry["next"]
    soon = "" if following is None else f"{when(following['at'])}, {following['why']}"
    if following is not None and not following["at"]:
        soon = "now"
    return entry["name"], entry["state"], entry["issuer"] or "", until, soon


def tell(entry: Document, *, whole: bool) -> None:
    """What keeps it from being well; whole with everything that was tried."""
    name = entry["name"]
    if entry["state"] == "refused":
        print(shown(f"{name}: {entry['reason']}"), file=sys.stderr)
    if entry["stopped"]:
        again = f"when that is mended: edge certs --renew '{name}'"
        print(shown(f"{name}: stopped: {entry['stopped']} ({again})"), file=sys.stderr)
    for finding in entry["findings"]:
        if finding["level"] != "ok" and (whole or is_wrong(entry)):
            hint = f" ({finding['hint']})" if finding["hint"] else ""
            print(shown(f"{name}: {finding['level']}: {finding['text']}{hint}"), file=sys.stderr)
    for attempt in entry["attempts"] if whole else entry["attempts"][-1:]:
        if whole or attempt["outcome"] == "failed":
            print(shown(f"{name}: {told(attempt)}"), file=sys.stderr)
        for step in attempt["steps"] if whole else ():
            print(shown(f"{name}:   {step}"), file=sys.stderr)


def told(attempt: Document) -> str:
    """One attempt in a line, with the authority's own text."""
    at = f" at {attempt['step']}" if attempt["step"] else ""
    detail = f": {attempt['detail']}" if attempt["detail"] else ""
    return f"{when(attempt['at'])} {attempt['outcome']}{at} by {attempt['authority']}{detail}"


def located(mistake: Document) -> str:
    """A mistake with its place."""
    hint = f" ({mistake['hint']})" if mistake["hint"] else ""
    return f"{mistake['file']}:{mistake['line']}:{mistake['column']}: {mistake['message']}{hint}"


def when(epoch: float) -> str:
    """An instant, as this machine's people read it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))
