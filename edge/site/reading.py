"""
YAML nodes to typed documents, with the place of every mistake.

Here: reading nodes by the annotations of a `msgspec.Struct`. Not here: which keys there are and
what they mean (`documents`, `schema`). The schema decides what a scalar is, never YAML's guessing:
a branch called `1.0` stays `1.0`. One reading collects all mistakes of a file, so that an operator
fixes them in one go; a document is returned only when there are none.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, Union

import msgspec
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edge.errors import ConfigError
from edge.site import yaml_nodes

MAX_MISTAKES: Final = 100
"""Nobody reads more of one file, and a suggestion costs a search."""

S = TypeVar("S", bound=msgspec.Struct)


class Parsed:
    """
    Marks an annotation: its scalar is read by `parse`.

    `parse` takes the text of the scalar and raises `ValueError(problem, remedy)`; only what that
    says is shown, so a parser of secrets can keep them to itself.
    """

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.parse = parse


class Invalid:
    """The value of what could not be read. Its mistake has been noted already."""


INVALID: Final = Invalid()


def decode(
    text: str, file: str, expected: type[S], retired: Mapping[str, str] | None = None
) -> tuple[S | None, list[ConfigError]]:
    """
    The document, or None and the mistakes in the order of the file, `MAX_MISTAKES` at most.

    A file without content has the defaults of `expected`. `retired` maps the dotted path of a key
    that no longer exists to what to write instead.
    """
    try:
        root = yaml_nodes.compose(text, file)
    except ConfigError as error:
        return None, [error]
    reading = Reading(file, retired or {})
    value = expected() if root is None else reading.read(root, expected, "")
    if reading.mistakes:
        return None, sorted(reading.mistakes, key=lambda each: (each.line, each.column))
    return typing.cast("S", value), []


class Reading:
    """One pass over one file's nodes. Its methods return a value, or `INVALID` with a mistake."""

    def __init__(self, file: str, retired: Mapping[str, str]) -> None:
        self.file = file
        self.retired = retired
        self.mistakes: list[ConfigError] = []

    def refuse(self, node: Node, path: str, problem: str, remedy: str = "") -> Invalid:
        """Notes a mistake at `node`."""
        if len(self.mistakes) < MAX_MISTAKES:
            line, column = yaml_nodes.position_of(node)
            message = f"{path[:120]}: {problem}" if path else problem
            self.mistakes.append(ConfigError(self.file, line, column, message, remedy))
        return INVALID

    def read(self, node: Node, expected: Any, path: str) -> Any:
        """`node` as the type `expected`, by the kind of the node."""
        if node.tag == yaml_nodes.ALIAS:
            return self.refuse(node, path, f"aliases are not supported: *{node.value}", "repeat it")
        if node.tag not in yaml_nodes.TAGS:
            return self.refuse(node, path, f"the tag {node.tag[:60]} is not supported", "remove it")
        options = alternatives(expected)
        if node.tag == yaml_nodes.NULL:
            return self.read_null(node, options, path)
        for option in options:
            if accepts(option, node):
                return self.read_as(node, option, path)
        wanted = " or ".join(describe(option) for option in options if option is not type(None))
        problem = f"expected {wanted}, found {kind_of(node)}"
        return self.refuse(node, path, problem, keys_of(options))

    def read_null(self, node: Node, options: Sequence[Any], path: str) -> Any:
        """None where the type has it."""
        if type(None) in options:
            return None
        return self.refuse(node, path, "there is no value", "write one, or remove the key")

    def read_as(self, node: Node, expected: Any, path: str) -> Any:
        """`node` as one type that takes its kind."""
        arguments = typing.get_args(expected)
        if isinstance(node, SequenceNode):
            return self.read_list(node, arguments[0], path)
        if not isinstance(node, MappingNode):
            return self.read_scalar(node, expected, path)
        if typing.get_origin(expected) is dict:
            return self.read_dict(node, arguments[0], arguments[1], path)
        return self.read_struct(node, expected, path)

    def read_list(self, node: SequenceNode, expected: Any, path: str) -> Any:
        """A tuple; every item is read, so that every mistake is found."""
        items = [self.read(item, expected, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return INVALID if INVALID in items else tuple(items)

    def read_dict(self, node: MappingNode, key_type: Any, value_type: Any, path: str) -> Any:
        """A dict with the operator's own keys, each in its canonical spelling."""
        found = {}
        for key, key_node, value_node in self.pairs(node, path, key_type):
            value = self.read(value_node, value_type, join(path, key_node.value))
            found[key] = INVALID if key is INVALID else value
        return INVALID if is_partial(found, node) else found

    def read_struct(self, node: MappingNode, expected: type[msgspec.Struct], path: str) -> Any:
        """A struct; its `__post_init__` may refuse a combination with a ValueError."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(expected)}
        found = {}
        for name, key_node, value_node in self.pairs(node, path, str):
            if field := fields.get(name):
                found[field.name] = self.read(value_node, field.type, join(path, name))
            else:
                found[name] = self.refuse_unknown(key_node, fields, path)
        for name, field in fields.items():
            if field.required and field.name not in found:
                found[field.name] = self.refuse(node, path, f"the key {name!r} is missing")
        if is_partial(found, node):
            return INVALID
        return self.attempt(node, path, lambda: expected(**found))

    def pairs(
        self, node: MappingNode, path: str, key_type: Any
    ) -> Iterable[tuple[Any, ScalarNode, Node]]:
        """Canonical key, its node and its value's; without keys that are no text or a repeat."""
        lines: dict[Hashable, int] = {}
        for key_node, value_node in node.value:
            if not is_key(key_node):
                self.refuse(key_node, path, "a key must be plain text", "write a name and a colon")
                continue
            key = self.read_key(key_node, key_type, path)
            if key in lines:
                problem = f"the key {key_node.value[:60]!r} is there twice"
                self.refuse(key_node, path, problem, f"the other one is on line {lines[key]}")
                continue
            if key is not INVALID:
                lines[key] = key_node.start_mark.line + 1
            yield key, key_node, value_node

    def read_key(self, node: ScalarNode, expected: Any, path: str) -> Any:
        """The canonical spelling of an operator's key."""
        return self.attempt(node, path, lambda: convert(node.value, expected))

    def read_scalar(self, node: Node, expected: Any, path: str) -> Any:
        """A scalar by its text. A bare `yes` or `off` is never silently a text."""
        if node.tag == yaml_nodes.BOOL and base_of(expected) is str:
            word = node.value
            return self.refuse(node, path, f"expected text, found {word}", f'write "{word}"')
        return self.attempt(node, path, lambda: convert(node.value, expected))

    def attempt(self, node: Node, path: str, make: Callable[[], Any]) -> Any:
        """What `make` returns; its ValueError(problem, remedy) becomes a mistake at `node`."""
        try:
            return make()
        except ValueError as error:
            return self.refuse(node, path, *(str(argument) for argument in error.args[:2]))

    def refuse_unknown(self, node: ScalarNode, known: Iterable[str], path: str) -> Invalid:
        """An unknown key, with the nearest one that exists."""
        if len(self.mistakes) >= MAX_MISTAKES:
            return INVALID
        name = node.value[:60]
        retired = self.retired.get(join(path, name))
        return self.refuse(node, path, f"unknown key {name!r}", retired or suggest(name, known))


def suggest(name: str, known: Iterable[str]) -> str:
    """A question with the nearest known word, else all of them."""
    words = list(known)
    return nearest(name, words) or "known here: " + ", ".join(words)


def nearest(name: str, words: Sequence[str]) -> str:
    """A question with the nearest word; empty when none is near."""
    found = difflib.get_close_matches(name, words, n=1)
    return f"did you mean {found[0]!r}?" if found else ""


def convert(text: str, expected: Any) -> Any:
    """
    The value that `text` stands for in a place of the type `expected`.

    Raises:
        ValueError: (problem, remedy)
    """
    if parse := parser_of(expected):
        return parse(text)
    if typing.get_origin(expected) is Literal:
        return one_of(text, typing.get_args(expected))
    return one_of(text.lower(), ("true", "false")) == "true" if expected is bool else text


def one_of(text: str, words: Sequence[str]) -> str:
    """`text`, if it is one of `words`."""
    if text not in words:
        problem = f"{text[:60]!r} is not one of {', '.join(words)}"
        raise ValueError(problem, nearest(text[:60], words))
    return text


def alternatives(expected: Any) -> tuple[Any, ...]:
    """The members of a union: at most one for each kind of node, and None."""
    if typing.get_origin(expected) in (Union, types.UnionType):
        return typing.get_args(expected)
    return (expected,)


def parser_of(expected: Any) -> Callable[[str], Any] | None:
    """The parser that the annotation names."""
    for mark in getattr(expected, "__metadata__", ()):
        if isinstance(mark, Parsed):
            return mark.parse
    return None


def base_of(expected: Any) -> Any:
    """The type under the annotation's marks."""
    return getattr(expected, "__origin__", expected) if parser_of(expected) else expected


def accepts(expected: Any, node: Node) -> bool:
    """Whether this kind of node can be of this type at all."""
    container = typing.get_origin(expected)
    if isinstance(node, SequenceNode):
        return container is tuple
    if isinstance(node, MappingNode):
        return container is dict or is_struct(expected)
    return expected is not type(None) and container not in (tuple, dict) and not is_struct(expected)


def is_struct(expected: Any) -> bool:
    """Whether a mapping with fixed keys is expected."""
    return isinstance(expected, type) and issubclass(expected, msgspec.Struct)


def is_key(node: Node) -> bool:
    """Whether a person would read it as a name; `<<`, `? [a]` and nothing at all are not."""
    special = node.tag == yaml_nodes.NULL or node.tag not in yaml_nodes.TAGS
    return isinstance(node, ScalarNode) and not special


def is_partial(found: Mapping[Any, Any], node: MappingNode) -> bool:
    """Whether something of the mapping could not be read."""
    return INVALID in found.values() or len(found) < len(node.value)


def describe(expected: Any) -> str:
    """The type in words for a person."""
    container = typing.get_origin(expected)
    if container is tuple:
        return "a list in [brackets]"
    return "keys with values" if container is dict or is_struct(expected) else "a single value"


def keys_of(options: Iterable[Any]) -> str:
    """How keys are written, and which there are, where a struct is expected; else nothing."""
    fields = [msgspec.structs.fields(each) for each in options if is_struct(each)]
    names = [each.encode_name for each in fields[0]] if fields else []
    return f"write {{{names[0]}: …}}; its keys are {', '.join(names)}" if names else ""


def kind_of(node: Node) -> str:
    """What stands there, in the same words; never the value, which may be a secret."""
    if isinstance(node, ScalarNode):
        return "a single value"
    return "a list" if isinstance(node, SequenceNode) else "keys with values"


def join(path: str, name: str) -> str:
    """The dotted path of a key, for people."""
    return f"{path}.{name}" if path else name
