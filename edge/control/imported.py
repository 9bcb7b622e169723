"""
What another host's configuration becomes: an app folder, and notes on what it could not say.

Laws: nothing is dropped silently, and nothing raises for what a rule or a header says: each is
tried by the node's own decoders, and what they refuse becomes a note. What a password closed
stays closed. Here: the folder in the making, and its writing. Not here: any vendor's format
(`amplify`, `netlify`).
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edge.control import durable
from edge.control.passwords import hash_password
from edge.errors import ConfigError, EdgeError, StoreError
from edge.site import yaml_nodes
from edge.site.documents import decode_app
from edge.site.headers import decode_headers, normal_root
from edge.site.hosts import MAX_LABEL, slug
from edge.site.redirects import decode_redirects
from edge.site.rule import Rule
from edge.site.schema import parse_user

HEADING: Final = "# Imported from {source}. Every key is optional; the README lists them all.\n"
LOCKED: Final = "locked"
"""The user of a branch whose own user could not be read."""

Place = tuple[str, int]
"""A file, and a line of it from 1."""

KeyPath = tuple[str, ...]


class Note(msgspec.Struct, frozen=True):
    """What could not be carried over, or means something else here."""

    file: str
    line: int
    what: str
    why: str
    """Why, or what to do."""

    def __str__(self) -> str:
        """`file:line: what (why)`."""
        why = f" ({self.why})" if self.why else ""
        return f"{self.file}:{self.line}: {self.what}{why}"


class Imported(msgspec.Struct, frozen=True):
    """An app folder that the node takes without an error, not written yet."""

    app: str
    """A DNS label."""
    files: dict[str, str]
    """Name → text; `app.yml` is always there."""
    notes: list[Note]
    """In the order of their files and lines."""


class Kept(msgspec.Struct, frozen=True):
    """A rule that the node takes."""

    place: Place
    written: Mapping[str, str | None]
    """As it goes into the file."""
    rule: Rule
    """As the node reads it."""


class Field(msgspec.Struct, frozen=True):
    """A header that the node takes."""

    pattern: str
    key: str
    value: str
    app_root: str | None
    """Of which app, where the file is a monorepo's."""


class Setting(msgspec.Struct, frozen=True):
    """One key of `app.yml`."""

    place: Place
    path: KeyPath
    value: Any


