"""
A node of two workers whose answers are stored, clients of either worker, and what is said to them.

An origin's answers, and the lines of a request, are written in one line: `304 | ETag: "a"`, parts
separated by ` | `. A number in front is the status, `> text` the content (without it the content
is which of the requests it answers, from 1), and `@n` the date n seconds from now.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from edge.http.fields import format_http_date
from tests.support import Node, eventually, free_port, running, write_tree
from tests.support_origin import Origin, Script, Talk, originating
from tests.support_sockets import holder, inode_of
from tests.support_wire import Client, until

ORDERS = {"AB": "a.test", "BA": "b.test"}
"""Which worker is asked first, and by which host: the same URLs, but keys of their own."""

CLIENT = "127.0.0.2"
"""Where clients are, unless a test says otherwise: origins are at 127.0.0.1."""

PROXY = "127.0.0.9"
"""A trusted proxy's address."""

MORTALS = 24
"""Ports where an origin can be born and die, each for one test: failures are remembered."""

LOOKS, LOOK_EVERY_S = 600, 0.05
"""After so many, what should have happened has not; a connection ends with its thousandth."""

RELATIVE = re.compile(r"@(-?[0-9]+)")
OWN = re.compile(r"edge(?:; |$)")
TTL = re.compile(r"; ttl=(-?[0-9]+)")


# The language


def lines_of(text: str) -> list[str]:
    """Field lines as a test writes them."""
    now = int(time.time())
    dated = RELATIVE.sub(lambda found: format_http_date(now + int(found[1])).decode(), text)
    return [part.strip() for part in dated.split(" | ") if part.strip()]


def say(talk: Talk, text: str, number: int = 1) -> None:
    """Answer as a test has written it."""
    lines = lines_of(text)
    status = int(lines.pop(0)) if lines and lines[0].isdigit() else 200
    content = b"%d" % number
    for line in [line for line in lines if line.startswith(">")]:
        lines.remove(line)
        content = line[1:].strip().encode()
    names = {line.partition(":")[0].lower() for line in lines}
    if status in (204, 304):
        content = b""
    elif not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(content)}")
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode("latin-1")
    talk.send(head + (b"" if talk.method == "HEAD" else content))


class Answer:
    """What a client got."""

    def __init__(self, status: int, lines: list[tuple[str, str]], content: bytes = b"") -> None:
        self.status = status
        self.lines = lines
        """Names in lower case."""
        self.content = content

    def get(self, name: str) -> str | None:
        """A field's value, lines joined; None without any."""
        values = [value for each, value in self.lines if each == name]
        return ", ".join(values) if values else None

    @property
    def handling(self) -> str:
        """The last member of Cache-Status, which must be ours, without our name and `ttl`."""
        own = [value for name, value in self.lines if name == "cache-status"][-1]
        assert OWN.match(own), own
        return TTL.sub("", own).removeprefix("edge; ")

    @property
    def ttl(self) -> int | None:
        """What Cache-Status says of it."""
        found = TTL.search(self.get("cache-status") or "")
        return None if found is None else int(found[1])

    @property
    def age(self) -> int:
        """Its Age."""
        return int(self.get("age") or "")

    @property
    def short(self) -> tuple[int, bytes, str]:
        """Status, content, and what was done for it."""
        return self.status, self.content, self.handling


def about(value: int | None, expected: int) -> bool:
    """Whether a time that runs down is what it should be, on a machine that may be slow."""
    return value is not None and expected - 30 <= value <= expected + 2


# Clients


