"""
Lines of the access log: one request, one JSON object, one line, whatever the bytes.

Laws: a line is joined from pieces that many requests share (who asks, what is asked, what is
answered), each made once and kept in a bounded map: 0.4 µs for 2.5. Cookies and Authorization are
read by nobody here. Lines are handed on a few times a second; the disk is never waited for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, cast

from edge.http.message import Request

if TYPE_CHECKING:
    from edge.http.manner import Manner
    from edge.http.message import Head, Response
    from edge.node.clients import Clients
    from edge.node.ledger import Asked, Facts, Recalled
    from edge.node.transport import Connection

REMEMBERED: Final = 16_384
"""Values of each kind that are kept as they are written; then they are forgotten together."""

LONGEST: Final = 256
"""Bytes of a value that is kept."""

MOST: Final = 1024
"""Bytes of a Referer, User-Agent, Range or X-Forwarded-For that are written."""

BATCH: Final = 256
"""Lines that are handed on before the time for it has come."""

PLAIN: Final = re.compile(rb"[ !#-\[\]-~]*+")
"""What JSON has as it is: printable ASCII but for the quote and the backslash."""

KeyT = TypeVar("KeyT", bytes, bytes | None)
FORWARDED: Final = b"x-forwarded-for"
NULL: Final = b"null"
WHOLE: Final = b'"range":null,"complete":true}\n'
NUMBERS: Final = [b"%d" % number for number in range(4096)]
MILLISECONDS: Final = [b'%03dZ","id":"' % number for number in range(1000)]
LONG: Final = b',"ttfb":%.6f,"total":%.6f,'
TIMES: Final = [b',"ttfb":0.%06d,"total":0.%06d,' % (each, each) for each in range(1000)]

CONTENT_TYPE: Final = re.compile(rb"\r\ncontent-type: ([^\r]*+)", re.IGNORECASE)
CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]++)", re.IGNORECASE)

LEAD: Final = (
    b'","client":"%b","port":%b,"country":%b,"method":%b,"scheme":"%b","protocol":"HTTP/%b"%b'
)

Measured = tuple[int, int, float, float, bool]
"""Bytes out and in, seconds to the first byte and in all, and whether all of it was sent."""

Sink = Callable[[list[bytes]], None]
Locate = Callable[["Request"], str | None]


class AccessLog:
    """The lines of one worker."""

    def __init__(self, sink: Sink, clients: Clients, locate: Locate) -> None:
        self.sink = sink
        """Takes whole lines, at once."""
        self.clients = clients
        self.locate = locate
        """The country of a request's client."""
        self._lines: list[bytes] = []
        self._second = 0.0
        """When the second began that `_date` is of, in monotonic seconds."""
        self._date = b""
        self._targets: dict[bytes, bytes] = {}
        self._hosts: dict[bytes, bytes] = {}
        self._agents: dict[bytes | None, bytes] = {}

    def flush(self) -> None:
        """Hand on what there is."""
        if self._lines:
            lines, self._lines = self._lines, []
            self.sink(lines)

    def write(
        self,
        connection: Connection,
        request: Request,
        response: Response | None,
        measured: Measured,
    ) -> None:
        """One line."""
        out, received, first, total, is_whole = measured
        facts = cast("Facts", request.facts)
        status, answer = tell(response)
        is_usual = is_whole and request.fields.get(b"range") is None
        self._add(
            (
                *self._begin(connection, request),
                status,
                tell_size(out),
                NUMBERS[received] if received < 4096 else b"%d" % received,
                LONG % (first, total),
                self._tell_agent(request),
                facts.told or facts.tell(),
                answer,
                WHOLE if is_usual else tell_range(request, is_whole=is_whole),
            )
        )

    def repeat(self, recalled: list[Recalled]) -> None:
        """
        A line each of answers that many get: a third of the price.

        Cost: eleven pieces that are there, joined.
        """
        append = self._lines.append
        for repeat, began, total, received, identifier, client, manner, asked in recalled:
            milliseconds = int((began - self._second) * 1000)
            if not 0 <= milliseconds < 1000:
                milliseconds = self._begin_second(began)
            micro = int(total * 1e6)
            line = (
                self._date,
                MILLISECONDS[milliseconds],
                identifier,
                client,
                manner.host or self._tell_manner_host(manner),
                asked.told or self._tell_asked(asked),
                repeat.lead,
                NUMBERS[received] if received < 4096 else b"%d" % received,
                TIMES[micro] if micro < 1000 else LONG % (total, total),
                manner.told or self._tell_manner(manner),
                repeat.tail,
            )
            append(b"".join(line))
        if len(self._lines) >= BATCH:
            self.flush()

    def _tell_manner_host(self, manner: Manner) -> bytes:
        told = manner.host = self._hosts.get(manner.authority) or self._tell_host(manner.authority)
        return told

    def _begin(self, connection: Connection, request: Request) -> tuple[bytes, ...]:
        """When, who and what."""
        began = request.began
        milliseconds = int((began - self._second) * 1000)
        if not 0 <= milliseconds < 1000:
            milliseconds = self._begin_second(began)
        return (
            self._date,
            MILLISECONDS[milliseconds],
            request.id,
            connection.told.get(request.method) or self._tell_client(connection, request),
            self._hosts.get(request.authority) or self._tell_host(request.authority),
            self._targets.get(request.target) or self._tell_target(request.target),
        )

    def _add(self, pieces: tuple[bytes, ...]) -> None:
        self._lines.append(b"".join(pieces))
        if len(self._lines) >= BATCH:
            self.flush()

    def _begin_second(self, began: float) -> int:
        """The milliseconds of a moment, and the second that it is in."""
        now = time.time() + began - time.monotonic()
        second = int(now)
        self._second = began - (now - second)
        self._date = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)).encode()
        return min(999, int((now - second) * 1000))

    # Who

    def introduce(self, connection: Connection, manner: Manner) -> None:
        """Have an HTTP/1.1 connection know what is said of its next GET, or of all of them."""
        said = manner.authority, manner.fields, b"1.1"
        request = Request(b"GET", b"", *said, 0, ends=True, expects=False, peer=connection.peer)
        connection.once = self._tell_client(connection, request)
        connection.lead = connection.told.get(b"GET")

    def _tell_client(self, connection: Connection, request: Request) -> bytes:
        """Who asks and how; the same for all requests of a connection, but behind a proxy."""
        peer = connection.peer
        is_trusted = self.clients.is_trusted(peer)
        client = self.clients.address(peer, request.fields) if is_trusted else peer
        country = self.locate(request)
        told = LEAD % (
            client.encode(),
            NULL if connection.port is None else b"%d" % connection.port,
            b'"%b"' % country.encode() if country else NULL,
            quoted(request.method[:MOST]),
            b"http" if connection.sni is None else b"https",
            request.version or b"1.1",
            tell_tls(connection),
        )
        if not is_trusted and request.method in KEPT:
            connection.told = {**connection.told, request.method: told}
        return told

    def _tell_manner(self, manner: Manner) -> bytes:
        """What it says about itself; remembered where many say no more than that."""
        is_all = manner.referer is None and manner.forwarded is None
        told = self._agents.get(manner.agent) if is_all else None
        if told is None:
            told = tell_agent(manner.agent, manner.referer, manner.forwarded)
            if is_all:
                keep(self._agents, manner.agent, told)
        manner.told = told
        return told

    def _tell_agent(self, request: Request) -> bytes:
        manner = request.manner
        if manner is not None and manner.is_read:
            return manner.told or self._tell_manner(manner)
        get = request.fields.get
        return tell_agent(get(b"user-agent"), get(b"referer"), get(FORWARDED))

    # What

    def _tell_host(self, authority: bytes) -> bytes:
        told = b',"host":%b' % quoted(authority)
        keep(self._hosts, authority, told)
        return told

    def _tell_asked(self, asked: Asked) -> bytes:
        told = self._targets.get(asked.target) or self._tell_target(asked.target)
        if len(told) <= LONGEST:
            asked.told = told
        return told

    def _tell_target(self, target: bytes) -> bytes:
        path, mark, query = target.partition(b"?")
        told = b',"path":%b,"query":%b,"status":' % (quoted(path), quoted(query) if mark else NULL)
        keep(self._targets, target, told)
        return told


