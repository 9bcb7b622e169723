"""
YAML text to nodes that know their place.

Here: composing within bounds, and finding a key again. Not here: what a document says (`reading`).
Nothing is ever constructed from a tag, no alias is followed, and an error has a line and a column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edge.errors import ConfigError

MAX_BYTES: Final = 1 << 20
"""The largest file that a person still maintains; composing it costs a few seconds."""

MAX_DEPTH: Final = 32
"""Far deeper than any document here, far shallower than Python's recursion."""

CORE: Final = "tag:yaml.org,2002:"
NULL: Final = CORE + "null"
BOOL: Final = CORE + "bool"
TAGS: Final = frozenset(
    CORE + name
    for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq")
)
"""The tags that text gets without asking for one; any other was written by hand, or is a merge."""

ALIAS: Final = "alias"
"""The tag of a node that stands where an alias stood."""

Same = Callable[[str, str], bool]


class BoundedLoader(yaml.SafeLoader):
    """Composes nodes without following aliases and without deep nesting: both are bombs."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """As the base class, but an alias becomes a node of the tag `ALIAS`."""
        events: Any = self  # the stubs leave the methods of its events untyped
        event = events.peek_event()
        if events.check_event(yaml.AliasEvent):
            events.get_event()
            return ScalarNode(ALIAS, event.anchor, event.start_mark, event.end_mark)
        if self.depth == MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(None, None, problem, event.start_mark, "write it flatter")
        self.depth += 1
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(text: str, file: str) -> Node | None:
    """
    The root node; None for a document without content.

    Raises:
        ConfigError: not one YAML document, or one beyond the bounds of this module.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        problem = f"the file is larger than {MAX_BYTES >> 20} MiB"
        raise ConfigError(file, 1, 1, problem, "split it, or generate less")
    try:
        node: Node | None = yaml.compose(text, Loader=BoundedLoader)
    except yaml.MarkedYAMLError as error:
        raise located(error, file) from error
    except yaml.reader.ReaderError as error:
        line, column = position_at(text, error.position)
        character = f"U+{ord(text[error.position]):04X}"
        problem = f"YAML: {character} is not allowed here"
        raise ConfigError(file, line, column, problem, "remove it") from error
    return None if node is None or node.tag == NULL else node


def located(error: yaml.MarkedYAMLError, file: str) -> ConfigError:
    """The parser's own words, at the place where it gave up."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    words = [word for word in (error.context, error.problem) if word]
    hint = (
        "write blanks for tabs" if "'\\t'" in words[-1] else "correct the YAML here, or just before"
    )
    return ConfigError(file, line, column, "YAML: " + ", ".join(words), error.note or hint)


def position_at(text: str, index: int) -> tuple[int, int]:
    """1-based line and column of the character at `index`."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def position_of(node: Node) -> tuple[int, int]:
    """1-based line and column where `node` begins."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def find_key(root: Node | None, key_path: Sequence[str | int], same: Same) -> tuple[int, int]:
    """
    1-based line and column of the key, or list item, at the end of `key_path`.

    What is not in the file is looked for as far as it goes: an error always has a place.
    """
    node = place = root
    for step in key_path:
        found = child(node, step, same)
        if found is None:
            break
        place, node = found
    return (1, 1) if place is None else position_of(place)


def child(node: Node | None, step: str | int, same: Same) -> tuple[Node, Node] | None:
    """Key node and value node of one step, exact before `same`; a list's item is its own key."""
    if isinstance(node, MappingNode):
        keys = [pair for pair in node.value if isinstance(pair[0], ScalarNode)]
        for is_match in (eq, same):
            for key, value in keys:
                if is_match(key.value, str(step)):
                    return key, value
    if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], node.value[step]
    return None
