"""
`customHttp.yml`: an operator's own fields, which paths have them, and how they meet a response.

Here: the document and its mistakes, the plan of one branch, and the lifetime at the edge that a
Cache-Control states. Not here: globs, when a response is stored, and which file holds for a
deployment. Nothing that was decoded here can split a response.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated, Final

from edge.errors import ConfigError
from edge.http.fields import Line, delta_seconds, is_field_value, parse_cache_control, split_list
from edge.site import reading
from edge.site.expressions import FEW, Budget
from edge.site.globs import Glob, compile_glob
from edge.site.reading import Parsed
from edge.site.schema import Document, Text, parse_field_name

MAX_VALUE: Final = 8_192
"""Bytes of a value: more than browsers and proxies take of one field line."""

NOT_SETTABLE: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade content-length content-encoding date age host".split()
)
"""
What frames a message, or says what was done to it: a wrong one breaks it for everybody.

Source: RFC 9110 §7.6.1 for the connection's own.
"""

SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""What no UTF-8 can say, and YAML can write."""


# The document


def parse_pattern(text: str) -> str:
    """A glob, blanks around it removed."""
    pattern = text.strip()
    compile_glob(pattern)
    return pattern


def parse_key(text: str) -> str:
    """The name of a field that may be set, as written."""
    name = parse_field_name(text)
    if name.lower().encode() in NOT_SETTABLE:
        raise ValueError(f"{name!r} cannot be set: the node writes it itself", "remove this entry")
    return name


def parse_value(text: str) -> str:
    """A field's value; blanks around it are no part of it. Source: RFC 9110 §5.5."""
    if "\r" in text or "\n" in text:
        remedy = "write it on one line, or on several after >-"
        raise ValueError("a header's value cannot have a line break", remedy)
    value = text.strip(" \t")
    encoded = value.encode(errors="surrogatepass")
    if not is_field_value(encoded) or SURROGATE.search(value):
        raise ValueError("a header's value cannot have control characters", "remove them")
    if len(encoded) > MAX_VALUE:
        problem = f"a header's value cannot be longer than {MAX_VALUE} bytes"
        raise ValueError(problem, "browsers would refuse the whole response")
    return value


class Header(Document, frozen=True, kw_only=True):
    """One field."""

    key: Annotated[str, Parsed(parse_key)]
    value: Annotated[str, Parsed(parse_value)]


class HeaderEntry(Document, frozen=True, kw_only=True):
    """The fields of all paths that a glob matches."""

    pattern: Annotated[str, Parsed(parse_pattern)]
    headers: tuple[Header, ...]


class Application(Document, frozen=True, kw_only=True, rename="camel"):
    """The entries of one app of a monorepo."""

    app_root: Text
    custom_headers: tuple[HeaderEntry, ...]


class CustomHttp(Document, frozen=True, kw_only=True, rename="camel", weakref=True):
    """`customHttp.yml` in either of its forms."""

    custom_headers: tuple[HeaderEntry, ...] = ()
    applications: tuple[Application, ...] = ()

    def __post_init__(self) -> None:
        """One form, and each app once."""
        if self.custom_headers and self.applications:
            problem = "customHeaders and applications cannot stand in one file"
            raise ValueError(problem, "a monorepo has applications alone")
        roots = [normal_root(each.app_root) for each in self.applications]
        for root in roots:
            if roots.count(root) > 1:
                raise ValueError(f"the appRoot {root!r} is there twice", "make them one")

    def entries_for(self, app_root: str | None) -> tuple[HeaderEntry, ...] | None:
        """An app's entries; None where the file is a monorepo's and does not name this app."""
        if not self.applications:
            return self.custom_headers
        for application in self.applications:
            if app_root and normal_root(application.app_root) == normal_root(app_root):
                return application.custom_headers
        return None


def decode_headers(text: str, file: str) -> tuple[CustomHttp | None, list[ConfigError]]:
    """`customHttp.yml`; None exactly when there is a mistake, and then all of them."""
    document, mistakes = reading.decode(text, file, CustomHttp)
    for mistake in mistakes:
        if "alias" in mistake.message:  # to YAML, a bare star begins one
            mistake.hint = "quote what begins with a star: '*.js'"
    return document, mistakes


def normal_root(root: str) -> str:
    """A folder of a repository without what makes no difference: `./apps/shop/` → `apps/shop`."""
    return "/".join(segment for segment in root.split("/") if segment not in ("", "."))


# The plan


