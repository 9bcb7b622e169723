"""
What would make an order fail, found before a try is spent on it.

Laws: nothing is asked of the authority. "stop" is what it would surely refuse; what only cannot be
seen from here (a router that does not lead back, a resolver that is silent) is a "warning". Every
finding says what about, what is so, and what to do.

Source: RFC 8555 §8.3; RFC 8659 (CAA) and RFC 8657 for its parameters.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final, Literal

import aiohttp
import msgspec

from edge.control.issuers import Applicant, decide
from edge.control.resolver import WORDS, Addresses, Resolver
from edge.node.addresses import judge
from edge.node.clients import parse_address

Level = Literal["ok", "warning", "stop"]

PROBE_S: Final = 5.0
"""For one self-check; an authority waits for ten."""

PROBES: Final = 8
"""Names that are looked at at a time."""

MAX_ADDRESSES: Final = 8
"""Of one name that are dialed; an authority tries two."""

MAX_ANSWER: Final = 1_024
"""Bytes of an answer that are compared."""

SKEW_WARNING_S: Final = 60.0
SKEW_STOP_S: Final = 3_600.0

PORTS: Final = {"http-01": 80, "tls-alpn-01": 443}
"""Where authorities dial. Source: RFC 8555 §8.3, RFC 8737 §3."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    level: Level
    about: str
    """A name, `clock` or `ports`."""
    text: str
    hint: str = ""
    """What to do; empty where all is well."""


class Probe(msgspec.Struct, frozen=True):
    """An answer of our own, which the data plane gives under `token` while this runs."""

    token: str
    content: str


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the questions are asked."""

    challenges: tuple[str, ...]
    """Those that may be used."""
    listening: tuple[str, ...] = ()
    """`listen.http` and `listen.https`."""
    public: tuple[str, ...] = ()
    """Where the world reaches this node, as far as known."""
    identities: tuple[str, ...] = ()
    """`caaIdentities` of the authority's directory."""
    account: str | None = None
    """The account's URL."""
    now: float
    """Epoch seconds when the directory was answered."""
    authority_date: float | None = None
    """Epoch seconds of that answer's Date."""
    probes: dict[str, Probe] = msgspec.field(default_factory=dict)
    """By name; without one a name's addresses are not dialed."""
    ports: dict[str, int] = msgspec.field(default_factory=lambda: dict(PORTS))
    """By challenge, where the authority dials; a test's authority has others."""


async def preflight(
    names: Sequence[str], situation: Situation, resolver: Resolver
) -> list[Finding]:
    """Findings about the machine, then about each name in order; all are made, whatever fails."""
    turns = asyncio.Semaphore(PROBES)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PROBE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        checks = Checks(situation, resolver, session)

        async def check(name: str) -> list[Finding]:
            async with turns:
                return await checks.name(name)

        found = await asyncio.gather(*map(check, names))
    ports = check_ports(names, situation, is_led_here=checks.is_answered)
    return [*check_clock(situation), *ports, *(each for findings in found for each in findings)]


def check_clock(situation: Situation) -> list[Finding]:
    """Whether our time is the authority's; certificates and nonces live by it."""
    if situation.authority_date is None:
        return []
    skew = situation.now - situation.authority_date
    size = abs(skew)
    if size <= SKEW_WARNING_S:
        return [Finding("ok", "clock", "the clock agrees with the authority's")]
    text = f"this machine's clock is {size:.0f} s {'ahead of' if skew > 0 else 'behind'} the "
    hint = "set it, and keep it by NTP (timedatectl set-ntp true)"
    level: Level = "stop" if size > SKEW_STOP_S else "warning"
    return [Finding(level, "clock", f"{text}authority's", hint)]


