"""
What the DNS says: as preflight and `edge domains` ask it, and as dns-01 waits for it.

Laws: a question ends within its patience, and its end is a value: what was found, or one of four
words why nothing was. Only the DNS is asked, never /etc/hosts: an authority does not read ours.
Names are canonical as in `site.hosts`. Never imported by workers: dnspython costs memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import msgspec

Absence = Literal["nxdomain", "empty", "servfail", "timeout"]
"""
Why there is nothing: no such name, no such records, servers that fail or refuse, or silence.
"""

WORDS: Final[dict[Absence, str]] = {
    "nxdomain": "the name does not exist (NXDOMAIN)",
    "empty": "the name has no such records",
    "servfail": "its name servers fail (SERVFAIL)",
    "timeout": "no name server answered",
}

PATIENCE_S: Final = 5.0
"""For one question, CNAMEs and second tries included: as long as the C library waits once."""

FIRST_S: Final = 1.5
"""For a first try: a lost datagram costs no more than this."""

MAX_SERVERS: Final = 3
"""As many as the C library reads of /etc/resolv.conf."""

MAX_HOPS: Final = 8
"""CNAMEs in a row; resolvers of authorities give up at about as many."""

PAYLOAD: Final = 1_232
"""Bytes of a datagram that no path cuts (DNS flag day 2020)."""

T = TypeVar("T")
Endpoint = tuple[str, int]


class Addresses(msgspec.Struct, frozen=True):
    """Where a name leads."""

    name: str
    chain: tuple[str, ...] = ()
    """The names that CNAMEs led over, in order."""
    addresses: tuple[str, ...] = ()
    """IPv4, then IPv6."""
    absence: Absence | None = None
    """Why there are none."""


class Target(msgspec.Struct, frozen=True):
    """The name that stands at the end of a name's CNAMEs, whether it exists or not."""

    name: str
    """As asked where there is no CNAME."""
    absence: Absence | None = None
    """`servfail` or `timeout` where the end is not known."""


class CaaRecord(msgspec.Struct, frozen=True):
    """One property. Source: RFC 8659 §4.1."""

    flags: int
    tag: str
    """In lower case."""
    value: str


class Caa(msgspec.Struct, frozen=True):
    """The relevant record set of a name; without records everybody may issue."""

    found_at: str = ""
    """The name that has it."""
    records: tuple[CaaRecord, ...] = ()
    absence: Absence | None = None
    """`servfail` or `timeout` where it is not known."""


class Server(msgspec.Struct, frozen=True):
    """An authoritative name server."""

    name: str
    addresses: tuple[str, ...]
    port: int = 53


class Zone(msgspec.Struct, frozen=True):
    """The closest zone that a name is in."""

    name: str = ""
    servers: tuple[Server, ...] = ()
    absence: Absence | None = None
    """Why there is none."""


class Shown(msgspec.Struct, frozen=True):
    """What one server shows of a name."""

    server: str
    values: tuple[str, ...] = ()
    absence: Absence | None = None


class Reply(msgspec.Struct, frozen=True):
    """One question's answer."""

    chain: tuple[str, ...] = ()
    records: tuple[Any, ...] = ()
    absence: Absence | None = None