KEPT: Final = frozenset((b"GET", b"HEAD", b"POST"))
"""Methods whose beginning of a line a connection keeps."""


def tell(response: Response | None) -> tuple[bytes, bytes]:
    """What a line says of an answer: its status, and the rest."""
    if response is None:
        return b"0", NOTHING
    verdict = verdict_of(response) if response.verdict is None else response.verdict
    answer = b'"cache":%b,"origin":%b,%b' % (
        b'"%b"' % verdict.encode() if verdict else NULL,
        quoted(response.origin or None),
        response.head.told or tell_head(response.head),
    )
    return b"%d" % response.head.status, answer


NOTHING: Final = b'"cache":null,"origin":null,"type":null,"length":null,'


def tell_head(head: Head) -> bytes:
    """What a line says of a head, remembered by it."""
    kind, length = CONTENT_TYPE.search(head.lines), CONTENT_LENGTH.search(head.lines)
    told = b'"type":%b,"length":%b,' % (quoted(kind and kind[1]), length[1] if length else NULL)
    head.told = told
    return told


def tell_size(out: int) -> bytes:
    """Bytes out; bytes in come next."""
    return b',"bytes_out":%d,"bytes_in":' % out


def tell_agent(agent: bytes | None, referer: bytes | None, forwarded: bytes | None) -> bytes:
    """What a client says about itself."""
    return b'"referer":%b,"user_agent":%b,"forwarded_for":%b,' % (
        quoted(referer and referer[:MOST]),
        quoted(agent and agent[:MOST]),
        quoted(forwarded and forwarded[:MOST]),
    )


