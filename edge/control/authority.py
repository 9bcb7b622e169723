"""
The node's own certificate authority: for names that no public one certifies.

Laws: the root is made once, and what it signs names it by key identifier, as
`VERIFY_X509_STRICT` wants. The key is written before the root: who dies in between leaves a key
that was never trusted, and the next one begins anew. Whoever has the key can be any host to those
who trust the root: it is 0600, and the root signs no further authorities.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.control import chains, durable
from edge.control.vault import SECRET
from edge.site.certificates import Certificate
from edge.site.places import Places

log = logging.getLogger("edge.authority")

ROOT_LIFE: Final = dt.timedelta(days=3652)
LEAF_LIFE: Final = dt.timedelta(days=30)
"""Short: nobody can be asked whether one was revoked."""

SKEW: Final = dt.timedelta(hours=1)
"""How late clients' clocks may be."""

MAX_NAME: Final = 64
"""Characters of a common name. Source: RFC 5280 appendix A.1, ub-common-name."""


class Authority:
    """The own authority of one state folder."""

    def __init__(self, places: Places, host: str) -> None:
        """`host` is the machine's name, for people who look at what they trust."""
        self._folder = places.tls / "internal"
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", host)
        self._made: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None

    def root_pem(self, now: float) -> bytes:
        """The root, for those who are to trust it; it is made if there is none yet."""
        return chains.encode_certificates([self._open(_time(now))[1]])

    def known_root(self) -> str | None:
        """The root in PEM, if there is one."""
        known = self._made or self._read()
        return None if known is None else chains.encode_certificates([known[1]]).decode()

    def issue(self, names: tuple[str, ...], now: float) -> bytes:
        """
        A new key and its certificate for canonical hosts, wildcards and IP addresses, as PEM.

        Raises:
            OSError: there is no root yet, and none can be written.
        """
        key, root = self._open(_time(now))
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        leaf = _build_leaf(leaf_key.public_key(), names, root, _time(now)).sign(
            key, hashes.SHA256()
        )
        return chains.encode_key(leaf_key) + chains.encode_certificates([leaf])

    def signed(self, certificate: Certificate, now: float) -> bool:
        """Whether a certificate is of the root that there is now. Raises OSError."""
        root = self._open(_time(now))[1]
        return certificate.id.partition(".")[0] == chains.key_identifier(root)

    def _open(self, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """The key and the root, as they are on the disk; made where they cannot be used."""
        made = self._made or self._read()
        if made is None or made[1].not_valid_after_utc < now + LEAF_LIFE:
            made = self._make(now)
        self._made = made
        return made

    def _read(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
        try:
            data = (self._folder / "root.pem").read_bytes()
            root = x509.load_pem_x509_certificate(data)
            key = serialization.load_pem_private_key((self._folder / "root.key").read_bytes(), None)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.error("the own authority cannot be read and is made anew: %s", error)
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or chains.public_bytes(
            key.public_key()
        ) != chains.public_bytes(root.public_key()):
            log.error("the own authority's key is not its root's: both are made anew")
            return None
        return key, root

    def _make(self, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """A new root. The one before, if there was one, is trusted by nobody who gets this."""
        key = ec.generate_private_key(ec.SECP256R1())
        root = _build_root(key.public_key(), self._host, now).sign(key, hashes.SHA256())
        durable.make_folder(self._folder)
        self._write("root.key", chains.encode_key(key))
        self._write("root.pem", chains.encode_certificates([root]))
        log.info("made the node's own authority; trust %s", self._folder / "root.pem")
        return key, root

    def _write(self, name: str, data: bytes) -> None:
        durable.write(self._folder / name, data, SECRET)


def _time(epoch: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch, dt.UTC).replace(microsecond=0)


def _build_root(
    key: ec.EllipticCurvePublicKey, host: str, now: dt.datetime
) -> x509.CertificateBuilder:
    """Source: RFC 5280 §4.2; every extension that a strict verifier asks a root for."""
    common = x509.NameAttribute(NameOID.COMMON_NAME, f"Edge local authority {host}"[:MAX_NAME])
    name = x509.Name([common])
    return (
        _build(key, name, name, now, ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )


def _build_leaf(
    key: ec.EllipticCurvePublicKey,
    names: tuple[str, ...],
    root: x509.Certificate,
    now: dt.datetime,
) -> x509.CertificateBuilder:
    """As public authorities make them: no subject, all names in a critical subjectAltName."""
    issuer = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    alternatives = x509.SubjectAlternativeName([chains.general_name(name) for name in names])
    return (
        _build(key, x509.Name([]), root.subject, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
        )
    )


def _build(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    now: dt.datetime,
    life: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
