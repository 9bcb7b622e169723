"""What guessing tells: nothing but that it was wrong, and nothing of it is kept."""

from __future__ import annotations

import base64
import itertools
import logging
import time
from statistics import median

import argon2
import bcrypt
import pytest

from tests.support_serving import Site

KINDS = {
    "argon2id": argon2.PasswordHasher(time_cost=2, memory_cost=4_096, parallelism=1).hash("right"),
    "bcrypt": bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode(),
}
PAIRS = 31
ADDRESSES = itertools.starmap("198.51.{}.{}".format, itertools.product(range(256), repeat=2))
"""Of clients that have not guessed yet: none of them has to wait."""


@pytest.fixture(params=KINDS)
def folder(tmp_path, request):
    """The state folder of an app with one user."""
    site = Site(tmp_path, f"access: {{users: {{ann: '{KINDS[request.param]}'}}}}")
    site.deploy({"index.html": "home"})
    return site


def login(user: str, password: str) -> str:
    """The value of Authorization."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def guess(site: Site, user: str, password: str) -> tuple[float, object]:
    """The processor time of a guess, in all threads, and all that its answer tells."""
    began = time.process_time()
    answer = await site.ask("/", authorization=login(user, password), peer=next(ADDRESSES))
    seconds = time.process_time() - began
    shown = {name: value for name, value in answer.fields.items() if name != "date"}
    return seconds, (answer.status, shown, answer.content)


async def test_an_unknown_user_looks_like_a_wrong_password(folder):
    """The answer is the same to the byte, and so is its price: medians within a fifth."""
    site = await folder.start()
    wrong, unknown = [], []
    for number in range(PAIRS):
        seconds, told = await guess(site, "ann", f"wrong {number}")
        wrong.append(seconds)
        seconds, other = await guess(site, "bob", f"wrong {number}")
        unknown.append(seconds)
        assert told == other
        assert told[0] == 401

    assert 0.8 < median(unknown) / median(wrong) < 1.25


async def test_nothing_of_a_guess_is_logged(folder, caplog):
    """Whether it was right, wrong, malformed or too often."""
    caplog.set_level(logging.DEBUG)
    site = await folder.start()
    asked = [
        login("ann", "right"),
        login("ann", "s3cr3t"),
        "Basic s3cr3t",
        "Bearer s3cr3t",
        "s3cr3t",
    ]
    asked += [login("ann", f"s3cr3t {number}") for number in range(8)]
    statuses = [(await site.ask("/?k=s3cr3t", authorization=each)).status for each in asked]

    assert (statuses[0], statuses[-1], set(statuses[1:-1])) == (200, 429, {401, 429})
    for secret in ("right", "s3cr3t", *KINDS.values(), *(each.split()[-1] for each in asked)):
        assert secret not in caplog.text
