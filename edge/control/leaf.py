"""
A key, the request that is made with it, and whether what an authority sends fits both.

No authority is asked here, and nothing is stored: keys and chains in, bytes out. The time is an
argument. What `accept` returns can be served; what cannot never leaves this module.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import ssl
from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.control.acme_errors import AcmeError
from edge.control.chains import Chain, canonical_name, general_name

MAX_CHAIN: Final = 10
"""Certificates; public chains have two or three."""

AHEAD_S: Final = 60
"""How far a certificate may begin in the future: clocks differ."""


class Issued(msgspec.Struct, frozen=True):
    """A certificate that has been looked at, and its key."""

    pem: bytes
    """The key, the certificate, its chain."""
    id: str
    """`chains.identify` of it: what ARI calls it."""
    names: tuple[str, ...]
    """What it covers, canonical."""
    issuer: str
    """Common or organisation name of who signed it."""
    not_before: int
    """Epoch seconds."""
    not_after: int
    """Epoch seconds."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256: small, fast, and known to every client."""
    return ec.generate_private_key(ec.SECP256R1())


def request_for(key: ec.EllipticCurvePrivateKey, names: Iterable[str]) -> bytes:
    """The request (PKCS #10, in DER) for these names; it says nothing else."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(
            x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def accept(
    key: ec.EllipticCurvePrivateKey, chain: bytes, names: Iterable[str], now: float
) -> Issued:
    """
    What is served from now on, `now` in epoch seconds.

    Raises:
        AcmeError: `badCertificate`; the chain is not what was asked for, or cannot be served.
    """
    certificates = _parse(chain)
    leaf = certificates[0]
    _check_leaf(leaf, key, set(map(canonical_name, names)), now)
    _check_links(certificates)
    found = Chain(key, certificates)
    pem = found.encode()  # anew: text around what was parsed could mean another thing to others
    _check_loads(pem)
    return Issued(pem, found.id, found.names, found.issuer, found.not_before, found.not_after)


def base64url(data: bytes) -> str:
    """Without padding. Source: RFC 7515 §2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(text: str) -> bytes:
    """Of a key authorization. Source: RFC 8555 §8.4, RFC 8737 §3."""
    return hashlib.sha256(text.encode()).digest()


def _parse(chain: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise _unfit(f"it is no chain in PEM: {error}") from error
    if len(found) > MAX_CHAIN:
        raise _unfit(f"its chain has {len(found)} certificates")
    return found


def _check_leaf(
    leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey, names: set[str], now: float
) -> None:
    if leaf.public_key() != key.public_key():
        raise _unfit("it is for another key")
    covered = _names_of(leaf)
    if covered != names:
        raise _unfit(f"it covers {_listed(covered)} instead of {_listed(names)}")
    if leaf.not_valid_before_utc.timestamp() > now + AHEAD_S:
        raise _unfit(f"it begins at {leaf.not_valid_before_utc}; is the clock of this node right?")
    if leaf.not_valid_after_utc.timestamp() <= now:
        raise _unfit(f"it ended at {leaf.not_valid_after_utc}; is the clock of this node right?")


def _names_of(leaf: x509.Certificate) -> set[str]:
    """All of them, also those that `chains` leaves out since no client could ask for them."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return {canonical_name(str(each.value)) or repr(each) for each in found}


def _check_links(certificates: list[x509.Certificate]) -> None:
    for lower, upper in itertools.pairwise(certificates):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise _unfit(f"its chain does not link at {lower.subject.rfc4514_string()}") from error


def _check_loads(pem: bytes) -> None:
    """`ssl` reads files only; this one is in memory and nobody's."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise _unfit(f"OpenSSL does not take it: {error.reason}") from error
    finally:
        os.close(descriptor)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "no name"


def _unfit(text: str) -> AcmeError:
    return AcmeError("badCertificate", f"the certificate cannot be used: {text}", step="verify")
