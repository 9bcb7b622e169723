"""
One certificate authority: directory, account, orders, authorizations, certificates, ARI.

Laws: every wish is one method, asynchronous outside, and runs in the one thread that owns the
connection, so nothing of it needs a lock. The account is registered at its first use, used ever
after, and registered once more where the authority has lost it. What an authority says is a
document of ours that ignores what it does not know: other challenge types, statuses, problems. Not
here: what is asked when (`issuance`), what an error leads to (the keeper).

Source: RFC 8555, RFC 8738 (IP addresses), RFC 9773 (ARI).
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from acme import messages

from edge.control import acme_account
from edge.control.acme_documents import (
    Authorization,
    Directory,
    Offer,
    Order,
    RenewalInfo,
    authorization_in,
    order_in,
    renewal_info_in,
)
from edge.control.acme_errors import AcmeError, Step, at, printable
from edge.control.acme_wire import CALL_S, Answer, Payload, Wire
from edge.control.leaf import base64url
from edge.node.roots import context_with
from edge.site.settings import AccountBinding

DIRECTORY_S: Final = 3_600.0
"""How long a directory is believed: it gets profiles and ARI without notice."""

PATIENCE_S: Final = 2 * CALL_S
"""For one wish, and those of the same authority that are before it."""

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,512}")
"""It becomes part of paths and names. Source: RFC 8555 §8.3; 128 bits are 22 characters."""

T = TypeVar("T")


class Client:
    """
    What the node asks of one authority.

    `folder` is the account's; a relative `eab.hmac_key_file` is below the working folder. Every
    method raises `AcmeError`, within `PATIENCE_S`.
    """

    def __init__(
        self,
        directory: str,
        folder: Path,
        *,
        ca_file: Path | None = None,
        email: str | None = None,
        eab: AccountBinding | None = None,
    ) -> None:
        self.url = directory
        self._folder = folder
        self._ca_file = ca_file
        self._email = email
        self._eab = eab
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acme")
        # What follows is the thread's alone.
        self._wire: Wire | None = None
        self._directory: Directory | None = None
        self._read_at = 0.0
        self._date: float | None = None
        self._account: str | None = None

    async def directory(self) -> Directory:
        """What the authority offers."""
        return await self._do("directory", self._look_up)

    async def clock(self) -> float | None:
        """What the authority's clock says now, in epoch seconds; None where it does not tell."""
        await self.directory()
        return None if self._date is None else self._date + time.monotonic() - self._read_at

    async def account(self) -> str:
        """The URL of the account; it is registered if it has to be."""
        return await self._do("account", self._registered)

    async def key_authorization(self, token: str) -> str:
        """What a challenge with this token is answered with. Source: RFC 8555 §8.1."""
        if not TOKEN.fullmatch(token):
            raise AcmeError("badAnswer", f"{printable(token)!r} is no token", step="authorization")
        return await self._do(
            "authorization", lambda: f"{token}.{acme_account.thumbprint(self._open().signer)}"
        )

    async def new_order(
        self, names: Iterable[str], *, profile: str | None = None, replaces: str | None = None
    ) -> Order:
        """
        An order for one certificate of all names.

        A profile is asked for where the authority has profiles; one that it does not have is
        `invalidProfile`. `replaces`, the id of a certificate, is sent where it has ARI.
        """
        order = functools.partial(self._order, tuple(names), profile, replaces)
        return await self._do("order", order)

    async def order(self, url: str) -> Order:
        """An order as it is now."""
        return await self._do("finalize", lambda: order_in(self._ask(url), url))

    async def authorization(self, url: str) -> Authorization:
        """An authorization as it is now."""
        return await self._do("authorization", lambda: authorization_in(self._ask(url), url))

    async def answer(self, offer: Offer) -> None:
        """Tell the authority that a challenge can be looked at."""
        await self._do("authorization", lambda: self._ask(offer.url, {}, again=False))

    async def deactivate(self, authorization: str) -> None:
        """Give up an authorization, so that it counts no more. Source: RFC 8555 §7.5.2."""
        wish = {"status": "deactivated"}
        await self._do("authorization", lambda: self._ask(authorization, wish))

    async def finalize(self, order: Order, csr: bytes) -> Order:
        """Hand in the request (PKCS #10, in DER) of an order that is ready."""
        wish = {"csr": base64url(csr)}
        return await self._do(
            "finalize", lambda: order_in(self._ask(order.finalize, wish, again=False), order.url)
        )

    async def download(self, order: Order) -> bytes:
        """The chain of a valid order as it came: PEM, the certificate first."""
        url = order.certificate
        if url is None:
            raise AcmeError("badAnswer", "a valid order has no certificate", step="download")
        return await self._do("download", lambda: self._ask(url).content)

    async def revoke(self, certificate: bytes, reason: int = 0) -> None:
        """Revoke a certificate (DER) of this account. Source: RFC 8555 §7.6, RFC 5280 §5.3.1."""
        wish = {"certificate": base64url(certificate), "reason": reason}
        await self._do("revocation", lambda: self._ask(self._look_up().revoke_cert, wish))

    async def renewal_info(self, certificate: str) -> RenewalInfo | None:
        """
        When the certificate with this id should be renewed; None where the authority has no ARI.

        An answer that makes no sense, an end before its start above all, is `badWindow`. Never ask
        about a certificate that has expired (RFC 9773 §4.3).
        """
        return await self._do("renewal", lambda: self._renewal_info(certificate))

    async def close(self) -> None:
        """End the connection, after what is being asked."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _do(self, step: Step, action: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await loop.run_in_executor(self._thread, self._at, step, action)
        except TimeoutError:
            text = f"the authority took longer than {PATIENCE_S:g} s"
            raise AcmeError("timeout", text, step=step) from None

    # In the thread

    def _at(self, step: Step, action: Callable[[], T]) -> T:
        with at(step):
            self._open().begin()
            return action()

    def _open(self) -> Wire:
        if self._wire is None:
            key = acme_account.open_key(self._folder)
            try:
                context = context_with(self._ca_file)
            except OSError as error:
                text = f"acme.ca_file: {self._ca_file} cannot be used: {error.strerror or error}"
                raise AcmeError("accountUnusable", text, step="directory") from error
            self._wire = Wire(key, context, is_secure=self.url.startswith("https://"))
            self._account = acme_account.read_url(self._folder, key)
            self._wire.sign_as(self._account)
        return self._wire

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.session.close()

    def _look_up(self) -> Directory:
        if self._directory is None or time.monotonic() > self._read_at + DIRECTORY_S:
            with at("directory"):
                answer = self._open().fetch(self.url)
                self._directory = answer.read(Directory)
            self._read_at, self._date = time.monotonic(), answer.date
            self._open().new_nonce = self._directory.new_nonce
        return self._directory

    def _registered(self) -> str:
        return self._account or self._register()

    def _register(self) -> str:
        """An authority that knows the key answers with its account. Source: RFC 8555 §7.3.1."""
        with at("account"):
            directory, wire = self._look_up(), self._open()
            wish: dict[str, Any] = {"termsOfServiceAgreed": True}
            if self._email:
                wish["contact"] = [f"mailto:{self._email}"]
            if self._eab is not None:
                wish["externalAccountBinding"] = self._bound(directory, self._eab)
            elif directory.meta.external_account_required:
                text = "the authority asks for an external account; write acme.eab"
                raise AcmeError("externalAccountRequired", text)
            wire.sign_as(None)
            self._account = wire.ask(directory.new_account, Payload(wish)).location
            wire.sign_as(self._account)
            acme_account.keep_url(self._folder, wire.signer, self._account)
            return self._account

    def _bound(self, directory: Directory, eab: AccountBinding) -> Any:
        """Source: RFC 8555 §7.3.4."""
        return messages.ExternalAccountBinding.from_data(
            self._open().signer.public_key(),
            eab.kid,
            acme_account.binding_key(eab),
            messages.Directory({"newAccount": directory.new_account}),
        )

    def _ask(
        self, url: str, wish: Mapping[str, Any] | None = None, *, again: bool = True
    ) -> Answer:
        """As the account, which is registered once more where the authority has lost it."""
        self._look_up()
        self._registered()
        payload = None if wish is None else Payload(wish)
        try:
            return self._open().ask(url, payload, again=again)
        except AcmeError as error:
            if error.kind != "accountDoesNotExist":
                raise
        self._register()
        return self._open().ask(url, payload, again=again)

    def _order(self, names: tuple[str, ...], profile: str | None, replaces: str | None) -> Order:
        directory = self._look_up()
        wish: dict[str, Any] = {"identifiers": [identifier_of(name) for name in names]}
        if profile is not None and directory.meta.profiles is not None:
            _check_profile(profile, directory.meta.profiles)
            wish["profile"] = profile
        if replaces is not None and directory.renewal_info is not None:
            wish["replaces"] = replaces
        try:
            answer = self._ask(directory.new_order, wish)
        except AcmeError as error:
            if "replaces" in wish and _is_about_replacing(error):
                error.kind = "replacesRefused"
            raise
        return order_in(answer, answer.location)

    def _renewal_info(self, certificate: str) -> RenewalInfo | None:
        url = self._look_up().renewal_info
        if url is None:
            return None
        return renewal_info_in(self._open().fetch(f"{url.rstrip('/')}/{certificate}"))


def identifier_of(name: str) -> dict[str, str]:
    """A name of a certificate as an order says it. Source: RFC 8555 §7.1.3, RFC 8738 §3."""
    try:
        return {"type": "ip", "value": str(ipaddress.ip_address(name.strip("[]")))}
    except ValueError:
        return {"type": "dns", "value": name}


def _check_profile(profile: str, profiles: Mapping[str, str]) -> None:
    if profile not in profiles:
        known = printable(", ".join(sorted(profiles))) or "none"
        text = f"the authority has no profile {profile!r}; it has {known}"
        raise AcmeError("invalidProfile", text)


def _is_about_replacing(error: AcmeError) -> bool:
    """Unknown to it, or another account's: each authority has its own kind for that."""
    return (
        error.kind != "alreadyReplaced"
        and error.fault != "limit"
        and error.status in range(400, 500)
        and "replac" in error.detail.lower()
    )
