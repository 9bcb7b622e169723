"""TLS below HTTP: handshakes of real clients, what is none, records in pieces, both ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl

import httpx
import pytest

from edge.http.message import Request, Response
from edge.node import secure
from edge.node.connection import Http1Connection
from edge.node.secure import Secured
from edge.node.transport import GONE_SECONDS, LINGER_SECONDS
from tests.support_tls import connect, der_of, receiving, shown
from tests.support_wire import PLAIN, echo_target, get, response, until

ALERT = b"\x15\x03\x03\x00\x02\x02\x70"


@pytest.fixture
async def server(shelf, issuer):
    """A server with one certificate of a.test and *.b.test."""
    shelf.put(issuer.pem("a.test", "*.b.test"), "a.test", "*.b.test")
    async with receiving(shelf, echo_sni) as made:
        yield made


def echo_sni(request: Request) -> Response:
    """The host that TLS was begun for."""
    return response(str(request.sni).encode())


async def exchange(server, context, name, request=PLAIN) -> bytes:
    """What a visitor of `name` gets for a request."""
    reader, writer = await connect(server, context, name)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    content = await reader.readexactly(length)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return content


def hello(name: str, *protocols: str) -> bytes:
    """The first flight of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(protocols or ("http/1.1",)))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


# Visitors


@pytest.mark.parametrize("name", ["a.test", "x.b.test", "A.TEST"])
async def test_a_visitor_is_shown_the_certificate_of_the_name(server, issuer, name) -> None:
    """And requests know what TLS was begun for."""
    assert await exchange(server, issuer.client(), name) == name.lower().encode()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_are_spoken(server, issuer, version) -> None:
    """The old ones are not: see below."""
    context = issuer.client()
    context.minimum_version = context.maximum_version = version

    assert await exchange(server, context, "a.test") == b"a.test"


async def test_old_versions_are_refused(server, issuer) -> None:
    """By OpenSSL, whatever the client would accept."""
    context = issuer.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(OSError):  # noqa: PT011  (uvloop does not send OpenSSL's alert)
        await connect(server, context, "a.test")
    await until(lambda: server.reception.broken == 1)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("h2", "http/1.1"), "h2"),
        (("http/1.1", "h2"), "h2"),
        (("http/1.1",), "http/1.1"),
        (("acme-tls/1", "http/1.1"), "http/1.1"),
        ((), None),
    ],
)
async def test_the_protocol_is_agreed_on(server, issuer, offered, chosen) -> None:
    """By ALPN; a visitor that also offers acme-tls/1 is a visitor (RFC 8737 §3)."""
    _, writer = await connect(server, issuer.client(*offered), "a.test")

    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
    writer.close()


async def test_http2_is_spoken_where_it_was_chosen(server, issuer) -> None:
    """The server's half of the preface comes at once."""
    reader, writer = await connect(server, issuer.client("h2"), "a.test")

    frame = await reader.readexactly(9)
    assert frame[3] == 4, "SETTINGS come first (RFC 9113 §3.4)"
    writer.close()


