"""
Who is logged in to the page: a random id in a cookie, known here by its hash.

Laws: a session opens the page and nothing else; it is in memory alone, so a restart of control
ends it. It ends with its token, too: a scoped one is looked up at every request. How many there
are is bounded, of one token as well, so that nobody's logins end the operator's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

from edge.control.tokens import Tokens
from edge.site.scopes import Scope

LIFETIME: Final = 8 * 3600
"""Seconds from the login: a working day."""

MAX_SESSIONS: Final = 100
"""Sessions of one node; the oldest ends."""

MAX_OF_ONE: Final = 10
"""Sessions of one token; its oldest ends."""


class Session(NamedTuple):
    """One login."""

    who: str
    """As the audit log has it."""
    scope: Scope | None
    """None is everything."""
    token: str | None
    """The id of its scoped token; None is the operator's."""
    until: float
    """Epoch seconds."""


class Sessions:
    """The logins of one node."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._open: dict[bytes, Session] = {}
        """Oldest first."""

    def begin(self, who: str, scope: Scope | None, token: str | None, now: float) -> str:
        """Log somebody in; the id of his session."""
        identifier = secrets.token_urlsafe(32)
        self._forget(now)
        same = [key for key, each in self._open.items() if each.token == token]
        for key in same[: max(0, len(same) - MAX_OF_ONE + 1)]:
            del self._open[key]
        while len(self._open) >= MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        self._open[_key(identifier)] = Session(who, scope, token, now + LIFETIME)
        return identifier

    def find(self, identifier: str, now: float) -> Session | None:
        """Whose session this is, if it still is one. Cost: a small file, of a scoped token."""
        key = _key(identifier)
        session = self._open.get(key)
        if session is None:
            return None
        if session.until <= now or not self._is_valid(session, now):
            del self._open[key]
            return None
        return session

    def _is_valid(self, session: Session, now: float) -> bool:
        return session.token is None or self._tokens.is_valid(session.token, now)

    def end(self, identifier: str) -> None:
        """Log somebody out."""
        self._open.pop(_key(identifier), None)

    def _forget(self, now: float) -> None:
        for key in [key for key, each in self._open.items() if each.until <= now]:
            del self._open[key]

    def __len__(self) -> int:
        return len(self._open)


def _key(identifier: str) -> bytes:
    """What a session is known by: how long a look-up takes tells nothing of its id."""
    return hashlib.sha256(identifier.encode(errors="surrogateescape")).digest()


def cookie_name(authority: str, *, is_secure: bool) -> str:
    """
    The cookie of a session.

    Browsers send cookies to every port of a host: two nodes behind one `localhost` have two names.
    Over TLS the prefix has them refuse any that was not set by this very host.
    """
    found = re.search(r":(\d{1,5})$", authority)
    name = f"edge-session-{found[1]}" if found else "edge-session"
    return f"__Host-{name}" if is_secure else name
