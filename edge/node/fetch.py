"""
What is asked of an origin for the store, and what becomes of its answer there.

Laws: the order is RFC 9111's: send, perhaps with conditions of our own; then freshen what is
stored, or judge what came and store it. A part of an answer is never stored as if it were whole.
What was dropped while it was on its way is not stored. Who waits for it is `flight`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from edge.errors import OriginError
from edge.http import caching, freshening, freshness, reuse, variants
from edge.http.cache_status import Forwarded
from edge.http.caching import NOT_OF_THE_ANSWER, Reason, lasting
from edge.http.fields import IDENTITY, FieldList, Line
from edge.http.partial import extent_of
from edge.http.tags import tags_of, without_tags
from edge.http.variants import ACCEPT_ENCODING
from edge.node.errand import Errand, Message, Relay
from edge.node.fanout import Fanout
from edge.node.parts import has_wanted, joined, part_key, whole
from edge.node.shelf import MAX_PAGES, Entry
from edge.site.keys import label_of_tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge.http.fields import Fields
    from edge.http.freshness import Arrival, Stored
    from edge.http.heads import Head
    from edge.http.message import Inform
    from edge.node.broker import Broker
    from edge.node.inquiry import Inquiry

NOT_SHARED = freshening.PRECONDITIONS | {b"range"}
"""A client's own conditions: what is asked for everybody has none of them."""

ABOUT_CONDITIONS = frozenset((206, 304, 412, 416))
"""Answers that say nothing about whether the next one can be stored."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How and why an origin is asked."""

    forwarded: Forwarded
    is_plain: bool = True
    """Whether it is asked without the client's own conditions and its other cookies."""
    may_store: bool = True
    """Whether the key is this worker's."""
    is_background: bool = False
    """Whether it goes on though nobody waits."""


class Landing(msgspec.Struct, kw_only=True):
    """What came of it: an entry, or content that still comes, or an answer for one client."""

    status: int
    """The origin's; 0 where it has none."""
    entry: Entry | None = None
    """Stored, freshened, or stale and served all the same."""
    is_stored: bool = False
    head: Head | None = None
    """Of what is not an entry."""
    coming: Coming | None = None
    content: bytes | AsyncIterator[bytes] | None = None
    """For one client."""
    reason: Reason | None = None
    """Why it is for one alone."""
    own: list[Line] = []
    """Lines that the client has whom the origin answered, and nobody from the store."""


class Coming(msgspec.Struct, kw_only=True):
    """An answer that will be stored when it is whole."""

    draft: Entry
    """Without its content."""
    fanout: Fanout


