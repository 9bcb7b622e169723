"""
Content for the store that is read while it comes.

Laws: it is stored when it is whole, small enough and still wanted, else not at all; what it takes
until then is reserved in the room of everything stored. Too large after all, it goes on for those
who read it, and for nobody else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from edge.errors import OriginError
from edge.http.caching import Reason

LONGEST_NAME: Final = 45
"""Characters of an address."""

if TYPE_CHECKING:
    from edge.node.errand import Errand
    from edge.node.fetch import Coming, Fetch, Landing


class Intake:
    """The rest of one answer."""

    def __init__(self, fetch: Fetch, landing: Landing, coming: Coming) -> None:
        self._fetch = fetch
        self._landing = landing
        self._fanout = coming.fanout
        self._shelf = fetch.broker.shelf
        self._reserved = 0
        self._tail = coming.fanout.first[-LONGEST_NAME:]

    async def run(self, errand: Errand) -> None:
        """Pass it on to its readers, and to the store when it is whole."""
        fanout = self._fanout
        try:
            await asyncio.sleep(0)  # who waits begins to read before any of it is let go
            self._count(len(fanout.first))
            while (chunk := await errand.next()) is not None:
                self._look_for_client(chunk)
                fanout.feed(chunk)
                self._count(len(chunk))
                await fanout.room()
                if not (fanout.is_kept or fanout.readers):
                    return  # neither the store nor anybody wants the rest
            fanout.finish()
        except OriginError as error:
            fanout.fail(error)
        else:
            self._give_back()
            if fanout.is_kept:
                self._fetch.keep_whole(self._landing, fanout.whole())
        finally:
            errand.abandon()
            self._give_back()

    def _look_for_client(self, chunk: bytes) -> None:
        """What names the client is read by nobody else, and is not stored."""
        seen = self._tail + chunk
        self._tail = seen[-LONGEST_NAME:]
        if any(name in seen for name in self._fetch.inquiry.clients):
            self._fanout.cut_others()
            self._let_go(Reason.CLIENT)

    def _count(self, size: int) -> None:
        """Reserve room for more; without room, or above the limit, it is not kept any longer."""
        if not self._fanout.is_kept:
            return
        is_small = self._reserved + size <= self._fetch.broker.max_object
        if is_small and self._shelf.reserve(size):
            self._reserved += size
            return
        self._let_go(None if is_small else Reason.TOO_LARGE)

    def _let_go(self, reason: Reason | None) -> None:
        """It is not to be stored after all; the next answer may be, if only memory was short."""
        self._fanout.let_go()
        self._give_back()
        if reason is not None:
            self._fetch.note(self._landing.status, reason)

    def _give_back(self) -> None:
        """What was reserved is not needed any more, or is counted as stored."""
        reserved, self._reserved = self._reserved, 0
        self._shelf.give_back(reserved)
