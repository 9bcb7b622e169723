"""One connection to an origin over real sockets: pace, patience, ends, and being used again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest

from edge.errors import MalformedRequest, OriginError
from edge.http.heads import Head
from edge.http.http1_client import End
from edge.node.clock import Clock
from edge.node.origin import HIGH_WATER, IDLE_S, OriginConnection
from edge.node.roots import context_with
from edge.node.tasks import spawn
from tests.support_origin import Authority, Origin, Talk, originating, raw, saying
from tests.support_wire import KIB, MIB, until

FOREVER = 9e9
HOST = (b"host", b"a.test")
CHUNKS = (b"transfer-encoding", b"chunked")
OK = b"HTTP/1.1 200 OK\r\n"
READ = 256 * KIB
"""What uvloop reads at a time."""


@pytest.fixture
def origin():
    """An origin without scripts."""
    with originating() as found:
        yield found


@pytest.fixture
def clock():
    """A clock that stands."""
    return Clock()


@contextlib.asynccontextmanager
async def dialed(origin: Origin, clock: Clock, context: ssl.SSLContext | None = None):
    """A new connection, which has ended afterwards."""
    loop = asyncio.get_running_loop()
    name = "origin.test" if context else None
    _, connection = await loop.create_connection(
        lambda: OriginConnection(clock), "127.0.0.1", origin.port, ssl=context, server_hostname=name
    )
    try:
        yield connection
    finally:
        connection.close()
        await until(lambda: connection.is_closed)


async def get(connection: OriginConnection, path: bytes = b"/", *, tunnel: bool = False) -> Head:
    """The head of the response to a request without content."""
    connection.begin(b"GET", path, [HOST], tunnel=tunnel)
    await connection.end()
    head = await connection.next(FOREVER, "http_response_timeout")
    assert isinstance(head, Head)
    return head


async def rest(connection: OriginConnection) -> bytes:
    """The content, which has to have an end."""
    content = []
    while not isinstance(event := await connection.next(FOREVER, "connection_read_timeout"), End):
        content.append(event)
    return b"".join(content)


async def fault(connection: OriginConnection) -> OriginError:
    """What the reader gets when there is nothing more."""
    with pytest.raises(OriginError) as caught:
        await asyncio.wait_for(rest(connection), 10)
    return caught.value


# Exchanges


async def test_a_connection_has_one_exchange_after_the_other(origin, clock):
    """The origin gets whole requests, in order, on one connection."""
    origin.on("/", saying(b"hello"))
    async with dialed(origin, clock) as connection:
        for number in range(3):
            assert connection.is_reused == (number > 0)
            head = await get(connection)
            assert (head.status, await rest(connection)) == (200, b"hello")
            assert connection.release()
            assert connection.is_idle()

        assert len(origin.of("/")) == 3
        assert origin.accepted == 1


async def test_content_goes_out_in_pieces_with_its_trailers(origin, clock):
    """As chunks, where its length is not known."""
    origin.on("/", saying(b"thanks"))
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        await connection.send(b"hel")
        await connection.send(b"lo")
        await connection.end([(b"x-sum", b"1")])
        await connection.next(FOREVER, "http_response_timeout")

        talk = await origin.wait_for("/")
        assert (talk.content, talk.trailers) == (b"hello", [b"x-sum: 1"])
        assert await rest(connection) == b"thanks"


async def test_an_event_can_be_put_back(origin, clock):
    """It is the next one again, and so it counts."""
    origin.on("/", saying(b"hello"))
    async with dialed(origin, clock) as connection:
        await get(connection)
        event = await connection.next(FOREVER, "connection_read_timeout")
        connection.unread(event)

        assert (event, connection.ready()) == (b"hello", b"hello")
        assert isinstance(connection.ready(), End)
        assert connection.ready() is None


# Pace


async def test_an_origin_waits_for_a_reader(origin, clock):
    """What nobody takes stays where it is, but for a bound; then all of it comes."""
    size = 32 * MIB
    origin.on("/", saying(b"x" * size))
    async with dialed(origin, clock) as connection:
        await get(connection)
        await until(lambda: connection._arrived.size > HIGH_WATER)
        for _ in range(100):  # whatever is on its way has its chance
            await asyncio.sleep(0)

        assert connection._arrived.size <= HIGH_WATER + READ
        assert not (await origin.wait_for("/")).ended.is_set()
        assert len(await rest(connection)) == size
        assert connection._arrived.size == 0


async def test_content_waits_for_an_origin_that_takes_it(origin, clock):
    """Sending returns only when there is room for more."""
    origin.on("/", Talk.wait)
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        sent = []

        async def send() -> None:
            for _ in range(64):
                await connection.send(b"x" * MIB)
                sent.append(MIB)

        sending = spawn(send(), "send")
        await until(lambda: connection._writable is not None)
        for _ in range(100):
            await asyncio.sleep(0)

        assert len(sent) < 32
        assert not sending.done()
        connection.close()
        with pytest.raises(OriginError):
            await sending


# Patience


@pytest.mark.parametrize("came", [b"", b"HTTP/1.1 20", OK + b"A: b\r\n"], ids=len)
async def test_a_head_has_its_time_however_much_of_it_came(origin, clock, came):
    """Bytes now and then are no head: the time counts from the request's end."""

    def script(talk: Talk) -> None:
        talk.wait()
        talk.send(came)
        talk.until_closed()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        connection.begin(b"GET", b"/", [HOST], tunnel=False)
        await connection.end()
        waiting = spawn(connection.next(30, "http_response_timeout"), "next")
        await until(lambda: connection._reading is not None)
        talk = await origin.wait_for("/")
        clock.now += 29
        connection.sweep(clock.now)
        assert not connection.transport.is_closing()
        talk.go.set()
        await until(lambda: connection._wire.has_begun or not came)
        clock.now += 2
        connection.sweep(clock.now)

        with pytest.raises(OriginError) as caught:
            await asyncio.wait_for(waiting, 10)
        assert (caught.value.kind, caught.value.retry) == ("http_response_timeout", "never")
        await origin.until(lambda: not origin.connections)


