"""Basic auth: credentials, verdicts, memory, bounds, and what an attacker can learn."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import threading
import time
import unicodedata
from statistics import median

import argon2
import bcrypt
import pytest

from edge.node.access import (
    FREE_ATTEMPTS,
    FREE_FAILURES,
    LONGEST_CLIENT_WAIT,
    LONGEST_WAIT,
    MAX_PENDING,
    REMEMBERED_S,
    TRACKED_S,
    Access,
    Attempts,
    Credentials,
    Verdict,
    Verifier,
    challenge,
    decoy_of,
    is_match,
    parse_credentials,
    source_of,
)
from tests.support_wire import until

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ARGON2ID = CHEAP.hash("correct horse")
OTHER = CHEAP.hash("correct horse")
BCRYPT = bcrypt.hashpw(b"battery staple", bcrypt.gensalt(4)).decode()
USERS = {"ann": ARGON2ID, "bob": BCRYPT}
CLIENT = "192.0.2.1"


class Timer:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now


@pytest.fixture
def timer():
    """A clock of the test's own."""
    return Timer()


class Gate:
    """Real hashes that wait while it is shut, and how many there were."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.count = 0

    def __call__(self, phc: str, credentials: Credentials) -> bool:
        """As `is_match`, later."""
        self.count += 1
        assert self.opened.wait(10)
        return is_match(phc, credentials)


@pytest.fixture
def gate():
    """Lets hashes through from the start, unless the test shuts it."""
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def verifier(timer, gate):
    """One for the test, its threads ended after it."""
    with contextlib.closing(Verifier(timer, gate)) as made:
        yield made


@pytest.fixture
def access(verifier):
    """A branch with two users, one of each kind."""
    return Access(USERS, verifier)


def basic(user, password):
    """The field's value."""
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


ANN = basic("ann", "correct horse")
BOB = basic("bob", "battery staple")


# Credentials


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ("Aladdin", "open sesame")),
        (b"Basic dGVzdDoxMjPCow==", ("test", "123\u00a3")),
        (b"bAsIc   YTpi ", ("a", "b")),
        (b"Basic YTpiOmM=", ("a", "b:c")),
        (b"Basic Og==", ("", "")),
        (basic("u", unicodedata.normalize("NFD", "\u00e9")), ("u", "\u00e9")),
    ],
    ids=["rfc", "rfc-utf8", "case", "colons", "empty", "nfd"],
)
def test_credentials_are_read(authorization, expected):
    """The RFC's examples among them; the first colon ends the user, and NFC is the form."""
    credentials = parse_credentials(authorization)

    assert (credentials.user, credentials.password) == expected


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"BasicYTpi",
        b"Basic\tYTpi",
        b"Bearer YTpi",
        b"Basic YTpi, Basic YTpi",
        b"Basic YTpi YTpi",
        b"Basic Y",
        b"Basic YTp",
        b"Basic YTpiOmM",
        b"Basic YTpi====",
        b"Basic =YTpi",
        b"Basic YT-_",
        b"Basic YWI=",
        b"Basic " + base64.b64encode(b"a:\xff"),
        b"Basic " + base64.b64encode(b"a:b\0"),
        b"Basic " + base64.b64encode(b"a\n:b"),
        b"Basic " + base64.b64encode(b"a:" + b"x" * 4_000),
        b"Basic " + b"=" * 4_000,
    ],
)
def test_what_is_not_basic_is_nobody(authorization, access):
    """Other schemes, loose base64, no colon, controls, other charsets: 401 without a hash."""
    assert parse_credentials(authorization) is None
    assert access.recall(authorization) == Verdict(401)


def test_a_password_is_not_printed():
    """Whoever logs credentials logs the user alone."""
    assert repr(Credentials("ann", "secret!")) == "Credentials(user='ann')"


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        ("www.example.com", b'Basic realm="www.example.com", charset="UTF-8"'),
        ('a"b\\c', b'Basic realm="a\\"b\\\\c", charset="UTF-8"'),
        ("a\r\nb\u00fc\x00", b'Basic realm="a??b??", charset="UTF-8"'),
    ],
)
def test_the_challenge_quotes_its_realm(realm, expected):
    """Nothing in a realm can end it or the field."""
    assert challenge(realm) == expected


