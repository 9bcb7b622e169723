"""
`_redirects`, `_headers` and `netlify.toml` → an app folder.

Here: the syntax of the three files, and the headers. Not here: what redirects mean
(`netlify_rules`, `netlify_order`), and what the node takes of all (`imported`). A line that Netlify
would not take is a note, as is every table of `netlify.toml` that has no counterpart.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge.control.imported import Draft, Field, Imported, Place, read_text
from edge.control.netlify_order import add_redirects
from edge.control.netlify_rules import Redirect
from edge.errors import StoreError
from edge.site.rule import PROXYING
from edge.site.template import ORIGIN

REDIRECTS: Final = "_redirects"
HEADERS: Final = "_headers"
CONFIG: Final = "netlify.toml"
STATUS: Final = re.compile(r"([0-9]{3})(!?)")
TOML_PLACE: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)")
COMMA: Final = re.compile(r"\s*,\s*")

TABLES: Final[Mapping[str, str]] = {
    "functions": "run them as a server, and ask it by rules of status 200",
    "edge_functions": "say it by rules and headers, or do it in a server",
    "images": "make the sizes that you need in the build",
}
"""Tables that serving depends on, and what to do without them."""

Value = tuple[Place, str, str]
"""Name and value of a header, where they stand."""


def read_netlify(path: Path) -> Imported:
    """
    The app folder of one site; `path` is a folder with any of the three files, or one of them.

    Raises:
        StoreError: there is none, or one that cannot be read: file, line, and what to do.
    """
    draft = Draft("Netlify")
    files = find_files(path)
    config = read_config(files[CONFIG]) if CONFIG in files else {}
    for name in (REDIRECTS, HEADERS):
        file = path / published(config) / name
        if path.is_dir() and name not in files and file.is_file():
            files[name] = file
    if not files:
        remedy = f"give a folder with {REDIRECTS}, {HEADERS} or {CONFIG}"
        raise StoreError(f"{path} has nothing of Netlify; {remedy}")
    redirects: list[Redirect] = []
    if REDIRECTS in files:
        redirects += read_lines(files[REDIRECTS], draft)
    if HEADERS in files:
        read_headers(files[HEADERS], draft)
    if CONFIG in files:
        redirects += read_tables(files[CONFIG], config, draft)
    add_redirects(redirects, draft)
    note_proxied(draft)
    return draft.finish((path if path.is_dir() else path.parent).resolve().name)


def find_files(path: Path) -> dict[str, Path]:
    """The files by their names on Netlify."""
    names = (REDIRECTS, HEADERS, CONFIG)
    if path.is_dir():
        return {name: path / name for name in names if (path / name).is_file()}
    name = CONFIG if path.suffix == ".toml" else path.name
    if name not in names:
        remedy = f"give one of them, or their folder: {', '.join(names)}"
        raise StoreError(f"{path} is no file of Netlify; {remedy}")
    return {name: path}


def published(config: Mapping[str, Any]) -> str:
    """The folder that the build fills, where Netlify looks for two of the files."""
    build = config.get("build")
    words = [build.get(key) for key in ("base", "publish")] if isinstance(build, dict) else []
    return "/".join(word.strip("/") for word in words if isinstance(word, str))


# _redirects


def read_lines(file: Path, draft: Draft) -> list[Redirect]:
    """The redirects of a `_redirects`."""
    redirects = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        words = line.split()
        comment = next((at for at, word in enumerate(words) if word.startswith("#")), None)
        try:
            if words[:comment]:
                redirects.append(parse_words(words[:comment], (str(file), number)))
        except ValueError as error:
            what = f"the redirect from {words[0][:80]} is left out: {error.args[0]}"
            draft.note((str(file), number), what, "write: from to status, on one line")
    return redirects


def parse_words(words: Sequence[str], place: Place) -> Redirect:
    """
    A line: `from [key=value…] [to] [status[!]] [Condition=value…]`.

    Raises:
        ValueError: (what is wrong)
    """
    source, *rest = words
    if rest and STATUS.fullmatch(rest[0]):
        rest.insert(0, own_path(source))
    at = next((at for at, word in enumerate(rest) if word[0] == "/" or ORIGIN.match(word)), None)
    if at is None:
        raise ValueError("it has no target that begins with / or https://")
    status, *conditions = rest[at + 1 :] or ["301"]
    found = STATUS.fullmatch(status)
    if found is None:
        raise ValueError(f"{status[:40]!r} is no status")
    named = {key.lower(): value for key, value in map(parse_pair, conditions)}
    return Redirect(
        place=place,
        source=source,
        target=rest[at],
        status=found[1],
        force=bool(found[2]),
        query=dict(map(parse_pair, rest[:at])),
        is_signed=named.pop("sign", named.pop("signed", None)) is not None,
        conditions=named,
    )


def own_path(source: str) -> str:
    """The target of a line without one: its own paths."""
    if not source.endswith("/*"):
        raise ValueError("it has no target")
    return source.removesuffix("*") + ":splat"


def parse_pair(word: str) -> tuple[str, str]:
    """`key=value`."""
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise ValueError(f"{word[:40]!r} is no key=value")
    return key, value


# _headers


def read_headers(file: Path, draft: Draft) -> None:
    """The headers of a `_headers`."""
    path: str | None = None
    values: list[Value] = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        place, text = (str(file), number), line.strip()
        key, colon, value = (part.strip() for part in text.partition(":"))
        if text.startswith("/"):
            add_headers(path, values, draft)
            path, values = text, []
        elif text and not text.startswith("#"):
            if path is None or not (key and colon and value) or ORIGIN.match(text):
                what = f"the line {text[:80]!r} is left out"
                draft.note(place, what, "write a path on its own line, and name: value below it")
            else:
                values.append((place, key, value))
    add_headers(path, values, draft)


def add_headers(path: str | None, values: Iterable[Value], draft: Draft) -> None:
    """The headers of one path; values of one name are joined, as Netlify does."""
    joined: dict[str, Value] = {}
    for place, key, value in values:
        first, name, before = joined.get(key.lower(), (place, key, ""))
        joined[key.lower()] = (first, name, f"{before}, {value}" if before else value)
    for lower, (place, key, value) in joined.items():
        if lower == "basic-auth":
            add_access(place, path or "", value, draft)
        elif lower.startswith("netlify-"):
            why = "s-maxage in Cache-Control is what the edge goes by"
            draft.note(place, f"the header {key[:60]} is left out: it is for Netlify's cache", why)
        else:
            draft.add_field(place, Field(glob_of(path or ""), key, value, None))


def add_access(place: Place, path: str, value: str, draft: Draft) -> None:
    """The users of a Basic-Auth; Edge asks for them on all paths of a branch."""
    for pair in COMMA.sub(" ", value).split():
        user, _, password = pair.partition(":")
        draft.add_user(place, ("access",), user, password)
    if path != "/*":
        what = f"the password of {path[:80]} is asked for on all paths"
        why = "name the paths that everybody may see in access.exempt of app.yml"
        draft.note(place, what, why)


def glob_of(path: str) -> str:
    """A glob for what the path means: a star any number of folders, and a last slash nothing."""
    segments = [segment for segment in path.split("/") if segment]
    if "://" in path or not segments:
        return path.strip()
    *folders, last = ["/" + glob_segment(segment) for segment in segments]
    folder = "".join(folders)
    if last == "/**":
        return folder + "{,/**}" if folder else last
    return folder + last + ("" if "." in last or "*" in last else "{,/}")


def glob_segment(segment: str) -> str:
    """One segment; what a glob would take for more than text is escaped."""
    if segment.startswith(":"):
        return "*"
    escaped = re.sub(r"[{}?<>\\\\]", lambda found: f"%{ord(found[0]):02X}", segment)
    return re.sub(r"\*+", "**", escaped)


# netlify.toml


def read_config(file: Path) -> dict[str, Any]:
    """
    A `netlify.toml`.

    Raises:
        StoreError: it is no TOML.
    """
    text = read_text(file)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = TOML_PLACE.search(str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        problem = TOML_PLACE.sub("", str(error))
        raise StoreError(f"{file}:{line}: TOML: {problem}; correct it here, or above") from error


def read_tables(file: Path, config: Mapping[str, Any], draft: Draft) -> list[Redirect]:
    """The redirects; its headers are added, and every other table is noted."""
    text = read_text(file)
    for place, table in tables_of("headers", config, text, file):
        try:
            add_headers(*parse_headers(table, place), draft)
        except ValueError as error:
            draft.note(place, f"headers are left out: {error.args[0]}", "write for, and values")
    redirects = []
    for place, table in tables_of("redirects", config, text, file):
        try:
            redirects.append(parse_table(table, place))
        except ValueError as error:
            what = f"a redirect is left out: {error.args[0]}"
            draft.note(place, what, "write from, to and status")
    note_tables(config, text, file, draft)
    return redirects


def tables_of(
    name: str, config: Mapping[str, Any], text: str, file: Path
) -> Iterator[tuple[Place, Any]]:
    """Each table of that name, and where it begins."""
    tables = config.get(name, [])
    if not isinstance(tables, list):
        tables = [tables]
    lines = lines_of(text, rf"\[\[\s*{name}\s*\]\]")
    if len(lines) != len(tables):  # written in line
        lines = [first_line(text, name)] * len(tables)
    for line, table in zip(lines, tables, strict=True):
        yield (str(file), line), table


def first_line(text: str, name: str) -> int:
    """Where a table or key begins; the first line of the file where that cannot be told."""
    return next(iter(lines_of(text, rf"\[*\s*{re.escape(name)}\b")), 1)


def lines_of(text: str, beginning: str) -> list[int]:
    """The numbers of the lines that begin so."""
    pattern = re.compile(rf"\s*{beginning}")
    lines = text.splitlines()
    return [number for number, line in enumerate(lines, start=1) if pattern.match(line)]


def parse_headers(table: Any, place: Place) -> tuple[str, list[Value]]:
    """
    A table of `headers`: its path and values.

    Raises:
        ValueError: (what is wrong)
    """
    path, values = text_in(table, "for"), mapping_in(table, "values")
    return path, [
        (place, key, COMMA.sub(", ", re.sub(r"\s*\n\s*", " ", str(value))).strip())
        for key, given in values.items()
        for value in (given if isinstance(given, list) else [given])
    ]


def parse_table(table: Any, place: Place) -> Redirect:
    """
    A table of `redirects`. Raises as `parse_headers`.

    Source: redirect-parser of Netlify, for the earlier names of its keys.
    """
    source = text_in(table, "from", "origin")
    status = STATUS.fullmatch(str(table.get("status", 301)))
    if status is None:
        raise ValueError(f"{str(table['status'])[:40]!r} is no status")
    has_target = "to" in table or "destination" in table
    conditions = mapping_in(table, "conditions")
    return Redirect(
        place=place,
        source=source,
        target=text_in(table, "to", "destination") if has_target else own_path(source),
        status=status[1],
        force=bool(status[2]) or table.get("force") is True,
        query={
            key: str(value)
            for key, value in mapping_in(table, "query", "params", "parameters").items()
        },
        conditions={
            key.lower(): ",".join(map(str, value if isinstance(value, list) else [value]))
            for key, value in conditions.items()
        },
        is_signed=any(table.get(key) for key in ("signed", "signing", "sign")),
        has_headers=bool(table.get("headers")),
    )


def text_in(table: Any, *names: str) -> str:
    """The text of a key, under any of its names."""
    given = [table[name] for name in names if name in table] if isinstance(table, dict) else []
    if not given or not isinstance(given[0], str) or not given[0].strip():
        raise ValueError(f"it has no {names[0]}")
    return given[0].strip()


def mapping_in(table: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The keys and values of a key, none where it is not there."""
    given: Any = next((table[name] for name in names if name in table), {})
    if isinstance(given, dict):
        return given
    raise ValueError(f"its {names[0]} is no table")


def note_tables(config: Mapping[str, Any], text: str, file: Path, draft: Draft) -> None:
    """What has no counterpart: one note for each table that matters, one for all of the build."""
    others = []
    for name in config:
        if name in TABLES:
            place = (str(file), first_line(text, name))
            draft.note(place, f"{name} stays behind: Edge serves, and runs no code", TABLES[name])
        elif name not in ("redirects", "headers"):
            others.append(name)
    if others:
        folder = published(config) or "FOLDER"
        why = f"build with your CI, and let it run `edge deploy {folder} --app A --branch B`"
        what = f"what concerns the build stays behind: {', '.join(others)[:200]}"
        draft.note((str(file), first_line(text, others[0])), what, why)


def note_proxied(draft: Draft) -> None:
    """Netlify's headers are for files alone."""
    proxied = [kept for kept in draft.rules if ORIGIN.match(str(kept.rule.target))]
    proxied = [kept for kept in proxied if kept.rule.status in PROXYING]
    if proxied and draft.fields:
        what = "the headers of customHttp.yml hold for the answers of this server too"
        why = "narrow their globs, that of Cache-Control above all, if it sets its own"
        draft.note(proxied[0].place, what, why)
