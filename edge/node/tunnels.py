"""
What a connection becomes after 101 (Switching Protocols): bytes both ways, and nobody looks.

Laws: each direction passes as fast as its slower end takes it; when one side ends, the other is
told; when both are silent for long, it ends. What the client has said before its end still goes
out, and the origin may answer it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.errors import OriginError

if TYPE_CHECKING:
    from edge.node.origin import OriginConnection
    from edge.node.origins import Origin


class OriginTunnel:
    """A tunnel to an origin; iterating gives what the origin sends, until either side ends."""

    def __init__(self, connection: OriginConnection, origin: Origin, idle_s: float) -> None:
        self._connection = connection
        self._origin = origin
        self._idle_s = idle_s
        self.resume: Callable[[], None] = lambda: None
        """Called when more of the client's bytes can be taken."""
        connection.on_writable = self._on_writable

    def _on_writable(self) -> None:
        self.resume()

    def feed(self, data: bytes) -> bool:
        """Take bytes of the client; False to be given no more until `resume` is called."""
        return self._connection.write_raw(data)

    def finish(self) -> None:
        """The client sends no more."""
        self._connection.write_end()

    def __aiter__(self) -> OriginTunnel:
        return self

    async def __anext__(self) -> bytes:
        try:
            event = await self._connection.next(self._idle_s, "connection_read_timeout")
        except OriginError as error:  # there is nobody to tell: a tunnel has no errors of HTTP
            if error.kind == "connection_read_timeout":
                self._origin.counters.refuse("tunnel_idle")
            event = None
        if isinstance(event, bytes):
            return event
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Either side ended, or nobody ever began."""
        self._connection.on_writable = None
        self._connection.close()
        self._origin.release(self._connection)
