"""What a token may do."""

from __future__ import annotations

import pytest

from edge.errors import Forbidden
from edge.site.scopes import ALL, Scope, parse_may


@pytest.mark.parametrize(
    ("branch", "app", "asked", "covered"),
    [
        (None, "shop", "main", True),
        (None, "shop", None, True),
        (None, "blog", "main", False),
        ("main", "shop", "main", True),
        ("main", "shop", "main2", False),
        ("pr-*", "shop", "pr-7", True),
        ("pr-*", "shop", "main", False),
        ("pr-*", "shop", None, False),  # all branches are more than some
        ("*", "shop", None, False),
        ("feature/*", "shop", "feature/a/b", True),
        ("Main", "shop", "main", False),
    ],
)
def test_a_scope_covers_an_app_and_perhaps_some_of_its_branches(branch, app, asked, covered):
    """A name or a pattern, as in app.yml."""
    assert Scope(app="shop", branch=branch).covers(app, asked) is covered


def test_what_is_not_named_is_refused():
    """With a sentence that says what the token is for."""
    scope = Scope(app="shop", branch="pr-*", may=("deploy", "read"))
    scope.require("deploy", "shop", "pr-7")
    scope.require("read")

    for asked in [("purge", "shop", "pr-7"), ("deploy", "shop", "main"), ("read", "blog", "pr-7")]:
        with pytest.raises(Forbidden, match=r"^this token may deploy and read app shop, branch pr"):
            scope.require(*asked)
    with pytest.raises(Forbidden):
        scope.require("purge")


@pytest.mark.parametrize(
    ("may", "text"),
    [
        (("read",), "read app shop"),
        (("deploy", "purge"), "deploy and purge app shop"),
        (ALL, "deploy, purge and read app shop"),
    ],
)
def test_a_scope_in_words(may, text):
    """As a sentence goes on."""
    assert str(Scope(app="shop", may=may)) == text


def test_what_a_token_may_as_people_write_it():
    """Each word once, whatever the order."""
    assert parse_may("read, deploy,read") == ("deploy", "read")
    for text in ("", "deploy,", "all", "deploy;read"):
        with pytest.raises(ValueError, match="is nothing that a token may: deploy, purge or read"):
            parse_may(text)
