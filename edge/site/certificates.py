"""
Which certificate a name is served with: what control writes, and workers look up.

Here: the two documents that pass from control to the workers, and the look-up. Not here: how a
certificate is got (`control`) and how it is spoken with (`node.tls`). Names are canonical hosts as
in `hosts`: lower case, A-labels, no trailing dot, IPv6 addresses in brackets; `*.example.com`
stands for exactly one label (RFC 9525 §6.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Source = Literal["files", "internal", "acme"]
"""Who issued it: the operator's folder, the node's own authority, a public one."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate that can be served."""

    id: str
    """Tells it from every other version, as a file's name: `<AKI>.<serial>` (RFC 9773 §4.1)."""
    names: tuple[str, ...]
    """What it covers."""
    file: str
    """Key and chain in PEM, relative to the folder `tls` of the state."""
    source: Source
    issuer: str
    """Common or organisation name of who signed it, for people."""
    not_before: int
    """Epoch seconds."""
    not_after: int
    """Epoch seconds."""

    def is_valid(self, epoch: float) -> bool:
        """Whether clients accept its dates at `epoch`."""
        return self.not_before <= epoch < self.not_after


class Keyring(msgspec.Struct, frozen=True):
    """Every certificate of a node; of two that cover a name the first one serves it."""

    certificates: tuple[Certificate, ...] = ()


class HttpAnswer(msgspec.Struct, frozen=True):
    """What is answered under a token. Source: RFC 8555 §8.3."""

    host: str
    """The identifier; no other host answers it."""
    content: str
    """The key authorization."""


class Challenges(msgspec.Struct, frozen=True):
    """Questions of authorities that are answered by the data plane, while they are asked."""

    http: dict[str, HttpAnswer] = msgspec.field(default_factory=dict)
    """By token."""
    alpn: dict[str, str] = msgspec.field(default_factory=dict)
    """Key and certificate in PEM by host name. Source: RFC 8737 §3."""


class Names:
    """The look-up of a keyring: a name's certificate in two steps, however many there are."""

    __slots__ = ("_found",)

    def __init__(self, certificates: Iterable[Certificate] = ()) -> None:
        self._found: dict[str, Certificate] = {}
        for certificate in certificates:
            for name in certificate.names:
                self._found.setdefault(name, certificate)

    def find(self, host: str) -> Certificate | None:
        """The certificate of a canonical host: its own, else a wildcard's."""
        found = self._found.get(host)
        return self._found.get(wildcard_of(host)) if found is None else found

    def all(self) -> Iterable[Certificate]:
        """What serves some name; one that serves several comes as often."""
        return self._found.values()


def wildcard_of(host: str) -> str:
    """The wildcard that covers a host: its first label replaced."""
    return "*." + host.partition(".")[2]


def covers(name: str, host: str) -> bool:
    """Whether a name of a certificate stands for a canonical host."""
    return name in (host, wildcard_of(host))
