"""Logins: who they are of, how long they last, how many there are."""

from __future__ import annotations

import pytest

from edge.control.sessions import LIFETIME, MAX_OF_ONE, MAX_SESSIONS, Sessions, cookie_name
from edge.control.tokens import Tokens, Wish
from edge.site.places import Places

NOW = 1_000_000.0


@pytest.fixture
def tokens(tmp_path):
    """No token yet."""
    return Tokens(Places(tmp_path))


@pytest.fixture
def sessions(tokens):
    """Nobody is logged in."""
    return Sessions(tokens)


def test_a_session_is_found_by_its_id_until_it_is_over(sessions):
    """A working day; ids are long and never the same."""
    one, two = (sessions.begin("admin", None, None, NOW) for _ in range(2))

    assert one != two
    assert len(one) >= 43
    assert sessions.find(one, NOW + LIFETIME - 1).who == "admin"
    assert sessions.find(one, NOW + LIFETIME) is None
    assert sessions.find("", NOW) is None
    assert sessions.find("\udcff", NOW) is None


def test_a_logout_ends_one(sessions):
    """And only that."""
    one, two = (sessions.begin("admin", None, None, NOW) for _ in range(2))
    sessions.end(one)
    sessions.end("nobody's")

    assert sessions.find(one, NOW) is None
    assert sessions.find(two, NOW) is not None


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_session_ends_with_its_token(sessions, tokens, end):
    """Whoever revokes one need not know of logins."""
    token, _ = tokens.create(Wish("shop", expires=60), NOW)
    session = sessions.begin("token", token.scope, token.id, NOW)
    assert sessions.find(session, NOW + 59).scope == token.scope

    if end == "revoked":
        tokens.revoke(token.id)

    assert sessions.find(session, NOW + (60 if end == "expired" else 1)) is None
    assert len(sessions) == 0


def test_one_token_has_so_many(sessions, tokens):
    """Its own oldest end, nobody else's."""
    first = sessions.begin("admin", None, None, NOW)
    token, _ = tokens.create(Wish("shop"), NOW)
    own = [sessions.begin("t", token.scope, token.id, NOW) for _ in range(MAX_OF_ONE + 2)]

    assert sessions.find(first, NOW) is not None
    assert [each for each in own if sessions.find(each, NOW)] == own[2:]


def test_there_are_so_many_at_all(sessions, tokens):
    """The oldest ends; what is over makes room first."""
    old = sessions.begin("admin", None, None, NOW - LIFETIME)
    for _ in range(MAX_SESSIONS // MAX_OF_ONE):
        token, _ = tokens.create(Wish("shop"), NOW)
        ids = [sessions.begin("t", token.scope, token.id, NOW) for _ in range(MAX_OF_ONE)]
    assert sessions.find(old, NOW) is None
    assert len(sessions) == MAX_SESSIONS

    new = sessions.begin("admin", None, None, NOW)

    assert len(sessions) == MAX_SESSIONS
    assert sessions.find(new, NOW) is not None
    assert sessions.find(ids[-1], NOW) is not None


@pytest.mark.parametrize(
    ("authority", "is_secure", "name"),
    [
        ("localhost:9901", False, "edge-session-9901"),
        ("edge.example", True, "__Host-edge-session"),
        ("[::1]:9902", True, "__Host-edge-session-9902"),
        ("evil\r\n:x=1", False, "edge-session"),
    ],
)
def test_the_cookie_is_named_by_the_port(authority, is_secure, name):
    """Two nodes behind one `localhost` do not end each other's logins."""
    assert cookie_name(authority, is_secure=is_secure) == name
