"""What certificates there are and should be, and that workers know it."""

from __future__ import annotations

import logging
import os

import pytest
from cryptography import x509

from edge.control import chains, durable
from edge.control.inventory import Inventory, arrange, due, is_public_suffix
from edge.site.certificates import Certificate, Keyring, Names
from tests.support_certificates import DAY, NOW, cert_pem, signer, write_own
from tests.support_control import (
    FakeWorker,
    new_store,
    obedient,
    open_store,
    places_of,
    publish,
    write_app,
)

INTERNAL = 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: internal}\n'
FILES = 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: files}\n'
ACME = 'listen: {https: ["127.0.0.1:8443"]}\ndefault_domain: edge.example.com\n'


class Clock:
    """A time that a test sets."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        """Epoch seconds."""
        return self.now


class Kept:
    """A node's state and its inventory, with a clock of its own."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.changes = new_store(folder, settings)
        self.certs = folder / "certs"
        self.clock = Clock()
        self.restart()

    def restart(self):
        """As the next process sees it."""
        if hasattr(self, "kept"):
            self.kept.close()
        self.kept = Inventory(places_of(self.folder), open_store(self.folder), self.clock)
        return self

    def app(self, text="", *branches):
        """An app `shop` with deployed branches."""
        write_app(self.folder, "shop", text)
        self.changes.reload()
        for branch in branches:
            publish(self.changes, "shop", branch, {"index.html": "x"})
        return self

    def look(self, later=0.0):
        """A look after some seconds; the keyring then."""
        self.clock.now += later
        self.kept.look()
        return self.kept.vault.keyring()

    def serving(self, host):
        """The certificate that a host is served with."""
        return Names(self.kept.vault.keyring().certificates).find(host)


@pytest.fixture
def kept(tmp_path):
    """Makes a node's keeper by its settings."""
    return lambda settings: Kept(tmp_path, settings)


def whole(*names, **more):
    """Key, leaf and issuer."""
    return signer().issue(*names, **more) + cert_pem(signer().certificate)


def test_the_own_authority_signs_what_is_served(kept):
    """A wildcard of an app's branches, and each domain."""
    node = kept(INTERNAL).app('domains: {example.com: {subdomains: {"": main}}}', "main", "pr-7")

    keyring = node.look()

    assert [each.names for each in keyring.certificates] in (
        [("*.shop.edge.localhost",), ("example.com",)],
        [("example.com",), ("*.shop.edge.localhost",)],
    )
    assert {each.source for each in keyring.certificates} == {"internal"}
    root = x509.load_pem_x509_certificate(node.kept.authority.root_pem(NOW))
    for each in keyring.certificates:
        chain = chains.parse_chain(node.kept.vault.read_pem(each))
        chain.leaf.verify_directly_issued_by(root)


def test_a_new_branch_is_seen_at_the_next_look(kept):
    """And one that goes is not served any more."""
    node = kept(INTERNAL).app("domains: {a.test: {subdomains: {www: main}}}", "main")
    node.look()
    assert node.serving("www.a.test") is not None

    write_app(node.folder, "shop", "domains: {a.test: {subdomains: {docs: main}}}")
    node.changes.reload()
    node.look(1)

    assert node.serving("docs.a.test") is not None
    assert node.serving("www.a.test") is None
    assert "www.a.test" in node.kept.vault.names("internal")


def test_without_listeners_for_tls_nothing_is_made(kept):
    """Not even the folder."""
    node = kept("tls: {mode: internal}\n").app("", "main")

    node.look()

    assert not places_of(node.folder).tls.exists()


def test_before_anything_serves_there_is_nothing_to_keep(kept):
    """A new node without a generation."""
    assert kept(INTERNAL).look() == Keyring()


def test_what_is_good_is_left_alone(kept):
    """Rounds, restarts and looks make no second certificate."""
    node = kept(INTERNAL).app("", "main")
    keyring = node.look()

    node.look(61)
    node.restart().look(61)

    assert node.kept.vault.keyring() == keyring
    assert len(list(places_of(node.folder).tls.rglob("certs/**/*.pem"))) == 1


