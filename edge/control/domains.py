"""
What `edge domains` tells: for each hostname the DNS records it needs, and what resolves now.

Laws: only the DNS is asked, and nobody else where this node is reached: its addresses are the
operator's word, or those that the machine itself has. What is not known is said to be so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edge.control.claims import ORDER
from edge.control.resolver import WORDS, Addresses, Resolver, Target
from edge.node.addresses import judge
from edge.node.clients import parse_address
from edge.site.certificates import wildcard_of
from edge.site.hosts import MAX_HOST, HostClaim, digest
from edge.site.hosts import parse_address as parse_host_address
from edge.site.settings import Listen, Settings

QUESTIONS: Final = 64
"""Hostnames that are asked about at a time."""

NOWHERE: Final = {4: ("192.0.2.1", 9), 6: ("2001:db8::1", 9)}
"""Addresses for documentation: the way there is the default route, and nothing is sent."""

PRIVATE_TOP: Final = frozenset(
    ["localhost", "local", "internal", "test", "invalid", "example", "onion", "alt", "lan", "home"]
)
"""Last labels that the world's DNS does not have. Source: RFC 6761 and the registry it began."""

UNKNOWN: Final = (
    "where the world reaches this node is not known: it listens on no global address of this "
    "machine; write listen.public into edge.yml"
)


class Public(msgspec.Struct, frozen=True):
    """Where the world reaches this node."""

    addresses: tuple[str, ...]
    note: str = ""
    """Why there are none, and what to do."""


class Record(msgspec.Struct, frozen=True):
    """A DNS record to set."""

    name: str
    type: str
    value: str | None
    """None is an address of this node that is not known."""
    is_needed: bool = True
    """Whether nothing works without it."""


class Hostname(msgspec.Struct, frozen=True, kw_only=True):
    """One hostname, what it needs and how it is."""

    host: str
    app: str
    branch: str
    kind: str
    records: tuple[Record, ...] = ()
    resolves: tuple[str, ...] = ()
    """Its addresses now."""
    chain: tuple[str, ...] = ()
    """The names that CNAMEs lead over."""
    here: bool | None = None
    """Whether all of them are this node's; None where its own are not known, or there are none."""
    problems: tuple[str, ...] = ()
    certificate: str | None = None
    """Its state in a few words."""
    missing: bool = False


async def describe(
    claims: Iterable[HostClaim],
    settings: Settings,
    resolver: Resolver,
    certificates: Mapping[str, str] | None = None,
    public: Public | None = None,
) -> dict[str, Any]:
    """
    The document: `{public, note, hosts, missing}`.

    `certificates` has a few words by name, wildcards among them; `public` is for who knows better
    than `find_public`.
    """
    found = find_public(settings.listen) if public is None else public
    survey = Survey(settings, resolver, certificates or {}, found)
    ordered = sorted(claims, key=lambda each: (each.app, ORDER[each.kind], each.host))
    hosts = await asyncio.gather(*map(survey.look_at, ordered))
    return {
        "public": list(found.addresses),
        "note": found.note,
        "hosts": msgspec.json.decode(msgspec.json.encode(hosts)),  # lists, as over the API
        "missing": any(each.missing for each in hosts),
    }


