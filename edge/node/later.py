"""
An answer that comes by itself: in the call that brings it, to whoever takes it.

Laws: one outcome, one taker; who wants none any more says so by `cancel`. No task waits for it and
no future is set, which is 20 µs a request; where somebody awaits it all the same, one is. What is
over holds nobody: the collector of cycles may never look at it (`room`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.http.message import Request, Response
    from edge.site.envelope import Envelope


class Taker(Protocol):
    """Whoever sends the answer to the client."""

    def take(self, request: Request, response: Response) -> None:
        """The answer is here, or begins to be: its content may still come. Never raises."""

    def interim(self, request: Request, status: int, fields: list[Line]) -> None:
        """An answer before the final one (1xx)."""


class Keeper(Protocol):
    """Whoever makes a response of an error, and counts it."""

    def settled(self, later: Later, outcome: Response | Exception) -> Response:
        """The response of an outcome."""


class Later(Awaitable["Response"]):
    """An answer that is under way."""

    __slots__ = ("_outcome", "_taker", "_waiting", "envelope", "keeper", "request")

    def __init__(self, request: Request, envelope: Envelope) -> None:
        self.request = request
        self.envelope = envelope
        """What an operator puts on it, an error too."""
        self.keeper: Keeper | None = None
        """With none, whoever awaits it gets errors as they are."""
        self._taker: Taker | None = None
        self._waiting: asyncio.Future[Response] | None = None
        self._outcome: Response | Exception | None = None

    def give_to(self, taker: Taker) -> None:
        """Have the answer taken when it comes: never in this call, always in a later one."""
        self._taker = taker

    def cancel(self) -> None:
        """Nobody wants it any more; harmless after the end."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Response]:
        if self._outcome is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                return (yield from self._waiting)
            except asyncio.CancelledError:
                self.cancel()
                raise
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def deliver(self, outcome: Response | Exception) -> None:
        """Hand it over, to be called once."""
        if self.keeper is not None:
            outcome = self.keeper.settled(self, outcome)
        taker, self._taker = self._taker, None  # who holds this
        if taker is not None:
            assert not isinstance(outcome, Exception), "who gives it to a taker keeps it"
            taker.take(self.request, outcome)
        elif self._waiting is None:
            self._outcome = outcome
        elif self._waiting.done():
            return  # cancelled just now: `cancel` follows
        elif isinstance(outcome, Exception):
            self._waiting.set_exception(outcome)
        else:
            self._waiting.set_result(outcome)

    def inform(self, status: int, fields: list[Line]) -> None:
        """Pass an interim response on."""
        if self._taker is not None:
            self._taker.interim(self.request, status, fields)
        elif self.request.inform is not None:
            self.request.inform(status, fields)