async def test_an_interim_response_begins_the_wait_anew(origin, clock):
    """An origin that says that it is at work has its time again."""

    def script(talk: Talk) -> None:
        talk.wait()
        talk.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        talk.until_closed()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        connection.begin(b"GET", b"/", [HOST], tunnel=False)
        await connection.end()
        talk = await origin.wait_for("/")
        clock.now += 29
        talk.go.set()
        head = await connection.next(30, "http_response_timeout")
        assert head == Head(102, [], b"1.1")
        waiting = spawn(connection.next(30, "http_response_timeout"), "next")
        await until(lambda: connection._reading is not None)
        clock.now += 29
        connection.sweep(clock.now)
        assert not connection.transport.is_closing()
        clock.now += 2
        connection.sweep(clock.now)

        with pytest.raises(OriginError, match="silent for 30 s"):
            await waiting


async def test_silence_in_the_content_has_an_end(origin, clock):
    """Every piece that comes begins it anew."""

    def script(talk: Talk) -> None:
        talk.send(OK + b"Content-Length: 9\r\n\r\n")
        for _ in range(2):
            talk.wait()
            talk.send(b"x")
        talk.until_closed()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        await get(connection)
        talk = await origin.wait_for("/")
        for _ in range(2):
            clock.now += 59
            talk.go.set()
            assert await connection.next(60, "connection_read_timeout") == b"x"
            connection.sweep(clock.now)
        waiting = spawn(connection.next(60, "connection_read_timeout"), "next")
        await until(lambda: connection._reading is not None)
        clock.now += 61
        connection.sweep(clock.now)

        with pytest.raises(OriginError) as caught:
            await waiting
        assert caught.value.kind == "connection_read_timeout"


