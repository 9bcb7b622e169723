"""
`redirects.json` and `redirects.yml`: files of rules, and the place of every mistake in them.

Here: reading both. Not here: what a rule says (`rule`) and does (`plan`). 100,000 rules may be one
file, so JSON is decoded by msgspec, and only a rule with a mistake is read once more, as the YAML
that JSON is, to find the line and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import eq
from typing import Final

import msgspec
from yaml.nodes import Node, SequenceNode

from edge.errors import ConfigError
from edge.site import yaml_nodes
from edge.site.decoding import decoder_of
from edge.site.reading import INVALID, MAX_MISTAKES, Reading
from edge.site.rule import MAX_TEXT, KeyPath, Problem, Rule, Written, check_rule

MAX_RULE: Final = 64 << 10
"""Bytes of one rule with its tests, where it has a mistake that is to be located."""

MAX_BYTES: Final = 32 << 20
"""A file: 100,000 rules of ordinary length are 12 MB, of `MAX_TEXT` more than anybody has."""

BAD_ESCAPE: Final = re.compile(r'\\(?:(["\\/bfnrtu])|(\$)|)')
PRINTED: Final = re.compile(r'"\s*</.*?/>\s*"')
KEY: Final = re.compile(rb'"(\w+)"\s*:')
LOOSE_ESCAPE: Final = (
    "a backslash that JSON does not know",
    r"read as the guide prints it; write \\ for a backslash, and $ alone",
)
LINE: Final = re.compile(r"(?<=the other one is on line )[0-9]+")
POSITION: Final = re.compile(r" \(byte ([0-9]+)\)\Z")


__all__ = ["Rule", "decode_redirects"]

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
        if file.endswith(".json"):
            document.read_json(text)
        else:
            document.read_yaml(text)
    except ConfigError as error:
        document.errors.append(error)
    errors = sorted(document.errors, key=place)[:MAX_MISTAKES]
    warnings = sorted(document.warnings, key=place)[:MAX_MISTAKES]
    return None if errors else tuple(document.rules), errors, warnings


def place(error: ConfigError) -> Position:
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
        if len(text) > MAX_BYTES:
            problem = f"the file is larger than {MAX_BYTES >> 20} MiB"
            raise ConfigError(self.file, 1, 1, problem, "merge rules with placeholders")
        data, rules = self.decode_json(text)
        decoder = decoder_of(Written)
        for number, (rule, begin) in enumerate(zip(rules, starts(data, rules), strict=True)):
            piece, path = bytes(rule), f"[{number}]"
            try:
                written = decoder.decode(piece)
                is_plain = not has_duplicates(piece, written)
            except msgspec.ValidationError:
                is_plain = False
            if is_plain:
                self.take(written, path, begin, partial(find, piece, begin))
            else:
                self.read_piece(piece, path, begin)
            if len(self.errors) >= MAX_MISTAKES:
                break

    def decode_json(self, text: str) -> tuple[bytes, list[msgspec.Raw]]:
        """The bytes and the rules in them, after repairs that are noted as warnings."""
        data = text.encode(errors="replace")
        decoder = decoder_of(list[msgspec.Raw])
        try:
            return data, decoder.decode(data)
        except msgspec.ValidationError as error:
            problem = "expected a list of rules in [brackets]"
            raise ConfigError(self.file, 1, 1, problem, "begin with [") from error
        except RecursionError as error:
            problem = "JSON: nested too deeply to be rules"
            raise ConfigError(self.file, 1, 1, problem, "a rule has keys and texts") from error
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
            hint = LINE.sub(lambda found: str(int(found[0]) + begin[0] - 1), each.hint)
            self.errors.append(ConfigError(self.file, *position, each.message, hint))
        if written is not INVALID:
            where = shift(yaml_nodes.position_of(node), begin)
            self.take(written, path, where, partial(find_in_node, node, begin))

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
    line, column, at, end = 1, 1, 0, 0
    for rule in rules:
        piece = bytes(rule)
        begin = data.index(piece, end)  # nothing but blanks and a comma is in between
        line, column = advance(data[at:begin], line, column)
        yield line, column
        at, end = begin, begin + len(piece)


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


def find_in_node(node: Node, begin: Position, key: KeyPath) -> Position:
    """Where a key of a rule is, of a text that begins at `begin`."""
    return shift(yaml_nodes.find_key(node, key, eq), begin)


def find(piece: bytes, begin: Position, key: KeyPath) -> Position:
    """Where a key of a rule in JSON is; the rule, when YAML does not take it."""
    try:
        return find_in_node(compose_piece(piece), begin, key)
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
    r"""
    JSON as the guide prints it (page 84): `\.` with one backslash, `\$` for `$`, and lines of a
    pattern broken before a parenthesis. Only for what is no JSON otherwise.
    """

    def keep(found: re.Match[str]) -> str:
        return found[0] if found[1] else "$" if found[2] else "\\\\"

    repaired = BAD_ESCAPE.sub(keep, text)
    return PRINTED.sub(lambda found: found[0].replace(" (", "("), repaired)
