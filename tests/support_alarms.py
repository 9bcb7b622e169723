"""Who is told: a receiver of webhooks and a mail server, both real, and minutes to be told of."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from edge.control.letters import Letter
from tests.support import free_port
from tests.support_tls import Issuer

START = 1_800_000_000 // 60 * 60


class Minute(NamedTuple):
    """As the series has them."""

    at: int
    requests: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    classes: tuple[int, ...] = (0,) * 6
    latency: tuple[int, ...] = (0, 0)


def at(number: int) -> int:
    """The beginning of a minute by its number."""
    return START + 60 * number


def minute(number: int, errors: int = 0, requests: int = 100) -> Minute:
    """A minute with so many 5xx answers."""
    classes = (0, 0, requests - errors, 0, 0, errors)
    return Minute(at(number), requests, classes=classes, latency=(requests, 0))


def letter(to: str, **more: Any) -> Letter:
    """One on its way."""
    document = {"text": "FIRING: ünï", "id": "0123", "value": 12.5, "app": "shop", "url": None}
    options: dict[str, Any] = {"about": "alarm", "subject": "FIRING: ünï", "document": document}
    return Letter(to=to, **(options | more))


class Receiver:
    """Takes webhooks; `answers` are given first, then 200."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        """JSON of every request, refused ones too."""
        self.requests: list[web.Request] = []
        self.answers: list[web.Response | None] = []
        """None is silence."""
        self.port = 0
        self._news = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.taken.append(await request.json())
        self.requests.append(request)
        self._news.set()
        answer = self.answers.pop(0) if self.answers else web.Response(text="ok")
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    async def has(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many requests have come; they."""
        async with asyncio.timeout(15):
            while len(self.taken) < count:
                self._news.clear()
                await self._news.wait()
        return self.taken

    def url(self, path: str = "/hook/secret", scheme: str = "http") -> str:
        """Where it listens."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@contextlib.asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens, over TLS perhaps."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()


def server_context(issuer: Issuer, folder: Path, *names: str) -> ssl.SSLContext:
    """A server's, with a certificate of some names."""
    file = folder / "server.pem"
    file.write_text(issuer.pem(*names))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


class MailServer:
    """Takes mails of `user`, with the password `secret`; `refusals` are answered first."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refusals: list[str] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.port = free_port()

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Any, envelope: Any
    ) -> str:
        """A message."""
        del server, session
        if self.refusals:
            return self.refusals.pop(0)
        content = envelope.content
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 taken"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """A recipient; nobody here is called `nobody`."""
        del server, session, options
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, kind: Any, data: Any) -> Any:
        """A login."""
        del server, session, envelope, kind
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        success = (data.login, data.password) == (b"user", b"secret")
        return AuthResult(success=success, handled=False)


@contextlib.contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, is_implicit: bool = False, has_login: bool = False
) -> Iterator[MailServer]:
    """A mail server, with STARTTLS where it has a context."""
    server = MailServer()
    options: dict[str, Any] = {}
    if context is not None and not is_implicit:
        options |= {"tls_context": context, "require_starttls": True}
    if has_login:
        options |= {"authenticator": server.authenticate, "auth_required": True}
        options |= {"auth_require_tls": context is not None and not is_implicit}
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        ssl_context=context if is_implicit else None,
        **options,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