async def test_a_hello_may_come_byte_by_byte(server, issuer) -> None:
    """It is looked at again only when there is more of it, and not taken from OpenSSL."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = issuer.client().wrap_bio(incoming, outgoing, server_hostname="a.test")
    client = await server.client()
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            await client.drip(outgoing.read())
            incoming.write(await client.reader.read(65_536))
    await client.drip(outgoing.read())

    await until(lambda: server.reception.shaken == 1)


# Strangers


async def test_a_name_without_certificate_is_refused(server, issuer) -> None:
    """By an alert that says so, for the price of a look."""
    with pytest.raises(ssl.SSLError, match=r"unrecognized.name"):
        await connect(server, issuer.client(), "stranger.test")

    assert server.reception.strangers == 1
    assert not server.reception.waiting


@pytest.mark.parametrize("sent", [hello("c.a.test"), hello("a.test.evil"), hello("b.test")])
async def test_the_alert_arrives_before_the_end(server, sent) -> None:
    """Nothing unread is left in the socket: a reset would overtake it."""
    client = await server.client()
    client.send(sent)

    assert await client.reader.read() == ALERT


async def test_without_a_name_the_address_decides(shelf, issuer) -> None:
    """A certificate for the address that was dialed, or a refusal."""
    context = issuer.client()
    async with receiving(shelf, echo_sni) as server:
        with pytest.raises(ssl.SSLError, match=r"unrecognized.name"):
            await connect(server, context, None)

        pem = issuer.pem("127.0.0.1")
        shelf.put(pem, "127.0.0.1")
        await server.contexts.follow()

        assert await shown(server, context, None) == der_of(pem)
        assert await exchange(server, context, None) == b"127.0.0.1"


async def test_clear_text_is_told_where_it_is(server) -> None:
    """As nginx and Apache do."""
    client = await server.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")

    answer = await client.reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(content) in head + b"\r\n"
    assert b"https://" in content


@pytest.mark.parametrize("junk", [b"\x00" * 50, b"\x80\x2e\x01\x03\x01", b"\x16\x03\x01\xff\xff"])
async def test_other_bytes_get_no_answer(server, junk) -> None:
    """There is nobody who would understand one."""
    client = await server.client()
    client.send(junk)

    with contextlib.suppress(ConnectionResetError):
        assert await client.reader.read() == b""
    await until(lambda: not server.reception.waiting)


@pytest.mark.parametrize("part", [0, 1, 100])
async def test_a_client_that_goes_in_the_middle_leaves_nothing(server, part) -> None:
    """Whatever it had sent."""
    client = await server.client()
    client.send(hello("a.test")[:part])
    await until(lambda: server.reception.waiting)

    await client.close()

    await until(lambda: not server.reception.waiting)


# Challenges


async def test_an_authority_is_shown_the_challenge_certificate(server, shelf, issuer) -> None:
    """Beside visitors of the same name, who never see it (RFC 8737 §3)."""
    challenge = issuer.pem("a.test")
    shelf.ask(a_test=challenge)
    await server.contexts.follow()
    visitor, authority = issuer.client("h2", "http/1.1"), issuer.client("acme-tls/1")

    assert await shown(server, authority, "a.test") == der_of(challenge)
    assert await shown(server, visitor, "a.test") != der_of(challenge)


async def test_who_offers_acme_alone_sees_no_other_certificate(server, issuer) -> None:
    """There is no challenge: nothing else is shown under that protocol."""
    with pytest.raises(ssl.SSLError, match=r"unrecognized.name"):
        await connect(server, issuer.client("acme-tls/1"), "a.test")


async def test_nothing_is_served_under_acme_tls(server, shelf, issuer) -> None:
    """The handshake is the answer; the connection ends with it."""
    shelf.ask(a_test=issuer.pem("a.test"))
    await server.contexts.follow()
    reader, writer = await connect(server, issuer.client("acme-tls/1"), "a.test")

    writer.write(PLAIN)

    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert not server.requests
    writer.close()


# Limits


async def test_who_does_not_shake_hands_in_time_is_dropped(server) -> None:
    """Silent or in the middle of a hello."""
    silent, slow = await server.client(), await server.client()
    slow.send(hello("a.test")[:50])
    await until(lambda: len(server.reception.waiting) == 2)

    server.later(server.reception.handshake_timeout + 1)

    for client in (silent, slow):
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    assert server.reception.broken == 2


async def test_a_handshake_that_stops_is_dropped(server) -> None:
    """The server's flight is out, and nothing comes back."""
    client = await server.client()
    client.send(hello("a.test"))
    assert await client.reader.readexactly(1) == b"\x16"

    server.later(server.reception.handshake_timeout + 1)

    with contextlib.suppress(ConnectionResetError):
        await client.reader.read()
    await until(lambda: not server.reception.waiting)