class Survey:
    """Looks at one hostname after the other."""

    def __init__(
        self,
        settings: Settings,
        resolver: Resolver,
        certificates: Mapping[str, str],
        public: Public,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._certificates = certificates
        self._public = public
        self._turns = asyncio.Semaphore(QUESTIONS)

    async def look_at(self, claim: HostClaim) -> Hostname:
        """Everything about one claim."""
        host = claim.host
        certificate = self._certificates.get(host) or self._certificates.get(wildcard_of(host))
        known = Hostname(
            host=host, app=claim.app, branch=claim.branch, kind=claim.kind, certificate=certificate
        )
        if needs_nothing(host):
            return msgspec.structs.replace(known, here=True)
        proof = proof_of(claim, self._settings)
        async with self._turns:
            now, target = await asyncio.gather(self._resolver.addresses(host), self._proven(proof))
        lacks = self._lacks_addresses(now), proof_problem(proof, target, self._settings)
        records = (*address_records(claim, self._settings, self._public), *filter(None, [proof]))
        return msgspec.structs.replace(
            known,
            records=records,
            resolves=now.addresses,
            chain=now.chain,
            here=self._is_here(now),
            problems=tuple(filter(None, lacks)),
            missing=bool(lacks[0] or (lacks[1] and proof and proof.is_needed)),
        )

    async def _proven(self, proof: Record | None) -> Target | None:
        return None if proof is None else await self._resolver.target(proof.name)

    def _is_here(self, now: Addresses) -> bool | None:
        if not self._public.addresses or not now.addresses:
            return None
        return set(now.addresses) <= set(self._public.addresses)

    def _lacks_addresses(self, now: Addresses) -> str:
        """What is wrong with where a name leads; empty where nothing is."""
        if now.absence is not None:
            end = f"{now.chain[-1]}: " if now.chain else ""
            return end + WORDS[now.absence]
        if self._is_here(now) is not False:
            return ""
        strangers = [each for each in now.addresses if each not in self._public.addresses]
        return f"leads to {', '.join(strangers)}, not to this node"


def address_records(claim: HostClaim, settings: Settings, public: Public) -> list[Record]:
    """
    What makes a hostname lead here.

    Names of the default domain share one wildcard, which stands for any number of labels (RFC 4592
    §2.2.1), as automatic ones do; a domain itself can have no CNAME (RFC 1034 §3.6.2).
    """
    name, default = claim.host, settings.default_domain
    if claim.kind == "default":
        name = f"*.{default}"
    elif claim.kind == "auto":
        name = wildcard_of(claim.host)
    elif not is_apex(claim) and is_global(default):
        return [Record(name, "CNAME", f"{claim.label}.{claim.app}.{default}")]
    if not public.addresses:
        return [Record(name, "A", None)]
    return [Record(name, "AAAA" if ":" in each else "A", each) for each in public.addresses]


def proof_of(claim: HostClaim, settings: Settings) -> Record | None:
    """
    The CNAME that lets this node answer dns-01 for a name outside the zone it may write to.

    None where that zone is not named in the settings: then the server or the program that sets
    records knows which ones it can.
    """
    acme = settings.tls.acme
    zone = acme.dns.zone if acme.dns is not None else None
    uses_dns = settings.tls.mode == "acme" and "dns-01" in acme.challenges
    if zone is None or not uses_dns or not settings.listen.https:
        return None
    is_wild = claim.kind != "domain"
    base = claim.host.partition(".")[2] if is_wild else claim.host
    if is_inside(base, zone):
        return None
    is_needed = set(acme.challenges) == {"dns-01"}
    if not is_wild and not is_needed:
        return None  # another challenge shows it
    value = f"{base}.{zone}"
    if len(value) > MAX_HOST:
        value = f"{digest(base)}.{zone}"
    return Record(f"_acme-challenge.{base}", "CNAME", value, is_needed)


def proof_problem(proof: Record | None, target: Target | None, settings: Settings) -> str:
    """What is wrong with where a challenge's record leads; empty where nothing is."""
    dns = settings.tls.acme.dns
    if proof is None or target is None or dns is None or dns.zone is None:
        return ""
    if is_inside(target.name, dns.zone):
        return ""
    if target.absence is not None:
        return f"{proof.name}: {WORDS[target.absence]}"
    return f"{proof.name} does not lead into {dns.zone}"


def find_public(listen: Listen) -> Public:
    """The operator's word; else the global addresses that are listened on. Nothing is sent."""
    if listen.public:
        return Public(listen.public)
    found: dict[str, None] = {}
    for each in (*listen.http, *listen.https):
        host = parse_address(each.rpartition(":")[0].strip("[]"))
        if host is None:
            continue
        own = outgoing(host.version) if host.is_unspecified else str(host)
        address = parse_address(own)
        if address is not None and judge(address).reach == "public":
            found[str(address)] = None
    return Public(tuple(found), "" if found else UNKNOWN)


def outgoing(version: int) -> str:
    """The address that this machine goes out to the world with; empty where it has no way."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(NOWHERE[version])
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def needs_nothing(host: str) -> bool:
    """Whether no record can or need be set: names of this machine, and addresses."""
    return host == "localhost" or host.endswith(".localhost") or bool(parse_host_address(host))


def is_apex(claim: HostClaim) -> bool:
    """Whether it is a domain itself, as its owner wrote it."""
    return len(claim.key_path) > 1 and claim.key_path[1] == claim.host


def is_global(domain: str) -> bool:
    """Whether the world's DNS can have it."""
    return "." in domain and domain.rpartition(".")[2] not in PRIVATE_TOP


def is_inside(name: str, zone: str) -> bool:
    """Whether a name is a zone's, or the zone."""
    return name == zone or name.endswith(f".{zone}")
