"""
A file as a response: coding, stored response, preconditions, ranges, streaming.

Laws: a fresh stored response without conditions is one look-up and returns what was finished this
second. What is not stored is read without waiting when the page cache has it. Files over
`max_object` never enter the cache.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING

from edge.http.conditional import (
    Precondition,
    content_range,
    evaluate,
    multipart_layout,
    select_ranges,
    unsatisfied_range,
)
from edge.http.fields import acceptable_codings, format_http_date
from edge.http.manner import Manner
from edge.http.message import CRLF, Request, Response, finish_head, parse_lines
from edge.node.blobs import Blobs
from edge.node.cache import Cache, Stored
from edge.site.pages import page_head, render

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.look import Look
    from edge.site.envelope import Envelope
    from edge.site.manifest import Asset
    from edge.site.snapshot import Branch, Shortcut

IDENTITY = b"identity"
PREFERENCES = 1024
"""Accept-Encoding values whose reading is remembered; browsers send a handful."""

LONGEST_PREFERENCE = 128
"""Bytes of such a value; longer ones are read each time."""

WISHES = 8
"""Values of Accept-Encoding that a path remembers its stored responses for."""

Span = tuple[int, int]
Answer = Response | Awaitable[Response]


class Files:
    """Serves assets from the cache and the blobs."""

    def __init__(self, clock: Clock, cache: Cache, blobs: Blobs, max_object: int) -> None:
        self.clock = clock
        self.cache = cache
        self.blobs = blobs
        self.max_object = max_object
        self._preferences: dict[bytes, tuple[bytes, ...]] = {}

    def hit(self, manner: Manner, shortcut: Shortcut) -> Response | None:
        """The stored response, if it is fresh and the request sets no conditions; else None."""
        if not manner.is_read:
            manner.read()
        if manner.is_conditional:
            return None if manner.none_match is None else self._unchanged(manner, shortcut)
        look: Look | None = shortcut.look or shortcut.recent.get(manner.wish)  # type: ignore[assignment]  # a cast is a call
        if look is not None and look.second == self.clock.epoch:
            return look.whole(self.clock)
        stored = self._find(manner.accept_encoding, shortcut)
        if stored is None:
            return None
        return self._show(manner, shortcut, stored.look)

    def _show(self, manner: Manner, shortcut: Shortcut, look: Look) -> Response | None:
        """Have it shown to whoever wishes the same again."""
        recent = shortcut.recent
        if shortcut.asset.codings or manner.is_conditional:
            if len(recent) >= WISHES:
                recent.clear()
            recent[manner.wish] = look
        else:
            shortcut.look = look
        return look.whole(self.clock)

    def _unchanged(self, manner: Manner, shortcut: Shortcut) -> Response | None:
        """304, if what is stored has the very entity-tag that is asked about (RFC 9110 §13.1.2)."""
        stored = self._find(manner.accept_encoding, shortcut)
        if stored is None or stored.etag != manner.none_match:
            return None
        return self._show(manner, shortcut, stored.unchanged)

    def _find(self, wish: bytes | None, shortcut: Shortcut) -> Stored | None:
        """What is stored and fresh of a remembered path."""
        asset, coding = shortcut.asset, IDENTITY
        if asset.codings:
            coding = self._choose_coding(wish, asset)
        stored: Stored | None = asset.stored.get((coding, 200, shortcut.envelope))
        if stored is None or not stored.is_fresh(self.clock):
            return None
        stored.use()
        return stored

    def select(self, request: Request, shortcut: Shortcut) -> Response | None:
        """What of the stored response a request with conditions gets; None if it is not fresh."""
        stored = self._find(request.fields.get(b"accept-encoding"), shortcut)
        if stored is None:
            return None
        return self._select(request, stored, stored.block(self.clock))

    def serve(
        self,
        request: Request,
        branch: Branch,
        asset: Asset,
        envelope: Envelope,
        status: int = 200,
    ) -> Answer:
        """The response for `asset`; a coroutine when its blob has to come from the disk."""
        coding = IDENTITY
        if asset.codings:
            coding = self._choose_coding(request.fields.get(b"accept-encoding"), asset)
        stored: Stored | None = asset.stored.get((coding, status, envelope))
        if stored is None:
            stored = prepare(branch, asset, envelope, coding, status)
            return self._fetch(request, branch, stored)
        clock = self.clock
        if clock.epoch - stored.stored_at >= stored.lifetime:
            stored.store(clock.epoch)  # nothing else can be new, a blob never changes
            return self._select(request, stored, self._block(b"fwd=stale; stored"))
        stored.use()
        return self._select(request, stored, stored.block(clock))

    def _choose_coding(self, accepted: bytes | None, asset: Asset) -> bytes:
        """The best coding this file has (RFC 9110 §12.5.3); identity where none is acceptable."""
        if accepted is None:
            return IDENTITY
        preference = self._preferences.get(accepted)
        if preference is None:
            preference = acceptable_codings(accepted)
            if len(accepted) <= LONGEST_PREFERENCE:
                if len(self._preferences) >= PREFERENCES:
                    self._preferences.clear()
                self._preferences[accepted] = preference
        for coding in preference:
            if coding in asset.codings or coding == IDENTITY:
                return coding
        return IDENTITY

    # Making stored responses

    def _fetch(self, request: Request, branch: Branch, stored: Stored) -> Answer:
        """Read the blob now if memory has it, else by a coroutine; large ones are streamed."""
        sha256, coding = stored.asset.entry.sha256, stored.coding
        if stored.size > self.max_object:
            self.blobs.check(sha256, coding, stored.size)
            verdict = b"fwd=bypass; detail=max-object"
            return self._select(request, stored, self._first_block(branch, stored, verdict))
        content = self.blobs.read_now(sha256, coding, stored.size)
        if content is None:
            return self._fetch_later(request, branch, stored)
        return self._store(request, branch, stored, content)

    async def _fetch_later(self, request: Request, branch: Branch, stored: Stored) -> Response:
        content = await self.blobs.read_all(stored.asset.entry.sha256, stored.coding, stored.size)
        twin: Stored | None = stored.asset.stored.get(stored.key)
        if twin is None or not twin.is_fresh(self.clock):
            return self._store(request, branch, stored, content)
        twin.use()  # somebody waited for the same
        return self._select(request, twin, twin.block(self.clock))

    def _store(self, request: Request, branch: Branch, stored: Stored, content: bytes) -> Response:
        """A branch that was replaced meanwhile leaves nothing behind for the new one."""
        stored.content = content
        is_stored = not branch.retired and self.cache.add(stored)
        verdict = b"fwd=uri-miss; stored" if is_stored else b"fwd=uri-miss"
        return self._select(request, stored, self._first_block(branch, stored, verdict))

    def _first_block(self, branch: Branch, stored: Stored, verdict: bytes) -> bytes:
        """
        The field lines of a response that was not in this worker's memory.

        What a previous deployment answers counts as stored at the activation, so that its age is
        the same on every worker, also before each of them has read it.
        """
        asset = stored.asset
        is_kept = branch.previous is not None and asset.deployment == branch.previous.id
        is_kept = is_kept and asset.entry.path not in branch.purged
        if not is_kept or self.clock.epoch - branch.active_at >= stored.lifetime:
            stored.store(self.clock.epoch)
            return self._block(verdict)
        stored.store(branch.active_at)
        return stored.block(self.clock)

    def _block(self, verdict: bytes) -> bytes:
        return b"%bCache-Status: edge; %b\r\n\r\n" % (self.clock.date, verdict)

    # Preconditions and ranges (RFC 9110 §13.2.2)

    def _select(self, request: Request, stored: Stored, block: bytes) -> Response:
        """What of the representation this request gets."""
        if stored.head.status == 200:
            verdict = evaluate(request.method, request.fields, stored.etag, stored.modified)
            if verdict is Precondition.NOT_MODIFIED:
                return Response(stored.not_modified, block, None)
            if verdict is Precondition.FAILED:
                return self._failed(request, stored)
            if request.method == b"GET" and request.fields.get(b"range") is not None:
                spans = select_ranges(request.fields, stored.etag, stored.modified, stored.size)
                if spans is not None:
                    return self._partial(stored, spans, block)
        if request.method == b"HEAD":
            return Response(stored.head, block, None)
        return Response(stored.head, block, self._span(stored, 0, stored.size))

    def _span(self, stored: Stored, start: int, stop: int) -> bytes | AsyncIterator[bytes]:
        if stored.size > self.max_object:
            return self.blobs.stream(stored.asset.entry.sha256, stored.coding, start, stop)
        return stored.content if stop - start == stored.size else stored.content[start:stop]

    def _failed(self, request: Request, stored: Stored) -> Response:
        content = render("Precondition failed", "The file is not the one that was asked about.")
        body = None if request.method == b"HEAD" else content
        head = page_head(412, content, envelope=stored.envelope.closed())
        return Response(head, self.clock.date + b"\r\n", body)

    def _partial(self, stored: Stored, spans: list[Span], block: bytes) -> Response:
        if not spans:
            return self._unsatisfiable(stored)
        shared = whole_fields(stored, without=b"content-length")
        if len(spans) == 1:
            start, stop = spans[0]
            shared.append((b"Content-Length", b"%d" % (stop - start)))
            shared.append((b"Content-Range", content_range(start, stop, stored.size)))
            return Response(finish_head(206, shared), block, self._span(stored, start, stop))
        return self._multipart(stored, spans, block, shared)

    def _multipart(
        self, stored: Stored, spans: list[Span], block: bytes, shared: list[tuple[bytes, bytes]]
    ) -> Response:
        boundary = secrets.token_hex(12).encode()
        media_type = stored.asset.entry.media_type.encode()
        length, preambles, closing = multipart_layout(spans, media_type, stored.size, boundary)
        fields = [pair for pair in shared if pair[0] != b"content-type"]
        fields.append((b"Content-Type", b"multipart/byteranges; boundary=" + boundary))
        fields.append((b"Content-Length", b"%d" % length))
        parts = self._parts(stored, spans, preambles, closing)
        return Response(finish_head(206, fields), block, parts)

    async def _parts(
        self, stored: Stored, spans: list[Span], preambles: list[bytes], closing: bytes
    ) -> AsyncIterator[bytes]:
        for preamble, (start, stop) in zip(preambles, spans, strict=True):
            yield preamble
            content = self._span(stored, start, stop)
            if isinstance(content, bytes):
                yield content
            else:
                async for chunk in content:
                    yield chunk
        yield closing

    def _unsatisfiable(self, stored: Stored) -> Response:
        content = render("Range not satisfiable", f"The file has {stored.size} bytes.")
        unsatisfied = (b"Content-Range", unsatisfied_range(stored.size))
        head = page_head(416, content, unsatisfied, envelope=stored.envelope.closed())
        return Response(head, self.clock.date + b"\r\n", content)


def has_conditions(request: Request) -> bool:
    """Whether the request asks for less than the whole representation."""
    manner = request.manner or manner_of(request)
    return manner.is_conditional if manner.is_read else manner.read().is_conditional


def manner_of(request: Request) -> Manner:
    """What the fields of a request say that nobody has looked at yet."""
    manner = request.manner = Manner(request.authority, request.fields)
    return manner


def whole_fields(stored: Stored, *, without: bytes) -> list[tuple[bytes, bytes]]:
    """The field lines of the 200 response but one; partial responses are rare enough to rebuild."""
    lines = stored.head.lines
    pairs = parse_lines(lines[lines.index(CRLF) + 2 :])
    return [pair for pair in pairs if pair[0] != without]


def modified_at(branch: Branch, asset: Asset) -> int:
    """Epoch seconds since when a file is what is served, as it was said from the first answer."""
    if branch.active is not None and branch.active.id == asset.deployment:
        return branch.active_at
    if branch.previous is not None and branch.previous.id == asset.deployment:
        return branch.previous_at
    return asset.created


def prepare(branch: Branch, asset: Asset, envelope: Envelope, coding: bytes, status: int) -> Stored:
    """A response for `asset` with finished heads, before its content is there."""
    entry = asset.entry
    size = entry.size if coding == IDENTITY else entry.codings[coding.decode()]
    suffix = b"" if coding == IDENTITY else b"-" + coding
    etag = b'"%b%b"' % (entry.sha256[:32].encode(), suffix)
    stored = Stored(asset, (coding, status, envelope), size, etag)
    stored.modified = modified_at(branch, asset)
    shared = [
        (b"Cache-Control", envelope.cache_control),
        (b"ETag", etag),
        (b"X-Edge-Deployment", asset.deployment.encode()),
        (b"Server", b"edge"),
    ]
    if asset.codings:
        shared.append((b"Vary", b"Accept-Encoding"))
    whole = [
        (b"Content-Type", entry.media_type.encode()),
        (b"Content-Length", b"%d" % size),
        (b"Last-Modified", format_http_date(stored.modified)),
        *shared,
    ]
    if status == 200:
        whole.append((b"Accept-Ranges", b"bytes"))
    if coding != IDENTITY:
        whole.append((b"Content-Encoding", coding))
    stored.head = finish_head(status, envelope.dress(whole))
    stored.not_modified = finish_head(304, envelope.dress(shared))
    return stored
