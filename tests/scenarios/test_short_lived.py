"""Certificates of a minute: each is renewed while half of it is left, and nobody notices."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from tests.support import eventually, free_port
from tests.support_acme import PEBBLE, NameServer, pebble, serving
from tests.support_secured import secured_node

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")

LIFETIME_S = 60


@pytest.fixture
def secured(tmp_path):
    """A node before an authority whose certificates live for a minute."""
    ports = free_port(), free_port()
    folder = tmp_path / "authority"
    folder.mkdir()
    with (
        serving(NameServer()) as names,
        pebble(folder, names, *ports, nonce_rejects=15, validity_s=LIFETIME_S) as authority,
        secured_node(tmp_path / "node", authority, ports) as found,
    ):
        yield found


@contextlib.contextmanager
def clients(secured, seen):
    """Two who shake hands and verify all the time; what they are shown, None where they fail."""
    done = threading.Event()

    def use():
        while not done.wait(0.02):
            seen.append(secured.shake_hands())

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_each_is_renewed_at_its_half_and_no_handshake_fails(secured):
    """Twice: what was renewed is renewed in its turn."""
    secured.begin()
    first = eventually(secured.shake_hands, timeout_s=30)
    seen: list[str | None] = []
    with clients(secured, seen):
        begun = time.monotonic()
        second = eventually(lambda: next((x for x in seen if x != first), None), LIFETIME_S)
        took = time.monotonic() - begun
        eventually(lambda: {*seen} - {first, second}, LIFETIME_S)

    assert None not in seen
    assert len({*seen}) == 3
    assert took > LIFETIME_S / 4, "it was renewed at once, not at its half"
    assert secured.orders() == 3
    times = [attempt["at"] for attempt in secured.entry()["attempts"]]
    assert all(attempt["outcome"] == "issued" for attempt in secured.entry()["attempts"])
    assert len(times) == 3