def check_ports(names: Sequence[str], situation: Situation, *, is_led_here: bool) -> list[Finding]:
    """
    Whether the ports that authorities dial lead here, where a name depends on one of them.

    `is_led_here` where one was dialed and our own answer came: a router led it to another port.
    """
    dialed = [each for each in situation.challenges if each in situation.ports]
    if not dialed or "dns-01" in situation.challenges or all(map(is_wildcard, names)):
        return []
    ports = {situation.ports[each] for each in dialed}
    if is_led_here or ports & {int(each.rpartition(":")[2]) for each in situation.listening}:
        return []
    numbers = " or ".join(map(str, sorted(ports)))
    text = f"nothing of this node listens on port {numbers}, where the authority asks"
    hint = f'add "0.0.0.0:{min(ports)}" to listen, or use dns-01'
    return [Finding("stop", "ports", text, hint)]


class Checks:
    """Questions about one name after the other."""

    def __init__(
        self, situation: Situation, resolver: Resolver, session: aiohttp.ClientSession
    ) -> None:
        self._situation = situation
        self._resolver = resolver
        self._session = session
        self.is_answered = False
        """Whether one of the addresses answered as this node does."""

    async def name(self, name: str) -> list[Finding]:
        """All findings about a name."""
        address = parse_address(name.strip("[]"))
        if address is not None:
            found = await self._lead(name, (str(address),))
            return [*self._check_methods(name, is_address=True), *found]
        where, caa = await asyncio.gather(self._addresses(name), self._caa(name))
        return [*self._check_methods(name, is_address=False), *where, *caa]

    def _check_methods(self, name: str, *, is_address: bool) -> list[Finding]:
        """Whether there is a challenge that this kind of name can be shown by."""
        methods = methods_for(name, self._situation.challenges)
        if is_address:
            methods = [each for each in methods if each != "dns-01"]
        if methods:
            return []
        kind = "an address" if is_address else "a wildcard"
        needed = "http-01 or tls-alpn-01" if is_address else "dns-01"
        text = f"{kind} can only be shown by {needed}, which is not among the challenges"
        return [Finding("stop", name, text, f"add {needed} to tls.acme.challenges")]

    # Addresses

    async def _addresses(self, name: str) -> list[Finding]:
        if is_wildcard(name) or set(self._situation.challenges) <= {"dns-01"}:
            return []
        found = await self._resolver.addresses(name)
        if found.absence is not None:
            return [no_addresses(found)]
        return await self._lead(name, found.addresses)

    async def _lead(self, name: str, addresses: tuple[str, ...]) -> list[Finding]:
        """One finding an address: any of them may be the one that the authority dials."""
        dialed = addresses[:MAX_ADDRESSES]
        return list(await asyncio.gather(*(self._leads(name, each) for each in dialed)))

    async def _leads(self, name: str, address: str) -> Finding:
        if address in self._situation.public:
            return Finding("ok", name, f"{address} is an address of this node")
        judged = judge(ipaddress.ip_address(address))
        if judged.reach == "special":  # what answers there must not be asked in a stranger's name
            text = f"{address} is {judged.words}, which no authority reaches"
            return Finding("stop", name, text, "correct the name's A and AAAA records")
        probe = self._situation.probes.get(name)
        if probe is not None and "http-01" in self._situation.challenges:
            return await self._probe(name, address, probe)
        known = ", ".join(self._situation.public)
        text = f"{address} is not known as an address of this node"
        return Finding(
            "warning", name, f"{text} ({known})" if known else text, "write it into listen.public"
        )

    async def _probe(self, name: str, address: str, probe: Probe) -> Finding:
        """Ask as an authority does, at this very address."""
        port = self._situation.ports["http-01"]
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{port}/.well-known/acme-challenge/{probe.token}"
        bare = name.strip("[]")
        authority = f"[{bare}]" if ":" in bare else bare
        authority += "" if port == 80 else f":{port}"
        fields = {"Host": authority, "User-Agent": "edge-preflight"}
        try:
            # redirects are not followed: whose server this is may send us anywhere
            async with self._session.get(url, headers=fields, allow_redirects=False) as response:
                content = await read_start(response)
        except aiohttp.ClientResponseError:
            return somebody_else(name, address, "it speaks no HTTP")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            reason = "it is silent" if isinstance(error, TimeoutError) else str(error)
            return Finding(
                "warning",
                name,
                f"{address} cannot be reached from here on port {port}: {shown(reason)}",
                "if others reach it, all is well; else open the port, or correct the record",
            )
        if response.status == 200 and content.strip() == probe.content.encode():
            self.is_answered = True
            return Finding("ok", name, f"{address} leads to this node")
        return other_answer(name, address, response)

    # CAA

    async def _caa(self, name: str) -> list[Finding]:
        found = await self._resolver.caa(name)
        if found.absence is not None:
            level: Level = "warning" if found.absence == "timeout" else "stop"
            text = f"whether CAA allows the authority cannot be told: {WORDS[found.absence]}"
            hint = f"an authority asks too: see what `dig CAA {found.found_at}` says"
            return [Finding(level, name, text, hint)]
        verdict = decide(found.records, self._applicant(name))
        if verdict.answer == "yes":
            text = f"CAA of {found.found_at} allows the authority" if found.records else "no CAA"
            return [Finding("ok", name, text)]
        text = f"CAA of {found.found_at}: {shown(verdict.reason)}"
        kind = "issuewild" if is_wildcard(name) else "issue"
        issuer = next(iter(self._situation.identities), "its domain")
        hint = f'set {found.found_at} CAA 0 {kind} "{issuer}"'
        return [Finding("stop" if verdict.answer == "no" else "warning", name, text, hint)]

    def _applicant(self, name: str) -> Applicant:
        situation = self._situation
        return Applicant(
            identities=situation.identities,
            account=situation.account,
            methods=tuple(methods_for(name, situation.challenges)),
            is_wildcard=is_wildcard(name),
        )


