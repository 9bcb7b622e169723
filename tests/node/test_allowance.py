"""How slow a client may be: drips are charged, silence when it ends, others' slowness never."""

from __future__ import annotations

import socket

from edge.node.allowance import Allowance, acknowledged

RATE = 500


def spent_after(moves: list[tuple[float, int, bool]]) -> float | None:
    """When an allowance that began at 0 was spent, of (time, bytes so far, client's doing)."""
    made = Allowance(0.0, 0)
    for now, seen, waits in moves:
        if made.is_spent(now, seen, RATE, waits=waits):
            return now
    return None


def test_a_drip_ends_after_the_first_ten_seconds():
    """A byte a second is nothing; just above the rate goes on for ever."""
    assert spent_after([(t, t, True) for t in range(1, 60)]) == 11
    assert spent_after([(t, t * 501, True) for t in range(1, 10_000)]) is None


def test_what_a_fast_beginning_earns_is_bounded():
    """Half a minute of dripping, however much came before."""
    moves = [(1, 100_000_000, True)] + [(t, 100_000_000 + t, True) for t in range(2, 100)]

    assert spent_after(moves) == 31


def test_silence_is_charged_when_it_ends():
    """29 s and then a byte is too slow; 29 s and then plenty is not."""
    assert spent_after([(29, 0, True), (30, 1, True)]) == 30
    assert spent_after([(29, 0, True), (30, 20_000, True)]) is None


def test_time_for_which_others_are_waited_is_free():
    """Hours of an origin that does not read cost the client nothing."""
    assert spent_after([(9_000, 0, False), (9_001, 1, False), (9_002, 2, True)]) is None


def test_a_count_that_begins_again_is_no_offense():
    """The end of an upload takes its bytes out of the sum."""
    assert spent_after([(1, 5_000, True), (2, 100, True), (3, 1_000, True)]) is None


def test_what_a_client_took_is_what_its_machine_confirmed():
    """The kernel knows; on a Unix socket, and without a socket, nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            server.sendall(b"x" * 1000)
            assert client.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
            assert acknowledged(server) == 1000
    one, other = socket.socketpair()
    with one, other:
        assert acknowledged(one) is None
    assert acknowledged(None) is None
