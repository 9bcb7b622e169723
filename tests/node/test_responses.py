"""The sending half of HTTP/2: responses to frames, in turns, within their windows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.errors import MalformedRequest
from edge.http.http2 import CANCEL, INTERNAL_ERROR
from tests.support_wire import (
    DATA,
    GIB,
    HEADERS,
    HELLO,
    KIB,
    MIB,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Frames,
    connected,
    echo_target,
    frame,
    head,
    response,
    serving,
    small,
    streamed,
    until,
)

NO_ERROR = 0


def resident() -> int:
    """Bytes of memory this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 * KIB


ANSWERS = {
    "at once": echo_target,
    "finished": lambda request: small(request.target),
    "streamed": lambda request: response(streamed(3, request.target)),
    "streamed with empty chunks": lambda request: response(with_gaps(request.target)),
    "without content": lambda _: response(None, 204),
    "empty": lambda _: response(b""),
}


async def with_gaps(chunk):
    """Nothing before, between and after."""
    yield b""
    yield chunk
    yield b""


@pytest.mark.parametrize("method", [b"GET", b"HEAD"], ids=str)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("slow", [False, True], ids=["sync", "coroutine"])
async def test_every_kind_of_answer_ends_its_stream(answer, method, slow):
    """Status, fields and content arrive; HEAD has no content whatever the answer carries."""

    async def later(request):
        await asyncio.sleep(0)
        return answer(request)

    async with serving(later if slow else answer) as server:
        client = await connected(server)
        received = await client.read(client.request(b"/x", method))
        count = {"streamed": 3, "without content": 0, "empty": 0}
        name = next(name for name in ANSWERS if ANSWERS[name] is answer)
        wanted = b"/x" * count.get(name, 1) if method == b"GET" else b""
        assert received.status == (204 if name == "without content" else 200)
        assert (received.ended, received.reset) == (True, None)
        assert bytes(received.content) == wanted
        assert received.fields[b"date"] == b"Sun, 06 Nov 1994 08:49:37 GMT"
        assert not server.errors


async def test_many_streams_are_answered_beside_each_other():
    """A hundred streams at once, each with its own answer, some larger than the windows."""

    def respond(request):
        number = int(request.target[1:])
        content = b"%04d" % number * (100 + number * 200)
        return response(streamed(2, content)) if number % 2 else response(content * 2)

    async with serving(respond) as server:
        client = await connected(server)
        streams = {number: client.request(b"/%d" % number) for number in range(100)}
        for number, stream in streams.items():
            received = await client.read(stream)
            assert bytes(received.content) == b"%04d" % number * (200 + number * 400)
        assert not server.connection.streams


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
async def test_content_larger_than_the_windows_arrives_whole(kind):
    """Window after window until everything is there."""
    content = bytes(range(256)) * (8 * MIB // 256)

    async def pieces():
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    async with serving(lambda _: response(content if kind == "in memory" else pieces())) as server:
        client = await connected(server)
        received = await client.read(client.request())
        assert received.content == content


async def test_streams_take_turns():
    """A small answer does not wait for a large one asked for before it."""
    async with serving(
        lambda r: response(bytes(8 * MIB) if r.target == b"/big" else b"ok")
    ) as server:
        client = await connected(server)
        big, little = client.request(b"/big"), client.request(b"/small")
        assert (await client.read(little)).content == b"ok"
        assert len(client.streams[big.stream_id].content) < MIB


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "later"])
async def test_an_early_answer_ends_the_upload_without_error(slow):
    """The answer is complete, then RST_STREAM(NO_ERROR) says that the rest is not wanted."""

    async def later(request):
        return response(request.target)

    async with serving(later if slow else echo_target) as server:
        client = await connected(server)
        stream = client.request(b"/", b"POST", ends=False)
        stream.send_data(b"x" * 40_000)
        client.flush()
        received = await client.read(stream)
        await client.until(lambda: received.reset is not None)
        assert (received.status, received.content, received.reset) == (200, b"/", NO_ERROR)
        assert (await client.read(client.request())).status == 200


