"""Events out of HTTP/2 bytes, and what is done to zttp's frames on the way out."""

from __future__ import annotations

import pytest
import zttp

from edge.errors import Flooded, HeadTooLarge, MalformedRequest, RequestError
from edge.http.http1 import Limits
from edge.http.http2 import (
    LAST_STREAM,
    NO_ERROR,
    Content,
    End,
    Farewell,
    Http2,
    Reset,
)
from edge.http.message import Request
from tests.support_wire import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    frames,
    head,
    string,
)

HELLO = PREFACE + frame(SETTINGS, 0, 0)


def opened(limits: Limits | None = None) -> Http2:
    """A connection whose client has said hello."""
    wire = Http2(limits or Limits(), 100)
    wire.open()
    assert wire.receive(HELLO) == []
    assert [kind for kind, *_ in frames(wire.flush())] == [SETTINGS]
    return wire


def upload(wire: Http2, stream: int, *sizes: int) -> list[object]:
    """Content of these sizes on a stream; the events."""
    found = wire.receive(head(stream, method=b"POST", ends=False))
    for size in sizes:
        found += wire.receive(frame(DATA, 0, stream, b"x" * size))
    return found


def window_updates(output: bytes) -> list[tuple[int, int]]:
    """(stream, bytes) of every window update."""
    return [
        (stream, int.from_bytes(payload, "big"))
        for kind, _, stream, payload in frames(output)
        if kind == WINDOW_UPDATE
    ]


def test_our_settings_are_the_only_ones():
    """100 streams and 16 KiB of fields; no extended CONNECT (RFC 8441) is offered."""
    ((kind, _, stream, payload),) = frames(Http2(Limits(), 100).open())
    pairs = [payload[i : i + 6] for i in range(0, len(payload), 6)]
    assert (kind, stream) == (SETTINGS, 0)
    assert pairs == [b"\0\3\0\0\0\x64", b"\0\6\0\0\x40\0"]


def test_a_request_is_ours():
    """Pseudo-header fields become target and authority; the other fields keep their order."""
    (request,) = opened().receive(head(1, (b"x", b"1"), (b"x", b"2"), path=b"/a?b"))
    assert isinstance(request, Request)
    assert (request.method, request.target, request.authority) == (b"GET", b"/a?b", b"a")
    assert (request.version, request.stream, request.ends) == (b"2", 1, True)
    assert request.fields.getall(b"X") == [b"1", b"2"]


def test_content_and_trailers_end_a_request():
    """Content comes in order; trailers end it and are not content."""
    wire = opened()
    found = upload(wire, 1, 3, 0, 2)
    found += wire.receive(frame(HEADERS, 5, 1, b"\0\1t\1v"))
    assert [type(event) for event in found] == [Request, Content, Content, End]
    assert found[0].ends is False
    assert found[-1] == End(1, [(b"t", b"v")])


ENDS = {
    "at once": (frame(DATA, 1, 1), b"", True),
    "later": (b"", frame(DATA, 1, 1), False),
    "behind content": (frame(DATA, 1, 1, b"x"), b"", False),
    "with trailers": (frame(HEADERS, 5, 1, b"\0\1t\1v"), b"", False),
    "of another": (head(3) + frame(DATA, 1, 1), b"", False),
}


@pytest.mark.parametrize(("data", "more", "ends"), ENDS.values(), ids=ENDS.keys())
def test_an_end_right_behind_its_request_is_part_of_it(data, more, ends):
    """Some clients send END_STREAM in a frame of its own: no content came all the same."""
    wire = opened()
    first, *rest = wire.receive(head(1, ends=False) + data)
    rest += wire.receive(more)

    assert first.ends == ends
    assert any(isinstance(event, End) and event.stream == 1 for event in rest) != ends


@pytest.mark.parametrize(
    "offense",
    [frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), frame(DATA, 0, 1, b"x"), frame(8, 0, 1, bytes(4))],
    ids=["taken back", "content behind the end", "empty credit"],
)
def test_what_is_reset_at_once_is_not_begun(offense):
    """Nothing may be sent behind a RST_STREAM, and that is queued already (RFC 9113 §5.4.2)."""
    found = opened().receive(head(1) + head(3) + offense + head(5))
    assert [(type(e), e.stream) for e in found] == [(Request, 3), (Reset, 1), (Request, 5)]


