"""Scoped tokens: made once, shown once, known by their hash."""

from __future__ import annotations

import hashlib
import re

import pytest

from edge.control.announcements import Malformed
from edge.control.deployments import NoSuch
from edge.control.tokens import MAX_TOKENS, Tokens, Wish, decode_wish, describe
from edge.errors import StoreError
from edge.site.places import Places
from edge.site.scopes import Scope

NOW = 1_800_000_030.0
DAY = 86_400.0


@pytest.fixture
def places(tmp_path):
    """An empty state folder."""
    return Places(tmp_path / "var")


@pytest.fixture
def tokens(places):
    """Its tokens."""
    return Tokens(places)


def test_a_token_is_found_by_its_text(tokens):
    """With a prefix that scanners know; for 90 days, if nobody says otherwise."""
    token, text = tokens.create(Wish("shop", "pr-*", ("read", "deploy"), name="CI"), NOW)

    assert re.fullmatch(r"edge_[0-9a-f]{12}_[0-9a-f]{64}", text)
    assert token.scope == Scope(app="shop", branch="pr-*", may=("deploy", "read"))
    assert tokens.find(text, NOW) == (token, False)
    assert token.expires == NOW + 90 * DAY
    assert tokens.find(text, NOW + 90 * DAY - 1) == (token, False)
    assert tokens.find(text, NOW + 90 * DAY) == (token, True)


def test_nothing_on_the_disk_opens_anything(tokens, places):
    """The secret's hash alone is kept, for its owner's eyes."""
    token, text = tokens.create(Wish("shop", expires=None), NOW)
    (file,) = places.tokens.iterdir()
    secret = text.rpartition("_")[2]

    assert token.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in file.read_text()
    assert (file.stat().st_mode & 0o777, places.tokens.stat().st_mode & 0o777) == (0o600, 0o700)
    assert tokens.find(text, NOW * 2) == (token, False)  # never expires
    assert "digest" not in describe(token, None, NOW)


def test_what_is_not_quite_a_token_is_nobodys(tokens):
    """Another secret, another id, a path, nothing."""
    token, text = tokens.create(Wish("shop"), NOW)
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")

    for each in (wrong, text.replace(token.id, "0" * 12), text[:-1], text + "0", "", token.digest):
        assert tokens.find(each, NOW).token is None
    assert tokens.find(f"edge_../../../etc_{'0' * 64}", NOW).token is None


def test_a_revoked_token_is_nobodys_at_once(tokens, places):
    """For every process that looks."""
    token, text = tokens.create(Wish("shop"), NOW)
    tokens.touch(token.id, NOW)
    assert tokens.revoke(token.id) == token

    assert Tokens(places).find(text, NOW).token is None
    assert list(places.tokens.iterdir()) == []
    for identifier in (token.id, "../../lock", ""):
        with pytest.raises(NoSuch, match="edge token list"):
            tokens.revoke(identifier)


def test_the_last_use_is_told_to_the_minute(tokens, places):
    """And written once a minute, at most; never in the way."""
    token, _ = tokens.create(Wish("shop"), NOW)
    assert tokens.last_used(token.id) is None

    tokens.touch(token.id, NOW)
    tokens.touch(token.id, NOW + 59)
    used = places.tokens / f"{token.id}.used"
    assert (tokens.last_used(token.id), used.stat().st_mtime) == (NOW - 30, NOW)
    tokens.touch(token.id, NOW + 61)
    assert tokens.last_used(token.id) == NOW + 30
    tokens.touch("of-no-folder/x", NOW)


def test_a_damaged_file_opens_nothing_and_hides_no_other(tokens, places):
    """It can be revoked by removing the file."""
    token, text = tokens.create(Wish("shop"), NOW)
    other, _ = tokens.create(Wish("blog"), NOW + 1)
    (places.tokens / f"{token.id}.json").write_bytes(b'{"id": "')

    assert tokens.find(text, NOW).token is None
    assert tokens.all() == [other]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{}", "app"),
        (b"[", "send"),
        (b'{"app": "Shop"}', "no app name"),
        (b'{"app": "shop", "branch": " a"}', "not a branch name"),
        (b'{"app": "shop", "branch": "a[b"}', "never closes"),
        (b'{"app": "shop", "may": []}', "deploy, purge or read"),
        (b'{"app": "shop", "may": ["all"]}', "deploy, purge or read"),
        (b'{"app": "shop", "expires": 0}', "seconds from now"),
        (b'{"app": "shop", "expires": 1e300}', "seconds from now"),
        (b'{"app": "shop", "name": "a\\u001b"}', "printable"),
        (b'{"app": "shop", "scope": "all"}', "scope"),
    ],
)
def test_what_cannot_be_is_refused(tokens, body, problem):
    """With what to send instead."""
    with pytest.raises(Malformed, match=problem):
        tokens.create(decode_wish(body), NOW)


def test_there_are_so_many_at_most(tokens, places):
    """The list stays one that people read."""
    places.tokens.mkdir(parents=True)
    token, _ = tokens.create(Wish("shop"), NOW)
    data = (places.tokens / f"{token.id}.json").read_bytes()
    for number in range(MAX_TOKENS - 1):
        (places.tokens / f"{number:012x}.json").write_bytes(data)

    with pytest.raises(StoreError, match="revoke some"):
        tokens.create(Wish("shop"), NOW)


def test_a_token_is_valid_until_it_ends(tokens):
    """What was found once is asked for by its id alone."""
    token, _ = tokens.create(Wish("shop", expires=60), NOW)

    assert tokens.is_valid(token.id, NOW + 59)
    assert not tokens.is_valid(token.id, NOW + 60)
    tokens.revoke(token.id)
    assert not tokens.is_valid(token.id, NOW)
