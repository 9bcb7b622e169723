"""An authority, and the way to it, that break at random: every name gets its certificate."""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter

import pytest

from tests.support_acme import PEBBLE, Fault, Proxy, serving
from tests.support_keeper import Clock, Kept, world

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")

log = logging.getLogger("tests.certificates")

NAMES = int(os.environ.get("EDGE_TEST_NAMES", "4"))
"""By hand a hundred."""

ROUNDS = 4
HOUR = 3_600.0
PAUSES = (60.0, 600.0, HOUR, 3 * HOUR)

KINDS = [
    "directory", "newNonce", "newAccount", "newOrder", "order", "authorization", "challenge",
    "finalize", "certificate",
]  # fmt: skip
BREAKS: list[dict] = [
    {"status": 500},
    {"status": 503, "retry_after": "120"},
    {"status": 429, "type": "rateLimited", "retry_after": "600"},
    {"status": 200, "content": b"<html>maintenance"},
    {"status": 400, "type": "badNonce"},
    {"drops": "request"},
    {"drops": "answer"},
]

ORDERS_3H, ORDERS_OF_A_NAME_1H = 300, 5
"""Let's Encrypt: new orders of an account; tries of a name that may fail."""


@pytest.fixture
async def node(tmp_path):
    """A node's keeper, before an authority that says no to 30 % of the nonces."""
    with (
        world(tmp_path / "outside", nonce_rejects=30) as outside,
        serving(Proxy(outside.authority)) as between,
    ):
        kept = Kept(tmp_path / "node", outside, between, Clock(time.time() + 5))
        yield kept
        await kept.close()


def break_at_random(node: Kept, chance: random.Random, hosts: list[str]) -> None:
    """Some kinds of requests for a while, and the addresses of some names."""
    node.between.faults = [
        Fault(kind=chance.choice(KINDS), times=chance.randint(1, 12), **chance.choice(BREAKS))
        for _ in range(chance.randrange(8))
    ]
    node.outside.names.missing = set(chance.sample(hosts, chance.randrange(len(hosts) // 2)))


def ordered(node: Kept, after: int) -> list[str]:
    """The names of the orders behind the first `after`."""
    return [order["identifiers"][0]["value"] for order in node.orders()[after:]]


@pytest.mark.parametrize("seed", [1])
async def test_every_name_gets_its_certificate_whatever_breaks(node, seed):
    """Within the limits that public authorities have; then nothing is ordered any more."""
    chance = random.Random(seed)
    hosts = [f"n{number}.test" for number in range(NAMES)]
    node.serve(*hosts)
    asked: list[tuple[float, str]] = []
    for number in range(ROUNDS + 4):
        break_at_random(node, chance, hosts)
        if number >= ROUNDS:
            node.between.faults, node.outside.names.missing = [], set()
        await node.look(chance.choice(PAUSES) if number < ROUNDS else 24 * HOUR)
        asked += [(node.clock.now, name) for name in ordered(node, len(asked))]
    log.info("%d names, %d orders, %d requests", NAMES, len(asked), len(node.between.seen))
    before = len(node.orders())
    await node.look(HOUR)

    assert [host for host in hosts if node.serving(host) is None] == []
    assert len(node.orders()) == before
    for at, _ in asked:
        recent = [(then, name) for then, name in asked if at - 3 * HOUR < then <= at]
        assert len(recent) <= ORDERS_3H
        hour = Counter(name for then, name in recent if at - HOUR < then)
        assert max(hour.values()) <= ORDERS_OF_A_NAME_1H
