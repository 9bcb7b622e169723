"""
HTTP/1.1 on the wire (RFC 9112), client role: one request out, its responses in.

Laws: no I/O and no timers; zttp frames, and what it leaves to us is here. A response that cannot be
framed unambiguously ends the connection, and what comes behind a response that nobody asked for is
never read as the next one's. Bytes behind a 101 are given back as they came.
"""

from __future__ import annotations

import re
from typing import Final, cast

import msgspec
import zttp

from edge.errors import OriginError
from edge.http.fields import Line
from edge.http.heads import Head, Heads
from edge.http.message import BLANK_LINE

MAX_HEAD: Final = 16 << 10
"""Bytes of one response head: zttp's own ceiling, for heads that are put together here."""

MAX_INTERIM: Final = 32
"""1xx responses before the final one; more are a flood."""


CHUNKED: Final = (b"transfer-encoding", b"chunked")
NEED_DATA: Final = zttp.NEED_DATA

KEEPS: Final = re.compile(rb"(?i)(?:^|[,\s])timeout[ \t]*=[ \t]*([0-9]{1,6})(?![0-9])")
"""In `Keep-Alive: timeout=5, max=100`. Source: RFC 2068 §19.7.1.1, which Node and Apache send."""


class End(msgspec.Struct, frozen=True):
    """The end of a response's content."""

    trailers: list[Line]


WHOLE: Final = End([])
"""Nothing behind the content, as nearly always; shared, so that nothing may be put there."""


Event = Head | bytes | End


