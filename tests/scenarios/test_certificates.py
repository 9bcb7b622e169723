"""A node as it is shipped and an authority: certificates come, and survive what kills their keeper."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading

import pytest
import yaml

from tests.support import Node, eventually, free_port, write_tree
from tests.support_acme import PEBBLE, NameServer, Proxy, pebble, serving

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")

ADDRESSES = [f"127.0.0.{number}" for number in range(1, 20)]
"""Names that no name server is asked for; pebble certifies them (RFC 8738)."""


class Secured:
    """A node with an authority, and addresses that it answers for."""

    def __init__(self, node, between, port, root):
        self.node = node
        self.between = between
        self.port = port
        self.client = ssl.create_default_context(cadata=root)
        self.client.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.hosts = []

    def serve(self, host):
        """Have the app answer for one more address."""
        self.hosts.append(host)
        domains = {each: {"subdomains": {"": "main"}} for each in self.hosts}
        path = self.node.folder / "rules" / "site" / "app.yml"
        path.write_text(yaml.safe_dump({"domains": domains}))
        self.node.edge("reload")

    def shake_hands(self, host):
        """The serial number of what a client sees, which verifies everything; None while none."""
        try:
            with (
                socket.create_connection((host, self.port), timeout=10) as plain,
                self.client.wrap_socket(plain, server_hostname=host) as secure,
            ):
                return secure.getpeercert()["serialNumber"]
        except (ConnectionError, ssl.SSLError):
            return None

    def entry(self, host):
        """What `edge certs` tells."""
        done = self.node.edge("certs", host, "--json", ok=False)
        (entry,) = json.loads(done.stdout)["certificates"]
        return entry

    def orders(self, host):
        """How often a certificate was ordered for it."""
        named = [{"type": "ip", "value": host}]
        made = [each for each in self.between.of("newOrder") if each.status == 201]
        return len([each for each in made if each.payload["identifiers"] == named])

    def versions(self, host):
        """The certificates that lie in the state folder."""
        folder = self.node.folder / "var" / "tls" / "certs" / "acme" / host
        return list(folder.glob("*.pem"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """One for all tests of this module."""
    folder = tmp_path_factory.mktemp("secured")
    node, port = Node(folder / "node", workers=2), free_port()
    folder = tmp_path_factory.mktemp("authority")
    with (
        serving(NameServer()) as names,
        pebble(folder, names, node.port, port, nonce_rejects=15) as authority,
        serving(Proxy(authority)) as between,
    ):
        listen = {
            "http": [f"0.0.0.0:{node.port}"],
            "https": [f"0.0.0.0:{port}"],
            "admin": f"127.0.0.1:{node.admin_port}",
            "public": ADDRESSES,
        }
        acme = {
            "directory": between.directory,
            "ca_file": str(authority.ca_file),
            "staging": None,
        }
        document = {"workers": 2, "listen": listen, "tls": {"acme": acme}}
        (node.folder / "edge.yml").write_text(yaml.safe_dump(document))
        try:
            node.start()
            node.deploy(write_tree(node.folder / "site", {"index.html": "hello"}))
            yield Secured(node, between, port, authority.root())
        finally:
            node.kill_all()


def test_an_address_gets_its_certificate(secured):
    """Without anyone thinking about it; a client verifies it."""
    secured.serve("127.0.0.1")

    eventually(lambda: secured.shake_hands("127.0.0.1"), timeout_s=30)

    entry = secured.entry("127.0.0.1")
    assert (entry["state"], entry["source"]) == ("valid", "acme")
    assert "http-01" in " ".join(entry["attempts"][-1]["steps"])
    status, text = secured.node.admin("GET", "/metrics", token="")
    assert status == 200
    assert 'edge_certificate_not_after_seconds{name="127.0.0.1"}' in text
    assert 'edge_acme_orders_total{result="issued"} 1.0' in text


def test_clients_verify_throughout_a_renewal(secured):
    """Whatever the authority asks meanwhile, by the same port and name."""
    host = "127.0.0.2"
    secured.serve(host)
    first = eventually(lambda: secured.shake_hands(host), timeout_s=30)
    seen, done = [], threading.Event()

    def use():
        while not done.is_set():
            seen.append(secured.shake_hands(host))

    clients = [threading.Thread(target=use) for _ in range(2)]
    for client in clients:
        client.start()
    secured.node.edge("certs", "--renew", host)
    second = eventually(lambda: (new := secured.shake_hands(host)) != first and new, timeout_s=30)
    done.set()
    for client in clients:
        client.join()

    assert set(seen) <= {first, second}
    assert len(secured.versions(host)) == 2


STEPS = ["newOrder", "authorization", "challenge", "finalize", "order", "certificate"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_keeper_that_is_killed_begins_anew(secured, step, moment):
    """At each step of an order: one valid certificate, one extra order at most, nothing left over."""
    host = ADDRESSES[4 + 2 * STEPS.index(step) + (moment == "after")]
    between = secured.between
    (control,) = secured.node.pids("control")
    count = len(between.of(step))
    held = threading.Event()
    kind = {} if moment == "before" else {"drops": "answer"}
    between.fail(step, until=held, **kind)
    try:
        secured.serve(host)
        between.until(lambda: len(between.of(step)) > count)
        os.kill(control, signal.SIGKILL)
    finally:
        held.set()
        between.faults.clear()

    eventually(lambda: secured.shake_hands(host), timeout_s=40)

    assert secured.orders(host) <= 2
    assert len(secured.versions(host)) == 1
    challenges = json.loads((secured.node.folder / "var/tls/challenges.json").read_bytes())
    assert challenges == {"http": {}, "alpn": {}}
    assert secured.entry(host)["state"] == "valid"