def test_leaves_are_renewed_when_they_are_due(kept):
    """At two thirds of their month, a little earlier; the old one serves until then."""
    node = kept(INTERNAL).app("", "main")
    (first,) = node.look().certificates
    instant = due(first).at
    assert 18 * DAY < instant - NOW <= 20 * DAY

    node.clock.now = instant - 1
    assert node.look().certificates == (first,)
    node.clock.now = instant + 61
    (second,) = node.look().certificates

    assert second.not_after > first.not_after


def test_a_new_root_signs_everything_anew(kept):
    """An authority that was lost is followed by another, and no leaf of the old one serves."""
    node = kept(INTERNAL).app("", "main")
    node.look()
    (places_of(node.folder).tls / "internal" / "root.key").unlink()

    (leaf,) = node.restart().look(61).certificates

    assert node.kept.authority.signed(leaf, node.clock.now)


def test_the_operators_certificates_win(kept):
    """For all their names; the own authority signs the rest."""
    node = kept(INTERNAL).app('domains: {a.test: {subdomains: {"": main, www: main}}}', "main")
    node.look()
    write_own(node.certs, "a.test", whole("a.test", "*.a.test"))

    node.look(1)

    assert node.serving("a.test").source == node.serving("www.a.test").source == "files"
    assert node.serving("main.shop.edge.localhost").source == "internal"
    assert [wish.name for wish in node.kept.wishes.wanted] == ["*.shop.edge.localhost"]


def test_a_bad_file_leaves_the_last_good_one(kept, caplog):
    """And says what is wrong, once; a restart changes nothing; a good one takes over."""
    node = kept(FILES).app('domains: {a.test: {subdomains: {"": main}}}', "main")
    write_own(node.certs, "a.test", whole("a.test"))
    (first,) = node.look().certificates
    write_own(node.certs, "a.test", whole("b.test"))

    with caplog.at_level(logging.ERROR):
        assert node.look(1).certificates == (first,)
        node.look(61)
    (told,) = caplog.records
    assert told.getMessage() == (
        "certs/a.test.pem:1:1: the certificate does not cover a.test: it names b.test "
        "(call the file by one of its names)"
    )
    assert node.restart().look(61).certificates == (first,)

    write_own(node.certs, "a.test", whole("a.test"))
    (second,) = node.look(1).certificates
    assert second.id != first.id


def test_a_removed_file_ends(kept):
    """Its names go to whoever the mode says: here to the own authority."""
    node = kept(INTERNAL).app('domains: {a.test: {subdomains: {"": main}}}', "main")
    path = write_own(node.certs, "a.test", whole("a.test"))
    node.look()
    assert node.serving("a.test").source == "files"

    path.unlink()
    node.look(1)

    assert node.serving("a.test").source == "internal"


def test_an_expired_file_serves_only_where_nothing_else_can(kept):
    """In the mode `files` to the end; else the own authority takes over."""
    text = 'domains: {a.test: {subdomains: {"": main}}}'
    node = kept(FILES).app(text, "main")
    write_own(node.certs, "a.test", whole("a.test", end=NOW + DAY))
    (own,) = node.look().certificates

    assert node.look(2 * DAY).certificates == (own,)
    assert "expired on" in node.kept.found.mistakes[0].message

    (node.folder / "edge.yml").write_text(INTERNAL)
    node.changes.reload()
    node.look(1)
    assert node.serving("a.test").source == "internal"


def test_a_folder_that_cannot_be_looked_into_ends_nothing(kept, monkeypatch):
    """Whatever is wrong with the disk, what served serves on, after a restart too."""
    node = kept(FILES).app('domains: {a.test: {subdomains: {"": main}}}', "main")
    write_own(node.certs, "a.test", whole("a.test"))
    keyring = node.look()
    node.certs.rename(node.folder / "away")
    node.certs.write_bytes(b"no folder")

    assert node.look(61) == keyring
    assert node.restart().look(61) == keyring


