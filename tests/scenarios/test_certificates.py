"""A node and an authority: certificates come, and survive whatever kills their keeper."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
import yaml

from tests.support import eventually, free_port
from tests.support_acme import PEBBLE, NameServer, pebble, serving
from tests.support_secured import HOST, secured_node

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")


@pytest.fixture(scope="module")
def ports():
    """Where nodes of this module listen, and the authority looks."""
    return free_port(), free_port()


@pytest.fixture(scope="module")
def authority(tmp_path_factory, ports):
    """One for all tests of this module."""
    folder = tmp_path_factory.mktemp("authority")
    with (
        serving(NameServer()) as names,
        pebble(folder, names, *ports, nonce_rejects=15) as found,
    ):
        yield found


@pytest.fixture
def secured(tmp_path, authority, ports):
    """A new node: a parent waits longer and longer for a child that keeps dying."""
    with secured_node(tmp_path / "node", authority, ports) as found:
        yield found


def test_an_address_gets_its_certificate(secured):
    """Without anyone thinking about it; a client verifies it."""
    secured.begin()

    eventually(secured.shake_hands, timeout_s=30)

    entry = secured.entry()
    assert (entry["state"], entry["source"]) == ("valid", "acme")
    assert "http-01" in " ".join(entry["attempts"][-1]["steps"])
    status, text = secured.node.admin("GET", "/metrics", token="")
    assert status == 200
    assert f'edge_certificate_not_after_seconds{{name="{HOST}"}}' in text
    assert 'edge_acme_orders_total{result="issued"} 1.0' in text


def test_clients_verify_throughout_a_renewal(secured):
    """By a challenge on the port and the name that they use meanwhile."""
    path = secured.node.folder / "edge.yml"
    document = yaml.safe_load(path.read_text())
    document["tls"]["acme"]["challenges"] = ["tls-alpn-01"]
    path.write_text(yaml.safe_dump(document))
    secured.begin()
    first = eventually(secured.shake_hands, timeout_s=30)
    seen, done = [], threading.Event()

    def use():
        while not done.is_set():
            seen.append(secured.shake_hands())

    clients = [threading.Thread(target=use) for _ in range(2)]
    for client in clients:
        client.start()
    secured.node.edge("certs", "--renew", HOST)
    second = eventually(lambda: (new := secured.shake_hands()) != first and new, timeout_s=30)
    done.set()
    for client in clients:
        client.join()

    assert first in seen
    assert set(seen) <= {first, second}
    assert len(secured.versions()) == 2
    assert "tls-alpn-01" in " ".join(secured.entry()["attempts"][-1]["steps"])


@pytest.mark.parametrize(
    ("step", "is_heard"),
    [
        ("newAccount", False),
        ("newAccount", True),
        ("newOrder", True),
        ("authorization", True),
        ("challenge", True),
        ("finalize", True),
        ("certificate", False),
        ("certificate", True),
    ],
)
def test_a_keeper_that_is_killed_begins_anew(secured, step, is_heard):
    """At each step: one valid certificate, one extra order at most, nothing is left over."""
    between = secured.between
    (control,) = secured.node.pids("control")
    held = threading.Event()
    between.fail(step, until=held, drops="answer" if is_heard else "request")
    try:
        secured.begin()
        between.until(lambda: between.of(step))
        os.kill(control, signal.SIGKILL)
    finally:
        held.set()
        between.faults.clear()

    eventually(secured.shake_hands, timeout_s=40)

    assert secured.orders() <= 2
    assert len(secured.versions()) == 1
    challenges = json.loads((secured.node.folder / "var/tls/challenges.json").read_bytes())
    assert challenges == {"http": {}, "alpn": {}}
    assert secured.entry()["state"] == "valid"
