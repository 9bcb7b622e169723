"""Keys, requests, and chains that may be served or may not."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edge.control import chains, leaf
from edge.control.acme_errors import AcmeError
from tests.support_certificates import NOW, Signer, cert_pem, name_of, when

DAY_S = 86_400
NAMES = ["a.test", "*.a.test", "127.0.0.1", "[::1]"]


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
    certificate = signer.sign(*NAMES, key=key)
    chain = b"a text before\n" + cert_pem(certificate, signer.certificate, root.certificate)

    found = leaf.accept(key, chain, NAMES, NOW)

    assert found.names == tuple(NAMES)
    assert (found.issuer, found.id) == ("an authority", chains.identify(certificate))
    assert (found.not_before, found.not_after) == (NOW - DAY_S, NOW + 89 * DAY_S)
    assert b"a text before" not in found.pem
    assert chains.parse_chain(found.pem).issuers == [signer.certificate, root.certificate]
    (tmp_path / "it.pem").write_bytes(found.pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "it.pem")


def test_addresses_may_be_asked_for_without_brackets(signer, key):
    """As authorities spell them."""
    chain = cert_pem(signer.sign(*NAMES, key=key))

    assert leaf.accept(key, chain, [*NAMES[:3], "::1"], NOW).names == tuple(NAMES)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.test"], r"it covers a\.test instead of"),
        ([*NAMES, "b.test"], r"b\.test instead"),
        ([*NAMES, "no_name_.test"], "no_name_"),
        ([], "no name instead of"),
    ],
)
def test_other_names_are_refused(signer, key, names, told):
    """More of them too: nobody asked for those."""
    with pytest.raises(AcmeError, match=told) as found:
        leaf.accept(key, cert_pem(signer.sign(*names, key=key)), NAMES, NOW)

    assert (found.value.kind, found.value.step) == ("badCertificate", "verify")


def test_names_that_cannot_be_read_are_refused(signer, key):
    """A subjectAltName of other bytes."""
    broken = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05")
    certificate = (
        x509.CertificateBuilder(name_of("x"), name_of("x"), key.public_key(), 7)
        .not_valid_before(when(NOW - 60))
        .not_valid_after(when(NOW + 60))
        .add_extension(broken, critical=False)
        .sign(signer.key, hashes.SHA256())
    )

    with pytest.raises(AcmeError, match="no name instead of"):
        leaf.accept(key, cert_pem(certificate), NAMES, NOW)


@pytest.mark.parametrize(
    ("start", "end", "is_right"),
    [
        (NOW + leaf.AHEAD_S, NOW + DAY_S, True),
        (NOW + leaf.AHEAD_S + 1, NOW + DAY_S, False),
        (NOW - DAY_S, NOW + 1, True),
        (NOW - DAY_S, NOW, False),
    ],
)
def test_dates_are_compared_with_the_clock(signer, key, start, end, is_right):
    """A minute ahead is what clocks differ by."""
    chain = cert_pem(signer.sign(*NAMES, key=key, start=start, end=end))

    if is_right:
        assert leaf.accept(key, chain, NAMES, NOW).not_after == end
    else:
        with pytest.raises(AcmeError, match="the clock of this node"):
            leaf.accept(key, chain, NAMES, NOW)


def test_another_key_is_refused(signer, key):
    """What was signed is not what was asked for."""
    with pytest.raises(AcmeError, match="another key"):
        leaf.accept(key, cert_pem(signer.sign(*NAMES, key=leaf.new_key())), NAMES, NOW)


def test_a_chain_has_to_link(signer, root, key):
    """By name and by signature."""
    certificate = signer.sign(*NAMES, key=key)
    namesake = Signer("an authority", root)

    for wrong in (root.certificate, namesake.certificate):
        with pytest.raises(AcmeError, match="does not link"):
            leaf.accept(key, cert_pem(certificate, wrong), NAMES, NOW)


@pytest.mark.parametrize("chain", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_chain_is_refused(key, chain):
    """Cut off, another document, nothing."""
    with pytest.raises(AcmeError, match="no chain in PEM"):
        leaf.accept(key, chain, NAMES, NOW)


def test_a_chain_has_an_end(signer, key):
    """Nobody sends forty certificates to each client."""
    certificate = signer.sign(*NAMES, key=key)

    with pytest.raises(AcmeError, match="11 certificates"):
        leaf.accept(key, cert_pem(certificate, *[signer.certificate] * 10), NAMES, NOW)


def test_keys_are_new_and_small():
    """P-256 each time."""
    one, other = leaf.new_key(), leaf.new_key()

    assert isinstance(one.curve, ec.SECP256R1)
    assert one.private_numbers() != other.private_numbers()
