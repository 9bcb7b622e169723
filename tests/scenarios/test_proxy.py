"""A node of two workers between clients and origins that misbehave, over real sockets."""

# ruff: noqa: PLR0917 - what a scenario needs are its fixtures and its parameters

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import pytest

from tests.support import Node, free_port, running, write_tree
from tests.support_origin import (
    Authority,
    Memory,
    Origin,
    Talk,
    echo,
    originating,
    raw,
    saying,
)
from tests.support_wire import KIB, MIB, Client, Http2Client, Received, get

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FLAT = 16 * MIB
"""By how much a worker may grow, whatever passes through it."""

LARGE = 200 * MIB
BLOCK = bytes(range(256)) * 4 * KIB
HASTE = "origin_connect: 1s, origin_first_byte: 1s, origin_between_bytes: 1s"
CALM = "origin_connect: 10s, origin_first_byte: 10s, origin_between_bytes: 10s, body: 1MiB"


@pytest.fixture(scope="module")
def origin():
    """An origin in clear text; each test has paths of its own."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def other():
    """A second one."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Whom the nodes trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority):
    """An origin over TLS whose name is right.test."""
    with originating(authority.context("right.test")) as found:
        found.on("/x", saying(b"over TLS"))
        yield found


@pytest.fixture(scope="module")
def silent():
    """A port where TLS never begins."""
    with originating() as found:
        yield found


def rules(origin: Origin, other: Origin, silent: Origin, port: int) -> list[dict[str, object]]:
    """Where paths lead; nobody listens on `port`."""
    to = f"http://127.0.0.1:{origin.port}"
    dead = f"http://127.0.0.1:{port}"
    targets = {
        "/o/<*>": f"{to}/<*>",
        "/api/<*>": f"{to}/v1/<*>",
        "/dead/<*>": f"{dead}/<*>",
        "/gone/<*>": "http://no-such-name.invalid/<*>",
        "/right/<*>": "https://right.test/<*>",
        "/wrong/<*>": "https://wrong.test/<*>",
        "/silent/<*>": f"https://127.0.0.1:{silent.port}/<*>",
        "/two/<*>": [f"{dead}/<*>", f"{to}/two/<*>"],
        "/balance/<*>": [f"{to}/balance/<*>", f"http://127.0.0.1:{other.port}/balance/<*>"],
        "https://docs.a.test": to,
    }
    made: list[dict[str, object]] = [
        {"source": source, "target": target, "status": "200"} for source, target in targets.items()
    ]
    made.insert(0, {"source": "/us/<*>", "target": f"{to}/<*>", "status": "200",
                    "condition": "<US>"})  # fmt: skip
    made.append({"source": "/<*>", "target": f"{to}/fallback/<*>", "status": "fallback"})
    return made


@contextlib.contextmanager
def proxying(folder, origins, authority, secure, limits="", more=""):
    """A node whose rules lead to the origins."""
    dead = free_port()
    allowed = [f'"127.0.0.1:{port}"' for port in (dead, *(each.port for each in origins))]
    connect = [f'"{name}:443": "127.0.0.1:{secure.port}"' for name in ("right.test", "wrong.test")]
    settings = (
        f"proxy: {{allow: [{', '.join(allowed)}], ca_file: '{authority.root}',"
        f" connect_to: {{{', '.join(connect)}}}}}\nlimits: {{{limits}}}\n{more}"
    )
    app = "domains: {a.test: {subdomains: {'': main, docs: main}}}\n"
    headers = "customHeaders: [{pattern: '/api/**', headers: [{key: X-Team, value: blue}]}]"
    write_tree(
        folder / "rules" / "site",
        {
            "app.yml": app,
            "redirects.json": json.dumps(rules(*origins, dead)),
            "customHttp.yml": headers,
        },
    )
    with running(folder, settings=settings) as node:
        node.deploy(write_tree(folder / "files", {"index.html": "home", "here.txt": "a file"}))
        yield node


@pytest.fixture(scope="module")
def node(tmp_path_factory, origin, other, silent, authority, secure):
    """With usual limits."""
    folder = tmp_path_factory.mktemp("node")
    with proxying(folder, (origin, other, silent), authority, secure) as found:
        yield found


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, origin, other, silent, authority, secure):
    """With a second for everything: for origins that hang, and no others."""
    folder = tmp_path_factory.mktemp("hasty")
    with proxying(folder, (origin, other, silent), authority, secure, HASTE) as found:
        yield found