# Verdicts


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (ANN, Verdict(0, "ann")),
        (BOB, Verdict(0, "bob")),
        (basic("ann", "battery staple"), Verdict(401)),
        (basic("bob", "correct horse"), Verdict(401)),
        (basic("Ann", "correct horse"), Verdict(401)),
        (basic("eve", "correct horse"), Verdict(401)),
        (basic("", ""), Verdict(401)),
        (b"Bearer x", Verdict(401)),
        (None, Verdict(401)),
    ],
)
async def test_the_right_password_of_the_right_user_passes(access, authorization, expected):
    """And nothing else does."""
    assert await access.verify(authorization, CLIENT) == expected


async def test_a_user_may_be_written_in_another_normal_form(verifier):
    """The name in the file and the name from the browser meet in NFC."""
    access = Access({unicodedata.normalize("NFD", "zo\u00e9"): ARGON2ID}, verifier)

    assert await access.verify(basic("zo\u00e9", "correct horse"), CLIENT) == Verdict(0, "zo\u00e9")


def test_access_without_users_is_nothing_to_ask(verifier):
    """It would let nobody in, where the configuration means everybody."""
    with pytest.raises(AssertionError, match="without users"):
        Access({}, verifier)


# Memory


async def test_a_login_costs_one_hash(access, gate):
    """What was verified is recalled at once, until minutes have passed."""
    assert access.recall(ANN) is None
    await access.verify(ANN, CLIENT)
    await access.verify(ANN, CLIENT)

    assert access.recall(ANN) == Verdict(0, "ann")
    assert gate.count == 1


async def test_a_wrong_password_is_not_remembered(access):
    """Neither as right nor as wrong."""
    wrong = basic("ann", "wrong")
    await access.verify(wrong, CLIENT)

    assert access.recall(wrong) is None


async def test_memory_ends_after_minutes(access, timer):
    """Then the next request is verified again."""
    await access.verify(ANN, CLIENT)
    timer.now += REMEMBERED_S - 1
    assert access.recall(ANN) is not None
    timer.now += 1

    assert access.recall(ANN) is None


@pytest.mark.parametrize(
    "users",
    [{"ann": OTHER}, {"bob": ARGON2ID}, {"ann": CHEAP.hash("changed!")}],
    ids=["rehashed", "removed", "changed"],
)
async def test_memory_ends_with_the_hash(access, verifier, users):
    """A reload that changes or removes a user's hash leaves nothing that lets the old one in."""
    await access.verify(ANN, CLIENT)

    assert Access(users, verifier).recall(ANN) is None


async def test_memory_serves_every_branch_with_the_same_hash(access, verifier):
    """A reload that keeps the hash keeps the login."""
    await access.verify(ANN, CLIENT)

    assert Access(USERS, verifier).recall(ANN) == Verdict(0, "ann")


async def test_memory_holds_no_credentials(access, verifier):
    """A memory dump has neither the password nor what a browser sends."""
    await access.verify(ANN, CLIENT)
    held = repr(list(verifier._known.items()))

    assert "correct horse" not in held
    assert ANN.decode()[6:] not in held


async def test_another_process_has_other_marks(access, timer):
    """The key is the process's own."""
    await access.verify(ANN, CLIENT)
    with contextlib.closing(Verifier(timer)) as other:
        marks = [each._mark(ARGON2ID, Credentials("ann", "x")) for each in (access.verifier, other)]

    assert marks[0] != marks[1]


# Bounds


async def test_the_loop_stays_free_while_a_hash_runs(access, gate):
    """Others are answered while one waits."""
    gate.opened.clear()
    slow = asyncio.ensure_future(access.verify(ANN, CLIENT))
    await until(lambda: gate.count)
    assert access.recall(None) == Verdict(401)
    assert not slow.done()
    gate.opened.set()

    assert await slow == Verdict(0, "ann")


