"""
The operator's files on the disk: `edge.yml` and the app folders, read and checked together.

Laws: reads, never writes (but for a new app's folder). Every mistake of every file is collected;
an app with a mistake is left out, and the others are not. What two apps claim is judged elsewhere
(`claims`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from operator import eq
from pathlib import Path
from typing import NamedTuple

from edge.control import durable
from edge.control.announcements import APP_NAME
from edge.errors import ConfigError, StoreError
from edge.node.roots import context_with
from edge.site.documents import App, decode_app, decode_settings
from edge.site.headers import CustomHttp, decode_headers
from edge.site.redirects import MAX_BYTES, Rule, decode_redirects
from edge.site.settings import Settings
from edge.site.yaml_nodes import child, compose, find_key

NEW_APP = """\
# {name}: made by its first deploy. Every key is optional; the README lists them all.
production_branch: main
domains: {{}}          # example.com: {{subdomains: {{"": main, www: main}}}}
"""


RULES_FILES = ("redirects.json", "redirects.yml")
HEADERS_FILE = "customHttp.yml"
MISSPELLED = {"redirects.yaml": "redirects.yml", "customHttp.yaml": HEADERS_FILE}
APP_FILES = frozenset(("app.yml", *RULES_FILES, HEADERS_FILE, *MISSPELLED))
"""All names that mean something in an app's folder."""


class Rules(NamedTuple):
    """The rules of one file."""

    rules: tuple[Rule, ...]
    file: str
    """As it is called in messages."""


class Keys:
    """Where an app's rules and headers are stored, once somebody has found out."""

    def __init__(self) -> None:
        self.rules: str | None = None
        self.headers: str | None = None


