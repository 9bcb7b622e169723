"""
Where connections with TLS begin: accepted, looked at, given their certificate, shaken hands with.

Laws: the hello is looked at before OpenSSL reads it (MSG_PEEK), so that a certificate can be
loaded off the loop, a stranger's name costs no handshake, and a challenge is told from a visit by
what RFC 8737 says. Who has not shaken hands is bounded in number and in time; beyond the number
the one that has taken longest goes, since an honest client takes two round trips.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from edge.node.connection import Http1Connection
from edge.node.hello import MAX_HELLO, Hello, NotTls, read_hello
from edge.node.tasks import spawn
from edge.node.tls import ACME_TLS, Contexts, canonical_name

if TYPE_CHECKING:
    from edge.node.transport import Service
    from edge.site.certificates import Certificate
    from edge.site.settings import Limits

log = logging.getLogger("edge.acceptor")

BURST: Final = 64
"""Connections taken in one turn of the loop."""

GOODBYE_SECONDS: Final = 3.0
"""How long a peer may take to say that it is closing too (uvloop's own: 30)."""

UNRECOGNIZED_NAME: Final = b"\x15\x03\x03\x00\x02\x02\x70"
"""A fatal alert. Source: RFC 8446 §6, RFC 6066 §3."""

HINT: Final = b"This port speaks TLS: use https:// here.\r\n"
PLAIN: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(HINT), HINT)
)
"""For clear text on a port with TLS."""

MAX_PEEK: Final = MAX_HELLO + 1
"""Bytes looked at: one more than a hello may have."""


Begin = Callable[[], asyncio.Protocol]
"""Makes what speaks once hands are shaken."""


class Farewell(asyncio.Protocol):
    """After tls-alpn-01: the handshake was the answer (RFC 8737 §3)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End."""
        transport.close()


class Reception:
    """What the TLS listeners of a worker share."""

    def __init__(self, service: Service, contexts: Contexts, context: ssl.SSLContext) -> None:
        self.service = service
        self.contexts = contexts
        self.context = context
        """The listeners' own: made by the parent, so that workers share its ticket keys."""
        context.sni_callback = contexts.on_name
        self.max_handshakes = 500
        self.handshake_timeout = 10.0
        self.waiting: dict[Arrival, None] = {}
        """Who has not shaken hands, in the order of arrival."""
        self._acceptors: list[Acceptor] = []
        self.shaken = 0
        self.broken = 0
        """Handshakes that failed or took too long."""
        self.strangers = 0
        """Connections for names that have no certificate."""

    def listen(self, listener: socket.socket) -> None:
        """Take connections from a socket."""
        self._acceptors.append(Acceptor(listener, self))

    def configure(self, limits: Limits) -> None:
        """Bound handshakes as the operator says."""
        self.max_handshakes = limits.handshakes
        self.handshake_timeout = limits.handshake_timeout

    def status(self) -> dict[str, int]:
        """What became of those who came."""
        return {"shaken": self.shaken, "broken": self.broken, "strangers": self.strangers}

    def welcome(self, client: socket.socket) -> None:
        """Begin with a connection, or drop it where the worker has as many as it may."""
        service = self.service
        if len(service.connections) >= service.max_connections:
            service.refused += 1
            client.close()
            return
        if len(self.waiting) >= self.max_handshakes:
            next(iter(self.waiting)).drop()
        arrival = Arrival(self, client)
        self.waiting[arrival] = None
        arrival.look()

    def sweep(self, now: float) -> None:
        """Drop whoever takes too long; once a second."""
        for acceptor in self._acceptors:
            acceptor.sweep()
        for arrival in list(self.waiting):
            if now - arrival.since <= self.handshake_timeout:
                return
            arrival.drop()

    def close(self) -> None:
        """Nobody is received any more."""
        while self._acceptors:
            self._acceptors.pop().close()
        for arrival in list(self.waiting):
            arrival.drop()


class Acceptor:
    """One listening socket."""

    def __init__(self, listener: socket.socket, reception: Reception) -> None:
        self._listener = listener
        self._reception = reception
        self._is_paused = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)

    def _accept(self) -> None:
        for _ in range(BURST):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:  # no descriptors: look again in a second, not at once
                log.error("no connection can be accepted: %s", error)
                self._loop.remove_reader(self._listener)
                self._is_paused = True
                return
            client.setblocking(False)  # noqa: FBT003  (the socket API's own)
            self._reception.welcome(client)

    def sweep(self) -> None:
        """Look again; once a second."""
        if self._is_paused:
            self._is_paused = False
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()