@pytest.fixture(scope="module")
def strict(tmp_path_factory, origin, other, silent, authority, secure):
    """With little content, and a trusted proxy in front that tells the country."""
    folder = tmp_path_factory.mktemp("strict")
    more = "clients: {trusted_proxies: [127.0.0.1/32], country_header: X-Country}\n"
    with proxying(folder, (origin, other, silent), authority, secure, CALM, more) as found:
        yield found


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return "/" + "".join(c if c.isalnum() else "-" for c in request.node.name)


@pytest.fixture
async def clients():
    """Makes clients, which are gone afterwards."""
    made: list[Client] = []

    async def connect(node: Node, receive_buffer: int = 64 * KIB) -> Client:
        made.append(
            Client(*await asyncio.open_connection("127.0.0.1", node.port, limit=receive_buffer))
        )
        return made[-1]

    yield connect
    for client in made:
        client.writer.transport.abort()


async def http2(client: Client) -> Http2Client:
    """HTTP/2 with prior knowledge."""
    found = Http2Client(client)
    found.flush()
    return found


async def ask(node: Node, target: str, method: str = "GET", **fields: str):
    """One request by a client of the standard library."""
    fields = {"host": "a.test"} | fields
    return await asyncio.to_thread(node.get, target, method=method, **fields)


def post(path: str, content: bytes, *lines: str, method: str = "POST") -> bytes:
    """A request with content of a length."""
    return get(path, f"Content-Length: {len(content)}", *lines, method=method) + content


async def is_well(node: Node) -> None:
    """Whatever happened, files are served."""
    assert (await ask(node, "/here.txt"))[::2] == (200, b"a file")


async def workers_are_well(node: Node) -> None:
    """Have both workers see that the origin answers: each of them counts its failures."""
    names: set[str] = set()
    while len(names) < 2:
        status, fields, content = await ask(node, "/o/well")
        assert (status, content) == (200, b"well")
        names.add(fields["x-request-id"][:12])  # of a worker, then the request's number


# Origins that give no answer


def endless(line: bytes):
    """Sends lines as long as anybody reads them."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(OK)
        while True:
            talk.send(line * 1000)

    return script


def paused(talk: Talk) -> None:
    """Ends when the test says so."""
    talk.wait()
    talk.close()


FAULTS = {
    "hangs before the head": (Talk.until_closed, 504, "http_response_timeout"),
    "hangs in the head": (
        raw(OK + b"Content-Le", then=Talk.until_closed), 504, "http_response_timeout",
    ),
    "closes": (raw(), 502, "connection_terminated"),
    "resets": (raw(then=Talk.reset), 502, "connection_terminated"),
    "closes in the head": (raw(OK + b"A: "), 502, "http_response_incomplete"),
    "says something else": (raw(b"220 mail.test ESMTP\r\n\r\n"), 502, "http_protocol_error"),
    "says two lengths": (
        raw(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        502, "http_protocol_error",
    ),
    "says both framings": (
        raw(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        502, "http_protocol_error",
    ),
    "splits a head": (raw(OK + b"A: b\nSet-Cookie: c\r\n\r\n"), 502, "http_protocol_error"),
    "has a head without an end": (endless(b"A: b\r\n"), 502, "http_response_header_section_size"),
    "has a field without an end": (endless(b"b"), 502, "http_response_header_section_size"),
    "interrupts without an end": (
        raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 99), 502, "http_protocol_error",
    ),
    "switches protocols unasked": (
        raw(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"),
        502, "http_protocol_error",
    ),
}  # fmt: skip


async def reply(found: Http2Client | Client, target: str) -> tuple[int, dict[str, str], bytes]:
    """The answer to a GET, by either version."""
    if isinstance(found, Client):
        found.send(get(target))
        return await found.read()
    received = await found.read(found.request(target.encode()))
    fields = {name.decode(): value.decode() for name, value in received.fields.items()}
    return received.status, fields, bytes(received.content)


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_an_origin_without_an_answer(hasty, strict, origin, clients, path, version, fault):
    """The client gets a page that names the reason, and Proxy-Status; nobody may keep it."""
    script, status, kind = fault
    origin.on(path, script)
    origin.on("/well", saying(b"well"))
    node = hasty if status == 504 else strict
    client = await clients(node)
    found = await http2(client) if version == "2" else client
    got, fields, content = await reply(found, f"/o{path}")

    assert (got, fields["proxy-status"]) == (status, f"edge; error={kind}")
    assert kind.replace("_", " ").encode() in content
    assert fields["cache-control"] == "no-store"
    assert len(origin.of(path)) <= (2 if kind == "connection_terminated" else 1)
    await (await origin.wait_for(path)).over()
    assert (await reply(found, "/o/well"))[::2] == (200, b"well")
    await workers_are_well(node)


UNREACHED = {
    "refuses": ("/dead/x", 502, "connection_refused"),
    "has no name any more": ("/gone/x", 502, "dns_error"),
    "has another's certificate": ("/wrong/x", 502, "tls_certificate_error"),
    "hangs before TLS": ("/silent/x", 504, "connection_timeout"),
}


@pytest.mark.parametrize(("target", "status", "kind"), UNREACHED.values(), ids=UNREACHED.keys())
async def test_an_origin_that_cannot_be_reached(hasty, strict, target, status, kind):
    """The same; a POST is none the worse."""
    node = hasty if status == 504 else strict
    for method in ("GET", "POST"):
        got, fields, content = await ask(node, target, method)
        assert (got, fields["proxy-status"]) == (status, f"edge; error={kind}")
        assert kind.replace("_", " ").encode() in content


async def test_an_origin_over_tls(node, secure):
    """Its certificate is its name's, wherever connect_to leads."""
    assert (await ask(node, "/right/x"))[::2] == (200, b"over TLS")
    assert secure.of("/x")[-1].fields["host"] == "right.test"


