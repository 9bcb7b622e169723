"""What one client may have: seats and rates, by address, in bounded memory."""

from __future__ import annotations

import pytest

from edge.node.shares import BURST_SECONDS, MOST_CLIENTS, Rates, Seats, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::/64"),
        ("2001:db8:1:2::1", "20010db800010002::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("fe80::1%eth0", "fe80000000000000::/64"),
        ("no address: at all", "no address: at all"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_64(address, client):
    """Whoever has one IPv6 address has 2^64 of them."""
    assert client_of(address).replace("2001", "2001", 1) == client


def seats(most: int = 2) -> Seats:
    """Of clients of which one is a trusted proxy."""
    return Seats(most, lambda peer: peer == "10.0.0.1")


def test_a_client_has_its_seats_and_no_more():
    """Others have theirs; who leaves makes room for one."""
    made, holders = seats(), [object() for _ in range(3)]
    for holder in holders[:2]:
        assert made.has_room("192.0.2.7")
        made.take(holder, "192.0.2.7")
    assert not made.has_room("192.0.2.7")
    assert made.has_room("192.0.2.8")
    made.leave(holders[0])
    assert made.has_room("192.0.2.7")


def test_a_64_shares_its_seats():
    """Each with another address of the same network."""
    made = seats()
    for number in range(2):
        made.take(object(), f"2001:db8::{number}")
    assert not made.has_room("2001:db8::ffff")
    assert made.has_room("2001:db8:0:1::1")


def test_trusted_proxies_and_our_own_have_all_the_seats():
    """Behind the ones are many, and a Unix socket has no address."""
    made = seats(0)
    for peer in ("10.0.0.1", ""):
        made.take(object(), peer)
        assert made.has_room(peer)


def test_nothing_is_left_of_who_has_left():
    """Nor of who never had a seat."""
    made, holders = seats(), [object() for _ in range(1000)]
    for number, holder in enumerate(holders):
        made.take(holder, f"192.0.2.{number % 250}")
    for holder in (*holders, object()):
        made.leave(holder)
    assert (made._holders, made._taken) == ({}, {})


def test_a_burst_is_let_through_and_then_the_rate():
    """Ten seconds' worth at once; afterwards as many a second as are allowed."""
    rates = Rates(5)
    at_once = sum(not rates.wait("a", 100.0) for _ in range(200))
    later = [sum(not rates.wait("a", 100.0 + second) for _ in range(200)) for second in (1, 2, 3)]
    assert at_once == 5 * BURST_SECONDS
    assert later == [5, 5, 5]
    assert rates.wait("b", 103.0) == 0


def test_the_wait_that_is_told_is_enough():
    """And no shorter than a second."""
    rates, now = Rates(2), 50.0
    while not (wait := rates.wait("a", now)):
        pass
    assert wait == 1
    assert rates.wait("a", now + wait) == 0


def test_a_quiet_client_may_burst_again():
    """What it did long ago is over."""
    rates = Rates(3)
    assert sum(not rates.wait("a", 0.0) for _ in range(100)) == 30
    assert sum(not rates.wait("a", 1000.0) for _ in range(100)) == 30


@pytest.mark.parametrize("quiet", [True, False])
def test_memory_is_bounded_whoever_comes(quiet):
    """Quiet clients are forgotten first; where all are busy, everyone begins again."""
    rates = Rates(1)
    for number in range(MOST_CLIENTS):
        rates.wait(f"{number}", float(quiet and number < MOST_CLIENTS - 10))
    for number in range(100):
        assert rates.wait(f"another {number}", 2.0 if quiet else 0.5) == 0
        assert len(rates._turns) <= MOST_CLIENTS
