"""
`redirects.json` and `redirects.yml` as a typed document.

Here: what a rule is made of, its grammar, and the place of every mistake. Not here: what a rule
does (`pattern`, `template`, `plan`). 100,000 rules are one file, so JSON is decoded by msgspec, and
only a rule with a mistake is read once more as YAML, which JSON is, to find the line and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from operator import eq
from typing import Final

import msgspec
from yaml.nodes import Node, SequenceNode

from edge.errors import ConfigError
from edge.site import yaml_nodes
from edge.site.countries import COUNTRIES
from edge.site.expressions import is_slow
from edge.site.pattern import Expression, Inert, Source, compile_source, normalize_source
from edge.site.reading import INVALID, MAX_MISTAKES, Reading
from edge.site.schema import Document
from edge.site.template import ORIGIN, compile_target

MAX_TEXT: Final = 2_048
"""Characters of a source or target (rules.md)."""

MAX_RULE: Final = 64 << 10
"""Bytes of one rule with its tests, where it has a mistake that is to be located."""

MAX_BYTES: Final = 32 << 20
"""A file: 100,000 rules of ordinary length are 12 MB, of `MAX_TEXT` more than anybody has."""

REDIRECTS: Final = ("301", "302", "303", "307", "308")
REFUSALS: Final = ("403", "410", "451")
MISSING: Final = ("404", "404-200", "fallback")
"""Statuses whose rules are tried only when no file was found."""

PROXYING: Final = ("200", "fallback")
"""Statuses whose target may be a list."""

STATUSES: Final = ("200", *REDIRECTS, *MISSING, *REFUSALS)
CONDITION: Final = re.compile(r"<[A-Za-z]{2}>(?:\s*,\s*<[A-Za-z]{2}>)*")
EXPECTATION: Final = re.compile(r"[1-5][0-9]{2}(?: \S+)?")
BAD_ESCAPE: Final = re.compile(r'\\(?:(["\\/bfnrtu])|(\$)|)')
PRINTED: Final = re.compile(r'"\s*</.*?/>\s*"')
KEY: Final = re.compile(rb'"(\w+)"\s*:')
LOOSE_ESCAPE: Final = (
    "a backslash that JSON does not know",
    r"read as the guide prints it; write \\ for a backslash, and $ alone",
)
POSITION: Final = re.compile(r" \(byte ([0-9]+)\)\Z")


class Example(Document, frozen=True, kw_only=True):
    """What a rule carries to be tested by."""

    request: str
    """A path with a query perhaps, or a URL."""
    expect: str
    """`301 /new`, or a status alone."""


class Rule(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One rule, in its canonical spelling. Stored as JSON."""

    source: str
    target: str | tuple[str, ...] | None = None
    status: str = "301"
    condition: str | None = None
    """`<US>, <CA>` in upper case."""
    tests: tuple[Example, ...] = ()
    line: int = 1
    column: int = 1
    """Where it begins in its file."""


class Written(Document, frozen=True, kw_only=True):
    """One rule as it stands in the file."""

    source: str
    target: str | tuple[str, ...] | None = None
    status: str | int | None = None
    condition: str | None = None
    tests: tuple[Example, ...] | None = None


KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str, str]
"""Where in the rule, what, and what to do."""

Position = tuple[int, int]
"""Line and column, from 1."""

Locate = Callable[[KeyPath], Position]
"""The place of a key of one rule."""

Decoded = tuple[tuple[Rule, ...] | None, list[ConfigError], list[ConfigError]]


def decode_redirects(text: str, file: str) -> Decoded:
    """
    The rules, the errors and the warnings; no rules exactly when there is an error.

    A name that ends in `.json` is JSON, all else YAML. `MAX_MISTAKES` of each kind at most.
    """
    text = text.removeprefix("\ufeff")
    document = Redirects(file)
    try:
        if len(text) > MAX_BYTES:
            problem = f"the file is larger than {MAX_BYTES >> 20} MiB"
            raise ConfigError(file, 1, 1, problem, "merge rules with placeholders or patterns")
        if file.endswith(".json"):
            document.read_json(text)
        else:
            document.read_yaml(text)
    except ConfigError as error:
        document.errors.append(error)
    errors = sorted(document.errors, key=place)[:MAX_MISTAKES]
    warnings = sorted(document.warnings, key=place)[:MAX_MISTAKES]
    return None if errors else tuple(document.rules), errors, warnings


