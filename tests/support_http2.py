"""
A client of HTTP/2 that holds the server to RFC 9113: windows, states, compression and lengths.

It shares no code with what it talks to (frames are read here, blocks by `hpack`), and it may send
whatever a test wants. What a server may not do fails the test at the frame that does it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import hpack

from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

PUSH_PROMISE, CONTINUATION = 5, 9
ACK, PADDED, PRIORITIZED = 1, 8, 32
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
FIRST_WINDOW, MOST_WINDOW = 65_535, 2**31 - 1
LARGEST_FRAME = 16_384
PATIENCE_S = 10.0
PER_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}

Pair = tuple[bytes, bytes]


class Exchange:
    """One request, and what has come back on its stream."""

    def __init__(self, stream: int, method: bytes, window: int) -> None:
        self.stream = stream
        self.method = method
        self.window = window
        """Bytes that the server may still send on it."""
        self.credit = FIRST_WINDOW
        """Bytes that we may still send on it."""
        self.interim: list[int] = []
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.content = b""
        self.trailers: list[Pair] | None = None
        self.ended = False
        self.reset: int | None = None
        self.given_up = False
        """Whether we reset it: what was under way may still come."""
        self.was_abused = False
        """Whether we sent what may not be on it: STREAM_CLOSED is the answer to that."""

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes."""
        return self.ended or self.reset is not None

    def take_head(self, pairs: list[Pair], *, ends: bool) -> None:
        """A head, an interim one, or trailers (RFC 9113 §8.1)."""
        assert not self.is_done, "HEADERS after the end of the stream"
        names = [name for name, _ in pairs]
        if self.status:
            assert ends, "trailers that end nothing"
            assert not any(name.startswith(b":") for name in names), pairs
            self.trailers = pairs
        elif pairs[0][1].startswith(b"1"):
            assert not ends, "an interim response ends the stream"
            self.interim.append(int(pairs[0][1]))
        else:
            self.fields = dict(pairs[1:])
            assert len(self.fields) == len(pairs) - 1, f"a field is there twice: {pairs}"
            self.status = int(pairs[0][1])
        assert all(map(is_good, pairs)), pairs
        assert [name for name in names if name.startswith(b":")] in ([], [b":status"]), pairs
        self._end(ends=ends)

    def take_content(self, data: bytes, size: int, *, ends: bool) -> None:
        """Content of a response that has begun, `size` with its padding."""
        assert self.status, "DATA before HEADERS"
        assert not self.is_done, "DATA after the end of the stream"
        assert size <= self.window, f"{size} bytes for a window of {self.window}"
        self.window -= size
        self.content += data
        self._end(ends=ends)

    def _end(self, *, ends: bool) -> None:
        self.ended = ends
        length = self.fields.get(b"content-length")
        if ends and length is not None and self.method != b"HEAD" and self.status != 304:
            assert len(self.content) == int(length), (self.stream, length, len(self.content))


def is_good(pair: Pair) -> bool:
    """Whether a field may be in a response (RFC 9113 §8.2)."""
    name, value = pair
    return (
        name == name.lower()
        and name not in PER_HOP
        and value == value.strip(b" \t")
        and not any(octet in value for octet in b"\0\r\n")
    )


