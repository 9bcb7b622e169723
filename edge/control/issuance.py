"""
One order from its beginning to a certificate that can be served.

Laws: the key is new and leaves only with a certificate that was looked at. Whatever happens, a
cancellation included, every answer that was begun to be given is taken back, and authorizations
that nobody waits for any more are given up. Nothing is tried again here but what passes in seconds;
what an error leads to is the keeper's to decide.

Source: RFC 8555 §7.4, §7.5, §8; RFC 8737 (tls-alpn-01); RFC 8738 (IP addresses).
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from edge.control import leaf
from edge.control.acme import Client
from edge.control.acme_documents import Authorization, Offer, Order
from edge.control.acme_errors import AcmeError, Problem, Step, error_of, printable
from edge.control.chains import encode_certificates, encode_key, general_name
from edge.control.leaf import Issued
from edge.errors import EdgeError
from edge.node.tasks import spawn
from edge.site.hosts import parse_address

logger = logging.getLogger("edge.issuance")

AUTHORIZATION_S: Final = 60.0
ORDER_S: Final = 90.0
"""How long an authority may take to look at one name, and to sign."""

CLEANING_S: Final = 30.0
"""For taking answers back; what is not done by then is left."""

FIRST_S: Final = 0.25
GROWTH: Final = 1.6
LAST_S: Final = 5.0
"""Between two looks, where the authority says nothing."""

MISSES: Final = 3
"""Looks in a row that may fail."""

ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""Source: RFC 8737 §6.1."""

Log = Callable[[str], None]
"""Hears a short sentence at each step: the timeline of `edge certs`."""


class Challenge(msgspec.Struct, frozen=True):
    """What has to be shown to an authority."""

    type: str
    """`http-01`, `tls-alpn-01` or `dns-01`."""
    token: str
    key_authorization: str

    @property
    def dns_value(self) -> str:
        """The TXT record's text. Source: RFC 8555 §8.4."""
        return leaf.base64url(leaf.digest(self.key_authorization))

    def alpn_pem(self, identifier: str) -> str:
        """Key and certificate in PEM that answer the protocol `acme-tls/1`. Source: RFC 8737 §3."""
        key, now = leaf.new_key(), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
        octets = b"\x04\x20" + leaf.digest(self.key_authorization)  # a DER OCTET STRING
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([general_name(identifier)]), critical=False)
            .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, octets), critical=True)
            .sign(key, hashes.SHA256())
        )
        return (encode_key(key) + encode_certificates([certificate])).decode()


def alpn_host(identifier: str) -> str:
    """The server name that an authority asks for. Source: RFC 8737 §3, RFC 8738 §6."""
    try:
        return ipaddress.ip_address(identifier.strip("[]")).reverse_pointer
    except ValueError:
        return identifier