def place(error: ConfigError) -> tuple[int, int]:
    """Where it stands."""
    return error.line, error.column


class Redirects:
    """One reading of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.rules: list[Rule] = []
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []

    def read_yaml(self, text: str) -> None:
        """Every node keeps its place, at about a millisecond a rule."""
        if len(text) > yaml_nodes.MAX_BYTES:
            problem = f"the file is larger than {yaml_nodes.MAX_BYTES >> 20} MiB"
            raise ConfigError(self.file, 1, 1, problem, "write it as redirects.json, which is fast")
        root = yaml_nodes.compose(text, self.file)
        if root is None:
            return
        if not isinstance(root, SequenceNode):
            raise ConfigError(self.file, 1, 1, "expected a list of rules", "begin with - source:")
        for number, node in enumerate(root.value):
            self.read_node(node, f"[{number}]", (1, 1))
            if len(self.errors) >= MAX_MISTAKES:
                break

    def read_json(self, text: str) -> None:
        """Rules without a mistake cost some µs each."""
        data, rules = self.decode_json(text)
        decoder = msgspec.json.Decoder(Written)
        for number, (rule, begin) in enumerate(zip(rules, starts(data, rules), strict=True)):
            piece, path = bytes(rule), f"[{number}]"
            try:
                written = decoder.decode(piece)
                is_plain = not has_duplicates(piece, written)
            except msgspec.ValidationError:
                is_plain = False
            if is_plain:
                self.take(written, path, begin, lambda key, p=piece, b=begin: find(p, key, b))
            else:
                self.read_piece(piece, path, begin)
            if len(self.errors) >= MAX_MISTAKES:
                break

    def decode_json(self, text: str) -> tuple[bytes, list[msgspec.Raw]]:
        """The bytes and the rules in them, after repairs that are noted as warnings."""
        data = text.encode(errors="replace")
        decoder = msgspec.json.Decoder(list[msgspec.Raw])
        try:
            return data, decoder.decode(data)
        except msgspec.ValidationError as error:
            problem = "expected a list of rules in [brackets]"
            raise ConfigError(self.file, 1, 1, problem, "begin with [") from error
        except msgspec.DecodeError as error:
            repaired = repair(text)
            if "escape" not in str(error) or repaired == text:
                raise malformed(data, str(error), self.file) from error
        self.warnings += [
            ConfigError(self.file, *yaml_nodes.position_at(text, each.start()), *LOOSE_ESCAPE)
            for each in BAD_ESCAPE.finditer(text)
            if each[1] is None
        ][:MAX_MISTAKES]
        return self.decode_json(repaired)

    def read_piece(self, piece: bytes, path: str, begin: Position) -> None:
        """A rule in JSON that has a mistake, or looks as if."""
        try:
            node = compose_piece(piece)
        except ConfigError as error:
            problem = f"{path}: this is no rule: {error.message}"
            self.errors.append(ConfigError(self.file, *begin, problem, error.hint))
        else:
            self.read_node(node, path, begin)

    def read_node(self, node: Node, path: str, begin: Position) -> None:
        """A rule as a node, of a text that begins at `begin`."""
        reading = Reading(self.file, {})
        written = reading.read(node, Written, path)
        for each in reading.mistakes:
            position = shift((each.line, each.column), begin)
            self.errors.append(ConfigError(self.file, *position, each.message, each.hint))
        if written is not INVALID:
            where = shift(yaml_nodes.position_of(node), begin)
            self.take(
                written, path, where, lambda key: shift(yaml_nodes.find_key(node, key, eq), begin)
            )

    def take(self, written: Written, path: str, where: Position, locate: Locate) -> None:
        """A rule whose keys have the right types; what it says is checked now."""
        errors: list[Problem] = []
        warnings: list[Problem] = []
        rule = check_rule(written, where, errors, warnings)
        if len(self.warnings) < MAX_MISTAKES:
            self.warnings += [self.note(path, each, locate) for each in warnings]
        self.errors += [self.note(path, each, locate) for each in errors]
        self.rules.append(rule)

    def note(self, path: str, problem: Problem, locate: Locate) -> ConfigError:
        """A problem with its place."""
        key, message, remedy = problem
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key)
        return ConfigError(self.file, *locate(key), f"{path}{name}: {message}", remedy)


# Places


def starts(data: bytes, rules: Sequence[msgspec.Raw]) -> Iterator[Position]:
    """Line and column where each rule begins; reads `data` once."""
    line, column, at = 1, 1, 0
    for rule in rules:
        begin = data.index(bytes(rule), at)  # nothing but blanks and a comma is in between
        line, column = advance(data[at:begin], line, column)
        yield line, column
        at = begin


def advance(text: bytes, line: int, column: int) -> Position:
    """Line and column behind `text`, in characters."""
    lines = text.count(b"\n")
    last = text[text.rfind(b"\n") + 1 :].decode(errors="replace")
    return line + lines, len(last) + (1 if lines else column)


def shift(position: Position, begin: Position) -> Position:
    """A place in a piece, in the file where that piece begins at `begin`."""
    line, column = position
    return line + begin[0] - 1, column + (begin[1] - 1 if line == 1 else 0)


def compose_piece(piece: bytes) -> Node:
    """
    A JSON value as a YAML node.

    Raises:
        ConfigError: larger than a rule may be, or JSON that YAML does not take.
    """
    if len(piece) > MAX_RULE:
        raise ConfigError("", 1, 1, "it is too large", f"{MAX_TEXT} characters a value at most")
    node = yaml_nodes.compose(piece.decode(errors="replace").replace("\t", " "), "")
    if node is None:
        raise ConfigError("", 1, 1, "it is null", "write {…}, or remove it")
    return node


def find(piece: bytes, key: KeyPath, begin: Position) -> Position:
    """Where a key of a rule in JSON is; the rule, when YAML does not take it."""
    try:
        return shift(yaml_nodes.find_key(compose_piece(piece), key, eq), begin)
    except ConfigError:
        return begin


def malformed(data: bytes, problem: str, file: str) -> ConfigError:
    """The parser's words at the place it names, the end where it names none."""
    found = POSITION.search(problem)
    at = int(found[1]) if found else len(data)
    problem = POSITION.sub("", problem).removeprefix("JSON is malformed: ")
    remedy = "correct the JSON here, or just before"
    return ConfigError(file, *advance(data[:at], 1, 1), f"JSON: {problem}", remedy)


