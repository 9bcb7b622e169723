"""
Scoped tokens: made once, shown once, known afterwards by their hash.

Laws: a token is a file of its own, written whole and durably; to revoke it is to remove the file.
It is read at every request, so that what anybody made or revoked, with a node or without, counts
at once. A secret has 256 random bits: one SHA-256 keeps it, and it is compared in constant time.
When it was used last is the time of an empty file beside it, touched once a minute at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from edge.control import durable
from edge.control.announcements import APP_NAME, Malformed
from edge.control.deployments import NoSuch
from edge.errors import StoreError
from edge.site.decoding import decode_json
from edge.site.places import Places
from edge.site.schema import parse_pattern
from edge.site.scopes import ALL, Scope, parse_may

TEXT: Final = re.compile(r"edge_([0-9a-f]{12})_([0-9a-f]{64})")
"""A token as it is sent: a prefix that scanners of secrets find, its id, its secret."""

IDENTIFIER: Final = re.compile(r"[0-9a-f]{12}")

MAX_TOKENS: Final = 1000
"""Tokens of one node."""

MAX_NAME: Final = 80
"""Characters of what a token is called."""

LIFETIME: Final = 90 * 86_400.0
"""Seconds that a token lasts where nobody says how long."""

MINUTE: Final = 60.0
"""Seconds by which the last use is told."""

FORM: Final = 'send {"app": …}, perhaps with "branch", "may", "expires" (seconds) and "name"'


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as somebody asks for it."""

    app: str
    branch: str | None = None
    may: tuple[str, ...] | None = None
    expires: float | None = LIFETIME
    """Seconds from now; None is never."""
    name: str = ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token."""

    id: str
    digest: str
    """SHA-256 of the secret, in hex."""
    scope: Scope
    created: float
    expires: float | None = None
    """Epoch seconds."""
    name: str = ""


class Known(NamedTuple):
    """What a token that was sent is."""

    token: Token | None
    """None where it is nobody's."""
    is_expired: bool = False


class Tokens:
    """The tokens of one state folder."""

    def __init__(self, places: Places) -> None:
        self._folder = places.tokens

    def create(self, wish: Wish, now: float) -> tuple[Token, str]:
        """
        A new token: what is kept of it, and its text, which is never to be had again.

        Raises:
            Malformed: the wish is for something that there cannot be.
            StoreError: there are too many already.
        """
        scope = _scope_of(wish)
        if len(self.all()) >= MAX_TOKENS:
            raise StoreError(f"there are {MAX_TOKENS} tokens; revoke some: edge token list")
        identifier, secret = secrets.token_hex(6), secrets.token_hex(32)
        token = Token(
            id=identifier,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            scope=scope,
            created=now,
            expires=None if wish.expires is None else now + wish.expires,
            name=wish.name,
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write(self._file(identifier), msgspec.json.encode(token), 0o600)
        return token, f"edge_{identifier}_{secret}"

    def revoke(self, identifier: str) -> Token:
        """
        Let a token open nothing any more.

        Raises:
            NoSuch: there is none of this id.
        """
        token = self._read(identifier) if IDENTIFIER.fullmatch(identifier) else None
        if token is None:
            raise NoSuch(f"there is no token {identifier[:40]}; `edge token list` has their ids")
        self._file(identifier).unlink(missing_ok=True)
        self._used(identifier).unlink(missing_ok=True)
        durable.sync_folder(self._folder)
        return token

    def all(self) -> list[Token]:
        """Every token, oldest first; expired ones too."""
        names = [path.stem for path in self._folder.glob("*.json") if path.name[0] != "."]
        found = [self._read(name) for name in names]
        return sorted((each for each in found if each is not None), key=lambda each: each.created)

    def last_used(self, identifier: str) -> float | None:
        """When a token opened something last, to the minute."""
        with contextlib.suppress(FileNotFoundError):
            return self._used(identifier).stat().st_mtime // MINUTE * MINUTE
        return None

    def find(self, text: str, now: float) -> Known:
        """Whose token this is. Cost: one small file."""
        found = TEXT.fullmatch(text)
        token = self._read(found[1]) if found is not None else None
        if found is None or token is None:
            return Known(None)
        digest = hashlib.sha256(found[2].encode()).hexdigest()
        if not hmac.compare_digest(digest, token.digest):
            return Known(None)
        return Known(token, token.expires is not None and token.expires <= now)

    def is_valid(self, identifier: str, now: float) -> bool:
        """Whether a token that was found once would be now. Cost: one small file."""
        token = self._read(identifier)
        return token is not None and (token.expires is None or now < token.expires)

    def touch(self, identifier: str, now: float) -> None:
        """Note that a token opened something; a full disk is no reason to keep it shut."""
        path = self._used(identifier)
        with contextlib.suppress(OSError):
            if not path.exists():
                path.touch(mode=0o600)
            if not now - MINUTE < path.stat().st_mtime <= now:
                os.utime(path, (now, now))

    def _read(self, identifier: str) -> Token | None:
        """A token; one whose file is damaged opens nothing."""
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            return decode_json(self._file(identifier).read_bytes(), Token)
        return None

    def _file(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.json"

    def _used(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.used"


def decode_wish(body: bytes) -> Wish:
    """
    A wish as JSON.

    Raises:
        Malformed: it is something else.
    """
    try:
        return decode_json(body, Wish)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f"{error}; {FORM}") from error


def describe(token: Token, last_used: float | None, now: float) -> dict[str, Any]:
    """A token for people and machines, without its hash."""
    return {
        "id": token.id,
        "name": token.name,
        "app": token.scope.app,
        "branch": token.scope.branch,
        "may": list(token.scope.may),
        "created": token.created,
        "expires": token.expires,
        "expired": token.expires is not None and token.expires <= now,
        "last_used": last_used,
    }


def _scope_of(wish: Wish) -> Scope:
    """The scope that a wish is for; everything of it is checked."""
    if not APP_NAME.fullmatch(wish.app):
        raise Malformed(f"{wish.app[:80]!r} is no app name: a-z, 0-9 and -, 63 characters at most")
    if len(wish.name) > MAX_NAME or not (wish.name.isprintable() or not wish.name):
        raise Malformed(f"a token's name has {MAX_NAME} printable characters at most")
    if wish.expires is not None and not 0 < wish.expires < 1e10:
        raise Malformed("a token expires in some seconds from now, or never")
    try:
        branch = None if wish.branch is None else parse_pattern(wish.branch)
        may = ALL if wish.may is None else parse_may(",".join(wish.may))
    except ValueError as error:
        raise Malformed("; ".join(map(str, error.args))) from error
    return Scope(app=wish.app, branch=branch, may=may)
