"""Who gets a connection to an origin, who waits, whom nobody asks; names, addresses and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl

import pytest

from edge.errors import OriginError
from edge.http.http1_client import End
from edge.node.addresses import Addresses, OriginKey
from edge.node.clock import Clock
from edge.node.origin import OriginConnection
from edge.node.origins import (
    FORGET_S,
    MAX_TRIES,
    Origin,
    Origins,
    translate,
)
from edge.node.roots import context_with
from edge.node.tasks import spawn
from edge.site.limits import Limits
from edge.site.settings import Proxy
from tests.support import free_port
from tests.support_origin import Authority, originating, saying
from tests.support_wire import until

ADMIN = "127.0.0.1:9901"
NAME = "origin.test"


@pytest.fixture
def server():
    """An origin that says hello."""
    with originating() as found:
        found.on("/", saying(b"hello"))
        yield found


def pool_of(*addresses: str, **limits: object) -> Origins:
    """All origins of a worker whose resolver knows `NAME` by these addresses."""

    async def query(_name: str) -> list[str]:
        return list(addresses or ["127.0.0.1"])

    found = Addresses(Proxy(allow_private=True), ADMIN, query=query)
    return Origins(Clock(), found, Limits(**limits))


def http(port: int, host: str = NAME) -> OriginKey:
    """An origin in clear text, as an app folder's rule names it."""
    return OriginKey("http", host, port, is_carried=False)


@pytest.fixture
async def pool():
    """With usual limits; nothing of it is left afterwards."""
    found = pool_of()
    yield found
    found.close()


@contextlib.asynccontextmanager
async def limited(port: int, **limits: object):
    """An origin with its own limits; afterwards nobody has a connection or waits for one."""
    pool = pool_of(**limits)
    origin = pool.find(http(port))
    try:
        yield origin
    finally:
        pool.close()
        assert (origin.busy, origin.outstanding) == (set(), 0)


async def exchange(origin: Origin) -> None:
    """One whole exchange, its connection given back."""
    connection = await origin.acquire()
    connection.begin(b"GET", b"/", [(b"host", b"a.test")], tunnel=False)
    await connection.end()
    while not isinstance(await connection.next(9e9, "http_response_timeout"), End):
        pass
    origin.release(connection)


async def refused(origin: Origin) -> OriginError:
    """Why there is no connection."""
    with pytest.raises(OriginError) as caught:
        await origin.acquire()
    assert origin.outstanding == 0
    return caught.value


# Connections


async def test_a_connection_is_used_again(server, pool):
    """The one that was used last, first; a fresh one is never an old one."""
    origin = pool.find(http(server.port))
    first, second = [await origin.acquire() for _ in range(2)]
    for each in (first, second):
        each.begin(b"GET", b"/", [(b"host", b"a.test")], tunnel=False)
        await each.end()
        while not isinstance(await each.next(9e9, "http_response_timeout"), End):
            pass
        origin.release(each)

    assert await origin.acquire() is second
    assert await origin.acquire() is first
    fresh = await origin.acquire(fresh=True)
    assert not fresh.is_reused
    await server.until(lambda: server.accepted == 3)


async def test_a_connection_that_ended_is_not_given_out(server, pool):
    """Nor is one whose time is over, or that is not between two messages."""
    origin = pool.find(http(server.port))
    await exchange(origin)
    pool.clock.now += 61
    connection = await origin.acquire()
    assert not connection.is_reused
    origin.release(connection)
    assert not (await origin.acquire()).is_reused
    await server.until(lambda: server.accepted == 3 and len(server.connections) == 1)


async def test_one_more_request_tries(server, pool):
    """Of an origin that failed last, or has as many as it may, nobody gets a connection at once."""
    origin = pool.find(http(server.port))
    assert origin.admit() is None
    await exchange(origin)
    origin.health.failures = 1
    assert origin.admit() is None
    origin.health.failures = 0
    pool.limits = Limits(origin_connections=1)
    origin.busy.add(connection := OriginConnection(pool.clock))
    assert origin.admit() is None
    origin.busy.remove(connection)
    origin.health.retries = 0
    pool.clock.now += 5

    assert (found := origin.admit()) is not None
    assert origin.health.retries > 0
    assert (origin.touched, found.touched) == (pool.clock.now,) * 2