def has_duplicates(piece: bytes, written: Written) -> bool:
    """Whether a key is there twice, of which msgspec would take the last."""
    keys = KEY.findall(piece)
    repeats = 2 * max(0, len(written.tests or ()) - 1)
    return len(keys) != len(set(keys)) + repeats


def repair(text: str) -> str:
    """
    JSON as the guide prints it (page 84): `\\.` with one backslash, `\\$` for `$`, and lines of a
    pattern broken before a parenthesis. Only for what is no JSON otherwise.
    """

    def keep(found: re.Match[str]) -> str:
        return found[0] if found[1] else "$" if found[2] else "\\\\"

    repaired = BAD_ESCAPE.sub(keep, text)
    return PRINTED.sub(lambda found: found[0].replace(" (", "("), repaired)


# What a rule says


def check_rule(
    written: Written, where: Position, errors: list[Problem], warnings: list[Problem]
) -> Rule:
    """The rule in its canonical spelling, and what is wrong with it."""
    status = "301" if written.status is None else str(written.status).strip()
    if status not in STATUSES:
        known = f"one of {', '.join(STATUSES)}"
        errors.append((("status",), f"unknown status {status[:60]!r}", known))
    source = normalize_source(written.source.strip())
    compiled = check_source(source, errors, warnings)
    target = trim(written.target)
    check_targets(target, status, compiled, errors)
    tests = written.tests or ()
    for number, example in enumerate(tests):
        check_example(example, number, errors)
    return Rule(
        source=source,
        target=target,
        status=status,
        condition=check_condition(written.condition, errors, warnings),
        tests=tests,
        line=where[0],
        column=where[1],
    )


