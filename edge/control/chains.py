"""
What a PEM of a key and its certificates says, and whether the two belong together.

Laws: facts only, from the bytes alone; nothing here asks a disk, a clock or an authority. A key is
never part of an error. Names leave as canonical hosts (`site.hosts`), a wildcard as `*.` and one.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtensionOID, NameOID

from edge.errors import StoreError
from edge.site.certificates import Certificate, Source
from edge.site.hosts import canonical_host

BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s.*?-----END \1-----", re.DOTALL | re.ASCII
)
"""Source: RFC 7468 §3; text between blocks is for people."""

MAX_PEM: Final = 256 * 1024
"""Bytes of a key and a chain; real ones have 4 to 16 KiB."""

MAX_CERTIFICATES: Final = 20
MAX_ID: Final = 120
"""Characters of an identifier; it is a file's name."""


class BadPem(StoreError):
    """A key and a chain that cannot be served, with what to do."""

    def __init__(self, problem: str, hint: str, offset: int = 0) -> None:
        super().__init__(f"{problem} ({hint})")
        self.problem = problem
        self.hint = hint
        self.offset = offset
        """The byte of the PEM that it is about."""


class Chain:
    """A private key and its certificate, followed by who signed it."""

    def __init__(
        self, key: PrivateKeyTypes, certificates: list[x509.Certificate], unrelated: int = 0
    ) -> None:
        self.key = key
        self.leaf, *self.issuers = certificates
        self.unrelated = unrelated
        """Certificates of the PEM that have no part in it."""
        self.names = names_of(self.leaf)
        self.id = identify(self.leaf)
        self.issuer = issuer_of(self.leaf)
        self.not_before = int(self.leaf.not_valid_before_utc.timestamp())
        self.not_after = int(self.leaf.not_valid_after_utc.timestamp())

    def encode(self) -> bytes:
        """As PEM: the key in PKCS #8, the certificate, its issuers in order."""
        return encode_key(self.key) + encode_certificates([self.leaf, *self.issuers])

    def certificate(self, identifier: str, file: str, source: Source) -> Certificate:
        """As the keyring has it."""
        return Certificate(
            id=identifier,
            names=self.names,
            file=file,
            source=source,
            issuer=self.issuer,
            not_before=self.not_before,
            not_after=self.not_after,
        )


def parse_chain(pem: bytes) -> Chain:
    """
    The key and the chain of a PEM, in whichever order they stand.

    Raises:
        BadPem: no key, no certificate, an encrypted key, a key of no certificate, no names.
    """
    if len(pem) > MAX_PEM:
        raise BadPem("it is too large for a key and its chain", "leave out what is not of it")
    keys, certificates = read_blocks(pem)
    if not keys:
        raise BadPem("there is no private key in it", "put key and chain into the one file")
    if len(keys) > 1:
        raise BadPem("there are several private keys in it", "leave the certificate's own")
    if not certificates:
        raise BadPem("there is no certificate in it", "put key and chain into the one file")
    public = public_bytes(keys[0].public_key())
    leaf = next((each for each in certificates if public_bytes(each.public_key()) == public), None)
    if leaf is None:
        raise BadPem(
            "the key belongs to none of its certificates",
            "put in the key that the certificate was requested with",
        )
    ordered = order(leaf, certificates)
    chain = Chain(keys[0], ordered, len(set(certificates)) - len(ordered))
    if not chain.names:
        raise BadPem("the certificate names no host", "request one with subjectAltName")
    return chain


