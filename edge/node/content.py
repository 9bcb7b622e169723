"""Content on its way: a request's to its one consumer, a response's to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

from edge.errors import ContentTooLarge, RequestError
from edge.http.fields import saturating_int

HIGH_WATER = 128 * 1024
"""
Bytes that wait for the consumer when the connection stops reading.

The last read before that may bring 256 KiB: that is what uvloop reads at once.
"""


class Inflow:
    """Fed by the connection, read by the handler: an async iterator of chunks."""

    __slots__ = (
        "_chunks",
        "_ended",
        "_error",
        "_on_taken",
        "_waiter",
        "received",
        "size",
        "started",
        "trailers",
    )

    def __init__(self, on_taken: Callable[[int], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self._error: RequestError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_taken = on_taken
        self.size = 0
        """Bytes waiting."""
        self.received = 0
        """Bytes that came in all."""
        self.started = False
        """Whether somebody began to read: only then is 100 (Continue) due."""
        self.trailers: list[tuple[bytes, bytes]] = []
        """What came behind the content, once it is read to its end."""

    def feed(self, data: bytes) -> None:
        """Add a chunk."""
        self._chunks.append(data)
        self.size += len(data)
        self.received += len(data)
        self._wake()

    def finish(self, trailers: list[tuple[bytes, bytes]] | None = None) -> None:
        """All content is here."""
        self._ended = True
        self.trailers = trailers or []
        self._wake()

    def fail(self, error: RequestError) -> None:
        """The client broke off or broke a rule; the consumer gets `error`."""
        self._error = error
        self._wake()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks in order; raises `RequestError` when the content will not come."""
        self.started = True
        self._on_taken(0)
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self.size -= len(chunk)
                self._on_taken(len(chunk))
                yield chunk
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    @property
    def is_awaited(self) -> bool:
        """Whether a consumer waits for more of it."""
        return self._waiter is not None and not self._waiter.done()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def sliced(content: bytes, size: int) -> AsyncIterator[bytes]:
    """Content in pieces, so that no slow reader has all of it in a buffer of its own."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


@contextlib.asynccontextmanager
async def closing(content: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """
    The content of a response, closed however its reader ends.

    A generator left in the middle would keep its file open until the collector finds it.
    """
    try:
        yield content
    finally:
        await discard(content)


async def pour(content: object, take: Callable[[bytes], Awaitable[None]]) -> None:
    """
    Hand a response's content on, chunk by chunk; it is closed however that ends.

    For those that are compiled (setup.py): of what mypyc makes of an `async with` that waits while
    an exception passes, the process dies.
    """
    async with closing(cast("AsyncIterator[bytes]", content)) as chunks:
        async for chunk in chunks:
            await take(chunk)


async def discard(content: object) -> None:
    """Let go of a response's content that nobody reads, or nobody reads on."""
    close = getattr(content, "aclose", None)
    if close is not None:
        await close()


def check_size(size: int, limit: int) -> None:
    """
    Hold content of a client to its limit: what it says, else what has come of it.

    Raises:
        ContentTooLarge: it is over; a limit of 0 is none.
    """
    if limit and size > limit:
        raise ContentTooLarge(f"the content is larger than {limit} bytes")


def stated_size(value: bytes) -> int:
    """The number in a Content-Length, 0 where there is none."""
    return saturating_int(value) if value.isdigit() else 0
