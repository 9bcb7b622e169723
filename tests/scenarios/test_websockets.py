"""WebSockets and other tunnels through a node of two workers: real ends, and raw ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractResolver

from tests.support import Node, free_port, running, write_tree
from tests.support_origin import Memory, Talk, echo, originating, saying
from tests.support_tls import is_secured
from tests.support_wire import KIB, MIB, Client, get, until

SWITCH = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: chat")


@pytest.fixture(scope="module")
def origin():
    """An origin of raw bytes; each test has paths of its own."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def port():
    """Where the server of `server` listens."""
    return free_port()


CODES = web.AppKey("codes", list)


@contextlib.contextmanager
def proxying(folder, origin, port, limits=""):
    """A node whose rules lead to both."""
    rules = [
        {"source": f"/{name}/<*>", "target": f"http://127.0.0.1:{number}/<*>", "status": "200"}
        for name, number in (("raw", origin.port), ("ws", port))
    ]
    app = "domains: {a.test: {subdomains: {'': main}}}\n"
    write_tree(folder / "rules/site", {"app.yml": app, "redirects.json": json.dumps(rules)})
    allowed = f'"127.0.0.1:{origin.port}", "127.0.0.1:{port}"'
    settings = f"proxy: {{allow: [{allowed}]}}\nlimits: {{{limits}}}\n"
    settings += "tls: {mode: internal, redirect_http: false}\n"
    with running(folder, settings=settings, is_secure=True) as node:
        node.deploy(write_tree(folder / "files", {"index.html": "home"}))
        yield node


@pytest.fixture(scope="module")
def node(tmp_path_factory, origin, port):
    """With usual limits."""
    with proxying(tmp_path_factory.mktemp("node"), origin, port) as found:
        yield found


async def talk_back(request: web.Request) -> web.WebSocketResponse:
    """Says everything twice: once as it came, once where it came from."""
    socket = web.WebSocketResponse(protocols=("chat",), max_msg_size=0)
    await socket.prepare(request)
    await socket.send_str(request.headers["X-Forwarded-Host"])
    async for message in socket:
        if message.type is WSMsgType.TEXT and message.data.startswith("close "):
            await socket.close(code=int(message.data[6:]), message=b"as you said")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    request.app[CODES].append(socket.close_code)
    return socket


@pytest.fixture
async def server(port):
    """A WebSocket server that nobody here wrote; the close codes that it got."""
    app = web.Application()
    app[CODES] = codes = []
    app.router.add_get("/echo", talk_back)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield codes
    await runner.cleanup()


@pytest.fixture
async def session():
    """A client's."""
    async with aiohttp.ClientSession(headers={"Host": "a.test"}) as found:
        yield found


def connecting(session: aiohttp.ClientSession, node: Node, **options):
    """A WebSocket to the server, through the node."""
    url = f"http://127.0.0.1:{node.port}/ws/echo"
    return session.ws_connect(url, max_msg_size=0, **options)


class Here(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        """As the library wants it."""
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": family,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self):
        """Nothing to do."""


@contextlib.asynccontextmanager
async def connecting_securely(node: Node, **options):
    """A WebSocket over TLS, by the certificate of the node's own authority."""
    root = node.folder / "var/tls/internal/root.pem"
    await until(lambda: is_secured(node, "a.test"))
    context = ssl.create_default_context(cafile=root)
    connector = aiohttp.TCPConnector(resolver=Here(), ssl=context)
    url = f"https://a.test:{node.https_port}/ws/echo"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, max_msg_size=0, **options) as found,
    ):
        connection = descriptors()[found.get_extra_info("socket").fileno()]
        yield found
    await until(lambda: connection not in descriptors().values())  # its last word may take a moment


def descriptors() -> dict[int, str]:
    """What this process has open."""
    found = {}
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(each.name)] = str(each.readlink())
    return found


