"""HTTP/2 over real sockets: streams beside each other, windows, resets, and how connections end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from edge.errors import MalformedRequest, RequestError, RequestTimedOut
from edge.http.http1 import Limits
from edge.http.http2 import CANCEL, ENHANCE_YOUR_CALM, LAST_STREAM, REFUSED_STREAM
from edge.node.streams import Http2Connection
from edge.node.transport import GONE_SECONDS
from tests.support_wire import (
    DATA,
    GOAWAY,
    HEADERS,
    HELLO,
    KIB,
    MIB,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    Frames,
    Http2Client,
    Received,
    connected,
    echo_target,
    frame,
    head,
    read_all,
    response,
    serving,
    streamed,
    until,
)

NO_ERROR, PROTOCOL_ERROR = 0, 1


async def echo_content(request):
    """The content back, once it is whole."""
    return response(await read_all(request))


# The beginning


@pytest.mark.parametrize("size", [1, *range(2, 25), 1000], ids=str)
async def test_the_preface_is_recognized_however_it_arrives(size):
    """Prior knowledge needs all 24 bytes of the preface, in whatever segments they come."""
    async with serving(echo_target) as server:
        client = Http2Client(await server.client())
        stream = client.wire.send_request(b"GET", b"/x", b"2", [(b"host", b"a.test")])
        stream.end_message()
        client.streams[stream.stream_id] = Received()
        hello = client.wire.data_to_send()
        for start in range(0, len(hello), size):
            client.client.send(hello[start : start + size])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        received = await client.read(stream)
        assert (received.status, bytes(received.content)) == (200, b"/x")
        assert isinstance(server.connection, Http2Connection)


@pytest.mark.parametrize("cut", range(1, 24))
async def test_the_preface_may_be_cut_anywhere(cut):
    """Two segments, at every place."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(HELLO[:cut])
        await until(
            lambda: server.service.connections and len(server.connection._preface) == cut  # seen
        )
        client.send(HELLO[cut:])
        await until(lambda: isinstance(server.connection, Http2Connection))


@pytest.mark.parametrize("method", ["P", "PR", "PRI", "PUT", "POST", "PROPFIND"], ids=str)
@pytest.mark.parametrize("size", [1, 1000], ids=["byte by byte", "whole"])
async def test_methods_that_begin_like_the_preface_are_http1(method, size):
    """Bytes that were held for the preface are not lost to HTTP/1.1."""
    async with serving(lambda request: response(request.method)) as server:
        client = await server.client()
        data = f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
            await asyncio.sleep(0)
        assert (await client.read())[2] == method.encode()


async def test_our_settings_come_first():
    """The first frame is our SETTINGS; the client's are confirmed."""
    async with serving(echo_target) as server:
        server.service.max_streams = 7
        server.service.wire = Limits(field_bytes=999)
        client = await connected(server)
        await client.until(lambda: len(client.all) >= 2)
        assert client.settings == [[(3, 7), (6, 999)]]
        assert client.all[0][:2] == (SETTINGS, 0)
        assert client.all[1][:2] == (SETTINGS, 1)


# Requests and responses


async def test_content_of_requests_reaches_their_handlers():
    """Uploads on several streams, mixed frame by frame, stay apart."""
    async with serving(echo_content) as server:
        client = await connected(server)
        streams = [client.request(b"/", b"POST", ends=False) for _ in range(5)]
        for _ in range(20):
            for number, stream in enumerate(streams):
                stream.send_data(b"%d" % number * 100)
            client.flush()
        for stream in streams:
            stream.end_message([(b"digest", b"x")])
        client.flush()
        for number, stream in enumerate(streams):
            assert (await client.read(stream)).content == b"%d" % number * 2000


async def test_an_answer_may_flow_while_its_request_still_does():
    """What a handler reads piece by piece it may send piece by piece."""
    async with serving(lambda request: response(aiter(request.content))) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        stream.send_data(b"one")
        client.flush()
        received = client.streams[stream.stream_id]
        await client.until(lambda: received.content == b"one")
        stream.send_data(b"two")
        stream.end_message()
        client.flush()
        assert (await client.read(stream)).content == b"onetwo"
        assert received.reset is None


async def test_a_client_that_expects_is_told_to_continue():
    """100 comes when the handler begins to read; once the answer began there is none."""
    async with serving(echo_content) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False, expect=b"100-continue")
        received = client.streams[stream.stream_id]
        await client.until(lambda: received.interim)
        stream.send_data(b"hello")
        stream.end_message()
        client.flush()
        await client.read(stream)
        assert (received.interim, received.status, received.content) == ([100], 200, b"hello")