async def test_beyond_the_bound_the_oldest_is_dropped(server, issuer) -> None:
    """So that those who only hold connections keep out nobody."""
    server.reception.max_handshakes = 2
    first, second = await server.client(), await server.client()
    await until(lambda: len(server.reception.waiting) == 2)

    assert await exchange(server, issuer.client(), "a.test") == b"a.test"

    with contextlib.suppress(ConnectionResetError):
        assert await first.reader.read() == b""
    second.send(hello("a.test"))
    assert await second.reader.readexactly(1) == b"\x16"


async def test_no_handshake_begins_where_there_is_no_room(server) -> None:
    """The limit of connections is that of clear text."""
    server.service.max_connections = 0
    client = await server.client()

    with contextlib.suppress(ConnectionResetError):
        assert await client.reader.read() == b""
    assert server.service.counters.refused["connections"] == 1


# Sending


async def test_large_content_waits_for_its_reader(shelf, issuer) -> None:
    """It is encrypted as it is taken, not all at once: what waits is bounded."""
    content = bytes(32 << 20)
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, lambda _: response(content)) as server:
        reader, writer = await connect(server, issuer.client(), "a.test")
        writer.transport.pause_reading()
        writer.write(PLAIN)
        await until(lambda: server.service.connections and server.connection.paused)
        assert server.connection.transport.get_write_buffer_size() < 4 << 20

        writer.transport.resume_reading()
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(content) in head
        assert await reader.readexactly(len(content)) == content
        writer.close()


async def test_a_client_may_shake_hands_and_leave(server, issuer) -> None:
    """Nothing of it stays."""
    _, writer = await connect(server, issuer.client(), "a.test")
    await until(lambda: server.service.connections)
    writer.close()

    await until(lambda: not server.service.connections)


async def test_what_has_gone_is_gone_at_once(server, issuer) -> None:
    """Without the collector, which would find 20 KiB of each a thousand connections later."""
    await exchange(server, issuer.client(), "a.test")
    await until(lambda: not server.service.connections)
    gc.collect()
    gc.disable()
    try:
        await exchange(server, issuer.client(), "a.test")
        await until(lambda: not server.service.connections)
        left = [
            each
            for each in gc.get_objects()
            if (type(each) is Secured and each._reception is server.reception)
            or (type(each) is Http1Connection and each.service is server.service)
        ]
    finally:
        gc.enable()

    assert not left