@pytest.fixture
async def connect():
    """Makes raw clients, which are gone afterwards."""
    made: list[Client] = []

    async def one(node: Node) -> Client:
        made.append(Client(*await asyncio.open_connection("127.0.0.1", node.port)))
        return made[-1]

    yield one
    for client in made:
        client.writer.transport.abort()


# Two ends that nobody here wrote


MESSAGES = ["", "hello", "grüße", "x" * MIB, b"", b"\0\xff", bytes(range(256)) * 4 * KIB]


@pytest.mark.parametrize("compress", [0, 15], ids=["plain", "deflate"])
async def test_messages_pass_both_ways(node, server, session, compress):
    """Text and binary, empty and of a MiB, compressed between the two ends or not."""
    async with connecting(session, node, compress=compress, protocols=("chat",)) as socket:
        assert bool(socket.compress) == bool(compress)
        await exchange_all(socket, "a.test")


async def test_messages_pass_both_ways_over_tls(node, server):
    """Bytes are bytes."""
    async with connecting_securely(node, protocols=("chat",)) as socket:
        await exchange_all(socket, f"a.test:{node.https_port}")


async def exchange_all(socket: aiohttp.ClientWebSocketResponse, host: str) -> None:
    """Every message there and back, many of them under way at a time."""
    assert socket.protocol == "chat"
    assert await socket.receive_str() == host
    for message in MESSAGES * 2:
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
    for message in MESSAGES * 2:
        assert (await socket.receive()).data == message


@pytest.mark.parametrize("code", [1000, 1001, 4321])
async def test_close_codes_pass_both_ways(node, server, session, code):
    """Whoever ends says why."""
    async with connecting(session, node) as socket:
        await socket.receive_str()
        await socket.close(code=code)
    await until(lambda: server == [code])
    async with connecting(session, node) as socket:
        await socket.receive_str()
        await socket.send_str(f"close {code}")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, "as you said")


async def test_a_hundred_at_once(node, server, session):
    """On both workers, each with its own server's end."""

    async def one(number: int) -> None:
        async with connecting(session, node) as socket:
            await socket.receive_str()
            for turn in range(10):
                await socket.send_str(f"{number} {turn}")
                assert await socket.receive_str() == f"{number} {turn}"

    await asyncio.gather(*(one(number) for number in range(100)))
    await until(lambda: len(server) == 100)


async def test_a_tunnel_survives_reloads_and_deploys(node, server, session):
    """Settings and files change; what is under way goes on."""
    async with connecting(session, node) as socket:
        await socket.receive_str()
        for number in range(3):
            settings = (node.folder / "edge.yml").read_text()
            (node.folder / "edge.yml").write_text(settings + f"# {number}\n")
            await asyncio.to_thread(node.edge, "reload")
            tree = write_tree(node.folder / "files", {"index.html": f"home {number}"})
            await asyncio.to_thread(node.deploy, tree)
            await socket.send_str(f"still {number}")
            assert await socket.receive_str() == f"still {number}"


async def test_a_tunnel_survives_a_reload_that_forbids_it(tmp_path, origin, port, server, session):
    """It was allowed when it began; the next one is not."""
    with proxying(tmp_path, origin, port) as node:
        async with connecting(session, node) as socket:
            await socket.receive_str()
            (tmp_path / "edge.yml").write_text(
                (tmp_path / "edge.yml").read_text().replace("proxy:", "# proxy:")
            )
            await asyncio.to_thread(node.edge, "reload")
            await socket.send_str("still")
            assert await socket.receive_str() == "still"
            with pytest.raises(aiohttp.WSServerHandshakeError, match="502"):
                await connecting(session, node)


# The end of the node