async def test_no_continue_comes_after_the_answer_began():
    """A head in the middle of a response would be its trailers."""

    async def pieces(request):
        yield b"head:"
        async for chunk in request.content:
            yield chunk

    async with serving(lambda request: response(pieces(request))) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False, expect=b"100-continue")
        received = client.streams[stream.stream_id]
        await client.until(lambda: received.content == b"head:")
        stream.send_data(b"hello")
        stream.end_message()
        client.flush()
        await client.read(stream)
        assert (received.interim, received.content) == ([], b"head:hello")


async def test_content_in_flight_behind_an_early_answer_is_no_offense():
    """What a client had sent before it knew better is not counted against it."""
    async with serving(echo_target) as server:
        client = await connected(server)
        for _ in range(60):
            stream = client.request(b"/", b"POST", ends=False)
            received = await client.read(stream)
            await client.until(lambda r=received: r.reset is not None)
            for _ in range(3):
                client.client.send(frame(DATA, 0, stream.stream_id, b"x"))
        assert (await client.read(client.request())).status == 200
        assert not client.goaways


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        (b"/" + b"x" * 9000, {}, 414),
        (b"/", {f"x{n}": b"y" for n in range(101)}, 431),
        (b"foo", {}, 400),
    ],
    ids=["long path", "many fields", "relative path"],
)
async def test_a_request_over_its_limits_is_answered(path, fields, status):
    """One stream is refused with its status; the connection goes on."""
    async with serving(echo_target) as server:
        client = await connected(server)
        assert (await client.read(client.request(path, **fields))).status == status
        assert (await client.read(client.request())).status == 200
        assert len(server.requests) == 1


# Flow control


async def test_a_stalled_consumer_stops_its_upload_alone():
    """A stream whose handler does not read gets no window; the others' uploads go on."""
    gate = asyncio.Event()
    taken = []

    async def respond(request):
        if request.target == b"/stalled":
            async for chunk in request.content:
                taken.append(len(chunk))
                await gate.wait()
            return response(b"%d" % sum(taken))
        return response(b"%d" % len(await read_all(request)))

    async with serving(respond) as server:
        client = await connected(server)
        stalled = client.request(b"/stalled", b"POST", ends=False)
        total = 4 * MIB
        stalled.send_data(bytes(total))
        stalled.end_message()
        client.flush()
        busy = client.request(b"/busy", b"POST", ends=False)
        busy.send_data(bytes(2 * MIB))
        busy.end_message()
        client.flush()
        assert (await client.read(busy)).content == b"%d" % (2 * MIB)
        assert stalled.pending_bytes == total - 65_535, "not a byte past the first window"
        waiting = server.connection.streams[stalled.stream_id].content.size
        assert sum(taken) + waiting == 65_535
        gate.set()
        assert (await client.read(stalled)).content == b"%d" % total


async def test_a_stalled_stream_is_cut_off_after_its_time():
    """Thirty seconds without a window end the stream, not the connection."""
    closed = []

    def respond(request):
        if request.target == b"/huge":
            return response(streamed(100, bytes(64 * KIB), closed=closed))
        return response(b"ok")

    async with serving(respond) as server:
        client = await connected(server)
        huge = client.request(b"/huge")
        client.stalled.add(huge.stream_id)
        received = client.streams[huge.stream_id]
        await client.until(lambda: len(received.content) == 65_535)
        server.later(29)
        assert (await client.read(client.request())).content == b"ok"
        assert received.reset is None
        server.later(2)
        assert (await client.read(huge)).reset == CANCEL
        await until(lambda: closed)
        assert (await client.read(client.request())).content == b"ok"


async def test_content_that_stops_coming_is_408():
    """Thirty seconds without a byte for a handler that waits; a slow handler is nobody's fault."""
    async with serving(echo_content) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        stream.send_data(b"hello")
        client.flush()
        await until(lambda: server.requests and server.requests[0].content.started)
        await until(lambda: not server.requests[0].content.size)
        server.later(29)
        assert not server.errors
        server.later(2)
        assert (await client.read(stream)).status == 408
        assert isinstance(server.errors[0], RequestTimedOut)