def test_a_client_says_that_it_goes():
    """GOAWAY is an event, whatever it says."""
    assert opened().receive(frame(GOAWAY, 0, 0, bytes(8))) == [Farewell()]


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_a_priority_of_nothing_breaks_the_connection(size):
    """RFC 9113 §6.3; zttp reads past it."""
    wire = opened()
    wire.tally.read(HELLO)
    data = head(1) + frame(PRIORITY, 0, 0, bytes(5)) + head(3)

    def feed(piece: bytes) -> None:
        wire.tally.read(piece)
        wire.receive(piece)

    with pytest.raises(MalformedRequest):
        list(map(feed, (data[start : start + size] for start in range(0, len(data), size))))
    *_, (kind, _, _, payload) = frames(wire.flush())
    assert (kind, payload[4:8]) == (GOAWAY, b"\0\0\0\1")


def test_whoever_expects_100_is_asked_for_its_content():
    """Though there is none: it waits for that word."""
    wire = opened()
    first, end = wire.receive(head(1, (b"expect", b"100-continue"), ends=False) + frame(DATA, 1, 1))

    assert (first.ends, first.expects, type(end)) == (False, True, End)


def test_bytes_in_any_pieces_are_the_same_events():
    """One byte at a time gives what the whole gives."""
    data = HELLO + head(1) + head(3, method=b"POST", ends=False) + frame(DATA, 1, 3, b"abc")
    whole, pieces = Http2(Limits(), 100), Http2(Limits(), 100)
    whole.open()
    pieces.open()
    dripped = [event for i in range(len(data)) for event in pieces.receive(data[i : i + 1])]
    assert [(type(e), e.stream) for e in dripped] == [
        (type(e), e.stream) for e in whole.receive(data)
    ]