class Arrival:
    """One connection before HTTP."""

    __slots__ = ("_client", "_looking", "_reception", "_seen", "_shaking", "since")

    def __init__(self, reception: Reception, client: socket.socket) -> None:
        self._reception = reception
        self._client = client
        self._seen = 0
        self._looking = False
        self._shaking: asyncio.Task[None] | None = None
        self.since = reception.service.clock.now

    def look(self) -> None:
        """Read the hello without taking it."""
        client = self._client
        try:
            data = client.recv(MAX_PEEK, socket.MSG_PEEK)
            found = read_hello(data) if len(data) > self._seen else None
        except BlockingIOError:
            self._await(1)
        except (OSError, NotTls) as error:
            self._refuse(PLAIN if isinstance(error, NotTls) and is_http(client) else b"")
        else:
            if isinstance(found, Hello):
                self._receive(found)
            elif found is None:
                self._refuse(b"")  # the client went away in the middle
            else:
                self._seen = len(data)
                self._await(found)

    def _await(self, size: int) -> None:
        """Look again when there are `size` bytes, or none will come."""
        if size > 1:  # the kernel says "readable" only then, or peeking would spin
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().add_reader(self._client, self.look)

    def _receive(self, hello: Hello) -> None:
        """Shake hands by the certificate of the name, or refuse the name."""
        self._look_no_more()
        if self._seen:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        reception, contexts = self._reception, self._reception.contexts
        if hello.protocols == (ACME_TLS.encode(),):
            self._shake(contexts.asked(canonical_name(hello.name)), Farewell)
            return
        host = canonical_name(hello.name) if hello.name else self._address()
        certificate = contexts.find(host)
        shared = reception.context if hello.name else None
        begin = partial(Http1Connection, reception.service, host)
        if certificate is None:
            self._shake(None, begin)
        elif (context := contexts.ready(certificate)) is not None:
            self._shake(shared or context, begin)
        else:
            self._shaking = spawn(self._load(certificate, shared, begin), "certificate")

    def _address(self) -> str:
        """The address that the client has dialed, as a host."""
        address = self._client.getsockname()[0]
        return f"[{address}]" if ":" in address else address

    async def _load(
        self, certificate: Certificate, shared: ssl.SSLContext | None, begin: Begin
    ) -> None:
        context = await self._reception.contexts.load(certificate)
        self._shaking = None
        self._shake(context and (shared or context), begin)

    def _shake(self, context: ssl.SSLContext | None, begin: Begin) -> None:
        """
        Shake hands, or refuse where there is no context.

        It is the listener's own where the client sends a name, for only that one's sessions are
        every worker's; `Contexts.on_name` then has OpenSSL go on with the certificate's.
        """
        if context is None:
            self._reception.strangers += 1
            self._refuse(UNRECOGNIZED_NAME)
        else:
            self._shaking = spawn(self._handshake(context, begin), "handshake")

    async def _handshake(self, context: ssl.SSLContext, begin: Begin) -> None:
        reception = self._reception
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                begin,
                self._client,
                ssl=context,
                ssl_handshake_timeout=reception.handshake_timeout,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
            reception.shaken += 1
        except OSError:
            reception.broken += 1
        finally:
            self._leave()

    # The end

    def drop(self) -> None:
        """End it without a word."""
        if self._shaking is not None:
            self._shaking.cancel()
        self._reception.broken += 1
        self._look_no_more()
        self._leave()
        self._client.close()

    def _refuse(self, last: bytes) -> None:
        """Say why, where there is a word for it, and end."""
        self._look_no_more()
        self._leave()
        try:
            if last:
                self._client.recv(MAX_PEEK)  # or the kernel resets, and the word is lost
                self._client.send(last)
        except OSError:
            pass
        self._client.close()

    def _look_no_more(self) -> None:
        if self._looking:
            self._looking = False
            asyncio.get_running_loop().remove_reader(self._client)

    def _leave(self) -> None:
        self._reception.waiting.pop(self, None)


def is_http(client: socket.socket) -> bool:
    """Whether the first bytes are those of a request in clear text."""
    try:
        return client.recv(8, socket.MSG_PEEK)[:1].isupper()
    except OSError:
        return False
