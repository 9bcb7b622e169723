"""What a PEM of key and chain says."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from edge.control import chains
from edge.control.chains import BadPem, parse_chain
from tests.support_certificates import (
    NOW,
    Signer,
    cert_pem,
    key_pem,
    new_key,
    signer,
)


def test_facts_are_those_of_the_leaf():
    """Names as canonical hosts, dates in whole seconds, who signed it."""
    pem = signer().issue("WWW.example.com", "*.example.com", "192.0.2.7", "2001:db8::1")

    chain = parse_chain(pem)

    assert chain.names == ("www.example.com", "*.example.com", "192.0.2.7", "[2001:db8::1]")
    assert (chain.not_before, chain.not_after) == (int(NOW) - 86_400, int(NOW) + 89 * 86_400)
    assert chain.issuer == "Test Root"


def test_a_certificate_is_identified_as_its_authority_does():
    """RFC 9773 §4.1: key identifier and serial, base64url, a leading zero kept."""
    root = signer()
    for _ in range(20):
        leaf = root.sign("a.test")
        identifier = chains.identify(leaf)
        left, right = identifier.split(".")
        serial = base64.urlsafe_b64decode(right + "==")

        assert left == chains.key_identifier(root.certificate)
        assert int.from_bytes(serial, "big", signed=True) == leaf.serial_number


def test_the_example_of_rfc_9773():
    """§4.1: the first bit of the serial is set, so a zero stands in front of it."""
    key = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    identifier = x509.AuthorityKeyIdentifier(key, None, None)
    leaf = signer().sign("a.test", identifier=identifier, serial=0x87654321)

    assert chains.identify(leaf) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_without_a_key_identifier_the_digest_identifies():
    """A certificate of a plain authority has none."""
    chain = parse_chain(signer().issue("a.test", identifier=None))

    assert len(chain.id) == 64
    assert int(chain.id, 16)


def test_the_chain_is_put_in_order():
    """However the file has it: the key's certificate first, then who signed which."""
    root = Signer("Root")
    middle = Signer("Middle", root)
    low = Signer("Low", middle)
    key = new_key()
    leaf = low.sign("a.test", key=key)
    stranger = Signer("Stranger").certificate
    every = [stranger, root.certificate, low.certificate, leaf, middle.certificate]

    chain = parse_chain(b"people's text\n" + cert_pem(*every) + key_pem(key))

    ordered = [leaf, low.certificate, middle.certificate, root.certificate]
    assert [chain.leaf, *chain.issuers] == ordered
    assert chain.unrelated == 1
    assert chain.encode() == key_pem(key) + cert_pem(*ordered)
    assert parse_chain(chain.encode()).issuers == chain.issuers


def test_rsa_is_taken_too():
    """As many operators have it, in the form that openssl wrote for long."""
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    chain = parse_chain(pem + cert_pem(signer().sign("a.test", key=key)))

    assert chain.encode().startswith(b"-----BEGIN PRIVATE KEY-----")


def old_encrypted():
    """A key as old versions of openssl encrypted them."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return new_key().private_bytes(
        serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
    )


LEAF = cert_pem(signer().sign("a.test"))
KEY = key_pem(new_key())
BAD = {
    "nothing": (b"", "no private key"),
    "no key": (LEAF, "no private key"),
    "no certificate": (KEY, "no certificate"),
    "two keys": (KEY + key_pem(new_key(1)) + LEAF, "several private keys"),
    "another key": (key_pem(new_key(1)) + LEAF, "belongs to none"),
    "encrypted": (key_pem(new_key(), b"secret") + LEAF, "encrypted"),
    "encrypted by an old openssl": (old_encrypted() + LEAF, "encrypted"),
    "half a key": (KEY[:80] + b"\n-----END PRIVATE KEY-----\n" + LEAF, "key cannot be read"),
    "a broken key": (KEY.replace(KEY[40:60], b"A" * 20) + LEAF, "key cannot be read"),
    "a broken certificate": (KEY + LEAF.replace(LEAF[90:110], b"A" * 20), "certificate in it"),
    "a certificate that is cut off": (KEY + LEAF[:200], "no certificate"),
    "no names": (KEY + cert_pem(signer().sign()), "names no host"),
    "a strange key": (
        key_pem(ed25519.Ed25519PrivateKey.generate()) + LEAF,
        "no browser speaks",
    ),
    "far too large": (b"x" * (chains.MAX_PEM + 1), "too large"),
    "too many": (KEY + LEAF * (chains.MAX_CERTIFICATES + 1), "too many"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_served_is_refused(name):
    """With the problem and what to do, and never a byte of the key."""
    pem, problem = BAD[name]

    with pytest.raises(BadPem, match=problem) as caught:
        parse_chain(pem)

    assert caught.value.hint
    assert "MIG" not in str(caught.value)


def test_a_mistake_has_its_place():
    """The byte where the block begins that is wrong."""
    with pytest.raises(BadPem) as caught:
        parse_chain(LEAF + key_pem(new_key(), b"secret"))

    assert caught.value.offset == len(LEAF)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("*.Example.COM", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.*.example.com", ""),
        ("*", ""),
        ("*.192.0.2.1", ""),
        ("*.[2001:db8::1]", ""),
        ("a b", ""),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ],
)
def test_names_are_canonical(name, canonical):
    """Hosts as `site.hosts` spells them, and at most one star."""
    assert chains.canonical_name(name) == canonical


def test_an_issuer_without_a_name():
    """Nothing to tell people is an empty text."""
    assert chains.issuer_of(Signer("").sign("a.test")) == ""