class HeaderPlan:
    """
    The entries of one branch, compiled; `entries` have been decoded before.

    Entries are found by the folder their glob begins with, else by the extension it ends with: what
    a path has to be compared with does not grow with their number.
    """

    def __init__(self, entries: Iterable[HeaderEntry]) -> None:
        self.patterns: list[str] = []
        """Of each entry, in the order of the file."""
        self.fields: list[dict[bytes, Line]] = []
        """Of each entry by lower-case name."""
        self.exact: dict[str, list[int]] = {}
        self.by_folder: dict[str, list[tuple[int, Glob]]] = {}
        self.by_extension: dict[str, list[tuple[int, Glob]]] = {}
        self.anywhere: list[tuple[int, Glob]] = []
        self.globs = 0
        """How many there are that are not exact."""
        for number, entry in enumerate(entries):
            lines = [(each.key.encode(), each.value.encode()) for each in entry.headers]
            self.patterns.append(entry.pattern)
            self.fields.append({name.lower(): (name, value) for name, value in lines})
            for glob in compile_glob(entry.pattern):
                self._add(number, glob)
        self.longest = max(map(len, self.by_folder), default=0)
        """Characters of the longest folder of `by_folder`."""

    def _add(self, number: int, glob: Glob) -> None:
        folder = glob.prefix[: glob.prefix.rfind("/") + 1]
        _, dot, extension = glob.suffix.rpartition(".")
        self.globs += not glob.is_exact
        if glob.is_exact:
            self.exact.setdefault(glob.prefix, []).append(number)
        elif folder != "/":
            self.by_folder.setdefault(folder, []).append((number, glob))
        elif dot:
            self.by_extension.setdefault(extension, []).append((number, glob))
        else:
            self.anywhere.append((number, glob))

    def __len__(self) -> int:
        """How many entries there are; an empty plan is false."""
        return len(self.fields)

    def matching(self, path: str, budget: Budget | None = None) -> list[int]:
        """
        The numbers of the entries that match a decoded path, in the order of the file.

        Raises:
            PatternTooSlow: there are too many for such a path, where a `budget` says so.
        """
        found = set(self.exact.get(path, ()))
        candidates = self._candidates(path)
        if budget is not None and self.globs > FEW:
            candidates = budget.bounded(candidates)
        found.update(number for number, glob in candidates if glob.matches(path))
        return sorted(found)

    def _candidates(self, path: str) -> Iterator[tuple[int, Glob]]:
        yield from self.anywhere
        if self.by_extension:
            yield from self.by_extension.get(path.rpartition(".")[2], ())
        end = path.find("/", 1)
        while 0 < end < self.longest:
            yield from self.by_folder.get(path[: end + 1], ())
            end = path.find("/", end + 1)

    def merge(self, numbers: Iterable[int]) -> tuple[Line, ...]:
        """The fields of these entries; of one name the last counts."""
        merged: dict[bytes, Line] = {}
        for number in numbers:
            merged.update(self.fields[number])
        return tuple(merged.values())

    def longest_lifetime(self, default: int, cap: int) -> int:
        """The longest of the lifetimes that `edge_lifetime` has for any path."""
        stated = (fields[b"cache-control"] for fields in self.fields if b"cache-control" in fields)
        return max(default, *(edge_lifetime([value], default, cap) for _, value in stated), 0)


# Meeting a response


def apply(fields: Iterable[Line], custom: Sequence[Line]) -> list[Line]:
    """
    The response's fields with the custom ones in place of those of the same name.

    Vary is merged, for the node's own part stays true (RFC 9110 §12.5.5); a Set-Cookie stands
    beside those of an origin, which mean other cookies.
    """
    names = {name.lower() for name, _ in custom} - {b"set-cookie"}
    ours = list(fields)
    merged = [field for field in ours if field[0].lower() not in names]
    merged += [field for field in custom if field[0].lower() != b"vary"]
    if b"vary" in names:
        values = [value for name, value in chain(ours, custom) if name.lower() == b"vary"]
        merged.append((b"Vary", merge_vary(values)))
    return merged


def merge_vary(values: Iterable[bytes]) -> bytes:
    """One list of all names, each once; `*` takes the place of all."""
    names: dict[bytes, bytes] = {}
    for name in chain.from_iterable(map(split_list, values)):
        names.setdefault(name.lower(), name)
    return b"*" if b"*" in names else b", ".join(names.values())


def edge_lifetime(cache_control: Iterable[bytes], default: int, cap: int) -> int:
    """
    Seconds for which the edge may reuse a response with these Cache-Control values.

    `default` holds where they state none; nothing is longer than `cap`. What a shared cache must
    not store, or must not reuse unasked, is 0, and so is a lifetime that is no number.

    Source: RFC 9111 §4.2.1, §5.2.2; s-maxage before max-age.
    """
    directives = parse_cache_control(cache_control)
    if directives.keys() & {b"no-store", b"private", b"no-cache"}:
        return 0
    for name in (b"s-maxage", b"max-age"):
        if name in directives:
            return min(delta_seconds(directives[name]) or 0, cap)
    return min(default, cap)