def read_blocks(pem: bytes) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    """The keys and the certificates of a PEM; parameters of curves and the like are passed over."""
    keys, certificates = [], []
    for block in BLOCK.finditer(pem):
        label = block[1]
        if label.endswith(b"PRIVATE KEY"):
            keys.append(_read_key(block))
        elif label in (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"):
            certificates.append(_read_certificate(block))
    if len(certificates) > MAX_CERTIFICATES:
        raise BadPem("there are too many certificates in it", "leave those of the chain")
    return keys, certificates


def _read_key(block: re.Match[bytes]) -> PrivateKeyTypes:
    if block[1].startswith(b"ENCRYPTED") or b"Proc-Type: 4,ENCRYPTED" in block[0]:
        hint = "decrypt it: openssl pkey -in FILE; the folder's permissions protect it"
        raise BadPem("the private key is encrypted", hint, block.start())
    try:
        key = serialization.load_pem_private_key(block[0], None)
    except (ValueError, TypeError) as error:
        hint = "is the file cut off? copy it anew"
        raise BadPem("the private key cannot be read", hint, block.start()) from error
    except Exception as error:  # UnsupportedAlgorithm, and what OpenSSL makes up
        raise BadPem("the private key is of no known kind", KINDS, block.start()) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadPem("no browser speaks with a key of this kind", KINDS, block.start())
    return key


KINDS: Final = "use ECDSA P-256 or RSA of 2048 bits"


def _read_certificate(block: re.Match[bytes]) -> x509.Certificate:
    pem = block[0].replace(b"X509 CERTIFICATE", b"CERTIFICATE")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()
        certificate.extensions  # noqa: B018 - parsed when it is asked for
    except Exception as error:  # ValueError, UnsupportedAlgorithm, DuplicateExtension…
        hint = "is the file cut off? copy it anew"
        raise BadPem("a certificate in it cannot be read", hint, block.start()) from error
    return certificate


def order(leaf: x509.Certificate, among: list[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf and, each followed by its issuer, those that signed it."""
    chain = [leaf]
    while True:
        last = chain[-1]
        issuer = next((each for each in among if each not in chain and _signed(each, last)), None)
        if issuer is None:
            return chain
        chain.append(issuer)


def _signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - InvalidSignature, or an algorithm that is none of ours
        return False
    return True


def names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """Hosts of the subjectAltName, in its order, without those that no client could ask for."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = dict.fromkeys(canonical_name(name) for name in found.get_values_for_type(x509.DNSName))
    for address in found.get_values_for_type(x509.IPAddress):
        names[canonical_host(str(address))] = None
    return tuple(name for name in names if name)


def canonical_name(name: str) -> str:
    """A host or `*.` and a host, canonical; empty where it is neither."""
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        host = canonical_host(rest)
    except ValueError:
        return ""
    return "" if star and host[-1:] in "]0123456789" else star + host


def general_name(name: str) -> x509.GeneralName:
    """A canonical host as a subjectAltName has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def identify(leaf: x509.Certificate) -> str:
    """
    `<AKI>.<serial>`, both in base64url; the sha256 of its DER where it has no such.

    Source: RFC 9773 §4.1; the serial as DER has it, with a zero in front where its first bit is 1.
    """
    try:
        extension = leaf.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
        value = extension.value
        assert isinstance(value, x509.AuthorityKeyIdentifier), "as its OID says"
        key = value.key_identifier
    except x509.ExtensionNotFound:
        key = None
    serial = leaf.serial_number
    if key is not None and serial >= 0:
        number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
        identifier = f"{_base64url(key)}.{_base64url(number)}"
        if len(identifier) <= MAX_ID:
            return identifier
    return hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest()


def key_identifier(certificate: x509.Certificate) -> str:
    """How identifiers of what it signed begin: its subject key identifier in base64url."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return _base64url(found.digest)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def issuer_of(leaf: x509.Certificate) -> str:
    """Common or organisation name of who signed it; empty where it has neither."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in leaf.issuer.get_attributes_for_oid(kind):
            return str(attribute.value)
    return ""


def public_bytes(key: object) -> bytes:
    """A public key as DER; two that are equal have the same."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    data: bytes = key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]
    return data


def encode_key(key: PrivateKeyTypes) -> bytes:
    """A private key as PEM in PKCS #8, in clear."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def encode_certificates(certificates: list[x509.Certificate]) -> bytes:
    """Certificates as PEM, one behind the other."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
