"""Reloads that change one app while another serves: what did not change is not touched."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import resource
import signal

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.support import eventually, free_port, running, write_tree

RELOADS = int(os.environ.get("EDGE_RELOADS", "60"))
"""By hand 1,000."""

SOCKETS, UPLOADS = 500, 50
PACE = 0.5
"""Seconds between two messages of a WebSocket, and ten pieces of an upload."""

SETTINGS = 'proxy: {{allow: ["127.0.0.1:{port}"]}}\nlimits: {{origin_connections: 1000}}\n'


@pytest.fixture
def descriptors():
    """Room for both ends of every connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def origin():
    """A server that nobody here wrote: it echoes, counts bytes, and answers once for all."""
    asked = []

    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def take(request):
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        return web.Response(text=str(size))

    async def answer(request):
        asked.append(request.path)
        return web.Response(text="stored", headers={"Cache-Control": "max-age=6000"})

    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/echo", echo), web.post("/take", take), web.get("/answer", answer)])
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    yield port, asked
    await runner.cleanup()


def write_probe(folder, number):
    """The rule of app B that tells one reload from another."""
    rule = {"source": "/probe", "target": f"/n-{number}", "status": "302"}
    (folder / "rules/b/redirects.json").write_text(json.dumps([rule]))


@pytest.fixture
def node(tmp_path, origin, descriptors):
    """Apps A, which leads to the origin, and B, whose rules change; two workers."""
    with serving(tmp_path, origin[0]) as found:
        yield found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same without an origin, for several tests."""
    with serving(tmp_path_factory.mktemp("plain"), free_port()) as found:
        yield found


@contextlib.contextmanager
def serving(folder, port):
    """Apps A and B, deployed."""
    rules = [{"source": "/o/<*>", "target": f"http://127.0.0.1:{port}/<*>", "status": "200"}]
    files = {
        "rules/a/app.yml": "domains: {a.test: {subdomains: {'': main}}}\n",
        "rules/a/redirects.json": json.dumps(rules),
        "rules/b/app.yml": "domains: {b.test: {subdomains: {'': main}}}\n",
    }
    write_tree(folder / "node", files)
    write_probe(folder / "node", 0)
    with running(folder / "node", settings=SETTINGS.format(port=port)) as found:
        site = write_tree(folder / "site", {"index.html": "<p>" + "a file " * 200})
        for app in ("a", "b"):
            found.deploy(site, app)
        yield found


class Clients:
    """Those of app A, each at work until it is told to stop."""

    def __init__(self, node) -> None:
        self.url = f"http://127.0.0.1:{node.port}"
        self.stopping = asyncio.Event()
        self.open = 0
        self.messages = 0
        self.uploads = 0

    async def talk(self, session):
        """A WebSocket: one message after another, each must come back."""
        async with session.ws_connect(f"{self.url}/o/echo") as socket:
            self.open += 1
            number = 0
            while not self.stopping.is_set():
                number += 1
                await socket.send_str(str(number))
                message = await socket.receive(30)
                assert (message.type, message.data) == (WSMsgType.TEXT, str(number))
                self.messages += 1
                await self.pause(PACE)

    async def send(self, session):
        """An upload that ends when the reloads have: every byte must have come to the origin."""
        sent = 0

        async def pieces():
            nonlocal sent
            while not self.stopping.is_set():
                sent += 1000
                yield b"x" * 1000
                await self.pause(PACE / 10)

        self.open += 1
        async with session.post(f"{self.url}/o/take", data=pieces()) as response:
            assert (response.status, await response.text()) == (200, str(sent))
        self.uploads += 1

    async def pause(self, seconds):
        """Until it is time, or over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)


def ask(node, host, path):
    """One request on a connection of its own, at whichever worker takes it."""
    status, fields, _ = node.get(path, host=host, Connection="close")
    return status, fields


def is_hit(fields):
    """Whether an answer came from a store."""
    return "; hit" in fields["Cache-Status"]


async def test_what_did_not_change_is_not_touched(node, origin):
    """500 WebSockets and 50 uploads of A through reloads that change B: nothing is dropped."""
    clients = Clients(node)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Host": "a.test"}) as session:
        tasks = [asyncio.create_task(clients.talk(session)) for _ in range(SOCKETS)]  # noqa: TID251
        tasks += [asyncio.create_task(clients.send(session)) for _ in range(UPLOADS)]  # noqa: TID251
        while clients.open < SOCKETS + UPLOADS:
            assert not any(task.done() for task in tasks)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(warm, node)
        reloaded = await asyncio.to_thread(reload_often, node)
        broken = [task for task in tasks if task.done()]
        clients.stopping.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    assert broken == []
    assert (reloaded, clients.uploads) == (RELOADS, UPLOADS)
    assert clients.messages >= SOCKETS
    assert origin[1] == ["/answer"]


def warm(node):
    """Both workers have A's file and the origin's answer."""
    for path in ("/", "/o/answer"):
        eventually(lambda p=path: all(is_hit(ask(node, "a.test", p)[1]) for _ in range(12)))


def reload_often(node):
    """Change B and reload, again and again; what is answered is told by its number."""
    for number in range(1, RELOADS + 1):
        write_probe(node.folder, number)
        status, document = node.admin("POST", "/v1/reload")
        assert (status, document["changed"]) == (200, ["b"])
        for _ in range(3):
            status, fields = ask(node, "b.test", "/probe")
            assert (status, fields["Location"]) == (302, f"/n-{number}")
        for path in ("/", "/o/answer"):
            status, fields = ask(node, "a.test", path)
            assert (status, is_hit(fields)) == (200, True)
    return number


def test_sighup_with_a_mistake_changes_nothing_but_the_log(plain):
    """The mistake is logged with its place; mended, the next SIGHUP takes it."""
    rules = plain.folder / "rules/b/redirects.json"
    rules.write_text('[{"source": "/probe"}]')
    plain.process.send_signal(signal.SIGHUP)
    eventually(lambda: "rules/b/redirects.json:1:2: [0].target" in plain.log.read_text())
    assert ask(plain, "b.test", "/probe")[1]["Location"] == "/n-0"

    config = plain.folder / "edge.yml"
    written = config.read_text()
    config.write_text(written + "nope: 1\n")
    write_probe(plain.folder, 1)
    plain.process.send_signal(signal.SIGHUP)
    eventually(lambda: "unknown key 'nope'" in plain.log.read_text())
    assert ask(plain, "b.test", "/probe")[1]["Location"] == "/n-0"

    config.write_text(written)
    plain.process.send_signal(signal.SIGHUP)
    eventually(lambda: ask(plain, "b.test", "/probe")[1]["Location"] == "/n-1")


def test_a_connection_that_was_open_sees_the_reload(plain):
    """It is kept, and its next request is answered by what is new."""
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=30)
    with contextlib.closing(connection):
        for number in range(1, 6):
            write_probe(plain.folder, number)
            assert plain.admin("POST", "/v1/reload")[0] == 200
            connection.request("GET", "/probe", headers={"Host": "b.test"})
            response = connection.getresponse()
            response.read()
            assert response.headers["Location"] == f"/n-{number}"
            assert not response.will_close
