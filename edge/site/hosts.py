"""
Host names: what a request calls, what an operator wrote, and which branch claims which.

Here: names in and names out. Not here: the table that a request is looked up in (`snapshot`), and
where a name's claim stands in a file (`documents`). Every name leaves in one canonical spelling
(lower case, A-labels, no trailing dot, no port), so that equal hosts are equal strings.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal

import idna
import msgspec

from edge.errors import MalformedRequest

if TYPE_CHECKING:  # documents reads host names with this module
    from edge.site.documents import App

MAX_LABEL: Final = 63
MAX_HOST: Final = 253
"""Octets of a name's text. Source: RFC 1035 §2.3.4, less the length octet and the root."""

MAX_AUTHORITY: Final = 1_024
"""Four octets of UTF-8 for each of a host's characters, and a port."""

LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Source: RFC 1123 §2.1."""

REQUEST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""As `LABEL`, and the underscore that container networks use: nobody's host here, so a 404."""

PORT: Final = re.compile(rb":[0-9]{0,5}")
"""Source: RFC 3986 §3.2.3, where the port may be empty; five digits hold every port."""


class HostClaim(msgspec.Struct, frozen=True, kw_only=True):
    """One host name that one branch of one app answers for."""

    host: str
    """Canonical."""
    app: str
    label: str
    """The branch's label, of a branch not deployed yet the one it would get."""
    branch: str
    kind: Literal["domain", "auto", "default"]
    """An explicit subdomain, an automatic one, or `<label>.<app>.<default_domain>`."""
    key_path: tuple[str, ...] = ()
    """Where in the app's `app.yml` it comes from, for `documents.position_of`."""


def branch_label(name: str) -> str:
    """
    The DNS label of a branch: `feature/Login_2` → `feature-login-2`.

    A name without any letter or digit of ASCII is called after its hash.
    """
    label = slug(name)[:MAX_LABEL].rstrip("-")
    return label or f"branch-{digest(name)}"


def assign_label(name: str, taken: Collection[str]) -> str:
    """The label for a new branch: its own, or with a hash where that is taken or would be cut."""
    label = branch_label(name)
    if label not in taken and len(slug(name)) <= MAX_LABEL:
        return label
    attempt = 0
    while (candidate := hashed_label(label, name, attempt)) in taken:
        attempt += 1
    return candidate


def hashed_label(label: str, name: str, attempt: int) -> str:
    """A label with a hash of the branch's name; another one for each attempt."""
    suffix = "-" + digest(name if attempt == 0 else f"{name} {attempt}")
    return label[: MAX_LABEL - len(suffix)].rstrip("-") + suffix


def slug(name: str) -> str:
    """`name` in lower case with single hyphens for all else, of any length; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def digest(name: str) -> str:
    """Eight hexadecimal digits that stay the same for a name."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]


def branch_matches(pattern: str, name: str) -> bool:
    """Whether a branch pattern covers a name; `*` crosses `/`, and case matters."""
    return fnmatchcase(name, pattern)


def canonical_host(value: str) -> str:
    """
    The one spelling of a host that an operator wrote: a domain name or an IP address.

    Raises:
        ValueError: with the reason, when no client could ever ask for it.
    """
    address = parse_address(value)
    if address:
        return address
    try:
        host = to_ascii(value)
    except UnicodeError as error:
        raise ValueError(f"{value[:80]!r} is not a domain name: {error}") from error
    reason = reason_against(host)
    if reason:
        raise ValueError(f"{value[:80]!r} is not a domain name: {reason}")
    return host


def reason_against(host: str) -> str:
    """Why lower-case ASCII is no domain name; empty when it is one."""
    if len(host) > MAX_HOST:
        return f"it is longer than {MAX_HOST} characters"
    labels = host.split(".")
    for label in labels:
        if not LABEL.fullmatch(label):
            return f"the label {label[:64]!r} is not 1 to 63 letters, digits and inner hyphens"
    if labels[-1].isdecimal():
        return "its last label is a number"
    return ""


def parse_address(value: str) -> str:
    """An IPv4 address, or an IPv6 address in brackets (without, from operators); else empty."""
    bracketed = value.startswith("[") and value.endswith("]")
    if "%" in value:  # a zone has a meaning on one machine only
        return ""
    try:
        address = ipaddress.ip_address(value[1:-1] if bracketed else value)
    except ValueError:
        return ""
    if address.version == 6:
        return f"[{address.compressed}]"
    return "" if bracketed else str(address)


def is_loopback(host: str) -> bool:
    """Whether a host, an IPv6 address in brackets or not, is this machine and no other's."""
    address = parse_address(host).strip("[]")
    return host == "localhost" or (bool(address) and ipaddress.ip_address(address).is_loopback)