def tell_range(request: Request, *, is_whole: bool) -> bytes:
    """The end of a line that is not like most."""
    asked = request.fields.get(b"range")
    return b'"range":%b,"complete":%b}\n' % (
        quoted(asked and asked[:MOST]),
        b"true" if is_whole else b"false",
    )


def tell_tls(connection: Connection) -> bytes:
    """Version and cipher of a connection with TLS."""
    if connection.sni is None:
        return b',"tls":null,"cipher":null'
    handshake = connection.transport.get_extra_info("ssl_object")
    version, cipher = handshake.version() or "", (handshake.cipher() or ("",))[0]
    return b',"tls":"%b","cipher":"%b"' % (version.encode(), cipher.encode())


def verdict_of(response: Response) -> str:
    """
    `hit`, `stale`, `revalidated`, `miss` or `bypass`; empty where no cache was asked.

    Source: RFC 9211, whose words these are short for.
    """
    text = response.block
    start = text.find(b"Cache-Status: edge; ")
    if start < 0:
        text = response.head.lines
        start = text.rfind(b"cache-status: edge; ")
    if start < 0:
        return ""
    said = text[start + 20 : text.find(b"\r", start)]
    if said.startswith(b"hit"):
        return "stale" if b"ttl=-" in said else "hit"
    if said.startswith((b"fwd=bypass", b"fwd=method")):
        return "bypass"
    is_same = b"fwd-status=304" in said or not response.origin
    return "revalidated" if said.startswith(b"fwd=stale") and is_same else "miss"


def quoted(value: bytes | None) -> bytes:
    """A JSON string of any bytes, each of them a character; `null` for none."""
    if value is None:
        return NULL
    if PLAIN.fullmatch(value):
        return b'"%b"' % value
    return json.dumps(value.decode("latin-1")).encode()


def keep(known: dict[KeyT, bytes], value: KeyT, told: bytes) -> None:
    """Remember how a value is written; a full map starts again."""
    if value is None or len(value) <= LONGEST:
        if len(known) >= REMEMBERED:
            known.clear()
        known[value] = told
