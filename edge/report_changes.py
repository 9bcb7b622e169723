"""
What a reload changed, or would change, for people.

Laws: as in `report`. A line begins with what it is about, then `+` comes, `-` goes, `~` is another,
`>` stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from edge import report
from edge.control.operations import Document
from edge.errors import StoreError
from edge.report import counted, line, print_warnings, shown, table

APPS: Final = 20
"""Apps that a person gets to see; `--json` has all."""

REQUESTS: Final = 50
"""The same of requests."""

SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}


def reloaded(document: Document, as_document: bool) -> int:
    """A generation that serves, or would: what changes, and what was probably not meant."""
    if as_document:
        return line("", document, as_document)
    print_warnings(document.get("warnings", ()))
    changed = ", ".join(document["changed"][:APPS]) or "nothing"
    if len(document["changed"]) > APPS:
        changed += f" and {len(document['changed']) - APPS} more"
    if document.get("dry_run"):
        print(shown(f"nothing was done; a reload would change: {changed}"))
    else:
        print(shown(f"generation {document['generation']} serves; changed: {changed}"))
    print_difference(document.get("difference", {}))
    if "radius" in document:
        print_radius(document["radius"])
    return 0


def refused(refusal: StoreError, as_document: bool) -> int:
    """Mistakes and what was kept, and what the other apps' changes are."""
    code = report.refusal(refusal, as_document)
    document = report.refusal_document(refusal)
    if not as_document and document.get("changed"):
        reloaded(document, as_document=False)
    return code


def print_difference(difference: Document) -> None:
    """App by app."""
    apps = difference.get("apps", ())
    for app in apps[:APPS]:
        print(shown(f"{app['app']}: {app['change']}"))
        for text in lines_of(app):
            print(shown(f"  {text}"))
    if len(apps) > APPS:
        print(f"… and {counted(len(apps) - APPS, 'more app')}; --json lists them")
    if difference.get("settings"):
        print("edge.yml: changed")
        for each in difference["settings"]:
            print(shown(f"  {setting('setting', each)}"))


def lines_of(app: Document) -> Iterator[str]:
    """What becomes of one app."""
    for each in app.get("hosts", ()):
        yield host(each)
    for each in app.get("rules", ()):
        yield rule(each)
    for each in app.get("headers", ()):
        yield f"header {SIGNS[each['change']]} {each['pattern']}: {', '.join(each['fields'])}"
    for each in app.get("access", ()):
        yield setting("access", each)
    for each in app.get("settings", ()):
        yield setting("setting", each)
    for name in app.get("wanted", ()):
        yield f"certificate + {name}"
    for name in app.get("unwanted", ()):
        yield f"certificate - {name}"
    if unlisted := app.get("unlisted"):
        yield f"… and {unlisted} more hosts and rules"


def host(change: Mapping[str, str]) -> str:
    """`host + www.example.com → shop/main`."""
    name, before, after = change["host"], change.get("before"), change.get("after")
    if before is None:
        return f"host + {name} → {after}"
    if after is None:
        return f"host - {name} (was {before})"
    return f"host ~ {name}: {before} → {after}"


def rule(change: Document) -> str:
    """`rule ~ [3] /old: 301 /a → 301 /b`."""
    sign, source = SIGNS[change["change"]], change["source"]
    number = change.get("number", change.get("was"))
    said = " → ".join(filter(None, (change.get("before"), change.get("after"))))
    if change["change"] == "moved":
        said = f"was [{change['was']}]"
    return f"rule {sign} [{number}] {source}: {said}"


def setting(what: str, change: Document) -> str:
    """`setting ~ trailing_slash: auto → add`."""
    before, after = change["before"], change["after"]
    sign = "+" if before is None else "-" if after is None else "~"
    values = " → ".join(value(each) for each in (before, after) if each is not None)
    return f"{what} {sign} {change['key']}: {values}"


def value(written: object) -> str:
    """As it stands in a file, about."""
    if isinstance(written, list | tuple):
        return f"[{', '.join(map(value, written))}]"
    return str(written).lower() if isinstance(written, bool) else str(written)


def print_radius(radius: Document) -> None:
    """Which requests are answered differently."""
    found = radius.get("requests", [])
    count = len(found) + radius.get("unlisted", 0)
    passed = radius.get("passed_over", 0)
    rest = f" ({passed} more were not asked, for time)" if passed else ""
    print(
        f"{counted(radius.get('asked', 0), 'sample request')}{rest}, {count} answered differently"
    )
    rows = [
        (each["request"], verdict(each["before"]), verdict(each["after"]))
        for each in found[:REQUESTS]
    ]
    if rows:
        table(("request", "now", "then"), rows)
    if count > len(rows):
        print(f"… and {count - len(rows)} more; --json lists {len(found)}")


def verdict(answer: Document) -> str:
    """`301 /new by [3]`."""
    return (
        answer["answer"] if answer["rule"] is None else f"{answer['answer']} by [{answer['rule']}]"
    )
