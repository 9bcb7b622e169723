"""
HTTP/2 on the wire (RFC 9113), server role: bytes in, events out; frames out on request.

Laws: no I/O and no timers. zttp does the framing, HPACK and the stream states; what it does not
do by itself is done here to its output, frame by frame:

- its SETTINGS are replaced by ours (100 streams, 16 KiB of fields, no extended CONNECT);
- WINDOW_UPDATE of a stream whose content nobody has taken yet is withheld, so that an upload
  waits for its consumer; the connection's own window is never withheld (no stream stalls another);
- never more than both windows allow is handed in, so that nothing parks inside;
- the first field block of the connection says that our table has no entries, since zttp makes none
  and tells nobody: a client that lowers its maximum waits for that word (§4.3.1).
"""

from __future__ import annotations

import struct

import msgspec
import zttp

from edge.errors import (
    Flooded,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedByServer,
    RequestError,
    TargetTooLong,
)
from edge.http.fields import FieldList
from edge.http.frames import HEAD, HEADERS, SETTINGS, WINDOW_UPDATE, Tally, frames_of, without_table
from edge.http.http1 import SLASH, Limits
from edge.http.message import Request
from edge.http.sieve import Sieve

NO_ERROR = 0
PROTOCOL_ERROR = 1
INTERNAL_ERROR = 2
FLOW_CONTROL_ERROR = 3
STREAM_CLOSED = 5
REFUSED_STREAM = 7
CANCEL = 8
ENHANCE_YOUR_CALM = 11
LAST_STREAM = 2**31 - 1
"""In a GOAWAY: nothing is refused yet."""

FIRST_WINDOW = 65_535
"""What a stream may send before anything of it is taken: we never say another (RFC 9113 §6.9.2)."""
MOST = 2**63
"""Content of a request that stated no length."""
TOO_LARGE = "size limit"
FLOOD = "flood"
"""What zttp says of heads that unpack to too much, and of heads in too many frames."""


class Content(msgspec.Struct):
    """Content of a request."""

    stream: int
    data: bytes


class End(msgspec.Struct):
    """The end of a request that had content or sent its END_STREAM apart."""

    stream: int
    trailers: list[tuple[bytes, bytes]] = []


class Reset(msgspec.Struct):
    """The client gave up a stream, or the stream broke a rule."""

    stream: int


class Farewell(msgspec.Struct):
    """The client begins no more streams (GOAWAY)."""

    stream: int = 0


Event = Request | Content | End | Reset | Farewell


