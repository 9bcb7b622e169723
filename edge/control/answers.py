"""
Answers to authorities that the data plane gives: http-01 and tls-alpn-01, and our own probes.

Laws: an authority is told to look only when every worker has the answer. Answers that come at the
same time are written once. What a keeper that died has left is taken back at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from edge.control.fleet import Fleet
from edge.control.issuance import Challenge, alpn_host
from edge.control.preflight import Probe
from edge.control.vault import Vault
from edge.errors import StoreError
from edge.site.certificates import Challenges, HttpAnswer
from edge.site.hosts import canonical_host

log = logging.getLogger("edge.answers")

TOKEN: Final = 24
"""Bytes of a probe's token; as long as those of authorities."""


class Answers:
    """What is answered now, in memory and for workers; of the loop's thread."""

    def __init__(self, vault: Vault, fleet: Fleet) -> None:
        self._vault = vault
        self._fleet = fleet
        self._http: dict[str, HttpAnswer] = {}
        self._alpn: dict[str, dict[str, str]] = {}
        """By host, then by token: two orders may ask about one name."""
        self._writing = asyncio.Lock()
        self._written = Challenges()
        self.http = HttpAnswerer(self)
        self.alpn = AlpnAnswerer(self)

    async def open(self) -> None:
        """Take back what a keeper that died has left."""
        self._written = await asyncio.to_thread(self._vault.challenges)
        await self._show()

    def put_http(self, token: str, host: str, content: str) -> None:
        """Answer a token of one host; not before `show`."""
        self._http[token] = HttpAnswer(host, content)

    def put_alpn(self, host: str, token: str, pem: str) -> None:
        """Answer `acme-tls/1` for a host; not before `show`."""
        self._alpn.setdefault(host, {})[token] = pem

    async def show(self) -> None:
        """
        Returns when every worker answers as it was put.

        Raises:
            StoreError: it cannot be written, or a worker cannot read it.
        """
        try:
            await self._show()
        except OSError as error:
            raise StoreError(f"answers to the authority cannot be written: {error}") from error

    def forget(self, token: str) -> None:
        """Answer a token no more, with what is shown next."""
        self._http.pop(token, None)

    async def take_back(self, token: str, host: str = "") -> None:
        """Answer it no more; workers that are not told see it within a second."""
        self.forget(token)
        for each in [host] if host else []:
            self._alpn.get(each, {}).pop(token, None)
            if not self._alpn.get(each):
                self._alpn.pop(each, None)
        await self.show()

    async def _show(self) -> None:
        async with self._writing:
            alpn = {host: list(pems.values())[-1] for host, pems in self._alpn.items()}
            wanted = Challenges(dict(self._http), alpn)
            if wanted == self._written:
                return
            await asyncio.to_thread(self._vault.write_challenges, wanted)
            replies = await asyncio.to_thread(self._fleet.tls)
            refused = [reply["error"] for reply in replies if "error" in reply]
            if refused:
                raise StoreError(f"a worker does not answer the authority: {refused[0]}")
            self._written = wanted

    def probe(self, host: str) -> Probe:
        """An answer of our own, for who looks whether a host leads here; not before `show`."""
        token = secrets.token_urlsafe(TOKEN)
        content = f"{token}.{secrets.token_urlsafe(TOKEN)}"
        self.put_http(token, host, content)
        return Probe(token, content)


class HttpAnswerer:
    """http-01. See `issuance.Answerer`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Answer the token. Raises StoreError."""
        host = canonical_host(identifier)
        self._answers.put_http(challenge.token, host, challenge.key_authorization)
        await self._answers.show()

    async def cleanup(self, _: str, challenge: Challenge) -> None:
        """Answer it no more. Raises StoreError."""
        await self._answers.take_back(challenge.token)


class AlpnAnswerer:
    """tls-alpn-01. See `issuance.Answerer`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Show the certificate of the challenge. Raises StoreError."""
        make: Callable[[], str] = partial(challenge.alpn_pem, identifier)
        pem = await asyncio.to_thread(make)
        self._answers.put_alpn(alpn_host(identifier), challenge.token, pem)
        await self._answers.show()

    async def cleanup(self, identifier: str, challenge: Challenge) -> None:
        """Show it no more. Raises StoreError."""
        await self._answers.take_back(challenge.token, alpn_host(identifier))