async def test_a_slow_handler_is_not_the_clients_fault():
    """Time limits of the wire are for clients: an answer may take its time."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await connected(server)
        stream = client.request(b"/slow")
        await until(lambda: server.requests)
        server.later(1000)
        gate.set()
        assert (await client.read(stream)).content == b"/slow"


async def test_a_transport_that_takes_nothing_is_aborted():
    """Thirty seconds without a byte read end the whole connection."""
    async with serving(lambda _: response(streamed(10_000, bytes(64 * KIB)))) as server:
        client = await server.client(receive_buffer=4 * KIB)
        client.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff"))
        client.send(frame(8, 0, 0, b"\x7f\xff\0\0") + head(1))
        await until(lambda: server.service.connections and server.connection.paused)
        server.later(1)
        server.later(29)
        assert not server.connection.transport.is_closing()
        server.later(2)
        await until(lambda: not server.service.connections)


async def test_a_client_that_says_goodbye_is_let_go():
    """Its GOAWAY is answered; what is under way is finished before the end."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await connected(server)
        stream = client.request(b"/slow")
        client.client.send(frame(GOAWAY, 0, 0, bytes(8)))
        await client.until(lambda: client.goaways)
        assert not client.streams[stream.stream_id].done
        gate.set()
        assert (await client.read(stream)).content == b"/slow"
        await client.until_closed()
        assert client.goaways == [(stream.stream_id, NO_ERROR)]


# Streams that fail

FAILURES = {
    "an error of the client": (MalformedRequest("no"), 400),
    "any other error": (ZeroDivisionError("oops"), 500),
}