class Http1Client:
    """The client's side of one exchange; a connection that is reused gets a new one."""

    __slots__ = (
        "_connection",
        "_ended",
        "_head",
        "_heads",
        "_in_content",
        "_interim",
        "_is_chunked",
        "_is_recalled",
        "_wants_tunnel",
        "has_begun",
        "is_tunnel",
        "keeps_s",
        "reusable",
    )

    def __init__(self, heads: Heads | None = None) -> None:
        """`heads` are of all connections of a worker."""
        self._connection = zttp.Connection(zttp.CLIENT)
        self._heads = heads
        """None where another question was asked than theirs."""
        self._interim = 0
        self._ended = False
        self._in_content = False
        """Whether the final head came."""
        self._is_chunked = False
        self._is_recalled = False
        """Whether the response was one whose head came before: zttp has not heard of it."""
        self._wants_tunnel = False
        self._head = b""
        """What came of a head so far, where a 101 may be in it."""
        self.has_begun = False
        """Whether anything of a response came: from then on the request has had its effect."""
        self.is_tunnel = False
        """Whether a 101 came, and bytes are bytes."""
        self.keeps_s: int | None = None
        """Seconds that the origin keeps an unused connection, if it says so (`Keep-Alive`)."""
        self.reusable = False
        """Whether the connection can take another request, once the response is whole."""

    # Out

    def request(
        self,
        method: bytes,
        target: bytes,
        fields: list[Line],
        *,
        tunnel: bool = False,
        ends: bool = False,
    ) -> bytes:
        """
        The head of the request. `fields` say how its content is framed, if it has any.

        With `tunnel` a 101 may come, and what follows it is no HTTP. What `ends` has no content,
        and no `end` of its own.
        """
        self._wants_tunnel = tunnel
        self._is_chunked = CHUNKED in fields
        if tunnel or not ends or method != b"GET":
            self._heads = None
        try:
            self._connection.send_request(method, target, b"1.1", fields)
            if ends:
                self._connection.end_message()
        except zttp.LocalProtocolError as error:
            raise OriginError(
                "proxy_internal_error", f"the request cannot be sent: {error}"
            ) from error
        return self._connection.data_to_send()

    def content(self, chunk: bytes) -> bytes:
        """
        A piece of the request's content, framed.

        Raises:
            OriginError: more bytes than its Content-Length said.
        """
        try:
            self._connection.send_data(chunk)
        except zttp.LocalProtocolError as error:
            raise OriginError(
                "proxy_internal_error", f"the request is too long: {error}"
            ) from error
        return self._connection.data_to_send()

    def end(self, trailers: list[Line] | None = None) -> bytes:
        """
        The end of the request; trailers only where it is in chunks, for nothing else has room.

        Raises:
            OriginError: fewer bytes than its Content-Length said.
        """
        try:
            self._connection.end_message(trailers if trailers and self._is_chunked else None)
        except zttp.LocalProtocolError as error:
            raise OriginError(
                "proxy_internal_error", f"the request is not whole: {error}"
            ) from error
        return self._connection.data_to_send()

    # In

    def receive(self, data: bytes) -> list[Event]:
        """
        Take bytes, empty ones at the end of the connection; the events that they complete.

        Raises:
            OriginError: what came is no response to this request, or ended too early.
        """
        if data and not self.has_begun:
            self.has_begun = True
            if self._heads is not None:
                return self._receive_first(data, self._heads)
        if self._is_recalled:
            return self._refuse_more(data)
        if self.is_tunnel:
            return [data] if data else [End([])]
        if self._wants_tunnel:
            return self._receive_tunnel(data)
        return self._receive(data)

    def _receive_first(self, data: bytes, heads: Heads) -> list[Event]:
        """The first bytes, which may be a whole response whose head came before (3 µs less)."""
        end = data.find(BLANK_LINE)
        if end < 0:
            return self._receive(data)
        lines, size = data[:end], len(data) - end - len(BLANK_LINE)
        heard = heads.find(lines, size)
        if heard is not None:
            self._is_recalled = self._ended = self.reusable = True
            self.keeps_s = heard.keeps_s
            return [heard.head, data[-size:], WHOLE] if size else [heard.head, WHOLE]
        events = self._receive(data)
        if self.reusable and type(events[0]) is Head and events[-1] is WHOLE:
            pieces = [each for each in events if type(each) is bytes]
            if len(events) == 2 + len(pieces) and sum(map(len, pieces)) == size:
                heads.remember(lines, events[0], size, self.keeps_s)
        return events

    def _refuse_more(self, data: bytes) -> list[Event]:
        """What comes behind a response answers nobody."""
        if data:
            raise OriginError("http_protocol_error", "there is more behind the response")
        return []

    def _receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        connection = self._connection
        try:
            event: object = connection.receive_event(data)
            while event is not NEED_DATA and not self._ended:
                if type(event) is zttp.Data:
                    events.append(event.data)
                elif type(event) is zttp.Response:
                    events.append(self._take_head(event))
                elif type(event) is zttp.EndOfMessage:
                    events.append(self._take_end(event))
                    break
                else:
                    assert event is zttp.CONNECTION_CLOSED, "a client sees responses"
                    raise self._closed()
                event = connection.next_event()
        except zttp.RemoteProtocolError as error:
            raise self._translate(error, is_end=not data) from error
        return events

    def _take_end(self, end: zttp.EndOfMessage) -> End:
        self._ended = True
        self.reusable = not self._connection.should_close() and self._is_drained()
        if not end.trailers:
            return WHOLE
        return End([(name.lower(), value) for name, value in end.trailers])

    def _is_drained(self) -> bool:
        """Whether nothing came behind the response: it would answer a request not made yet."""
        try:
            self._connection.start_next_cycle()
            return self._connection.receive_event(b"") is zttp.CONNECTION_CLOSED
        except zttp.ProtocolError:
            return False

    def _take_head(self, response: zttp.Response) -> Head:
        headers = cast("zttp.HeaderBlock", response.headers)
        status = response.status_code
        fields = headers.to_list(lowercase_names=True)
        if status == 101 and not self._wants_tunnel:
            raise OriginError("http_protocol_error", "101 (Switching Protocols) that nobody asked")
        if status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                problem = f"more than {MAX_INTERIM} interim responses"
                raise OriginError("http_protocol_error", problem)
            return Head(status, fields, response.http_version)
        for value in headers.getall(b"transfer-encoding"):
            if value.lower() != b"chunked":
                problem = "a transfer coding besides chunked"
                raise OriginError("http_response_transfer_coding", problem)
        for value in headers.getall(b"keep-alive"):
            if found := KEEPS.search(value):
                self.keeps_s = int(found[1])
        self._in_content = True
        return Head(status, fields, response.http_version)

    def _translate(self, error: zttp.RemoteProtocolError, *, is_end: bool) -> OriginError:
        """zttp's words as RFC 9209's."""
        message = str(error)
        if is_end:
            return self._closed()
        if "size limit" in message and self._in_content:
            return OriginError("http_response_trailer_section_size", message)
        if "size limit" in message:
            return OriginError("http_response_header_section_size", message)
        return OriginError("http_protocol_error", message)

    def _closed(self) -> OriginError:
        """The connection ended too early; without a byte of a response it may have been unused."""
        if self.has_begun:
            return OriginError("http_response_incomplete", "it closed in the middle of a response")
        return OriginError("connection_terminated", "it closed without a response", "if_reused")

    # Tunnels

    def _receive_tunnel(self, data: bytes) -> list[Event]:
        """
        Find the end of a head that may be a 101: zttp swallows what is behind it.

        Heads are given on one by one; at a 101 the rest is the tunnel's, at a final response it is
        content.
        """
        if not data:
            return self._receive(data)
        self._head += data
        events: list[Event] = []
        while self._wants_tunnel and (end := self._head.find(BLANK_LINE)) >= 0:
            end += len(BLANK_LINE)
            head, self._head = self._head[:end], self._head[end:]
            events += self._receive(head)
            last = events[-1] if events else None
            status = last.status if isinstance(last, Head) else 0
            if isinstance(last, End) or status >= 200:
                self._wants_tunnel = False
            if any(isinstance(each, Head) and each.status == 101 for each in events):
                return self._begin_tunnel(events)
        if len(self._head) > MAX_HEAD and self._wants_tunnel:
            raise OriginError("http_response_header_section_size", "the head has no end")
        if not self._wants_tunnel and self._head:
            rest, self._head = self._head, b""
            if self._ended:
                self.reusable = False  # what is behind the response answers nobody
            else:
                events += self._receive(rest)
        return events

    def _begin_tunnel(self, events: list[Event]) -> list[Event]:
        """From here on bytes are bytes."""
        self._wants_tunnel, self.is_tunnel = False, True
        self._ended, self.reusable = True, False
        heads: list[Event] = [each for each in events if not isinstance(each, End)]
        rest, self._head = self._head, b""
        return [*heads, rest] if rest else heads