class Answerer(Protocol):
    """
    Shows one type of challenge; given by the keeper.

    The identifier is a canonical host, without the `*.` of a wildcard. Several challenges are shown
    at once, for dns-01 also of the same identifier (apex and wildcard).
    """

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Returns when it is visible to the authority. Raises `EdgeError` when it cannot be."""

    async def cleanup(self, identifier: str, challenge: Challenge) -> None:
        """Take it back; also after a `present` that failed or was cancelled."""


async def issue(  # noqa: PLR0913 - what one order can say
    client: Client,
    names: Collection[str],
    answerers: Mapping[str, Answerer],
    *,
    profile: str | None = None,
    replaces: str | None = None,
    log: Log = lambda _: None,
) -> Issued:
    """
    A new key and its certificate for exactly these names, canonical hosts and wildcards.

    `answerers`, by type of challenge, are in the operator's order: the first that is offered is
    used. `profile` and `replaces` are those of `Client.new_order`.

    Raises:
        AcmeError: with the authority's own text; `challenge` and `names` say what failed.
    """
    key = await asyncio.to_thread(leaf.new_key)
    order = await client.new_order(names, profile=profile, replaces=replaces)
    log(f"order accepted: {_counted(names)}")
    await _Proof(client, answerers, log).give(order)
    order = await _finalize(client, order, leaf.request_for(key, names))
    chain = await client.download(order)
    issued = await asyncio.to_thread(leaf.accept, key, chain, names, time.time())
    log(f"certificate received from {issued.issuer}, valid until {_day(issued.not_after)}")
    return issued


class _Part(msgspec.Struct):
    """One name that is shown to be ours."""

    authorization: str
    name: str
    """With the `*.` of a wildcard."""
    identifier: str
    offer: Offer
    challenge: Challenge
    answerer: Answerer


class _Proof:
    """All authorizations of one order."""

    def __init__(self, client: Client, answerers: Mapping[str, Answerer], log: Log) -> None:
        self._client = client
        self._answerers = answerers
        self._log = log
        self._pending: set[str] = set()
        """URLs of authorizations that nobody has decided."""
        self._shown: list[_Part] = []
        """What has to be taken back."""

    async def give(self, order: Order) -> None:
        """Returns when every name is authorized."""
        try:
            parts = await self._parts(order)
            await _together(self._show(part) for part in parts)
            for part in parts:
                await self._client.answer(part.offer)
            await self._hear(parts)
        finally:
            # A task of its own: a second cancellation ends the wait, not the cleaning.
            await asyncio.shield(spawn(self._clean(), "issuance: cleaning"))

    async def _parts(self, order: Order) -> list[_Part]:
        """What is left to show, by the challenge that is chosen for it."""
        parts = []
        for url in order.authorizations:
            authorization = await self._client.authorization(url)
            if authorization.status == "valid":
                self._log(f"{_name(authorization)}: authorized already")
                continue
            if authorization.status != "pending":
                raise _refusal(authorization, None)
            self._pending.add(url)
            parts.append(await self._part(authorization))
        return parts

    async def _part(self, authorization: Authorization) -> _Part:
        offer = self._choose(authorization)
        shown = await self._client.key_authorization(offer.token)
        return _Part(
            authorization.url,
            _name(authorization),
            _host(authorization),
            offer,
            Challenge(offer.type, offer.token, shown),
            self._answerers[offer.type],
        )

    def _choose(self, authorization: Authorization) -> Offer:
        offers = {offer.type: offer for offer in authorization.offers}
        for kind in self._answerers:
            if kind in offers and (kind == "dns-01" or not authorization.wildcard):
                return offers[kind]
        known = ", ".join(str(each.get("type")) for each in authorization.challenges)
        able = ", ".join(self._answerers) or "nothing"
        text = f"{_name(authorization)}: {known} is offered, {able} can be answered"
        error = AcmeError("noChallenge", text, step="authorization")
        error.names = (_name(authorization),)
        raise error

    async def _show(self, part: _Part) -> None:
        self._shown.append(part)
        try:
            await part.answerer.present(part.identifier, part.challenge)
        except AcmeError:
            raise
        except EdgeError as error:
            found = AcmeError("notPresented", str(error), step="authorization")
            raise _about(found, part) from error
        self._log(f"{part.name}: {part.challenge.type} is shown")

    async def _hear(self, parts: list[_Part]) -> None:
        """All are heard out: the error names each name that failed."""
        outcomes = await asyncio.gather(
            *(self._decided(part) for part in parts), return_exceptions=True
        )
        failures = [each for each in outcomes if isinstance(each, AcmeError)]
        for outcome in outcomes:
            if outcome is not None and outcome not in failures:
                raise outcome
        for failure in failures:
            self._log(str(failure))
        if failures:
            named = itertools.chain.from_iterable(each.names for each in failures)
            failures[0].names = tuple(dict.fromkeys(named))
            raise failures[0]

    async def _decided(self, part: _Part) -> None:
        try:
            found = await _until(
                lambda: self._client.authorization(part.authorization),
                lambda each: each.status not in ("pending", "processing"),
                "authorization",
                AUTHORIZATION_S,
            )
        except AcmeError as error:
            raise _about(error, part) from None
        self._pending.discard(part.authorization)
        if found.status != "valid":
            raise _about(_refusal(found, part.offer.type), part)
        self._log(f"{part.name}: authorized by {part.challenge.type}")

    async def _clean(self) -> None:
        """Each step whatever becomes of the others; what fails is told, and hides no error."""
        steps = [part.answerer.cleanup(part.identifier, part.challenge) for part in self._shown]
        steps += [self._client.deactivate(url) for url in self._pending]
        try:
            async with asyncio.timeout(CLEANING_S):
                outcomes = await asyncio.gather(*steps, return_exceptions=True)
        except TimeoutError:
            self._log(f"cleaning was not done within {CLEANING_S:g} s")
            return
        for outcome in outcomes:
            if isinstance(outcome, EdgeError):
                self._log(f"cleaning: {outcome}")
            elif isinstance(outcome, Exception):
                logger.error("cleaning after an order failed", exc_info=outcome)


async def _finalize(client: Client, order: Order, request: bytes) -> Order:
    """
    The order with its certificate.

    A finalization whose answer was lost may have come through: the order is looked at before it is
    handed in again, since a certificate nobody fetches counts against the limits all the same.
    """

    async def look() -> Order:
        found = await client.order(order.url)
        return await client.finalize(found, request) if found.status == "ready" else found

    found = await _until(
        look, lambda each: each.status in ("valid", "invalid"), "finalize", ORDER_S
    )
    if found.status == "invalid":
        problem = found.error or Problem(detail="the order became invalid, without a reason")
        error = error_of(problem)
        error.kind = error.kind if found.error else "invalidOrder"
        error.step = "finalize"
        raise error
    return found


Waited = TypeVar("Waited", Authorization, Order)


async def _until(
    look: Callable[[], Awaitable[Waited]],
    is_heard: Callable[[Waited], bool],
    step: Step,
    within_s: float,
) -> Waited:
    """What is looked at, once it is settled: at the authority's pace, else at a slowing one."""
    deadline, pause, misses, is_last = time.monotonic() + within_s, FIRST_S, 0, False
    while True:
        try:
            found = await look()
        except AcmeError as error:
            misses += 1
            if error.fault not in ("authority", "limit") or misses == MISSES:
                raise
            failure = error
        else:
            if is_heard(found):
                return found
            misses = 0
            text = f"still {found.status} after {within_s:g} s"
            failure = AcmeError("timeout", text, step=step, retry_after=found.retry_after)
        left = deadline - time.monotonic()
        wished = pause if failure.retry_after is None else max(failure.retry_after, FIRST_S)
        if is_last or (failure.fault == "limit" and wished > left):
            raise failure
        is_last = wished >= left
        await asyncio.sleep(max(0.0, min(wished, left)))
        pause = min(pause * GROWTH, LAST_S)


