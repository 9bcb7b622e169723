"""
Passwords to the hashes that `access.users` takes.

Here: what a password must be, and at which cost it is hashed. Not here: asking for one (the CLI),
checking one (`node.access`). A password is never part of an error.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import argon2
import bcrypt

from edge.errors import EdgeError

MIN_CHARACTERS: Final = 7
"""Source: the guide, "Password must be at least 7 characters"."""

MAX_BYTES: Final = 512
"""Longer ones are files; `node.access` reads no more than this, user and encoding included."""

BCRYPT_BYTES: Final = 72
"""All that bcrypt reads; the rest of a longer password would protect nothing."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Source: RFC 7617 §2, which has none in a password."""

ARGON2ID: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""
OWASP's first choice, 19 MiB in one thread. A worker that checks passwords serves pages on the same
cores: the 64 MiB in four threads of RFC 9106 would take them all.
"""

BCRYPT_ROUNDS: Final = 12
"""As a power of two: about 0.3 s, for those who cannot have argon2id."""


def hash_password(password: str, kind: str = "argon2id") -> str:
    """
    A new hash, by `argon2id` (a PHC string) or `bcrypt`; another salt each time. Slow.

    Raises:
        EdgeError: what is wrong with the password or the kind, and what to do.
    """
    if kind not in ("argon2id", "bcrypt"):
        raise EdgeError(f"there is no kind of hash {kind[:40]!r}; use argon2id or bcrypt")
    encoded = check_password(password)
    if kind == "argon2id":
        return ARGON2ID.hash(encoded)
    if len(encoded) > BCRYPT_BYTES:
        raise EdgeError(f"bcrypt reads {BCRYPT_BYTES} bytes of a password; use argon2id for more")
    return bcrypt.hashpw(encoded, bcrypt.gensalt(BCRYPT_ROUNDS)).decode()


def check_password(password: str) -> bytes:
    """The password as it is hashed: in NFC, as it is compared, and UTF-8."""
    normal = unicodedata.normalize("NFC", password)
    if len(normal) < MIN_CHARACTERS:
        problem = f"the password has {len(normal)} characters"
        raise EdgeError(f"{problem}; use {MIN_CHARACTERS} or more")
    if CONTROL.search(normal):
        raise EdgeError("the password has a control character; use what a keyboard writes")
    try:
        encoded = normal.encode()
    except UnicodeEncodeError:
        raise EdgeError("the password is not valid UTF-8; check the terminal's encoding") from None
    if len(encoded) > MAX_BYTES:
        raise EdgeError(f"the password is longer than {MAX_BYTES} bytes; use a shorter one")
    return encoded