class StrictClient:
    """One connection."""

    def __init__(
        self, connection: socket.socket, authority: bytes, settings: dict[int, int] | None = None
    ) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = authority
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.exchanges: dict[int, Exchange] = {}
        self.window = FIRST_WINDOW
        """Bytes that the server may still send on all streams."""
        self.credit = FIRST_WINDOW
        self.initial = FIRST_WINDOW
        """The window that a new stream has, as the server has confirmed it."""
        self.initial_credit = FIRST_WINDOW
        self.next_stream = 1
        self.pieces = 1
        """In how many pieces everything is sent."""
        self.confirmed = 0
        """How many of our SETTINGS."""
        self.pongs: list[bytes] = []
        self.goaways: list[tuple[int, int]] = []
        """(last stream, code) of each."""
        self.closed = False
        self._unconfirmed: deque[dict[int, int]] = deque()
        self._block: tuple[int, int, bytes] | None = None
        """(flags, stream, what has come of it) of a field block under way."""
        self._buffer = b""
        self._unsent = PREFACE
        self.set(settings or {})

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    # What goes out

    def send(self, data: bytes) -> None:
        """Raw bytes, with what was put by before them."""
        data, self._unsent = self._unsent + data, b""
        step = len(data) // self.pieces + 1
        for start in range(0, len(data), step):
            self.socket.sendall(data[start : start + step])

    def begin_with(self, data: bytes) -> None:
        """Say this instead of hello."""
        self._unsent = data
        self._unconfirmed.clear()

    def put(self, data: bytes) -> None:
        """Raw bytes that go out in one piece with the next that are sent."""
        self._unsent += data

    def set(self, settings: dict[int, int]) -> None:
        """SETTINGS; they hold once the server has confirmed them."""
        self.expect(settings)
        payload = b"".join(struct.pack(">HI", *pair) for pair in settings.items())
        self.put(frame(SETTINGS, 0, 0, payload))

    def expect(self, settings: dict[int, int]) -> None:
        """That the server confirms SETTINGS."""
        self._unconfirmed.append(settings)

    def grant(self, size: int, stream: int = 0) -> None:
        """WINDOW_UPDATE of the connection or of a stream."""
        if stream == 0:
            self.window += size
        else:
            self.exchanges[stream].window += size
        self.put(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def block(
        self, path: bytes, method: bytes = b"GET", *fields: Pair, scheme: bytes = b"http"
    ) -> bytes:
        """A request's field block; whatever was said before is but an index."""
        pseudo = ((b":method", method), (b":scheme", scheme), (b":path", path))
        return self.encoder.encode([*pseudo, (b":authority", self.authority), *fields])

    def begin(self, method: bytes = b"GET", stream: int | None = None) -> Exchange:
        """A stream of ours, about to be opened."""
        stream = stream or self.next_stream
        self.next_stream = max(self.next_stream, stream + 2)
        self.exchanges[stream] = Exchange(stream, method, self.initial)
        self.exchanges[stream].credit = self.initial_credit
        return self.exchanges[stream]

    def request(
        self, path: bytes, method: bytes = b"GET", *fields: Pair, ends: bool = True
    ) -> Exchange:
        """Put by a request."""
        found = self.begin(method)
        flags = END_HEADERS | (END_STREAM if ends else 0)
        self.put(frame(HEADERS, flags, found.stream, self.block(path, method, *fields)))
        return found

    def upload(self, found: Exchange, data: bytes, *, ends: bool = True) -> None:
        """Send content as the server's windows allow it, and read meanwhile."""
        view = memoryview(data)
        while view:
            self.until(lambda: min(found.credit, self.credit) > 0 or found.is_done)
            if found.is_done:
                return
            size = min(found.credit, self.credit, LARGEST_FRAME, len(view))
            last = ends and size == len(view)
            self.send(frame(DATA, END_STREAM if last else 0, found.stream, bytes(view[:size])))
            found.credit -= size
            self.credit -= size
            view = view[size:]

    def give_up(self, found: Exchange, code: int = 8) -> None:
        """RST_STREAM."""
        found.given_up = True
        self.put(frame(RST_STREAM, 0, found.stream, struct.pack(">I", code)))

    # What comes in

    def until(self, condition: Callable[[], object]) -> None:
        """Send what was put by, and read until something holds."""
        self.send(b"")
        while not condition():
            assert not self.closed, f"the connection ended: {self.goaways}"
            self.step()

    def until_closed(self) -> None:
        """Read until the server ends the connection."""
        with contextlib.suppress(OSError):  # it ended while we still sent
            self.send(b"")
        while not self.closed:
            self.step()

    def read(self, *exchanges: Exchange) -> None:
        """Read until these are done; windows are as they are."""
        self.until(lambda: all(found.is_done for found in exchanges))

    def settle(self) -> None:
        """
        Read until the server has done all that it can do now about what was sent.

        A PING may be echoed before content that was to go out with it; a second one is not.
        """
        for _ in range(2):
            mark = struct.pack(">Q", len(self.pongs) + 1)
            self.put(frame(PING, 0, 0, mark))
            self.until(lambda mark=mark: mark in self.pongs)

    def step(self) -> None:
        """Read once."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.closed = not data
        self._buffer += data
        for kind, flags, stream, payload in self._frames():
            self._take(kind, flags, stream, payload)

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._buffer) >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">HBBBI", self._buffer)
            size = (high << 8) + low
            assert size <= LARGEST_FRAME, f"a frame of {size} bytes"
            if len(self._buffer) < 9 + size:
                return
            payload = self._buffer[9 : 9 + size]
            self._buffer = self._buffer[9 + size :]
            yield kind, flags, stream, payload

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert (kind == CONTINUATION) == (self._block is not None), f"frame {kind} in a block"
        assert kind != PUSH_PROMISE, "a push"
        if kind in (SETTINGS, PING, GOAWAY):
            assert stream == 0, f"frame {kind} on stream {stream}"
        elif kind != WINDOW_UPDATE or stream:
            assert stream in self.exchanges, f"frame {kind} on stream {stream}"
        takers = {
            DATA: self._take_data,
            HEADERS: self._take_headers,
            CONTINUATION: self._take_headers,
            RST_STREAM: self._take_reset,
            SETTINGS: self._take_settings,
            PING: self._take_ping,
            GOAWAY: self._take_goaway,
            WINDOW_UPDATE: self._take_update,
        }
        takers[kind](flags, stream, payload)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        size, found = len(payload), self.exchanges[stream]
        assert size <= self.window, f"{size} bytes for a window of {self.window}"
        self.window -= size
        if not found.given_up:
            found.take_content(unpadded(flags, payload), size, ends=bool(flags & END_STREAM))

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None:
            self._block = (flags, stream, unpadded(flags, payload))
        else:
            first, opened, block = self._block
            assert opened == stream, "a CONTINUATION of another stream"
            self._block = (first, stream, block + payload)
        if not flags & END_HEADERS:
            return
        first, stream, block = self._block
        self._block = None
        pairs = [(bytes(n), bytes(v)) for n, v in self.decoder.decode(block, raw=True)]
        if not self.exchanges[stream].given_up:
            self.exchanges[stream].take_head(pairs, ends=bool(first & END_STREAM))

    def _take_reset(self, _flags: int, stream: int, payload: bytes) -> None:
        found = self.exchanges[stream]
        (code,) = struct.unpack(">I", payload)
        is_over = found.is_done and (code != 0 or found.reset is not None)
        assert not is_over or (code == 5 and found.was_abused), f"RST_STREAM ({code}) after the end"
        found.reset = code if found.reset is None else found.reset

    def _take_settings(self, flags: int, _stream: int, payload: bytes) -> None:
        if not flags & ACK:
            assert len(payload) % 6 == 0
            pairs = dict(struct.iter_unpack(">HI", payload))
            self.initial_credit = pairs.get(INITIAL_WINDOW_SIZE, self.initial_credit)
            self.put(frame(SETTINGS, ACK, 0))
            return
        assert (payload, bool(self._unconfirmed)) == (b"", True), "SETTINGS that were not sent"
        self.confirmed += 1
        settings = self._unconfirmed.popleft()
        if INITIAL_WINDOW_SIZE in settings:
            added = settings[INITIAL_WINDOW_SIZE] - self.initial
            self.initial += added
            for found in self.exchanges.values():
                found.window += added
        if HEADER_TABLE_SIZE in settings:
            self.decoder.max_allowed_table_size = settings[HEADER_TABLE_SIZE]

    def _take_ping(self, flags: int, _stream: int, payload: bytes) -> None:
        assert len(payload) == 8
        if flags & ACK:
            self.pongs.append(payload)
        else:
            self.put(frame(PING, ACK, 0, payload))

    def _take_goaway(self, _flags: int, _stream: int, payload: bytes) -> None:
        last, code = struct.unpack_from(">II", payload)
        assert not self.goaways or last <= self.goaways[-1][0], "a GOAWAY that takes back another"
        self.goaways.append((last, code))

    def _take_update(self, _flags: int, stream: int, payload: bytes) -> None:
        (size,) = struct.unpack(">I", payload)
        assert size > 0, "a window update of nothing"
        if stream:
            self.exchanges[stream].credit += size
            assert self.exchanges[stream].credit <= MOST_WINDOW
        else:
            self.credit += size
            assert self.credit <= MOST_WINDOW


def unpadded(flags: int, payload: bytes) -> bytes:
    """What DATA or HEADERS have in them (RFC 9113 §6.1, §6.2)."""
    if flags & PADDED:
        assert payload[0] < len(payload), "more padding than there is"
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & PRIORITIZED else payload


def contents(exchanges: Sequence[Exchange]) -> list[tuple[int, bytes]]:
    """(status, content) of each."""
    return [(found.status, found.content) for found in exchanges]