def to_ascii(value: str) -> str:
    """
    Lower case, A-labels, without one trailing dot. ASCII is not judged, U-labels are.

    Raises:
        UnicodeError: no A-labels exist for it.

    Source: UTS 46 §4 (non-transitional), RFC 5891 §5.
    """
    if value.isascii():
        return value.lower().removesuffix(".")
    if len(value) > MAX_HOST:
        raise UnicodeError(f"it is longer than {MAX_HOST} characters")
    return idna.encode(value, uts46=True).decode("ascii").lower().removesuffix(".")


def parse_authority(raw: bytes) -> str:
    """
    The canonical host, without port, that a request's Host or `:authority` names.

    Refused is whatever two readers could read as two hosts: userinfo, lists, blanks, escapes.

    Raises:
        MalformedRequest: not exactly one host with at most one port.

    Source: RFC 9110 §7.2, RFC 3986 §3.2.2.
    """
    if not 0 < len(raw) <= MAX_AUTHORITY:
        raise MalformedRequest("the authority is empty or too long")
    if raw.startswith(b"["):
        return parse_literal(raw)
    name, colon, port = raw.partition(b":")
    check_port(colon + port)
    try:
        host = to_ascii(name.decode())
    except UnicodeError as error:
        raise MalformedRequest("the authority is not a host name") from error
    labels_valid = all(REQUEST_LABEL.fullmatch(label) for label in host.split("."))
    if len(host) > MAX_HOST or not labels_valid:
        raise MalformedRequest("the authority is not a host name")
    return host


def parse_literal(raw: bytes) -> str:
    """An IPv6 address in brackets, compressed, perhaps followed by a port."""
    literal, bracket, port = raw.partition(b"]")
    check_port(port)
    host = parse_address((literal + bracket).decode("latin-1"))
    if not host:
        raise MalformedRequest("the authority is not an IPv6 address in brackets")
    return host


def check_port(tail: bytes) -> None:
    """Refuses what follows a host, unless it is nothing or `:port`."""
    if tail and not (PORT.fullmatch(tail) and int(tail[1:] or b"0") <= 65_535):
        raise MalformedRequest("the authority's port is not a number up to 65535")


def app_hosts(
    app_name: str, app: App, branches: Mapping[str, str], default_domain: str
) -> list[HostClaim]:
    """
    Every host that an app claims; `branches` maps the label of each deployed branch to its name.

    An explicit subdomain beats an automatic one, and both beat the default. Two explicit ones that
    come out equal are both returned, for `find_conflicts` to judge.
    """
    explicit = list(explicit_claims(app_name, app, branches))
    claimed = {claim.host for claim in explicit}
    implicit: dict[str, HostClaim] = {}
    for claim in implicit_claims(app_name, app, branches, default_domain):
        if claim.host not in claimed and len(claim.host) <= MAX_HOST:
            implicit.setdefault(claim.host, claim)
    return explicit + list(implicit.values())


def explicit_claims(app_name: str, app: App, branches: Mapping[str, str]) -> Iterator[HostClaim]:
    """The claims of `domains.*.subdomains`; a branch may still be without a deployment."""
    labels = {name: label for label, name in branches.items()}
    for domain, entry in app.domains.items():
        for subdomain, name in entry.subdomains.items():
            yield HostClaim(
                host=f"{subdomain}.{domain}".removeprefix("."),
                app=app_name,
                label=labels.get(name) or assign_label(name, branches),
                branch=name,
                kind="domain",
                key_path=("domains", domain, "subdomains", subdomain),
            )


def implicit_claims(
    app_name: str, app: App, branches: Mapping[str, str], default_domain: str
) -> Iterator[HostClaim]:
    """The claims of `auto_subdomains` and of the default domain, for deployed branches."""
    for domain, entry in app.domains.items():
        path = ("domains", domain, "auto_subdomains")
        for label, name in branches.items():
            if any(branch_matches(pattern, name) for pattern in entry.auto_subdomains):
                host = f"{label}.{domain}"
                yield HostClaim(
                    host=host, app=app_name, label=label, branch=name, kind="auto", key_path=path
                )
    for label, name in branches.items():
        host = f"{label}.{app_name}.{default_domain}"
        yield HostClaim(host=host, app=app_name, label=label, branch=name, kind="default")


def find_conflicts(claims: Iterable[HostClaim]) -> list[tuple[HostClaim, HostClaim]]:
    """Pairs of claims of one host for different branches: the first one, and each that differs."""
    first: dict[str, HostClaim] = {}
    conflicts = []
    for claim in claims:
        holder = first.setdefault(claim.host, claim)
        if (holder.app, holder.label) != (claim.app, claim.label):
            conflicts.append((holder, claim))
    return conflicts
