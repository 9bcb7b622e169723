"""What a reload changes, told of values."""

from __future__ import annotations

import random

import pytest

from edge.control.differences import (
    HostChange,
    RuleChange,
    SettingChange,
    compare_headers,
    compare_hosts,
    compare_rules,
    compare_settings,
    is_access,
)
from edge.site.documents import Access, App, BranchSettings
from edge.site.headers import Header, HeaderEntry
from edge.site.hosts import HostClaim
from edge.site.rule import Example, Rule

A, B, C, D = (Rule(source=f"/{name}", target=f"/to-{name}") for name in "abcd")


def claims(**hosts):
    """Hosts of apps; a dash in a name is written as `_`."""
    return {
        host: HostClaim(host=host, app=app, label="main", branch="main", kind="domain")
        for host, app in hosts.items()
    }


def test_hosts_come_go_and_move():
    """With whose they are."""
    before = claims(a="one", b="one", c="one")
    after = claims(b="one", c="two", d="two")

    assert list(compare_hosts(before, after)) == [
        ("one", HostChange("a", before="one/main")),
        ("two", HostChange("c", before="one/main", after="two/main")),
        ("two", HostChange("d", after="two/main")),
    ]


def test_equal_rules_are_no_difference():
    """Whatever their lines and tests."""
    tested = Rule(source="/a", target="/to-a", tests=(Example(request="/a", expect="301"),), line=9)

    assert compare_rules([A, B, A], [tested, B, A]) == []


def test_a_rule_that_says_something_else_is_told_once():
    """Its number now and then, and both of what it says."""
    other = Rule(source="/b", target=("https://x", "https://y"), status="200")

    assert compare_rules([A, B, C], [D, A, other, C]) == [
        RuleChange("added", "/d", 0, after="301 /to-d"),
        RuleChange("changed", "/b", 2, 1, "301 /to-b", "200 https://x https://y"),
    ]


def test_the_same_path_for_another_country_is_another_rule():
    """Its condition is part of what it is about."""
    us = Rule(source="/a", target="/us", condition="<US>")

    assert compare_rules([A], [us, A]) == [RuleChange("added", "/a", 0, after="301 /us <US>")]


def test_rules_that_are_removed_come_last():
    """With the number that they had."""
    assert compare_rules([A, B, C], [C]) == [
        RuleChange("removed", "/a", was=0, before="301 /to-a"),
        RuleChange("removed", "/b", was=1, before="301 /to-b"),
    ]
    assert compare_rules([], [A]) == [RuleChange("added", "/a", 0, after="301 /to-a")]


def test_the_fewest_rules_are_told_as_moved():
    """Order decides, so it is told; three that stayed are not."""
    assert compare_rules([A, B, C, D], [D, A, B, C]) == [RuleChange("moved", "/d", 0, 3)]
    assert compare_rules([A, A, B], [B, A, A]) == [RuleChange("moved", "/b", 0, 2)]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_makes_the_new_file_of_the_old(seed):
    """Nothing is missing from the changes."""
    chance = random.Random(seed)
    rules = [Rule(source=f"/{n}", target=f"/{n}") for n in range(8)]
    old = chance.choices(rules, k=10)
    new = chance.choices(rules, k=10)

    changes = compare_rules(old, new)

    touched = {each.was for each in changes if each.was is not None}
    placed = {each.number for each in changes if each.number is not None}
    assert [r for n, r in enumerate(old) if n not in touched] == [
        r for n, r in enumerate(new) if n not in placed
    ]


def entry(pattern, **fields):
    """Custom headers of a glob."""
    headers = tuple(Header(key=key, value=value) for key, value in fields.items())
    return HeaderEntry(pattern=pattern, headers=headers)


def test_headers_are_told_by_pattern():
    """Names of the fields that differ, never more."""
    before = [entry("**", X="1", Y="1"), entry("/gone", X="1"), entry("/same", X="1")]
    after = [entry("/new", Z="1"), entry("**", X="2", Y="1"), entry("/same", X="1")]

    found = [(each.change, each.pattern, each.fields) for each in compare_headers(before, after)]

    assert found == [
        ("added", "/new", ("Z",)),
        ("changed", "**", ("X",)),
        ("removed", "/gone", ("X",)),
    ]


def test_the_order_of_fields_counts():
    """The last of two of one name wins."""
    before, after = [entry("**", X="1", Y="1")], [entry("**", Y="1", X="1")]

    assert [each.fields for each in compare_headers(before, after)] == [("X", "Y")]


def test_settings_by_their_keys():
    """Dotted, with both values; nothing for what is as it was."""
    before = App(trailing_slash="add")
    after = App(branches={"pr-*": BranchSettings(performance_mode=True)})

    assert compare_settings(before, before) == []
    assert (
        compare_settings(before, after)
        == [
            SettingChange("branches.pr-*.performance_mode", None, after=True),
            SettingChange("branches.pr-*.access", None, None),
            SettingChange("trailing_slash", "add", "auto"),
        ][0::2]
    )


def test_no_hash_of_a_password_is_told():
    """Only whose it is, for the app and for a branch."""
    before = App(access=Access(users={"bob": "$argon2id$one", "eve": "$argon2id$e"}))
    branch = BranchSettings(access=Access(users={"ann": "$argon2id$ann"}))
    after = App(access=Access(users={"bob": "$argon2id$two"}), branches={"x": branch})

    found = compare_settings(before, after)

    assert "argon2id" not in repr(found)
    told = {each.key: (each.before, each.after) for each in found}
    assert told["access.users.bob"] == ("…", "…")
    assert told["access.users.eve"] == ("…", None)
    assert told["branches.x.access.users.ann"] == (None, "…")
    assert all(is_access(key) for key in told if "users" in key)
    assert not is_access("trailing_slash")