# Answers that break off

HALVES = {
    "half a content": (raw(OK + b"Content-Length: 9\r\n\r\nhello"), b"hello"),
    "half a content and a reset": (
        raw(OK + b"Content-Length: 9\r\n\r\nhello", then=lambda talk: (talk.wait(), talk.reset())),
        b"hello",
    ),
    "half a content and silence": (
        raw(OK + b"Content-Length: 9\r\n\r\nhello", then=Talk.until_closed), b"hello",
    ),
    "chunks without an end": (raw(CHUNKS + b"5\r\nhello\r\n"), b"5\r\nhello\r\n"),
    "half a chunk": (raw(CHUNKS + b"9\r\nhello"), b"5\r\nhello\r\n"),
    "a chunk that is none": (
        raw(
            CHUNKS + b"5\r\nhello\r\n",
            then=lambda talk: (talk.wait(), talk.send(b"what\r\n"), talk.close()),
        ),
        b"5\r\nhello\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("half", HALVES)
async def test_a_truncated_answer_is_never_a_whole_one(hasty, strict, origin, clients, path, half):
    """The client's connection is cut, its stream reset: what came until then is all there is."""
    script, content = HALVES[half]
    origin.on(path, script)
    node = hasty if "silence" in half else strict
    client = await clients(node)
    client.send(get(f"/o{path}") + get("/here.txt"))
    assert (await client.read_head())[0] == 200
    assert await client.reader.readexactly(len(content)) == content
    (await origin.wait_for(path)).go.set()
    assert await client.rest() == b""

    found = await http2(await clients(node))
    stream = found.request(f"/o{path}".encode())
    await found.until(lambda: found.streams[stream.stream_id].content == b"hello")
    (await origin.wait_for(path, 2)).go.set()
    received = await found.read(stream)
    assert (received.ended, received.reset) == (False, 2)
    assert received.content == b"hello"
    await is_well(node)


async def test_a_truncated_answer_for_a_client_without_chunks_ends_with_a_reset(
    strict, origin, clients, path
):
    """A plain end would pass for the end of the content."""
    origin.on(path, raw(CHUNKS + b"5\r\nhello\r\n", then=paused))
    client = await clients(strict)
    client.send(get(f"/o{path}", version="1.0"))
    await client.read_head()
    assert await client.reader.readexactly(5) == b"hello"
    (await origin.wait_for(path)).go.set()

    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_more_than_its_length_is_nobodys(node, origin, clients, path):
    """What an origin sends behind its answer answers nobody, now or later."""
    poison = OK + b"Content-Length: 6\r\n\r\npoison"
    origin.on(path, raw(OK + b"Content-Length: 5\r\n\r\nhello" + poison, then=lambda _: None))
    client = await clients(node)
    for _ in range(20):
        client.send(get(f"/o{path}"))
        assert (await client.read())[2] == b"hello"

    assert len({talk.connection for talk in origin.of(path)}) == 20


# Connections that end at the wrong moment


def once_only(talk: Talk) -> None:
    """The first request of a connection is answered, the next one ends it without a word."""
    talk.read()
    same = [each for each in talk.origin.of(talk.target) if each.number == talk.number]
    if len(same) > 1:
        talk.close()
    else:
        talk.answer(b"done", 200, f"X-Connection: {talk.number}")


async def test_a_get_is_sent_once_more_where_its_connection_had_ended(node, origin, clients, path):
    """On a new connection; its client sees nothing of it."""
    origin.on(path, once_only)
    client = await clients(node)
    for _ in range(4):
        client.send(get(f"/o{path}"))
        assert (await client.read())[2] == b"done"

    assert len(origin.of(path)) > 4
    assert max(Counter(talk.number for talk in origin.of(path)).values()) == 2


@pytest.mark.parametrize("content", [b"", b"hello"], ids=["empty", "with content"])
async def test_a_post_is_never_sent_twice(node, origin, clients, path, content):
    """502, and the origin has seen it once."""
    origin.on(path, once_only)
    client = await clients(node)
    client.send(post(f"/o{path}", b"first"))
    assert (await client.read())[2] == b"done"
    client.send(post(f"/o{path}", content))
    status, fields, _ = await client.read()

    assert (status, fields["proxy-status"]) == (502, "edge; error=connection_terminated")
    assert [talk.method for talk in origin.of(path)] == ["POST", "POST"]


async def test_a_connection_that_ended_in_time_is_not_used(node, origin, clients, path):
    """A POST behind it has a new one: an end that has arrived is seen before it is sent."""
    origin.on(path, lambda talk: (talk.read(), talk.answer(b"done"), talk.close()))
    client = await clients(node)
    for number in range(20):
        client.send(post(f"/o{path}", b"hello"))
        assert (await client.read())[::2] == (200, b"done")
        talk = await (await origin.wait_for(path, number + 1)).over()
        await origin.until(lambda talk=talk: talk.connection not in origin.connections)

    assert len(origin.of(path)) == 20


# Clients that go away


def until_closed(begin: bytes):
    """Sends something, and waits for its client's end."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(begin)
        talk.content = talk.until_closed()
        talk.close()

    return script


MOMENTS = {
    "before the head": b"",
    "behind the head": OK + b"Content-Length: 99\r\n\r\n",
    "in the content": CHUNKS + b"5\r\nhello\r\n",
    "of an event stream": OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n",
}


@pytest.mark.parametrize("begin", MOMENTS.values(), ids=MOMENTS.keys())
@pytest.mark.parametrize("way", ["reset", "stream reset", "connection reset"])
async def test_a_client_that_goes_away_takes_its_request_along(
    node, origin, clients, path, begin, way
):
    """At once."""
    origin.on(path, until_closed(begin))
    client = await clients(node)
    if way != "reset":
        found = await http2(client)
        stream = found.request(f"/o{path}".encode())
        talk = await origin.wait_for(path)
        if begin:
            await found.until(lambda: found.streams[stream.stream_id].status == 200)
        if way == "stream reset":
            stream.reset(8)
            found.flush()
        else:
            client.reset()
    else:
        client.send(get(f"/o{path}"))
        talk = await origin.wait_for(path)
        if begin:
            assert (await client.read_head())[0] == 200
        client.reset()

    await talk.over()


async def test_a_client_that_only_says_its_end_has_gone(node, origin, clients, path):
    """Within seconds, for it could still listen; also where nothing more is said for hours."""
    for number, begin in enumerate(MOMENTS.values()):
        origin.on(f"{path}/{number}", until_closed(begin))
        client = await clients(node)
        client.send(get(f"/o{path}/{number}"))
        await origin.wait_for(f"{path}/{number}")
        if begin:
            assert (await client.read_head())[0] == 200
        await client.close()
    for number in range(len(MOMENTS)):
        await origin.of(f"{path}/{number}")[0].over()


async def test_a_client_that_goes_away_in_its_upload_leaves_half_a_request(
    node, origin, clients, path
):
    """The origin sees that it has no end."""
    origin.on(path, lambda talk: talk.read())
    for number, framing in enumerate(("Content-Length: 9", "Transfer-Encoding: chunked"), 1):
        client = await clients(node)
        client.send(get(f"/o{path}", framing, method="POST"))
        client.send(b"5\r\nhello\r\n" if "chunked" in framing else b"hello")
        talk = await origin.wait_for(path, number)
        client.reset()
        assert not (await talk.over()).is_whole


# Much content, little memory


class Others:
    """Clients that want a file meanwhile."""

    def __init__(self, clients, node: Node) -> None:
        self._connect = lambda: clients(node)
        self._client: Client | None = None

    async def are_served(self) -> None:
        """One of them."""
        client = self._client = self._client or await self._connect()
        client.send(get("/here.txt"))
        _, fields, content = await client.read()
        assert content == b"a file"
        if fields.get("connection") == "close":
            self._client = None


async def test_a_slow_reader_of_much(node, origin, clients, path):
    """The worker holds next to nothing, and serves others meanwhile."""

    def script(talk: Talk) -> None:
        talk.send(OK + b"Content-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(BLOCK)):
            talk.send(BLOCK)

    origin.on(path, script)
    slow, others = await clients(node), Others(clients, node)
    with Memory(node.pids("worker")) as memory:
        slow.send(get(f"/o{path}"))
        assert (await slow.read_head())[1]["content-length"] == str(LARGE)
        for _ in range(LARGE // len(BLOCK)):
            await others.are_served()
            assert await slow.reader.readexactly(len(BLOCK)) == BLOCK

    assert memory.growth < FLAT


async def test_a_reader_that_stops_stops_the_origin(node, origin, clients, path):
    """However much there is to send."""
    sent = []

    def script(talk: Talk) -> None:
        talk.send(OK + b"Content-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(BLOCK)):
            talk.send(BLOCK)
            sent.append(len(BLOCK))

    origin.on(path, script)
    stopped, others = await clients(node), Others(clients, node)
    with Memory(node.pids("worker")) as memory:
        stopped.send(get(f"/o{path}"))
        await stopped.read_head()
        for _ in range(500):
            await others.are_served()
    stopped.reset()
    await (await origin.wait_for(path)).over()

    assert sum(sent) < LARGE / 2
    assert memory.growth < FLAT


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_slow_taker_of_much(node, origin, clients, path, framing):
    """An upload goes as fast as its origin takes it."""
    taken = []

    def script(talk: Talk) -> None:
        for piece in talk.pieces():
            taken.append(len(piece))
            if sum(taken) // MIB > (sum(taken) - len(piece)) // MIB:
                talk.wait()
        talk.answer(b"%d" % sum(taken))

    origin.on(path, script)
    slow, others = await clients(node), Others(clients, node)
    line = f"Content-Length: {LARGE}" if framing == "length" else "Transfer-Encoding: chunked"

    async def send() -> None:
        slow.send(get(f"/o{path}", line, method="POST"))
        for _ in range(LARGE // len(BLOCK)):
            slow.send(BLOCK if framing == "length" else b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))
            await slow.writer.drain()
        slow.send(b"" if framing == "length" else b"0\r\n\r\n")

    with Memory(node.pids("worker")) as memory:
        sending = asyncio.ensure_future(send())
        talk = await origin.wait_for(path)
        while not talk.is_whole:
            talk.go.set()
            await others.are_served()
        await sending
        assert (await slow.read())[::2] == (200, b"%d" % LARGE)

    assert memory.growth < FLAT


async def test_much_over_http2(node, origin, clients, path):
    """Both ways at once, as fast as the slower side of each."""
    size = 32 * MIB

    def script(talk: Talk) -> None:
        talk.send(CHUNKS)
        for piece in talk.pieces():
            talk.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        talk.send(b"0\r\n\r\n")

    origin.on(path, script)
    found = await http2(await clients(node))
    stream = found.request(f"/o{path}".encode(), b"POST", ends=False)
    received = found.streams[stream.stream_id]
    with Memory(node.pids("worker")) as memory:
        for _ in range(size // len(BLOCK)):
            stream.send_data(BLOCK)
            found.flush()
            await found.until(lambda: not stream.pending_bytes)
        stream.end_message()
        found.flush()
        await found.until(lambda: received.ended)

    assert bytes(received.content) == BLOCK * (size // len(BLOCK))
    assert memory.growth < FLAT


# Content of requests


async def test_chunks_and_trailers_both_ways(node, origin, clients, path):
    """Neither side's chunks are the other's, and both sides' trailers arrive."""

    def script(talk: Talk) -> None:
        talk.content = talk.read()
        talk.send(CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n")

    origin.on(path, script)
    client = await clients(node)
    head = get(f"/o{path}", "Transfer-Encoding: chunked", "Trailer: X-Sum", "TE: trailers",
               method="POST")  # fmt: skip
    client.send(head + b"2\r\nwh\r\n2;x=y\r\nat\r\n0\r\nX-Sum: 1\r\n\r\n")
    _, fields = await client.read_head()
    assert fields["transfer-encoding"] == "chunked"
    assert await client.reader.readuntil(b"0\r\n") == b"5\r\nhello\r\n0\r\n"
    assert await client.reader.readuntil(b"\r\n\r\n") == b"x-sum: 2\r\n\r\n"

    talk = origin.of(path)[0]
    assert (talk.content, talk.trailers) == (b"what", [b"x-sum: 1"])
    assert (talk.fields["trailer"], talk.fields["te"]) == ("X-Sum", "trailers")


async def test_trailers_over_http2(node, origin, clients, path):
    """In chunks towards the origin; its own come back as frames."""

    def script(talk: Talk) -> None:
        talk.content = talk.read()
        talk.send(CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n")

    origin.on(path, script)
    found = await http2(await clients(node))
    stream = found.request(f"/o{path}".encode(), b"POST", ends=False)
    stream.send_data(b"what")
    stream.end_message([(b"x-sum", b"1")])
    found.flush()
    received = await found.read(stream)

    assert (received.content, received.trailers) == (b"hello", [(b"x-sum", b"2")])
    assert (origin.of(path)[0].content, origin.of(path)[0].trailers) == (b"what", [b"x-sum: 1"])


EXPECT = "Expect: 100-continue"


async def test_100_comes_when_the_origin_side_reads(node, origin, clients, path):
    """Not before there is one; what the origin says of it stays there."""
    origin.on(path, lambda talk: (talk.send(b"HTTP/1.1 100 Continue\r\n\r\n"), echo(talk)))
    client = await clients(node)
    client.send(get("/dead/x", EXPECT, "Content-Length: 5", method="POST"))
    assert (await client.read_head())[0] == 502

    client = await clients(node)
    client.send(get(f"/o{path}", EXPECT, "Content-Length: 5", method="POST"))
    assert await client.read_head() == (100, {})
    client.send(b"hello")
    status, _, content = await client.read()
    assert (status, content.endswith(b"\n\nhello"), b"expect" in content) == (200, True, False)


@pytest.mark.parametrize("expect", [[EXPECT], []], ids=["expecting", "at once"])
async def test_content_that_is_too_large_is_refused_unread(strict, origin, clients, path, expect):
    """413, no 100, and nobody is asked."""
    client = await clients(strict)
    client.send(get(f"/o{path}", *expect, f"Content-Length: {MIB + 1}", method="POST"))
    status, fields, _ = await client.read()

    assert (status, fields["connection"]) == (413, "close")
    assert await client.rest() == b""
    assert origin.of(path) == []


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_chunks_that_are_too_much_are_refused(strict, origin, clients, path, version):
    """413, and the origin never sees a whole request."""
    origin.on(path, lambda talk: talk.read())
    client = await clients(strict)
    if version == "2":
        found = await http2(client)
        stream = found.request(f"/o{path}".encode(), b"POST", ends=False)
        received = found.streams[stream.stream_id]
        while not received.done and not received.status:
            stream.send_data(bytes(16 * KIB))
            found.flush()
            await found.until(lambda: not stream.pending_bytes or received.status)
        assert (await found.read(stream)).status == 413
    else:
        client.send(get(f"/o{path}", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"%x\r\n%b\r\n" % (MIB, bytes(MIB)) + b"1\r\nx\r\n")
        status, fields, _ = await client.read()
        assert (status, fields["connection"]) == (413, "close")

    assert not (await (await origin.wait_for(path)).over()).is_whole


async def test_an_origins_refusal_of_an_upload_arrives(node, origin, clients, path):
    """Though it closes without having read it: its answer, not 502."""

    def script(talk: Talk) -> None:
        talk.file.read(64 * KIB)
        talk.answer(b"too much", 413, "Connection: close")
        talk.close()

    origin.on(path, script)
    for _ in range(20):
        client = await clients(node)
        client.send(get(f"/o{path}", f"Content-Length: {8 * MIB}", method="POST") + bytes(MIB))
        status, _, content = await client.read()
        assert (status, content) == (413, b"too much")


async def test_http2_content_that_is_not_as_long_as_it_said(node, origin, clients, path):
    """The stream is reset, or answered with an error; the origin never sees a whole request."""
    origin.on(path, lambda talk: talk.read())
    for chunk in (b"hell", b"hello!"):
        found = await http2(await clients(node))
        stream = found.request(f"/o{path}".encode(), b"POST", ends=False, content_length=b"5")
        with contextlib.suppress(Exception):  # zttp is honest, unless its frames are made by hand
            stream.send_data(chunk)
        found.wire.data_to_send()
        identifier = stream.stream_id
        found.client.send(frame_of(identifier, chunk))
        received = await found.read(stream)
        assert received.reset is not None or received.status in (400, 500)

    await is_well(node)
    assert not [talk for talk in origin.of(path) if (await talk.over()).is_whole]


def frame_of(stream: int, content: bytes) -> bytes:
    """DATA that ends a stream."""
    return len(content).to_bytes(3, "big") + b"\0\1" + stream.to_bytes(4, "big") + content


# Interim responses and events


@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_early_hints_are_there_before_the_answer(node, origin, clients, path, version):
    """The origin goes on only when the client has them."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        talk.wait()
        talk.answer(b"hello")

    origin.on(path, script)
    client = await clients(node)
    if version == "2":
        found = await http2(client)
        stream = found.request(f"/o{path}".encode())
        received = found.streams[stream.stream_id]
        await found.until(lambda: received.interim == [103])
        (await origin.wait_for(path)).go.set()
        assert (await found.read(stream)).content == b"hello"
    else:
        client.send(get(f"/o{path}"))
        status, fields = await client.read_head()
        assert (status, fields["link"]) == (103, "</a.css>; rel=preload")
        (await origin.wait_for(path)).go.set()
        assert (await client.read())[::2] == (200, b"hello")


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
async def test_events_come_one_by_one(node, origin, clients, path, version):
    """Each arrives before the next is sent."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(OK + b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n")
        for number in range(10):
            talk.wait()
            talk.send(b"data: %d\n\n" % number)
        talk.close()

    origin.on(path, script)
    client = await clients(node)
    found = await http2(client) if version == "2" else None
    received = Received()
    if found is not None:
        received = found.streams[found.request(f"/o{path}".encode()).stream_id]
    else:
        client.send(get(f"/o{path}", version=version))
        assert (await client.read_head())[0] == 200
    talk = await origin.wait_for(path)
    for number in range(10):
        talk.go.set()
        event = b"data: %d\n\n" % number
        if found is not None:
            await found.until(lambda event=event: received.content.endswith(event))
        else:
            assert (await client.reader.readuntil(event)).endswith(event)
    if found is not None:
        await found.until(lambda: received.ended)


# Methods and versions


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT", "DELETE", "PATCH", "POST", "REPORT"])
async def test_methods_are_passed_on(node, origin, clients, path, method):
    """With their content, and answered with theirs."""
    origin.on(path, echo)
    client = await clients(node)
    client.send(post(f"/o{path}?a=b", b"hello", method=method))
    status, _, content = await client.read()

    assert status == 200
    assert content.startswith(f"{method} {path}?a=b\n".encode())
    assert content.endswith(b"\n\nhello")


async def test_head_has_the_fields_of_get(node, origin, clients, path):
    """And the connection goes on behind it."""
    origin.on(path, lambda talk: talk.send(OK + b"Content-Length: 5\r\nX-A: b\r\n\r\n"))
    client = await clients(node)
    for _ in range(3):
        client.send(get(f"/o{path}", method="HEAD"))
        status, fields, content = await client.read("HEAD")
        assert (status, fields["content-length"], fields["x-a"], content) == (200, "5", "b", b"")
    assert [talk.method for talk in origin.of(path)] == ["HEAD"] * 3


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nhello", b"\r\nhello"])
async def test_a_client_of_http10(node, origin, clients, path, framing):
    """Gets what it can read; the origin is asked by HTTP/1.1, as for any other client."""
    origin.on(path, raw(OK + framing))
    client = await clients(node)
    client.send(get(f"/o{path}", version="1.0"))
    _, fields = await client.read_head()

    assert (fields["connection"], "transfer-encoding" in fields) == ("close", False)
    assert await client.rest() == b"hello"
    assert (origin.of(path)[0].version, origin.of(path)[0].fields["via"][:4]) == (
        "HTTP/1.1",
        "1.1 ",
    )


async def test_a_client_of_http2(node, origin, clients, path):
    """Many streams, many connections; what is of one connection only does not cross."""
    origin.on(path, lambda talk: (talk.read(), talk.answer(talk.target[-1].encode(), 200,
                                                           "Connection: X-Own", "X-Own: 1",
                                                           "Keep-Alive: timeout=9")))  # fmt: skip
    found = await http2(await clients(node))
    streams = [found.request(f"/o{path}?{number}".encode()) for number in range(10)]
    for number, stream in enumerate(streams):
        received = await found.read(stream)
        assert (received.status, received.content) == (200, b"%d" % number)
        assert not {b"connection", b"x-own", b"keep-alive"} & received.fields.keys()


# Rules


async def test_a_fallback_answers_where_no_file_does(node, origin):
    """Any method; a file takes its own."""
    origin.on("/fallback/nothing", echo)
    assert (await ask(node, "/here.txt"))[2] == b"a file"
    assert (await ask(node, "/here.txt", "POST"))[0] == 405
    for method in ("GET", "POST", "DELETE"):
        assert (await ask(node, "/nothing", method))[2].startswith(f"{method} /fall".encode())


async def test_a_dead_target_is_avoided(node, origin):
    """From the first request on, whatever its method."""
    origin.on("/two/x", saying(b"alive"))
    for method in ("POST", "GET") * 4:
        assert (await ask(node, "/two/x", method))[::2] == (200, b"alive")


async def test_targets_are_balanced(node, origin, other, clients):
    """The one with less to do is asked: of four at a time on one connection, each gets two."""
    for each in (origin, other):
        each.on("/balance/x", lambda talk: (talk.read(), talk.wait(), talk.answer(b"hello")))
    found = await http2(await clients(node))
    for turn in range(1, 4):
        streams = [found.request(b"/balance/x", b"POST") for _ in range(4)]
        for each in (origin, other):
            for number in range(2):
                await each.wait_for("/balance/x", 2 * turn - number)
        for each in (origin, other):
            for talk in each.of("/balance/x")[-2:]:
                talk.go.set()
        for stream in streams:
            assert (await found.read(stream)).content == b"hello"


async def test_a_location_leads_back(node, origin):
    """Through the rule, a domain's too; elsewhere it stays as it is."""
    to = f"http://127.0.0.1:{origin.port}"
    host = f"a.test:{node.port}"
    for script in ("/v1/x", "/x"):
        origin.on(script, saying(b"", 302, f"Location: {to}/v1/y?z"))
    status, fields, _ = await ask(node, "/api/x", host=host)
    assert (status, fields["location"], fields["x-team"]) == (302, f"http://{host}/api/y?z", "blue")
    status, fields, _ = await ask(node, "/x", host="docs.a.test")
    assert (status, fields["location"]) == (302, "http://docs.a.test/v1/y?z")


async def test_a_country_decides_for_one(strict, origin, path):
    """No shared cache may keep what others would get otherwise."""
    control = "Cache-Control: public, max-age=60, s-maxage=600"
    for begin in ("", "/fallback/us"):
        origin.on(begin + path, saying(begin.encode(), 200, control))
    for country, content in (("US", b""), ("CA", b"/fallback/us")):
        _, fields, got = await ask(strict, f"/us{path}", **{"X-Country": country})
        assert got == content
        assert fields["cache-control"] == "private, max-age=60"


async def test_a_loop_through_another_server_is_cut(node, origin, path):
    """An origin that sends everything back to us: 508, at the first time round."""

    def script(talk: Talk) -> None:
        names = ("via", "cdn-loop")
        fields = {name.replace("-", "_"): talk.fields[name] for name in names}
        status, got, content = node.get(f"/o{path}", host="a.test", **fields)
        talk.answer(content, status, f"Proxy-Status: {got['proxy-status']}")

    origin.on(path, script)
    status, fields, _ = await ask(node, f"/o{path}")

    assert (status, fields["proxy-status"]) == (508, "edge; error=proxy_loop_detected")
    assert len(origin.of(path)) == 1


async def test_a_deployments_rules_reach_no_loopback(node, origin, path):
    """What an app folder may, a deployment may not; nor the node's own admin API for anybody."""
    targets = [f"http://127.0.0.1:{origin.port}/<*>", f"http://127.0.0.1:{node.admin_port}/<*>"]
    rules = [
        {"source": f"/{number}/<*>", "target": target, "status": "200"}
        for number, target in enumerate(targets)
    ]
    files = {"index.html": "home", "redirects.json": json.dumps(rules)}
    tree = write_tree(node.folder / "carried", files)
    await asyncio.to_thread(node.deploy, tree, "carried")
    for number in range(2):
        got = await ask(node, f"/{number}{path}", host="main.carried.edge.localhost")
        assert (got[0], got[1]["proxy-status"]) == (502, "edge; error=destination_ip_prohibited")

    assert origin.of(path) == []
