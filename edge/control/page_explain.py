"""
The page about one request: what becomes of it, and why.

Laws: pure; the very trail that `edge explain` prints. Paths, rules and fields are others' text.
"""

from __future__ import annotations

from typing import Any

from edge.control.markup import Content, Html, join, number, span, table, tag, value
from edge.control.page import explain_form, framed, section

Document = dict[str, Any]

MAX_TRIED = 200
"""Rules that are shown."""

LONG = 2000
"""Characters of a URL, a target or a field."""


def explained(node: str, asked: Document, trail: Document | None, told: str = "") -> Html:
    """The form as it was sent, and the trail or why there is none."""
    fault = tag("p", told, class_="told card", role="alert") if told else None
    return framed(
        "Explain · Edge",
        node,
        tag(
            "div",
            tag("h1", "Explain"),
            tag("p", tag("a", "Back to the status", href="/")),
            class_="state",
        ),
        fault,
        explain_form(asked["url"], asked["method"], asked["country"]),
        parts(trail) if trail is not None else None,
    )


def parts(trail: Document) -> list[Html]:
    """The trail, from the answer to its reasons."""
    steps = tag(
        "ol", [tag("li", value(each, LONG)) for each in trail["steps"]], class_="card steps"
    )
    found = [
        section("answer", "Answer", tag("dl", facts(trail), class_="card facts")),
        section("steps", "Step by step", steps),
    ]
    if trail["tried"] or trail["passed_over"]:
        found.append(section("rules", "Rules", rules_table(trail)))
    if trail["fields"]:
        rows = [(value(name), tag("code", value(each, LONG))) for name, each in trail["fields"]]
        found.append(section("fields", "Fields", table("Fields", ("Field", "Value"), rows)))
    return found


def facts(trail: Document) -> list[Html]:
    """What the answer is."""
    pairs: list[tuple[str, Content]] = [
        ("Request", tag("code", value(f"{trail['method']} {trail['url']}", LONG))),
        ("Status", tag("b", str(trail["status"]) if trail["status"] else "what the origin says")),
        ("Location", code(trail["location"])),
        ("File", code(trail["file"])),
        ("Origins", [tag("div", code(each)) for each in trail["origins"]]),
        ("App, branch", place_of(trail)),
        ("Deployment", code(trail["deployment"])),
        ("Password", "asked for first" if trail["password"] else ""),
        ("Caches", value(trail["verdict"], LONG) if trail["verdict"] else ""),
        ("Lifetime", "" if trail["lifetime"] is None else span(trail["lifetime"])),
        ("Stored", [tag("div", value(each, LONG)) for each in trail["stored"]]),
        ("Headers", [tag("div", code(each)) for each in trail["headers"]]),
    ]
    return [join(tag("dt", name), tag("dd", content)) for name, content in pairs if content]


def code(text: str | None) -> Content:
    """A value as it is written."""
    return tag("code", value(text, LONG)) if text else ""


def place_of(trail: Document) -> Content:
    """Whose request it is."""
    if trail["app"] is None:
        return ""
    return join(value(trail["app"]), ", ", value(trail["branch"]) if trail["branch"] else "none")


def rules_table(trail: Document) -> Html:
    """Each rule that was tried, and what it made of the request."""
    rows = [
        (
            number(each["rule"]),
            tag("code", value(each["source"], LONG)),
            value(each["status"]),
            tag(
                "span",
                "matches" if each["matched"] else "no",
                class_="tag good" if each["matched"] else "off",
            ),
            value(each["why"], LONG),
        )
        for each in trail["tried"][:MAX_TRIED]
    ]
    left = trail["passed_over"] + max(0, len(trail["tried"]) - MAX_TRIED)
    text = f"{number(left)} more could not match, or are not shown." if left else ""
    whole = table("Rules", ("Rule", "Source", "Status", "Matches", "Why"), rows) if rows else None
    return join(whole, tag("p", text, class_="muted") if text else None)
