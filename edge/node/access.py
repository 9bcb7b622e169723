"""
Basic auth: who may see a branch, told without holding up anybody else.

Laws: a verified credential is recalled in microseconds and without a wait; a slow hash never runs
on the loop, and of what waits for one there is a bound. A user that does not exist costs what a
wrong password costs. Neither credentials nor hashes are ever logged or kept: what is remembered is
a keyed hash under a key that no other process has.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import logging
import math
import re
import secrets
import time
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

import argon2
import bcrypt
import msgspec
from cachetools import TTLCache

from edge.node.tasks import spawn

log = logging.getLogger("edge.access")

MAX_AUTHORIZATION: Final = 4_096
"""Bytes of the field that are looked at; ours allow passwords of 512 bytes (`hash_password`)."""

BCRYPT_BYTES: Final = 72
"""What bcrypt reads of a password. All makers of such hashes cut there, so verifying has to."""

THREADS: Final = 2
"""Slow hashes at once in one worker; each may take 64 MiB, and a core of the machine."""

MAX_PENDING: Final = 32
"""Credentials that wait for a hash, running ones included: about three seconds of them."""

REMEMBERED: Final = 10_000
"""Verified credentials in memory."""

REMEMBERED_S: Final = 300.0
"""Seconds until one is verified again, which bounds what a leaked memory is good for."""

TRACKED: Final = 50_000
"""Clients and their users whose failures are counted."""

TRACKED_S: Final = 900.0
"""Seconds after the last failure until they are forgotten."""

FREE_ATTEMPTS: Final = 5
"""Attempts of one client for one user without a wait: people mistype."""

FREE_FAILURES: Final = 50
"""Failures of one client for all users without a wait: an office is one address."""

LONGEST_WAIT: Final = 300
"""Seconds; the wait for one user doubles up to here."""

LONGEST_CLIENT_WAIT: Final = 10
"""Seconds; a client may be a proxy with many people behind it, and only one of them guesses."""

BASIC: Final = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] ++([A-Za-z0-9+/]++={0,2}+)[ \t]*+")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

ARGON2: Final = argon2.PasswordHasher()
"""Verifies at the cost that a hash names; what it is made with here is never used."""

Timer = Callable[[], float]
Match = Callable[[str, "Credentials"], bool]


# Credentials


class Credentials(msgspec.Struct, frozen=True):
    """A user and a password, both in NFC."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Without the password, wherever it is printed."""
        return f"Credentials(user={self.user!r})"


def parse_credentials(authorization: bytes) -> Credentials | None:
    """
    What an Authorization of the scheme Basic says; None for anything else.

    Strictly base64 and strictly UTF-8, as our challenge asks for; controls are refused.

    Source: RFC 7617 §2, §2.1.
    """
    found = BASIC.fullmatch(authorization) if len(authorization) <= MAX_AUTHORIZATION else None
    if found is None:
        return None
    try:
        text = binascii.a2b_base64(found[1], strict_mode=True).decode()
    except ValueError:
        return None
    user, colon, password = unicodedata.normalize("NFC", text).partition(":")
    if not colon or CONTROL.search(text):
        return None
    return Credentials(user, password)


def challenge(realm: str) -> bytes:
    """
    The value of WWW-Authenticate; what is not visible ASCII in the realm becomes `?`.

    Source: RFC 7617 §2, §2.1; RFC 9110 §5.6.4 for the quoting.
    """
    visible = re.sub(r"[^\x20-\x7e]", "?", realm)
    quoted = visible.replace("\\", "\\\\").replace('"', '\\"')
    return f'Basic realm="{quoted}", charset="UTF-8"'.encode()