async def test_a_slow_client_is_not_an_origins_fault(origin, clock):
    """While the request goes on, only its end begins the wait for the answer."""
    origin.on("/", lambda talk: (talk.read(), talk.until_closed()))
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        waiting = spawn(connection.next(30, "http_response_timeout"), "next")
        await until(lambda: connection._reading is not None)
        clock.now += 3600
        connection.sweep(clock.now)
        assert not connection.transport.is_closing()
        await connection.end()
        connection.sweep(clock.now)
        assert not connection.transport.is_closing()
        clock.now += 31
        connection.sweep(clock.now)

        with pytest.raises(OriginError) as caught:
            await waiting
        assert caught.value.kind == "http_response_timeout"


async def test_an_origin_that_takes_nothing_is_given_up(origin, clock):
    """One that takes a little at a time is not."""
    origin.on("/", lambda talk: (talk.wait(), talk.file.read(8 * MIB), talk.wait()))
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        waiting = spawn(connection.next(30, "http_response_timeout"), "next")
        await until(lambda: connection._reading is not None)
        sending = spawn(connection.send(b"x" * 64 * MIB), "send")
        await until(lambda: connection._writable is not None)
        clock.now += 29
        connection.sweep(clock.now)
        (await origin.wait_for("/")).go.set()
        await until(lambda: connection.touched == clock.now)
        clock.now += 29
        connection.sweep(clock.now)
        assert not connection.transport.is_closing()

        def is_given_up():
            """At the latest when the kernel's buffers are full again."""
            clock.now += 31
            connection.sweep(clock.now)
            return connection.transport.is_closing()

        await until(is_given_up)
        for task in (waiting, sending):
            with pytest.raises(OriginError) as caught:
                await task
            assert caught.value.kind == "connection_write_timeout"


async def test_nobody_who_waits_has_no_patience(origin, clock):
    """A connection whose reader is busy elsewhere is not swept away."""
    origin.on("/", lambda talk: (talk.send(OK + b"Content-Length: 5\r\n\r\n"), talk.wait()))
    async with dialed(origin, clock) as connection:
        await get(connection)
        clock.now += 9999
        connection.sweep(clock.now)

        assert not connection.transport.is_closing()


# Ends


ENDINGS = {
    "closes": (raw(), "connection_terminated", "if_reused"),
    "resets": (raw(then=Talk.reset), "connection_terminated", "if_reused"),
    "closes in the head": (raw(b"HTTP/1.1 20"), "http_response_incomplete", "never"),
    "resets in the head": (raw(b"H", then=Talk.reset), "connection_terminated", "never"),
    "says something else": (raw(b"hello\r\n\r\n"), "http_protocol_error", "never"),
}


