"""HTTP/1.1 over real sockets: order, pace, persistence, and how connections end."""

from __future__ import annotations

import asyncio
import gc
import hashlib

import pytest

from edge.errors import MalformedRequest, RequestError, RequestTimedOut
from edge.http.http1 import HTTP2_PREFACE, Limits
from edge.http.message import Request
from edge.node.connection import UNREAD_CONTENT, Http1Connection
from edge.node.content import HIGH_WATER
from edge.node.transport import GONE_SECONDS
from tests.support_wire import (
    KIB,
    MIB,
    PLAIN,
    echo_target,
    get,
    read_all,
    response,
    serving,
    small,
    streamed,
    until,
)

HOST = b"Host: a.test\r\n"


def post(content: bytes, *lines: str) -> bytes:
    """One request with content by its length."""
    return get("/", *lines, f"Content-Length: {len(content)}", method="POST") + content


def chunked(*chunks: bytes) -> bytes:
    """One request with content in chunks."""
    head = get("/", "Transfer-Encoding: chunked", method="POST")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


async def echo_ok(_request):
    """A coroutine's answer."""
    await asyncio.sleep(0)
    return response(b"ok")


async def later(request):
    """The target as content, a moment later."""
    await asyncio.sleep(0)
    return response(request.target)


async def echo_content(request):
    """The content back, once it is whole."""
    return response(await read_all(request) if request.content else b"none")


def pattern(size: int) -> bytes:
    """Bytes in which no part looks like another."""
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32))


# Persistence (RFC 9112 §9)

