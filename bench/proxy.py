"""
What the reverse proxy promises, beside its rates (those are in `compare.py`).

    python bench/proxy.py cold                1,000 clients ask for one cold URL: one goes through
    python bench/proxy.py stream              10 GiB from an origin to a client: memory of workers
    python bench/proxy.py websockets          1,000 WebSockets to an echo: times of the round trips
    python bench/proxy.py stream --mib 100    the same, small: does it work at all?

Origin and clients are in this process. Everything that is written lies in a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import http.server
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import gateways
import node
import processes
import uvloop
from aiohttp import ClientError, ClientSession, TCPConnector, web
from commands import add_command, make_parser, raise_file_limit, run
from figures import percentile
from processes import GENERATOR_CORE, HOST, NotStarted
from tables import Figure, at_most, exactly, print_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from processes import Server

KIB, MIB = 1 << 10, 1 << 20

# One cold URL

CONTENT = random.Random(1_000).randbytes(KIB)

STORABLE = (
    b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(CONTENT)
)


@dataclass(slots=True)
class SlowOrigin:
    """Answers everything alike, `delay_s` after it was asked, and counts by path."""

    delay_s: float
    asked: Counter[str] = field(default_factory=Counter)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side ends it."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), writer_of(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked[head.split(b" ", 2)[1].decode()] += 1
                await asyncio.sleep(self.delay_s)
                writer.write(STORABLE + CONTENT)
                if b"\r\nconnection: close\r\n" in head.lower():
                    break


@contextlib.contextmanager
def writer_of(writer: asyncio.StreamWriter) -> Iterator[None]:
    """A connection that is closed with the block."""
    try:
        yield
    finally:
        writer.close()


def cold(chosen: argparse.Namespace, work: Path) -> None:
    """How many of many clients that ask for one cold URL at once get through to the origin."""
    raise_file_limit(chosen.clients * 2 + 1_000)
    for workers in (1, 2):
        folder = work / str(workers)
        folder.mkdir()
        figures = uvloop.run(stampedes(chosen, folder, workers))
        print_table(f"{chosen.clients:,} clients of a cold URL, workers: {workers}", figures)


async def stampedes(chosen: argparse.Namespace, work: Path, workers: int) -> list[Figure]:
    """Several cold URLs, one after another, at a node of its own."""
    origin = SlowOrigin(chosen.delay / 1_000)
    times, whole = [], []
    async with forwarding(origin, work, workers) as port:
        for number in range(chosen.urls):
            began = time.monotonic()
            answers = await stampede(port, f"/cold-{number}", chosen.clients)
            times.append(time.monotonic() - began)
            whole.append(sum(is_whole(answer) for answer in answers))
    most = max(origin.asked.values(), default=0)
    return [
        exactly(f"requests that the origin got, most of {chosen.urls} URLs", most, 1),
        exactly("clients with the whole answer, fewest", min(whole), chosen.clients),
        Figure(f"until all had it (the origin waits {chosen.delay} ms)", f"{max(times):,.2f} s"),
    ]


@contextlib.asynccontextmanager
async def forwarding(origin: SlowOrigin, work: Path, workers: int) -> AsyncIterator[int]:
    """The port of a node in front of the origin."""
    async with await asyncio.start_server(origin.converse, "127.0.0.1", 0, backlog=4_096) as side:
        port = side.sockets[0].getsockname()[1]
        server = await asyncio.to_thread(gateways.serve_edge, port, work, workers, None)
        try:
            yield server.port
        finally:
            await asyncio.to_thread(server.stop)


async def stampede(port: int, path: str, clients: int) -> list[bytes]:
    """What each client reads; nobody asks before everybody is connected."""
    ready = asyncio.Barrier(clients)
    return await asyncio.gather(*(ask(port, path, ready) for _ in range(clients)))


async def ask(port: int, path: str, ready: asyncio.Barrier) -> bytes:
    """One client; what it has read when the connection ends or nothing comes any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with writer_of(writer):
        await ready.wait()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(60):
                return await reader.read()
    return b""


def is_whole(answer: bytes) -> bool:
    """Whether it is the origin's."""
    return answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n" + CONTENT)


# A long answer

BLOCK = bytes(MIB)

FLAT = 16
"""MiB by which a worker may grow, whatever passes through it."""


class Spring(http.server.BaseHTTPRequestHandler):
    """Answers `/KIND/MIB` with so many MiB, which may be stored when the kind says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One answer."""
        _, kind, blocks = self.path.split("/")
        self.send_response(200)
        self.send_header("Content-Length", str(int(blocks) * MIB))
        self.send_header(
            "Cache-Control", "no-store" if kind == "private" else "public, max-age=600"
        )
        self.end_headers()
        for _ in range(int(blocks)):
            self.wfile.write(BLOCK)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def stream(chosen: argparse.Namespace, work: Path) -> None:
    """What a long answer does to the memory of workers; one that may be stored, and one not."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spring) as spring:
        threading.Thread(target=spring.serve_forever, daemon=True).start()
        server = gateways.serve_edge(spring.server_port, work, chosen.workers, core=None)
        try:
            workers = node.workers_of(server)
            for kind in ("private", "public"):
                figures = list(streamed(server.port, workers, kind, chosen.mib))
                print_table(f"{chosen.mib:,} MiB, Cache-Control: {kind}", figures)
        finally:
            server.stop()
            spring.shutdown()


def streamed(port: int, workers: list[int], kind: str, mib: int) -> Iterator[Figure]:
    """The workers' memory before and at its highest; the kernel keeps the latter."""
    before = [node.memory_of(pid)[1] / MIB for pid in workers]
    for pid in workers:
        node.forget_peak(pid)
    began = time.monotonic()
    drain(port, f"/{kind}/{mib}", mib * MIB)
    took = time.monotonic() - began
    peaks = [node.peak_of(pid) / MIB for pid in workers]
    for number, (early, peak) in enumerate(zip(before, peaks, strict=True), 1):
        yield Figure(f"worker {number}: RSS before", f"{early:,.2f} MiB")
        yield Figure(f"worker {number}: RSS at most", f"{peak:,.2f} MiB")
        yield at_most(f"worker {number}: grown by", peak - early, FLAT, "MiB")
    yield Figure("rate", f"{mib / took:,.0f} MiB/s")


