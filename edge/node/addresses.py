"""
Where an origin may be dialed: names resolved off the loop, and every address judged.

Here: a host and a port in, addresses out. Not here: connections (`origins`). Laws: what is handed
out was judged, and nothing else is dialed, so that no second answer of a name server counts; what
is not plainly public is reached by the operator's word alone, and by a deployment's rules never;
the node's own admin API is nobody's origin.

Source: the special-purpose registries of RFC 6890, RFC 4291 §2.4; `proxy` in edge.yml.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, Literal, NamedTuple

import msgspec
from cachetools import TLRUCache

from edge.errors import OriginError
from edge.node.clients import Address, Network, parse_address
from edge.node.tasks import spawn
from edge.site import settings

Reach = Literal["public", "private", "special"]
"""Whether it is everybody's, an operator's own, or nothing that a server has."""

Query = Callable[[str], Awaitable[Iterable[str]]]
"""From a name to its addresses, the best first; raises OSError."""

POSITIVE_S: Final = 30.0
"""How long an answer counts: getaddrinfo tells no TTL, and this is what most CDNs' names have."""

NEGATIVE_S: Final = 5.0
LOOKUP_S: Final = 5.0
"""Two tries of a resolver with its usual 2.5 s."""

MAX_NAMES: Final = 1_024
MAX_LOOKUPS: Final = 64
"""At a time: each may hold a thread for as long as the system's resolver likes."""

MAX_ADDRESSES: Final = 16

