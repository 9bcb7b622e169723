"""
An open loop: requests at a fixed rate, whatever the answers do, and how late those were.

    python bench/pacing.py PORT PATH SIZE RATE SECONDS

Prints one JSON document (`Paced`). The other generators ask again when they have been answered: a
server that stops for a second is not asked in that second, and its worst time counts once
("coordinated omission"). Here request n is due at n/RATE, and its time is counted from then, also
while it waits for one of the connections to be free.

One thread, no loop of asyncio's: it never sleeps, so that nothing but its own work makes it late.
How late it was itself is told, and is in the times of all servers alike.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

from figures import percentile
from processes import HOST
from scenarios import CONNECTIONS

PATIENCE_S = 10.0
"""Seconds after the last request was due in which all may be answered."""

STEP = 16
"""Requests sent in a row before answers are looked for."""


@dataclass(frozen=True, slots=True)
class Paced:
    """What one run saw; times are in seconds."""

    planned: int
    answered: int
    """Fewer than planned where the server was overcome, or gave another answer than a good one."""
    seconds: float
    bytes_read: int
    p50: float
    p99: float
    p999: float
    lag_p99: float
    """How late this generator sent what it could have sent."""
    problem: str = ""
    """What ended it; empty when nothing did."""


class Trouble(Exception):
    """An answer that is none of ours, or a connection that ended."""


class Lane:
    """One connection, with one request on its way at a time."""

    __slots__ = ("due", "free_since", "got", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)  # noqa: FBT003 - its name is its meaning
        self.got = b""
        self.due = self.free_since = 0.0

    def is_whole(self, size: int) -> bool:
        """
        Read what is there; whether the answer has ended.

        Raises:
            Trouble: It is not 200 with `size` bytes, or the connection ended.
        """
        data = self.socket.recv(262_144)
        if not data:
            raise Trouble("a connection was ended")
        got = self.got = self.got + data if self.got else data
        head = got.find(b"\r\n\r\n")
        if head < 0:
            return False
        if len(got) > head + 4 + size or not got.startswith(b"HTTP/1.1 200"):
            raise Trouble(f"not the answer: {got[:80]!r}")
        return len(got) == head + 4 + size


class Pacer:
    """Sends when it is time, and notes when the answers come."""

    def __init__(self, port: int, path: str, size: int, rate: float, seconds: float) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        self.size = size
        self.interval = 1 / rate
        self.planned = max(1, round(rate * seconds))
        self.sent = self.bytes_read = 0
        self.times: list[float] = []
        self.lags: list[float] = []
        self.free = deque(Lane(port) for _ in range(CONNECTIONS))
        self.poll = select.epoll()
        self.lanes = {lane.socket.fileno(): lane for lane in self.free}
        for number in self.lanes:
            self.poll.register(number, select.EPOLLIN)

    def run(self) -> Paced:
        """All of it, until the last answer."""
        began = time.perf_counter()
        given_up = began + self.planned * self.interval + PATIENCE_S
        problem = ""
        try:
            while len(self.times) < self.planned and not problem:
                self.send_due(began)
                if self.take_answers() > given_up:
                    problem = "the server was overcome"
        except (Trouble, OSError) as trouble:
            problem = str(trouble)
        finally:
            self.close()
        return self.outcome(time.perf_counter() - began, problem)

    def send_due(self, began: float) -> None:
        """What is due by now, on connections that are free; a few at a time."""
        now = time.perf_counter()
        for _ in range(STEP):
            due = began + self.sent * self.interval
            if due > now or self.sent == self.planned or not self.free:
                return
            lane = self.free.popleft()
            lane.due = due
            self.lags.append(now - max(due, lane.free_since))
            lane.socket.send(self.request)
            self.sent += 1

    def take_answers(self) -> float:
        """Those that are there; when they were looked for."""
        events = self.poll.poll(0)
        now = time.perf_counter()
        for number, _ in events:
            lane = self.lanes[number]
            if lane.is_whole(self.size):
                self.times.append(now - lane.due)
                self.bytes_read += len(lane.got)
                lane.got = b""
                lane.free_since = now
                self.free.append(lane)
        return now

    def close(self) -> None:
        """Nothing is open afterwards."""
        self.poll.close()
        for lane in self.lanes.values():
            lane.socket.close()

    def outcome(self, seconds: float, problem: str) -> Paced:
        """What is told of it."""
        times, lags = sorted(self.times) or [0.0], self.lags or [0.0]
        p50, p99, p999 = (percentile(times, share) for share in (0.5, 0.99, 0.999))
        return Paced(
            self.planned, len(self.times), seconds, self.bytes_read,
            p50, p99, p999, percentile(lags, 0.99), problem,
        )  # fmt: skip


def main(port: str, path: str, size: str, rate: str, seconds: str) -> None:
    """The other process of `compare.py`."""
    pacer = Pacer(int(port), path, int(size), float(rate), float(seconds))
    gc.disable()  # nothing here makes cycles, and a collection would look like a late answer
    print(json.dumps(asdict(pacer.run())))


if __name__ == "__main__":
    main(*sys.argv[1:])
