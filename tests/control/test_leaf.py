"""Keys, requests, and chains that may be served or may not."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest
from acme.client import _renewal_info_path_component
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.control import leaf
from edge.control.acme_errors import AcmeError

NOW = 1_800_000_000
DAY_S = 86_400
NAMES = ["a.test", "*.a.test", "127.0.0.1", "::1"]


def named(text, kind=NameOID.COMMON_NAME):
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(kind, text)])


class Signer:
    """An authority that signs whatever it is told to."""

    def __init__(self, name="a root", above=None):
        self.key = leaf.new_key()
        self.name = named(name)
        self.certificate = (above or self).sign(self.key.public_key(), self.name, [])

    def sign(self, key, subject, names, *, begins=NOW - 60, ends=NOW + DAY_S, serial=7, aki=b"aki"):
        """A certificate."""
        builder = x509.CertificateBuilder(
            self.name,
            subject,
            key,
            serial,
            datetime.fromtimestamp(begins, UTC),
            datetime.fromtimestamp(ends, UTC),
        )
        if names:
            found = x509.SubjectAlternativeName([leaf.general_name(name) for name in names])
            builder = builder.add_extension(found, critical=False)
        else:
            constraints = x509.BasicConstraints(ca=True, path_length=None)
            builder = builder.add_extension(constraints, critical=True)
        if aki is not None:
            found = x509.AuthorityKeyIdentifier(aki, None, None)
            builder = builder.add_extension(found, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def root():
    """One above all."""
    return Signer()


@pytest.fixture(scope="module")
def signer(root):
    """One below it."""
    return Signer("an authority", root)


@pytest.fixture(scope="module")
def key():
    """The key that was asked for."""
    return leaf.new_key()


def pem(*certificates):
    """A chain."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def test_a_request_has_the_names_and_nothing_else(key):
    """Addresses as addresses; no subject, which not every authority takes."""
    found = x509.load_der_x509_csr(leaf.request_for(key, NAMES))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test", "*.a.test"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["127.0.0.1", "::1"]
    assert (list(found.subject), len(found.extensions)) == ([], 1)
    assert found.is_signature_valid


def test_what_was_asked_for_is_accepted(signer, root, key, tmp_path):
    """With its facts; the file holds key and chain, and is served as it is."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES)
    chain = b"a text before\n" + pem(certificate, signer.certificate, root.certificate)

    found = leaf.accept(key, chain, NAMES, NOW)

    assert found.names == tuple(sorted(NAMES))
    assert found.issuer == "an authority"
    assert (found.not_before, found.not_after) == (NOW - 60, NOW + DAY_S)
    assert found.id == "YWtp.Bw"
    assert b"a text before" not in found.pem
    assert x509.load_pem_x509_certificates(found.pem)[0] == certificate
    (tmp_path / "it.pem").write_bytes(found.pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "it.pem")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.test"], "instead of"),
        ([*NAMES, "b.test"], "b.test"),
        ([], "no name instead of"),
    ],
)
def test_other_names_are_refused(signer, key, names, told):
    """More of them too: nobody asked for those."""
    certificate = signer.sign(key.public_key(), named("a.test"), names)

    with pytest.raises(AcmeError, match=told) as found:
        leaf.accept(key, pem(certificate), NAMES, NOW)

    assert (found.value.kind, found.value.step) == ("badCertificate", "verify")


@pytest.mark.parametrize(
    ("begins", "ends", "is_right"),
    [
        (NOW + leaf.AHEAD_S, NOW + DAY_S, True),
        (NOW + leaf.AHEAD_S + 1, NOW + DAY_S, False),
        (NOW - DAY_S, NOW + 1, True),
        (NOW - DAY_S, NOW, False),
    ],
)
def test_dates_are_compared_with_the_clock(signer, key, begins, ends, is_right):
    """A minute ahead is what clocks differ by."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES, begins=begins, ends=ends)

    if is_right:
        assert leaf.accept(key, pem(certificate), NAMES, NOW).not_after == ends
    else:
        with pytest.raises(AcmeError, match="the clock of this node"):
            leaf.accept(key, pem(certificate), NAMES, NOW)


def test_another_key_is_refused(signer, key):
    """What was signed is not what was asked for."""
    certificate = signer.sign(leaf.new_key().public_key(), named("x"), NAMES)

    with pytest.raises(AcmeError, match="another key"):
        leaf.accept(key, pem(certificate), NAMES, NOW)


def test_a_chain_has_to_link(signer, root, key):
    """By name and by signature."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES)
    namesake = Signer("an authority", root)

    for wrong in (root.certificate, namesake.certificate):
        with pytest.raises(AcmeError, match="does not link"):
            leaf.accept(key, pem(certificate, wrong), NAMES, NOW)


@pytest.mark.parametrize("chain", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_chain_is_refused(key, chain):
    """Cut off, another document, nothing."""
    with pytest.raises(AcmeError, match="no chain in PEM"):
        leaf.accept(key, chain, NAMES, NOW)


def test_a_chain_has_an_end(signer, key):
    """Nobody sends forty certificates to each client."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES)

    with pytest.raises(AcmeError, match="11 certificates"):
        leaf.accept(key, pem(certificate, *[signer.certificate] * 10), NAMES, NOW)


def test_the_id_of_the_rfc_is_found():
    """Source: RFC 9773 §4.1, whose serial begins with a zero octet."""
    aki = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    key = leaf.new_key()
    certificate = Signer().sign(key.public_key(), named("x"), NAMES, serial=0x87654321, aki=aki)

    assert leaf.certificate_id(certificate) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 0xFF, 0x100, 2**63 - 1, 2**63, 2**158])
def test_the_id_is_that_of_the_package(signer, key, serial):
    """Octets of the serial as DER writes them."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES, serial=serial)

    assert leaf.certificate_id(certificate) == _renewal_info_path_component(certificate)


def test_without_an_authority_key_the_id_is_the_digest(signer, key):
    """No name of a file may be missing."""
    certificate = signer.sign(key.public_key(), named("x"), NAMES, aki=None)

    assert leaf.certificate_id(certificate) == certificate.fingerprint(hashes.SHA256()).hex()


def test_an_authority_without_a_common_name_has_an_organisation(key):
    """Or at least something."""
    for name, told in (
        (named("Them Ltd", NameOID.ORGANIZATION_NAME), "Them Ltd"),
        (named("NZ", NameOID.COUNTRY_NAME), "C=NZ"),
    ):
        signer = Signer()
        signer.name = name
        certificate = signer.sign(key.public_key(), named("x"), NAMES)

        assert leaf.issuer_of(certificate) == told


def test_keys_are_new_and_small():
    """P-256 each time."""
    one, other = leaf.new_key(), leaf.new_key()

    assert isinstance(one.curve, ec.SECP256R1)
    assert one.private_numbers() != other.private_numbers()