# Verdicts


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a request with these credentials gets."""

    status: int
    """0 to go on; else what to answer: 401, with a challenge, 429 or 503."""
    user: str = ""
    """Who it is, where the status is 0."""
    retry_after: int = 0
    """Seconds for Retry-After of 429 and 503."""


UNAUTHORIZED: Final = Verdict(401)
BUSY: Final = Verdict(503, retry_after=2)


class Access:
    """Who may see one branch. Without users it must not be asked: everyone may."""

    __slots__ = ("decoys", "users", "verifier")

    def __init__(self, users: Mapping[str, str], verifier: Verifier) -> None:
        assert users, "a branch without users has no access to check"
        self.users = {unicodedata.normalize("NFC", name): phc for name, phc in users.items()}
        self.decoys = tuple(map(decoy_of, self.users.values()))
        """Hashes that nothing matches, of the same kinds and costs."""
        self.verifier = verifier

    def recall(self, authorization: bytes | None) -> Verdict | None:
        """
        The verdict as far as it needs no slow hash, else None: then `verify` has it.

        Cost: base64, one HMAC and one look-up, about 7 µs.
        """
        credentials = parse_credentials(authorization) if authorization else None
        if credentials is None:
            return UNAUTHORIZED
        return self.verifier.recall(self.hash_for(credentials.user), credentials)

    async def verify(self, authorization: bytes | None, client: str) -> Verdict:
        """The verdict, after a slow hash where need be. `client` is the address that asks."""
        credentials = parse_credentials(authorization) if authorization else None
        if credentials is None:
            return UNAUTHORIZED
        return await self.verifier.verify(self.hash_for(credentials.user), credentials, client)

    def hash_for(self, user: str) -> str:
        """
        The user's hash, or always the same decoy for a name that is nobody's.

        Each name has a fixed cost then, on every worker: who tries names learns nothing, even
        where the real hashes are of several kinds. The decoy is found for everybody: finding it
        for strangers alone was 5 µs a guess, which 20,000 guesses tell from noise.
        """
        return self.users.get(user, self.decoys[zlib.crc32(user.encode()) % len(self.decoys)])


def decoy_of(phc: str) -> str:
    """The same hash function at the same cost, with an outcome that no password has."""
    if phc.startswith("$2"):
        return phc[:29] + "." * 31
    beginning, _, outcome = phc.rpartition("$")
    return f"{beginning}${'A' * len(outcome)}"


# Slow hashes


class Verifier:
    """Hashes for all branches of a worker, in threads, and remembers what was right."""

    def __init__(self, timer: Timer = time.monotonic, match: Match | None = None) -> None:
        self._match = match or is_match
        self.attempts = Attempts(timer)
        self._key = secrets.token_bytes(32)
        self._known: TTLCache[bytes, Verdict] = TTLCache(REMEMBERED, REMEMBERED_S, timer)
        self._pending: dict[bytes, asyncio.Task[bool]] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")

    def close(self) -> None:
        """End the threads; what waits is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def recall(self, phc: str, credentials: Credentials) -> Verdict | None:
        """The verdict for what was verified against this very hash minutes ago, else None."""
        return self._known.get(self._mark(phc, credentials))

    async def verify(self, phc: str, credentials: Credentials, client: str) -> Verdict:
        """The verdict; the same credentials at the same time cost one hash and one attempt."""
        mark = self._mark(phc, credentials)
        known = self._known.get(mark)
        if known is not None:
            return known
        task = self._pending.get(mark)
        if task is None:
            wait = self.attempts.wait(client, credentials.user)
            if wait:
                return Verdict(429, retry_after=wait)
            if len(self._pending) >= MAX_PENDING:
                return BUSY
            task = self._begin(mark, phc, credentials, client)
        is_right = await asyncio.shield(task)
        return Verdict(0, credentials.user) if is_right else UNAUTHORIZED

    def _mark(self, phc: str, credentials: Credentials) -> bytes:
        """
        What is remembered instead of credentials. Neither a hash nor a user has a NUL or a colon.

        The hash is part of it: where it changes, what was verified against it counts no more.
        """
        text = f"{phc}\0{credentials.user}:{credentials.password}"
        return hmac.digest(self._key, text.encode(), "sha256")

    def _begin(
        self, mark: bytes, phc: str, credentials: Credentials, client: str
    ) -> asyncio.Task[bool]:
        """Counts as a failure until it is none: many at once are as many attempts."""
        self.attempts.begin(client, credentials.user)
        task = spawn(self._check(mark, phc, credentials, client), "password")
        self._pending[mark] = task
        task.add_done_callback(lambda _: self._pending.pop(mark, None))
        return task

    async def _check(self, mark: bytes, phc: str, credentials: Credentials, client: str) -> bool:
        loop = asyncio.get_running_loop()
        is_right = await loop.run_in_executor(self._pool, self._match, phc, credentials)
        if is_right:
            self._known[mark] = Verdict(0, credentials.user)
            self.attempts.forgive(client, credentials.user)
        else:
            self.attempts.fail(client)
        return is_right


def is_match(phc: str, credentials: Credentials) -> bool:
    """Whether the password has this hash; both libraries compare in constant time. Slow."""
    password = credentials.password.encode()
    try:
        if phc.startswith("$2"):
            return bcrypt.checkpw(password[:BCRYPT_BYTES], phc.encode())
        return ARGON2.verify(phc, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHash, ValueError) as error:
        log.error("access.users: the hash of %r cannot be used: %s", credentials.user, error)
        return False


# Attempts


class Trail(msgspec.Struct, gc=False):
    """Failures so far, and when the next attempt may begin."""

    count: int = 0
    until: float = 0.0


class Attempts:
    """
    Failures by client and user, and by client alone; bounded, forgotten after `TRACKED_S`.

    Known and unknown users count alike, so that waits tell nobody which names there are.
    """

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._trails: TTLCache[tuple[str, str | None], Trail] = TTLCache(TRACKED, TRACKED_S, timer)

    def wait(self, client: str, user: str) -> int:
        """Whole seconds until this client may try this user; 0 is now."""
        source = source_of(client)
        trails = (self._trails.get((source, name)) for name in (user, None))
        until = max((trail.until for trail in trails if trail), default=0.0)
        return max(0, math.ceil(until - self._timer()))

    def begin(self, client: str, user: str) -> None:
        """Count an attempt, as long as nobody forgives it."""
        self._count((source_of(client), user), FREE_ATTEMPTS, LONGEST_WAIT)

    def fail(self, client: str) -> None:
        """Count a failure of a client, whoever it claimed to be."""
        self._count((source_of(client), None), FREE_FAILURES, LONGEST_CLIENT_WAIT)

    def forgive(self, client: str, user: str) -> None:
        """The user is who it said: its earlier slips count no more."""
        self._trails.pop((source_of(client), user), None)

    def _count(self, key: tuple[str, str | None], free: int, longest: int) -> None:
        trail = self._trails.get(key) or Trail()
        trail.count += 1
        if trail.count >= free:
            exponent = min(trail.count - free, 16)
            trail.until = self._timer() + min(1 << exponent, longest)
        self._trails[key] = trail


def source_of(client: str) -> str:
    """What one client is counted by: its address, of IPv6 the /64 that one customer gets."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))