async def test_a_short_upload_that_is_whole_is_not_reset():
    """Content that arrived with its end needs no refusal."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(HELLO + head(1, method=b"POST", ends=False) + frame(DATA, 1, 1, b"hello"))
        client.send(frame(PING, 0, 0, b"12345678"))
        answer = Frames(client)
        await answer.until(lambda: answer.of(PING))
        assert answer.resets == {}
        assert answer.of(DATA)[0][3] == b"/"


async def test_a_stalled_reader_holds_up_no_other_stream():
    """1 GiB made on demand for a stream without window: little is made, other streams flow."""
    produced, closed = [], []
    chunk = bytes(256 * KIB)

    def respond(request):
        if request.target == b"/huge":
            return response(streamed(GIB // len(chunk), chunk, produced, closed))
        return response(bytes(4 * MIB)) if request.target == b"/big" else response(b"ok")

    async with serving(respond) as server:
        client = await connected(server)
        before = resident()
        huge = client.request(b"/huge")
        client.stalled.add(huge.stream_id)
        received = client.streams[huge.stream_id]
        await client.until(lambda: len(received.content) == 65_535)
        for _ in range(20):
            assert (await client.read(client.request())).content == b"ok"
        big = await client.read(client.request(b"/big"))
        assert len(big.content) == 4 * MIB
        assert len(received.content) == 65_535
        assert sum(produced) <= 512 * KIB
        assert resident() - before < 8 * MIB + 4 * MIB + 4 * MIB  # both copies of /big apart
        client.client.send(frame(RST_STREAM, 0, huge.stream_id, b"\0\0\0\x08"))
        await until(lambda: closed)


async def test_a_stalled_connection_costs_little_and_holds_up_nobody():
    """A client that reads nothing at all: what is framed for it is bounded, others are served."""
    produced = []
    chunk = bytes(256 * KIB)

    def respond(request):
        if request.target == b"/huge":
            return response(streamed(GIB // len(chunk), chunk, produced))
        return response(b"ok")

    async with serving(respond) as server:
        client = await server.client(receive_buffer=4 * KIB)
        window = frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")  # of every stream: 2 GiB
        client.send(PREFACE + window + frame(8, 0, 0, b"\x7f\xff\0\0"))
        client.send(b"".join(head(2 * n + 1, path=b"/huge") for n in range(100)))
        await until(lambda: server.service.connections and server.connection.paused)
        connection = server.connection
        other = await connected(server)
        for _ in range(20):
            assert (await other.read(other.request())).content == b"ok"
        assert connection.transport.get_write_buffer_size() <= 512 * KIB
        assert not connection.transport.is_reading()
        assert len(produced) <= 150


async def test_a_burst_of_answers_to_a_client_that_does_not_read_is_bounded():
    """A thousand requests in one segment do not frame a thousand contents."""
    async with serving(lambda _: response(bytes(32 * KIB))) as server:
        client = await server.client(receive_buffer=4 * KIB)
        window = frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")
        client.send(PREFACE + window + frame(8, 0, 0, b"\x7f\xff\0\0"))
        for start in range(0, 400, 50):
            client.send(b"".join(head(2 * n + 1) for n in range(start, start + 50)))
        await until(lambda: server.service.connections and server.connection.paused)
        assert server.connection.transport.get_write_buffer_size() <= 512 * KIB


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), MalformedRequest("no")], ids=repr)
async def test_content_that_breaks_off_resets_its_stream(error):
    """Half a content never looks whole; the connection goes on."""

    async def pieces():
        yield b"one"
        raise error

    async with serving(lambda r: response(pieces() if r.target == b"/bad" else b"ok")) as server:
        client = await connected(server)
        bad = await client.read(client.request(b"/bad"))
        assert (bad.ended, bad.reset) == (False, INTERNAL_ERROR)
        assert (await client.read(client.request(b"/good"))).content == b"ok"
        assert server.errors == [error]
        assert not server.connection.streams


async def test_a_handler_that_ignores_its_cancellation_sends_nothing():
    """Frames on a stream that its client reset would break the connection."""
    gate = asyncio.Event()
    stubborn = []

    async def respond(request):
        if request.target == b"/good":
            return response(b"ok")
        try:
            await gate.wait()
        except asyncio.CancelledError:
            stubborn.append(True)
        return response(b"too late")

    async with serving(respond) as server:
        client = await connected(server)
        stream = client.request(b"/bad")
        await until(lambda: server.requests)
        stream.reset(CANCEL)
        client.flush()
        await until(lambda: stubborn)
        assert (await client.read(client.request(b"/good"))).content == b"ok"
        assert [s for kind, _, s, _ in client.all if kind == HEADERS] == [3]