@pytest.mark.parametrize(("script", "kind", "retry"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_an_origin_that_gives_no_answer(origin, clock, script, kind, retry):
    """What it did; a request may be sent again only where nothing came of an answer."""
    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        connection.begin(b"GET", b"/", [HOST], tunnel=False)
        await connection.end()
        error = await fault(connection)

        assert (error.kind, error.retry) == (kind, retry)
        assert not connection.release()


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n\r\n", b"\r\n"], ids=["length", "end"])
@pytest.mark.parametrize("then", [Talk.close, Talk.reset], ids=["closed", "reset"])
async def test_content_ends_with_its_connection_only_in_good_order(origin, clock, framing, then):
    """What lacks some, or was cut off by a reset, is never whole."""
    origin.on("/", lambda talk: (talk.send(OK + framing + b"hello"), talk.wait(), then(talk)))
    async with dialed(origin, clock) as connection:
        await get(connection)
        assert await connection.next(FOREVER, "connection_read_timeout") == b"hello"
        (await origin.wait_for("/")).go.set()
        if then is Talk.close and framing == b"\r\n":
            assert await rest(connection) == b""
        else:
            assert (await fault(connection)).retry == "never"
        assert not connection.release()


async def test_an_answer_in_front_of_a_reset_is_read(origin, clock):
    """An origin that refuses an upload answers and closes: what it said is not lost."""
    refusal = b"HTTP/1.1 413 X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"

    def script(talk: Talk) -> None:
        talk.wait()
        talk.send(refusal)
        talk.reset()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        talk = await origin.wait_for("/")
        talk.go.set()
        origin._wait(lambda: not origin.connections)  # without the loop: nobody reads meanwhile
        with contextlib.suppress(OriginError):
            for _ in range(9):
                await connection.send(b"x")
                await asyncio.sleep(0)

        head = await connection.next(FOREVER, "http_response_timeout")
        assert head.status == 413
        assert await rest(connection) == b"large"
        assert not connection.release()


async def test_whoever_gives_up_tells_the_reader_why(origin, clock):
    """A client's mistake stays the client's, and the origin sees a request without an end."""
    origin.on("/", lambda talk: (talk.send(b""), talk.read()))
    async with dialed(origin, clock) as connection:
        connection.begin(b"POST", b"/", [HOST, CHUNKS], tunnel=False)
        await connection.send(b"hello")
        waiting = spawn(connection.next(30, "http_response_timeout"), "next")
        talk = await origin.wait_for("/")
        connection.give_up(MalformedRequest("the client went away"))

        with pytest.raises(MalformedRequest, match="went away"):
            await waiting
        with pytest.raises(MalformedRequest, match="went away"):
            await connection.send(b"more")
        await talk.over()
        assert not talk.is_whole


async def test_a_cancelled_reader_leaves_nothing_behind(origin, clock):
    """Another one can wait after it."""
    origin.on("/", lambda talk: (talk.wait(), talk.answer(b"hello")))
    async with dialed(origin, clock) as connection:
        waiting = spawn(get(connection), "get")
        await until(lambda: connection._reading is not None)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert connection._reading is None
        (await origin.wait_for("/")).go.set()

        assert (await connection.next(FOREVER, "http_response_timeout")).status == 200


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Who signs certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "cut"])
async def test_over_tls_an_end_has_to_be_told(authority, clock, is_told):
    """Content without a length is whole only with close_notify: anybody can send a FIN."""
    with originating(authority.context("origin.test")) as origin:

        def script(talk: Talk) -> None:
            talk.send(OK + b"\r\nhello")
            if is_told:
                with contextlib.suppress(OSError):
                    talk.connection.unwrap()
            else:
                talk.connection.shutdown(socket.SHUT_WR)
            talk.close()

        origin.on("/", script)
        trusting = context_with(authority.root)
        async with dialed(origin, clock, trusting) as connection:
            await get(connection)
            if is_told:
                assert await rest(connection) == b"hello"
            else:
                error = await fault(connection)
                assert (error.kind, error.retry) == ("connection_terminated", "never")
            assert not connection.release()


async def test_a_connection_over_tls_can_be_used_again(authority, clock):
    """What TLS itself sends between two messages is nobody's answer."""
    with originating(authority.context("origin.test")) as origin:
        origin.on("/", saying(b"hello"))
        trusting = context_with(authority.root)
        async with dialed(origin, clock, trusting) as connection:
            for _ in range(3):
                await get(connection)
                assert await rest(connection) == b"hello"
                assert connection.release()
                assert connection.is_idle()
            assert origin.accepted == 1


# Between exchanges


async def exchange(connection: OriginConnection) -> None:
    """One that leaves the connection for the next."""
    await get(connection)
    await rest(connection)
    assert connection.release()


LEFTOVERS = {
    "another response": lambda talk: talk.send(OK + b"Content-Length: 6\r\n\r\npoison"),
    "half a response": lambda talk: talk.send(b"HTTP/1.1 200 O"),
    "an empty line": lambda talk: talk.send(b"\r\n"),
    "a timeout of its own": lambda talk: talk.send(b"HTTP/1.1 408 X\r\n\r\n"),
    "its end": Talk.close,
    "a reset": Talk.reset,
}


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "not seen yet"])
@pytest.mark.parametrize("leave", LEFTOVERS.values(), ids=LEFTOVERS.keys())
async def test_what_comes_between_two_requests_ends_the_connection(origin, clock, leave, is_seen):
    """Nothing of it answers the next one, even while the loop has not read it."""

    def script(talk: Talk) -> None:
        talk.answer(b"hello")
        talk.wait()
        leave(talk)

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        await exchange(connection)
        assert connection.is_idle()
        talk = await origin.wait_for("/")
        talk.go.set()
        connection._poll.poll(10_000)  # it is here now
        if is_seen:
            await until(lambda: connection.is_closed)

        assert not connection.is_idle()