@pytest.mark.parametrize(("error", "status"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_handler_that_fails_is_answered(error, status):
    """Whatever a coroutine raises becomes a response; other streams are not concerned."""

    async def failing(request):
        await asyncio.sleep(0)
        if request.target == b"/bad":
            raise error
        return response(b"ok")

    async with serving(failing) as server:
        client = await connected(server)
        bad, good = client.request(b"/bad"), client.request(b"/good")
        assert (await client.read(bad)).status == status
        assert (await client.read(good)).content == b"ok"
        assert server.errors == [error]


@pytest.mark.parametrize("stage", ["handler", "upload", "window"])
async def test_a_reset_cancels_the_work_of_its_stream(stage):
    """Whether its handler thinks, reads or sends: it ends, and what it sent from is closed."""
    began, ended = [], []

    async def respond(request):
        began.append(True)
        try:
            if stage == "upload":
                await read_all(request)
            elif stage == "handler":
                await asyncio.Event().wait()
        except (asyncio.CancelledError, RequestError):
            ended.append(True)
            raise
        return response(streamed(1000, bytes(64 * KIB), closed=ended))

    async with serving(respond) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        client.stalled.add(stream.stream_id)
        await until(lambda: began)
        if stage == "window":
            await client.until(lambda: len(client.streams[stream.stream_id].content) == 65_535)
        assert not ended
        stream.reset(CANCEL)
        client.flush()
        await until(lambda: ended)
        assert not server.connection.streams


@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_lost_client_ends_all_its_streams(way):
    """Every handler is cancelled and every generator closed, at once."""
    closed = []
    gc.disable()
    kept = []

    def respond(_request):
        kept.append(streamed(1000, bytes(64 * KIB), closed=closed))
        return response(kept[-1])

    try:
        async with serving(respond) as server:
            client = await connected(server)
            streams = [client.request() for _ in range(10)]
            client.stalled.update(stream.stream_id for stream in streams)
            await client.until(
                lambda: sum(len(r.content) for r in client.streams.values()) > 65_000
            )
            if way == "reset":
                client.client.reset()
            else:
                await client.client.close()
                server.later(1)
                server.later(31)  # a half-closed client may still read: its windows decide
            await until(lambda: len(closed) == sum(1 for k in kept if k.ag_frame is None) >= 1)
            await until(lambda: not server.service.connections)
    finally:
        gc.enable()


async def test_a_half_closed_client_gets_its_answers():
    """A client that sends its end behind its requests reads its answers, then the end."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await connected(server)
        streams = [client.request(b"/%d" % n) for n in range(3)]
        client.client.half_close()
        await until(lambda: server.requests and server.connection.half_closed)
        gate.set()
        for number, stream in enumerate(streams):
            assert (await client.read(stream)).content == b"/%d" % number
        await client.until_closed()


async def test_a_half_closed_client_that_gets_nothing_has_gone():
    """Whoever works for it is told, seconds later; what it takes meanwhile shows it is there."""
    gate, closed = asyncio.Event(), []

    async def content():
        try:
            await gate.wait()
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async with serving(lambda _: response(content(), length=2)) as server:
        client = await connected(server)
        stream = client.request()
        await until(lambda: server.requests)
        client.client.half_close()
        await until(lambda: server.connection.half_closed)
        server.later(GONE_SECONDS - 1)
        gate.set()
        await client.until(lambda: client.streams[stream.stream_id].content == b"x")
        server.later(GONE_SECONDS - 1)
        assert not server.connection.transport.is_closing()
        server.later(GONE_SECONDS + 1)
        await until(lambda: closed and not server.service.connections)


async def test_content_that_ends_too_early_is_400():
    """A half-closed client that owes content gets the answer of the error."""
    async with serving(echo_content) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        await until(lambda: server.requests)
        client.client.half_close()
        assert (await client.read(stream)).status == 400


# Floods


async def test_too_many_streams_are_refused():
    """Streams over the limit are reset before they cost anything; those under way go on."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        server.service.max_streams = 3
        client = await connected(server)
        streams = [client.request(b"/%d" % n) for n in range(5)]
        assert [(await client.read(stream)).reset for stream in streams[3:]] == [REFUSED_STREAM] * 2
        gate.set()
        assert [(await client.read(s)).content for s in streams[:3]] == [b"/0", b"/1", b"/2"]
        assert len(server.requests) == 3
        assert (await client.read(client.request(b"/again"))).content == b"/again"


FLOODS = {
    "resets": b"".join(
        head(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(101)
    ),
    "malformed requests": b"".join(head(2 * n + 1, (b"X", b"y")) for n in range(101)),
    "pings": frame(PING, 0, 0, b"12345678") * 61,
    "settings": frame(SETTINGS, 0, 0) * 15,
    "priorities": frame(PRIORITY, 0, 1, b"\0\0\0\0\1") * 5000,
    "empty content": head(1, ends=False) + frame(DATA, 0, 1) * 10_000,
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_is_told_to_calm_down(data):
    """What costs more than it brings ends the connection with ENHANCE_YOUR_CALM."""

    async def wait(request):
        await asyncio.Event().wait()

    async with serving(wait) as server:
        client = await server.client()
        client.send(HELLO + data)
        answer = Frames(client)
        await answer.until_closed()
        assert answer.goaways[-1][1] == ENHANCE_YOUR_CALM
        await client.close()
        await until(lambda: not server.service.connections)


async def test_a_client_that_often_cancels_is_asked_for_a_new_connection():
    """Resets over many minutes are no flood, but zttp's ceiling for them is never reached."""
    async with serving(echo_target) as server:
        server.service.keep_alive = 1000
        client = await connected(server)
        for expected in ([], [], [(LAST_STREAM, NO_ERROR)]):
            for _ in range(70):
                client.request().reset(CANCEL)
            client.flush()
            assert (await client.read(client.request())).status == 200
            await client.until(lambda e=expected: len(client.goaways) == len(e))
            assert client.goaways == expected
            server.later(61)
        await client.until_closed()
        assert [code for _, code in client.goaways] == [NO_ERROR, NO_ERROR]


BROKEN = {
    "frame too large": (b"\x00\x40\x01\0\0\0\0\0\1" + b"x" * 16385, 6),
    "even stream": (head(2), PROTOCOL_ERROR),
    "content of no stream": (frame(DATA, 0, 3, b"x"), PROTOCOL_ERROR),
    "empty credit": (frame(8, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    "bad compression": (frame(HEADERS, 5, 3, b"\xff" * 6), 9),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_connection_gets_goaway_and_ends(data, code):
    """The client reads why, then the end; what was under way is cancelled."""
    cancelled = []

    async def wait(_request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with serving(wait) as server:
        client = await server.client()
        client.send(HELLO + head(1))
        await until(lambda: server.requests)
        await asyncio.sleep(0)
        client.send(data + b"\xff" * 100_000)
        answer = Frames(client)
        await answer.until_closed()
        assert answer.goaways[-1][1] == code
        await until(lambda: cancelled)


async def test_a_preface_gone_wrong_is_http1():
    """What only begins like the preface is answered as HTTP/1.1: a version we do not speak."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(PREFACE[:-1] + b"?")
        assert (await client.read())[0] == 505
        assert await client.rest() == b""


# The end


async def test_the_end_comes_in_two_steps():
    """After so many streams GOAWAY; what comes before the client has seen it is still answered."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(lambda r: slow(r) if r.target == b"/slow" else echo_target(r)) as server:
        server.service.streams_per_connection = 3
        client = await connected(server)
        for _ in range(3):
            assert (await client.read(client.request())).status == 200
        await client.until(lambda: client.goaways)
        assert client.goaways == [(LAST_STREAM, NO_ERROR)]
        crossing = client.request(b"/crossing")
        assert (await client.read(crossing)).content == b"/crossing"
        pending = client.request(b"/slow")
        await until(lambda: len(server.requests) == 5)
        server.later(1.1)
        await client.until(lambda: len(client.goaways) == 2)
        assert client.goaways[1] == (pending.stream_id, NO_ERROR)
        late = client.request(b"/late")
        assert (await client.read(late)).reset == REFUSED_STREAM
        gate.set()
        assert (await client.read(pending)).content == b"/slow"
        await client.until_closed()
        assert b"/late" not in [request.target for request in server.requests]


async def test_the_first_step_waits_for_a_quiet_moment():
    """A client that gives up everything at a GOAWAY gets the answers under way first."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        server.service.streams_per_connection = 2
        client = await connected(server)
        streams = [client.request(b"/%d" % number) for number in range(3)]
        await until(lambda: len(server.requests) == 3)
        server.later(4)
        gate.set()
        for stream in streams:
            await client.read(stream)
        assert not client.goaways
        server.later(1)
        await client.until(lambda: client.goaways)
        server.later(1)
        await client.until_closed()
        assert client.goaways == [(LAST_STREAM, NO_ERROR), (5, NO_ERROR)]


async def test_the_first_step_does_not_wait_for_ever():
    """A stream that goes on and on is still on its way when the client is told."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        server.service.streams_per_connection = 1
        client = await connected(server)
        stream = client.request(b"/slow")
        await until(lambda: server.requests)
        server.later(4.9)
        assert not server.connection._parting_since
        server.later(0.2)
        await client.until(lambda: client.goaways)
        server.later(1.1)
        gate.set()
        assert (await client.read(stream)).content == b"/slow"
        await client.until_closed()


async def test_a_client_that_ignores_the_end_is_stopped():
    """So many more streams as may be on their way are served, then no more."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(lambda r: slow(r) if r.target == b"/slow" else echo_target(r)) as server:
        server.service.streams_per_connection = 3
        server.service.max_streams = 2
        client = await server.client()
        paths = [b"/slow", *[b"/x"] * 9]
        client.send(HELLO + b"".join(head(2 * n + 1, path=path) for n, path in enumerate(paths)))
        answer = Frames(client)
        await answer.until(lambda: 19 in answer.resets)
        assert answer.resets == dict.fromkeys(range(15, 20, 2), REFUSED_STREAM)
        gate.set()
        await answer.until_closed()
        assert answer.goaways == [(LAST_STREAM, NO_ERROR), (13, NO_ERROR)]


async def test_a_drain_refuses_nothing_that_was_on_its_way():
    """Draining is the same two steps: what the client had sent is answered, then the end."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await connected(server)
        first = client.request(b"/first")
        await until(lambda: server.requests)
        server.connection.drain()
        second = client.request(b"/second")
        await until(lambda: len(server.requests) == 2)
        gate.set()
        assert (await client.read(first)).content == b"/first"
        assert (await client.read(second)).content == b"/second"
        server.connection.drain()
        third = client.request(b"/third")  # sent before the GOAWAY was read
        assert (await client.read(third)).content == b"/third"
        assert client.goaways == [(LAST_STREAM, NO_ERROR)]
        server.clock.now += 1.1
        server.connection.drain()
        await client.until_closed()
        assert client.goaways[1:] == [(third.stream_id, NO_ERROR)]


async def test_an_idle_connection_ends_after_keep_alive():
    """Sixty seconds without a request; PINGs do not count."""
    async with serving(echo_target) as server:
        client = await connected(server)
        await client.read(client.request())
        server.later(50)
        client.client.send(frame(PING, 0, 0, b"12345678"))
        await client.until(lambda: any(kind == PING for kind, *_ in client.all))
        assert not client.goaways
        server.later(11)
        await client.until_closed()
        assert client.goaways == [(1, NO_ERROR)]


async def test_streams_leave_nothing_behind():
    """After answers, uploads, early answers and resets, a connection keeps no trace of them."""

    async def respond(request):
        if request.target == b"/read":
            await read_all(request)
        return response(bytes(100 * KIB))

    async with serving(respond) as server:
        client = await connected(server)
        for path in (b"/read", b"/unread", b"/read", b"/unread"):
            stream = client.request(path, b"POST", ends=False)
            stream.send_data(bytes(50 * KIB))
            stream.end_message()
            client.flush()
            await client.read(stream)
        gone = client.request(b"/read", b"POST", ends=False)
        gone.send_data(bytes(50 * KIB))
        client.flush()
        await until(lambda: len(server.requests) == 5)
        gone.reset(CANCEL)
        client.flush()
        connection = server.connection
        await until(lambda: not connection.streams)
        assert not connection.wire._untaken
        assert not connection.wire._withheld
        assert not connection._early
        assert not [i for i in connection._waiting if i in connection.streams]
