"""
Content that several read while it comes, each at its own pace.

Laws: bounded: kept whole while it is to be stored, which has a bound of its own; else no more than
`HIGH_WATER` is ahead of its slowest reader. Whoever reads gets all of it, or an error.
"""

from __future__ import annotations

import asyncio
from typing import Final

from edge.errors import OriginError

HIGH_WATER: Final = 1024 * 1024
"""Bytes that the slowest reader may be behind of content that is not kept."""


class Fanout:
    """Chunks on their way to their readers."""

    def __init__(self, first: bytes) -> None:
        """`first` is here already."""
        self.is_kept = True
        """Whether all of it is to be had at the end."""
        self.readers: set[Reader] = set()
        self._chunks = [first] if first else []
        self._gone = 0
        """Chunks that all have read, and nobody keeps."""
        self._held = len(first)
        self._error: OriginError | None = None
        self._is_over = False
        self._waiting: list[asyncio.Future[None]] = []

    # The writer

    def feed(self, chunk: bytes) -> None:
        """Add a chunk."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        self._wake()

    def finish(self) -> None:
        """That was all."""
        self._is_over = True
        self._wake()

    def fail(self, error: OriginError) -> None:
        """The rest will not come; a reader gets `error` when it has read what is here."""
        self._error = error
        self._wake()

    def let_go(self) -> None:
        """Keep no more of it than readers need."""
        self.is_kept = False
        self._trim()

    async def room(self) -> None:
        """Wait for the slowest reader, where nothing is kept."""
        while not self.is_kept and self._held > HIGH_WATER:
            await self.news()

    def whole(self) -> bytes:
        """All of it, once it is over."""
        return b"".join(self._chunks)

    # Readers

    def read(self) -> Reader:
        """A new reader, from the beginning: only while all of it is kept."""
        assert self.is_kept, "what is gone cannot be read"
        reader = Reader(self)
        self.readers.add(reader)
        return reader

    def take(self, place: int) -> bytes | None:
        """The chunk at a place, None after the last; empty where it has not come yet."""
        if place - self._gone < len(self._chunks):
            return self._chunks[place - self._gone]
        if self._error is not None:
            raise OriginError(self._error.kind, str(self._error))
        return None if self._is_over else b""

    def leave(self, reader: Reader) -> None:
        """It reads no more."""
        self.readers.discard(reader)
        self._trim()
        self._wake()

    def advanced(self) -> None:
        """A reader got on."""
        if not self.is_kept:
            self._trim()
            self._wake()

    async def news(self) -> None:
        """Wait until something changes."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def _trim(self) -> None:
        if self.is_kept:
            return
        slowest = min((reader.place for reader in self.readers), default=self._gone)
        gone = self._chunks[: slowest - self._gone]
        del self._chunks[: len(gone)]
        self._gone += len(gone)
        self._held -= sum(map(len, gone))

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)


class Reader:
    """One reader of the content."""

    def __init__(self, fanout: Fanout) -> None:
        self.place = 0
        """Chunks that it has read."""
        self._fanout = fanout

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        while (chunk := self._fanout.take(self.place)) == b"":
            await self._fanout.news()
        if chunk is None:
            raise StopAsyncIteration
        self.place += 1
        self._fanout.advanced()
        return chunk

    async def aclose(self) -> None:
        """It reads no more, or never began."""
        self._fanout.leave(self)