async def test_a_stopping_node_lets_answers_finish_and_ends_tunnels(
    tmp_path, origin, port, connect
):
    """Within its time for that: what is under way by then is cut."""
    origin.on("/slow", lambda talk: (talk.read(), talk.wait(), talk.answer(b"finished")))
    origin.on("/tunnel", lambda talk: (talk.send(SWITCH), talk.until_closed()))
    with proxying(tmp_path, origin, port, "drain: 10s") as node:
        slow, tunnel = await connect(node), await connect(node)
        slow.send(get("/raw/slow"))
        tunnel.send(get("/raw/tunnel", *UPGRADE))
        assert (await tunnel.read_head())[0] == 101
        talk = await origin.wait_for("/slow")
        stopping = asyncio.create_task(asyncio.to_thread(node.stop))  # noqa: TID251 - not a node's
        await until(lambda: refuses(node))
        talk.go.set()
        status, fields, content = await slow.read()
        assert (status, content, fields["connection"]) == (200, b"finished", "close")
        assert not stopping.done()
        assert await tunnel.rest() == b""
        assert await stopping == 0
        await origin.of("/tunnel")[0].over()


def refuses(node: Node) -> bool:
    """Whether a node takes no connections any more."""
    try:
        node.get("/")
    except OSError:
        return True
    return False


async def test_a_worker_that_is_drained_keeps_its_tunnels_meanwhile(
    tmp_path, origin, port, connect
):
    """As long as its time lasts, bytes go on both ways."""
    origin.on("/tunnel", lambda talk: (talk.send(SWITCH), talk.send(talk.until_closed())))
    with proxying(tmp_path, origin, port, "drain: 10s") as node:
        tunnel = await connect(node)
        tunnel.send(get("/raw/tunnel", *UPGRADE))
        assert (await tunnel.read_head())[0] == 101
        for pid in node.pids("worker"):
            os.kill(pid, signal.SIGTERM)
        tunnel.send(b"hello")
        tunnel.half_close()

        assert await tunnel.rest() == b"hello"


# Raw ends


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return "/" + "".join(c if c.isalnum() else "-" for c in request.node.name)


async def test_bytes_behind_101_are_not_lost(node, origin, path, connect):
    """In one segment with it, and in the next."""

    def script(talk: Talk) -> None:
        talk.send(SWITCH + b"first\n", b"second\n")
        talk.send(talk.file.readline())
        talk.close()

    origin.on(path, script)
    client = await connect(node)
    client.send(get(f"/raw{path}", *UPGRADE))
    status, fields = await client.read_head()
    assert (status, fields["upgrade"]) == (101, "chat")
    assert await client.reader.readexactly(13) == b"first\nsecond\n"
    client.send(b"third\n")
    assert await client.rest() == b"third\n"


@pytest.mark.parametrize("early", [get("/raw/secret"), b"\x81\x05hello", b"0\r\n\r\n"], ids=len)
async def test_bytes_before_101_reach_nobody(node, origin, path, early, connect):
    """Neither the origin nor, as a request, this node."""

    def script(talk: Talk) -> None:
        talk.wait()
        talk.send(SWITCH)
        talk.content = talk.until_closed()

    origin.on("/secret", saying(b"secret"))
    origin.on(path, script)
    client = await connect(node)
    client.send(get(f"/raw{path}", *UPGRADE) + early)
    talk = await origin.wait_for(path)
    talk.go.set()
    assert (await client.read_head())[0] == 101
    client.send(b"late")
    client.half_close()

    assert (await talk.over()).content == b"late"
    assert await client.rest() == b""
    assert origin.of("/secret") == []


@pytest.mark.parametrize("status", [200, 426])
async def test_an_upgrade_that_is_refused_leaves_the_connection(
    node, origin, path, status, connect
):
    """What follows is HTTP as before."""
    origin.on(path, saying(b"no", status, "Upgrade: chat", "Connection: Upgrade"))
    client = await connect(node)
    for _ in range(3):
        client.send(get(f"/raw{path}", *UPGRADE))
        assert (await client.read())[::2] == (status, b"no")
        client.send(get("/"))
        assert (await client.read())[2].startswith(b"home")
    assert origin.of(path)[0].fields["upgrade"] == "chat"