class Configuration:
    """What was read: settings, the apps without a mistake, and all mistakes."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.mistakes: list[ConfigError] = []
        """Those of `edge.yml`."""
        self.apps: dict[str, App] = {}
        self.rules: dict[str, Rules] = {}
        """App → its rules and the file that they stand in, where it has one."""
        self.headers: dict[str, CustomHttp] = {}
        """App → its custom headers, where it has a file of them."""
        self.keys: dict[str, Keys] = {}
        """App → what its rules and headers are stored under; it lives as long as they do."""
        self.texts: dict[str, tuple[str, str]] = {}
        """App → (file name as shown, text), for pointing at a key."""
        self.broken: dict[str, list[ConfigError]] = {}
        """App → its mistakes."""
        self.warned: dict[str, list[ConfigError]] = {}
        """App → what is right and probably not what was meant."""
        self.doubts: list[ConfigError] = []
        """The same of `edge.yml`."""

    @property
    def errors(self) -> list[ConfigError]:
        """All mistakes, by file and place."""
        every = [*self.mistakes, *(error for errors in self.broken.values() for error in errors)]
        return sorted(every, key=place)

    @property
    def warnings(self) -> list[ConfigError]:
        """Those of `edge.yml` and of all apps, by file and place."""
        every = [*self.doubts, *(each for found in self.warned.values() for each in found)]
        return sorted(every, key=place)

    def take(self, other: Configuration) -> None:
        """Add what was found in another folder; what is added here later is not added there."""
        self.apps |= other.apps
        self.rules |= other.rules
        self.headers |= other.headers
        self.keys |= other.keys
        self.texts |= other.texts
        self.broken |= {name: [*errors] for name, errors in other.broken.items()}
        self.warned |= {name: [*found] for name, found in other.warned.items()}

    def keep(self, apps: Iterable[str]) -> None:
        """Leave only these apps, and what is wrong with `edge.yml`."""
        self.apps = {name: self.apps[name] for name in apps if name in self.apps}
        self.broken = {name: self.broken[name] for name in apps if name in self.broken}
        self.warned = {name: self.warned[name] for name in apps if name in self.warned}

    def refuse(self, app: str, errors: list[ConfigError]) -> None:
        """Leave an app out, for these mistakes."""
        self.apps.pop(app, None)
        self.broken.setdefault(app, []).extend(errors)


def place(error: ConfigError) -> tuple[str, int, int]:
    """Where it stands."""
    return error.file, error.line, error.column


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


def check_ca_file(config: Path | None, settings: Settings) -> list[ConfigError]:
    """The authorities of origins can be read, as each worker will."""
    file = settings.proxy.ca_file
    if config is None or file is None:
        return []
    try:
        context_with(config_root(config) / file)
    except OSError as error:  # ssl.SSLError is one
        root = compose(config.read_text(encoding="utf-8"), str(config))
        line, column = find_key(root, ("proxy", "ca_file"), eq)
        problem = f"proxy.ca_file: {file} cannot be used: {error.strerror or error}"
        hint = "name a file of certificates in PEM, or remove the key"
        return [ConfigError(str(config), line, column, problem, hint)]
    return []


def check_tracing(config: Path | None, settings: Settings) -> list[ConfigError]:
    """What spans are encoded by is installed, where they are wanted."""
    if config is None or settings.tracing is None:
        return []
    try:
        is_there = find_spec("opentelemetry.proto") is not None
    except ModuleNotFoundError:
        is_there = False
    if is_there:
        return []
    root = compose(config.read_text(encoding="utf-8"), str(config))
    line, column = find_key(root, ("tracing",), eq)
    problem, hint = "tracing needs the extra 'otel'", "pip install 'edge[otel]', or remove the key"
    return [ConfigError(str(config), line, column, problem, hint)]


Read = Callable[[Path, str, str], "Configuration"]
"""How one app is read: the folder of all apps, its name, what the folder is called in messages."""


def read_apps(folder: Path, shown: str, read: Read | None = None) -> Configuration:
    """
    Every app folder in `folder`; `shown` is how the folder is called in messages.

    Raises:
        StoreError: the folder cannot be listed; what is in it is unknown, so nothing may change.
    """
    found = Configuration()
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.name[0] not in "._" and each.is_dir()]
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StoreError(f"the folder of the apps cannot be read: {error}") from error
    for name in sorted(names):
        found.take((read or read_one)(folder, name, shown))
    return found


def read_one(folder: Path, name: str, shown: str) -> Configuration:
    """One app of a folder of apps."""
    return read_app(folder / name, f"{shown}/{name}")


def read_app(folder: Path, shown: str) -> Configuration:
    """One app folder; `shown` is how it is called in messages."""
    found = Configuration()
    _add_app(folder, shown, found)
    return found


def _add_app(folder: Path, shown: str, found: Configuration) -> None:
    name = folder.name
    found.keys[name] = Keys()
    if not APP_NAME.fullmatch(name):
        hint = "rename the folder: a-z, 0-9 and -, 63 characters at most"
        found.refuse(
            name, [ConfigError(f"{shown}/app.yml", 1, 1, f"{name!r} is no app name", hint)]
        )
        return
    errors = [
        *_add_config(folder, shown, found),
        *_add_rules(folder, shown, found),
        *_add_headers(folder, shown, found),
    ]
    if errors:
        found.refuse(name, sorted(errors, key=place))


def _add_config(folder: Path, shown: str, found: Configuration) -> list[ConfigError]:
    """`app.yml`: every key is optional, and so is the file."""
    file = f"{shown}/app.yml"
    try:
        text = _read(folder / "app.yml", file) or ""
    except ConfigError as error:
        return [error]
    found.texts[folder.name] = (file, text)
    app, errors = decode_app(text, file)
    if app is not None:
        found.apps[folder.name] = app
    return errors


def _add_rules(folder: Path, shown: str, found: Configuration) -> list[ConfigError]:
    """`redirects.json` or `redirects.yml`."""
    errors = [
        ConfigError(f"{shown}/{name}", 1, 1, "nobody reads this file", f"call it {right}")
        for name, right in MISSPELLED.items()
        if (folder / name).exists()
    ]
    there = [name for name in RULES_FILES if (folder / name).exists()]
    for name in there[1:]:
        problem = f"there are two files of rules, this and {there[0]}"
        hint = "put the rules into one of them"
        errors.append(ConfigError(f"{shown}/{name}", 1, 1, problem, hint))
    if there:
        rules, mistakes, warnings = decode_file(folder / there[0], f"{shown}/{there[0]}")
        errors += mistakes
        found.warned.setdefault(folder.name, []).extend(warnings)
        if rules is not None:
            found.rules[folder.name] = rules
    return errors


def find_rules(folder: Path) -> list[str]:
    """The files of rules in a folder, misspelled ones too."""
    return [name for name in (*RULES_FILES, *MISSPELLED) if (folder / name).exists()]


def read_rules(path: Path) -> tuple[Rules | None, list[ConfigError]]:
    """A file of rules anywhere, and its mistakes; no rules exactly when there are some."""
    if not path.exists():
        hint = "give the path of a redirects.json or redirects.yml"
        return None, [ConfigError(str(path), 1, 1, "there is no such file", hint)]
    rules, errors, _ = decode_file(path, str(path))
    return rules, errors


def decode_file(
    path: Path, shown: str
) -> tuple[Rules | None, list[ConfigError], list[ConfigError]]:
    """The rules of a file, its mistakes and its warnings."""
    try:
        rules, errors, warnings = decode_redirects(_read(path, shown) or "", shown)
    except ConfigError as error:
        return None, [error], []
    return (None if rules is None else Rules(rules, shown)), errors, warnings


def _add_headers(folder: Path, shown: str, found: Configuration) -> list[ConfigError]:
    """`customHttp.yml`."""
    file = f"{shown}/{HEADERS_FILE}"
    try:
        text = _read(folder / HEADERS_FILE, file)
    except ConfigError as error:
        return [error]
    if text is None:
        return []
    headers, errors = decode_headers(text, file)
    if headers is not None:
        found.headers[folder.name] = headers
        if config := found.apps.get(folder.name):
            found.warned.setdefault(folder.name, []).extend(check_root(headers, config, file))
    return errors


def check_root(headers: CustomHttp, config: App, file: str) -> list[ConfigError]:
    """A warning where a monorepo's file has nothing for this app."""
    if headers.entries_for(config.app_root) is not None:
        return []
    problem = f"no application here has the appRoot {config.app_root!r}"
    if config.app_root is None:
        problem = "this is a monorepo's file, and app.yml does not say which application is meant"
    hint = "set app_root in app.yml to one of the appRoots"
    return [ConfigError(file, 1, 1, problem, hint)]


def _read(path: Path, shown: str) -> str | None:
    """
    A file's text; None when there is none.

    Raises:
        ConfigError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(shown, error) from error
    return decode_text(data, shown)


def decode_text(data: bytes, shown: str) -> str:
    """
    The text of a document, one byte too many where it is too large to be read whole.

    Raises:
        ConfigError: it is too large, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        problem = f"the file is larger than {MAX_BYTES >> 20} MiB"
        raise ConfigError(shown, 1, 1, problem, "merge rules with placeholders")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(shown, error) from error


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