class Visitor:
    """A client's connection to one worker."""

    def __init__(self, client: Client, host: str) -> None:
        self.client = client
        self.host = host

    def send(
        self, target: str, request: str = "", method: str = "GET", content: bytes = b""
    ) -> None:
        """Ask without waiting."""
        lines = lines_of(request)
        if not any(line.lower().startswith("host:") for line in lines):
            lines.insert(0, f"Host: {self.host}")
        if content:
            lines.append(f"Content-Length: {len(content)}")
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        self.client.send(head.encode() + content)

    async def head(self) -> Answer:
        """Status and fields of the next response."""
        block = (await self.client.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = block.split("\r\n")[:-2]
        pairs = [line.split(": ", 1) for line in lines]
        return Answer(int(first.split(" ")[1]), [(name.lower(), value) for name, value in pairs])

    async def piece(self, size: int) -> bytes:
        """So many bytes as they come over the connection."""
        return await self.client.reader.readexactly(size)

    async def chunk(self) -> bytes:
        """One chunk of content; empty at the end."""
        size = int((await self.client.reader.readuntil(b"\r\n"))[:-2], 16)
        return (await self.client.reader.readexactly(size + 2))[:-2]

    async def read(self, method: str = "GET") -> Answer:
        """
        The next response.

        Raises:
            IncompleteReadError: it breaks off.
        """
        answer = await self.head()
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.get("transfer-encoding") == "chunked":
            while chunk := await self.chunk():
                answer.content += chunk
        else:
            answer.content = await self.piece(int(answer.get("content-length") or "0"))
        return answer

    async def ask(
        self, target: str, request: str = "", method: str = "GET", content: bytes = b""
    ) -> Answer:
        """A request and its response."""
        self.send(target, request, method, content)
        return await self.read(method)


def worker_of(node: Node, client: tuple[str, int]) -> int | None:
    """The worker that has a client's connection; None until one took it."""
    inode = inode_of(node.port, client)
    return holder(node.pids("worker"), inode) if inode else None


# Nodes


class Stage:
    """A node between clients and origins."""

    def __init__(self, node: Node, origin: Origin, other: Origin, ports: list[int]) -> None:
        self.node = node
        self.origin = origin
        self.other = other
        self.ports = ports
        """Where nobody listens yet; `/m<number>/` leads there."""
        self._used = 0

    def mortal(self) -> tuple[str, int]:
        """The path prefix and the port of an origin that is to be born."""
        number, self._used = self._used, self._used + 1
        return f"/m{number}", self.ports[number]


CHOICES = {
    "site": ("a.test", "b.test", "{}"),
    "chosen": ("c.test", "d.test", "{query: [page, q], cookies: [lang, theme]}"),
    "none": ("e.test", "f.test", "{query: none, cookies: all}"),
}
"""Apps: their hosts, and what tells their answers apart."""


@contextlib.contextmanager
def staged(folder: Path, cache: str = "{}", more: str = "") -> Iterator[Stage]:
    """A node of two workers with its origins."""
    with originating() as origin, originating() as other:
        ports = [free_port() for _ in range(MORTALS)]
        allowed = [f'"127.0.0.1:{port}"' for port in (*ports, origin.port, other.port)]
        to = f"http://127.0.0.1:{origin.port}/<*>"
        targets: dict[str, object] = {
            f"/m{number}/<*>": f"http://127.0.0.1:{port}/<*>" for number, port in enumerate(ports)
        }
        targets["/two/<*>"] = [to, f"http://127.0.0.1:{other.port}/<*>"]
        targets["/o/<*>"] = to
        rules = [
            {"source": source, "target": target, "status": "200"}
            for source, target in targets.items()
        ]
        for app, (first, second, choice) in CHOICES.items():
            domains = (
                f"{{{first}: {{subdomains: {{'': main}}}}, {second}: {{subdomains: {{'': main}}}}}}"
            )
            files = {
                "app.yml": f"domains: {domains}\ncache: {choice}\n",
                "redirects.json": json.dumps(rules),
            }
            write_tree(folder / "rules" / app, files)
        settings = (
            f"proxy: {{allow: [{', '.join(allowed)}]}}\ncache: {cache}\n"
            f"clients: {{trusted_proxies: [{PROXY}/32]}}\n{more}"
        )
        with running(folder, workers=2, settings=settings) as node:
            eventually(lambda: len(node.pids("worker")) == 2)
            tree = write_tree(folder / "files", {"index.html": "home", "here.txt": "a file"})
            for app in CHOICES:
                node.deploy(tree, app)
            yield Stage(node, origin, other, ports)


class Scene:
    """One test on a stage: a path, a host, and a client of each worker, who speak in turn."""

    def __init__(self, stage: Stage, path: str, order: str) -> None:
        self.stage = stage
        self.node = stage.node
        self.origin = stage.origin
        self.path = path
        self.order = order
        self.host = ORDERS[order]
        self.visitors: list[Visitor] = []
        """Of the worker that is asked first, and of the other."""
        self._turn = 0
        self._opened: list[Client] = []

    # Clients

    async def connect(self, address: str = CLIENT, host: str = "") -> tuple[Visitor, int | None]:
        """A new connection, and which worker has it."""
        client = Client(
            *await asyncio.open_connection("127.0.0.1", self.node.port, local_addr=(address, 0))
        )
        self._opened.append(client)
        name = client.writer.get_extra_info("sockname")
        pid = await until(lambda: worker_of(self.node, name))
        return Visitor(client, host or self.host), pid

    async def visitor(self, pid: int, address: str = CLIENT, host: str = "") -> Visitor:
        """A client of a certain worker."""
        for _ in range(200):
            visitor, found = await self.connect(address, host)
            if found == pid:
                return visitor
            self._opened.pop().writer.transport.abort()
        raise AssertionError("one worker takes no connections")

    def pids(self) -> list[int]:
        """The workers, who is asked first first."""
        pids = self.node.pids("worker")
        assert len(pids) == 2, pids
        return pids if self.order == "AB" else pids[::-1]

    async def pair(self, address: str = CLIENT, host: str = "") -> list[Visitor]:
        """A client of each worker."""
        return [await self.visitor(pid, address, host) for pid in self.pids()]

    async def open(self) -> None:
        """Have a client of each worker, once there are two again."""
        await until(lambda: len(self.node.pids("worker")) == 2)
        self.visitors = await self.pair()

    def close(self) -> None:
        """Nobody asks any more."""
        for client in self._opened:
            client.writer.transport.abort()

    async def ask(
        self, request: str = "", method: str = "GET", query: str = "", way: str = "/o",
        content: bytes = b"",
    ) -> Answer:  # fmt: skip
        """Ask for the path, each time by the other worker."""
        visitor = self.visitors[self._turn % 2]
        self._turn += 1
        return await visitor.ask(f"{way}{self.path}{query}", request, method, content)

    async def settle(self, name: str, value: str) -> None:
        """Wait until every worker answers with such a field: copies go a little later."""
        for visitor in self.visitors:
            for _ in range(LOOKS):
                if (await visitor.ask(f"/o{self.path}")).get(name) == value:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                raise AssertionError("a worker keeps what has been replaced")

    # The origin

    def answers(self, *replies: str, path: str = "") -> None:
        """What the origin answers to the first request, the second, and all after the last."""
        self.on(self.saying(*replies, path=path), path)

    def on(self, script: Script, path: str = "") -> None:
        """What the path does from now on."""
        self.origin.on(self.path + path, script)

    def saying(self, *replies: str, path: str = "") -> Script:
        """A script of answers."""
        before = len(self.asked(path))

        def script(talk: Talk) -> None:
            talk.read()
            number = self.asked(path).index(talk)
            say(talk, replies[min(number - before, len(replies) - 1)], number + 1)

        return script

    def asked(self, path: str = "") -> list[Talk]:
        """The requests that came of this test, those for the host alone."""
        talks = self.origin.of(self.path + path)
        return [
            talk for talk in talks if talk.fields["x-forwarded-host"].split(":")[0] == self.host
        ]

    @property
    def count(self) -> int:
        """How many those are."""
        return len(self.asked())


@contextlib.asynccontextmanager
async def on_scene(stage: Stage, path: str, order: str) -> AsyncIterator[Scene]:
    """A scene with a client of each worker."""
    scene = Scene(stage, path, order)
    try:
        await scene.open()
        yield scene
    finally:
        scene.close()
