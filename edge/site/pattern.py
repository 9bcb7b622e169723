"""
The source of a rule, compiled: which requests it means.

Here: every form of source, from text to matcher, one source at a time. Not here: the order of
rules and their index (`plan`), targets (`template`). A source that can never match is no error: it
loads, is inert, and says why.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
import regex

from edge.http.target import FORBIDDEN
from edge.site.expressions import compile_expression, literal_prefix
from edge.site.hosts import canonical_host
from edge.site.subject import NOTHING, Captures, Span, Subject, decode

PLACEHOLDER: Final = re.compile(r"<([^<>/?&=*#]+|\*)>")
PLAIN: Final = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~-]*)+")
"""Sources that are one path, as most are: the rest of this module can be skipped."""

NAMELESS: Final[frozenset[str]] = frozenset()
DOMAIN: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
CAPTURED: Final = re.compile(r"=<[^<>/?&=*#]+>(?=&|\Z)")
ESCAPES: Final = re.compile(r"(?:%(?!2[Ff])[0-9A-Fa-f]{2})+")
DOT_SEGMENT: Final = re.compile(r"/\.{1,2}(?:/|\Z)")

REST: Final = "*"
"""The name of `<*>`."""


class Exact(msgspec.Struct, frozen=True, gc=False):
    """One path, whole."""

    path: str
    """Decoded."""

    def match(self, subject: Subject) -> Captures | None:
        """Whether the path is this one."""
        return NOTHING if subject.path == self.path else None

    def explain(self) -> str:
        """What the path is not."""
        return f"the path is not {self.path}"


class Places(msgspec.Struct, frozen=True, gc=False):
    """
    Literals with placeholders between them, and `<*>` at the end perhaps.

    Each placeholder takes as little as it can, which is enough: a literal found earlier leaves
    more room for what follows, and none reaches across a slash.
    """

    first: str
    inner: tuple[tuple[str, str], ...]
    """Each name, and the literal that ends it."""
    last: tuple[str, str] | None
    """The name and literal at the end of the path; None when `<*>` is there."""
    text: str

    def match(self, subject: Subject) -> Captures | None:
        """Where each placeholder is. Cost: one `find` each; splits nothing."""
        path = subject.path
        if not path.startswith(self.first):
            return None
        spans: dict[str, Span] = {}
        at = len(self.first)
        for name, literal in self.inner:
            end = path.find(literal, at + 1)
            if end < 0 or path.find("/", at, end) >= 0:
                return None
            spans[name] = at, end
            at = end + len(literal)
        if self.last is None:
            spans[REST] = at, len(path)
            return spans
        name, literal = self.last
        end = len(path) - len(literal)
        if end <= at or not path.endswith(literal) or path.find("/", at, end) >= 0:
            return None
        spans[name] = at, end
        return spans

    def explain(self) -> str:
        """What the path does not fit."""
        return f"the path does not fit {self.text}"


class Expression(msgspec.Struct, frozen=True, gc=False):
    """A regular expression, searched for in the path."""

    pattern: regex.Pattern[str]
    names: tuple[str, ...]
    """Groups by number, then by name."""

    def match(self, subject: Subject) -> Captures | None:
        """
        Where each group is; one that took no part is empty.

        Raises:
            PatternTooSlow: see `Budget.search`.
        """
        found = subject.budget.search(self.pattern, subject.path)
        if found is None:
            return None
        groups = {name: found.span(int(name) if name.isdecimal() else name) for name in self.names}
        return {name: (0, 0) if span[0] < 0 else span for name, span in groups.items()}

    def explain(self) -> str:
        """Which pattern is not in the path."""
        return f"the path does not match </{self.pattern.pattern}/>"


class Domain(msgspec.Struct, frozen=True, gc=False):
    """Any path of one host."""

    host: str
    """Canonical."""

    def match(self, subject: Subject) -> Captures | None:
        """Whether the host is this one; the path behind its slash is the capture."""
        return {REST: (1, len(subject.path))} if subject.host == self.host else None

    def explain(self) -> str:
        """What the host is not."""
        return f"the host is not {self.host}"


class Inert(msgspec.Struct, frozen=True, gc=False):
    """What no request can match."""

    reason: str
    remedy: str

    def match(self, subject: Subject) -> Captures | None:  # noqa: ARG002 - one shape for all
        """Never."""
        return None

    def explain(self) -> str:
        """Why it never matches."""
        return f"it never matches: {self.reason}"


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """One parameter that a query must have."""

    key: str
    value: str | None
    """What it must be, decoded; None for anything."""
    name: str | None
    """What captures it."""

    def find(self, subject: Subject) -> bytes | None:
        """The value of the first that fits, as it arrived."""
        return subject.values.get((self.key, self.value))


class Source(msgspec.Struct, frozen=True, gc=False):
    """The source of one rule."""

    path: Exact | Places | Expression | Domain | Inert
    names: frozenset[str]
    """What a target may use."""
    parameters: tuple[Parameter, ...] = ()

    def match(self, subject: Subject) -> Captures | None:
        """What was captured; None when the request is not meant."""
        captures = self.path.match(subject)
        if captures is None or not self.parameters:
            return captures
        values = dict(captures)
        for parameter in self.parameters:
            value = parameter.find(subject)
            if value is None:
                return None
            if parameter.name is not None:
                values[parameter.name] = value
        return values

    def explain(self, subject: Subject) -> str | None:
        """Why the request is not meant; None when it is."""
        if self.path.match(subject) is None:
            return self.path.explain()
        for parameter in self.parameters:
            if parameter.find(subject) is None:
                wanted = "" if parameter.value is None else f" with the value {parameter.value!r}"
                return f"the query has no {parameter.key!r}{wanted}"
        return None


def normalize_source(text: str) -> str:
    """The source with a slash in front, where it is a path without one; nothing stays nothing."""
    if not text or text.startswith(("/", "</")) or DOMAIN.match(text):
        return text
    return "/" + text


def compile_source(text: str) -> Source:
    """
    The source of a rule, normalized before.

    Raises:
        ValueError: (problem, remedy)
    """
    if PLAIN.fullmatch(text):
        return Source(Exact(text), NAMELESS)
    if text.startswith("</"):
        return compile_search(text)
    if found := DOMAIN.fullmatch(text):
        return Source(compile_domain(found[1], found[2]), frozenset([REST]))
    path, _, query = text.partition("?")
    parameters = tuple(parse_parameter(pair) for pair in query.split("&") if pair)
    names = PLACEHOLDER.findall(path)
    names += [each.name for each in parameters if each.name is not None]
    for name in names:
        if names.count(name) > 1 and name != REST:
            raise ValueError(f"the placeholder <{name}> is there twice", "give each its own name")
    return Source(compile_path(path, query), frozenset(names), parameters)


def compile_search(text: str) -> Source:
    """`</…/>`."""
    if not text.endswith("/>") or len(text) < 5:
        raise ValueError("the regular expression has no end, or is empty", "write </pattern/>")
    pattern = compile_expression(text[2:-2])
    names = (*(str(number + 1) for number in range(pattern.groups)), *pattern.groupindex)
    return Source(Expression(pattern, names), frozenset(names))


def compile_domain(host: str, path: str) -> Domain | Inert:
    """`https://example.com`, `https://example.com/` or `https://example.com/<*>`."""
    if path not in ("", "/", "/<*>"):
        return Inert(f"a source with a domain has no path, this has {path[:60]}", "write the host")
    try:
        return Domain(canonical_host(host))
    except ValueError as error:
        return Inert(str(error), "write https:// and a host name without a port")


def compile_path(path: str, query: str) -> Exact | Places | Inert:
    """A path, with or without placeholders; `query` is what the source has behind it."""
    rest = f"<{REST}>"
    if rest in path.removesuffix(rest) or rest in query:
        return Inert("<*> stands elsewhere than at the end", "write it once, at the path's end")
    pieces = PLACEHOLDER.split(path)
    literals, names = pieces[::2], pieces[1::2]
    if reason := unmatchable("x".join(literals), query):
        return Inert(reason, "write the path as a browser sends it")
    decoded = [decode_literal(literal) for literal in literals]
    if not names:
        return Exact(decoded[0])
    if names[-1] == REST:
        pairs = tuple(zip(names[:-1], decoded[1:-1], strict=True))
        return Places(decoded[0], pairs, None, path)
    pairs = tuple(zip(names, decoded[1:], strict=True))
    return Places(decoded[0], pairs[:-1], pairs[-1], path)


def unmatchable(path: str, query: str) -> str:
    """Why no request can have what the literals say; empty when some can."""
    decoded = decode_literal(path)
    if "<" in path or ">" in path or "<" in CAPTURED.sub("", query):
        return "< and > do not make a placeholder here"
    if "#" in path or "#" in query:
        return "what follows a # is never sent"
    if DOT_SEGMENT.search(decoded):
        return "the segments . and .. are resolved before rules are tried"
    if FORBIDDEN.search(decoded):
        return "a path with a backslash or a control character is refused before rules are tried"
    return ""


def parse_parameter(text: str) -> Parameter:
    """`key=<name>`, `key=value`, or `key` alone, whose value does not matter."""
    key, equals, value = text.partition("=")
    name = decode(key.replace("+", " ").encode())
    if found := PLACEHOLDER.fullmatch(value):
        return Parameter(name, None, found[1])
    return Parameter(name, decode(value.replace("+", " ").encode()) if equals else None, None)


def decode_literal(text: str) -> str:
    """As `target.decode_path` decodes; what does not decode stays as it is."""

    def unescape(found: re.Match[str]) -> str:
        try:
            return unquote_to_bytes(found[0]).decode()
        except UnicodeDecodeError:
            return found[0]

    return ESCAPES.sub(unescape, text.replace("%2f", "%2F")) if "%" in text else text


def directory(source: Source) -> str:
    """The folders that every path of a source begins with, up to a slash."""
    if isinstance(source.path, Expression):
        return literal_prefix(source.path.pattern.pattern)
    assert isinstance(source.path, Places), "other sources are not looked for by folder"
    return source.path.first[: source.path.first.rfind("/") + 1]


def pinned_segment(source: Source) -> tuple[int, str] | None:
    """
    The number and text of the first whole segment behind a placeholder, where there is one.

    Every path of the source has it there, because no placeholder but `<*>` holds a slash.
    """
    if not isinstance(source.path, Places):
        return None
    count = source.path.first.count("/")
    for _, literal in source.path.inner:
        segments = literal.split("/")
        if len(segments) > 2:
            return count + 1, segments[1]
        count += len(segments) - 1
    segments = source.path.last[1].split("/") if source.path.last else []
    return (count + 1, segments[1]) if len(segments) > 1 else None