async def test_origins_are_told_apart(server, pool):
    """By scheme, host, port and whose rule names them."""
    port = server.port
    keys = [
        http(port), http(port + 1), http(port, "other.test"),
        OriginKey("https", NAME, port, is_carried=False),
        OriginKey("http", NAME, port, is_carried=True),
    ]  # fmt: skip

    assert len({id(pool.find(key)) for key in keys}) == len(keys)
    assert pool.find(keys[0]) is pool.find(http(port))


async def test_what_a_deployment_names_reaches_no_private_address(server, pool):
    """Whatever the operator allows to app folders."""
    error = await refused(pool.find(OriginKey("http", NAME, server.port, is_carried=True)))

    assert (error.kind, error.status) == ("destination_ip_prohibited", 502)
    assert server.accepted == 0


async def test_after_a_change_of_settings_no_connection_is_used_again(server, pool):
    """Neither an idle one, nor one that was busy or being made meanwhile."""
    origin = pool.find(http(server.port))
    idle, busy = [await origin.acquire() for _ in range(2)]
    opening = spawn(origin.acquire(), "acquire")
    await asyncio.sleep(0)
    for each in (idle, busy):
        each.begin(b"GET", b"/", [(b"host", b"a.test")], tunnel=False)
        await each.end()
        while not isinstance(await each.next(9e9, "http_response_timeout"), End):
            pass
    origin.release(idle)
    pool.configure(pool.addresses, pool.limits, pool.context)
    origin.release(busy)
    await until(lambda: idle.is_closed and busy.is_closed)
    late = await opening
    if late.settings != pool.settings:
        origin.release(late)
        await until(lambda: late.is_closed)

    assert not (await origin.acquire()).is_reused


# Limits


async def test_connections_are_bounded_and_given_in_turn(server):
    """Who came first is served first, and nobody overtakes who waits."""
    async with limited(server.port, origin_connections=2) as origin:
        held = [await origin.acquire() for _ in range(2)]
        served: list[int] = []

        async def use(number: int) -> None:
            connection = await origin.acquire()
            served.append(number)
            assert len(origin.busy) <= 2
            await asyncio.sleep(0)
            origin.release(connection)

        waiting = [spawn(use(number), "use") for number in range(5)]
        await until(lambda: origin.outstanding == 7)
        origin.release(held.pop())
        waiting.append(spawn(use(5), "use"))  # there is a place, but it is promised
        await asyncio.gather(*waiting)
        origin.release(held.pop())

        assert served == list(range(6))


async def test_the_queue_is_bounded(server):
    """One too many is told at once, and that another origin may be asked."""
    async with limited(server.port, origin_connections=1, origin_queue=1) as origin:
        held = await origin.acquire()
        waiting = spawn(origin.acquire(), "acquire")
        await until(lambda: origin.outstanding == 2)
        with pytest.raises(OriginError, match="too many") as caught:
            await origin.acquire()
        assert (caught.value.kind, caught.value.retry) == ("connection_limit_reached", "yes")
        assert caught.value.status == 503
        origin.release(held)
        origin.release(await waiting)


async def test_nobody_waits_for_ever(server):
    """As long as for an answer, then the place in the queue is free again."""
    async with limited(server.port, origin_connections=1, origin_first_byte=0.01) as origin:
        held = await origin.acquire()
        with pytest.raises(OriginError, match="no connection came free") as caught:
            await origin.acquire()
        assert caught.value.kind == "connection_limit_reached"
        assert origin.outstanding == 1
        origin.release(held)


async def test_a_turn_that_nobody_takes_goes_to_the_next(server):
    """Of those who gave up, before their turn and in its very moment."""
    async with limited(server.port, origin_connections=1) as origin:
        held = await origin.acquire()
        waiting = [spawn(origin.acquire(), "acquire") for _ in range(4)]
        await until(lambda: origin.outstanding == 5)
        waiting[0].cancel()
        origin.release(held)  # before the first one has noticed that it was cancelled
        waiting[1].cancel()  # the turn is its own by now
        done, _ = await asyncio.wait(waiting[:3], timeout=10)
        assert len(done) == 3
        assert [task.cancelled() for task in waiting[:3]] == [True, True, False]
        waiting[3].cancel()
        await asyncio.wait(waiting[3:], timeout=10)
        origin.release(waiting[2].result())


