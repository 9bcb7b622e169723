"""
TLS as a worker speaks it: which certificate a name has, and the contexts made of them.

Laws: nothing is decided here that control decides: `keyring.json` says what serves which name, and
`challenges.json` what authorities ask. A context is built in a thread (1 ms) and kept while it is
used (21 KiB each); a keyring is swapped by one assignment, when what replaces contexts in use is
built. What cannot be loaded leaves serving what was.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import ssl
from collections import OrderedDict
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from edge.errors import MalformedRequest
from edge.node.tasks import spawn
from edge.site.certificates import Certificate, Challenges, Keyring, Names
from edge.site.decoding import decode_json
from edge.site.hosts import parse_authority
from edge.site.places import Places

log = logging.getLogger("edge.tls")

DocumentT = TypeVar("DocumentT")

KEPT: Final = 1_000
"""Contexts in memory; the one that was not used for longest goes."""

PROTOCOLS: Final = ["h2", "http/1.1"]
ACME_TLS: Final = "acme-tls/1"
"""Source: RFC 8737 §6.2."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those with forward secrecy and authenticated encryption (RFC 9325 §4.2)."""


class Handshake(ssl.SSLObject):
    """One end of TLS, with the context that was chosen for it."""

    chosen: ssl.SSLContext


def go_on_with_chosen(handshake: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
    """
    What OpenSSL asks about names: the certificate's context takes over from the listener's.

    The name it passes is that of the session, where one is resumed by TLS 1.2.
    """
    assert isinstance(handshake, Handshake), "see `listener_context`"
    handshake.context = handshake.chosen


def new_context(protocols: list[str]) -> ssl.SSLContext:
    """A context of a server without a certificate: TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(protocols)
    context.num_tickets = 1  # two by default; each costs bytes and a MAC
    return context


def listener_context() -> ssl.SSLContext:
    """
    What all handshakes of a node begin with; made before the fork.

    Its ticket keys are random and cannot be set: only by inheriting them does every worker resume
    the sessions of every other.
    """
    context = new_context(PROTOCOLS)
    context.sslobject_class = Handshake
    context.sni_callback = go_on_with_chosen
    return context


@functools.lru_cache(maxsize=10_000)
def canonical_name(name: bytes) -> str:
    """
    The canonical host of a server name as it was sent; empty for what is none.

    Names are A-labels on the wire (RFC 6066 §3).
    """
    try:
        return parse_authority(name) if name.isascii() and b":" not in name else ""
    except MalformedRequest:
        return ""


class Contexts:
    """Certificates by name, and a context for each that is used."""

    def __init__(self, places: Places) -> None:
        self._tls = places.tls
        self._keyring = Watched(places.keyring, Keyring)
        self._challenges = Watched(places.challenges, Challenges)
        self._built: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        """By file; the one that was used last is the last."""
        self._building: dict[str, asyncio.Task[ssl.SSLContext | None]] = {}
        self._asked: dict[str, ssl.SSLContext] = {}
        """What answers tls-alpn-01, by host."""
        self._useless: set[str] = set()
        """Files that cannot be loaded, until there is another keyring."""
        self._following = asyncio.Lock()
        self.names = Names()
        self.challenges = Challenges()
        self.public: tuple[str, ...] = ()
        """Addresses that the world dials, as hosts, where they are not this machine's."""
        self.version = 0
        """Counts keyrings, for those who remember what one of them said."""

    # What control writes

    async def follow(self) -> None:
        """Serve by what control has written, if that is new."""
        async with self._following:
            keyring = await asyncio.to_thread(self._keyring.read)
            if keyring is not None:
                await self._take(keyring)
            challenges = await asyncio.to_thread(self._challenges.read)
            if challenges is not None:
                self._asked = await asyncio.to_thread(all_asked, challenges.alpn)
                self.challenges = challenges

    async def _take(self, keyring: Keyring) -> None:
        """One assignment, once everything is built that replaces what is in use."""
        self._useless.clear()
        kept = await self._build_replacements(keyring.certificates)
        self.names = Names([*kept, *keyring.certificates])
        self.version += 1
        named = {certificate.file for certificate in (*kept, *keyring.certificates)}
        for file in [file for file in self._built if file not in named]:
            del self._built[file]

    async def _build_replacements(self, new: tuple[Certificate, ...]) -> list[Certificate]:
        """Build what takes over from contexts in use; certificates that have to stay for now."""
        names = Names(new)
        used = {old.file: old for old in self.names.all() if old.file in self._built}
        return [old for old in used.values() if not await self._build_heirs(old, names)]

    async def _build_heirs(self, old: Certificate, names: Names) -> bool:
        """Build what serves the names of `old` from now on; False where that cannot be used."""
        heirs = {heir.file for name in old.names if (heir := names.find(name)) is not None}
        built = [await self._build(file) for file in heirs - self._built.keys()]
        return None not in built

    # Contexts

    def find(self, host: str) -> Certificate | None:
        """What a canonical host is served with."""
        found = self.names.find(host)
        return None if found is None or found.file in self._useless else found

    def find_public(self) -> Certificate | None:
        """What those are served with who send no name and dialed another machine's address."""
        return next(filter(None, map(self.find, self.public)), None)

    def asked(self, host: str) -> ssl.SSLContext | None:
        """What answers an authority that validates `host` by tls-alpn-01."""
        return self._asked.get(host)

    def ready(self, certificate: Certificate) -> ssl.SSLContext | None:
        """The context of a certificate, if it is in memory."""
        context = self._built.get(certificate.file)
        if context is not None:
            self._built.move_to_end(certificate.file)
        return context

    async def load(self, certificate: Certificate) -> ssl.SSLContext | None:
        """The context of a certificate; None where its file cannot be used."""
        file = certificate.file
        building = self._building.get(file)
        if building is None:
            building = self._building[file] = spawn(self._build(file), "context")
            building.add_done_callback(lambda _: self._building.pop(file, None))
        return await asyncio.shield(building)

    async def _build(self, file: str) -> ssl.SSLContext | None:
        try:
            context = await asyncio.to_thread(context_of, self._tls / file)
        except (OSError, ssl.SSLError) as error:
            log.error("certificate %s cannot be used: %s", file, error)
            self._useless.add(file)
            return None
        self._built[file] = context
        if len(self._built) > KEPT:
            self._built.popitem(last=False)
        return context


class Watched(Generic[DocumentT]):
    """A document that another process replaces."""

    def __init__(self, path: Path, kind: type[DocumentT]) -> None:
        self._path = path
        self._kind = kind
        self._seen: tuple[int, int] | None = None
        self._trouble = ""

    def read(self) -> DocumentT | None:
        """What is in it, if it is another one than the last time and can be read."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                seen = status.st_ino, status.st_mtime_ns
                if seen == self._seen:
                    return None
                document = decode_json(file.read(), self._kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            self._tell(f"{self._path} cannot be read, what it said before holds: {error}")
            return None
        self._seen, self._trouble = seen, ""
        return document

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble


def context_of(file: Path) -> ssl.SSLContext:
    """
    A context with the key and the chain of a PEM file.

    Raises:
        OSError: it cannot be read, or (`ssl.SSLError`) its key is not that of its certificate.
    """
    context = new_context(PROTOCOLS)
    context.load_cert_chain(file)
    return context


def all_asked(pems: dict[str, str]) -> dict[str, ssl.SSLContext]:
    """A context for each host; what cannot be used is told, and is nobody else's trouble."""
    found = {}
    for host, pem in pems.items():
        try:
            found[host] = asked(pem)
        except (OSError, ssl.SSLError) as error:
            log.error("the challenge of %s cannot be answered: %s", host, error)
    return found


def asked(pem: str) -> ssl.SSLContext:
    """A context that answers tls-alpn-01 and nothing else; `ssl` reads files, so one in memory."""
    context = new_context([ACME_TLS])
    descriptor = os.memfd_create("challenge")
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
