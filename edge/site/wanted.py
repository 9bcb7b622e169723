"""
Which certificates a node wants, and which it cannot have: names out of names.

Laws: pure. Every host that a branch answers for is in exactly one of three: covered by the
operator's own certificates, in a `Wanted`, or in a `Refused` with the reason. Nothing is asked of a
public authority that it must refuse (a try is spent on it, and too many of them pause an account).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from edge.site.certificates import Names, wildcard_of
from edge.site.hosts import MAX_HOST, HostClaim, parse_address
from edge.site.settings import Acme, Settings

MAX_LABELS: Final = 10
"""Labels of a name in certificates of public authorities (Boulder's `maxLabels`)."""

Predicate = Callable[[str], bool]
"""Whether a host is a public suffix, such as `co.uk`. Source: publicsuffix.org."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate that a node should have."""

    name: str
    """What it is called by: the first of its names."""
    names: tuple[str, ...]
    source: Literal["internal", "acme"]
    reason: str
    """Who answers at it, for people."""

    @property
    def by_dns(self) -> bool:
        """Whether dns-01 alone can prove it (RFC 8555 §8.4)."""
        return self.name.startswith("*.")


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A host that gets no certificate."""

    name: str
    reason: str
    """A sentence, with what to do where there is anything."""


class Wishes(msgspec.Struct, frozen=True):
    """What came out, each sorted by name."""

    wanted: tuple[Wanted, ...]
    refused: tuple[Refused, ...]


def wishes(
    claims: Iterable[HostClaim], settings: Settings, own: Names, is_public_suffix: Predicate
) -> Wishes:
    """What a node wants for the hosts that it answers for; those of `own` are served already."""
    wanted: dict[str, Wanted] = {}
    refused: dict[str, Refused] = {}
    for claim in claims:
        if own.find(claim.host) is not None:
            continue
        wish = _wish(claim, settings, is_public_suffix)
        reason = _refusal(wish, settings, is_public_suffix)
        if reason:
            refused.setdefault(wish.name, Refused(name=wish.name, reason=reason))
        else:
            wanted.setdefault(wish.name, wish)
    return Wishes(
        tuple(wanted[name] for name in sorted(wanted)),
        tuple(refused[name] for name in sorted(refused)),
    )


def _wish(claim: HostClaim, settings: Settings, is_public_suffix: Predicate) -> Wanted:
    """The certificate that would cover a host: its own, or one that it shares with others."""
    source: Literal["internal", "acme"] = "acme" if is_public(claim.host, settings) else "internal"
    wildcard = wildcard_of(claim.host)
    shares = claim.kind != "domain" and settings.tls.mode != "files"
    shares = shares and (
        settings.tls.acme.dns is not None
        if source == "acme"
        else not _is_too_wide(wildcard, is_public_suffix)
    )
    if not shares:
        reason = f"branch {claim.branch} of {claim.app}"
        return Wanted(name=claim.host, names=(claim.host,), source=source, reason=reason)
    return Wanted(
        name=wildcard, names=(wildcard,), source=source, reason=f"branches of {claim.app}"
    )


def is_public(host: str, settings: Settings) -> bool:
    """Whether a host's certificate is an ACME authority's to give, by the mode and its name."""
    return settings.tls.mode != "internal" and host.rpartition(".")[2] != "localhost"


def _is_too_wide(wildcard: str, is_public_suffix: Predicate) -> bool:
    """Whether browsers refuse a wildcard: it stands for whole domains of others."""
    parent = wildcard[2:]
    return "." not in parent or is_public_suffix(parent)


def _refusal(wish: Wanted, settings: Settings, is_public_suffix: Predicate) -> str:
    """Why a certificate cannot be had; empty where it can."""
    if settings.tls.mode == "files":
        return f"no certificate in {settings.certs} covers it (tls.mode is files)"
    if len(wish.name) > MAX_HOST:
        return f"the name is longer than the {MAX_HOST} characters of a certificate's"
    address = parse_address(wish.name)
    if not address and wish.name.rpartition(".")[2].isdecimal():
        return "it is a name in front of an IP address, which nobody can ask for"
    if wish.source == "internal":
        return ""
    if address:
        return _refusal_of_address(address, settings.tls.acme)
    return _refusal_of_name(wish.name, settings.tls.acme, is_public_suffix)


def _refusal_of_address(address: str, acme: Acme) -> str:
    number = ipaddress.ip_address(address.strip("[]"))
    if is_private_authority(acme) or (number.is_global and not number.is_multicast):
        return ""
    return "it is no address of the public Internet, which authorities do not certify"


def _refusal_of_name(name: str, acme: Acme, is_public_suffix: Predicate) -> str:
    host = name.removeprefix("*.")
    if is_private_authority(acme):
        return ""
    if "." not in name:
        return "it is a single label, which public authorities do not certify"
    if is_public_suffix(host):
        what = "a public suffix" if host == name else "a wildcard of a public suffix"
        return f"it is {what}, under which others have their domains"
    if name.count(".") >= MAX_LABELS:
        return f"it has more than {MAX_LABELS} labels, which public authorities do not certify"
    return ""


def is_private_authority(acme: Acme) -> bool:
    """Whether an authority is the operator's own: it has its own roots, or is on this machine."""
    host = urlsplit(acme.directory).hostname or ""
    return acme.ca_file is not None or host in ("localhost", "127.0.0.1", "::1")