def drain(port: int, path: str, size: int) -> None:
    """
    Read one answer to its end, and keep nothing of it.

    Raises:
        NotStarted: It is not 200, or has not `size` bytes.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": HOST})
        response, buffer, got = connection.getresponse(), bytearray(MIB), 0
        while count := response.readinto(buffer):
            got += count
    if response.status != 200 or got != size:
        raise NotStarted(f"{path}: status {response.status}, {got:,} of {size:,} bytes")


# Many WebSockets

MESSAGE = "x" * 64


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Says what it hears."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


def websockets(chosen: argparse.Namespace, work: Path) -> None:
    """How long messages take through many WebSockets to an echo and back."""
    raise_file_limit(chosen.connections * 2 + 1_000)
    uvloop.run(through_tunnels(chosen, work))


async def through_tunnels(chosen: argparse.Namespace, work: Path) -> None:
    """
    First with nothing between, then nginx, then the node: what this process and the machine add.

    Each of the two has the servers' core, this process the generator's.
    """
    os.sched_setaffinity(0, {GENERATOR_CORE})
    limits = f"origin_connections: {chosen.connections * 2}"
    async with echoing() as port:
        figures = list(trip_figures("nothing", await round_trips(port, chosen)))
        if not processes.missing_tools("nginx"):
            figures += await measured(partial(gateways.serve_nginx_tunnels, port, work), chosen)
        core = processes.SERVER_CORE
        start = partial(gateways.serve_edge, port, work, chosen.workers, core, limits)
        figures += await measured(start, chosen, limit_ms=20)
    title = f"{chosen.connections:,} WebSockets, {chosen.messages} messages each, {chosen.rate}/s"
    print_table(title, figures)


async def measured(
    start: Callable[[], Server], chosen: argparse.Namespace, limit_ms: float | None = None
) -> list[Figure]:
    """The figures of one server, which ends with them, and how busy it was."""
    server = await asyncio.to_thread(start)
    try:
        used, began = processes.cpu_seconds(server.process.pid), time.monotonic()
        times = await round_trips(server.port, chosen)
        used, took = processes.cpu_seconds(server.process.pid) - used, time.monotonic() - began
    finally:
        await asyncio.to_thread(server.stop)
    busy = Figure(f"through {server.name}: busy", f"{used / took:.0%}")
    return [*trip_figures(server.name, times, limit_ms), busy]


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """The port of an echo."""
    application = web.Application()
    application.router.add_get("/echo", echo)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    side = web.TCPSite(runner, "127.0.0.1", 0, backlog=4_096)
    await side.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def round_trips(port: int, chosen: argparse.Namespace) -> list[float]:
    """Seconds of every message, over all connections, once all are open."""
    ready = asyncio.Barrier(chosen.connections)
    async with ClientSession(headers={"Host": HOST}, connector=TCPConnector(limit=0)) as session:
        talks = (talk(session, port, ready, chosen, n) for n in range(chosen.connections))
        try:
            return [seconds for each in await asyncio.gather(*talks) for seconds in each]
        except (ClientError, TypeError) as problem:  # the latter for what is no message
            raise NotStarted(f"a WebSocket broke: {problem}") from problem


async def talk(
    session: ClientSession,
    port: int,
    ready: asyncio.Barrier,
    chosen: argparse.Namespace,
    number: int,
) -> list[float]:
    """One connection: a message whenever its turn comes, and the times until it came back."""
    times = []
    async with session.ws_connect(f"http://127.0.0.1:{port}/echo") as socket:
        await ready.wait()
        turn = time.monotonic() + number / chosen.connections / chosen.rate
        for _ in range(chosen.messages):
            await asyncio.sleep(turn - time.monotonic())
            began = time.perf_counter()
            await socket.send_str(MESSAGE)
            if await socket.receive_str() != MESSAGE:
                raise NotStarted("an echo said something else")
            times.append(time.perf_counter() - began)
            turn += 1 / chosen.rate
    return times


def trip_figures(where: str, times: list[float], limit_ms: float | None = None) -> Iterator[Figure]:
    """Number, median, 99th percentile and longest of the round trips."""
    p50, p99 = (percentile(times, share) * 1_000 for share in (0.5, 0.99))
    yield Figure(f"through {where}: messages", f"{len(times):,}")
    yield Figure(f"through {where}: p50", f"{p50:,.2f} ms")
    what = f"through {where}: p99"
    yield at_most(what, p99, limit_ms, "ms") if limit_ms else Figure(what, f"{p99:,.2f} ms")
    yield Figure(f"through {where}: longest", f"{max(times) * 1_000:,.2f} ms")


# The command


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser, commands = make_parser(__doc__)
    add_command(commands, "cold", cold, clients=1_000, urls=3, delay=1_000)
    add_command(commands, "stream", stream, mib=10_240, workers=2)
    add_command(
        commands, "websockets", websockets, connections=1_000, messages=10, rate=1, workers=1
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(parse_arguments()))
