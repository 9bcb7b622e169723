"""
HTTP/1.1 on the wire (RFC 9112), server role: bytes in, `Request`s and content out.

Laws: no I/O and no timers. zttp is seen here and in `http2` alone; what leaves is ours. An error
is terminal: a connection that could not be framed is never parsed again. Responses are written
as finished bytes past zttp's serializer (105k against 74k requests/s), by `encode_head`.

zttp enforces the grammar and the framing rules of RFC 9112 §6; what it leaves to us is here: the
limits that the operator sets, absolute-form, lengths, codings and versions that change the framing,
targets that are no URI, Host in other versions, the empty line before a request, and which status
an error deserves, however its bytes were cut. `tests/conformance/` says what follows from which.
"""

from __future__ import annotations

import re

import zttp

from edge.errors import (
    HeadTooLarge,
    MalformedRequest,
    Misdirected,
    NotImplementedByServer,
    RequestError,
    TargetTooLong,
    VersionNotSupported,
)
from edge.http.manner import Manner, Manners
from edge.http.message import BLANK_LINE, CRLF, REASONS, Request, Response
from edge.http.target import split_target

NEED_DATA = zttp.NEED_DATA
SLASH = ord("/")

END = object()
"""The event after the last content of a request that had any."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113 §3.4: what a client with prior knowledge sends first."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

PLAIN = (b"GET", b"1.1", SLASH)
REQUEST_LINE = re.compile(rb"[!#-'*+\-.0-9A-Z^_`a-z|~]+ [^\x00-\x20\x7f]+ HTTP/(\d)\.\d\r?\n")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:(?:[^\r\n]*,)?[ \t]*chunked[ \t]*\r\n")
OTHER_CODING = re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*\w+[ \t]*\r\n")
CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length:")


class Limits:
    """What one message may cost. Bytes and counts; zttp's own ceiling is 64 KiB and 100 fields."""

    __slots__ = ("field_bytes", "field_count", "line_bytes", "suspicious_bytes", "target_bytes")

    def __init__(
        self, line_bytes: int = 8192, field_bytes: int = 16384, field_count: int = 100
    ) -> None:
        self.line_bytes = line_bytes
        self.target_bytes = line_bytes - 64
        """What the line leaves for its target beside a method, a version and blanks."""
        self.field_bytes = field_bytes
        self.field_count = field_count
        self.suspicious_bytes = field_bytes // 2
        """Heads in at most two pieces, each under this, need not be measured."""


