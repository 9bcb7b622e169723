"""
Who is behind a request, as far as it can be believed: the address, and the country a proxy states.

Here: what the TCP peer and the fields say together. Not here: countries by address (`country`), and
what an address may do. Laws: a field counts only where a trusted proxy handed it over, and only
what such a proxy wrote itself; nothing in a request makes a look-up fail, and its work is bounded
whatever the fields hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeVar

import msgspec

from edge.http.fields import OWS, Fields
from edge.site import settings
from edge.site.countries import COUNTRIES

MAX_HOPS: Final = 20
"""Elements of X-Forwarded-For that are looked at; chains of more than four are rare."""

MAX_ELEMENT: Final = 64
"""Octets of one element: the longest address takes 45, its brackets and port 8."""

MAX_REMEMBERED: Final = 10_000
"""Peers, and elements, in memory: 3 MiB together. When it is full it starts again empty, which
costs an active client 7 µs once; nothing has to be kept in order for that."""

FORWARDED_FOR: Final = b"x-forwarded-for"

CODES: Final = {code.encode(): code for code in COUNTRIES}
"""XX and T1, which stand for unknown and for Tor at those who send them, are no countries."""

PORT: Final = rb"(?::[0-9]{1,5}+)?"
ELEMENT: Final = re.compile(
    rb"\[(?P<bracketed>[0-9A-Fa-f:.]++)\]" + PORT
    + rb"|(?P<four>[0-9.]++)" + PORT
    + rb"|(?P<six>[0-9A-Fa-f:.]++)"
)  # fmt: skip
"""
An address, perhaps with a port. Not a zone (`%eth0`): it means nothing on another machine, and
`ipaddress` lets it hold anything.
"""

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Hop(msgspec.Struct, frozen=True, gc=False):
    """One element of X-Forwarded-For."""

    address: str
    """Canonical, without a port."""
    trusted: bool


class Clients:
    """What is believed about clients, by the settings of the node."""

    __slots__ = ("_country_header", "_hops", "_peers", "_trusted", "_trusts")

    def __init__(self, document: settings.Clients) -> None:
        self._trusts = bool(document.trusted_proxies)
        self._trusted = Prefixes(map(ip_network, document.trusted_proxies))
        self._country_header = (document.country_header or "").encode()
        self._peers: dict[str, bool] = {}
        self._hops: dict[bytes, Hop | None] = {}

    def address(self, peer: str, fields: Fields) -> str:
        """
        The client's address: the last one in X-Forwarded-For that no trusted proxy has.

        Without trusted proxies, or from any other peer, it is the peer as it stands: listeners
        are IPv6-only or IPv4-only, so a peer is never an IPv4-mapped address.

        Cost: 0.06 µs without trusted proxies, 0.1 for another peer, 1.5 behind a proxy, 7 where
        the client is new (11 for IPv6).
        """
        if not self._trusts or not self.is_trusted(peer):
            return peer
        return self._walk(peer, fields.getall(FORWARDED_FOR))

    def is_trusted(self, peer: str) -> bool:
        """Whether a TCP peer is a trusted proxy; what is no IP address never is. Cost: 0.1 µs."""
        known = self._peers.get(peer)
        if known is None:
            known = parse_address(peer) in self._trusted
            remember(self._peers, peer, known)
        return known

    def stated_country(self, peer: str, fields: Fields) -> str | None:
        """
        The country, in upper case, that a trusted proxy states; None where it is unknown.

        Two field lines are nobody's word: one of them may be the client's own. Cost: 0.8 µs.
        """
        if not self._country_header or not self.is_trusted(peer):
            return None
        values = fields.getall(self._country_header)
        # bytes.upper touches ASCII alone, so that `ß` does not become the SS of South Sudan.
        return CODES.get(values[0].upper()) if len(values) == 1 else None

    def _walk(self, peer: str, values: Iterable[bytes]) -> str:
        """From the peer outwards, as long as each proxy is trusted to have named the next."""
        last = peer
        for element in last_elements(values):
            hop = self._hop(element)
            if hop is None:
                break
            last = hop.address
            if not hop.trusted:
                break
        return last

    def _hop(self, element: bytes) -> Hop | None:
        """What an element says. Remembered: 0.1 µs instead of 5, and most clients ask again."""
        if element in self._hops:
            return self._hops[element]
        address = parse_element(element)
        hop = None if address is None else Hop(str(address), address in self._trusted)
        if len(element) <= MAX_ELEMENT:
            remember(self._hops, element, hop)
        return hop


class Prefixes:
    """
    A set of networks: one look-up for each length of prefix in use, however many networks.

    The 200 networks of a CDN have about ten lengths: 1 µs, where asking each one takes 40.
    """

    __slots__ = ("_lengths",)

    def __init__(self, networks: Iterable[Network]) -> None:
        self._lengths: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        """By IP version and the bits behind the prefix: the prefixes."""
        for network in map(unmapped_network, networks):
            shift = network.max_prefixlen - network.prefixlen
            prefixes = self._lengths[network.version].setdefault(shift, set())
            prefixes.add(int(network.network_address) >> shift)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, Address):
            return False
        value = int(address)
        lengths = self._lengths[address.version]
        return any(value >> shift in prefixes for shift, prefixes in lengths.items())


def remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    """Keep an answer; a full map starts again."""
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[key] = value


def last_elements(values: Iterable[bytes]) -> list[bytes]:
    """
    The last `MAX_HOPS` elements of all field lines together, from the right; empty ones left out.

    Source: RFC 9110 §5.3, §5.6.1.2.
    """
    parts = b",".join(values).rsplit(b",", MAX_HOPS)[-MAX_HOPS:]
    return [element for part in reversed(parts) if (element := part.strip(OWS))]


def parse_element(element: bytes) -> Address | None:
    """The address of an element, its port dropped; None for anything else (`unknown`, a name)."""
    found = ELEMENT.fullmatch(element) if len(element) <= MAX_ELEMENT else None
    if found is None:
        return None
    try:
        if found["four"]:
            return IPv4Address(found["four"].decode())
        return unmapped(IPv6Address((found["bracketed"] or found["six"]).decode()))
    except ValueError:
        return None


def parse_address(text: str) -> Address | None:
    """The address as a socket gives it, a link-local one without its zone; None for no address."""
    try:
        return unmapped(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """
    The IPv4 address in an IPv4-mapped one; any other as it is.

    Source: RFC 4291 §2.5.5.2.
    """
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def unmapped_network(network: Network) -> Network:
    """The IPv4 network that an operator wrote IPv4-mapped; any other as it is."""
    mapped = unmapped(network.network_address)
    if network.prefixlen < 96 or mapped is network.network_address:
        return network
    return IPv4Network((int(mapped), network.prefixlen - 96))