async def _together(steps: Iterable[Awaitable[None]]) -> None:
    """All at once; the first failure ends the others, and is raised as it is."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _refusal(authorization: Authorization, kind: str | None) -> AcmeError:
    """Why there is no authorization: what the tried challenge says, else any, else its status."""
    errors = {offer.type: offer.error for offer in authorization.offers if offer.error}
    problem = errors.get(kind or "") or next(iter(errors.values()), None)
    if problem is not None:
        error = error_of(problem)
    else:
        text = f"the authorization became {authorization.status}, without a reason"
        error = AcmeError("invalidAuthorization", text)
    error.step = "authorization"
    error.names = (_name(authorization),)
    return error


def _about(error: AcmeError, part: _Part) -> AcmeError:
    """Which name failed, and by which challenge."""
    error.challenge = part.challenge.type
    error.names = error.names or (part.name,)
    return error


def _name(authorization: Authorization) -> str:
    return ("*." if authorization.wildcard else "") + _host(authorization)


def _host(authorization: Authorization) -> str:
    """As the rest of the house spells it: IPv6 in brackets."""
    value = authorization.identifier.value
    return parse_address(value) or printable(value.lower())


def _counted(names: Collection[str]) -> str:
    return "1 name" if len(names) == 1 else f"{len(names)} names"


def _day(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