REFUSED = {
    "h2c": (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"), "1.1"),
    "unnamed": (("Upgrade: chat",), "1.1"),
    "HTTP/1.0": (UPGRADE, "1.0"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_some_upgrades_are_not_offered_on(node, origin, path, case, connect):
    """Another HTTP would carry requests that nobody judged; others did not ask for one."""
    lines, version = case
    origin.on(path, echo)
    client = await connect(node)
    client.send(get(f"/raw{path}", *lines, version=version))
    content = (await client.read())[2]

    assert b"\nupgrade" not in content
    assert b"\nconnection" not in content
    assert b"\nhttp2-settings" not in content


async def test_half_a_tunnel_may_end_first(node, origin, path, connect):
    """The client's end is told; what the origin still says arrives, to the last byte."""
    size = 8 * MIB

    def script(talk: Talk) -> None:
        talk.send(SWITCH)
        talk.content = talk.until_closed()
        talk.send(bytes(size))
        talk.close()

    origin.on(path, script)
    client = await connect(node)
    client.send(get(f"/raw{path}", *UPGRADE))
    await client.read_head()
    client.send(b"x" * size)
    client.half_close()

    assert await client.rest() == bytes(size)
    assert len(origin.of(path)[0].content) == size


@pytest.mark.parametrize("end", [Talk.close, Talk.reset], ids=["closes", "resets"])
async def test_an_origin_that_ends_ends_the_clients_connection(node, origin, path, end, connect):
    """However it does it."""
    origin.on(path, lambda talk: (talk.send(SWITCH), talk.wait(), end(talk)))
    client = await connect(node)
    client.send(get(f"/raw{path}", *UPGRADE))
    await client.read_head()
    origin.of(path)[0].go.set()

    assert await client.rest() == b""


async def test_a_client_that_goes_away_ends_the_origins_connection(node, origin, path, connect):
    """At once."""
    origin.on(path, lambda talk: (talk.send(SWITCH), talk.until_closed()))
    client = await connect(node)
    client.send(get(f"/raw{path}", *UPGRADE))
    await client.read_head()
    client.reset()

    await origin.of(path)[0].over()


async def test_a_silent_tunnel_ends(tmp_path, origin, port, path, connect):
    """After `limits.tunnel_idle`; one where anything is said lives on."""
    origin.on(path, lambda talk: (talk.send(SWITCH), talk.until_closed()))
    with proxying(tmp_path, origin, port, "tunnel_idle: 1s") as node:
        client = await connect(node)
        client.send(get(f"/raw{path}", *UPGRADE))
        await client.read_head()

        assert await client.rest() == b""
        await origin.of(path)[0].over()
        told = node.admin("GET", "/metrics")[1]
        assert 'edge_refused_total{reason="tunnel_idle"} 1' in told


@pytest.mark.parametrize("way", ["to the client", "to the origin"])
async def test_a_slow_end_of_a_tunnel_stops_the_other(node, origin, path, way, connect):
    """However much there is to say: the worker holds next to nothing of it."""
    sent = []

    def script(talk: Talk) -> None:
        talk.send(SWITCH)
        if way == "to the origin":
            talk.wait()
            talk.content = talk.until_closed()
            return
        for _ in range(128):
            talk.send(bytes(MIB))
            sent.append(MIB)
        talk.close()

    origin.on(path, script)
    client, others = await connect(node), await connect(node)
    with Memory(node.pids("worker")) as memory:
        client.send(get(f"/raw{path}", *UPGRADE))
        await client.read_head()
        if way == "to the origin":
            client.send(bytes(128 * MIB))
        for _ in range(300):
            others.send(get("/"))
            assert (await others.read())[0] == 200
        if way == "to the origin":
            assert client.writer.transport.get_write_buffer_size() > 64 * MIB
            (await origin.wait_for(path)).go.set()
            client.half_close()
            assert await client.rest() == b""
            assert len(origin.of(path)[0].content) == 128 * MIB
        else:
            assert len(sent) < 64
            assert len(await client.rest()) == 128 * MIB

    assert memory.growth < 16 * MIB