KEPT = {"": IDLE_S, "Keep-Alive: timeout=5": 4, "Keep-Alive: timeout=900": IDLE_S}


@pytest.mark.parametrize(("line", "seconds"), KEPT.items())
async def test_an_idle_connection_has_its_time(origin, clock, line, seconds):
    """A second less than the origin says, for the clock is that exact."""
    origin.on("/", saying(b"hello", 200, *([line] if line else [])))
    async with dialed(origin, clock) as connection:
        await exchange(connection)
        assert connection.expires == clock.now + seconds
        clock.now += seconds
        assert connection.is_idle()
        clock.now += 1

        assert not connection.is_idle()


UNFIT = {
    "closes": saying(b"hello", 200, "Connection: close"),
    "has more to say": raw(OK + b"Content-Length: 5\r\n\r\nhellopoison"),
    "speaks HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
}


@pytest.mark.parametrize("script", UNFIT.values(), ids=UNFIT.keys())
async def test_some_connections_have_one_exchange(origin, clock, script):
    """Those that end, and those where more came than was asked."""
    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        await get(connection)

        assert await rest(connection) == b"hello"
        assert not connection.release()


async def test_a_connection_with_an_answer_in_it_is_not_used_again(origin, clock):
    """Nor one whose answer is under way."""
    origin.on("/", saying(b"hello"))
    async with dialed(origin, clock) as connection:
        await get(connection)
        assert not connection.release()
        await until(lambda: len(connection._arrived) == 2)

        assert not connection.release()


async def test_a_connection_that_is_closed_here_is_not_used_again(origin, clock):
    """Though the transport takes a moment to notice."""
    origin.on("/", saying(b"hello"))
    async with dialed(origin, clock) as connection:
        await get(connection)
        await rest(connection)
        connection.close()

        assert not connection.is_closed
        assert not connection.release()
        assert not connection.is_idle()


async def test_bytes_before_any_request_end_the_connection(origin, clock):
    """Some servers greet: no HTTP server does."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _, connection = await loop.create_connection(
            lambda: OriginConnection(clock), *listener.getsockname()
        )
        greeting, _ = listener.accept()
        with greeting:
            greeting.sendall(b"220 mail.test ESMTP\r\n\r\n")
            await until(lambda: connection.is_closed)

    assert not connection.is_idle()


# Tunnels


async def test_a_tunnel_carries_bytes_both_ways(origin, clock):
    """Those right behind the 101 too; each side's end is told to the other."""

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nfirst")
        talk.content = talk.until_closed()
        talk.send(b"last")
        talk.close()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        assert (await get(connection, tunnel=True)).status == 101
        assert await connection.next(FOREVER, "connection_read_timeout") == b"first"
        assert connection.write_raw(b"hel")
        assert connection.write_raw(b"lo")
        connection.write_end()

        assert await rest(connection) == b"last"
        assert (await origin.wait_for("/")).content == b"hello"
        await until(lambda: connection.is_closed)
        assert connection.write_raw(b"too late")  # is nobody's, and stops nobody
        connection.write_end()


async def test_a_tunnel_says_when_it_is_full_and_when_it_is_not(origin, clock):
    """Whoever feeds it stops meanwhile."""

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        talk.wait()
        talk.until_closed()

    origin.on("/", script)
    async with dialed(origin, clock) as connection:
        await get(connection, tunnel=True)
        told = asyncio.Event()
        connection.on_writable = told.set
        fed = 0
        while connection.write_raw(b"x" * MIB):
            fed += 1
        assert fed < 64
        assert not told.is_set()
        (await origin.wait_for("/")).go.set()

        await asyncio.wait_for(told.wait(), 10)
        assert connection.write_raw(b"x")