PERSISTENCE = {
    "1.1": (get(), None, False),
    "1.1 close": (get("/", "Connection: close"), "close", True),
    "1.0": (get(version="1.0"), "close", True),
    "1.0 keep-alive": (get("/", "Connection: keep-alive", version="1.0"), "keep-alive", False),
}
ANSWERS = {
    "finished": lambda _: small(b"ok"),
    "at once": lambda _: response(b"ok"),
    "later": echo_ok,
    "streamed": lambda _: response(streamed(1, b"ok"), length=2),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize(("sent", "option", "closes"), PERSISTENCE.values(), ids=PERSISTENCE.keys())
async def test_a_connection_persists_as_its_client_asked(answer, sent, option, closes):
    """Whatever the kind of answer, it says what becomes of the connection, and that happens."""
    async with serving(answer) as server:
        client = await server.client()
        client.send(sent)
        status, fields, content = await client.read()
        assert (status, content, fields.get("connection")) == (200, b"ok", option)
        if closes:
            assert await client.rest() == b""
        else:
            client.send(get("/", "Connection: close"))
            assert (await client.read())[1]["connection"] == "close"


async def test_a_connection_serves_so_many_requests():
    """The last one says so, the connection ends, and nothing sent behind it is answered."""
    async with serving(lambda _: small(b"ok")) as server:
        server.service.requests_per_connection = 3
        client = await server.client()
        client.send(PLAIN * 5)
        options = [(await client.read())[1].get("connection") for _ in range(3)]
        assert options == [None, None, "close"]
        assert await client.rest() == b""
        assert len(server.requests) == 3


@pytest.mark.parametrize("answer", [echo_target, later], ids=["at once", "later"])
async def test_a_head_request_gets_no_content(answer):
    """Content that an answer to HEAD carries is not sent: it would pass for the next answer."""
    async with serving(answer) as server:
        client = await server.client()
        client.send(get("/a", method="HEAD") + get("/b"))
        assert (await client.read("HEAD"))[1]["content-length"] == "2"
        assert (await client.read())[2] == b"/b"


# Order

WAYS = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
    "odd pieces": lambda data: [data[i : i + 7] for i in range(0, len(data), 7)],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_pipelined_requests_are_answered_in_order(way):
    """Answers that wait, that are ready and that stream keep the order of their requests."""

    def respond(request):
        if request.target.startswith(b"/slow"):
            return later(request)
        if request.target.startswith(b"/stream"):
            return response(streamed(2, request.target), length=2 * len(request.target))
        return small(request.target) if request.target == b"/whole" else echo_target(request)

    paths = ["/slow1", "/a", "/whole", "/stream", "/slow2", "/slow3", "/whole", "/b"] * 3
    async with serving(respond) as server:
        client = await server.client()
        for piece in way(b"".join(get(path) for path in paths)):
            client.send(piece)
            await asyncio.sleep(0)
        answers = [(await client.read())[2] for _ in paths]
    assert [content[: len(path)] for content, path in zip(answers, paths, strict=True)] == [
        path.encode() for path in paths
    ]


async def test_reading_pauses_behind_a_slow_answer():
    """What is pipelined behind an answer under way is held to a bound, and all answered later."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(lambda r: slow(r) if r.target == b"/slow" else small(b"ok")) as server:
        server.service.requests_per_connection = 10**6
        client = await server.client()
        count = 4 * MIB // len(PLAIN)
        client.send(get("/slow") + PLAIN * count)
        connection = await until(lambda: next(iter(server.service.connections), None))
        await until(lambda: not connection.transport.is_reading())
        assert connection._held_bytes < HIGH_WATER + 256 * KIB
        gate.set()
        assert (await client.read())[2] == b"/slow"
        expected = response(b"ok").head.lines
        for _ in range(count):
            assert (await client.reader.readexactly(len(expected) + 41))[
                : len(expected)
            ] == expected


# Writing past the transport


# Content of requests

UPLOADS = {
    "by length": post(b"hello"),
    "in chunks": chunked(b"he", b"l", b"lo"),
    "none": get(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("upload", UPLOADS.values(), ids=UPLOADS.keys())
async def test_content_reaches_the_handler(way, upload):
    """A handler reads all content and the connection goes on to the next request."""
    async with serving(echo_content) as server:
        client = await server.client()
        for piece in way(upload + upload):
            client.send(piece)
            await asyncio.sleep(0)
        wanted = b"none" if upload == UPLOADS["none"] else b"hello"
        assert (await client.read())[2] == wanted
        assert (await client.read())[2] == wanted


@pytest.mark.parametrize("framing", ["by length", "in chunks", "in chunks, closing"])
async def test_content_flows_while_the_answer_is_written(framing):
    """A handler may answer piece by piece what it reads piece by piece."""
    total = 8 * MIB
    content = pattern(KIB) * 8192
    upload = post(content) if framing == "by length" else chunked(*[content[:KIB]] * 8192)
    if framing == "in chunks, closing":
        upload = upload.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    async with serving(lambda request: response(aiter(request.content), length=total)) as server:
        client = await server.client(receive_buffer=16 * KIB)
        client.send(upload)
        assert (await asyncio.wait_for(client.read(), 60))[2] == content


async def test_a_stalled_consumer_stops_its_upload_alone():
    """A handler that stops reading stops the client; memory is bounded; others go on."""
    gate = asyncio.Event()
    taken = []

    async def respond(request):
        if request.content is None:
            return response(b"ok")
        async for chunk in request.content:
            taken.append(len(chunk))
            await gate.wait()
        return response(b"%d" % sum(taken))

    async with serving(respond) as server:
        client = await server.client()
        total = 64 * MIB
        client.send(get("/", f"Content-Length: {total}", method="POST"))
        client.send(bytes(total))
        await until(lambda: server.service.connections)
        connection = server.connection
        await until(lambda: not connection.transport.is_reading())
        assert connection._content.size < HIGH_WATER + 256 * KIB + 1
        other = await server.client()
        other.send(PLAIN)
        assert (await other.read())[2] == b"ok"
        gate.set()
        assert (await client.read())[2] == b"%d" % total


UNREAD = {
    "small": (post(b"x" * 1000), True),
    "as large as is read past": (post(b"x" * UNREAD_CONTENT), True),
    "large": (post(b"x" * 3 * HIGH_WATER), False),
    "huge": (post(b"x" * 5 * MIB), False),
    "in chunks": (chunked(b"x")[:-5], False),
}


@pytest.mark.parametrize("answer", [echo_target, later], ids=["at once", "later"])
@pytest.mark.parametrize(("upload", "kept"), UNREAD.values(), ids=UNREAD.keys())
async def test_unread_content_is_read_past_or_ends_the_connection(answer, upload, kept):
    """Little content that nobody wanted keeps the connection; much, or unsure, ends it cleanly."""
    async with serving(answer) as server:
        client = await server.client()
        client.send(upload)
        status, fields, _ = await client.read()
        assert status == 200
        assert ("connection" not in fields) is kept
        if kept:
            client.send(get("/next"))
            assert (await client.read())[2] == b"/next"
        else:
            assert await client.rest() == b""
        assert len(server.requests) == (2 if kept else 1)


async def test_content_half_read_ends_the_connection():
    """A handler that stops in the middle of content leaves nothing to go on with."""

    async def respond(request):
        async for _ in request.content:
            break
        return response(b"enough")

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 100000", method="POST") + b"x" * 500)
        assert (await client.read())[2] == b"enough"
        client.send(b"x" * 99_500 + PLAIN)
        assert await client.rest() == b""
        assert len(server.requests) == 1


async def test_a_client_that_expects_is_told_to_continue():
    """100 comes when the handler begins to read, and once."""
    async with serving(echo_content) as server:
        client = await server.client()
        client.send(get("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        assert await client.read_head() == (100, {})
        client.send(b"hello")
        status, fields, content = await client.read()
        assert (status, content) == (200, b"hello")
        assert "connection" not in fields
        client.send(get("/", "Expect: 100-continue"))
        assert (await client.read())[2] == b"none"


@pytest.mark.parametrize("answer", [echo_target, later], ids=["at once", "later"])
async def test_a_client_that_expects_may_be_refused(answer):
    """A final answer without reading ends the connection: the content may come or not."""
    async with serving(answer) as server:
        client = await server.client()
        client.send(get("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (200, "close")
        client.send(b"hello" + PLAIN)
        assert await client.rest() == b""
        assert len(server.requests) == 1


async def test_no_continue_comes_after_the_answer_began():
    """A handler that reads content only while it answers sends no 100 in the middle of it."""

    async def pieces(request):
        yield b"head:"
        async for chunk in request.content:
            yield chunk

    async with serving(lambda request: response(pieces(request), length=10)) as server:
        client = await server.client()
        client.send(get("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        status, fields = await client.read_head()
        assert status == 200
        assert await client.reader.readexactly(5) == b"head:"
        client.send(b"hello")
        assert await client.reader.readexactly(5) == b"hello"
        assert fields["connection"] == "close"


# Errors are terminal

MISTAKES = {
    "malformed": (b"GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n", 400),
    "long line": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "large fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 17_000 + b"\r\n\r\n", 431),
    "unknown coding": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\nhello",
        501,
    ),
    "version": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "Host differs": (b"GET http://b.test/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(("sent", "status"), MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_answered_once_and_ends_the_connection(way, sent, status):
    """One answer with its status and `Connection: close`, whatever follows and however it comes."""
    async with serving(echo_target) as server:
        client = await server.client()
        for piece in way(sent + PLAIN * 3):
            client.send(piece)
            await asyncio.sleep(0)
        found, fields, _ = await client.read()
        assert (found, fields["connection"]) == (status, "close")
        assert await client.rest() == b""
        assert server.requests == []


async def test_a_mistake_behind_good_requests_comes_after_their_answers():
    """Answers that are ready when a mistake is found are not lost."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(get("/1") + get("/2") + b"BROKEN\r\n\r\n" + get("/3"))
        assert (await client.read())[2] == b"/1"
        assert (await client.read())[2] == b"/2"
        assert (await client.read())[0] == 400
        assert await client.rest() == b""
        assert len(server.requests) == 2


async def test_a_mistake_behind_a_slow_answer_waits_its_turn():
    """What is held is judged when its turn comes."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/slow") + b"BROKEN\r\n\r\n")
        await until(lambda: server.requests)
        gate.set()
        assert (await client.read())[2] == b"/slow"
        assert (await client.read())[0] == 400
        assert await client.rest() == b""


async def test_a_mistake_in_content_reaches_the_handler():
    """A handler that waits for content gets the error, and its answer is the only one."""
    async with serving(echo_content) as server:
        client = await server.client()
        client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhelloXX" + PLAIN)
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (400, "close")
        assert await client.rest() == b""
        assert len(server.requests) == 1


async def test_a_mistake_in_content_already_answered_is_not_answered_again():
    """A second answer would be taken for the next request's."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhelloXX" + PLAIN)
        assert (await client.read())[0] == 200
        assert await client.rest() == b""
        assert server.requests[0].target == b"/"
        assert len(server.requests) == 1


async def test_a_mistake_under_a_running_answer_cuts_nothing():
    """An answer that has begun is finished; the connection ends after it."""
    gate = asyncio.Event()

    async def pieces():
        yield b"one"
        await gate.wait()
        yield b"two"

    async with serving(lambda _: response(pieces(), length=6)) as server:
        client = await server.client()
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        await client.read_head()
        assert await client.reader.readexactly(3) == b"one"
        client.send(b"garbage\r\n")
        await until(lambda: server.connection._closing)
        gate.set()
        assert await client.rest() == b"two"


FAILURES = {
    "an error of the client": (MalformedRequest("no"), 400, True),
    "any other error": (ZeroDivisionError("oops"), 500, False),
}


@pytest.mark.parametrize(("error", "status", "closes"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_handler_that_fails_is_answered(error, status, closes):
    """Whatever a coroutine raises becomes a response; a client's fault ends the connection."""

    async def failing(_request):
        await asyncio.sleep(0)
        raise error

    async with serving(failing) as server:
        client = await server.client()
        client.send(PLAIN)
        found, fields, _ = await client.read()
        assert (found, fields.get("connection") == "close") == (status, closes)
        assert server.errors == [error]


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), MalformedRequest("no")], ids=repr)
async def test_content_that_breaks_off_cuts_the_connection(error):
    """No second head follows half a content: the client sees that it was cut."""

    async def pieces():
        yield b"one"
        raise error

    async with serving(lambda _: response(pieces(), length=6)) as server:
        client = await server.client()
        client.send(PLAIN)
        await client.read_head()
        assert await client.reader.readexactly(3) == b"one"
        assert await client.rest() == b""
        assert server.errors == [error]
        await until(lambda: not server.service.connections)


