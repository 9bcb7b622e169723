"""
The operator's files on the disk: `edge.yml` and the app folders, read and checked together.

Laws: reads, never writes (but for a new app's folder). Every mistake of every file is collected;
an app with a mistake is left out, and the others are not. What two apps claim is judged elsewhere
(`claims`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from operator import eq
from pathlib import Path

from edge.control import durable
from edge.control.announcements import APP_NAME
from edge.errors import ConfigError, StoreError
from edge.site.documents import App, decode_app, decode_settings
from edge.site.settings import Settings
from edge.site.yaml_nodes import child, compose

NEW_APP = """\
# {name}: made by its first deploy. Every key is optional; the README lists them all.
production_branch: main
domains: {{}}          # example.com: {{subdomains: {{"": main, www: main}}}}
"""


class Configuration:
    """What was read: settings, the apps without a mistake, and all mistakes."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.mistakes: list[ConfigError] = []
        """Those of `edge.yml`."""
        self.apps: dict[str, App] = {}
        self.texts: dict[str, tuple[str, str]] = {}
        """App → (file name as shown, text), for pointing at a key."""
        self.broken: dict[str, list[ConfigError]] = {}
        """App → its mistakes."""

    @property
    def errors(self) -> list[ConfigError]:
        """All mistakes, by file and place."""
        every = [*self.mistakes, *(error for errors in self.broken.values() for error in errors)]
        return sorted(every, key=lambda error: (error.file, error.line, error.column))

    def keep(self, apps: Iterable[str]) -> None:
        """Leave only these apps, and what is wrong with `edge.yml`."""
        self.apps = {name: self.apps[name] for name in apps if name in self.apps}
        self.broken = {name: self.broken[name] for name in apps if name in self.broken}

    def refuse(self, app: str, errors: list[ConfigError]) -> None:
        """Leave an app out, for these mistakes."""
        self.apps.pop(app, None)
        self.broken.setdefault(app, []).extend(errors)


def find_state(config: Path | None) -> str:
    """The state folder that an `edge.yml` names, whatever else is wrong with it."""
    with contextlib.suppress(OSError, UnicodeDecodeError, ConfigError):
        root = compose(config.read_text(encoding="utf-8"), "") if config is not None else None
        pair = child(root, "state", eq)
        if pair is not None and isinstance(pair[1].value, str):
            return pair[1].value
    return Settings().state


def config_root(config: Path | None) -> Path:
    """The folder that relative paths in `edge.yml` start from."""
    return (config.parent if config is not None else Path.cwd()).resolve()


def read_settings(config: Path | None) -> tuple[Settings | None, list[ConfigError]]:
    """`edge.yml`, or the defaults where there is no such file."""
    if config is None:
        return Settings(), []
    try:
        text = config.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "give -c the path of an edge.yml, or none for the defaults"
        return None, [ConfigError(str(config), 1, 1, "there is no such file", hint)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [_unreadable(str(config), error)]
    return decode_settings(text, str(config))


def read_apps(folder: Path, shown: str) -> Configuration:
    """
    Every app folder in `folder`; `shown` is how the folder is called in messages.

    Raises:
        StoreError: the folder cannot be listed; what is in it is unknown, so nothing may change.
    """
    found = Configuration()
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StoreError(f"the folder of the apps cannot be read: {error}") from error
    for path in paths:
        if path.name[0] not in "._" and path.is_dir():
            _add_app(path, f"{shown}/{path.name}/app.yml", found)
    return found


def read_app(folder: Path, shown: str) -> Configuration:
    """One app folder; `shown` is how its `app.yml` is called in messages."""
    found = Configuration()
    _add_app(folder, shown, found)
    return found


def _add_app(folder: Path, shown: str, found: Configuration) -> None:
    name = folder.name
    if not APP_NAME.fullmatch(name):
        hint = "rename the folder: a-z, 0-9 and -, 63 characters at most"
        found.refuse(name, [ConfigError(shown, 1, 1, f"{name!r} is no app name", hint)])
        return
    try:
        text = (folder / "app.yml").read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""  # every key is optional, and so is the file
    except (OSError, UnicodeDecodeError) as error:
        found.refuse(name, [_unreadable(shown, error)])
        return
    found.texts[name] = (shown, text)
    app, errors = decode_app(text, shown)
    if app is None:
        found.refuse(name, errors)
    else:
        found.apps[name] = app


def _unreadable(shown: str, error: OSError | UnicodeDecodeError) -> ConfigError:
    if isinstance(error, UnicodeDecodeError):
        return ConfigError(shown, 1, 1, f"is not UTF-8: {error}", "save it as UTF-8")
    return ConfigError(shown, 1, 1, f"cannot be read: {error.strerror}", "check its permissions")


def create_app_folder(folder: Path, name: str) -> None:
    """
    The folder of an app that is deployed to, if it has none.

    Raises:
        StoreError: it cannot be made.
    """
    file = folder / name / "app.yml"
    if file.parent.is_dir():
        return
    try:
        durable.write(file, NEW_APP.format(name=name).encode())
    except OSError as error:
        raise StoreError(
            f"the folder {file.parent} cannot be made: {error.strerror}; "
            f"make it, then activate again"
        ) from error


def as_json(error: ConfigError) -> dict[str, str | int]:
    """A located error for machines."""
    fields = ("file", "line", "column", "message", "hint")
    return {name: getattr(error, name) for name in fields}
