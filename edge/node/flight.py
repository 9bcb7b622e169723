"""
A request for the store under way, and all who wait for it: the collapse of many into one.

Laws: roles, not locks: one flies, the others learn at its head whether the answer is theirs too.
What nobody may share goes to the first alone, and nobody waits for it longer than for its head. A
flight that nobody waits for ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.errors import OriginError
from edge.http import freshening, freshness
from edge.http.cache_status import Handling, cache_status
from edge.node.fetch import Coming, Fetch, Landing, Manner
from edge.node.inquiry import Inquiry, Supply
from edge.node.intake import Intake
from edge.node.parts import present_part
from edge.node.presenting import is_unchanged, present
from edge.node.tasks import spawn

if TYPE_CHECKING:
    from edge.http.message import Inform
    from edge.node.broker import Broker
    from edge.node.fanout import Reader
    from edge.node.shelf import Entry


class Flight:
    """A fetch, and who waits for it."""

    def __init__(
        self,
        broker: Broker,
        inquiry: Inquiry,
        entry: Entry | None,
        manner: Manner,
        inform: Inform | None = None,
    ) -> None:
        """`entry` is what has to be validated."""
        self.broker = broker
        self.fetch = Fetch(broker, inquiry, entry, manner, inform)
        self.names = (b"", b"")
        """What those who wait know it by: key and variant."""
        self.landing: Landing | None = None
        self._error: OriginError | None = None
        self._goes_on = manner.is_background
        """Whether it does so though nobody waits."""
        self._landed = asyncio.Event()
        self._interest = 0
        """Who waits, and who reads."""
        self._is_taken = False
        """Whether an answer for one client has its client."""
        self._task = spawn(self._fly(), "flight")

    async def _fly(self) -> None:
        try:
            landing = self.landing = await self.fetch.land()
            if landing.coming is not None:
                self.broker.varies(self, landing.coming.draft.stored.vary)
            self._landed.set()
            if landing.coming is not None:
                assert self.fetch.errand is not None, "what comes was asked for"
                await Intake(self.fetch, landing, landing.coming).run(self.fetch.errand)
        except OriginError as error:
            self.fetch.abandon()
            self._error = error
        except BaseException:
            self.fetch.abandon()
            raise
        finally:
            self.broker.end(self)
            self._landed.set()
            if not self._interest:
                self._abandon_untaken()

    # Those who wait

    async def wait(self, inquiry: Inquiry, *, is_first: bool) -> Supply | None:
        """
        The answer; None where it is not one for this client too.

        Raises:
            OriginError: there is none.
        """
        self._interest += 1
        self.fetch.name_page(inquiry)
        try:
            await self._landed.wait()
            if self._error is not None:
                raise OriginError(self._error.kind, str(self._error))
            if self.landing is None:  # it broke, which is logged
                return None
            return self._supply(self.landing, inquiry, is_first=is_first)
        finally:
            self.lose_interest()

    def is_outdated(self) -> bool:
        """Whether what comes is stale by now: who asks now has to ask anew."""
        coming = None if self.landing is None else self.landing.coming
        return coming is not None and self.broker.now >= coming.draft.stored.fresh_until

    def lose_interest(self) -> None:
        """One fewer waits or reads; after the last one it ends."""
        self._interest -= 1
        if self._interest:
            return
        if not self._goes_on:
            self.broker.close(self)
            self._task.cancel()
        self._abandon_untaken()

    def _abandon_untaken(self) -> None:
        """Let go of an answer for one client whom it has not."""
        landing = self.landing
        if landing is None or landing.entry is not None or landing.coming is not None:
            return
        if not self._is_taken:
            self.fetch.abandon()

    def _supply(self, landing: Landing, inquiry: Inquiry, *, is_first: bool) -> Supply | None:
        handling = self._handling(landing, is_first=is_first)
        if landing.entry is not None:
            if not inquiry.selects(landing.entry):
                return None
            self.broker.shelf.name_page(landing.entry, inquiry.page, inquiry.any_page)
            if landing.entry.extent is not None:
                return present_part(landing.entry, inquiry, self.broker.now, handling)
            supply = present(landing.entry, inquiry, self.broker.now, handling)
            return with_own(supply, landing) if is_first else supply
        if landing.coming is not None:
            coming = self._supply_coming(landing, landing.coming, inquiry, handling)
            return with_own(coming, landing) if is_first and coming is not None else coming
        if not is_first or (self.fetch.manner.is_plain and inquiry.cookie):
            return None
        return self._supply_one(landing, handling)

    def _supply_one(self, landing: Landing, handling: Handling) -> Supply:
        """An answer for this client alone."""
        errand = self.fetch.errand
        assert landing.head is not None, "an answer has a head"
        assert errand is not None, "and was asked for"
        self._is_taken = True
        return Supply(
            status=landing.status,
            lines=landing.head.fields,
            handling=cache_status(handling),
            content=landing.content,
            number=errand.number,
            trailers=errand.trailers,
            reason=self.fetch.lasting(landing),
        )

    def _supply_coming(
        self, landing: Landing, coming: Coming, inquiry: Inquiry, handling: Handling
    ) -> Supply | None:
        """An answer whose content is read while it comes."""
        draft = coming.draft
        if not coming.fanout.is_kept or not inquiry.selects(draft):
            return None
        age = b"%d" % freshness.current_age(draft.stored, self.broker.now)
        supply = Supply(
            status=landing.status,
            lines=[*draft.lines, (b"age", age)],
            handling=cache_status(handling),
            content=None,
            number=draft.number,
        )
        if is_unchanged(draft, inquiry):
            self._goes_on = True  # what this client does not need, the store still wants
            supply.status, supply.lines = 304, freshening.fields_of_304(supply.lines)
        else:
            self._interest += 1
            is_own = inquiry.clients == self.fetch.inquiry.clients
            supply.content = Reading(self, coming.fanout.read(is_own=is_own))
        return supply

    def _handling(self, landing: Landing, *, is_first: bool) -> Handling:
        """What is told about it."""
        entry = landing.entry if landing.coming is None else landing.coming.draft
        is_other = entry is not None and landing.status not in (0, entry.stored.status)
        return Handling(
            forwarded=self.fetch.manner.forwarded,
            forward_status=landing.status if is_other else None,
            ttl=None if entry is None else freshness.remaining(entry.stored, self.broker.now),
            is_stored=landing.is_stored,
            is_collapsed=not is_first,
            detail=b"" if landing.reason is None else landing.reason.value,
        )


def with_own(supply: Supply, landing: Landing) -> Supply:
    """An answer with the lines that are for its first client alone; nobody may copy it then."""
    if landing.own:
        supply.lines = [*supply.lines, *landing.own]
        supply.entry = None
    return supply


class Reading:
    """Content that still comes, for one client of a flight."""

    def __init__(self, flight: Flight, reader: Reader) -> None:
        self._flight = flight
        self._reader = reader
        self._is_over = False

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._reader)

    async def aclose(self) -> None:
        """Nobody reads on; harmless when it is over, and due even where nobody began."""
        if not self._is_over:
            self._is_over = True
            await self._reader.aclose()
            self._flight.lose_interest()