def no_addresses(found: Addresses) -> Finding:
    """A name that leads nowhere."""
    assert found.absence is not None, "else there are some"
    end = found.chain[-1] if found.chain else found.name
    text = f"{end} has no addresses: {WORDS[found.absence]}"
    hint = "set its records: `edge domains` lists them"
    if found.absence == "timeout":
        return Finding("warning", found.name, text, "see whether this machine's resolver works")
    if found.absence == "servfail":
        hint = f"see what `dig {end}` says; a broken DNSSEC chain is a frequent cause"
    return Finding("stop", found.name, text, hint)


def other_answer(name: str, address: str, response: aiohttp.ClientResponse) -> Finding:
    """Another answer than ours, and who gave it."""
    server = response.headers.get("Server", "")
    who = f"status {response.status}" + (f", Server: {shown(server)}" if server else "")
    if "Location" not in response.headers:
        return somebody_else(name, address, who)
    where = shown(response.headers["Location"])
    text = f"{address} sends on to {where} ({who}); whether that leads here is not followed"
    hint = "let /.well-known/acme-challenge/ pass without a redirect"
    return Finding("warning", name, text, hint)


def somebody_else(name: str, address: str, who: str) -> Finding:
    """A server that is not this node."""
    text = f"{address} is answered by somebody else ({who})"
    return Finding("stop", name, text, "point the name's A and AAAA records at this node alone")


async def read_start(response: aiohttp.ClientResponse) -> bytes:
    """As much of an answer as can be ours."""
    content = b""
    while len(content) <= MAX_ANSWER and (piece := await response.content.read(MAX_ANSWER)):
        content += piece
    return content


def is_wildcard(name: str) -> bool:
    """Whether it stands for any label."""
    return name.startswith("*.")


def methods_for(name: str, challenges: Sequence[str]) -> list[str]:
    """The challenges that this name can be shown by."""
    return [each for each in challenges if each == "dns-01" or not is_wildcard(name)]


def shown(text: str) -> str:
    """What a stranger wrote, as far as a person can read it."""
    return "".join(each if each.isprintable() else "�" for each in text)[:200]
