"""Certificates of the tests' own, clients that trust them, and a reception that has them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.http.message import Request
from edge.node.reception import Reception
from edge.node.secure import Secured
from edge.node.tls import Contexts, listener_context
from edge.node.transport import Answer
from edge.site.certificates import Certificate, Challenges, HttpAnswer, Keyring
from edge.site.places import Places
from tests.support import Node
from tests.support_wire import Server, until

DAY = 86_400


def general_name(name: str) -> x509.GeneralName:
    """A name or an address, as certificates have it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""What a root's key is for: clients from Python 3.13 on want to know."""


class Issuer:
    """A root that signs what it is asked for."""

    def __init__(self, name: str = "Test root") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        built = self._begin(self._name, self._key.public_key(), 3650)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        built = built.add_extension(SIGNS, critical=True)
        self.root = built.sign(self._key, hashes.SHA256()).public_bytes(pem_encoding()).decode()

    def _begin(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: float
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def pem(self, *names: str, days: float = 30) -> str:
        """Key and certificate of some names."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._begin(x509.Name([]), key.public_key(), days)
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
        made = built.add_extension(alternatives, critical=True).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            pem_encoding(), serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return (private + made.public_bytes(pem_encoding())).decode()

    def client(self, *protocols: str) -> ssl.SSLContext:
        """What trusts this root and nothing else."""
        context = ssl.create_default_context(cadata=self.root)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def pem_encoding() -> serialization.Encoding:
    """PEM."""
    return serialization.Encoding.PEM


def fingerprint(connection: ssl.SSLObject | ssl.SSLSocket) -> bytes | None:
    """The certificate that a client was shown."""
    return connection.getpeercert(binary_form=True)


def der_of(pem: str) -> bytes:
    """The certificate in a PEM of key and certificate."""
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(pem[begin:])


class Shelf:
    """The folder `tls` of a state, written as control writes it."""

    def __init__(self, state: Path) -> None:
        self.places = Places(state)
        self.places.tls.mkdir(parents=True, exist_ok=True)
        self.certificates: dict[str, Certificate] = {}

    def put(
        self,
        pem: str,
        *names: str,
        identifier: str = "",
        not_before: int = 0,
        not_after: int = 2**33,
    ) -> str:
        """Write a certificate and have it serve its names; its file."""
        file = f"{identifier or names[0].replace('*', 'any')}.pem"
        (self.places.tls / file).write_text(pem)
        self.certificates[file] = Certificate(
            id=identifier or names[0],
            names=names,
            file=file,
            source="acme",
            issuer="Test root",
            not_before=not_before,
            not_after=not_after,
        )
        self.write()
        return file

    def remove(self, file: str) -> None:
        """Have a certificate serve nothing any more."""
        del self.certificates[file]
        self.write()

    def write(self) -> None:
        """The keyring, the newest certificates first."""
        replace(self.places.keyring, Keyring(tuple(reversed(self.certificates.values()))))

    def ask(self, http: dict[str, HttpAnswer] | None = None, **alpn: str) -> None:
        """Have challenges answered; dashes of hosts are dots."""
        hosts = {host.replace("_", "."): pem for host, pem in alpn.items()}
        replace(self.places.challenges, Challenges(http or {}, hosts))


def replace(path: Path, document: msgspec.Struct) -> None:
    """Write a document beside the old one and put it in its place."""
    written = path.with_suffix(".new")
    written.write_bytes(msgspec.json.encode(document))
    written.replace(path)


def is_secured(node: Node, host: str) -> bool:
    """Whether a host of a node is served with a certificate of the node's own authority."""
    root = node.folder / "var/tls/internal/root.pem"
    try:
        context = ssl.create_default_context(cafile=root)
        with socket.create_connection(("127.0.0.1", node.https_port), timeout=10) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except OSError:
        return False
    return True


class SecureServer(Server):
    """A server behind a reception."""

    contexts: Contexts
    reception: Reception
    listening: socket.socket

    def later(self, seconds: float) -> None:
        """Let time pass for handshakes too."""
        super().later(seconds)
        self.reception.sweep(self.clock.now)


@contextlib.asynccontextmanager
async def receiving(
    shelf: Shelf, respond: Callable[[Request], Answer]
) -> AsyncIterator[SecureServer]:
    """A server with the certificates of a shelf; afterwards all its connections are gone."""
    made = SecureServer(respond)
    made.contexts = Contexts(shelf.places)
    await made.contexts.follow()
    made.reception = Reception(made.service, made.contexts, listener_context())
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Secured(made.reception), "127.0.0.1", 0)
    made.listening = listener.sockets[0]
    made.address = made.listening.getsockname()
    try:
        yield made
    finally:
        listener.close()
        made.reception.close()
        for client in made.clients:
            await client.close()
        for connection in tuple(made.service.connections):
            connection.transport.abort()
        await until(lambda: not made.service.connections and not made.reception.waiting)


async def connect(
    server: Server, context: ssl.SSLContext, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has shaken hands; None is no server name, and trusts the address."""
    host, port = server.address
    return await asyncio.open_connection(host, port, ssl=context, server_hostname=name or host)


async def shown(server: Server, context: ssl.SSLContext, name: str | None) -> bytes | None:
    """The certificate that a visitor of a name is shown."""
    _, writer = await connect(server, context, name)
    certificate = fingerprint(writer.get_extra_info("ssl_object"))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return certificate