class Draft:
    """An app folder in the making."""

    def __init__(self, source: str) -> None:
        self.source = source
        """The other host's name, for a person."""
        self.settings: list[Setting] = []
        self.rules: list[Kept] = []
        self.fields: list[Field] = []
        self.custom_http: str | None = None
        """The text of `customHttp.yml`, where it can stay as it is; else it is made of `fields`."""
        self.notes: list[Note] = []

    def note(self, place: Place, what: str, why: str) -> None:
        """Tell the operator; `what` says what is the matter, `why` the reason or the remedy."""
        self.notes.append(Note(*place, what, why))

    def left_out(self, place: Place, what: str, errors: Iterable[ConfigError]) -> None:
        """Tell of what the decoders refused."""
        for error in errors:
            self.note(place, f"{what} is left out: {error.message}", error.hint)

    # What goes into the files

    def judge(
        self, place: Place, written: Mapping[str, str | None], *, quietly: bool = False
    ) -> Kept | None:
        """
        The rule, not added yet; None when the node refuses it, and then a note says why.

        `quietly` is for a rule that stands beside one of the same source, which was judged before.
        """
        rules, errors, warnings = decode_redirects(encode_rules([written]), "redirects.json")
        name = f"the rule for {(written.get('source') or '')[:80]!r}"
        for error in (*errors, *warnings):
            error.message = error.message.removeprefix("[0].").removeprefix("[0]: ")
        if not quietly:
            self.left_out(place, name, errors)
            for warning in warnings:
                self.note(place, f"{name} is kept, but {warning.message}", warning.hint)
        return None if rules is None else Kept(place, written, rules[0])

    def add_rule(self, place: Place, written: Mapping[str, str | None]) -> None:
        """A rule, if the node takes it."""
        kept = self.judge(place, written)
        if kept is not None:
            self.rules.append(kept)

    def add_field(self, place: Place, field: Field) -> None:
        """A header, if the node takes it."""
        errors = errors_of(field)
        self.left_out(place, f"the header {field.key[:60]} of {field.pattern[:80]}", errors)
        if not errors:
            self.fields.append(field)

    def add_custom_http(self, text: str, place: Callable[[int], Place]) -> list[str]:
        """
        A `customHttp.yml`: as it is when the node takes it, else every header that it takes.

        `place` tells where a line of the text stands. Returned are the roots of its applications.
        """
        document, errors = decode_headers(text, "customHttp.yml")
        if document is not None:
            self.custom_http = text.rstrip() + "\n"
            return [application.app_root for application in document.applications]
        self.fields += fields_in(text)
        for error in errors:
            what = "a part of the headers" if self.fields else "all that the headers say"
            self.left_out(place(error.line), what, [error])
        return [field.app_root for field in self.fields if field.app_root is not None]

    def set(self, place: Place, path: KeyPath, value: Any) -> None:
        """A key of `app.yml`; whether the node takes it, `finish` finds out."""
        self.settings.append(Setting(place, path, value))

    def add_user(self, place: Place, access: KeyPath, user: str, password: str) -> None:
        """A user of the access settings at `access`; without a good password, one that is shut."""
        try:
            hashed = hash_password(password)
            self.set(place, (*access, "users", parse_user(user)), hashed)
        except (EdgeError, ValueError) as error:
            self.lock(place, access, user, str(error.args[0]))

    def lock(self, place: Place, access: KeyPath, user: str, reason: str) -> None:
        """Nobody gets in until the operator has set a password; the user keeps a usable name."""
        try:
            user = parse_user(user)
        except ValueError:
            user = LOCKED
        path = (*access, "users", user)
        self.set(place, path, hash_password(secrets.token_urlsafe(32)))
        what = f"the password of {user!r} is not carried over: {reason}"
        why = f"nobody can log in until `edge hash-password` is at {'.'.join(path)}"
        self.note(place, what, why)

    # The result

    def finish(self, name: str) -> Imported:
        """Everything that the node takes, as files."""
        heading = HEADING.format(source=self.source)
        files = {"app.yml": heading + encode_yaml(self.accepted_settings())}
        if self.rules:
            files["redirects.json"] = encode_rules(kept.written for kept in self.rules)
        if self.custom_http is not None:
            files["customHttp.yml"] = self.custom_http
        elif self.fields:
            files["customHttp.yml"] = encode_fields(self.fields)
        for file in [file for file in files if file != "app.yml"]:
            self.verify(file, files)
        notes = sorted(dict.fromkeys(self.notes), key=lambda note: (note.file, note.line))
        return Imported(app_name(name), files, notes)

    def accepted_settings(self) -> dict[str, Any]:
        """The keys of `app.yml`; only when there is a mistake, each is tried behind the others."""
        document = nest(self.settings)
        if decode_app(encode_yaml(document), "app.yml")[0] is not None:
            return document
        accepted: list[Setting] = []
        for setting in self.settings:
            text = encode_yaml(nest([*accepted, setting]))
            _, errors = decode_app(text, "app.yml")
            self.left_out(setting.place, "a setting", errors)
            if not errors:
                accepted.append(setting)
        return nest(accepted)

    def verify(self, file: str, files: dict[str, str]) -> None:
        """Take a file out that is refused as a whole: it is too large."""
        decode = decode_redirects if file == "redirects.json" else decode_headers
        errors = decode(files[file], file)[1]
        if errors:
            self.left_out((file, 1), "the whole file", errors)
            del files[file]


# Texts


class PlainDumper(yaml.SafeDumper):
    """Writes no aliases, and an empty key on the line of its value, as a person would."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class asks
        """Always."""
        return True

    def check_simple_key(self) -> bool:
        """As the base class, but an empty text is one too."""
        return super().check_simple_key() or getattr(self.event, "value", None) == ""


def encode_yaml(document: Mapping[str, Any]) -> str:
    """A document in block style; nothing for an empty one."""
    if not document:
        return ""
    text: str = yaml.dump(
        document, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text


def encode_rules(rules: Iterable[Mapping[str, str | None]]) -> str:
    """`redirects.json`, with a line for each rule."""
    lines = ",\n".join("  " + json.dumps(dict(rule), ensure_ascii=False) for rule in rules)
    return f"[\n{lines}\n]\n"


def encode_fields(fields: Iterable[Field]) -> str:
    """`customHttp.yml`, in the form of a monorepo when the fields have an app's root."""
    by_root: dict[str, list[Field]] = {}
    for field in fields:
        by_root.setdefault(normal_root(field.app_root or ""), []).append(field)
    blocks = [
        {"appRoot": each[0].app_root, "customHeaders": entries_of(each)}
        for each in by_root.values()
    ]
    if blocks[0]["appRoot"] is None:
        return encode_yaml({"customHeaders": blocks[0]["customHeaders"]})
    return encode_yaml({"applications": blocks})