async def test_a_handler_that_cancels_itself_ends_the_connection():
    """A cancellation that nobody asked for leaves no client waiting."""

    async def cancelled(_request):
        raise asyncio.CancelledError

    async with serving(cancelled) as server:
        client = await server.client()
        client.send(PLAIN)
        assert await client.rest() == b""


# Half-closed and lost clients

HALF_CLOSED = {
    "finished": lambda _: small(b"x" * 100),
    "in memory": lambda _: response(bytes(8 * MIB)),
    "streamed": lambda _: response(streamed(128, bytes(64 * KIB)), length=8 * MIB),
    "later": echo_ok,
}


@pytest.mark.parametrize("count", [1, 3], ids=["one", "pipelined"])
@pytest.mark.parametrize("answer", HALF_CLOSED.values(), ids=HALF_CLOSED.keys())
async def test_a_half_closed_client_gets_every_answer_whole(answer, count):
    """A client that sends its end right behind its requests reads all answers, then the end."""
    async with serving(answer) as server:
        client = await server.client(receive_buffer=16 * KIB)
        client.send(PLAIN * count)
        client.half_close()
        await until(lambda: server.requests)
        for _ in range(count):
            status, fields, content = await client.read()
            assert (status, len(content)) == (200, int(fields["content-length"]))
        assert await client.rest() == b""
        await until(lambda: not server.service.connections)