class Http2:
    """The server's side of one HTTP/2 connection."""

    __slots__ = (
        "_broken",
        "_connection",
        "_is_sized",
        "_left",
        "_limits",
        "_max_streams",
        "_untaken",
        "_withheld",
        "sent",
        "sieve",
        "tally",
    )

    def __init__(self, limits: Limits, max_streams: int) -> None:
        self._max_streams = max_streams
        self._connection = zttp.Connection(zttp.SERVER, zttp.HTTP2)
        self._limits = limits
        self._broken: dict[int, int] = {}
        """Codes of streams that broke a rule in what is being read, unless zttp says so itself."""
        self._is_sized = False
        """Whether the client was told the size of our table."""
        self._left: dict[int, int] = {}
        """Bytes of content that may still come where a length was stated, by stream."""
        self._untaken: dict[int, int] = {}
        """Bytes of content that arrived and wait for their consumer, by stream."""
        self._withheld: dict[int, list[bytes]] = {}
        """WINDOW_UPDATE frames kept back, by stream."""
        self.tally = Tally()
        """What the client has sent: fed by the owner, who bounds it before anything is parsed."""
        self.sieve = Sieve()
        """What of it zttp gets to see."""
        self.sent = 0
        """Bytes of content that had waited and were sent."""

    def open(self) -> bytes:
        """Our half of the preface: SETTINGS as we mean them, instead of zttp's."""
        self._connection.initiate_connection()
        self._connection.data_to_send()
        parameters = (
            (zttp.H2Settings.MAX_CONCURRENT_STREAMS, self._max_streams),
            (zttp.H2Settings.MAX_HEADER_LIST_SIZE, self._limits.field_bytes),
        )
        payload = b"".join(struct.pack(">HI", *parameter) for parameter in parameters)
        return HEAD.pack(0, len(payload), SETTINGS, 0, 0) + payload

    # What comes in

    def receive(self, data: bytes) -> list[Event]:
        """
        Take bytes; the events they complete, in order, of a stream that was reset that alone.

        Raises:
            RequestError: the connection broke a rule; `flush` has the GOAWAY, then it ends.
        """
        connection = self._connection
        events: list[Event] = []
        if self.tally.is_misplaced:
            connection.close(PROTOCOL_ERROR)
            raise MalformedRequest("PRIORITY on stream 0")
        any_reset = False
        try:
            connection.receive_data(self._sift(data))
            while (event := connection.next_event()) is not zttp.NEED_DATA:
                ours = self._event(event)
                if ours is not None and not is_end_of(ours, events):
                    events.append(ours)
                    any_reset = any_reset or type(ours) is Reset
        except zttp.RemoteProtocolError as error:
            raise error_of(str(error)) from error
        return self._without_reset(events) if any_reset else events

    def _sift(self, data: bytes) -> bytes:
        try:
            return self.sieve.sift(data)
        except MalformedRequest:
            self._connection.close(STREAM_CLOSED, self.sieve.highest)
            raise

    def take_update(self, frame: bytes) -> bool:
        """Whether a WINDOW_UPDATE is nothing that zttp has to know."""
        if not self.sieve.takes(frame):
            return False
        self.tally.count_update()
        return True

    @property
    def send_window(self) -> int:
        """Bytes of content that the connection's window takes now."""
        return self._connection.send_window - self.sieve.debt

    def has_room(self, stream: int, size: int) -> bool:
        """Whether a new stream may have so much content at once."""
        sieve = self.sieve
        is_new = sieve.highest < stream <= LAST_STREAM and stream & 1
        return bool(is_new) and size <= sieve.window and size <= self.send_window

    def _without_reset(self, events: list[Event]) -> list[Event]:
        """
        Events without those of streams that are reset further on.

        zttp has queued its RST_STREAM already, and nothing may follow that (RFC 9113 §5.4.2); what
        the client took back at once is not begun.
        """
        for stream, code in self._broken.items():
            self.reset(stream, code)
        self._broken.clear()
        ended = {event.stream for event in events if type(event) is Reset}
        return [event for event in events if type(event) is Reset or event.stream not in ended]

    def _event(self, event: object) -> Event | None:
        kind = type(event)
        if kind is zttp.Request:
            return self._request(event)  # type: ignore[arg-type]
        if kind is zttp.Data:
            return self._content(event)  # type: ignore[arg-type]
        if kind is zttp.EndOfMessage:
            return End(event.stream_id, event.trailers)  # type: ignore[attr-defined]
        if kind is zttp.RstStream:
            known = self._broken.pop(event.stream_id, 0)  # type: ignore[attr-defined]
            return None if known else Reset(event.stream_id)  # type: ignore[attr-defined]
        return Farewell() if kind is zttp.GoAway else None

    def _request(self, event: zttp.Request) -> Request:
        fields = FieldList(event.headers)  # type: ignore[arg-type]
        if not event.end_stream and (length := fields.get(b"content-length")):
            self._left[event.stream_id] = int(length)  # digits: zttp has seen to it
        return Request(
            b"CONNECT" if event.protocol is not None else event.method,  # RFC 8441, not offered
            event.target,
            fields.get(b"host", b""),  # zttp folds :authority into host and refuses two that differ
            fields,
            b"2",
            event.stream_id,
            event.end_stream,
            not event.end_stream and fields.get(b"expect", b"").lower() == b"100-continue",
        )

    def _content(self, event: zttp.Data) -> Content | Reset | None:
        stream, data = event.stream_id, event.data
        untaken = self._untaken[stream] = self._untaken.get(stream, 0) + len(data)
        left = self._left.get(stream, MOST) - len(data)
        if stream in self._left:
            self._left[stream] = left
        if stream in self._broken:
            return None
        if untaken > FIRST_WINDOW:  # zttp believes that it was credited
            self._broken[stream] = FLOW_CONTROL_ERROR
        elif left < 0:  # zttp says so at the end
            self._broken[stream] = PROTOCOL_ERROR
        return Reset(stream) if stream in self._broken else Content(stream, data)

    def check(self, request: Request) -> RequestError | None:
        """What is wrong with `request` by the operator's limits or RFC 9113 §8.3, or None."""
        limits = self._limits
        target = request.target
        if len(target) > limits.target_bytes:
            return TargetTooLong("the request target is too long")
        if request.method == b"CONNECT":
            return NotImplementedByServer("no tunnels are made here")
        if target[0] != SLASH and not (target == b"*" and request.method == b"OPTIONS"):
            return MalformedRequest("the request target is not a path")
        if b" " in target or b'"' in target:  # over HTTP/1.1 it would be refused, or another one
            return MalformedRequest("the request target holds a blank or a quote")
        if not target.isascii() or b"#" in target:
            return MalformedRequest("the request target holds a fragment or what is not ASCII")
        if len(request.fields) > limits.field_count:
            return HeadTooLarge("the request has too many field lines")
        octets = sum(map(len, map(b"".join, request.fields)))  # in C: half of what a loop costs
        if octets + 32 * len(request.fields) > limits.field_bytes:
            return HeadTooLarge("the field section is too large")
        return None

    # What goes out

    def send_head(
        self, stream: int, status: int, pairs: list[tuple[bytes, bytes]], *, ends: bool
    ) -> None:
        """Queue a response head; `ends` when no content follows."""
        self._connection.stream(stream).send_response(status, pairs, ends)

    def send_answer(
        self,
        stream: int,
        status: int,
        pairs: list[tuple[bytes, bytes]],
        content: memoryview,
        most: int,
    ) -> int:
        """
        Queue a head and as much of its content as both windows and `most` allow now.

        Returns how many bytes of content that was; all of them end the response.
        """
        connection = self._connection
        handle, size = connection.stream(stream), len(content)
        handle.send_response(status, pairs, not size)
        if not size:
            return 0
        window = min(handle.send_window or 0, self.send_window, size, most)
        if window <= 0:
            return 0
        handle.send_data(content if window == size else content[:window])
        if window == size:
            handle.end_message(None)
        return window

    def send_interim(self, stream: int, status: int, pairs: list[tuple[bytes, bytes]]) -> None:
        """Queue an interim response (1xx)."""
        self._connection.stream(stream).send_informational(status, pairs)

    def send_content(self, stream: int, content: memoryview) -> int:
        """Queue as much of `content` as both windows allow now; how many bytes that was."""
        handle = self._connection.stream(stream)
        window = min(handle.send_window or 0, self.send_window, len(content))
        if window <= 0:
            return 0
        handle.send_data(content[:window])
        self.sent += window
        return window

    def blames(self, stream: int) -> bool | None:
        """Whether a stream's own window is why it waits; None where it is the connection's."""
        if self.send_window <= 0:
            return None
        return (self._connection.stream(stream).send_window or 0) <= 0

    def end(self, stream: int, trailers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Queue the end of the response."""
        self._connection.stream(stream).end_message(trailers or None)

    def reset(self, stream: int, code: int) -> None:
        """Queue RST_STREAM and forget the stream."""
        self._connection.stream(stream).reset(code)
        self.forget(stream)

    def forget(self, stream: int) -> None:
        """Nothing more will be taken from the stream's content."""
        if self._left:
            self._left.pop(stream, None)
        if self._untaken:
            self._untaken.pop(stream, None)
            self._withheld.pop(stream, None)

    def take(self, stream: int, size: int) -> bytes:
        """The consumer took `size` bytes of content: the window updates that this frees."""
        untaken = self._untaken.get(stream, 0) - size
        if untaken > 0:
            self._untaken[stream] = untaken
            return b""
        self._untaken.pop(stream, None)
        return b"".join(self._withheld.pop(stream, ()))

    def go_away(self, last_stream: int, code: int) -> None:
        """Queue GOAWAY: streams after `last_stream` were not and will not be served."""
        self._connection.close(code, last_stream)

    def flush(self) -> bytes:
        """What to write now; withheld window updates are kept back."""
        output = self._connection.data_to_send()
        if self._untaken and output:
            output = self._withhold(output)
        return output if self._is_sized else self._state_size(output)

    def _withhold(self, output: bytes) -> bytes:
        kept: list[bytes] = []
        for frame in frames_of(output):
            _, _, kind, _, stream = HEAD.unpack_from(frame)
            if kind == WINDOW_UPDATE and stream in self._untaken:
                self._withheld.setdefault(stream, []).append(frame)
            else:
                kept.append(frame)
        return b"".join(kept)

    def _state_size(self, output: bytes) -> bytes:
        """Put the size of our table in front of the first field block, once there is one."""
        frames = list(frames_of(output))
        for position, frame in enumerate(frames):
            if frame[3] == HEADERS:
                frames[position] = without_table(frame)
                self._is_sized = True
                break
        return b"".join(frames)


def error_of(problem: str) -> RequestError:
    """The error for what zttp says of a connection."""
    if TOO_LARGE in problem:
        return HeadTooLarge(problem)
    return Flooded(problem) if FLOOD in problem else MalformedRequest(problem)


def is_end_of(event: Event, events: list[Event]) -> bool:
    """
    Whether an event is the end of a request right before it, which is whole then.

    Some clients send END_STREAM in a frame of its own: their requests are not to look as if
    content came, since those go to an origin in chunks, and never a second time.
    """
    last = events[-1] if events else None
    if (
        type(event) is not End
        or type(last) is not Request
        or last.stream != event.stream
        or event.trailers
        or last.expects
    ):
        return False
    last.ends = True
    return True