async def test_a_ticket_goes_out_with_the_first_answer(server, issuer, monkeypatch) -> None:
    """Where its request came with the last word of the handshake: one write, not two."""
    written: list[int] = []
    write = os.write
    monkeypatch.setattr(
        secure.os, "write", lambda *what: written.append(write(*what)) or written[-1]
    )
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = issuer.client().wrap_bio(incoming, outgoing, server_hostname="a.test")
    reader, writer = await asyncio.open_connection(*server.address)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    writer.write(outgoing.read())
    while outgoing.pending == 0:
        incoming.write(await reader.read(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
    client.write(PLAIN)
    writer.write(outgoing.read())
    incoming.write(await reader.read(65536))

    assert client.read(65536).startswith(b"HTTP/1.1 200 ")
    assert client.session.has_ticket
    assert len(written) == 2
    writer.close()


async def test_keep_alive_and_pipelining_work_as_in_clear_text(shelf, issuer) -> None:
    """Requests of one connection, in order."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, echo_target) as server:
        reader, writer = await connect(server, issuer.client(), "a.test")
        writer.write(get("/1") + get("/2") + get("/3"))
        for number in (1, 2, 3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"/%d" % number
        writer.close()


async def test_the_end_of_a_reception_ends_those_who_wait(shelf) -> None:
    """A drain does not wait for them."""
    async with receiving(shelf, echo_sni) as server:
        client = await server.client()
        await until(lambda: server.reception.waiting)
        server.reception.close()

        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""
        await asyncio.sleep(0)
        assert not server.reception.waiting


async def answer_never(_: Request) -> Response:
    """An answer that is waited for until nobody does."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_a_client_that_says_goodbye_is_gone(shelf, issuer, caplog, protocol) -> None:
    """As one in clear text that sent its last byte: soon, without a word in the log."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, answer_never) as server:
        async with asyncio.timeout(60):
            async with httpx.AsyncClient(
                verify=issuer.client(),
                http1=protocol == "http/1.1",
                http2=protocol == "h2",
                timeout=60,
            ) as client:
                port = server.address[1]
                url = f"https://127.0.0.1:{port}/"
                extensions = {"sni_hostname": "a.test"}
                asking = asyncio.ensure_future(client.get(url, extensions=extensions))
                await until(lambda: server.requests)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
        await until(lambda: not server.service.connections or server.connection.half_closed)
        server.later(GONE_SECONDS + 1)
        await until(lambda: not server.service.connections)

    assert caplog.text == ""


async def test_goodbye_in_the_middle_of_an_answer(shelf, issuer, caplog) -> None:
    """As above, by the raw record of it."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, answer_never) as server:
        _, writer = await connect(server, issuer.client(), "a.test")
        writer.write(PLAIN)
        await until(lambda: server.requests)
        writer.close()
        await until(lambda: server.connection.half_closed)
        server.later(GONE_SECONDS + 1)
        await until(lambda: not server.service.connections)

    assert caplog.text == ""


async def test_who_sends_its_last_byte_still_gets_its_answer(shelf, issuer) -> None:
    """TLS has two directions, each with an end of its own (RFC 8446 §6.1)."""
    shelf.put(issuer.pem("a.test"), "a.test")
    gate = asyncio.Event()

    async def answer_later(_: Request) -> Response:
        await gate.wait()
        return response(b"late")

    async with receiving(shelf, answer_later) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = issuer.client().wrap_bio(incoming, outgoing, server_hostname="a.test")
        client = await server.client()
        await shake(client, tls, incoming, outgoing)
        tls.write(PLAIN)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()  # close_notify
        client.send(outgoing.read())
        await until(lambda: server.requests and server.connection.half_closed)
        gate.set()

        answer = b""
        while not answer.endswith(b"late"):
            incoming.write(await client.reader.read(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += tls.read(65_536)
        while True:
            try:
                tls.read()
            except ssl.SSLWantReadError:
                incoming.write(await client.reader.read(65_536))
            except ssl.SSLZeroReturnError:
                break  # the server's own close_notify


async def shake(client, tls, incoming, outgoing) -> None:
    """Shake hands over a raw connection."""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            incoming.write(await client.reader.read(65_536))
        else:
            client.send(outgoing.read())
            return


async def test_a_slow_reader_gets_all_of_the_last_answer(shelf, issuer) -> None:
    """However long it takes: the connection ends when everything is taken."""
    content = bytes(range(256)) * 8 * 1024
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, lambda _: response(content)) as server:
        server.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        loop = asyncio.get_running_loop()
        plain = socket.socket()
        plain.setblocking(False)  # noqa: FBT003  (the socket API's own)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
        await loop.sock_connect(plain, server.address)
        reader, writer = await asyncio.open_connection(
            sock=plain, ssl=issuer.client(), server_hostname="a.test", limit=8 * 1024
        )
        writer.write(get("/", "Connection: close"))
        await reader.readuntil(b"\r\n\r\n")
        received = await reader.readexactly(1000)
        await until(server.connection.transport.get_write_buffer_size)
        for _ in range(4):
            server.later(server.service.idle_timeout - 1)
            received += await reader.readexactly(100_000)  # the client does its part
        received += await reader.read()

        assert received == content
        writer.close()


async def test_a_certificate_that_is_replaced_while_it_is_loaded_serves(shelf, issuer) -> None:
    """Who was to be shown the old one is shown it: it is as valid as it was."""
    old, new = issuer.pem("a.test"), issuer.pem("a.test")
    shelf.put(old, "a.test", identifier="old")
    async with receiving(shelf, echo_sni) as server:
        contexts = server.contexts
        load, begun, gate = contexts.load, asyncio.Event(), asyncio.Event()

        async def load_slowly(certificate):
            begun.set()
            await gate.wait()
            return await load(certificate)

        contexts.load = load_slowly
        visiting = asyncio.ensure_future(shown(server, issuer.client(), "a.test"))
        await begun.wait()
        shelf.put(new, "a.test", identifier="new")
        await contexts.follow()
        gate.set()

        assert await visiting == der_of(old)
        assert await shown(server, issuer.client(), "a.test") == der_of(new)


async def test_a_client_that_goes_while_its_certificate_is_loaded_leaves_nothing(
    shelf, issuer
) -> None:
    """The loading ends by itself."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, echo_sni) as server:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def load_never(_):
            begun.set()
            await gate.wait()

        server.contexts.load = load_never
        client = await server.client()
        client.send(hello("a.test"))
        await begun.wait()
        client.reset()

        server.later(server.reception.handshake_timeout + 1)
        await until(lambda: not server.reception.waiting)


async def test_a_session_of_another_name_is_no_way_in(shelf, issuer) -> None:
    """What is shown and served is what the hello names (TLS 1.2 passes the session's name)."""
    first, second = issuer.pem("a.test"), issuer.pem("b.test")
    shelf.put(first, "a.test")
    shelf.put(second, "b.test")
    context = issuer.client()
    context.check_hostname = False  # a resumed session shows no certificate
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with receiving(shelf, echo_sni) as server:
        session = await asyncio.to_thread(visit, server, context, "a.test", None)

        assert await asyncio.to_thread(visit, server, context, "b.test", session[1])
        assert [request.sni for request in server.requests] == ["a.test", "b.test"]


def visit(server, context, name, session):
    """(whether the session was resumed, the session) of a visit."""
    with (
        socket.create_connection(server.address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name, session=session) as connection,
    ):
        connection.sendall(PLAIN)
        assert connection.recv(1)
        return connection.session_reused, connection.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_of_a_name_that_is_gone_is_refused(shelf, issuer, version) -> None:
    """What was agreed on before is no way around the alert."""
    file = shelf.put(issuer.pem("a.test"), "a.test")
    context = issuer.client()
    context.minimum_version = context.maximum_version = version
    async with receiving(shelf, echo_sni) as server:
        _, session = await asyncio.to_thread(visit, server, context, "a.test", None)
        assert (await asyncio.to_thread(visit, server, context, "a.test", session))[0]

        shelf.remove(file)
        await server.contexts.follow()

        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await asyncio.to_thread(visit, server, context, "a.test", session)


async def test_who_keeps_sending_after_the_end_is_dropped(shelf, issuer) -> None:
    """uvloop#471: a peer cannot hold a connection that is over."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, echo_sni) as server:
        client = await server.client()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = issuer.client().wrap_bio(incoming, outgoing, server_hostname="a.test")
        await shake(client, tls, incoming, outgoing)
        tls.write(get("/", "Connection: close"))
        client.send(outgoing.read())
        await until(lambda: any(each.lingering for each in server.service.connections))

        async def send() -> None:
            while True:
                tls.write(PLAIN)
                client.writer.write(outgoing.read())
                await client.writer.drain()
                await asyncio.sleep(0)  # the server's turn: `drain` waits for nobody by itself

        sending = asyncio.ensure_future(send())
        server.later(LINGER_SECONDS - 0.1)
        assert server.service.connections
        server.later(0.2)
        await until(lambda: not server.service.connections)
        with pytest.raises(ConnectionError):
            await sending
        assert len(server.requests) == 1


async def test_who_is_one_too_many_after_the_handshake_is_dropped(shelf, issuer) -> None:
    """Room was there when it came."""
    shelf.put(issuer.pem("a.test"), "a.test")
    async with receiving(shelf, echo_sni) as server:
        server.service.max_connections = 1
        late = await server.client()
        await until(lambda: server.reception.waiting)
        _, writer = await connect(server, issuer.client("h2"), "a.test")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = issuer.client("h2").wrap_bio(incoming, outgoing, server_hostname="a.test")
        await shake(late, tls, incoming, outgoing)

        with contextlib.suppress(ConnectionResetError):
            while await late.reader.read(65_536):
                pass
        assert server.service.counters.refused["connections"] == 1
        writer.close()
