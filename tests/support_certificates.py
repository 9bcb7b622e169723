"""Keys and certificates for tests, made with `cryptography` alone."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.control.chains import general_name

NOW = 1_800_000_000.0
DAY = 86_400.0
OWN = object()
"""The signer's own key identifier."""


def key_pem(key, password=None) -> bytes:
    """A key as PEM in PKCS #8."""
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def cert_pem(*certificates) -> bytes:
    """Certificates as PEM."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


@functools.cache
def new_key(_number: int = 0):
    """A P-256 key; the same number has the same one."""
    return ec.generate_private_key(ec.SECP256R1())


def name_of(text):
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


class Signer:
    """A root, or below `parent` an intermediate authority."""

    def __init__(self, name="Test Root", parent=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name
        signer = parent or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name_of(name))
            .issuer_name(name_of(signer.name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(when(NOW - 3650 * DAY))
            .not_valid_after(when(NOW + 3650 * DAY))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .sign(signer.key, hashes.SHA256())
        )

    def sign(
        self, *names, key=None, start=NOW - DAY, end=NOW + 89 * DAY, identifier=OWN, serial=None
    ):
        """A leaf for some hosts."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(name_of(self.name))
            .public_key((key or new_key()).public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(when(start))
            .not_valid_after(when(end))
        )
        if names:
            alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=True)
        if identifier is OWN:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        if identifier is not None:
            builder = builder.add_extension(identifier, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *names, key=None, **more) -> bytes:
        """Key and leaf as PEM."""
        key = key or new_key()
        return key_pem(key) + cert_pem(self.sign(*names, key=key, **more))


def when(epoch):
    """An instant as `cryptography` takes it."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC)


@functools.cache
def signer() -> Signer:
    """One authority for all who do not care which."""
    return Signer()


def write_own(folder: Path, name: str, pem: bytes) -> Path:
    """A file of the operator's."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.pem"
    path.write_bytes(pem)
    path.chmod(0o600)
    return path
