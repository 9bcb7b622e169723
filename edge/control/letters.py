"""
What people and programs are told: an alarm that fires or is over, a deployment that ends. Pure.

Laws: the document is the JSON of webhooks, and the mail says the same; README documents its keys.
`text` alone is what chats show (Slack, Mattermost), where angle brackets would be links and calls:
what others wrote has none there. Nothing here has a line end that a mail's header could take.
"""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from edge.control.events import DeployEnded
from edge.errors import EdgeError
from edge.site.alarming import Transition
from edge.site.alarms import Alarm, Notification, Occasion
from edge.site.hosts import branch_matches

MAX_SUBJECT: Final = 150
MAX_TEXT: Final = 1_000
"""Characters; chats cut what is much longer, and a stranger's reason may be."""

OCCASIONS: Final[dict[str, Occasion]] = {
    "succeeded": "deploy_succeeded",
    "failed": "deploy_failed",
    "rolled_back": "rolled_back",
}
"""By the result of a deployment."""

VERBS: Final[dict[Occasion, str]] = {
    "deploy_succeeded": "serves",
    "deploy_failed": "failed",
    "rolled_back": "serves again",
}

DEPLOYMENTS: Final = "deployments"
"""What letters about these are `about`."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One document on its way to one recipient."""

    to: str
    """A URL, or `mailto:` and an address."""
    about: str
    """The title of an alarm, or `DEPLOYMENTS`."""
    subject: str
    document: dict[str, Any]
    tries: int = 0
    next: float = 0.0
    """Not before, epoch seconds."""
    error: str = ""
    """Why the last try failed."""


class Undelivered(EdgeError):
    """A letter that did not arrive. `is_final`: it never will."""

    def __init__(self, reason: str, *, is_final: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.wait = wait
        """Seconds that the recipient wants to be left alone, if it said so."""


def of_alarm(transition: Transition, identifier: str, node: str, url: str | None) -> list[Letter]:
    """What everybody is told of an alarm; the same `identifier` for all of them."""
    alarm = transition.alarm
    word = "FIRING" if transition.state == "firing" else "OK"
    subject = plain(f"{word}: {alarm.title}", MAX_SUBJECT)
    began = when(transition.since)
    text = f"{word}: {alarm.title}: {alarm.metric} is {shown(alarm, transition.value)}"
    since = f"since {began}" if transition.state == "firing" else f"it began {began}"
    document = {
        "text": in_chat(f"{text} ({since}, node {node})"),
        "kind": "alarm",
        "id": identifier,
        "alarm": alarm.title,
        "state": transition.state,
        "app": alarm.app,
        "metric": alarm.metric,
        "condition": alarm.condition,
        "threshold": alarm.threshold,
        "value": rounded(transition.value),
        "since": began,
        "at": when(transition.at),
        "node": node,
        "url": url,
    }
    return [
        Letter(to=to, about=alarm.title, subject=subject, document=document)
        for to in dict.fromkeys(alarm.notify)
    ]


def of_deploy(
    event: DeployEnded,
    notifications: tuple[Notification, ...],
    identifier: str,
    node: str,
    url: str | None,
) -> list[Letter]:
    """What those are told who want to know of a deployment, each once."""
    occasion = OCCASIONS[event.result]
    recipients = dict.fromkeys(
        to for each in notifications if wants(each, event, occasion) for to in each.notify
    )
    what = f"{event.app} {event.branch}: {event.id} {VERBS[occasion]}"
    detail = event.reason or event.message
    document = {
        "text": in_chat(f"{what}: {detail} (node {node})" if detail else f"{what} (node {node})"),
        "kind": "deploy",
        "id": identifier,
        "result": occasion,
        "app": event.app,
        "branch": event.branch,
        "deployment": event.id,
        "message": event.message,
        "reason": event.reason,
        "at": when(event.at),
        "node": node,
        "url": url,
    }
    subject = plain(what, MAX_SUBJECT)
    return [
        Letter(to=to, about=DEPLOYMENTS, subject=subject, document=document) for to in recipients
    ]


def wants(entry: Notification, event: DeployEnded, occasion: Occasion) -> bool:
    """Whether an entry is about this."""
    return (
        occasion in entry.on
        and entry.app in (None, event.app)
        and (entry.branch is None or branch_matches(entry.branch, event.branch))
    )


def lines(document: dict[str, Any]) -> str:
    """The document for a person: the sentence, and every key that says something."""
    rest = [
        f"{key}: {plain(str(value), MAX_TEXT)}"
        for key, value in document.items()
        if key != "text" and value not in (None, "")
    ]
    return "\n".join([str(document["text"]), "", *rest, ""])


def shown(alarm: Alarm, value: float) -> str:
    """A value with its unit."""
    number = f"{rounded(value):.15g}"
    if alarm.metric.endswith("_percent"):
        return f"{number} %"
    if alarm.metric.startswith("latency_"):
        return f"{number} s"
    return f"{number} bytes" if alarm.metric.startswith("bytes_") else number


def rounded(value: float) -> float:
    """As many digits as anybody reads."""
    return round(value) if abs(value) >= 1_000 else float(f"{value:.4g}")


def when(epoch: float) -> str:
    """A time for people and programs, in UTC. Source: RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def plain(text: str, most: int) -> str:
    """Others' text in one bounded line without control characters."""
    return "".join(each if each.isprintable() else " " for each in text)[:most].strip()


def in_chat(text: str) -> str:
    """Text that no chat takes for a link or a call of everybody (`<!channel>`)."""
    return plain(text, MAX_TEXT).replace("<", "‹").replace(">", "›")


def name_of(to: str) -> str:
    """A recipient as logs and status name it: the path of a webhook is its secret."""
    if to.startswith("mailto:"):
        return to
    parts = urlsplit(to)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
