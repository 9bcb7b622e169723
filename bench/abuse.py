"""
What honest clients notice of an attack: p50 and p99 calm, and under each kind of it.

    python bench/abuse.py slowloris        5,000 heads that come by a byte
    python bench/abuse.py slow-body        5,000 uploads that do (R-U-Dead-Yet)
    python bench/abuse.py slow-read        5,000 clients that take nothing of a large answer
    python bench/abuse.py rapid-reset      HTTP/2 requests that are taken back, 100,000 a second

Attackers live in a process of their own and come again whenever they are ended. An honest client
asks 200 times a second, on connections that are kept; the node has as many workers as cores. What
the attack takes of the processor is told for both sides: on few cores they take it from each other.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import processes
import servers
from commands import add_command, make_parser, raise_file_limit, run
from node import Admin, memory_of, workers_of
from processes import HOST, NotStarted, Server
from tables import Figure, at_most, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
RATE = 200
"""Requests a second of the honest client."""

ARRIVALS = 500
"""Attackers a second that come at first, so that they are not all ended in the same one."""

BURSTS = 100
"""Connections a second that attack at once, with 1,000 requests each."""

DRIP_SECONDS = 5
"""Between two bytes of a slow attacker."""

LINES = f" / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
SLOW = {
    "slowloris": (b"GET" + LINES + b"X: ", b"x"),
    "slow-body": (b"POST" + LINES + b"Content-Length: 60000\r\n\r\n", b"x"),
    "slow-read": (b"GET" + LINES.replace(b"/", b"/large.bin", 1) + b"\r\n", b""),
}
"""What each connection begins with, and what it sends now and then."""

# The other process


def attack(kind: str, port: int, count: int) -> None:
    """Attack until stdin ends; says `ready` when all have come, and at the end how often."""
    attackers = Attackers(kind, port)
    for number in range(count):
        attackers.come()
        time.sleep(max(0.0, attackers.began + number / ARRIVALS - time.monotonic()))
    print("ready", flush=True)
    with selectors.DefaultSelector() as commands:
        commands.register(sys.stdin, selectors.EVENT_READ)
        while not commands.select(0):
            attackers.go_on()
    print(attackers.ended, time.process_time(), flush=True)


class Attackers:
    """Connections that do no good."""

    def __init__(self, kind: str, port: int) -> None:
        self.kind = kind
        self.port = port
        self.ended = 0
        """Connections that the node has ended."""
        self.began = time.monotonic()
        self.selector = selectors.DefaultSelector()
        self.dripped = time.monotonic()
        self.first, self.drop = SLOW.get(kind, (b"", b""))
        if kind == "rapid-reset":
            self.first = resets(1000)

    def come(self) -> None:
        """One more."""
        made = socket.socket()
        if self.kind == "slow-read":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            made.connect(("127.0.0.1", self.port))
            made.settimeout(0)
            made.send(self.first)
        self.selector.register(made, selectors.EVENT_READ)

    def go_on(self) -> None:
        """See who was ended, and drip."""
        if self.kind != "slow-read":
            for key, _ in self.selector.select(0.05):
                self.hear(key.fileobj)
        else:
            time.sleep(0.05)
        if time.monotonic() - self.dripped > DRIP_SECONDS:
            self.dripped = time.monotonic()
            for key in list(self.selector.get_map().values()):
                self.drip(key.fileobj)

    def hear(self, connection: Any) -> None:
        """What the node says is of no interest, but for its end."""
        try:
            if connection.recv(65_536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.replace(connection)

    def drip(self, connection: Any) -> None:
        """Another byte; of who reads nothing, whether it still may."""
        try:
            if self.drop:
                connection.send(self.drop)
            elif connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01":
                self.replace(connection)
        except BlockingIOError:
            pass
        except OSError:
            self.replace(connection)

    def replace(self, connection: socket.socket) -> None:
        """It was ended: another one comes."""
        self.ended += 1
        if self.kind == "rapid-reset":
            time.sleep(max(0.0, self.began + self.ended / BURSTS - time.monotonic()))
        self.selector.unregister(connection)
        connection.close()
        self.come()


def resets(count: int) -> bytes:
    """The preface, and requests that are taken back at once."""
    pairs = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"))
    block = b"".join(literal(*pair) for pair in (*pairs, (b":authority", HOST.encode())))
    sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, b"")]
    for stream in range(1, 2 * count, 2):
        sent += [frame(1, 5, stream, block), frame(3, 0, stream, b"\0\0\0\x08")]
    return b"".join(sent)


def literal(name: bytes, value: bytes) -> bytes:
    """A field of HPACK that is in no table (RFC 7541 §6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame (RFC 9113 §4.1)."""
    return struct.pack(">HBBBI", 0, len(payload), kind, flags, stream) + payload


# The honest client


def ask(port: int, seconds: float) -> list[float]:
    """Milliseconds of each request, from when it was due: a late one delays no figure."""
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    for number in range(int(seconds * RATE)):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("GET", "/", headers={"Host": HOST})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise NotStarted(f"an honest request was answered with {answer.status}")
        took.append((time.perf_counter() - due) * 1000)
    connection.close()
    return took


def under(kind: str, chosen: argparse.Namespace, work: Path) -> None:
    """One kind of attack, and the calm before it."""
    raise_file_limit(chosen.attackers + 1000)
    server = servers.serve_edge(work, os.cpu_count() or 1, core=None)
    try:
        files = {"index.html": b"hello" * 200, "large.bin": os.urandom(8 * MIB)}
        Admin(server).deploy("bench", "main", files)
        ask(server.port, 1)
        calm, before = ask(server.port, chosen.seconds), memory(server)
        with attacked(kind, server.port, chosen.attackers) as ended:
            spent = processor(server)
            attacked_ms, during = ask(server.port, chosen.seconds), memory(server)
            spent = processor(server) - spent
            times, theirs = ended()
    finally:
        server.stop()
    figures = [
        *percentiles("calm", calm),
        *percentiles("under attack", attacked_ms, 2 * quantiles(calm, n=100)[98]),
        Figure("workers grew by", f"{(during - before) / MIB:,.1f} MiB"),
        Figure("attackers that were ended", f"{times}"),
        Figure("processor: the workers, the attackers", f"{spent:,.2f} s, {theirs} s"),
    ]
    print_table(f"{kind}, {chosen.attackers:,} connections, {chosen.seconds} s", figures)


def percentiles(when: str, took: list[float], most: float | None = None) -> Iterator[Figure]:
    """The middle, and the hundredth that waits longest."""
    cuts = quantiles(took, n=100)
    yield Figure(f"{when}: p50", f"{cuts[49]:.2f} ms")
    if most is None:
        yield Figure(f"{when}: p99", f"{cuts[98]:.2f} ms")
    else:
        yield at_most(f"{when}: p99", cuts[98], round(most, 2), "ms")


def memory(server: Server) -> int:
    """Bytes of all workers."""
    return sum(memory_of(pid)[1] for pid in workers_of(server))


def processor(server: Server) -> float:
    """Seconds that the node's processes have had of one."""
    return processes.cpu_seconds(server.process.pid)


@contextlib.contextmanager
def attacked(kind: str, port: int, count: int) -> Iterator[Any]:
    """An attack, until the block ends; gives a function that ends it: how often, what it took."""
    command = [sys.executable, __file__, "attack", kind, str(port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        if one.stdout.readline().strip() != "ready":
            raise NotStarted("the attackers could not come")

        def ended() -> list[str]:
            assert one.stdin
            assert one.stdout
            one.stdin.close()
            return one.stdout.readline().split()

        try:
            yield ended
        finally:
            one.terminate()


# The command


def slowloris(chosen: argparse.Namespace, work: Path) -> None:
    """Heads that come by a byte."""
    under("slowloris", chosen, work)


def slow_body(chosen: argparse.Namespace, work: Path) -> None:
    """Uploads that come by a byte (R-U-Dead-Yet)."""
    under("slow-body", chosen, work)


def slow_read(chosen: argparse.Namespace, work: Path) -> None:
    """Clients that take nothing of 8 MiB."""
    under("slow-read", chosen, work)


def rapid_reset(chosen: argparse.Namespace, work: Path) -> None:
    """HTTP/2 requests that are taken back, 1,000 a connection."""
    under("rapid-reset", chosen, work)


def main() -> int:
    """0 when everything could be measured, whatever the figures."""
    parser, commands = make_parser(__doc__)
    for function in (slowloris, slow_body, slow_read):
        name = function.__name__.replace("_", "-")
        add_command(commands, name, function, attackers=5_000, seconds=30)
    add_command(commands, "rapid-reset", rapid_reset, attackers=8, seconds=10)
    other = commands.add_parser("attack", help="(the other process)")
    for name, kind in (("kind", str), ("port", int), ("count", int)):
        other.add_argument(name, type=kind)
    chosen = parser.parse_args()
    if chosen.command == "attack":
        attack(chosen.kind, chosen.port, chosen.count)
        return 0
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main())
