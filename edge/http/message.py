"""
One request, one response, and the finished heads that responses share.

Laws: values only. Wire data is `bytes`; what an HTTP/1.1 and an HTTP/2 client get is made from
the same `Response`. A `Head` is made once, on change; a response adds what varies by the second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge.http.fields import is_field_value, is_token
from edge.http.manner import Manner

if TYPE_CHECKING:
    from edge.http.fields import Fields

CRLF = b"\r\n"
BLANK_LINE = CRLF + CRLF
"""The end of the last field line, and the empty one."""
REQUEST_ID = b"X-Request-Id: "
"""What the identifier of a request comes behind."""

COLON = b": "
"""Between a name and its value."""

REASONS: dict[int, bytes] = {
    100: b"Continue",
    101: b"Switching Protocols",
    103: b"Early Hints",
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    203: b"Non-Authoritative Information",
    204: b"No Content",
    206: b"Partial Content",
    300: b"Multiple Choices",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    408: b"Request Timeout",
    410: b"Gone",
    412: b"Precondition Failed",
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    508: b"Loop Detected",
}
"""RFC 9110 §15 and the registry. A status missing here is sent with an empty reason phrase."""


class Incoming(Protocol):
    """The content of a request as its consumer sees it."""

    trailers: list[tuple[bytes, bytes]]
    """What came behind it, once it is read to its end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks in order; raises `RequestError` when the client breaks off."""
        ...


Inform = Callable[[int, list[tuple[bytes, bytes]]], None]
"""Takes a status of 1xx and field lines."""


class Tunnel(Protocol):
    """What a connection becomes after 101 (Switching Protocols): bytes both ways."""

    resume: Callable[[], None]
    """Set by whoever feeds it; called when it takes more."""

    def feed(self, data: bytes) -> bool:
        """Take bytes of the client; False to be given no more until `resume` is called."""
        ...

    def finish(self) -> None:
        """The client sends no more."""
        ...


class Request(msgspec.Struct):
    """One request, HTTP/1.1 and HTTP/2 alike."""

    method: bytes
    """Case-sensitive, e.g. `b"GET"`."""
    target: bytes
    """Origin-form (`/path?query`) or `*`, exactly as it arrived."""
    authority: bytes
    """`Host` or `:authority`, as it arrived; empty when an HTTP/1.0 client sent none."""
    fields: Fields
    version: bytes
    """`b"1.0"`, `b"1.1"` or `b"2"`."""
    stream: int
    """HTTP/2 stream identifier; 0 on HTTP/1.1."""
    ends: bool
    """Whether the head is the whole request."""
    expects: bool
    """Whether the client waits for 100 (Continue) before its content."""
    content: Incoming | None = None
    peer: str = ""
    """Address of the client's end of the connection; empty on a Unix socket."""
    sni: str | None = None
    """The host that TLS was begun for; None in clear text."""
    inform: Inform | None = None
    """Sends an interim response (1xx), while the final one is waited for."""
    id: bytes = b""
    """What its response and its line in the log are known by; empty where nobody needs it."""
    began: float = 0.0
    """When its head was whole, in monotonic seconds."""
    manner: Manner | None = None
    """What its fields say, where requests before had the same."""
    facts: object = None
    """What the log and the counters say of it, besides what is here: set by whoever decides."""
    told: bytes = b""
    """What the log says of its target, once it was asked."""


class Head(msgspec.Struct):
    """A status and the field lines that do not vary by the second, finished for the wire."""

    status: int
    lines: bytes
    """Status line and field lines of HTTP/1.1, each with its CRLF; no empty line."""
    pairs: list[tuple[bytes, bytes]] | None = None
    """The same field lines for HTTP/2; made at the first HTTP/2 use (`head_pairs`)."""
    packed: bytes = b""
    """The beginning of a field block with them, once one was written past the parser."""
    told: bytes = b""
    """What the log says of them, once it was asked."""


class Response(msgspec.Struct):
    """A head, the field lines of this second, and the content."""

    head: Head
    block: bytes
    """Field lines of this second (Date, Age, Cache-Status), then the empty line."""
    content: bytes | AsyncIterator[bytes] | None
    """None for answers without content (HEAD, 204, 304)."""
    pairs: list[tuple[bytes, bytes]] | None = None
    """All field lines for HTTP/2; made at the first HTTP/2 use (`response_pairs`)."""
    closes: bool = False
    """Whether the connection must end after this response (errors of framing)."""
    is_unframed: bool = False
    """Whether the head does not say how long the content is: whoever sends it has to."""
    trailers: list[tuple[bytes, bytes]] | None = None
    """What comes behind content that is unframed; filled by whoever makes that."""
    tunnel: Tunnel | None = None
    """With 101: where the client's bytes go; `content` is what comes back."""
    opening: bytes = b""
    """HTTP/1.1 up to the last line of the head, where requests share it (`content` is bytes)."""
    origin: bytes = b""
    """Whose answer it is: scheme and authority; empty for the node's own."""
    verdict: str | None = None
    """What the cache did, as the log says it; None until somebody asks."""
    repeat: object = None
    """What the ledger keeps of all that share it, once it was sent."""


def finish_head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> Head:
    """
    The finished head of `fields`, in their order.

    Raises:
        ValueError: a name is no token or a value holds a control character; nothing that an
            operator or a client supplied can split a response (RFC 9110 §5.5).
    """
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b""))]
    for name, value in fields:
        if not is_token(name) or not is_field_value(value):
            raise ValueError(f"field {name!r} holds what may not go on the wire: {value!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return Head(status, b"".join(lines))


def pass_head(status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> Head:
    """
    The head of a response that came from elsewhere, its lines judged before.

    Names are in lower case, so that HTTP/2 needs no second list.
    """
    lines = [b"HTTP/1.1 %d %b" % (status, reason), *map(COLON.join, fields), b""]
    return Head(status, CRLF.join(lines), fields)


def response_pairs(response: Response) -> list[tuple[bytes, bytes]]:
    """The response's field lines with lower-case names, for HTTP/2 (RFC 9113 §8.2)."""
    pairs = response.pairs
    if pairs is None:
        head = head_pairs(response.head)
        pairs = response.pairs = head + parse_lines(response.block[:-2])
    return pairs


def head_pairs(head: Head) -> list[tuple[bytes, bytes]]:
    """The same of a head alone."""
    pairs = head.pairs
    if pairs is None:
        pairs = head.pairs = parse_lines(head.lines[head.lines.index(CRLF) + 2 :])
    return pairs


def parse_lines(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Finished field lines back to (lower-case name, value) pairs. Only for lines of our own."""
    pairs = []
    for line in lines.split(CRLF)[:-1]:
        name, _, value = line.partition(b": ")
        pairs.append((name.lower(), value))
    return pairs