async def test_a_half_closed_client_gets_the_answers_of_what_was_held():
    """The end may come while an answer is under way and others are held."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/1") + get("/2") + post(b"cont") + get("/4"))
        client.half_close()
        await until(lambda: server.requests and server.connection.half_closed)
        gate.set()
        assert [(await client.read())[2] for _ in range(4)] == [b"/1", b"/2", b"/", b"/4"]
        assert await client.rest() == b""


@pytest.mark.parametrize("begun", [False, True], ids=["before it", "in the middle"])
async def test_a_half_closed_client_that_gets_nothing_has_gone(begun):
    """
    A browser that left sends no more than its end: whoever works for it is told, seconds later.

    What is written to it meanwhile shows that it is there, if it is.
    """
    gate, closed = asyncio.Event(), []

    async def content():
        try:
            yield b"x"
            await gate.wait()
            yield b"y"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def respond(_request):
        made = response(None)
        made.content, made.is_unframed = content(), True
        if not begun:
            try:
                await asyncio.Event().wait()
            finally:
                closed.append(True)
        return made

    async with serving(respond) as server:
        client = await server.client()
        client.send(PLAIN)
        if begun:
            await client.read_head()
            assert await client.reader.readuntil(b"x\r\n") == b"1\r\nx\r\n"
        client.half_close()
        await until(lambda: server.requests and server.connection.half_closed)
        server.later(GONE_SECONDS - 1)
        if begun:
            gate.set()
            assert await client.reader.readuntil(b"y\r\n") == b"1\r\ny\r\n"
            server.later(GONE_SECONDS - 1)
        assert not server.connection.transport.is_closing()
        server.later(GONE_SECONDS + 1)
        await until(lambda: closed and not server.service.connections)


@pytest.mark.parametrize("held", [False, True], ids=["at once", "held"])
async def test_content_that_ends_too_early_is_400(held):
    """A half-closed client that owes content gets the answer of the error."""
    gate = asyncio.Event()

    async def respond(request):
        await gate.wait()
        return response(await read_all(request) if request.content else b"ok")

    async with serving(respond) as server:
        client = await server.client()
        short = get("/", "Content-Length: 10", method="POST") + b"hello"
        client.send(PLAIN + short if held else short)
        client.half_close()
        await until(lambda: server.requests and server.connection.half_closed)
        gate.set()
        if held:
            assert (await client.read())[2] == b"ok"
        assert (await client.read())[0] == 400
        assert await client.rest() == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"P", HTTP2_PREFACE[:20]], ids=repr)
async def test_a_client_that_leaves_without_a_request_is_let_go(sent):
    """An end before a whole request is the end of the connection, without a word."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(sent)
        client.half_close()
        assert await client.rest() == b""
        await until(lambda: not server.service.connections)


