"""
Tables of requests over raw sockets: what is sent, how it is cut, what may come back.

Every case is sent in every manner (`MANNERS`), and in each of them the same has to follow: so many
answers with these statuses, and a connection that ends or does not. Whether it ended is asked with
one more request, never with a clock: `LAST` says `close`, so each connection has an end to read to.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

HOST = b"Host: a.test\r\n"
GOOD = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
"""A request of a file, whose field lines and request line the node soon knows by heart."""

LAST = b"GET /behind.txt HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
"""What a smuggler puts behind a case: answered, if and only if the connection goes on."""

ECHO = b"/o/echo"
"""In a case: a path of the origin, which answers with the content that it got."""

PATIENCE_S = 20.0
AT_ONCE = 24
"""Connections at the same time."""

UNSURE = re.compile(rb"(?i)\r\n(?:transfer-encoding:[ \t]*chunked|expect: 100-continue)")
"""Content of which it is not known before it came how long it is, or whether it comes at all."""

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n]*\Z")


class Case(NamedTuple):
    """What is sent, and what has to follow from it by the RFC."""

    sent: bytes
    statuses: tuple[int, ...]
    """Of the final answers to it, in order."""
    source: str
    """Section of the RFC, and why, where that leaves a choice."""
    closes: bool = False
    content: bytes | None = None
    """Of the request, as its framing says; None where it has none, or is refused."""
    is_begun: bool = False
    """Whether its head is good, so that an origin may have seen that much of it."""


def served(
    sent: bytes,
    source: str,
    status: int = 200,
    content: bytes | None = None,
    *,
    closes: bool = False,
) -> Case:
    """A request that is understood; the connection goes on unless it `closes`."""
    return Case(sent, (status,), source, closes, content)


def refused(sent: bytes, source: str, status: int = 400) -> Case:
    """A head that is refused: one answer, and the end of the connection."""
    return Case(sent, (status,), source, closes=True)


def declined(sent: bytes, source: str, status: int = 400) -> Case:
    """A request that is framed without doubt and means nothing: the connection goes on."""
    return Case(sent, (status,), source)


def broken(sent: bytes, source: str, status: int = 400) -> Case:
    """A good head whose content is not what it should be: one answer, and the end."""
    return Case(sent, (status,), source, closes=True, is_begun=True)


def at_a_file(case: Case) -> Case:
    """
    The same request for a file, which is answered (405) before its content is read.

    Content in chunks is not read past, nor is what a client may not send (RFC 9112 §9.6: the
    connection ends instead).
    """
    sent = case.sent.replace(ECHO, b"/", 1)
    if case.statuses[0] not in {200, 413} and not case.is_begun:
        return case._replace(sent=sent)
    closes = case.closes or UNSURE.search(sent.partition(b"\r\n\r\n")[0] + b"\r\n") is not None
    statuses = (405,) if closes else (405, *case.statuses[1:])
    return Case(sent, statuses, case.source, closes)


# Building requests


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with a good Host and these field lines."""
    return b"GET " + target + b" " + version + b"\r\n" + HOST + _joined(lines) + b"\r\n"


