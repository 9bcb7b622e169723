"""A real server on uvloop around one test function, and clients that speak to it in raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import zttp

from edge.errors import RequestError
from edge.http.message import Request, Response, finish_head
from edge.node.clock import Clock
from edge.node.connection import Http1Connection
from edge.node.counters import Counters
from edge.node.ledger import Silent
from edge.node.streams import take_over
from edge.node.transport import Answer, Connection, Service

T = TypeVar("T")

KIB, MIB, GIB = 1024, 1024**2, 1024**3
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"


async def until(condition: Callable[[], T], timeout_s: float = 60.0) -> T:
    """The first true value of `condition`; fails with the last one after `timeout_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not (value := condition()):
        assert loop.time() < deadline, f"never became true: {value!r}"
        await asyncio.sleep(0.001)
    return value


def response(
    content: bytes | AsyncIterator[bytes] | None = b"",
    status: int = 200,
    length: int | None = None,
    **fields: str,
) -> Response:
    """A response with its Content-Length; underscores in field names become dashes."""
    pairs = [(n.replace("_", "-").encode(), v.encode()) for n, v in fields.items()]
    if length is None and isinstance(content, bytes):
        length = len(content)
    if length is not None:
        pairs.append((b"Content-Length", b"%d" % length))
    return Response(finish_head(status, pairs), DATE, content)


def small(content: bytes) -> Response:
    """A response in finished bytes, as the cache gives them."""
    made = response(content)
    made.opening = (made.head.lines + made.block).removesuffix(b"\r\n\r\n")  # no id in these tests
    return made


# What tests ask for and answer


def get(path: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """One HTTP/1.1 request without content."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a.test", *lines, "", ""]).encode()


PLAIN = get()


def echo_target(request: Request) -> Response:
    """The target as content, at once."""
    return response(request.target)


async def read_all(request: Request) -> bytes:
    """The whole content of a request."""
    return b"".join([chunk async for chunk in request.content or ()])


async def streamed(
    chunks: int,
    chunk: bytes,
    produced: list[int] | None = None,
    closed: list[bool] | None = None,
) -> AsyncIterator[bytes]:
    """`chunks` times `chunk`, made only when asked for; notes what was made and that it ended."""
    try:
        for _ in range(chunks):
            if produced is not None:
                produced.append(len(chunk))
            yield chunk
    finally:
        if closed is not None:
            closed.append(True)


class Server:
    """A listening socket whose connections answer by `respond`."""

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self.clock = Clock()
        self.errors: list[Exception] = []
        self.requests: list[Request] = []
        silent = Silent(Counters())
        self.service = Service(self.clock, self.answer, self.refuse, take_over, silent)
        self.respond = respond
        self.address = ("", 0)
        self.clients: list[Client] = []

    def answer(self, request: Request) -> Answer:
        """What the test answers; remembers the request."""
        self.requests.append(request)
        return self.respond(request)

    def refuse(self, error: Exception) -> Response:
        """As the handler's: errors of clients end the connection, others are 500."""
        self.errors.append(error)
        status = error.status if isinstance(error, RequestError) else 500
        made = response(b"refused: %d" % status, status)
        made.closes = isinstance(error, RequestError)
        return made

    @property
    def connection(self) -> Connection:
        """The only connection."""
        (connection,) = self.service.connections
        return connection

    def later(self, seconds: float) -> None:
        """Let time pass, and sweep as the worker does."""
        self.clock.now += seconds
        for connection in tuple(self.service.connections):
            connection.sweep(self.clock.now)

    async def client(self, receive_buffer: int = 0) -> Client:
        """A connected client."""
        connecting = socket.socket()
        connecting.settimeout(0)
        if receive_buffer:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connecting, self.address)
        # One byte at a time where the test asks for it: no delay to gather them again.
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = receive_buffer or 64 * KIB
        self.clients.append(Client(*await asyncio.open_connection(sock=connecting, limit=limit)))
        return self.clients[-1]


@contextlib.asynccontextmanager
async def serving(respond: Callable[[Request], Answer]) -> AsyncIterator[Server]:
    """A server; afterwards all its connections are gone."""
    made = Server(respond)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Http1Connection(made.service), "127.0.0.1", 0)
    made.address = listener.sockets[0].getsockname()
    try:
        yield made
    finally:
        listener.close()
        for client in made.clients:
            await client.close()
        for connection in tuple(made.service.connections):
            connection.transport.abort()
        await until(lambda: not made.service.connections)
        await listener.wait_closed()


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.half_closed = False

    def send(self, data: bytes) -> None:
        """Write without waiting; nothing after the end was sent."""
        if not self.half_closed:
            self.writer.write(data)

    async def drip(self, data: bytes, size: int = 1) -> None:
        """Write in pieces, each its own segment."""
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await asyncio.sleep(0)

    def half_close(self) -> None:
        """Nothing more will be sent."""
        self.half_closed = True
        self.writer.write_eof()

    def reset(self) -> None:
        """Go away with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Go away in good order."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """(status, fields with lower-case names) of the next response, interim ones too."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1.1 "), lines[0]
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        return int(lines[0].split(" ")[1]), {name.lower(): fields[name] for name in fields}

    async def read(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """The next response."""
        status, fields = await self.read_head()
        size = int(fields.get("content-length", "0")) if method != "HEAD" else 0
        return status, fields, await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything until the server ends the connection in good order."""
        return await asyncio.wait_for(self.reader.read(), 60)


# HTTP/2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 2, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return (
        struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload
    )


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of every whole frame."""
    found = []
    position = 0
    while position + 9 <= len(data):
        high, low, kind, flags, stream = struct.unpack_from(">HBBBI", data, position)
        end = position + 9 + (high << 8) + low
        found.append((kind, flags, stream, data[position + 9 : end]))
        position = end
    return found


def head(stream: int, *pairs: tuple[bytes, bytes], method: bytes = b"GET", path: bytes = b"/",
         ends: bool = True) -> bytes:  # fmt: skip
    """HEADERS of a request, without compression."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")]
    block = b"".join(b"\0" + string(n) + string(v) for n, v in (*fields, *pairs))
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)


def string(value: bytes) -> bytes:
    """A string literal of HPACK (RFC 7541 §5.2), at most 254 bytes."""
    size = len(value)
    return (bytes([size]) if size < 127 else bytes([127, size - 127])) + value


class Frames:
    """What the server sends, frame by frame; for requests that were made by hand."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.all: list[tuple[int, int, int, bytes]] = []
        self.closed = False
        self._buffer = b""

    @property
    def goaways(self) -> list[tuple[int, int]]:
        """(last stream, code) of every GOAWAY."""
        payloads = [payload for kind, _, _, payload in self.all if kind == GOAWAY]
        return [(int.from_bytes(p[:4], "big"), int.from_bytes(p[4:8], "big")) for p in payloads]

    @property
    def resets(self) -> dict[int, int]:
        """Code of every RST_STREAM, by stream."""
        return {
            stream: int.from_bytes(payload, "big")
            for kind, _, stream, payload in self.all
            if kind == RST_STREAM
        }

    def of(self, kind: int) -> list[tuple[int, int, int, bytes]]:
        """The frames of a kind."""
        return [one for one in self.all if one[0] == kind]

    def take(self, data: bytes) -> None:
        """Add what has come; the rest of a frame may come later."""
        self._buffer += data
        while len(self._buffer) >= 9:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < size:
                return
            self.all += frames(self._buffer[:size])
            self._buffer = self._buffer[size:]

    async def until(self, condition: Callable[[], object]) -> None:
        """Read until something holds."""
        while not condition():
            assert not self.closed, "the server ended the connection"
            await self.step()

    async def until_closed(self) -> None:
        """Read until the server ends the connection."""
        while not self.closed:
            await self.step()

    async def step(self) -> bytes:
        """Read once."""
        data = await asyncio.wait_for(self.client.reader.read(64 * KIB), 60)
        self.closed = not data
        self.take(data)
        return data


class Received:
    """What came back on one stream."""

    def __init__(self) -> None:
        self.status = 0
        self.interim: list[int] = []
        self.fields: dict[bytes, bytes] = {}
        self.content = bytearray()
        self.size = 0
        self.ended = False
        self.trailers: list[tuple[bytes, bytes]] = []
        self.reset: int | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return self.ended or self.reset is not None


class Http2Client(Frames):
    """zttp in the client role over a raw connection."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.wire = zttp.Connection(zttp.CLIENT, zttp.HTTP2)
        self.wire.initiate_connection()
        self.streams: dict[int, Received] = {}
        self.settings: list[list[tuple[int, int]]] = []
        self.stalled: set[int] = set()
        """Streams whose window we do not open again."""

    def request(
        self, path: bytes = b"/", method: bytes = b"GET", *, ends: bool = True, **fields: bytes
    ) -> zttp.Stream:
        """Send a request head; content by the stream's own methods and `flush`."""
        pairs = [(n.replace("_", "-").encode(), v) for n, v in fields.items()]
        stream = self.wire.send_request(method, path, b"2", [(b"host", b"a.test"), *pairs])
        if ends:
            stream.end_message()
        self.streams[stream.stream_id] = Received()
        self.flush()
        return stream

    def flush(self) -> None:
        """Write what is queued, without the window updates of stalled streams."""
        output = self.wire.data_to_send()
        if output.startswith(PREFACE):
            self.client.send(PREFACE)
            output = output[len(PREFACE) :]
        for kind, flags, stream, payload in frames(output):
            if kind != WINDOW_UPDATE or stream not in self.stalled:
                self.client.send(frame(kind, flags, stream, payload))

    async def step(self) -> bytes:
        """Read once and take the events."""
        data = await super().step()
        if data:
            self.wire.receive_data(data)
        while data and (event := self.wire.next_event()) is not zttp.NEED_DATA:
            self._take(event)
        self.flush()
        return data

    def _take(self, event: object) -> None:
        received = self.streams.setdefault(getattr(event, "stream_id", 0), Received())
        if isinstance(event, zttp.Response):
            if event.status_code < 200:
                received.interim.append(event.status_code)
            else:
                received.status = event.status_code
                received.fields = dict(event.headers)
        elif isinstance(event, zttp.Data):
            received.content += event.data
        elif isinstance(event, zttp.EndOfMessage):
            received.ended = True
            received.trailers = event.trailers
        elif isinstance(event, zttp.RstStream):
            received.reset = event.error_code
        elif isinstance(event, zttp.Settings):
            self.settings.append(event.params)

    async def read(self, stream: int | zttp.Stream) -> Received:
        """Everything of one stream."""
        identifier = stream if isinstance(stream, int) else stream.stream_id
        while not self.closed and not self.streams[identifier].done:
            await self.step()
        return self.streams[identifier]


HELLO = PREFACE + frame(SETTINGS, 0, 0)
"""What a client by hand says first."""


async def connected(server: Server) -> Http2Client:
    """A client of HTTP/2 that has said hello."""
    client = Http2Client(await server.client())
    client.flush()
    return client
