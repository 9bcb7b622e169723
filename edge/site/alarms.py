"""
What an operator wants to be told, and by which mail server: part of `edge.yml`.

Here: the documents. Not here: when an alarm fires (`alarming`). Attributes are the operator's
keys; durations are seconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.site.schema import (
    LOOPBACK,
    Document,
    Email,
    Host,
    Metric,
    Minutes,
    Notify,
    Pattern,
    Period,
    Port,
    Text,
    Threshold,
    Title,
)


class Alarm(Document, frozen=True, kw_only=True):
    """One condition that someone is told about."""

    metric: Metric
    notify: tuple[Notify, ...]
    """Webhooks and mail addresses."""
    name: Title | None = None
    """What it is called; without one, by its app and condition."""
    app: Text | None = None
    """The app that it is about; without one, the node."""
    above: Threshold | None = None
    below: Threshold | None = None
    lasting: Minutes = msgspec.field(name="for", default=60.0)
    """How long the condition must hold."""
    period: Period = 60.0
    """What one value is made of, the last so many minutes."""

    def __post_init__(self) -> None:
        """Exactly one threshold, and someone to tell."""
        if (self.above is None) == (self.below is None):
            raise ValueError("an alarm has exactly one of 'above' and 'below'", "write above: 10")
        if not self.notify:
            raise ValueError("nobody is notified", "write notify: [mailto:ops@example.com]")

    @property
    def threshold(self) -> float:
        """What the metric is compared with."""
        return (self.above if self.above is not None else self.below) or 0.0

    @property
    def condition(self) -> str:
        """In words: `errors_5xx_percent above 5 for 3m`."""
        side = "below" if self.above is None else "above"
        period = "" if self.period == 60 else f" in {self.period / 60:g}m"
        return f"{self.metric} {side} {self.threshold:.15g}{period} for {self.lasting / 60:g}m"

    @property
    def title(self) -> str:
        """What tells it from others."""
        return self.name or f"{self.app or 'node'}: {self.condition}"


Occasion = Literal["deploy_succeeded", "deploy_failed", "rolled_back"]


class Notification(Document, frozen=True, kw_only=True):
    """Who is told when a deployment serves, or is refused."""

    notify: tuple[Notify, ...]
    """Webhooks and mail addresses."""
    app: Text | None = None
    """Without one, all."""
    branch: Pattern | None = None
    """A branch, or a pattern of branches; without one, all."""
    on: tuple[Occasion, ...] = ("deploy_succeeded", "deploy_failed", "rolled_back")

    def __post_init__(self) -> None:
        """Something to tell, and someone."""
        if not self.on:
            raise ValueError("there is nothing to tell of", "write on: [deploy_failed]")
        if not self.notify:
            raise ValueError("nobody is notified", "write notify: [mailto:ops@example.com]")


MailSecurity = Literal["starttls", "implicit", "none"]


class Smtp(Document, frozen=True, kw_only=True):
    """The mail server of alarms and notifications."""

    host: Host
    sender: Email = msgspec.field(name="from")
    port: Port = 587
    user: Text | None = None
    password_file: Text | None = None
    tls: MailSecurity | None = None
    """Without one by the port and the host, see `security`."""

    def __post_init__(self) -> None:
        """A login has two halves, and never travels in clear text."""
        if (self.user is None) != (self.password_file is None):
            raise ValueError("'user' and 'password_file' go together", "write both or neither")
        if self.user is not None and self.tls == "none" and self.host not in LOOPBACK:
            raise ValueError("the password would travel in clear text", "write tls: starttls")

    @property
    def security(self) -> MailSecurity:
        """Port 465 is TLS from the first byte; a relay on this machine needs none."""
        if self.tls is not None:
            return self.tls
        if self.port == 465:
            return "implicit"
        return "none" if self.host in LOOPBACK and self.user is None else "starttls"
