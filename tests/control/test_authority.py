"""The node's own authority: what strict clients make of what it signs."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edge.control import chains
from edge.control.authority import LEAF_LIFE, ROOT_LIFE, Authority
from edge.site.places import Places
from tests.support_certificates import key_pem, new_key, signer


@pytest.fixture
def places(tmp_path):
    """A new state folder."""
    places = Places(tmp_path)
    places.tls.mkdir()
    return places


def shake_hands(pem, root, host, tmp_path):
    """The names that a strict client sees; raises what it refuses with."""
    (tmp_path / "leaf.pem").write_bytes(pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf.pem")
    client = ssl.create_default_context(cadata=root.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = server.wrap_bio(to_server, to_client, server_side=True)
    outside = client.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (outside, inside):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return outside.getpeercert()["subjectAltName"]


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (("*.shop.edge.localhost",), "main.shop.edge.localhost"),
        (("a.test", "b.test"), "b.test"),
        (("127.0.0.1",), "127.0.0.1"),
        (("[::1]",), "::1"),
        (("x" * 63 + "." + "y" * 63 + ".test",), "x" * 63 + "." + "y" * 63 + ".test"),
    ],
)
def test_a_strict_client_accepts_it(places, names, host, tmp_path):
    """Whoever trusts the root accepts each kind of name, with every check there is."""
    authority = Authority(places, "node.example")
    now = time.time()

    seen = shake_hands(authority.issue(names, now), authority.root_pem(now), host, tmp_path)

    assert len(seen) == len(names)


def test_who_does_not_trust_it_refuses(places, tmp_path):
    """Another node's root is not this one's, though it be called the same."""
    now = time.time()
    pem = Authority(places, "node").issue(("a.test",), now)
    other = Places(tmp_path / "other")
    stranger = Authority(other, "node").root_pem(now)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(pem, stranger, "a.test", tmp_path)


def test_the_root_is_made_once(places):
    """The next process has the same; it says whose it is and for how long."""
    now = time.time()
    pem = Authority(places, "node.example").root_pem(now)

    root = x509.load_pem_x509_certificate(pem)
    assert Authority(places, "node.example").root_pem(now + 86_400) == pem
    assert chains.issuer_of(root) == "Edge local authority node.example"
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert root.not_valid_after_utc.timestamp() == int(now) + ROOT_LIFE.total_seconds()
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )


def test_leaves_last_a_month_and_each_has_its_key(places):
    """From an hour ago, for clocks that are late."""
    authority, now = Authority(places, "node"), 1_800_000_000.0

    one, two = (chains.parse_chain(authority.issue(("a.test",), now)) for _ in range(2))

    assert (one.not_before, one.not_after) == (now - 3600, now + LEAF_LIFE.total_seconds())
    assert one.encode() != two.encode()
    assert chains.encode_key(one.key) != chains.encode_key(two.key)


def test_what_it_signed_is_known(places):
    """By the key's identifier: another's is not its own."""
    authority, now = Authority(places, "node"), time.time()

    def as_certificate(pem):
        chain = chains.parse_chain(pem)
        return chain.certificate(chain.id, "", "internal")

    assert authority.signed(as_certificate(authority.issue(("a.test",), now)), now)
    assert not authority.signed(as_certificate(signer().issue("a.test")), now)


def test_its_key_is_nobody_elses(places):
    """0600, both files."""
    Authority(places, "node").root_pem(time.time())

    files = {path.name: path.stat().st_mode & 0o777 for path in places.tls.rglob("root.*")}
    assert files == {"root.key": 0o600, "root.pem": 0o600}


@pytest.mark.parametrize("damage", ["no key", "no root", "broken key", "broken root", "other key"])
def test_damage_is_repaired_by_a_new_one(places, damage):
    """Nothing signs with half an authority."""
    now = time.time()
    before = Authority(places, "node").root_pem(now)
    folder = places.tls / "internal"
    match damage:
        case "no key":
            (folder / "root.key").unlink()
        case "no root":
            (folder / "root.pem").unlink()
        case "broken key":
            (folder / "root.key").write_bytes(b"x")
        case "broken root":
            (folder / "root.pem").write_bytes(before[:100])
        case "other key":
            (folder / "root.key").write_bytes(key_pem(new_key(5)))

    after = Authority(places, "node").root_pem(now)

    assert after != before
    assert Authority(places, "node").root_pem(now) == after


def test_a_root_that_ends_is_followed_by_another(places):
    """Leaves never outlive what signed them."""
    now = time.time()
    before = Authority(places, "node").root_pem(now)
    late = now + ROOT_LIFE.total_seconds() - LEAF_LIFE.total_seconds() + 10

    assert Authority(places, "node").root_pem(late - 20) == before
    assert Authority(places, "node").root_pem(late) != before


@pytest.mark.parametrize("step", range(1, 14))
def test_a_death_at_any_step_leaves_a_whole_one_or_none(places, step, tmp_path):
    """A child makes the root and ends at its n-th step on the disk."""
    now = time.time()
    pid = os.fork()
    if pid == 0:
        calls = iter(range(1, 1_000))

        def watch(event, _):
            if event in ("open", "os.rename", "os.mkdir") and next(calls) == step:
                os._exit(1)

        sys.addaudithook(watch)
        Authority(places, "node").root_pem(now)
        os._exit(0)
    os.waitpid(pid, 0)

    authority = Authority(places, "node")
    pem = authority.issue(("a.test",), now)

    assert shake_hands(pem, authority.root_pem(now), "a.test", tmp_path)
    assert Authority(places, "node").root_pem(now) == authority.root_pem(now)


def test_odd_names_of_machines_do_no_harm(places):
    """A common name has 64 characters at most, and nothing but those of hosts."""
    host = socket.gethostname() + " ü\n" + "x" * 100

    root = x509.load_pem_x509_certificate(Authority(places, host).root_pem(time.time()))

    assert len(chains.issuer_of(root)) == 64