async def test_a_dial_that_fails_makes_room():
    """Those who wait try next, and learn why it fails, instead of waiting for nothing."""
    async with limited(free_port(), origin_connections=1, origin_first_byte=5.0) as origin:
        tries = [spawn(origin.acquire(), "acquire") for _ in range(4)]
        await asyncio.wait(tries, timeout=10)

        assert [str(task.exception()) for task in tries] == [str(tries[0].exception())] * 4
        assert {task.exception().kind for task in tries} == {"connection_refused"}


async def test_a_cancelled_dial_makes_room():
    """A client that goes away while a connection is made leaves none behind."""
    with originating() as silent:
        async with limited(silent.port, origin_connections=1) as origin:
            secure = origin._pool.find(OriginKey("https", NAME, silent.port, is_carried=False))
            dialing = spawn(secure.acquire(), "acquire")
            await silent.until(lambda: silent.accepted == 1)
            dialing.cancel()
            await asyncio.wait([dialing], timeout=10)

            assert secure.outstanding == 0
            await silent.until(lambda: not silent.connections)


async def test_what_was_given_back_is_given_back_once(server, pool):
    """A second time changes nothing."""
    origin = pool.find(http(server.port))
    connection = await origin.acquire()
    for _ in range(3):
        origin.release(connection)

    assert origin.outstanding == 0


# Sweeping


async def test_sweep_ends_what_is_idle_too_long(server, pool):
    """And what ended by itself."""
    origin = pool.find(http(server.port))
    await exchange(origin)
    pool.sweep()
    assert len(server.connections) == 1
    pool.clock.now += 61
    pool.sweep()

    await server.until(lambda: not server.connections)
    assert not origin._idle


async def test_sweep_ends_waits_for_the_origin(pool):
    """On every connection that is in use."""
    with originating() as silent:
        silent.on("/", lambda talk: talk.until_closed())
        origin = pool.find(http(silent.port))
        asking = spawn(exchange(origin), "exchange")
        await until(lambda: origin.busy and next(iter(origin.busy))._reading)
        next(iter(origin.busy))._patience = (30.0, "http_response_timeout")
        pool.clock.now += 31
        pool.sweep()

        with pytest.raises(OriginError):
            await asking


async def test_sweep_forgets_origins_that_nobody_asks(server, pool):
    """Names that clients made up too, though all that is known of them is that they failed."""
    used = pool.find(http(server.port))
    connection = await used.acquire()
    for number in range(5):
        made_up = pool.find(http(server.port, f"a{number}.test"))
        made_up.health.fail(pool.clock.now)
    pool.sweep()
    assert len(pool.known) == 6
    pool.clock.now += FORGET_S + 1
    pool.sweep()
    assert list(pool.known.values()) == [used]
    used.release(connection)
    assert pool.find(http(server.port)) is used
    pool.sweep()
    assert list(pool.known.values()) == [used]


# Addresses


async def test_addresses_are_tried_in_turn(server):
    """The one that took a connection is tried first from then on."""
    pool = pool_of("127.0.0.3", "127.0.0.1")
    origin = pool.find(http(server.port))
    first = await origin.acquire()
    with socket.create_server(("127.0.0.3", server.port)):
        await origin.acquire()

    await server.until(lambda: server.accepted == 2)
    first.close()
    pool.close()


async def test_only_so_many_addresses_are_tried(server):
    """Each of them may take its whole time."""
    addresses = [f"127.0.0.{number}" for number in range(2, 2 + MAX_TRIES)]
    pool = pool_of(*addresses, "127.0.0.1")
    assert (await refused(pool.find(http(server.port)))).kind == "connection_refused"
    pool = pool_of(*addresses[1:], "127.0.0.1")
    await pool.find(http(server.port)).acquire()
    pool.close()


async def test_a_name_that_is_gone_is_told():
    """As it is called in RFC 9209."""
    pool = Origins(Clock(), Addresses(Proxy(), ADMIN), Limits())
    error = await refused(pool.find(http(80, "no-such-name.invalid")))

    assert (error.kind, error.status) == ("dns_error", 502)


