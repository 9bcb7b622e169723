"""
How a node shows an authority that names are its own, and looks first whether it could.

Laws: the data plane answers http-01 and tls-alpn-01, name servers dns-01; which of them are used is
the operator's word. A wildcard is dns-01's alone (RFC 8555 §8.4), an address never (RFC 8738 §7).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge.control import preflight
from edge.control.acme_errors import AcmeError
from edge.control.answers import Answers
from edge.control.authorities import Authorities
from edge.control.dns_records import DnsRecords
from edge.control.domains import find_public
from edge.control.preflight import PORTS, Probe, Situation
from edge.control.resolver import Resolver
from edge.errors import StoreError
from edge.site.hosts import parse_address
from edge.site.renewal import Finding
from edge.site.settings import Acme, Settings
from edge.site.wanted import Wanted

if TYPE_CHECKING:
    from edge.control.issuance import Answerer


class Proofs:
    """What a try of one node needs. See `obtaining.Means`."""

    def __init__(
        self,
        answers: Answers,
        authorities: Authorities,
        resolver: Resolver,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        """`ports` is where authorities look, by challenge; a test's authority has others."""
        self._answers = answers
        self._authorities = authorities
        self._resolver = resolver
        self._ports = dict(ports or PORTS)
        self._settings = Settings()
        self._root = Path()

    def configure(self, settings: Settings, root: Path) -> None:
        """Use these from now on; `root` is the folder that relative paths start from."""
        self._settings, self._root = settings, root

    def answerers(self, acme: Acme, wish: Wanted) -> dict[str, Answerer]:
        """By type of challenge, in the order that they are tried in."""
        found: dict[str, Answerer] = {}
        for kind in challenges_for(acme, wish):
            if kind == "http-01":
                found[kind] = self._answers.http
            elif kind == "tls-alpn-01":
                found[kind] = self._answers.alpn
            elif acme.dns is not None:
                found[kind] = DnsRecords(acme.dns, self._root, self._resolver)
        return found

    async def findings(self, acme: Acme, wish: Wanted) -> tuple[Finding, ...]:
        """What is found in the way of a try; that the authority itself is, its order will say."""
        probes = await self._probes(acme, wish)
        try:
            situation = await self._situation(acme, wish, probes)
            found = await preflight.preflight(wish.names, situation, self._resolver)
        finally:
            for probe in probes.values():
                await self._answers.take_back(probe.token)
        return tuple(map(_finding, found))

    async def _probes(self, acme: Acme, wish: Wanted) -> dict[str, Probe]:
        if "http-01" not in challenges_for(acme, wish):
            return {}
        probes = {name: self._answers.probe(name) for name in wish.names}
        try:
            await self._answers.show()
        except StoreError:
            for probe in probes.values():
                self._answers.forget(probe.token)
            raise
        return probes

    async def _situation(self, acme: Acme, wish: Wanted, probes: dict[str, Probe]) -> Situation:
        client = self._authorities.client(acme)
        identities: tuple[str, ...] = ()
        account = clock = None
        try:
            clock = await client.clock()
            identities = (await client.directory()).meta.caa_identities or ()
            account = await client.account()
        except AcmeError:
            pass  # the order will say it, and is counted
        listen = self._settings.listen
        return Situation(
            challenges=tuple(challenges_for(acme, wish)),
            listening=(*listen.http, *listen.https),
            public=find_public(listen).addresses,
            identities=identities,
            account=account,
            now=time.time(),
            authority_date=clock,
            probes=probes,
            ports=self._ports,
        )


def _finding(found: preflight.Finding) -> Finding:
    """
    As records have it.

    A port that nobody here listens on is often mapped to one of ours (containers, routers), which
    cannot be seen from inside: it keeps nobody from trying.
    """
    is_guess = found.about == "ports" and found.level == "stop"
    return Finding("warning" if is_guess else found.level, found.about, found.text, found.hint)


def challenges_for(acme: Acme, wish: Wanted) -> list[str]:
    """Types of challenges that can show a name, in the operator's order."""
    if wish.by_dns:
        return ["dns-01"] if acme.dns is not None else []
    is_address = bool(parse_address(wish.name))
    return [kind for kind in acme.challenges if not (is_address and kind == "dns-01")]