def test_a_names_failure_is_its_own(kept, caplog):
    """A disk that refuses one name does not keep another from its certificate."""
    node = kept(INTERNAL).app("domains: {a.test: {subdomains: {a: main, b: main}}}", "main")
    folder = places_of(node.folder).tls / "certs" / "internal"
    folder.mkdir(parents=True)
    (folder / "a.a.test").write_bytes(b"in the way")

    node.look()

    assert node.serving("b.a.test") is not None
    assert "there is no new certificate for a.a.test" in caplog.text
    (folder / "a.a.test").unlink()
    node.look(61)
    assert node.serving("a.a.test") is not None


def test_a_round_that_breaks_is_repeated(kept):
    """The next look makes up for it."""
    node = kept(INTERNAL).app("", "main")
    node.kept.vault.open()
    places_of(node.folder).keyring.mkdir()

    with pytest.raises(OSError, match="directory"):
        node.look()

    places_of(node.folder).keyring.rmdir()
    assert len(node.look(1).certificates) == 1


def test_names_that_wait_for_a_public_authority_keep_what_they_have(kept):
    """A change of the mode takes no certificate away before there is another."""
    node = kept(INTERNAL + "default_domain: edge.example.com\n").app("", "main")
    node.look()

    (node.folder / "edge.yml").write_text(ACME)
    node.changes.reload()
    node.look(1)

    assert [wish.source for wish in node.kept.wishes.wanted] == ["acme"]
    assert node.serving("main.shop.edge.example.com").source == "internal"
    node.kept.vault.publish(
        "main.shop.edge.example.com", whole("main.shop.edge.example.com"), "acme"
    )
    keyring = node.look(61)
    assert [each.source for each in keyring.certificates] == ["acme"]


def test_one_keeper_a_state_folder(kept):
    """A second process waits until the first is gone."""
    node = kept(INTERNAL).app("", "main")
    node.kept.vault.open()
    lock = durable.try_lock(node.kept.vault.lock)

    assert node.look() == Keyring()
    os.close(lock)
    assert node.look(1) != Keyring()


def test_workers_are_told_what_is_new_to_them(kept):
    """Once for each keyring, and again where one of them did not read it."""
    node = kept(INTERNAL).app("", "main")
    answers = [{"error": "the disk is slow"}]
    run = places_of(node.folder).run
    worker = FakeWorker(run, lambda order: answers.pop() if answers else obedient(order))
    try:
        node.look()
        node.look(1)
        node.look(1)
        node.look(61)
        assert worker.orders == [{"do": "tls"}] * 2

        node.app("domains: {a.test: {subdomains: {www: main}}}")
        node.look(1)
        orders = [order["do"] for order in worker.orders[2:]]
    finally:
        worker.close()
    assert orders[-1] == "tls"


def test_cleaning_comes_by(kept):
    """Once a day; what nobody wants goes two weeks later."""
    node = kept(INTERNAL).app("domains: {a.test: {subdomains: {www: main}}}", "main")
    node.look()
    write_app(node.folder, "shop", "")
    node.changes.reload()
    node.look(DAY + 1)
    assert "www.a.test" in node.kept.vault.names("internal")

    node.look(15 * DAY)

    assert node.kept.vault.names("internal") == ["*.shop.edge.localhost"]


def certificate(identifier, source, end):
    """One of a.test."""
    return Certificate(
        id=identifier,
        names=("a.test",),
        file=identifier,
        source=source,
        issuer="",
        not_before=0,
        not_after=end,
    )


def test_the_best_certificate_stands_first():
    """Valid before expired, then files, acme, internal, then who lasts longer."""
    expected = [
        certificate("1", "files", 50),
        certificate("2", "acme", 99),
        certificate("3", "acme", 98),
        certificate("4", "internal", 500),
        certificate("5", "files", 9),
        certificate("6", "internal", 10),
    ]

    assert list(arrange([*reversed(expected), expected[0]], 10.0).certificates) == expected


@pytest.mark.parametrize(
    ("host", "public"),
    [("com", True), ("co.uk", True), ("example.com", False), ("github.io", False), ("test", True)],
)
def test_public_suffixes_are_those_of_registries(host, public):
    """A company that hands out names below its own may have a certificate for it."""
    assert is_public_suffix(host) is public