async def test_a_connection_that_is_not_made_in_time_is_given_up():
    """TLS is part of it, and nothing of it is left."""
    with originating() as silent:
        pool = pool_of(origin_connect=0.05)
        key = OriginKey("https", NAME, silent.port, is_carried=False)
        error = await refused(pool.find(key))

        assert (error.kind, error.status, error.retry) == ("connection_timeout", 504, "yes")
        await silent.until(lambda: not silent.connections)


TRANSLATED = {
    ConnectionRefusedError(): "connection_refused",
    ConnectionResetError(): "connection_terminated",
    ConnectionAbortedError(): "connection_terminated",
    TimeoutError(): "connection_timeout",
    OSError(errno.ENETUNREACH, "x"): "destination_ip_unroutable",
    OSError(errno.EMFILE, "x"): "destination_ip_unroutable",
    ssl.SSLError(1, "x"): "tls_protocol_error",
    ssl.SSLCertVerificationError(1, "x"): "tls_certificate_error",
}


@pytest.mark.parametrize(("error", "kind"), TRANSLATED.items(), ids=lambda each: repr(each)[:40])
def test_errors_of_the_system_have_words_of_rfc_9209(error, kind):
    """Nothing of the request has left in any of them."""
    translated = translate(error)

    assert (translated.kind, translated.retry) == (kind, "yes")


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Whom the node trusts: its root is `proxy.ca_file`."""
    return Authority(tmp_path_factory.mktemp("authority"))


async def reached(authority: Authority, context: ssl.SSLContext, host: str = NAME) -> OriginError:
    """Dial an origin over TLS; the error that it ends with, or None."""
    with originating(context) as server:
        pool = pool_of()
        pool.configure(pool.addresses, pool.limits, context_with(authority.root))
        origin = pool.find(OriginKey("https", host, server.port, is_carried=False))
        try:
            return await refused(origin)
        finally:
            pool.close()
            await server.until(lambda: not server.connections)
            assert server.talks == []


@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
async def test_a_certificate_of_the_targets_name_is_taken(authority, host):
    """A name's or an address's, signed by whom the operator trusts."""
    with originating(authority.context(NAME, "127.0.0.1")) as server:
        server.on("/", saying(b"hello"))
        pool = pool_of()
        pool.configure(pool.addresses, pool.limits, context_with(authority.root))
        origin = pool.find(OriginKey("https", host, server.port, is_carried=False))
        for _ in range(2):
            await exchange(origin)

        assert server.accepted == 1
        pool.close()


CERTIFICATES = {
    "of another name": {"names": ["other.test"]},
    "of a name below": {"names": ["*.origin.test"]},
    "that ended": {"names": [NAME], "ends": "200601"},
    "that nobody signed": {"names": [NAME], "signs": False},
}


@pytest.mark.parametrize("case", CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_any_other_certificate_is_refused(authority, case):
    """And nothing of a request is sent there."""
    options = dict(case)
    context = authority.context(*options.pop("names"), **options)
    error = await reached(authority, context)

    assert (error.kind, error.status) == ("tls_certificate_error", 502)


async def test_the_certificate_has_to_be_the_names_not_the_addresses(authority):
    """A certificate for where the name leads is not one for the name."""
    error = await reached(authority, authority.context("127.0.0.1"))

    assert error.kind == "tls_certificate_error"


async def test_without_the_operators_word_its_authority_is_nobody(authority):
    """A root that is not in `proxy.ca_file` is not trusted."""
    with originating(authority.context(NAME)) as server:
        origin = pool_of().find(OriginKey("https", NAME, server.port, is_carried=False))

        assert (await refused(origin)).kind == "tls_certificate_error"


async def test_a_server_without_tls_is_told(server, pool):
    """What came was no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        key = OriginKey("https", NAME, listener.getsockname()[1], is_carried=False)
        asking = spawn(refused(pool.find(key)), "acquire")
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            assert (await asking).kind == "tls_protocol_error"


async def test_an_alert_is_told(authority):
    """The other side refused, in TLS's own words."""
    context = authority.context(NAME)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")  # for which it has no key
    error = await reached(authority, context)

    assert error.kind == "tls_alert_received"