class Fetch:
    """One request to an origin for the store."""

    def __init__(
        self,
        broker: Broker,
        inquiry: Inquiry,
        entry: Entry | None,
        manner: Manner,
        inform: Inform | None,
    ) -> None:
        """`entry` is what has to be validated."""
        self.broker = broker
        self.inquiry = inquiry
        self.entry = entry
        self.manner = manner
        self.labels = set(inquiry.labels)
        self.pages = {inquiry.page: inquiry.any_page}
        """Addresses that wait for it; a purge of one of them finds what it brings."""
        self.is_spoiled = False
        """Whether what it brings was dropped before it came."""
        self.errand: Errand | None = None
        self._inform = inform
        self._sent: list[Line] = []
        self._departed = 0.0
        """When it was sent, in the loop's seconds."""

    def name_page(self, inquiry: Inquiry) -> None:
        """Somebody else waits for it, who may have asked for another page."""
        is_counted = len(self.pages) < MAX_PAGES
        self.pages[inquiry.page if is_counted else inquiry.any_page] = inquiry.any_page

    # There

    async def land(self) -> Landing:
        """
        Ask, and see what came.

        Raises:
            OriginError: nothing came, and nothing stored may stand in for it.
        """
        errand = self.errand = self.broker.errand(self.inquiry, self._message())
        self._departed = self.broker.seconds()
        entry = self.entry
        try:
            head = await errand.run()
        except OriginError as error:
            if entry is not None and self._may_serve_stale(entry, error.status):
                errand.abandon()
                return Landing(status=0, entry=entry)
            raise
        if entry is not None and head.status == 304:
            return await self._freshened(errand, entry, head)
        if entry is not None and self._may_serve_stale(entry, head.status):
            errand.abandon()
            return Landing(status=head.status, entry=entry)
        return await self._received(errand, head)

    def _message(self) -> Message:
        """The inquiry, with conditions for what is to be validated."""
        inquiry, is_plain = self.inquiry, self.manner.is_plain
        lines = list(inquiry.lines)
        if self.entry is not None or is_plain:
            lines = freshening.lines_without(lines, NOT_SHARED)
        if self.entry is not None:
            lines += freshening.conditional_fields(self.entry.stored)
        if inquiry.cookie and not is_plain:
            lines = [line for line in lines if line[0] != b"cookie"]
            lines.append((b"cookie", inquiry.cookie))
        self._sent = lines
        return Message(method=inquiry.method, lines=lines, inform=self._inform, app=inquiry.app)

    def _may_serve_stale(self, entry: Entry, status: int) -> bool:
        return reuse.may_serve_stale_on_error(entry.stored, status, self.broker.now)

    def abandon(self) -> None:
        """Nobody waits for what comes."""
        if self.errand is not None:
            self.errand.abandon()

    # What is stored is still good

    async def _freshened(self, errand: Errand, entry: Entry, head: Head) -> Landing:
        """
        A 304 to our own conditions; one that is about nothing we have is asked again without them.

        Source: RFC 9111 §4.3.4.
        """
        await errand.content(head)
        update, shelf = self._shared(head), self.broker.shelf
        entries = shelf.variants(self.inquiry.key)
        entries = list(entries) if entry in entries else [*entries, entry]
        places = freshening.identify([each.stored for each in entries], update)
        if not places:
            self.entry = None
            return await self.land()
        updated = {id(entries[place]): self._freshen(entries[place], update) for place in places}
        served = updated.get(id(entry)) or updated[id(entries[places[0]])]
        own = self._own_lines(head, served)
        return Landing(status=304, entry=served, is_stored=shelf.has(served), own=own)

    def _freshen(self, entry: Entry, update: Fields) -> Entry:
        """
        What a 304 or a HEAD makes of a stored answer; stored in its place if it may be.

        What a request's own fields forbid to store says nothing about what is there.
        """
        broker, status = self.broker, entry.stored.status
        lines = freshening.freshen(entry.lines, update, broker.now, broker.policy)
        fields = FieldList(lines)
        verdict = caching.may_store(b"GET", FieldList(self._sent), status, fields, broker.policy)
        arrival = self._arrival(update)
        stored = freshness.describe(status, fields, verdict.directives, arrival, broker.policy)
        if ACCEPT_ENCODING in entry.stored.vary:
            stored = varying_by_coding(stored)
        updated = entry.renewed(stored, without_tags(lines))
        updated.labels |= dict.fromkeys(map(label_of_tag, tags_of(lines)))
        if stored.vary != entry.stored.vary:
            updated.variant = variants.variant_key(stored.vary, self.inquiry.fields) or b""
        if verdict.reason not in caching.ABOUT_REQUEST:
            broker.shelf.remove(entry)
            if verdict.reason is None and not self.is_spoiled:
                broker.keep(updated, self.pages)
        return updated

    def _arrival(self, fields: Fields) -> Arrival:
        """When it came: the clock has whole seconds, the time it took is exact."""
        took_s = self.broker.seconds() - self._departed
        return freshness.arrival_of(fields, self.broker.now - took_s, self.broker.now)

    def _apply_head(self, head: Head) -> None:
        """What the answer to a HEAD says about a stored answer to GET (RFC 9111 §4.3.5)."""
        broker = self.broker
        entry = broker.shelf.select(self.inquiry)
        if entry is None or entry.is_copy or not self.manner.may_store or self.inquiry.cookie:
            return
        update = self._shared(head)
        effect = freshening.head_effect(entry.stored, len(entry.content), head.status, update)
        if effect is freshening.HeadEffect.UPDATE:
            self._freshen(entry, update)
        elif effect is freshening.HeadEffect.STALE:
            broker.shelf.age(entry, broker.now)

    # What came instead

    async def _received(self, errand: Errand, head: Head) -> Landing:
        """An answer of its own: stored, or for one client."""
        self.labels.update(map(label_of_tag, tags_of(head.fields)))
        head.fields = without_tags(head.fields)
        if self.inquiry.method == b"HEAD":
            self._apply_head(head)
        reason, stored = self._judge(head)
        content = await errand.content(head)
        if stored is not None and head.status == 206 and isinstance(content, bytes):
            landing = self._join(head, stored, content)
            if landing is not None:
                return landing
            reason, stored = Reason.PARTIAL, None
        if stored is not None and isinstance(content, Relay):
            content = Relay(errand, first := content.take_first())
            if self._repeats_client(head, first):
                reason, stored = Reason.CLIENT, None
        if stored is not None and isinstance(content, Relay):
            draft = self._entry(head, stored)
            own = self._own_lines(head, draft)
            coming = Coming(draft=draft, fanout=Fanout(content.take_first()))
            return Landing(status=head.status, head=head, coming=coming, is_stored=True, own=own)
        if stored is not None and not isinstance(content, Relay):
            is_small = len(content or b"") <= self.broker.max_object
            reason = Reason.CLIENT if is_small else Reason.TOO_LARGE
            if is_small and not self._repeats_client(head, content or b""):
                return self._store(head, stored, content or b"")
        self.note(head.status, reason)
        self._forget_entry(head.status, reason)
        return Landing(status=head.status, head=head, content=content, reason=reason)

    def _judge(self, head: Head) -> tuple[Reason | None, Stored | None]:
        """Why it is not stored, or what is to be remembered of it."""
        broker, fields, inquiry = self.broker, FieldList(head.fields), self.inquiry
        sent = FieldList(self._sent)
        verdict = caching.may_store(inquiry.method, sent, head.status, fields, broker.policy)
        if verdict.reason is not None:
            return verdict.reason, None
        arrival = self._arrival(fields)
        stored = freshness.describe(head.status, fields, verdict.directives, arrival, broker.policy)
        reason = broker.refusal(fields, stored) or self._refusal()
        if reason is not None:
            return reason, None
        is_uncoded = inquiry.fields.get(ACCEPT_ENCODING) == IDENTITY
        return None, varying_by_coding(stored) if is_uncoded else stored

    def _refusal(self) -> Reason | None:
        """Why this request's answer is not stored, though another one's could be."""
        if self.inquiry.cookie and not self.manner.is_plain:
            return Reason.COOKIE
        if not self.manner.may_store:
            return Reason.ELSEWHERE
        return Reason.OVERTAKEN if self.is_spoiled else None

    def note(self, status: int, reason: Reason | None) -> None:
        """Remember for the next request whether answers of this key can be stored."""
        if self._tells(status):
            about = lasting(status, reason)
            self.broker.shelf.mark(self.inquiry.key, self.inquiry.target, about)

    def _tells(self, status: int) -> bool:
        """Whether an answer says anything about the next one."""
        return self.inquiry.method == b"GET" and status not in ABOUT_CONDITIONS

    def lasting(self, landing: Landing) -> bytes:
        """Why nothing is stored, where that holds for the next request too."""
        reason = lasting(landing.status, landing.reason)
        if reason is None or reason is Reason.ERROR or not self._tells(landing.status):
            return b""  # whoever stores it is asked again after an error
        return b"" if self.broker.shelf.variants(self.inquiry.key) else reason.value

    def _forget_entry(self, status: int, reason: Reason | None) -> None:
        """What was to be validated has been replaced by something that is not stored."""
        is_about = status < 500 and status not in ABOUT_CONDITIONS
        is_of_answer = reason not in NOT_OF_THE_ANSWER and reason is not Reason.AUTHORIZATION
        if self.entry is not None and is_about and is_of_answer:
            self.broker.shelf.remove(self.entry)

    def _repeats_client(self, head: Head, content: bytes) -> bool:
        """Whether it says who asked, and so is for nobody else."""
        values = b"\n".join([value for _, value in head.fields])
        return any(each in values or each in content for each in self.inquiry.clients)

    def _shared(self, head: Head) -> FieldList:
        """Its fields but for those that say who asked."""
        names, lines = self.inquiry.clients, head.fields
        return FieldList([line for line in lines if not any(each in line[1] for each in names)])

    def _join(self, head: Head, stored: Stored, content: bytes) -> Landing | None:
        """One more part; None where what it makes cannot be stored."""
        broker, extent = self.broker, extent_of(FieldList(head.fields))
        if extent is None or len(content) != extent.stop - extent.start:
            return None
        if self._repeats_client(head, content):
            return None
        known = broker.shelf.select(self.inquiry, part_key(self.inquiry.key))
        fresh = self._entry(head, stored)
        fresh.key, fresh.extent = part_key(self.inquiry.key), extent
        entry = joined(known, fresh, content)
        is_small = sum(len(part) for _, part in entry.parts) <= broker.max_object
        if not is_small or not has_wanted(entry, self.inquiry):
            return None
        complete = whole(entry, self.inquiry.key)
        is_stored = broker.keep(complete or entry, self.pages)
        return Landing(status=206, entry=entry, is_stored=is_stored)

    # Storing

    def _entry(self, head: Head, stored: Stored, content: bytes = b"") -> Entry:
        """A stored answer, not on the shelf yet."""
        inquiry, broker = self.inquiry, self.broker
        fields = FieldList(head.fields)
        directives = caching.response_directives(fields, broker.policy.targeted)
        lines = freshening.stored_fields(fields, directives, broker.now)
        variant = variants.variant_key(stored.vary, inquiry.fields) or b""
        entry = Entry(inquiry.key, variant, stored, lines, content)
        entry.labels = dict.fromkeys(self.labels)
        entry.number = 0 if self.errand is None else self.errand.number
        return entry

    def _store(self, head: Head, stored: Stored, content: bytes) -> Landing:
        """Put a whole answer on the shelf."""
        entry = self._entry(head, stored, content)
        if head.status != 204:
            rest = [line for line in entry.lines if line[0] != b"content-length"]
            entry.lines = [*rest, (b"content-length", b"%d" % len(content))]
        is_stored = self.broker.keep(entry, self.pages)
        own = self._own_lines(head, entry)
        return Landing(status=head.status, entry=entry, is_stored=is_stored, own=own)

    def _own_lines(self, head: Head, entry: Entry) -> list[Line]:
        """
        The lines that may not be stored, but were meant for the client who made us ask.

        Source: RFC 9111 §5.2.2.4, §5.2.2.7: both are about other requests.
        """
        fields = FieldList(entry.lines)
        directives = caching.response_directives(fields, self.broker.policy.targeted)
        names = freshening.left_out(directives)
        if fields.get(b"set-cookie") is None:
            names |= {b"set-cookie"}
        return [line for line in head.fields if line[0] in names]

    def keep_whole(self, landing: Landing, content: bytes) -> None:
        """Store what came, unless it was dropped meanwhile or is for one client alone."""
        head, coming = landing.head, landing.coming
        if self.is_spoiled or head is None or coming is None:
            return
        if landing.status == 206:
            self._join(head, coming.draft.stored, content)
        elif self._repeats_client(head, content):
            self.note(landing.status, Reason.CLIENT)
        else:
            self._store(head, coming.draft.stored, content)


def varying_by_coding(stored: Stored) -> Stored:
    """
    The same, as an answer to those alone who accept no coding.

    It says nothing about what others would get; many origins (nginx: `gzip_vary off`) do not tell.
    """
    return replace(stored, vary=tuple(sorted({*stored.vary, ACCEPT_ENCODING})))
