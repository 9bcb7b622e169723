"""An authority that breaks, at random or at the start; many names; two who keep; short lives."""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter

import pytest

from edge.control import acme_wire
from edge.control.keeper import Keeper
from edge.site import pace
from tests.support_acme import PEBBLE, Fault, Proxy, serving
from tests.support_control import open_store
from tests.support_keeper import Clock, Kept, world

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")

log = logging.getLogger("tests.certificates")

NAMES = int(os.environ.get("EDGE_TEST_NAMES", "4"))
"""By hand a hundred, or of those that come at once 2,000 with 400: a third of a second each."""

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

WEEK = 160 * HOUR
"""What Let's Encrypt gives addresses, and who asks for `shortlived`."""

ORDERS_3H, ORDERS_OF_A_NAME_1H = 300, 5
"""Let's Encrypt: new orders of an account; tries of a name that may fail."""


@pytest.fixture
async def node(tmp_path, request, monkeypatch):
    """A node's keeper, before an authority that says no to 30 % of the nonces."""
    monkeypatch.setattr(acme_wire, "PAUSES_S", (0.0, 0.0))
    validity = getattr(request, "param", 90 * 24 * HOUR)
    with (
        world(tmp_path / "outside", nonce_rejects=30, validity_s=int(validity)) as outside,
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


async def test_many_names_at_once_stay_within_the_allowance(node, monkeypatch):
    """One in twenty leads nowhere: it costs no order, and keeps no other waiting."""
    hosts = [f"n{number}.test" for number in range(NAMES * 5)]
    allowance = len(hosts) // 8 if len(hosts) > 40 else 5
    monkeypatch.setattr(pace, "ORDERS", allowance)
    broken = set(hosts[::20])
    node.outside.names.missing = set(broken)
    node.serve(*hosts)
    asked: list[tuple[float, str]] = []
    for _ in range(200):
        await node.look(HOUR / 4)
        asked += [(node.clock.now, name) for name in ordered(node, len(asked))]
        bare = {host for host in hosts if node.serving(host) is None}
        if bare == broken:
            break

    assert bare == broken
    assert Counter(name for _, name in asked) == Counter(set(hosts) - broken)
    for at, _ in asked:
        recent = [name for then, name in asked if at - 3 * HOUR < then <= at]
        assert len(recent) <= 2 * allowance, "what is saved, and what comes meanwhile"


async def test_an_authority_that_is_not_there_at_the_start_keeps_nobody(node):
    """Of the own authority's names everything serves; the others come when it is there."""
    fault = node.between.fail("directory", times=1_000_000, drops="request")
    node.serve("a.test")
    for pause in (0.0, *PAUSES):
        await node.look(pause)
        assert node.serving("main.shop.edge.localhost").source == "internal"
        assert node.serving("a.test") is None
    assert node.orders() == []
    attempt = node.entry("a.test")["attempts"][-1]
    assert (attempt["outcome"], attempt["kind"]) == ("failed", "authority")

    node.restart()
    fault.times = 0
    await node.look(24 * HOUR)

    assert node.serving("a.test").source == "acme"


async def test_two_keepers_of_one_folder_order_once(node):
    """The second does nothing while the first has the lock, however long that sleeps; then all."""
    node.serve("a.test")
    second = Keeper(node.places, open_store(node.folder), node.clock, node.enroll)
    await node.keeper.look()
    try:
        for _ in range(3):
            await second.look()
            assert (second.inventory.generation, second.enrollment) == (None, None)
            await node.look(HOUR)
        assert len(node.orders()) == 1

        node.stop()
        node.before.append(node.keeper)
        node.serve("a.test", "b.test")
        node.keeper = second
        await node.look(1)
    finally:
        second.inventory.close()

    assert [order["identifiers"][0]["value"] for order in node.orders()] == ["a.test", "b.test"]


@pytest.mark.parametrize("node", [WEEK], indirect=True)
async def test_a_week_is_renewed_with_half_of_it_left(node):
    """An authority that is away for three days costs nothing; then nothing is hurried."""
    node.serve("a.test")
    await node.look()
    first = node.serving("a.test")
    begun = first.not_before
    await node.look(begun + 0.44 * WEEK - node.clock.now)
    assert node.serving("a.test").id == first.id

    fault = node.between.fail("newOrder", times=1_000_000, status=503)
    await node.look(begun + 0.5 * WEEK - node.clock.now)
    while node.clock.now < begun + 0.5 * WEEK + 72 * HOUR:
        await node.look(HOUR)
        assert node.serving("a.test").id == first.id
        assert node.clock.now < first.not_after
    fault.times = 0
    await node.look(2 * HOUR)

    assert node.serving("a.test").id != first.id
