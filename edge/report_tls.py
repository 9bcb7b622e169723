"""
What the commands about names and certificates print.

Laws: as in `report`. What other machines said is printed without what a terminal would obey.
"""

from __future__ import annotations

import sys

from edge.control.operations import Document
from edge.report import counted, line, shown, table

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