async def test_a_lost_client_cancels_its_handler():
    """A reset ends the work that was done for it, and its content fails."""
    outcomes = []

    async def respond(request):
        try:
            await read_all(request)
        except (asyncio.CancelledError, RequestError) as error:
            outcomes.append(type(error))
            raise

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 10", method="POST"))
        await until(lambda: server.requests)
        client.reset()
        await until(lambda: outcomes)
        assert outcomes == [asyncio.CancelledError]
        await until(lambda: not server.service.connections)


@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_lost_client_closes_the_content_at_once(way):
    """The generator of a streamed answer is closed when its client goes, not when collected."""
    closed = []
    gc.disable()
    kept = streamed(10_000, bytes(64 * KIB), closed=closed)  # a reference that keeps it alive
    try:
        async with serving(lambda _: response(kept, length=10_000 * 64 * KIB)) as server:
            client = await server.client(receive_buffer=4 * KIB)
            client.send(PLAIN)
            await client.read_head()
            await until(lambda: server.connection.paused)
            if way == "reset":
                client.reset()
            else:
                await client.close()
            await until(lambda: closed)
            await until(lambda: not server.service.connections)
    finally:
        gc.enable()


async def test_a_client_lost_before_its_handler_began_leaves_no_coroutine():
    """A task that is cancelled before its first step closes the coroutine it was to await."""
    began = []

    async def respond(_request):
        began.append(True)

    async with serving(respond) as server:
        connection = Http1Connection(server.service)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: connection, *server.address)
        connection.data_received(PLAIN)
        connection.connection_lost(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()  # a coroutine never awaited would warn here, and warnings are errors
        transport.abort()
    assert began == []


async def test_an_answer_that_waited_leaves_nothing_to_collect():
    """What is kept for long is looked at by no collector: a request may not hold itself."""

    async def respond(_request):
        await asyncio.sleep(0)
        return response(b"later")

    async with serving(respond) as server:
        client = await server.client()
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                client.send(PLAIN)
                await client.read()
            server.requests.clear()
            gc.collect()
            left = [each for each in gc.garbage if isinstance(each, Request)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert left == []


# Time limits


async def test_an_unfinished_head_is_408_in_the_end():
    """Ten seconds are for the whole head, however steadily it drips."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: server.service.connections and not server.connection._fresh)
        for _ in range(5):
            server.later(1.9)
            client.send(b"X: y\r\n")
            await until(lambda: server.connection.touched == server.clock.now)
        server.later(0.4)
        assert server.service.connections
        server.later(0.4)
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (408, "close")
        assert await client.rest() == b""


async def test_a_silent_new_connection_ends_without_an_answer():
    """Nothing was asked: nothing is said."""
    async with serving(echo_target) as server:
        client = await server.client()
        await until(lambda: server.service.connections)
        server.later(10.1)
        assert await client.rest() == b""


async def test_an_idle_connection_ends_after_keep_alive():
    """Between requests there are sixty seconds, and no 408 at their end."""
    async with serving(lambda _: small(b"ok")) as server:
        client = await server.client()
        client.send(PLAIN)
        await client.read()
        server.later(59)
        client.send(PLAIN)
        await client.read()
        server.later(59)
        assert not server.connection.lingering
        server.later(2)
        assert await client.rest() == b""


async def test_a_slow_handler_is_not_the_clients_fault():
    """Time limits of the wire are for clients: an answer may take its time."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/slow"))
        await until(lambda: server.requests)
        server.later(1000)
        gate.set()
        assert (await client.read())[2] == b"/slow"