KINDS: Final[tuple[tuple[Reach, str, str], ...]] = (
    # Whoever gets through to these has the machine's credentials. All of 169.254/16: one cloud or
    # other has something in each corner, and nobody serves from there.
    ("special", "a metadata or link-local address", "169.254.0.0/16"),
    ("special", "a metadata address", "100.100.100.200/32 168.63.129.16/32 192.0.0.192/32"),
    ("special", "a metadata address", "fd00:ec2::/32 fd20:ce::254/128"),
    ("special", "no address of a host", "0.0.0.0/8 ::/128 255.255.255.255/32"),
    ("special", "a multicast address", "224.0.0.0/4 ff00::/8"),
    ("private", "a loopback address", "127.0.0.0/8 ::1/128"),
    ("private", "a private address", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
    ("private", "a link-local address", "fe80::/10 fec0::/10"),
    ("private", "an address behind a carrier's NAT", "100.64.0.0/10"),
    ("private", "an address for benchmarks", "198.18.0.0/15 2001:2::/48"),
    ("private", "an address for documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"),
    ("private", "an address for documentation", "2001:db8::/32 3fff::/20"),
    ("special", "a reserved address", "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4"),
    # Teredo among them, and 6to4: IPv4 in disguise, and nothing is served from either any more.
    ("special", "a reserved address", "2001::/23 2002::/16"),
    ("public", "", "0.0.0.0/0 2000::/3"),
    # IPv4-compatible and -translated, local NAT64, discard-only, segments, and what is to come.
    ("special", "a reserved address", "::/0"),
)
"""The first one that an address is in counts."""

RANGES: Final[tuple[tuple[Network, Reach, str], ...]] = tuple(
    (ip_network(network), reach, words)
    for reach, words, networks in KINDS
    for network in networks.split()
)

NAT64: Final = ip_network("64:ff9b::/96")
"""What DNS64 makes of every IPv4 address. Source: RFC 6052 §2.1."""

NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""What resolvers of the C library read as an IPv4 address: `2130706433`, `0x7f.1`."""


class OriginKey(msgspec.Struct, frozen=True, cache_hash=True):
    """What connections are told apart by."""

    scheme: str
    host: str
    port: int
    is_carried: bool
    """Whether a rule inside a deployment names it: it reaches no private address."""


class Destination(NamedTuple):
    """What may be dialed."""

    family: int
    address: str
    port: int


class Judged(msgspec.Struct, frozen=True):
    """An address, and what it is."""

    address: Address
    """Never IPv4-mapped."""
    reach: Reach
    words: str
    """What to call it where it is refused."""


class Answer(msgspec.Struct, frozen=True):
    """What is known about a name."""

    addresses: tuple[Judged, ...]
    problem: str = ""
    """Why there are none."""


class Lookup(NamedTuple):
    """A query under way."""

    task: asyncio.Task[Answer]
    deadline: float
    """By the loop's clock; whoever waits longer waits for a resolver that is stuck."""


class Goal(NamedTuple):
    """What is to be reached, and by whose word."""

    written: str
    """`host:port` of the rule."""
    host: str
    """What is dialed."""
    port: int
    redirected: str
    """The same as `connect_to` has it; empty where that does not apply."""
    is_carried: bool


class Addresses:
    """The addresses of origins, by the settings of the node; made anew when those change."""

    __slots__ = ("_admin", "_known", "_patience_s", "_proxy", "_query", "_running")

    def __init__(
        self,
        proxy: settings.Proxy,
        admin: str,
        *,
        query: Query | None = None,
        timer: Callable[[], float] = time.monotonic,
        patience_s: float = LOOKUP_S,
    ) -> None:
        self._proxy = proxy
        self._admin = admin
        """`listen.admin`, with the port that it really has."""
        self._query = query or query_system
        self._patience_s = patience_s
        self._known: TLRUCache[str, Answer] = TLRUCache(MAX_NAMES, expiry, timer)
        self._running: dict[str, Lookup] = {}

    async def resolve(self, host: str, port: int, *, is_carried: bool) -> list[Destination]:
        """
        Where `host` (a name, or an address in brackets or without) may be dialed, best first.

        Raises:
            OriginError: nowhere. `retry` is "yes" where another try may find more.
        """
        goal = self._goal(host, port, is_carried=is_carried)
        answer = self._known.get(goal.host) or await self._look_up(goal.host)
        if not answer.addresses:
            raise OriginError("dns_error", f"{goal.host}: {answer.problem}", "yes")
        reasons = [self._reason_against(judged, goal) for judged in answer.addresses]
        if all(reasons):
            raise OriginError("destination_ip_prohibited", reasons[0])
        return [
            destination(judged.address, goal.port)
            for judged, reason in zip(answer.addresses, reasons, strict=True)
            if not reason
        ]

    def _goal(self, host: str, port: int, *, is_carried: bool) -> Goal:
        """What is dialed instead of what is written, where the operator says so."""
        name = host.lower().removeprefix("[").removesuffix("]")
        written = place(name, port)
        redirected = self._proxy.connect_to.get(written, "")
        if redirected:
            name, _, number = redirected.rpartition(":")
            name, port = name.removeprefix("[").removesuffix("]"), int(number)
        return Goal(written, name, port, redirected, is_carried)

    # What is allowed

    def _reason_against(self, judged: Judged, goal: Goal) -> str:
        """Why an address may not be dialed, and what an operator can do; empty where it may."""
        if is_listener(self._admin, judged.address, goal.port):
            return f"{goal.written} leads to the node's own admin API, which is no origin"
        if judged.reach == "public":
            return ""
        problem = f"{goal.written} leads to {judged.address}, {judged.words}"
        if goal.is_carried:
            return f"{problem}: a deployment's own rules reach none; write it into the app folder"
        if self._is_allowed(judged, goal):
            return ""
        is_private = judged.reach == "private"
        remedy = goal.written if is_private else place(str(judged.address), goal.port)
        return f'{problem}: to reach it, write proxy.allow: ["{remedy}"] into edge.yml'

    def _is_allowed(self, judged: Judged, goal: Goal) -> bool:
        """
        Whether the operator named it: the address itself, or what leads to it.

        A name's owner may turn it to any address, so what is special has to be named itself.
        """
        proxy = self._proxy
        itself = place(str(judged.address), goal.port)
        if itself in proxy.allow or itself == goal.redirected:
            return True
        is_named = bool(goal.redirected) or goal.written in proxy.allow
        return judged.reach == "private" and (is_named or proxy.allow_private)

    # Names

    async def _look_up(self, name: str) -> Answer:
        """What the resolver says; one query for all who wait for it."""
        answer = read_literal(name)
        if answer is not None:
            self._known[name] = answer
            return answer
        lookup = self._running.get(name) or self._begin(name)
        try:
            async with asyncio.timeout_at(lookup.deadline):
                return await asyncio.shield(lookup.task)
        except TimeoutError as error:
            raise OriginError("dns_timeout", f"{name}: the resolver is silent", "yes") from error

    def _begin(self, name: str) -> Lookup:
        """Ask; what is stuck keeps its place, for nothing ends it."""
        if len(self._running) >= MAX_LOOKUPS:
            raise OriginError("dns_timeout", f"{name}: too many names are being resolved", "yes")
        deadline = asyncio.get_running_loop().time() + self._patience_s
        lookup = Lookup(spawn(self._ask(name), f"dns {name[:80]}"), deadline)
        self._running[name] = lookup
        return lookup

    async def _ask(self, name: str) -> Answer:
        """The answer, remembered; whatever goes wrong is one as well."""
        try:
            answer = read_answer(await self._query(name))
        except (OSError, UnicodeError) as error:
            answer = Answer((), str(error))
        finally:
            del self._running[name]
        self._known[name] = answer
        return answer


async def query_system(name: str) -> list[str]:
    """The system's own resolver, /etc/hosts and all, in a thread; sorted by RFC 6724."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def expiry(_name: str, answer: Answer, now: float) -> float:
    """Until when an answer counts."""
    return now + (POSITIVE_S if answer.addresses else NEGATIVE_S)


def read_literal(host: str) -> Answer | None:
    """The answer for an address; None for a name. A number is neither."""
    address = parse_address(host)
    if address is not None:
        return Answer((judge(address),))
    return Answer((), "a number is no host") if NUMBER.fullmatch(host) else None


def read_answer(found: Iterable[str]) -> Answer:
    """A resolver's answer, each address once."""
    addresses = dict.fromkeys(address for text in found if (address := parse_address(text)))
    judged = tuple(judge(address) for address in list(addresses)[:MAX_ADDRESSES])
    return Answer(judged, "" if judged else "the name has no addresses")


# Addresses


def judge(address: Address) -> Judged:
    """What an address is, by the first range that it is in."""
    inner = judge(embedded(address)) if address in NAT64 else None
    if inner is not None and inner.reach == "public":
        return Judged(address, "public", "")
    if inner is not None:
        return Judged(address, "special", f"{inner.words} behind NAT64")
    reach, words = next((r, w) for network, r, w in RANGES if address in network)
    return Judged(address, reach, words)


def embedded(address: Address) -> IPv4Address:
    """The IPv4 address at the end of another."""
    return IPv4Address(int(address) & 0xFFFFFFFF)


def destination(address: Address, port: int) -> Destination:
    """An address as sockets take it."""
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    return Destination(family, str(address), port)


def place(host: str, port: int) -> str:
    """`host:port` as edge.yml has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_listener(listener: str, address: Address, port: int) -> bool:
    """
    Whether a connection to `address` and `port` would arrive at a listener of ours.

    A listener on all addresses, or on a name's, is taken to be on every one that this machine has.
    """
    host, _, number = listener.rpartition(":")
    if number != str(port):
        return False
    loopback = IPv4Address("127.0.0.1") if address.version == 4 else IPv6Address("::1")
    reached = loopback if address.is_unspecified else address
    own = parse_address(host.removeprefix("[").removesuffix("]"))
    if own is None or own.is_unspecified:
        return is_local(reached)
    return own == reached


def is_local(address: Address) -> bool:
    """Whether this machine has the address: one can bind to it. Nothing is sent."""
    try:
        with socket.socket(destination(address, 0).family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
