"""
TLS between a transport in clear text and what speaks over it: a protocol below, a transport above.

Laws: bytes go through OpenSSL's memory BIOs in the call that brought them, and out by the
descriptor like those in clear text: `asyncio`'s own TLS costs twice as much (an exception a read,
queued writes), sends no alerts and knows no half close. The hello is read before OpenSSL reads it:
a certificate is loaded off the loop, and a stranger's name costs no handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from edge.node.connection import Http1Connection
from edge.node.hello import Hello, NotTls, read_hello
from edge.node.tasks import spawn
from edge.node.tls import ACME_TLS, Handshake, canonical_name

if TYPE_CHECKING:
    from edge.node.reception import Reception
    from edge.node.streams import Http2Connection
    from edge.site.certificates import Certificate

RECORD: Final = 16 * 1024
"""Content of the largest record. Source: RFC 8446 §5.1."""

UNRECOGNIZED_NAME: Final = b"\x15\x03\x03\x00\x02\x02\x70"
"""A fatal alert. Source: RFC 8446 §6, RFC 6066 §3."""

HINT: Final = b"This port speaks TLS: use https:// here.\r\n"
PLAIN: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(HINT), HINT)
)
"""For clear text on a port with TLS."""


class Secured:
    """
    One connection with TLS: an `asyncio.Protocol` to what is below, a transport to what is above.

    Neither by inheritance: who is compiled (setup.py) stands on no interpreted class.
    """

    __slots__ = (
        "_above",
        "_begun",
        "_below",
        "_descriptor",
        "_goodbye",
        "_incoming",
        "_is_open",
        "_loading",
        "_name",
        "_needed",
        "_outgoing",
        "_reception",
        "_tls",
        "since",
    )

    __deletable__ = ["_above"]  # noqa: RUF012  (mypyc's: a list in so many words)

    _above: Http1Connection | Http2Connection
    """What speaks, once hands are shaken."""
    _below: asyncio.Transport
    _tls: Handshake

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._is_open = False
        self._begun: bytes | None = b""
        """What came of the hello; None once OpenSSL has it."""
        self._needed = 1
        """Bytes of the hello that there must be to look at it again."""
        self._name = ""
        self._loading: asyncio.Task[None] | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._goodbye = False
        """Whether close_notify was sent: nothing is, any more."""
        self._descriptor = -1
        self.since = reception.service.clock.now

    # Below: the transport in clear text

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or be refused."""
        self._below = cast("asyncio.Transport", transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        peer = transport.get_extra_info("peername")
        if not self._reception.admit(self, peer[0] if isinstance(peer, tuple) else ""):
            self._below.abort()

    def data_received(self, data: bytes) -> None:
        """Records in; what is in them goes up at once."""
        if self._is_open:
            self._incoming.write(data)
            self._read()
        elif self._begun is None:
            self._incoming.write(data)
            self._shake()
        else:
            self._begun += data
            if len(self._begun) >= self._needed and self._loading is None:
                self._look(self._begun)

    def eof_received(self) -> bool:
        """The client sends no more; whether it said so in TLS too makes no difference to HTTP."""
        if not self._is_open or self._goodbye:
            return False
        return bool(self._above.eof_received())

    def connection_lost(self, error: Exception | None) -> None:
        """Leave; whoever speaks is told."""
        if self._reception.service.seats is not None:
            self._reception.service.seats.leave(self)
        if self._is_open:
            self._above.connection_lost(error)
            self._is_open = False
            del self._above  # each holds the other: 20 KiB that only the collector would find
        else:
            self._leave(is_broken=True)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._is_open:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer drained."""
        if self._is_open:
            self._above.resume_writing()

    # The hello

    def _look(self, begun: bytes) -> None:
        """Read the hello, if it is whole; at most once a record."""
        try:
            hello = read_hello(begun)
        except NotTls:
            self._refuse(PLAIN if begun[:1].isupper() else b"")
            return
        if isinstance(hello, Hello):
            self._receive(hello)
        else:
            self._needed = hello

    def _receive(self, hello: Hello) -> None:
        """Go on with the certificate of the name, or refuse the name."""
        contexts = self._reception.contexts
        if hello.protocols == (ACME_TLS.encode(),):
            self._begin(contexts.asked(canonical_name(hello.name)), None)
            return
        self._name = canonical_name(hello.name) if hello.name else self._address()
        certificate = contexts.find(self._name)
        if certificate is None and not hello.name:
            certificate = contexts.find_public()
        shared = self._reception.context if hello.name else None
        if certificate is None:
            self._begin(None, shared)
        elif (context := contexts.ready(certificate)) is not None:
            self._begin(context, shared)
        else:
            self._below.pause_reading()
            self._loading = spawn(self._load(certificate, shared), "certificate")

    def _address(self) -> str:
        """The address that the client has dialed, as a host."""
        address = str(self._below.get_extra_info("sockname")[0])
        return f"[{address}]" if ":" in address else address

    async def _load(self, certificate: Certificate, shared: ssl.SSLContext | None) -> None:
        context = await self._reception.contexts.load(certificate)
        self._loading = None
        if not self._below.is_closing():
            self._below.resume_reading()
            self._begin(context, shared)

    # The handshake

    def _begin(self, context: ssl.SSLContext | None, shared: ssl.SSLContext | None) -> None:
        """
        Shake hands, or refuse where there is no context.

        `shared` is the listener's own, where the client sends a name: only that one's sessions are
        every worker's. `tls.go_on_with_chosen` then has OpenSSL go on with the certificate's.
        """
        if context is None:
            self._reception.strangers += 1
            self._refuse(UNRECOGNIZED_NAME)
            return
        first = shared or context
        tls = first.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._tls = cast("Handshake", tls)
        self._tls.chosen = context
        self._incoming.write(self._begun or b"")
        self._begun = None
        self._shake()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self._leave(is_broken=True)
            self._below.close()
        else:
            self._open()
            if self._outgoing.pending:
                self._flush()

    def _open(self) -> None:
        """
        Hands are shaken: HTTP begins, or nothing where the handshake was the answer.

        Tickets go out with the first answer, if its request is here already.
        """
        self._leave(is_broken=False)
        is_answer = self._tls.selected_alpn_protocol() == ACME_TLS  # RFC 8737 §3
        if is_answer or not self._reception.has_room():
            self._flush()
            self._below.close()
            return
        self._is_open = True
        self._above = Http1Connection(self._reception.service, self._name)
        self._above.connection_made(cast("asyncio.Transport", self))
        if self._incoming.pending:
            self._read()

    # Records

    def _read(self) -> None:
        """
        Hand up what is in the records that are there, all at once: their answers go out together.

        OpenSSL is not asked once more than there is something: it would answer by an exception,
        which costs as much as a record.
        """
        tls, incoming = self._tls, self._incoming
        data, is_over = b"", False
        try:
            data = tls.read(RECORD)
            is_over = not data
            while not is_over and incoming.pending:
                more = tls.read(RECORD)
                data += more
                is_over = not more
        except ssl.SSLWantReadError:
            pass  # the last record is not whole
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self._below.abort()
            return
        if data and not self._goodbye:
            self._above.data_received(data)
        if self._outgoing.pending:
            self._flush()
        if is_over:
            self._hear_goodbye()

    def _hear_goodbye(self) -> None:
        """The client's close_notify: it sends no more, and may still wait for answers."""
        if not self.eof_received():
            self.close()

    def _flush(self) -> None:
        """Send records: past the transport's queue while that is empty, as in clear text."""
        data = self._outgoing.read()
        below = self._below
        if not data or below.is_closing():
            return
        sent = 0
        if not below.get_write_buffer_size():
            try:
                sent = os.write(self._descriptor, data)
            except BlockingIOError:
                pass
            except OSError:
                below.abort()
                return
        if sent < len(data):
            below.write(memoryview(data)[sent:] if sent else data)

    # Above: what a transport is to a connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if data and not self._goodbye and not self._below.is_closing():
            self._tls.write(data)
            self._flush()

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Encrypt and send, each piece as a record at least; `Connection.send` joins small ones."""
        if not self._goodbye and not self._below.is_closing():
            write = self._tls.write
            for piece in pieces:
                if piece:
                    write(piece)
            self._flush()

    def get_write_buffer_size(self) -> int:
        """Bytes of records that the socket has not taken."""
        return self._below.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """TLS has its own end of one direction (RFC 8446 §6.1)."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more comes."""
        self._say_goodbye()
        if not self._below.is_closing():
            self._below.write_eof()

    def close(self) -> None:
        """End, when everything is sent."""
        self._say_goodbye()
        self._below.close()

    def _say_goodbye(self) -> None:
        if self._goodbye or not self._is_open:
            return
        with contextlib.suppress(ssl.SSLError):  # it would wait for the client's
            self._tls.unwrap()
        self._flush()
        self._goodbye = True

    def abort(self) -> None:
        """End at once."""
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it ends."""
        return self._below.is_closing()

    def pause_reading(self) -> None:
        """Take no more records; what is in those that are here has gone up."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Take records again."""
        if not self._below.is_closing():
            self._below.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol speak."""
        self._above = cast("Http2Connection", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object` and `sslcontext`, and what the transport below knows."""
        if name == "ssl_object":
            return self._tls
        if name == "sslcontext":
            return self._tls.context
        return self._below.get_extra_info(name, default)

    # The end before the beginning

    def drop(self) -> None:
        """End it without a word."""
        self._leave(is_broken=True)
        self._below.abort()

    def _refuse(self, last: bytes) -> None:
        """Say why, where there is a word for it, and end."""
        self._leave(is_broken=False)
        self._below.write(last)
        self._below.close()

    def _leave(self, *, is_broken: bool) -> None:
        reception = self._reception
        if self in reception.waiting:
            del reception.waiting[self]
            reception.broken += is_broken
            reception.shaken += self._begun is None and not is_broken
        if self._loading is not None:
            self._loading.cancel()
            self._loading = None