BROKEN = {
    "no preface": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "frame too large": HELLO + b"\x00\x40\x01\0\0\0\0\0\1" + b"x" * 16385,
    "even stream": HELLO + head(2),
    "stream below the last": HELLO + head(3) + head(1),
    "content of no stream": HELLO + frame(DATA, 0, 1, b"x"),
    "push": HELLO + frame(5, 4, 1, b"\0\0\0\2"),
    "empty credit": HELLO + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    "settings of five bytes": HELLO + frame(SETTINGS, 0, 0, b"\0\0\0\0\0"),
    "ping of seven bytes": HELLO + frame(PING, 0, 0, b"1234567"),
    "bad compression": HELLO + frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"),
    "continuation flood": HELLO + frame(HEADERS, 1, 1) + frame(9, 0, 1) * 20_000,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("size", [1_000_000, 1], ids=["whole", "byte by byte"])
def test_a_broken_connection_says_goaway(data, size):
    """What breaks the connection raises once, and the last frame out is a GOAWAY with its code."""
    wire = Http2(Limits(), 100)
    wire.open()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(RequestError):
        list(map(wire.receive, pieces))
    *_, (kind, _, stream, payload) = frames(wire.flush())
    assert (kind, stream) == (GOAWAY, 0)
    assert payload[4:8] != b"\0\0\0\0"


REJECTED = {
    "field name in upper case": head(1, (b"X", b"y")),
    "connection field": head(1, (b"connection", b"close")),
    "te other than trailers": head(1, (b"te", b"gzip")),
    "two authorities": head(1, (b"host", b"b")),
    "empty path": head(1, path=b""),
    "length that differs": head(1, (b"content-length", b"5"), ends=False)
    + frame(DATA, END_STREAM, 1, b"abc"),
}


@pytest.mark.parametrize("data", REJECTED.values(), ids=REJECTED.keys())
def test_a_malformed_request_costs_its_stream_alone(data):
    """A stream error is a reset of that stream; the next request is read (RFC 9113 §8.1.1)."""
    wire = opened()
    found = wire.receive(data + head(3))
    assert any(isinstance(event, Reset) and event.stream == 1 for event in found)
    assert isinstance(found[-1], Request)
    assert RST_STREAM in [kind for kind, *_ in frames(wire.flush())]


CHECKED = {
    "good": (head(1), None),
    "asterisk": (head(1, method=b"OPTIONS", path=b"*"), None),
    "long path": (head(1, path=b"/" + b"x" * 240), 414),
    "many fields": (head(1, *[(b"x", b"y")] * 8), 431),
    "large fields": (head(1, (b"a", b"y" * 250), (b"b", b"y" * 250)), 431),
    "relative path": (head(1, path=b"foo"), 400),
    "absolute path": (head(1, path=b"http://a/"), 400),
    "asterisk for GET": (head(1, path=b"*"), 400),
    "blank in the path": (head(1, path=b"/a b"), 400),
    "quote in the query": (head(1, path=b'/?a="b"'), 400),
    "fragment": (head(1, path=b"/?a#b"), 400),
    "UTF-8 in the path": (head(1, path=b"/\xc3\xa9"), 400),
    "CONNECT": (head(1, method=b"CONNECT"), 501),
    "extended CONNECT": (head(1, (b":protocol", b"websocket"), method=b"CONNECT"), 501),
}


@pytest.mark.parametrize(("data", "status"), CHECKED.values(), ids=CHECKED.keys())
def test_a_request_is_checked_against_the_limits(data, status):
    """What zttp lets through is measured here; each excess has its status."""
    wire = opened(Limits(line_bytes=300, field_bytes=500, field_count=5))
    (request,) = wire.receive(data)
    error = wire.check(request)
    assert (error.status if error else None) == status


def test_a_stream_is_credited_when_its_content_is_taken():
    """The connection's window opens at once, the stream's when the consumer took everything."""
    wire = opened()
    upload(wire, 1, 16_000, 16_000, 16_000)
    at_once = window_updates(wire.flush())
    assert {stream for stream, _ in at_once} == {0}
    assert wire.take(1, 16_000) == b""
    assert wire.take(1, 16_000) == b""
    later = window_updates(wire.take(1, 16_000))
    assert {stream for stream, _ in later} == {1}
    assert sum(size for _, size in later) == sum(size for _, size in at_once)


def test_an_untaken_stream_holds_back_no_other():
    """Window updates of a second stream go out while the first one's wait."""
    wire = opened()
    upload(wire, 1, 16_000, 16_000, 16_000)
    wire.flush()
    upload(wire, 3, 16_000)
    assert wire.take(3, 16_000) == b""
    upload_more = wire.receive(frame(DATA, 0, 3, b"x" * 16_000) + frame(DATA, 0, 3, b"x" * 16_000))
    assert len(upload_more) == 2
    assert wire.take(3, 32_000) == b""  # nothing of it was flushed yet
    assert 3 in {stream for stream, _ in window_updates(wire.flush())}


@pytest.mark.parametrize("way", ["at once", "one by one"])
def test_whoever_sends_more_than_the_window_is_reset(way):
    """What was withheld is no credit: no more than one window of a stream is ever kept."""
    wire = opened()
    pieces = [frame(DATA, 0, 1, bytes(size)) for size in (16_384, 16_384, 16_384, 16_383, 1, 9)]
    wire.receive(head(1, method=b"POST", ends=False) + head(3, method=b"POST", ends=False))
    for piece in [b"".join(pieces)] if way == "at once" else pieces:
        found = wire.receive(piece)
        output = wire.flush()
        if any(isinstance(event, Reset) for event in found):
            break
    assert found[0] == Reset(1)
    assert not any(isinstance(event, Content) for event in found)
    assert (RST_STREAM, 0, 1, b"\0\0\0\3") in frames(output)
    assert [type(event) for event in wire.receive(frame(DATA, 0, 3, b"x"))] == [Content]


def test_whoever_sends_more_than_it_said_is_reset():
    """As soon as it has, not at the end: what is beyond never goes on (RFC 9113 §8.1.1)."""
    wire = opened()
    start = head(1, (b"content-length", b"5"), method=b"POST", ends=False)
    assert len(wire.receive(start + frame(DATA, 0, 1, b"hello"))) == 2
    assert wire.receive(frame(DATA, 0, 1, b"!")) == [Reset(1)]
    assert (RST_STREAM, 0, 1, b"\0\0\0\1") in frames(wire.flush())


@pytest.mark.parametrize("ends", [0, END_STREAM])
def test_a_stream_is_reset_once(ends):
    """Though both of us see that there is too much."""
    wire = opened()
    start = head(1, (b"content-length", b"5"), method=b"POST", ends=False)
    found = wire.receive(start + frame(DATA, 0, 1, b"hello!") + frame(DATA, ends, 1, b"!"))
    assert found == [Reset(1)]
    assert [f for f in frames(wire.flush()) if f[0] == RST_STREAM] == [(3, 0, 1, b"\0\0\0\1")]


def test_lengths_of_streams_that_are_done_are_forgotten():
    """However they end."""
    wire = opened()
    for stream in (1, 3, 5):
        wire.receive(head(stream, (b"content-length", b"5"), method=b"POST", ends=False))
    wire.receive(frame(DATA, 1, 1, b"hello"))
    wire.forget(1)
    wire.reset(3, 8)
    wire.receive(frame(DATA, 0, 5, b"hello!"))
    assert wire._left == {}


def test_whoever_sends_all_of_the_window_is_not():
    """A window's worth, taken, and another."""
    wire = opened()
    found = upload(wire, 1, 16_384, 16_384, 16_384, 16_383)
    for _ in range(3):
        wire.flush()
        wire.take(1, 65_535)
        for size in (16_384, 16_384, 16_384, 16_383):
            found += wire.receive(frame(DATA, 0, 1, bytes(size)))
    assert not any(isinstance(event, Reset) for event in found)


def test_a_forgotten_stream_leaves_nothing_behind():
    """A stream that ended frees its count and its withheld frames."""
    wire = opened()
    upload(wire, 1, 16_000, 16_000, 16_000)
    wire.flush()
    wire.forget(1)
    assert wire.take(1, 48_000) == b""
    wire.receive(frame(DATA, 0, 1, b"x" * 10))
    assert wire.take(1, 10) == b""


def test_content_is_bounded_by_both_windows():
    """No more is framed than the smaller of the two windows allows."""
    wire = opened()
    wire.receive(head(1) + head(3))
    for stream in (1, 3):
        wire.send_head(stream, 200, [], ends=False)
    assert wire.send_content(1, memoryview(b"x" * 40_000)) == 40_000
    assert wire.send_content(3, memoryview(b"x" * 40_000)) == 65_535 - 40_000
    assert wire.send_content(3, memoryview(b"x")) == 0
    wire.receive(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\5"))
    assert wire.send_content(3, memoryview(b"x" * 9)) == 5


def test_a_window_that_shrank_below_nothing_takes_nothing():
    """SETTINGS may make a window negative (RFC 9113 §6.9.2)."""
    wire = opened()
    wire.receive(head(1))
    wire.send_head(1, 200, [], ends=False)
    wire.send_content(1, memoryview(b"x" * 60_000))
    wire.receive(frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
    assert wire.send_content(1, memoryview(b"x")) == 0


def test_the_last_stream_is_named():
    """The first GOAWAY refuses nothing, the second says what was served; both are read past."""
    wire = opened()
    wire.receive(head(1))
    wire.go_away(LAST_STREAM, NO_ERROR)
    assert isinstance(wire.receive(head(3))[0], Request)
    wire.go_away(3, NO_ERROR)
    assert frames(wire.flush()) == [
        (GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"),
        (GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\0"),
    ]
    assert isinstance(wire.receive(head(5))[0], Request)


def repeated(stream: int, times: int) -> bytes:
    """HEADERS that put a field of 200 bytes into the table, and then repeat it (RFC 7541 §6.1)."""
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
    block = b"".join(b"\0" + string(name) + string(value) for name, value in fields)
    block += b"\x40" + string(b"x") + string(b"y" * 200) + b"\xbe" * times
    return frame(HEADERS, 5, stream, block)


def test_frames_that_only_cost_are_counted():
    """Those of the client by its tally, ours by the content that waited."""
    wire = opened()
    data = frame(PING, 0, 0, b"12345678") * 3 + head(1)
    wire.tally.read(HELLO + data)
    wire.receive(data)
    wire.send_head(1, 200, [], ends=False)
    assert wire.send_content(1, memoryview(b"hello")) == 5
    assert (wire.tally.pings, wire.tally.settings, wire.sent) == (3, 1, 5)


def test_who_is_to_blame_for_what_waits():
    """The stream's window, where the connection's is open."""
    wire = opened()
    wire.receive(head(1) + head(3))
    for stream in (1, 3):
        wire.send_head(stream, 200, [], ends=False)
    assert wire.blames(1) is False
    wire.send_content(1, memoryview(bytes(65_535)))
    assert wire.blames(1) is None
    wire.receive(frame(8, 0, 0, b"\0\0\0\7"))
    assert (wire.blames(1), wire.blames(3)) == (True, False)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (repeated(1, 16_000), HeadTooLarge),
        (frame(HEADERS, 1, 1, b"\x82") + frame(9, 0, 1, b"") * 17, Flooded),
        (frame(9, 4, 1, b""), MalformedRequest),
    ],
    ids=["bomb", "continuations", "out of place"],
)
def test_what_ends_a_connection_is_told_apart(data, kind):
    """A head that unpacks to megabytes, one in too many frames, and what is just wrong."""
    wire = opened()
    with pytest.raises(RequestError) as caught:
        wire.receive(data)
    assert type(caught.value) is kind


def test_interim_response_comes_before_the_final_one():
    """100 (Continue) leaves the stream open for the response."""
    wire = opened()
    (request,) = wire.receive(head(1, (b"expect", b"100-continue"), ends=False))
    assert request.expects
    wire.send_interim(1, 100, [])
    wire.send_head(1, 204, [], ends=True)
    assert [kind for kind, *_ in frames(wire.flush())] == [HEADERS, HEADERS]


@pytest.mark.parametrize("size", [1, 16_000, 16_384 - 3 - 7, 16_384 - 3 - 6, 40_000])
def test_the_first_block_says_that_our_table_is_empty(size):
    """A client that lowers its maximum waits for that (RFC 9113 §4.3.1); zttp has no table."""
    wire = opened()
    wire.receive(head(1) + head(3))
    for stream in (1, 3):
        wire.send_head(stream, 200, [(b"a", b"x" * size)], ends=True)
    sent = frames(wire.flush())
    assert max(len(payload) for *_, payload in sent) <= 16_384
    for stream, first in ((1, b"\x20"), (3, b"")):
        ours = [one for one in sent if one[2] == stream]
        assert [kind for kind, *_ in ours] == [HEADERS] + [9] * (len(ours) - 1)
        assert [flags & 4 for _, flags, *_ in ours] == [0] * (len(ours) - 1) + [4]
        block = b"".join(payload for *_, payload in ours)
        assert block.startswith(first + b"\x08\x03200")
        assert block.endswith(b"x" * size)


def test_zttp_still_has_no_table_of_its_own():
    """What the first block says rests on that: nothing that it sends is put into one."""
    wire = opened()
    wire.receive(head(1) + head(3))
    blocks = []
    for stream in (1, 3):
        wire.send_head(stream, 200, [(b"a", b"b"), (b"server", b"edge")], ends=True)
        blocks += [payload.removeprefix(b"\x20") for *_, payload in frames(wire.flush())]
    assert blocks[0] == blocks[1]


def test_zttp_still_credits_what_is_read():
    """What withholding rests on: zttp credits popped content at once, on both windows."""
    server = zttp.Connection(zttp.SERVER, zttp.HTTP2)
    server.initiate_connection()
    server.data_to_send()
    server.receive_data(HELLO + head(1, ends=False) + frame(DATA, 0, 1, b"x" * 16_000) * 3)
    while server.next_event() is not zttp.NEED_DATA:
        pass
    assert {stream for stream, _ in window_updates(server.data_to_send())} == {0, 1}