async def test_the_same_credentials_at_once_cost_one_hash(access, gate):
    """A browser's thirty requests for one page are one attempt, right or wrong."""
    gate.opened.clear()
    wrong = basic("ann", "wrong")
    asked = [asyncio.ensure_future(access.verify(wrong, CLIENT)) for _ in range(30)]
    await until(lambda: gate.count)
    gate.opened.set()

    assert set(await asyncio.gather(*asked)) == {Verdict(401)}
    assert gate.count == 1
    assert access.verifier.attempts.wait(CLIENT, "ann") == 0


async def test_more_than_may_wait_is_503(access, gate, verifier):
    """The queue has an end, and who meets it is told when to come back."""
    gate.opened.clear()
    asked = [
        asyncio.ensure_future(access.verify(basic("eve", f"{n}"), f"192.0.2.{n}"))
        for n in range(MAX_PENDING)
    ]
    await until(lambda: len(verifier._pending) == MAX_PENDING)
    full = await access.verify(ANN, CLIENT)
    gate.opened.set()
    await asyncio.gather(*asked)
    await until(lambda: verifier._pending == {})

    assert full == Verdict(503, retry_after=2)
    assert await access.verify(ANN, CLIENT) == Verdict(0, "ann")


async def test_who_hangs_up_does_not_stop_the_others(access, gate):
    """A cancelled request leaves the hash to whoever else waits for it."""
    gate.opened.clear()
    one, other = (asyncio.ensure_future(access.verify(ANN, CLIENT)) for _ in range(2))
    await until(lambda: gate.count)
    one.cancel()
    await until(one.cancelled)
    gate.opened.set()

    assert await other == Verdict(0, "ann")
    assert one.cancelled()


# Attempts


async def test_repeated_failures_have_to_wait(access, timer):
    """Five are free; then the wait doubles, and the right password waits with them."""
    for number in range(FREE_ATTEMPTS):
        assert await access.verify(basic("ann", f"{number}"), CLIENT) == Verdict(401)
    assert await access.verify(ANN, CLIENT) == Verdict(429, retry_after=1)
    timer.now += 1
    assert await access.verify(basic("ann", "again"), CLIENT) == Verdict(401)
    assert await access.verify(ANN, CLIENT) == Verdict(429, retry_after=2)
    timer.now += 2

    assert await access.verify(ANN, CLIENT) == Verdict(0, "ann")
    assert access.verifier.attempts.wait(CLIENT, "ann") == 0


async def test_attempts_at_once_are_counted_at_once(access, gate):
    """Nobody gets thirty guesses by sending them together."""
    gate.opened.clear()
    asked = [asyncio.ensure_future(access.verify(basic("ann", f"{n}"), CLIENT)) for n in range(30)]
    await until(lambda: gate.count)
    gate.opened.set()
    statuses = [verdict.status for verdict in await asyncio.gather(*asked)]

    assert statuses == [401] * FREE_ATTEMPTS + [429] * (30 - FREE_ATTEMPTS)
    assert gate.count == FREE_ATTEMPTS


async def test_others_do_not_wait_for_somebody_elses_failures(access):
    """Another client, and another user of the same client, are asked as before."""
    for number in range(FREE_ATTEMPTS + 1):
        await access.verify(basic("ann", f"{number}"), CLIENT)

    assert (await access.verify(basic("ann", "x"), CLIENT)).status == 429
    assert await access.verify(BOB, CLIENT) == Verdict(0, "bob")
    assert await access.verify(ANN, "192.0.2.2") == Verdict(0, "ann")


async def test_who_is_remembered_never_waits(access):
    """Failures in between change nothing for who is in."""
    await access.verify(ANN, CLIENT)
    for number in range(FREE_ATTEMPTS + 1):
        await access.verify(basic("ann", f"{number}"), CLIENT)

    assert access.recall(ANN) == Verdict(0, "ann")
    assert await access.verify(ANN, CLIENT) == Verdict(0, "ann")


