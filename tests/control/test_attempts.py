"""Wrong tokens: how many tries a client has."""

from __future__ import annotations

from edge.control.attempts import MAX_CLIENTS, TRIES, WINDOW, Attempts, is_local


def test_so_many_tries_then_a_minutes_silence():
    """Counted from the first; each client for himself."""
    attempts = Attempts()
    for number in range(TRIES):
        assert attempts.wait_of("203.0.113.7", 1000.0 + number) == 0
        attempts.fail("203.0.113.7", 1000.0 + number)

    assert attempts.wait_of("203.0.113.7", 1030.0) == 30.0
    assert attempts.wait_of("203.0.113.8", 1030.0) == 0
    assert attempts.wait_of("203.0.113.7", 1000.0 + WINDOW) == 0
    attempts.fail("203.0.113.7", 1000.0 + WINDOW)
    assert attempts.wait_of("203.0.113.7", 1001.0 + WINDOW) == 0


def test_an_ipv6_client_is_its_network():
    """Each has as many addresses as he likes."""
    attempts = Attempts()
    for number in range(TRIES):
        attempts.fail(f"2001:db8::{number:x}", 1000.0)

    assert attempts.wait_of("2001:db8::ffff:1", 1000.0) == WINDOW
    assert attempts.wait_of("2001:db8:0:1::1", 1000.0) == 0


def test_what_is_remembered_is_bounded():
    """Who was quiet longest is forgotten."""
    attempts = Attempts()
    for number in range(MAX_CLIENTS + 10):
        attempts.fail(f"client-{number}", 1000.0)

    assert len(attempts._wrong) == MAX_CLIENTS


def test_who_is_on_this_machine():
    """Loopback, and a Unix socket's client without an address."""
    clients = {"127.0.0.1": True, "127.8.9.1": True, "::1": True, "": True, "10.0.0.1": False}
    assert {client: is_local(client) for client in clients} == clients
    assert not is_local("nonsense")
