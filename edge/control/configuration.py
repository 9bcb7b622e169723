"""
The operator's files on the disk: `edge.yml` and the app folders, read and checked together.

Laws: reads, never writes (but for a new app's folder). Every mistake of every file is collected;
an app with a mistake is left out, and the others are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edge.errors import ConfigError
from edge.site.documents import App, decode_app, decode_settings, position_of
from edge.site.hosts import HostClaim, find_conflicts
from edge.site.settings import Settings

NEW_APP = """\
# {name}: made by its first deploy. Every key is optional; the README lists them all.
production_branch: main
domains: {{}}          # example.com: {{subdomains: {{"": main, www: main}}}}
"""


class Configuration:
    """What was read: settings, the apps without a mistake, and all mistakes."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.apps: dict[str, App] = {}
        self.texts: dict[str, tuple[str, str]] = {}
        """App → (file name as shown, text), for pointing at a key."""
        self.broken: dict[str, list[ConfigError]] = {}
        """App → its mistakes."""
        self.errors: list[ConfigError] = []
        """All mistakes, those of `edge.yml` first."""


def config_root(config: Path | None) -> Path:
    """The folder that relative paths in `edge.yml` start from."""
    return (config.parent if config is not None else Path.cwd()).resolve()


def read_settings(config: Path | None) -> tuple[Settings | None, list[ConfigError]]:
    """`edge.yml`, or the defaults where there is no such file."""
    if config is None:
        return Settings(), []
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "give -c the path of an edge.yml, or none for the defaults"
        return None, [ConfigError(str(config), 1, 1, f"cannot be read: {error}", hint)]
    return decode_settings(text, str(config))


def read_apps(folder: Path, shown: str) -> Configuration:
    """Every app folder in `folder`; `shown` is how the folder is called in messages."""
    found = Configuration()
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name[0] not in "._":
            _add_app(path, f"{shown}/{path.name}/app.yml", found)
    return found


def read_app(folder: Path, shown: str) -> Configuration:
    """One app folder; `shown` is how its `app.yml` is called in messages."""
    found = Configuration()
    _add_app(folder, shown, found)
    return found


def _add_app(folder: Path, shown: str, found: Configuration) -> None:
    file = folder / "app.yml"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        app, errors = (
            None,
            [ConfigError(shown, 1, 1, f"cannot be read: {error}", "save it as UTF-8")],
        )
    else:
        app, errors = decode_app(text, shown)
        found.texts[folder.name] = (shown, text)
    if app is None:
        found.broken[folder.name] = errors
        found.errors += errors
    else:
        found.apps[folder.name] = app


def refuse_conflicts(
    found: Configuration, claims: Iterable[HostClaim], incumbents: Mapping[str, str]
) -> None:
    """
    A hostname claimed twice: who serves it now keeps it, the other app has a mistake.

    With no incumbent nobody gets it: a guess would put one app's content on another's name.
    `incumbents` maps hosts that serve now to their app.
    """
    for one, other in find_conflicts(claims):
        for claim, rival in ((one, other), (other, one)):
            if incumbents.get(claim.host) == claim.app and claim.app != rival.app:
                continue
            _refuse(found, claim, rival)


def _refuse(found: Configuration, claim: HostClaim, rival: HostClaim) -> None:
    shown, text = found.texts.get(claim.app, (claim.app, ""))
    line, column = position_of(text, claim.key_path)
    error = ConfigError(
        shown,
        line,
        column,
        f"{claim.host} is claimed by app {claim.app} branch {claim.branch} "
        f"and by app {rival.app} branch {rival.branch}",
        "a hostname leads to one branch; take it out of one of them",
    )
    found.apps.pop(claim.app, None)
    found.broken.setdefault(claim.app, []).append(error)
    found.errors.append(error)


def create_app_folder(folder: Path, name: str) -> None:
    """The folder of an app that is deployed to for the first time."""
    path = folder / name
    if not path.is_dir():
        path.mkdir(parents=True)
        (path / "app.yml").write_text(NEW_APP.format(name=name), encoding="utf-8")


def as_json(error: ConfigError) -> dict[str, str | int]:
    """A located error for machines."""
    fields = ("file", "line", "column", "message", "hint")
    return {name: getattr(error, name) for name in fields}
