"""
An origin that notes, byte for byte, what a front sends it, and trusts nothing.

Its grammar is narrower than HTTP's: one way to write a request, the canonical one. What does not
follow it is an anomaly, and so is anything behind a request that announced no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

REQUEST_LINE = re.compile(rb"([A-Z][A-Za-z-]*) (/[!-~]*|\*) HTTP/1\.1")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?"
)
LENGTH = re.compile(rb"0|[1-9][0-9]*")
CHUNK_SIZE = re.compile(rb"0|[1-9a-fA-F][0-9a-fA-F]*")


class Anomaly(Exception):
    """What no canonical sender sends."""


class Record:
    """A request as it came."""

    def __init__(self, connection: int, head: bytes) -> None:
        self.connection = connection
        self.head = head
        self.content = b""
        self.trailers: list[bytes] = []
        self.is_whole = False
        self.rest = b""
        """What came behind the head, where it was answered at once (`/o/early`)."""
        first, *lines = head.split(b"\r\n")
        line = REQUEST_LINE.fullmatch(first)
        if line is None:
            raise Anomaly(f"request line {first!r}")
        self.method, self.target = line.groups()
        self.fields: dict[bytes, bytes] = {}
        for each in lines:
            self._add(each)

    def _add(self, line: bytes) -> None:
        field = FIELD_LINE.fullmatch(line)
        if field is None:
            raise Anomaly(f"field line {line!r}")
        name = field[1].lower()
        if name in self.fields and name in {b"host", b"content-length", b"transfer-encoding"}:
            raise Anomaly(f"twice {name!r}")
        self.fields[name] = field[2] or b""

    @property
    def size(self) -> int | None:
        """Bytes of content; None when it comes in chunks."""
        length = self.fields.get(b"content-length")
        coding = self.fields.get(b"transfer-encoding")
        if length is not None and coding is not None:
            raise Anomaly("both framings")
        if coding is not None:
            if coding != b"chunked":
                raise Anomaly(f"coding {coding!r}")
            return None
        if length is not None and LENGTH.fullmatch(length) is None:
            raise Anomaly(f"length {length!r}")
        return int(length or b"0")


class Recorder:
    """A listening socket; every request is answered with its own content."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.anomalies: list[str] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, path: bytes) -> list[Record]:
        """The requests of a path."""
        return [record for record in self.records if record.target == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None, "asyncio makes one"
        self._tasks.add(task)
        self.connections += 1
        self._open.add(writer)
        try:
            while await self._exchange(self.connections, reader, writer):
                pass
        except Anomaly as error:
            self.anomalies.append(str(error))
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = await self._head(reader)
        if not head:
            return False
        record = Record(number, head)
        self.records.append(record)
        if record.target.startswith(b"/o/early"):
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            record.rest = await reader.read()
            return False
        await self._content(record, reader)
        record.is_whole = True
        content = b"" if record.method == b"HEAD" else record.content
        writer.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(record.content), content)
        )
        return True

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return (await reader.readuntil(b"\r\n\r\n"))[:-4]
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Anomaly(f"half a head {error.partial!r}") from error
            return b""

    async def _content(self, record: Record, reader: asyncio.StreamReader) -> None:
        if record.size is not None:
            record.content = await reader.readexactly(record.size)
            return
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2]
            if CHUNK_SIZE.fullmatch(line) is None:
                raise Anomaly(f"chunk line {line!r}")
            if line == b"0":
                break
            data = await reader.readexactly(int(line, 16) + 2)
            if not data.endswith(b"\r\n"):
                raise Anomaly(f"end of chunk {data!r}")
            record.content += data[:-2]
        while line := (await reader.readuntil(b"\r\n"))[:-2]:
            record.trailers.append(line)

    async def close(self) -> None:
        """End what is open."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


@contextlib.asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """A recorder; afterwards its connections have ended."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        await recorder.close()
        await server.wait_closed()
