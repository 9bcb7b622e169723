"""Reading nodes by the annotations of a struct."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from edge.site.reading import MAX_MISTAKES, Parsed, decode
from edge.site.yaml_nodes import CORE

FOUND_KEYS = "found keys with values"


def parse_even(text):
    """A value with a grammar of its own."""
    if int(text) % 2:
        raise ValueError(f"{text} is odd", "add one")
    return int(text)


Even = Annotated[int, Parsed(parse_even)]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A struct with a required key and a rule about two."""

    name: str
    low: Even = 0
    high: Even = 100
    kind: Literal["red", "green"] = "red"
    until: str | None = msgspec.field(name="for", default=None)

    def __post_init__(self):
        """Two keys that must fit."""
        if self.low > self.high:
            raise ValueError("low is above high", "swap them")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of value."""

    on: bool = False
    leaf: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    table: dict[Even, str] = msgspec.field(default_factory=dict)
    choice: Literal["all"] | tuple[str, ...] = "all"
    note: Annotated[str, "of no meaning here"] = ""


LEAF_KEYS = "write {name: …}; its keys are name, low, high, kind, for"
TREE_KEYS = "write {on: …}; its keys are on, leaf, leaves, table, choice, note"


def mistakes(text):
    """Place, message and hint of each mistake of a text."""
    tree, errors = decode(text, "t.yml", Tree, {"leaf.old": "write new"})
    assert tree is None
    return [(each.line, each.column, each.message, each.hint) for each in errors]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", Tree()),
        ("{}", Tree()),
        ("on: true", Tree(on=True)),
        ("on: False", Tree(on=False)),
        ("leaf: null", Tree(leaf=None)),
        ("leaf: {name: 1.0, for: 2024-01-01}", Tree(leaf=Leaf(name="1.0", until="2024-01-01"))),
        ("leaf: {name: 'no', for: ~}", Tree(leaf=Leaf(name="no"))),
        ("leaf: {name: &n x}", Tree(leaf=Leaf(name="x"))),
        ("leaves:\n- name: a\n- name: b\n", Tree(leaves=(Leaf(name="a"), Leaf(name="b")))),
        ("table: {2: a, '4': b}", Tree(table={2: "a", 4: "b"})),
        ("choice: [all]", Tree(choice=("all",))),
        ("choice: []", Tree(choice=())),
        ("note: 7", Tree(note="7")),
    ],
)
def test_the_schema_decides_what_a_value_is(text, tree):
    """Values are read as the annotation says, with the defaults for what is not there."""
    assert decode(text, "t.yml", Tree) == (tree, [])


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("leef: 1", (1, 1, "unknown key 'leef'", "did you mean 'leaf'?")),
        (
            "leaf: {name: a, qqqq: 1}",
            (1, 17, "leaf: unknown key 'qqqq'", "known here: name, low, high, kind, for"),
        ),
        ("leaf: {name: a, old: 1}", (1, 17, "leaf: unknown key 'old'", "write new")),
        ("leaf: {}", (1, 7, "leaf: the key 'name' is missing", "")),
        ("leaf: {name: }", (1, 13, "leaf.name: there is no value", "write one, or remove the key")),
        ("leaves:", (1, 8, "leaves: there is no value", "write one, or remove the key")),
        (
            "on: true\n\non: false",
            (3, 1, "the key 'on' is there twice", "the other one is on line 1"),
        ),
        (
            "table: {2: a, 02: b}",
            (1, 15, "table: the key '02' is there twice", "the other one is on line 1"),
        ),
        ("table: {3: a}", (1, 9, "table: 3 is odd", "add one")),
        ("leaf: {name: a, low: 7}", (1, 22, "leaf.low: 7 is odd", "add one")),
        ("leaf: {name: a, low: 200}", (1, 7, "leaf: low is above high", "swap them")),
        (
            "leaf: {name: a, kind: gren}",
            (1, 23, "leaf.kind: 'gren' is not one of red, green", "did you mean 'green'?"),
        ),
        ("leaf: {name: off}", (1, 14, "leaf.name: expected text, found off", 'write "off"')),
        ("on: yes", (1, 5, "on: 'yes' is not one of true, false", "")),
        (
            "leaf: hunter2",
            (1, 7, "leaf: expected keys with values, found a single value", LEAF_KEYS),
        ),
        ("leaf: [a]", (1, 7, "leaf: expected keys with values, found a list", LEAF_KEYS)),
        ("table: a", (1, 8, "table: expected keys with values, found a single value", "")),
        ("leaves: a", (1, 9, "leaves: expected a list in [brackets], found a single value", "")),
        ("on: {a: b}", (1, 5, "on: expected a single value, found keys with values", "")),
        (
            "choice: {a: b}",
            (1, 9, f"choice: expected a single value or a list in [brackets], {FOUND_KEYS}", ""),
        ),
        ("[a]", (1, 1, "expected keys with values, found a list", TREE_KEYS)),
        ("word", (1, 1, "expected keys with values, found a single value", TREE_KEYS)),
        (
            "on: !!python/name:os.system x",
            (1, 5, f"on: the tag {CORE}python/name:os.system is not supported", "remove it"),
        ),
        ("on: !mine x", (1, 5, "on: the tag !mine is not supported", "remove it")),
        ("{<<: {on: true}}", (1, 2, "a key must be plain text", "write a name and a colon")),
        ("{? [a] : b}", (1, 4, "a key must be plain text", "write a name and a colon")),
        ("table: {~: b}", (1, 9, "table: a key must be plain text", "write a name and a colon")),
    ],
)
def test_a_mistake_says_where_and_what_to_do(text, mistake):
    """Each kind of mistake has its line, its column, its key and, where there is one, a remedy."""
    assert mistakes(text) == [mistake]


def test_an_alias_is_refused_where_it_stands():
    """An alias is a mistake of its own, and the anchor before it is not."""
    text = "leaves:\n- name: &a x\n- name: *a\n"

    assert mistakes(text) == [
        (3, 9, "leaves[1].name: aliases are not supported: *a", "repeat it"),
    ]


def test_all_mistakes_come_in_the_order_of_the_file():
    """One reading finds what is wrong everywhere, below a wrong key too."""
    text = "table:\n  3: {}\nleaves:\n- {nam: a}\n- {name: [], low: 1}\non: 7\n"

    assert [place[:3] for place in mistakes(text)] == [
        (2, 3, "table: 3 is odd"),
        (2, 6, "table.3: expected a single value, found keys with values"),
        (4, 3, "leaves[0]: the key 'name' is missing"),
        (4, 4, "leaves[0]: unknown key 'nam'"),
        (5, 10, "leaves[1].name: expected a single value, found a list"),
        (5, 19, "leaves[1].low: 1 is odd"),
        (6, 5, "on: '7' is not one of true, false"),
    ]


def test_mistakes_are_bounded():
    """A file of nothing but mistakes ends in a list that someone can read, whatever they are."""
    unknown = "".join(f"key{number}: 1\n" for number in range(MAX_MISTAKES * 3))
    odd = "leaves:\n" + "- {name: a, low: 1, high: 3}\n" * MAX_MISTAKES

    assert len(mistakes(unknown)) == len(mistakes(odd)) == MAX_MISTAKES


def test_broken_yaml_is_one_mistake():
    """What cannot be composed has the parser's place and nothing else."""
    tree, errors = decode("on: [", "t.yml", Tree)

    assert tree is None
    assert str(errors[0]).startswith("t.yml:1:6: YAML: while parsing a flow node")