def post(*lines: bytes, content: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """A POST to the origin, with a good Host, these field lines and this content."""
    head = b"POST " + ECHO + b" " + version + b"\r\n" + HOST + _joined(lines) + b"\r\n"
    return head + content


def chunked(content: bytes, *lines: bytes) -> bytes:
    """A POST in chunks, which are written out in `content`."""
    return post(b"Transfer-Encoding: chunked", *lines, content=content)


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


# One connection


class Reply(NamedTuple):
    """A response as it was read."""

    status: int
    fields: dict[bytes, bytes]
    content: bytes


class Wire:
    """A raw connection, and the responses that came on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""
        self.has_ended = False
        self.bodyless: set[int] = set()
        """Positions of the final answers that have no content, because they answer HEAD."""

    async def send(self, data: bytes) -> None:
        """Write; a server that has gone is seen by the reader."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    async def drip(self, data: bytes, size: int) -> None:
        """Write in pieces, each its own segment."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(0)

    async def read(self, count: int) -> None:
        """Until so many final answers are there, or the connection has ended."""
        while not self.has_ended and len(self.finals()) < count:
            await self._more()

    async def read_to_end(self) -> None:
        """Until the connection has ended."""
        while not self.has_ended:
            await self._more()

    async def _more(self) -> None:
        try:
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE_S)
        except ConnectionResetError:
            self.received += b"(reset)"  # no answer parses with it
            data = b""
        self.received += data
        self.has_ended = not data

    def finals(self) -> list[Reply]:
        """The final answers so far that are whole."""
        return [reply for reply in self.replies() if reply.status >= 200]

    def replies(self) -> list[Reply]:
        """The answers so far that are whole, interim ones among them."""
        found, position, finals = [], 0, 0
        while reply := self._reply(position, has_content=finals not in self.bodyless):
            parsed, position = reply
            found.append(parsed)
            finals += parsed.status >= 200
        self.rest = self.received[position:]
        return found

    def _reply(self, start: int, *, has_content: bool) -> tuple[Reply, int] | None:
        """The response that begins here, and where it ends; None while it is not whole."""
        end = self.received.find(b"\r\n\r\n", start)
        if end < 0:
            return None
        first, *lines = self.received[start:end].split(b"\r\n")
        status = STATUS_LINE.match(first)
        assert status is not None, self.received[start:][:200]
        fields = {name.lower(): value for name, _, value in (x.partition(b": ") for x in lines)}
        size = int(fields.get(b"content-length", b"0")) if has_content else 0
        stop = end + 4 + size
        if stop > len(self.received):
            return None
        return Reply(int(status[1]), fields, self.received[end + 4 : stop]), stop


@contextlib.asynccontextmanager
async def connected(port: int):
    """A connection to 127.0.0.1, each write of which is a segment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


# Manners

Manner = Callable[[Wire, Case], Awaitable[None]]


async def whole(wire: Wire, case: Case) -> None:
    """At once; the smuggled one once its answers are there."""
    await wire.send(case.sent)
    await wire.read(len(case.statuses))
    await wire.send(LAST)


async def dripped(wire: Wire, case: Case) -> None:
    """Byte by byte (long ones in 200 pieces)."""
    await wire.drip(case.sent + LAST, max(1, len(case.sent) // 200))


async def trailed(wire: Wire, case: Case) -> None:
    """With the smuggled one in the same write."""
    await wire.send(case.sent + LAST)


async def among(wire: Wire, case: Case) -> None:
    """Between requests that are known by heart, each alone in its write: two before, one behind."""
    for number in (1, 2):
        await wire.send(GOOD)
        await wire.read(number)
    await wire.send(case.sent)
    await wire.read(2 + len(case.statuses))
    await wire.send(GOOD)
    await wire.read(3 + len(case.statuses))
    await wire.send(LAST)


async def behind(wire: Wire, case: Case) -> None:
    """Pipelined: a good one in front of it, the smuggled one behind it, in one write."""
    await wire.send(GOOD + case.sent + LAST)


async def straddled(wire: Wire, case: Case) -> None:
    """Half of it pipelined behind a good one, the other half once that is answered."""
    middle = len(case.sent) // 2
    await wire.send(GOOD + case.sent[:middle])
    await wire.read(1)
    await wire.send(case.sent[middle:] + LAST)


async def repeated(wire: Wire, case: Case) -> None:
    """Twice on a connection, so that the second time every byte of it has been seen before."""
    await wire.send(case.sent)
    await wire.read(len(case.statuses))
    await wire.send(case.sent)
    await wire.read(2 * len(case.statuses))
    await wire.send(LAST)


MANNERS: dict[str, tuple[Manner, int]] = {
    "whole": (whole, 0),
    "byte by byte": (dripped, 0),
    "with trailing bytes": (trailed, 0),
    "among good ones": (among, 2),
    "behind a good one": (behind, 1),
    "across an answer": (straddled, 1),
    "a second time": (repeated, 0),
}
"""Each with the number of good requests in front."""


async def verdict(port: int, case: Case, name: str) -> str:
    """What was wrong with the answers to a case in a manner; empty where nothing was."""
    manner, good = MANNERS[name]
    times = 2 if manner is repeated and not case.closes else 1
    rest = 2 if manner is among else 1
    expected = [200] * good + list(case.statuses) * times + [200] * rest * (not case.closes)
    async with connected(port) as wire:
        if case.sent.startswith(b"HEAD "):
            wire.bodyless = set(range(good, good + times))
        try:
            await manner(wire, case)
            await wire.read_to_end()
        except TimeoutError:
            return f"{name}: hangs after {wire.received[-200:]!r}"
        return _difference(wire, expected, case) and f"{name}: {_difference(wire, expected, case)}"


def _difference(wire: Wire, expected: list[int], case: Case) -> str:
    replies = wire.finals()
    found = [reply.status for reply in replies]
    if found != expected or wire.rest:
        return f"{found} instead of {expected}, then {wire.rest[:80]!r}"
    if (replies[-1].content == b"behind") is case.closes:
        return "another answer is the last one"
    last = replies[-1].fields.get(b"connection", b"")
    return "" if last == b"close" else f"ends without having said so ({last!r})"


async def judge(port: int, cases: Iterable[tuple[str, Case]]) -> dict[str, list[str]]:
    """What was wrong with each case, over all manners, many connections at a time."""
    limit = asyncio.Semaphore(AT_ONCE)
    found: dict[str, list[str]] = {}

    async def one(name: str, case: Case, manner: str) -> None:
        async with limit:
            wrong = await verdict(port, case, manner)
        found.setdefault(name, []).extend([wrong] if wrong else [])

    await asyncio.gather(*(one(name, case, manner) for name, case in cases for manner in MANNERS))
    return found


async def judge_steps(port: int, sequence: tuple[Case, ...]) -> str:
    """What was wrong with requests that are sent one after another; the last may end it."""
    expected: list[int] = []
    async with connected(port) as wire:
        for case in sequence:
            expected += case.statuses
            await wire.send(case.sent)
            await wire.read(len(expected))
        await wire.send(LAST)
        await wire.read_to_end()
        last = sequence[-1]
        return _difference(wire, expected + [200] * (not last.closes), last)


async def replies_to(port: int, case: Case) -> list[Reply]:
    """Everything that is answered to a case alone, interim answers too."""
    async with connected(port) as wire:
        if case.sent.startswith(b"HEAD "):
            wire.bodyless = {0}
        await wire.send(case.sent)
        await wire.read(len(case.statuses))
        return wire.replies()


async def judge_truncated(port: int, cases: Iterable[tuple[str, Case]]) -> dict[str, list[str]]:
    """What was wrong with each case that breaks off: its sender says that nothing more comes."""
    found: dict[str, list[str]] = {}
    for name, case in cases:
        async with connected(port) as wire:
            await wire.send(case.sent)
            wire.writer.write_eof()
            await wire.read_to_end()
            statuses = tuple(reply.status for reply in wire.finals())
        wrong = statuses != case.statuses or wire.rest
        found[name] = (
            [f"{statuses} instead of {case.statuses}, then {wire.rest!r}"] if wrong else []
        )
    return found


def labelled(cases: dict[str, Case], first: int = 0) -> Iterator[tuple[str, Case]]:
    """Cases whose path at the origin tells them apart there."""
    for number, (name, case) in enumerate(cases.items(), first):
        label = b"/o/%04d" % number
        yield name, case._replace(sent=case.sent.replace(ECHO, label, 1))
