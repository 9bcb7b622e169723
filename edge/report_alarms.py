"""What `edge status` says of alarms, and of those who are told."""

from __future__ import annotations

from edge.report import Document, table, when


def alarms(document: Document) -> None:
    """A table of the alarms, and a line where letters have failed or wait."""
    rows = [
        (
            each["name"],
            each["state"],
            "" if each["value"] is None else f"{each['value']:.6g}",
            when(each["since"]) if each["since"] else "",
            "; ".join(map(outcome, each["notified"])),
        )
        for each in document.get("alarms", ())
    ]
    if rows:
        print()
        table(("alarm", "state", "value", "since (UTC)", "notified"), rows)
    told = document.get("notifications", {})
    deployments = told.get("deployments", ())
    if deployments:
        print()
        print(f"deployments: {'; '.join(map(outcome, deployments))}")
    if told.get("failed") or told.get("dropped") or told.get("waiting"):
        keys = ("sent", "failed", "dropped", "waiting")
        print(f"notifications: {', '.join(f'{told[key]} {key}' for key in keys)}")


def outcome(notified: Document) -> str:
    """`sent 2026-11-26 08:00:00 to mailto:…`, with the error where there is one."""
    text = f"{notified['result']} {when(notified['at'])} to {notified['to']}"
    return f"{text} ({notified['error']})" if notified["error"] else text