class Http1:
    """The server's side of one HTTP/1.1 connection."""

    __slots__ = (
        "_connection",
        "_in_content",
        "_large",
        "_limits",
        "_manners",
        "_recent",
        "_sni",
        "_suspicious",
        "_unfinished",
        "is_between",
        "trailers",
    )

    def __init__(
        self, limits: Limits, manners: Manners | None = None, sni: str | None = None
    ) -> None:
        """`manners` are of all connections; with TLS this one was begun for `sni`."""
        self._manners = manners or Manners()
        self._sni = sni
        self._connection = zttp.Connection(zttp.SERVER)
        self._limits = limits
        self._suspicious = limits.suspicious_bytes
        self._in_content = False
        self._large = False
        """Whether a head so far could have passed its limit unmeasured."""
        self._recent: bytes | None = b""
        """The bytes that held the last head; None when content came after it."""
        self._unfinished: bytearray | None = None
        """What arrived of a head that is not whole yet; only for its limits and its errors."""
        self.is_between = True
        """Whether nothing arrived since the last request, which was whole: a head begins next."""
        self.trailers: list[tuple[bytes, bytes]] = []
        """What came behind the last content."""

    def receive(self, data: bytes) -> Request | bytes | object | None:
        """
        Take bytes; the first event they complete: a request, content, `END`, or None for "more".

        Raises:
            RequestError: what arrived cannot be accepted; the connection ends.
        """
        if len(data) > self._suspicious:
            self._large = True
        self.is_between = False
        try:
            event = self._connection.receive_event(data)
        except zttp.RemoteProtocolError as error:
            return self._recover(error, self._pending() + data)
        if event is NEED_DATA:
            try:
                self._extend(data)
            except RequestError as error:
                error.asks_head = self._pending().startswith(b"HEAD ")
                raise
            return None
        if self._unfinished is not None:
            data = self._pending() + data
            self._unfinished = None
        if type(event) is zttp.Request:
            before, self._recent = self._recent, data
            try:
                if before == b"" or (before is not None and before.endswith(BLANK_LINE)):
                    return self._request(event, data)
                return self._request(event)
            except RequestError as error:
                error.asks_head = event.method == b"HEAD"
                raise
        return self._content(event)

    def hold(self, data: bytes) -> None:
        """Take bytes that came while an earlier request was answered; `next` has their events."""
        self._large = True
        self.is_between = False
        if self._recent is not None:  # else some of it may wait behind content, unseen
            self._recent = self._pending() + data
        self._connection.receive_data(data)

    def next(self) -> Request | bytes | object | None:
        """
        The next event of what was received, or None for "more".

        Raises:
            RequestError: as `receive`.
        """
        try:
            event = self._connection.next_event()
        except zttp.RemoteProtocolError as error:
            return self._recover(error, self._failing())
        if event is NEED_DATA:
            return None
        if type(event) is not zttp.Request:
            return self._content(event)
        try:
            return self._request(event)
        except RequestError as error:
            error.asks_head = event.method == b"HEAD"
            raise

    def start_next(self) -> None:
        """Make ready for the next request: the last one is whole and answered."""
        self._connection.start_next_cycle()

    def should_close(self) -> bool:
        """Whether the client asked to end after this message, or speaks HTTP/1.0 without more."""
        return self._connection.should_close()

    def _content(self, event: object) -> bytes | object:
        self._recent = None
        if type(event) is zttp.Data:
            return event.data
        if type(event) is zttp.EndOfMessage:
            self._in_content = False
            self.trailers = event.trailers
            return END
        raise MalformedRequest(f"unexpected {type(event).__name__}")

    def _request(self, event: zttp.Request, head: bytes | None = None) -> Request:
        """
        Ours from zttp's. Cost: one struct; fields stay packed until asked for.

        `head` is what the request begins, where that is known.
        """
        target = event.target
        fields = event.headers
        limits = self._limits
        if len(target) > limits.target_bytes:
            raise TargetTooLong(f"the request line is longer than {limits.line_bytes} bytes")
        if len(fields) > limits.field_count:
            raise HeadTooLarge(f"the request has more than {limits.field_count} field lines")
        if self._large and sum(len(n) + len(v) + 4 for n, v in fields) > limits.field_bytes:
            raise HeadTooLarge(f"the field section is larger than {limits.field_bytes} bytes")
        manner = None
        if head is not None and event.end_stream:
            manner = self._manner(event, head)
        authority = fields.get(b"host", b"") if manner is None else manner.authority  # type: ignore[union-attr]
        if not target.isascii() or b"#" in target:
            raise MalformedRequest("the request target holds a fragment or what is not ASCII")
        if target[0] != SLASH:
            target, authority = self._split(event.method, target, authority)
            manner = None  # what its lines are known by is the authority of Host
        if event.http_version != b"1.1" and len(fields.getall(b"host")) > 1:  # type: ignore[union-attr]
            raise MalformedRequest("Host is there twice")  # of 1.1 zttp sees it
        expects = event.expect_continue
        if not event.end_stream:
            self._in_content = True
            check_framing(event)
            expects = expects and event.http_version != b"1.0"  # RFC 9110 §10.1.1
        return Request(
            event.method,
            target,
            authority,
            fields,  # type: ignore[arg-type]
            event.http_version,
            0,
            event.end_stream,
            expects,
            manner=manner,
        )

    def _split(self, method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
        """As `split_target`; what belongs on a secured connection has to come by one."""
        if self._sni is None and target[:6].lower() == b"https:":  # RFC 9110 §7.4
            raise Misdirected("this connection is not secured, as https has to be")
        return split_target(method, target, host)

    def _manner(self, event: zttp.Request, head: bytes) -> Manner:
        """What the fields say of a request that begins `head` and has no content."""
        lines = head.partition(CRLF)[2]
        self.is_between = lines.find(BLANK_LINE) == len(lines) - len(BLANK_LINE)
        known, spelling = self._manners, lines if self._sni is None else (self._sni, lines)
        manner = known.find(spelling)
        if manner is None:
            manner = Manner(event.headers.get(b"host", b""), event.headers)  # type: ignore[union-attr, arg-type]
            if self.is_between and (event.method, event.http_version, event.target[0]) == PLAIN:
                known.remember(spelling, manner)
        return manner

    # Heads in pieces, and errors

    def _pending(self) -> bytes:
        """What is known to wait in front of the bytes that come next."""
        if self._unfinished is not None:
            return bytes(self._unfinished)
        return b"" if self._recent is None else self._recent.split(BLANK_LINE)[-1]

    def _extend(self, data: bytes) -> None:
        """Hold an unfinished head to its limits, or what frames content: chunk sizes, trailers."""
        limits = self._limits
        self._large = True
        if self._unfinished is None:
            self._unfinished = bytearray(self._pending())
        self._unfinished += data
        size = len(self._unfinished)
        if size <= limits.line_bytes:
            return
        if self._in_content:
            if size > limits.field_bytes:
                raise HeadTooLarge(f"the trailers are larger than {limits.field_bytes} bytes")
            return
        line = self._unfinished.find(b"\n", 2, limits.line_bytes + 2)  # past a leading empty line
        if line < 0:
            raise endless(self._unfinished[: limits.line_bytes])
        if size - line > limits.field_bytes + len(BLANK_LINE):
            raise HeadTooLarge(f"the field section is larger than {limits.field_bytes} bytes")

    def _failing(self) -> bytes:
        """Of several pipelined heads, the one that `next` failed at, and what follows it."""
        heads = (self._recent or b"").split(BLANK_LINE)
        for position, head in enumerate(heads):
            try:
                zttp.Connection(zttp.SERVER).receive_event(head + BLANK_LINE)
            except zttp.RemoteProtocolError:
                return BLANK_LINE.join(heads[position:])
        return heads[-1]

    def _recover(self, error: zttp.RemoteProtocolError, pending: bytes) -> object:
        """
        Read on past one empty line before a request (RFC 9112 §2.2); everything else is an error.

        Only where `pending` is known to begin at the start of a message.
        """
        is_boundary = self._recent is not None and not self._in_content
        if not is_boundary or not pending.startswith(CRLF) or pending.startswith(BLANK_LINE):
            refusal = self._translate(error, pending)
            refusal.asks_head = pending.startswith(b"HEAD ")
            raise refusal from error
        self._connection = zttp.Connection(zttp.SERVER)
        self._unfinished = None
        self._recent = b""
        return self.receive(pending[len(CRLF) :])

    def _translate(self, error: zttp.RemoteProtocolError, pending: bytes) -> RequestError:
        """zttp's errors carry no status; its sentences and the head decide one."""
        message = str(error)
        if "size limit" in message:
            if not self._in_content and CRLF not in pending[: self._limits.line_bytes + 2]:
                return endless(pending[: self._limits.line_bytes])
            return HeadTooLarge(message)
        line = REQUEST_LINE.match(pending)
        if line is not None and line[1] != b"1":
            return VersionNotSupported(f"HTTP/{line[1].decode()} is not spoken on this connection")
        head = pending.partition(BLANK_LINE)[0] + CRLF
        if "framing" in message and is_unknown_coding(head):
            return NotImplementedByServer("only the chunked transfer coding is implemented")
        return MalformedRequest(message)


def endless(line: bytes | bytearray) -> RequestError:
    """What is wrong with a request line that has no end within its limit."""
    if b" " not in line:  # not even a method (RFC 9112 §3)
        return MalformedRequest("no request line begins here")
    return TargetTooLong(f"the request line is longer than {len(line)} bytes")


def is_unknown_coding(head: bytes) -> bool:
    """Whether a coding we do not know is all that is wrong; with lengths beside it, it is not."""
    return (
        OTHER_CODING.search(head) is not None
        and CHUNKED.search(head) is None
        and CONTENT_LENGTH.search(head) is None
    )


def check_framing(event: zttp.Request) -> None:
    """
    Refuse framings that zttp takes and that another server could read in another way.

    Raises:
        MalformedRequest: an HTTP/1.0 client that sends any transfer coding (RFC 9112 §6.1: the
            framing is faulty), or a length that is there twice (§6.3 allows to refuse it).
        NotImplementedByServer: a coding besides chunked, which would be passed on undecoded.
    """
    fields = event.headers
    if len(fields.getall(b"content-length")) > 1:  # type: ignore[union-attr]
        raise MalformedRequest("Content-Length is there twice")
    codings = fields.getall(b"transfer-encoding")  # type: ignore[union-attr]
    if codings and event.http_version == b"1.0":
        raise MalformedRequest("HTTP/1.0 has no transfer codings")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise NotImplementedByServer("only the chunked transfer coding is implemented")


LAST_CHUNK = b"0\r\n"
CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk of content (RFC 9112 §7.1); nothing for nothing, which would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_end(trailers: list[tuple[bytes, bytes]] | None) -> bytes:
    """The last chunk and what follows it."""
    lines = b"".join(b"%b: %b\r\n" % line for line in trailers or ())
    return LAST_CHUNK + lines + CRLF


def encode_interim(status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    """A whole interim response (1xx)."""
    lines = b"".join(b"%b: %b\r\n" % line for line in fields)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, REASONS.get(status, b""), lines)


def encode_head(response: Response, connection_option: bytes, identifier: bytes = b"") -> bytes:
    """
    The head of `response`; `connection_option` is empty, `close` or `keep-alive`.

    `identifier` is the request's; where it has none, none is said.
    """
    lines = response.head.lines
    if connection_option:
        lines = b"%bConnection: %b\r\n" % (lines, connection_option)
    if identifier:
        return b"%bX-Request-Id: %b\r\n%b" % (lines, identifier, response.block)
    return lines + response.block
