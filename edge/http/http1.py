"""
HTTP/1.1 on the wire (RFC 9112), server role: bytes in, `Request`s and content out.

Laws: no I/O and no timers. zttp is seen here and in `http2` alone; what leaves is ours. An error
is terminal: a connection that could not be framed is never parsed again. Responses are written
as finished bytes past zttp's serializer (105k against 74k requests/s), by `encode`.

zttp enforces the grammar and the framing rules of RFC 9112 §6; what it leaves to us is here: the
limits that the operator sets, absolute-form, and which status an error deserves.
"""

from __future__ import annotations

import re

import zttp

from edge.errors import (
    HeadTooLarge,
    MalformedRequest,
    NotImplementedByServer,
    RequestError,
    TargetTooLong,
    VersionNotSupported,
)
from edge.http.message import CRLF, Request, Response

NEED_DATA = zttp.NEED_DATA
SLASH = ord("/")

END = object()
"""The event after the last content of a request that had any."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113 §3.4: what a client with prior knowledge sends first."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

REQUEST_LINE = re.compile(rb"[!#-'*+\-.0-9A-Z^_`a-z|~]+ [^\x00-\x20\x7f]+ HTTP/(\d)\.\d\r?\n")
ABSOLUTE_FORM = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")


class Limits:
    """What one message may cost. Bytes and counts; zttp's own ceiling is 64 KiB and 100 fields."""

    __slots__ = ("field_bytes", "field_count", "line_bytes", "target_bytes")

    def __init__(
        self, line_bytes: int = 8192, field_bytes: int = 16384, field_count: int = 100
    ) -> None:
        self.line_bytes = line_bytes
        self.target_bytes = line_bytes - 64
        """What the line leaves for its target beside a method, a version and blanks."""
        self.field_bytes = field_bytes
        self.field_count = field_count


class Http1:
    """The server's side of one HTTP/1.1 connection."""

    __slots__ = ("_connection", "_first", "_head", "_large", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._connection = zttp.Connection(zttp.SERVER)
        self._limits = limits
        self._first = b""
        self._head = 0
        self._large = False

    def receive(self, data: bytes) -> Request | bytes | object | None:
        """
        Take bytes; the first event they complete: a request, content, `END`, or None for "more".

        Raises:
            RequestError: what arrived cannot be accepted; the connection ends.
        """
        if len(data) + self._head > self._limits.field_bytes:
            self._large = True
        try:
            event = self._connection.receive_event(data)
        except zttp.RemoteProtocolError as error:
            raise self._translate(error, self._first or data) from error
        if event is NEED_DATA:
            self._count(data)
            return None
        self._head = 0
        return self._request(event) if type(event) is zttp.Request else self._content(event)

    def hold(self, data: bytes) -> None:
        """Take bytes without reading events: an earlier request is still being answered."""
        self._large = True
        try:
            self._connection.receive_data(data)
        except zttp.RemoteProtocolError as error:
            raise self._translate(error, data) from error

    def next(self) -> Request | bytes | object | None:
        """The next event of what was received, or None for "more"."""
        try:
            event = self._connection.next_event()
        except zttp.RemoteProtocolError as error:
            raise self._translate(error, b"") from error
        if event is NEED_DATA:
            return None
        return self._request(event) if type(event) is zttp.Request else self._content(event)

    def start_next(self) -> None:
        """Make ready for the next request: the last one is whole and answered."""
        self._connection.start_next_cycle()
        self._first = b""
        self._head = 0

    def should_close(self) -> bool:
        """Whether the client asked to end after this message, or speaks HTTP/1.0 without more."""
        return self._connection.should_close()

    def _content(self, event: object) -> bytes | object:
        if type(event) is zttp.Data:
            return event.data
        if type(event) is zttp.EndOfMessage:
            return END
        raise MalformedRequest(f"unexpected {type(event).__name__}")

    def _request(self, event: zttp.Request) -> Request:
        """Ours from zttp's. Cost: one struct; fields stay packed until asked for."""
        target = event.target
        fields = event.headers
        limits = self._limits
        if len(target) > limits.target_bytes:
            raise TargetTooLong(f"the request line is longer than {limits.line_bytes} bytes")
        if len(fields) > limits.field_count:
            raise HeadTooLarge(f"the request has more than {limits.field_count} field lines")
        if self._large and sum(len(n) + len(v) + 4 for n, v in fields) > limits.field_bytes:
            raise HeadTooLarge(f"the field section is larger than {limits.field_bytes} bytes")
        authority = fields.get(b"host", b"")  # type: ignore[union-attr]
        if target[0] != SLASH:
            target, authority = split_target(event.method, target, authority)
        return Request(
            event.method,
            target,
            authority,
            fields,  # type: ignore[arg-type]
            event.http_version,
            0,
            event.end_stream,
            event.expect_continue,
        )

    def _count(self, data: bytes) -> None:
        """Hold an unfinished head to its limits; content does not count (it made events)."""
        self._head += len(data)
        if not self._first:
            self._first = data
        if self._head > self._limits.line_bytes + self._limits.field_bytes:
            raise HeadTooLarge("the head of the request is larger than allowed")

    def _translate(self, error: zttp.RemoteProtocolError, head: bytes) -> RequestError:
        """zttp's errors carry no status; its sentences and the first line decide one."""
        message = str(error)
        if "size limit" in message:
            longest = self._limits.line_bytes
            if CRLF not in head[: longest + 2]:
                return TargetTooLong(message)
            return HeadTooLarge(message)
        line = REQUEST_LINE.match(head)
        if line is not None and line[1] != b"1":
            return VersionNotSupported(f"HTTP/{line[1].decode()} is not spoken on this connection")
        if "framing" in message and re.search(rb"(?i)\r\ntransfer-encoding:[ \t]*\w+\r\n", head):
            return _unknown_coding(head, message)
        return MalformedRequest(message)


def _unknown_coding(head: bytes, message: str) -> RequestError:
    """501 for a transfer coding we do not know (RFC 9112 §6.1), 400 when lengths conflict."""
    if re.search(rb"(?i)\r\ncontent-length:", head) or re.search(rb"(?i):[ \t]*chunked\r\n", head):
        return MalformedRequest(message)
    return NotImplementedByServer("only the chunked transfer coding is implemented")


def split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """
    (origin-form or `*`, authority) of a request target that is not in origin-form.

    A `Host` that disagrees with an absolute-form target is refused: a front and a back that pick
    different ones is how hosts are confused (RFC 9112 §3.2.2 would let the target win).

    Raises:
        MalformedRequest: authority-form outside CONNECT, or another form that means nothing here.
    """
    if target == b"*" and method == b"OPTIONS":
        return target, host
    if method == b"CONNECT":
        return target, host
    absolute = ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise MalformedRequest("the request target is neither a path nor an absolute URL")
    authority, rest = absolute[1], absolute[2]
    if host and host.lower() != authority.lower():
        raise MalformedRequest("Host and the authority of the request target differ")
    return (rest if rest[:1] == b"/" else b"/" + rest), authority


def encode_head(response: Response, connection_option: bytes) -> bytes:
    """The head of `response`; `connection_option` is empty, `close` or `keep-alive`."""
    if connection_option:
        return b"%bConnection: %b\r\n%b" % (response.head.lines, connection_option, response.block)
    return response.head.lines + response.block
