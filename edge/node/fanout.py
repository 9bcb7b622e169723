"""
Content that several read while it comes, each at its own pace.

Laws: bounded: kept whole while it is to be stored, which has a bound of its own; else no more than
`HIGH_WATER` is ahead of its slowest reader, and one that stands still does not hold up the others.
Whoever reads gets all of it, or an error. Without a reader nothing waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from edge.errors import OriginError

HIGH_WATER: Final = 1024 * 1024
"""Bytes that the slowest reader may be behind of content that is not kept."""

PATIENCE_S: Final = 5.0
"""Seconds that readers wait for the slowest one."""

SLICE: Final = 256 * 1024
"""Bytes that a reader gets at once of content that is whole."""


class Fanout:
    """Chunks on their way to their readers."""

    def __init__(self, first: bytes) -> None:
        """`first` is here already."""
        self.first = first
        self.is_kept = True
        """Whether all of it is to be had at the end."""
        self.readers: set[Reader] = set()
        self._chunks = [first] if first else []
        self._gone = 0
        """Chunks that all have read, and nobody keeps."""
        self._held = len(first)
        self._whole: bytes | None = None
        """All of it, shared with the store; then there are no chunks any more."""
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
        """Wait for the slowest reader, where nothing is kept; a while, if there are others."""
        while not self.is_kept and self._held > HIGH_WATER and self.readers:
            try:
                async with asyncio.timeout(PATIENCE_S if len(self.readers) > 1 else None):
                    await self.news()
            except TimeoutError:
                self._shed()

    def _shed(self) -> None:
        """Give up on those that are the furthest behind."""
        slowest = min(reader.place for reader in self.readers)
        self._cut([each for each in self.readers if each.place == slowest])

    def cut_others(self) -> None:
        """What comes is for the client alone for whom it was asked."""
        self._cut([each for each in self.readers if not each.is_own])

    def _cut(self, readers: list[Reader]) -> None:
        for reader in readers:
            reader.is_cut = True
            self.leave(reader)

    def whole(self) -> bytes:
        """All of it, once it is over; chunks and what is stored share their bytes from now on."""
        if self._whole is None:
            self._whole = b"".join(self._chunks)
            for reader in self.readers:
                reader.offset = sum(map(len, self._chunks[: reader.place]))
            self._chunks.clear()
        return self._whole

    # Readers

    def read(self, *, is_own: bool = True) -> Reader:
        """
        A new reader, from the beginning: only while all of it is kept.

        `is_own` says that it is the client's for whom it was asked.
        """
        assert self.is_kept, "what is gone cannot be read"
        reader = Reader(self, is_own=is_own)
        self.readers.add(reader)
        return reader

    def take(self, reader: Reader) -> bytes | None:
        """The next piece for a reader, None after the last; empty where it has not come yet."""
        if reader.is_cut:
            raise OriginError("http_response_incomplete", "the rest is not for this client")
        if self._whole is not None:
            piece = self._whole[reader.offset : reader.offset + SLICE]
            reader.offset += len(piece)
            return piece or None
        if reader.place - self._gone < len(self._chunks):
            reader.place += 1
            return self._chunks[reader.place - 1 - self._gone]
        if self._error is not None:
            raise OriginError(self._error.kind, str(self._error))
        return None if self._is_over else b""

    def leave(self, reader: Reader) -> None:
        """It reads no more."""
        self.readers.discard(reader)
        self.advanced()

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
        end = self._gone + len(self._chunks)
        slowest = min((reader.place for reader in self.readers), default=end)
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

    def __init__(self, fanout: Fanout, *, is_own: bool) -> None:
        self.is_own = is_own
        self.place = 0
        """Chunks that it has read."""
        self.offset = 0
        """Bytes, once the content is whole."""
        self.is_cut = False
        """Whether it gets no more: it was too slow, or the rest is another client's."""
        self._fanout = fanout

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        while (piece := self._fanout.take(self)) == b"":
            await self._fanout.news()
        if piece is None:
            raise StopAsyncIteration
        self._fanout.advanced()
        return piece

    async def aclose(self) -> None:
        """It reads no more, or never began."""
        self._fanout.leave(self)
