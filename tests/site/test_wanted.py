"""Which certificates a node wants."""

from __future__ import annotations

import pytest

from edge.site.certificates import Certificate, Names
from edge.site.hosts import HostClaim
from edge.site.settings import Acme, Dns, Settings, Tls
from edge.site.wanted import Refused, Wanted, Wishes, is_private_authority, wishes

ACME = Settings(default_domain="edge.example.com")
BY_DNS = Settings(
    default_domain="edge.example.com", tls=Tls(acme=Acme(dns=Dns(command=("set-txt",))))
)
INTERNAL = Settings(tls=Tls(mode="internal"))
FILES = Settings(tls=Tls(mode="files"))
OWN_CA = Settings(tls=Tls(acme=Acme(directory="https://ca.corp/dir", ca_file="ca.pem")))


def claim(host: str, kind: str = "domain", label: str = "main") -> HostClaim:
    """A host of the app `shop`."""
    return HostClaim(host=host, app="shop", label=label, branch=label, kind=kind)


def is_public_suffix(host: str) -> bool:
    """A short list."""
    return host in ("com", "uk", "co.uk")


def want(settings: Settings, *claims: HostClaim, own: tuple[str, ...] = ()) -> Wishes:
    """What comes out."""
    mine = Certificate(
        id="own", names=own, file="", source="files", issuer="", not_before=0, not_after=1
    )
    return wishes(claims, settings, Names([mine]), is_public_suffix)


def named(found: Wishes) -> list[tuple[str, str]]:
    """Names and sources of what is wanted, where nothing is refused."""
    assert found.refused == ()
    return [(wish.name, wish.source) for wish in found.wanted]


DEFAULTS = [
    claim("main.shop.edge.example.com", "default"),
    claim("pr-7.shop.edge.example.com", "default", "pr-7"),
]
AUTO = [claim("main.example.com", "auto"), claim("pr-7.example.com", "auto", "pr-7")]
LOCAL = [
    claim("main.shop.edge.localhost", "default"),
    claim("pr-7.shop.edge.localhost", "default", "pr-7"),
]


@pytest.mark.parametrize("claims", [DEFAULTS, AUTO], ids=["default", "auto"])
def test_branches_share_a_wildcard_where_dns_can_prove_it(claims: list[HostClaim]) -> None:
    """Else each has its own."""
    wildcard = "*" + claims[0].host.removeprefix("main")

    assert named(want(BY_DNS, *claims)) == [(wildcard, "acme")]
    assert named(want(ACME, *claims)) == [(each.host, "acme") for each in claims]


def test_an_explicit_domain_has_its_own() -> None:
    """One a host, beside the wildcard of branches."""
    found = want(BY_DNS, claim("example.com"), claim("www.example.com"), *AUTO)

    assert found.wanted == (
        Wanted(
            name="*.example.com",
            names=("*.example.com",),
            source="acme",
            reason="branches of shop",
        ),
        Wanted(
            name="example.com",
            names=("example.com",),
            source="acme",
            reason="branch main of shop",
        ),
        Wanted(
            name="www.example.com",
            names=("www.example.com",),
            source="acme",
            reason="branch main of shop",
        ),
    )
    assert [wish.by_dns for wish in found.wanted] == [True, False, False]


@pytest.mark.parametrize("settings", [ACME, BY_DNS, INTERNAL])
def test_localhost_is_the_own_authoritys(settings: Settings) -> None:
    """Nobody else certifies it."""
    assert named(want(settings, *LOCAL)) == [("*.shop.edge.localhost", "internal")]
    assert named(want(settings, claim("localhost"))) == [("localhost", "internal")]


def test_the_own_authority_signs_everything_in_its_mode() -> None:
    """Wildcards where browsers take them, addresses too."""
    claims = [*DEFAULTS, claim("127.0.0.1"), claim("[::1]"), claim("intranet"), claim("co.uk")]

    assert named(want(INTERNAL, *claims)) == [
        ("*.shop.edge.example.com", "internal"),
        ("127.0.0.1", "internal"),
        ("[::1]", "internal"),
        ("co.uk", "internal"),
        ("intranet", "internal"),
    ]