class Resolver:
    """Asks the system's name servers, or those that are given."""

    def __init__(
        self,
        servers: Sequence[Endpoint] = (),
        *,
        authority_port: int = 53,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._servers = tuple(servers)
        self._authority_port = authority_port
        """Of authoritative servers; another one in tests."""
        self._patience_s = patience_s

    async def addresses(self, name: str) -> Addresses:
        """A and AAAA of a name."""
        replies = await asyncio.gather(self._resolve(name, "A"), self._resolve(name, "AAAA"))
        found = tuple(record.address for reply in replies for record in reply.records)
        chain = max((reply.chain for reply in replies), key=len)
        return Addresses(name, chain, found, None if found else worst(replies))

    async def target(self, name: str) -> Target:
        """Where the CNAMEs of a name end, as seen by who asks for TXT."""
        reply = await self._resolve(name, "TXT")
        unknown = reply.absence if reply.absence in ("servfail", "timeout") else None
        return Target(reply.chain[-1] if reply.chain else name, unknown)

    async def caa(self, name: str) -> Caa:
        """
        Who may issue for a name: the set of the name, else that of the closest name above.

        Source: RFC 8659 §3; CNAMEs are followed at each step, targets are not climbed.
        """
        for each in ancestors(name.removeprefix("*.")):
            reply = await self._resolve(each, "CAA")
            if reply.absence in ("servfail", "timeout"):
                return Caa(each, absence=reply.absence)
            if reply.records:
                return Caa(each, tuple(map(caa_record, reply.records)))
        return Caa()

    async def authoritative(self, name: str) -> Zone:
        """The zone that a name is in, whether the name exists or not, and all of its servers."""
        for each in ancestors(name):
            reply = await self._resolve(each, "SOA")
            if reply.absence in ("servfail", "timeout"):
                return Zone(each, absence=reply.absence)
            if reply.records and not reply.chain:
                return await self._zone(each)
        return Zone(name, absence="empty")

    async def _zone(self, name: str) -> Zone:
        reply = await self._resolve(name, "NS")
        names = sorted(spelled(record.target) for record in reply.records)
        found = await asyncio.gather(*(self.addresses(each) for each in names))
        servers = tuple(Server(a.name, a.addresses, self._authority_port) for a in found)
        return Zone(name, servers, reply.absence)

    async def txt(self, name: str, servers: Sequence[Server]) -> list[Shown]:
        """What each server says of a name, in their order; no CNAME is followed."""
        return list(await asyncio.gather(*(self._shown(name, each) for each in servers)))

    async def _shown(self, name: str, server: Server) -> Shown:
        question = query(name, "TXT")
        if question is None:
            return Shown(server.name, absence="nxdomain")
        question.flags &= ~dns.flags.RD
        endpoints = [(address, server.port) for address in server.addresses]
        message = await self._within(lambda: ask(question, endpoints, self._patience_s), "timeout")
        reply = message if isinstance(message, str) else read(message)
        if isinstance(reply, str):
            return Shown(server.name, absence=reply)
        values = () if reply.chain else tuple(map(text_of, reply.records))
        return Shown(server.name, values, None if values else reply.absence or "empty")

    async def _resolve(self, name: str, kind: str) -> Reply:
        """The records at the end of a name's CNAMEs, within one patience."""
        chain: list[str] = []
        found = await self._within(lambda: self._follow(name, kind, chain), "timeout")
        return Reply(tuple(chain), absence=found) if isinstance(found, str) else found

    async def _follow(self, name: str, kind: str, chain: list[str]) -> Reply | Absence:
        """As `_resolve`; `chain` is filled on the way."""
        while len(chain) <= MAX_HOPS:
            asked = chain[-1] if chain else name
            question = query(asked, kind)
            if question is None:
                return "nxdomain"
            message = await ask(question, self._endpoints(), self._patience_s)
            reply = message if isinstance(message, str) else read(message)
            if isinstance(reply, str):
                return reply
            chain += reply.chain
            # a server that is no resolver stops where its own zones end
            if reply.records or reply.absence == "nxdomain" or not reply.chain:
                return Reply(tuple(chain), reply.records, reply.absence)
        return "servfail"

    async def _within(self, question: Callable[[], Awaitable[T]], late: Absence) -> T | Absence:
        try:
            async with asyncio.timeout(self._patience_s):
                return await question()
        except TimeoutError:
            return late

    def _endpoints(self) -> Sequence[Endpoint]:
        """Read anew each time: a machine's network may change under a node."""
        return self._servers or system_servers()


async def ask(
    question: dns.message.Message, endpoints: Sequence[Endpoint], patience_s: float
) -> dns.message.Message | Absence:
    """The first answer of any use: each server is tried briefly, then those that were silent."""
    is_broken = False
    silent = list(endpoints[:MAX_SERVERS])
    for wait_s in (min(FIRST_S, patience_s / 2), patience_s):
        for endpoint in silent.copy():
            answer = await exchange(question, endpoint, wait_s)
            if answer is None:
                continue
            if answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return answer
            is_broken = True
            silent.remove(endpoint)
    return "servfail" if is_broken else "timeout"


async def exchange(
    question: dns.message.Message, endpoint: Endpoint, wait_s: float
) -> dns.message.Message | None:
    """One server's answer, by TCP where it is too long for a datagram; None: it is silent."""
    address, port = endpoint
    try:
        answer, _ = await dns.asyncquery.udp_with_fallback(
            question, address, wait_s, port, ignore_unexpected=True, ignore_errors=True
        )
    except (dns.exception.DNSException, OSError, EOFError):
        return None
    return answer


def query(name: str, kind: str) -> dns.message.Message | None:
    """A question; None where no name can be like that, so that none exists."""
    try:
        return dns.message.make_query(f"{name}.", kind, use_edns=0, payload=PAYLOAD)
    except dns.exception.DNSException:
        return None


def read(message: dns.message.Message) -> Reply | Absence:
    """What an answer says, CNAMEs that it holds followed."""
    assert isinstance(message, dns.message.QueryMessage), "it was asked a question"
    try:
        found = message.resolve_chaining()
    except dns.exception.DNSException:
        return "servfail"
    chain = tuple(spelled(next(iter(each)).target) for each in found.cnames)
    if found.answer is not None:
        return Reply(chain, tuple(found.answer))
    return Reply(chain, (), "nxdomain" if message.rcode() == dns.rcode.NXDOMAIN else "empty")


def worst(replies: Sequence[Reply]) -> Absence:
    """Why none of several questions about one name found anything."""
    order: list[Absence] = ["nxdomain", "servfail", "timeout", "empty"]
    return min((reply.absence or "empty" for reply in replies), key=order.index)


def ancestors(name: str) -> Iterator[str]:
    """A name and those above it, without the root."""
    while name:
        yield name
        name = name.partition(".")[2]


def spelled(name: dns.name.Name) -> str:
    """A name as the program writes it."""
    return name.to_text(omit_final_dot=True).lower()


def caa_record(record: Any) -> CaaRecord:
    """A record in text; what is no ASCII matches no authority."""
    tag, value = (each.decode("ascii", "replace") for each in (record.tag, record.value))
    return CaaRecord(record.flags, tag.lower(), value)


def text_of(record: Any) -> str:
    """The strings of a TXT record as one."""
    return b"".join(record.strings).decode("utf-8", "replace")


def system_servers(file: str = "/etc/resolv.conf") -> Sequence[Endpoint]:
    """Those that the machine is configured with; without any its own, as the C library has it."""
    try:
        found = dns.resolver.Resolver(file).nameservers
    except dns.resolver.NoResolverConfiguration:
        found = []
    return [(str(each), 53) for each in found] or [("127.0.0.1", 53)]
