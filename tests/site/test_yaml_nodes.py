"""YAML within bounds, and the places of keys."""

from __future__ import annotations

from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.site import yaml_nodes


@pytest.mark.parametrize("text", ["", "\n\n", "# only words\n", "---\n", "~\n", "null"])
def test_nothing_is_no_node(text):
    """A document without content has no root."""
    assert yaml_nodes.compose(text, "a.yml") is None


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", (3, 2), "while parsing a flow sequence"),
        ("a: 1\n\tb: 2\n", (2, 1), "cannot start any token"),
        ("a: b: c\n", (1, 5), "mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", (2, 1), "expected a single document"),
        ("a: x\nb: \x00y\n", (2, 4), "U+0000 is not allowed"),
        ("a: \ud800\n", (1, 4), "U+D800 is not allowed"),
        ("a: 'open\n", (2, 1), "unexpected end of stream"),
        ("a: " + "[" * 100_000, (1, 3 + 32), "nested deeper than 32"),
        ("#" * (1 << 20) + "\n", (1, 1), "larger than 1 MiB"),
    ],
    ids=["flow", "tab", "colons", "two", "nul", "surrogate", "quote", "deep", "large"],
)
def test_what_is_no_document_is_refused_with_its_place(text, place, message):
    """A mistake of YAML itself has the line and column where the parser gave up."""
    with pytest.raises(ConfigError) as caught:
        yaml_nodes.compose(text, "a.yml")

    assert (caught.value.line, caught.value.column) == place
    assert message in caught.value.message


def test_an_alias_bomb_stays_small():
    """No alias is followed: a lattice that would expand to 10^9 nodes is composed as written."""
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    root = yaml_nodes.compose("\n".join(["a0: &a0 x", *levels]), "a.yml")

    assert [node.tag for node in root.value[9][1].value] == [yaml_nodes.ALIAS] * 10


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`?, \n\t~\x00é")))
def test_any_text_is_composed_or_refused(text):
    """Nothing but a ConfigError leaves, whatever the text, and it has a place."""
    refusals = []
    try:
        yaml_nodes.compose(text, "a.yml")
    except ConfigError as error:
        refusals.append(error)

    assert all(error.line >= 1 and error.column >= 1 for error in refusals)


TEXT = """\
domains:
  example.com:
    subdomains: {"": main, www: main}
  list: [one, {two: 2}]
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("domains",), (1, 1)),
        (("domains", "example.com"), (2, 3)),
        (("domains", "example.com", "subdomains", ""), (3, 18)),
        (("domains", "example.com", "subdomains", "www"), (3, 28)),
        (("domains", "list", 0), (4, 10)),
        (("domains", "list", 1, "two"), (4, 16)),
        (("domains", "list", 2), (4, 3)),
        (("domains", "list", "one"), (4, 3)),
        (("domains", "example.com", "nothing", "there"), (2, 3)),
        (("nothing",), (1, 1)),
    ],
)
def test_a_key_is_found_again(path, place):
    """The place of a key is its own, or that of the nearest parent that exists."""
    root = yaml_nodes.compose(TEXT, "a.yml")

    assert yaml_nodes.find_key(root, path, eq) == place


def test_an_exact_key_goes_before_an_equal_one():
    """A key that only counts as the same is taken when the very one is not there."""
    root = yaml_nodes.compose("Main: 1\nmain: 2\n", "a.yml")

    def same(written, wanted):
        return written.lower() == wanted.lower()

    assert yaml_nodes.find_key(root, ("main",), same) == (2, 1)
    assert yaml_nodes.find_key(root, ("MAIN",), same) == (1, 1)


def test_nothing_has_a_place_too():
    """A file without content points to its beginning."""
    assert yaml_nodes.find_key(None, ("a",), eq) == (1, 1)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("a:\n\t- b", "write blanks for tabs"),
        ("a: [", "correct the YAML here, or just before"),
        ("[" * 40, "write it flatter"),
        ("a: \x01", "remove it"),
    ],
)
def test_what_is_no_yaml_has_a_remedy(text, remedy):
    """Whoever pasted it learns what to do, not only what a parser thinks."""
    with pytest.raises(ConfigError) as refused:
        yaml_nodes.compose(text, "f.yml")

    assert refused.value.hint == remedy