def test_trying_many_names_has_to_wait_too(timer):
    """A client that never tries a name twice is slowed as a client, by seconds at most."""
    attempts = Attempts(timer)
    for number in range(FREE_FAILURES - 1):
        attempts.begin(CLIENT, f"{number}")
        attempts.fail(CLIENT)
    assert attempts.wait(CLIENT, "next") == 0
    attempts.fail(CLIENT)
    assert attempts.wait(CLIENT, "next") == 1
    for _ in range(20):
        attempts.fail(CLIENT)

    assert attempts.wait(CLIENT, "next") == LONGEST_CLIENT_WAIT


def test_a_wait_has_a_longest_and_an_end(timer):
    """However often somebody failed, minutes later it is forgotten."""
    attempts = Attempts(timer)
    for _ in range(10_000):
        attempts.begin(CLIENT, "ann")
    assert attempts.wait(CLIENT, "ann") == LONGEST_WAIT
    timer.now += TRACKED_S

    assert attempts.wait(CLIENT, "ann") == 0
    attempts.begin(CLIENT, "ann")
    assert attempts.wait(CLIENT, "ann") == 0


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_client_is_one_network(client, expected):
    """Who has a /64 has one, not 2**64 clients."""
    assert source_of(client) == expected


# What can be learned


@pytest.mark.parametrize("phc", [ARGON2ID, BCRYPT], ids=["argon2id", "bcrypt"])
def test_a_decoy_costs_the_same_and_matches_nothing(phc):
    """It has the kind, cost, salt and length of the real one."""
    decoy = decoy_of(phc)

    assert decoy != phc
    assert len(decoy) == len(phc)
    assert decoy[:28] == phc[:28]
    for password in ("correct horse", "battery staple", ""):
        assert not is_match(decoy, Credentials("ann", password))


def test_an_unknown_name_always_has_the_same_decoy(access, verifier):
    """On every worker and after a reload; each real kind is somebody's."""
    again = Access(USERS, verifier)
    names = [f"user{number}" for number in range(50)]

    assert [access.hash_for(name) for name in names] == [again.hash_for(name) for name in names]
    assert {access.hash_for(name) for name in names} == set(map(decoy_of, USERS.values()))


def test_an_unknown_user_costs_what_a_wrong_password_costs():
    """Within a fifth, at a cost where the hash is all there is."""
    phc = argon2.PasswordHasher(time_cost=2, memory_cost=4_096, parallelism=1).hash("right one")

    def cost(one: str) -> float:
        began = time.thread_time()
        is_match(one, Credentials("ann", "wrong one"))
        return time.thread_time() - began

    pairs = [(cost(phc), cost(decoy_of(phc))) for _ in range(15)]
    wrong, unknown = (median(each) for each in zip(*pairs, strict=True))

    assert 0.8 < unknown / wrong < 1.25


@pytest.mark.parametrize(
    ("phc", "password", "expected"),
    [
        (BCRYPT.replace("$2b$", "$2y$"), "battery staple", True),
        (BCRYPT.replace("$2b$", "$2a$"), "battery staple", True),
        (bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode(), "x" * 80, True),
        (bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode(), "x" * 71, False),
        ("$2b$04$" + "z" * 53, "battery staple", False),
        ("$argon2id$v=19$m=1,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA", "correct horse", False),
        ("$argon2id$nonsense", "correct horse", False),
    ],
    ids=["2y", "2a", "long", "short", "bad-bcrypt", "bad-argon2", "no-hash"],
)
def test_hashes_of_other_makers_are_verified(phc, password, expected):
    """bcrypt's dialects and its cut at 72 bytes; a hash that cannot be used lets nobody in."""
    assert is_match(phc, Credentials("ann", password)) is expected


async def test_nothing_logs_a_password(verifier, caplog):
    """Not even where a hash is unusable."""
    caplog.set_level(logging.DEBUG)
    access = Access({"ann": "$2b$04$" + "z" * 53}, verifier)

    assert await access.verify(basic("ann", "tell nobody"), CLIENT) == Verdict(401)
    assert "the hash of 'ann' cannot be used" in caplog.text
    assert "tell nobody" not in caplog.text
    assert basic("ann", "tell nobody").decode()[6:] not in caplog.text