def entries_of(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """Neighbors of one pattern as one entry."""
    return [
        {"pattern": pattern, "headers": [{"key": each.key, "value": each.value} for each in group]}
        for pattern, group in itertools.groupby(fields, key=lambda field: field.pattern)
    ]


def nest(settings: Iterable[Setting]) -> dict[str, Any]:
    """The document with each value at its path; of one path the last counts."""
    document: dict[str, Any] = {}
    for setting in settings:
        node = document
        for key in setting.path[:-1]:
            node = node.setdefault(key, {})
        node[setting.path[-1]] = setting.value
    return document


def app_name(name: str) -> str:
    """A DNS label made of the source's name."""
    return slug(name)[:MAX_LABEL].strip("-") or "app"


# Headers of a document that is refused


def errors_of(field: Field) -> list[ConfigError]:
    """Why the node does not take a header; nothing when it does."""
    _, errors = decode_headers(encode_fields([field]), "customHttp.yml")
    for error in errors:
        for prefix in ("applications[0].", "customHeaders[0].", "headers[0]."):
            error.message = error.message.removeprefix(prefix)
    return errors


def fields_in(text: str) -> list[Field]:
    """The headers that the node takes, of a document that it does not take."""
    try:
        top = members(yaml_nodes.compose(text, ""))
    except ConfigError:
        return []
    if "applications" not in top:
        return list(fields_of(top.get("customHeaders"), None))
    fields: list[Field] = []
    for application in map(members, items(top["applications"])):
        root = text_of(application.get("appRoot"))
        if root is not None:
            fields += fields_of(application.get("customHeaders"), root)
    return fields


def fields_of(node: Node | None, app_root: str | None) -> Iterator[Field]:
    """Those of one list of entries."""
    for entry in map(members, items(node)):
        pattern = text_of(entry.get("pattern"))
        for header in map(members, items(entry.get("headers"))):
            key, value = text_of(header.get("key")), text_of(header.get("value"))
            if pattern is not None and key is not None and value is not None:
                field = Field(pattern, key, value, app_root)
                yield from [] if errors_of(field) else [field]


def members(node: Node | None) -> dict[str, Node]:
    """Key → value of a mapping; of anything else, nothing."""
    pairs = node.value if isinstance(node, MappingNode) else ()
    return {key.value: value for key, value in pairs if isinstance(key, ScalarNode)}


def items(node: Node | None) -> list[Node]:
    """The items of a list; of anything else, none."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def text_of(node: Node | None) -> str | None:
    """The text of a scalar that the node's own decoder takes for text."""
    special = (yaml_nodes.NULL, yaml_nodes.BOOL)
    if not isinstance(node, ScalarNode) or node.tag in special or node.tag not in yaml_nodes.TAGS:
        return None
    return str(node.value)


# Files


def read_text(path: Path) -> str:
    """
    A file of the other host.

    Raises:
        StoreError: it cannot be read, or is not UTF-8: with the line, and what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; check the path") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StoreError(f"{path}:{line}: this is not UTF-8; save the file as UTF-8") from error


def write_folder(folder: Path, imported: Imported) -> list[Path]:
    """
    Write the app folder, `app.yml` first, for it says who may see the rest: the paths.

    Raises:
        StoreError: there is something already, or it cannot be written.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty; move it away, or import to another folder")
        paths = [folder / name for name in imported.files]
        for path in paths:
            durable.write(path, imported.files[path.name].encode())
    except OSError as error:
        problem = f"{folder} cannot be written: {error.strerror}"
        raise StoreError(f"{problem}; make room for it, or import to another folder") from error
    return paths
