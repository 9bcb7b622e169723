"""TLS for an admin listener that others reach: which certificate, and when it is another."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from edge.control import domains
from edge.control.admin_tls import RENEW_BEFORE, AdminTls, hosts_of
from edge.control.inventory import Inventory
from edge.site.certificates import Keyring
from edge.site.settings import Admin, Listen, Settings
from tests.support_control import DAY, new_store, places_of

NOW = 1_800_000_000.0
ADDRESS = "192.0.2.1:9901"
SETTINGS = Settings(admin=Admin(hosts=("edge.example",)))


@pytest.fixture
def inventory(tmp_path):
    """The certificates of a new node."""
    found = Inventory(places_of(tmp_path), new_store(tmp_path))
    found.vault.open()
    yield found
    found.close()


def answer(tls, connection):
    """The server's end of a handshake."""
    with tls.context.wrap_socket(connection, server_side=True) as server:
        server.recv(1)


def shown(tls, name=None):
    """The DER that a client is shown, with a name or without; TLS 1.1 would be refused."""
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with ours, theirs:
        server = threading.Thread(target=answer, args=(tls, ours))
        server.start()
        with context.wrap_socket(theirs, server_hostname=name) as client:
            der = client.getpeercert(binary_form=True)
        server.join()
    return der


def test_what_it_may_be_called_by(monkeypatch):
    """The machine's names, the listener's address, `admin.hosts`; all addresses if need be."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Node_1")  # none that a certificate has
    monkeypatch.setattr(domains, "outgoing", lambda version: {4: "192.0.2.7", 6: ""}[version])
    own = ["localhost", "127.0.0.1", "[::1]"]
    public = Settings(listen=Listen(public=("203.0.113.9",)))

    assert list(hosts_of(ADDRESS, SETTINGS)) == [*own, "192.0.2.1", "edge.example"]
    assert list(hosts_of("0.0.0.0:9901", public)) == [*own, "192.0.2.7", "203.0.113.9"]
    assert list(hosts_of("admin.example:9901", public)) == [*own, "admin.example"]


def test_the_own_authority_signs_it_and_a_restart_keeps_it(inventory):
    """For its owner's eyes; a certificate that is trusted stays the same."""
    first = AdminTls(inventory)
    first.look(ADDRESS, SETTINGS, NOW)
    again = AdminTls(inventory)
    again.look(ADDRESS, SETTINGS, NOW)

    assert shown(first) == shown(again)
    file = inventory.vault.folder / "internal" / "admin.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {"192.0.2.1", "edge.example"} <= set(again._own[0].names)


def test_it_is_renewed_without_a_restart(inventory):
    """In time; when it is called by another name; when the root is another; and only then."""
    tls = AdminTls(inventory)
    tls.look(ADDRESS, SETTINGS, NOW)
    seen = [shown(tls)]
    for address, settings, now in (
        (ADDRESS, SETTINGS, NOW + 30 * DAY - RENEW_BEFORE + 1),
        ("192.0.2.2:9901", SETTINGS, NOW + 21 * DAY),
    ):
        tls.look(address, settings, now)
        seen.append(shown(tls))
        tls.look(address, settings, now + 60)
        assert shown(tls) == seen[-1]
    for name in ("root.pem", "root.key"):
        (inventory.vault.folder / "internal" / name).unlink()
    inventory.authority._made = None
    tls.look(ADDRESS, SETTINGS, NOW + 21 * DAY)

    assert len({*seen, shown(tls)}) == 4


def test_a_name_of_admin_hosts_has_its_own_certificate(inventory):
    """If the node has one for it that is valid; everything else has the own authority's."""
    pem = inventory.authority.issue(("edge.example", "other.example"), NOW)
    certificate = inventory.vault.publish("edge.example", pem, "files")
    inventory.vault.write_keyring(Keyring((certificate,)))
    tls = AdminTls(inventory)
    tls.look(ADDRESS, SETTINGS, NOW)
    own, named = shown(tls), shown(tls, "edge.example")

    assert own != named
    assert shown(tls, "other.example") == own  # of the certificate, and not of admin.hosts
    assert shown(tls, "192.0.2.1") == own
    tls.look(ADDRESS, SETTINGS, NOW + 60)
    assert shown(tls, "edge.example") == named
    (inventory.vault.folder / certificate.file).write_text("damaged")
    tls.look(ADDRESS, SETTINGS, NOW + 120)
    assert shown(tls, "edge.example") == named  # what was loaded serves on
    tls.look(ADDRESS, SETTINGS, NOW + 40 * DAY)
    assert shown(tls, "edge.example") == shown(tls)


def test_what_cannot_be_loaded_is_not_served(inventory, caplog):
    """The own authority's stands in."""
    pem = inventory.authority.issue(("edge.example",), NOW)
    certificate = inventory.vault.publish("edge.example", pem, "files")
    inventory.vault.write_keyring(Keyring((certificate,)))
    (inventory.vault.folder / certificate.file).unlink()
    tls = AdminTls(inventory)
    tls.look(ADDRESS, SETTINGS, NOW)

    assert "cannot be used for the admin API" in caplog.text
    assert shown(tls, "edge.example") == shown(tls)
