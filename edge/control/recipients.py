"""
What can be seen to be wrong with alarms before anybody has to be told: apps, the mail's password.

Laws: reads, never connects. All of it is a warning: sites serve on without their alarms.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import eq
from pathlib import Path

from edge.control.letters import Undelivered
from edge.control.mail import read_password
from edge.errors import ConfigError
from edge.site.settings import Settings
from edge.site.yaml_nodes import compose, find_key

Step = str | int


def check(config: Path, settings: Settings, apps: Collection[str]) -> list[ConfigError]:
    """A warning for each entry that can never tell anything, of the file that was just read."""
    named: list[tuple[tuple[Step, ...], str | None]] = [
        *((("alarms", number, "app"), each.app) for number, each in enumerate(settings.alarms)),
        *(
            (("notifications", number, "app"), each.app)
            for number, each in enumerate(settings.notifications)
        ),
    ]
    found = [
        (path, f"there is no app {app!r}", "deploy to it, or correct it")
        for path, app in named
        if app is not None and app not in apps
    ]
    smtp = settings.smtp
    if smtp is not None and smtp.password_file is not None:
        try:
            read_password(config.resolve().parent / smtp.password_file)
        except Undelivered as error:
            problem = str(error).removeprefix("smtp.password_file: ")
            found.append((("smtp", "password_file"), problem, "no mail is sent until then"))
    if not found:
        return []
    root = compose(config.read_text(encoding="utf-8"), str(config))
    return [
        ConfigError(str(config), *find_key(root, path, eq), f"{dotted(path)}: {problem}", hint)
        for path, problem, hint in found
    ]


def dotted(path: tuple[Step, ...]) -> str:
    """A key as messages have it: `alarms[0].app`."""
    words = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(words).removeprefix(".")