async def test_content_that_stops_coming_is_408():
    """Thirty seconds without a byte, while the handler waits for it."""
    async with serving(echo_content) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 10", method="POST") + b"hello")
        await until(lambda: server.requests and server.requests[0].content.started)
        await until(lambda: not server.connection._content.size)
        server.later(29)
        assert not server.errors
        server.later(2)
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (408, "close")
        assert isinstance(server.errors[0], RequestTimedOut)
        assert await client.rest() == b""


async def test_unread_content_that_stops_coming_is_not_answered_twice():
    """The answer is out: all that is left is the end."""
    async with serving(echo_target) as server:
        client = await server.client()
        client.send(get("/", "Content-Length: 10", method="POST") + b"hello")
        assert (await client.read())[0] == 200
        server.later(29)
        assert not server.connection.lingering
        server.later(2)
        assert await client.rest() == b""


async def test_content_that_its_handler_does_not_take_is_not_timed_out():
    """A client that waits for 100, or for room, is not the one that is late."""
    gate = asyncio.Event()

    async def respond(request):
        await gate.wait()
        return response(await read_all(request))

    async with serving(respond) as server:
        client = await server.client()
        client.send(get("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        await until(lambda: server.requests)
        server.later(1000)
        gate.set()
        assert (await client.read_head())[0] == 100
        server.later(29)
        client.send(b"hello")
        assert (await client.read())[2] == b"hello"


# Limits and drain


async def test_a_drain_finishes_the_answer_under_way():
    """The answer says `close`, and what is behind it is not answered."""
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return response(request.target)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/slow"))
        await until(lambda: server.requests)
        server.connection.drain()
        client.send(PLAIN)
        gate.set()
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (200, "close")
        assert await client.rest() == b""
        assert len(server.requests) == 1


async def test_a_drain_answers_a_busy_client_once_more():
    """A connection that is in use is told by its next answer, not cut between two requests."""
    async with serving(lambda _: small(b"ok")) as server:
        client = await server.client()
        client.send(PLAIN)
        await client.read()
        server.connection.drain()
        client.send(PLAIN)
        assert (await client.read())[1]["connection"] == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
async def test_a_drain_ends_silent_connections(used):
    """
    A second of silence is enough to end a connection without anything under way.

    One tick of the clock may come right after an answer, so that two are waited for.
    """
    async with serving(lambda _: small(b"ok")) as server:
        client = await server.client()
        if used:
            client.send(PLAIN)
            await client.read()
        await until(lambda: server.service.connections)
        connection = server.connection
        for _ in range(2):
            connection.drain()
            assert not connection.transport.is_closing()
            server.later(1.05)
        connection.drain()
        assert await client.rest() == b""


async def test_a_drain_waits_for_a_head_that_has_begun():
    """A request on its way is answered."""
    async with serving(lambda _: small(b"ok")) as server:
        client = await server.client()
        client.send(PLAIN[:10])
        await until(lambda: server.service.connections and not server.connection._fresh)
        server.connection.drain()
        server.later(5)
        server.connection.drain()
        client.send(PLAIN[10:])
        assert (await client.read())[1]["connection"] == "close"


async def test_the_service_sets_the_limits_of_the_wire():
    """A connection is held to the limits that its service has when it begins."""
    async with serving(echo_target) as server:
        server.service.wire = Limits(line_bytes=200)
        client = await server.client()
        client.send(get("/" + "x" * 300))
        assert (await client.read())[0] == 414