def trim(target: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """Without surrounding blanks; nothing is None."""
    if isinstance(target, tuple):
        return tuple(each.strip() for each in target) or None
    return target.strip() or None if target else None


def check_text(text: str) -> None:
    """
    One line of visible text, within the limit.

    Raises:
        ValueError: (problem, remedy)
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters", "shorten it")
    if not text.isprintable():
        problem = "there are invisible characters"
        raise ValueError(problem, r"percent-encode them; in JSON, write a backslash as \\")


def check_source(source: str, errors: list[Problem], warnings: list[Problem]) -> Source | None:
    """The compiled source; None when there is none, and then the reason is in `errors`."""
    try:
        check_text(source)
        compiled = compile_source(source)
        if isinstance(compiled.path, Expression) and (slow := is_slow(compiled.path.pattern)):
            raise ValueError(f"slow regular expression: {slow}", "avoid repeats inside of repeats")
    except ValueError as error:
        errors.append((("source",), *problem_of(error)))
        return None
    if isinstance(compiled.path, Inert):
        reason = f"the rule never matches: {compiled.path.reason}"
        warnings.append((("source",), reason, compiled.path.remedy))
    return compiled


def problem_of(error: ValueError) -> tuple[str, str]:
    """Problem and remedy."""
    problem, remedy = error.args
    return str(problem), str(remedy)


def check_targets(
    target: str | tuple[str, ...] | None,
    status: str,
    source: Source | None,
    errors: list[Problem],
) -> None:
    """Whether the target fits the status, and its placeholders the source."""
    if problem := misfit(target, status):
        errors.append((("target",), *problem))
    targets = (target,) if isinstance(target, str) else target or ()
    for number, each in enumerate(targets):
        try:
            check_text(each)
            if source is not None:
                compile_target(each, source)
        except ValueError as error:
            key: KeyPath = ("target",) if isinstance(target, str) else ("target", number)
            errors.append((key, *problem_of(error)))


def misfit(target: str | tuple[str, ...] | None, status: str) -> tuple[str, str] | None:
    """Problem and remedy where a status has no use for such a target."""
    if target is None:
        wanted = f"a rule of status {status} needs a target"
        return None if status in REFUSALS else (wanted, "write a path, or a URL")
    if isinstance(target, tuple):
        if status not in PROXYING:
            return f"status {status} takes one target", "lists are for 200 and fallback"
        if not all(ORIGIN.match(each) for each in target):
            return "a list of targets is a list of URLs", "write https:// and a host in each"
        return None
    if ORIGIN.match(target) and status in (*REFUSALS, "404", "404-200"):
        remedy = "write a path; or the status 302 to redirect, fallback to proxy"
        return f"the target of a {status} is a path of this site", remedy
    return None


def check_condition(
    condition: str | None, errors: list[Problem], warnings: list[Problem]
) -> str | None:
    """Countries in upper case; None for everyone."""
    text = (condition or "").strip().upper()
    if not text:
        return None
    if not CONDITION.fullmatch(text):
        problem = f"bad country code in the condition {text[:60]!r}"
        errors.append((("condition",), problem, 'write "<US>", or "<US>, <CA>"'))
        return text
    for code in countries_of(text):
        if code not in COUNTRIES:
            known = "did you mean <GB>?" if code == "UK" else "write a code of ISO 3166-1"
            warnings.append((("condition",), f"no country has the code {code}", known))
    return text


def countries_of(condition: str) -> list[str]:
    """The codes of a condition."""
    return re.findall(r"[A-Z]{2}", condition)


def check_example(example: Example, number: int, errors: list[Problem]) -> None:
    """Whether a rule's own test can be run."""
    if not (example.request.startswith("/") or ORIGIN.match(example.request)):
        problem = f"{example.request[:60]!r} is no request"
        errors.append((("tests", number, "request"), problem, "write a path such as /old?page=1"))
    if not EXPECTATION.fullmatch(example.expect):
        problem = f"{example.expect[:60]!r} is no expectation"
        errors.append((("tests", number, "expect"), problem, "such as 301 /new, or 404"))