@pytest.mark.parametrize("host", ["main.co.uk", "main.localhost"])
def test_wildcards_that_browsers_refuse_are_not_made(host: str) -> None:
    """Directly below a public suffix, or of a single label."""
    assert named(want(INTERNAL, claim(host, "auto"))) == [(host, "internal")]


def test_what_the_operator_has_is_wanted_from_nobody() -> None:
    """Exact or by wildcard; the rest is."""
    own = ("example.com", "*.example.com")
    hosts = ["example.com", "www.example.com", "a.b.example.com"]

    found = want(ACME, *map(claim, hosts), own=own)

    assert named(found) == [("a.b.example.com", "acme")]


def test_files_alone() -> None:
    """What no file covers has no certificate, and is told host by host."""
    found = want(FILES, claim("example.com"), *LOCAL, own=("example.com",))

    assert found.wanted == ()
    assert [each.name for each in found.refused] == [each.host for each in LOCAL]
    assert found.refused[0].reason == "no certificate in certs covers it (tls.mode is files)"


GUARDED = {
    "a public suffix": ("co.uk", "domain", "it is a public suffix"),
    "a wildcard of one": ("main.co.uk", "auto", "it is a wildcard of a public suffix"),
    "a single label": ("intranet", "domain", "single label"),
    "too many labels": ("a." * 9 + "example.com", "domain", "more than 10 labels"),
    "too long": ("a" * 250 + ".com", "domain", "longer than the 253"),
    "loopback": ("127.0.0.1", "domain", "no address of the public Internet"),
    "private": ("10.1.2.3", "domain", "no address of the public Internet"),
    "documentation": ("[2001:db8::1]", "domain", "no address of the public Internet"),
    "multicast": ("224.0.0.1", "domain", "no address of the public Internet"),
    "below an address": ("pr-7.8.8.8.8", "domain", "in front of an IP address"),
}


@pytest.mark.parametrize("name", GUARDED)
def test_a_public_authority_is_not_asked_in_vain(name: str) -> None:
    """Each guard says why."""
    host, kind, reason = GUARDED[name]

    found = want(BY_DNS, claim(host, kind))

    assert found.wanted == ()
    (refused,) = found.refused
    assert isinstance(refused, Refused)
    assert reason in refused.reason


@pytest.mark.parametrize(
    "host", ["a." * 8 + "example.com", "example.co.uk", "8.8.8.8", "[2606:4700::1111]"]
)
def test_what_is_just_allowed(host: str) -> None:
    """Ten labels, a domain below a suffix, public addresses."""
    assert named(want(BY_DNS, claim(host))) == [(host, "acme")]


@pytest.mark.parametrize("host", ["intranet", "10.1.2.3", "co.uk", "127.0.0.1", "[fd00::1]"])
def test_the_operators_own_acme_server_may_certify_what_it_likes(host: str) -> None:
    """One with roots of its own."""
    assert named(want(OWN_CA, claim(host))) == [(host, "acme")]


@pytest.mark.parametrize(
    ("directory", "private"),
    [
        ("https://acme-v02.api.letsencrypt.org/directory", False),
        ("https://127.0.0.1:14000/dir", True),
        ("https://localhost/dir", True),
        ("https://[::1]:1/dir", True),
        ("https:///dir", False),
    ],
)
def test_an_authority_on_this_machine_is_private(directory: str, *, private: bool) -> None:
    """As one whose roots are the operator's."""
    assert is_private_authority(Acme(directory=directory)) is private


def test_a_host_below_an_address_is_nobodys() -> None:
    """Not the own authority's either: no client could ask for it."""
    found = want(INTERNAL, claim("pr-7.127.0.0.1", "auto"), claim("127.0.0.1"))

    assert [each.name for each in found.wanted] == ["127.0.0.1"]
    assert [each.name for each in found.refused] == ["*.127.0.0.1"]
