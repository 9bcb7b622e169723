"""
TLS for an admin listener that others than this machine reach: never in clear text there.

Laws: a name of `admin.hosts` that the node has a certificate for is served with that, everything
else with one of the node's own authority, whose root `edge certs --root` prints. What is new is
taken over between two handshakes. Where no certificate can be had, nothing is listened to.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from edge.control import chains, durable
from edge.control.chains import BadPem
from edge.control.inventory import Inventory
from edge.control.vault import SECRET
from edge.node.clients import parse_address
from edge.node.tls import canonical_name, new_context
from edge.site.certificates import Certificate, Names
from edge.site.hosts import canonical_host
from edge.site.settings import Settings

log = logging.getLogger("edge.admin")

LOOK_EVERY: Final = 60.0
"""Seconds between two looks whether there is another certificate."""

RENEW_BEFORE: Final = 10 * 86_400.0
"""Seconds that the own one is good for, when the next one is made."""


class AdminTls:
    """The certificates of one admin listener. `look` first: it raises where there is none."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._file = inventory.vault.folder / "internal" / "admin.pem"
        self._own: tuple[Certificate, ssl.SSLContext] | None = None
        self._named: dict[str, tuple[Certificate, ssl.SSLContext]] = {}
        """By host of `admin.hosts`."""
        self.context = new_context(["http/1.1"])
        """What handshakes begin with."""
        self.context.sni_callback = self._choose

    def look(self, address: str, settings: Settings, now: float) -> None:
        """
        Take over what is new. `address` is the listener's.

        Raises:
            OSError: there is no certificate, and none can be made.
        """
        hosts = tuple(dict.fromkeys(hosts_of(address, settings)))
        own = self._find_own()
        if own is None or not set(hosts) <= set(own.names) or not self._is_good(own, now):
            own = self._make(hosts, now)
        if self._own is None or self._own[0] != own:
            self._own = own, load(self._file)
        self._named = dict(self._find_named(settings, now))

    def _find_own(self) -> Certificate | None:
        """The own certificate as it is on the disk."""
        if self._own is not None:
            return self._own[0]
        with contextlib.suppress(FileNotFoundError, BadPem):
            chain = chains.parse_chain(self._file.read_bytes())
            return chain.certificate(chain.id, self._file.name, "internal")
        return None

    def _is_good(self, own: Certificate, now: float) -> bool:
        lasts = own.not_after > now + RENEW_BEFORE
        return lasts and self._inventory.authority.signed(own, now)

    def _make(self, hosts: tuple[str, ...], now: float) -> Certificate:
        self._inventory.vault.open()
        pem = self._inventory.authority.issue(hosts, now)
        durable.write(self._file, pem, SECRET)
        log.info("the admin API has a certificate of the node's own authority: %s", hosts)
        chain = chains.parse_chain(pem)
        return chain.certificate(chain.id, self._file.name, "internal")

    def _find_named(
        self, settings: Settings, now: float
    ) -> Iterator[tuple[str, tuple[Certificate, ssl.SSLContext]]]:
        """What names of `admin.hosts` are served with; what cannot be loaded is not."""
        names = Names(self._inventory.vault.keyring().certificates)
        for host in settings.admin.hosts:
            found = names.find(host)
            if found is None or not found.is_valid(now):
                continue
            known = self._named.get(host)
            if known is not None and known[0] == found:
                yield host, known
                continue
            try:
                yield host, (found, load(self._inventory.vault.folder / found.file))
            except (OSError, ssl.SSLError) as error:
                log.warning("%s cannot be used for the admin API: %s", found.file, error)

    def _choose(self, handshake: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """What OpenSSL asks in each handshake, whether a name was sent or not."""
        host = canonical_name((name or "").encode())
        found = self._named.get(host) or self._own
        assert found is not None, "looked before it was listened to"
        handshake.context = found[1]


def load(file: Path) -> ssl.SSLContext:
    """A context with the key and the chain of a file. Raises OSError."""
    context = new_context(["http/1.1"])
    context.load_cert_chain(file)
    return context


def hosts_of(address: str, settings: Settings) -> Iterator[str]:
    """What a listener's certificate has to cover: by what it may be called."""
    yield from ("localhost", "127.0.0.1", "[::1]")
    yield from canonical((address.rpartition(":")[0], socket.gethostname()))
    listened = parse_address(address.rpartition(":")[0].strip("[]"))
    if listened is not None and listened.is_unspecified:
        from edge.control.domains import outgoing  # noqa: PLC0415 - 14 MiB, for who needs it

        yield from canonical(outgoing(version) for version in (4, 6))
        yield from canonical(settings.listen.public)
    yield from settings.admin.hosts


def canonical(hosts: Iterable[str]) -> Iterator[str]:
    """Those that a certificate can have."""
    for host in hosts:
        with contextlib.suppress(ValueError):
            found = canonical_host(host)
            address = parse_address(found.strip("[]"))
            if address is None or not address.is_unspecified:
                yield found
