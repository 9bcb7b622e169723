"""
The life of a request: host → branch → file → stored response → conditional → response.

Laws: `respond` is a plain function and answers at once where it can; it returns a coroutine only
when a manifest or a blob has to come from the disk. Every error becomes a response in one place.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from edge.errors import RequestError, StoreError
from edge.http.fields import is_field_value
from edge.http.message import REASONS, Request, Response, finish_head
from edge.http.target import decode_path, encode_path, split_query
from edge.site import pages
from edge.site.manifest import is_fingerprinted
from edge.site.snapshot import (
    MAX_LIFETIME,
    Branch,
    Site,
    Snapshot,
    find_asset,
    find_not_found,
)

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.files import Files
    from edge.node.trees import Trees

log = logging.getLogger("edge.handler")

ALLOW = (b"Allow", b"GET, HEAD, OPTIONS")

Answer = Response | Awaitable[Response]


class Handler:
    """Answers requests from a snapshot."""

    def __init__(self, clock: Clock, files: Files, trees: Trees) -> None:
        self.clock = clock
        self.files = files
        self.trees = trees
        self.snapshot = Snapshot(0, {}, {})
        self.responses = [0] * 6
        """Responses by class (index 1 to 5)."""

    def respond(self, request: Request) -> Answer:
        """The response, or a coroutine for it. Never raises."""
        site = self.snapshot.known.get(request.authority)
        if site is not None and request.method == b"GET":
            target = request.target
            asset = site.found.get(target) or site.found.get(target.partition(b"?")[0])
            if asset is not None:
                hit = self.files.hit(request, site, asset)
                if hit is not None:
                    self.responses[2] += 1
                    return hit
        try:
            answer = self._respond(request, site)
        except Exception as error:  # noqa: BLE001  (the one place where errors become responses)
            answer = self.error_response(error, request)
        if type(answer) is Response:
            self.responses[answer.head.status // 100] += 1
            return answer
        return self._count_later(request, cast("Awaitable[Response]", answer))

    def _respond(self, request: Request, site: Site | None) -> Answer:
        site = site or self.snapshot.resolve(request.authority)
        if site is None:
            return self._unknown_host(request)
        branch = site.branch
        if branch is None:
            return self._page(request, 503, pages.UNCONFIGURED, (b"Retry-After", b"60"))
        if branch.guarded:  # fails closed: never without the password
            return self._page(request, 503, pages.GUARDED)
        if request.method not in (b"GET", b"HEAD"):
            return self._other_method(request)
        if branch.active is None or branch.active.manifest is None or branch.previous is not None:
            for _ in branch.trees(self.clock.epoch):
                return self._load_first(request, site, branch)
        return self._look_up(request, site, branch)

    async def _load_first(self, request: Request, site: Site, branch: Branch) -> Response:
        await self.trees.load_branch(branch, self.clock.epoch)
        return await settle(self._look_up(request, site, branch))

    async def _count_later(self, request: Request, answer: Awaitable[Response]) -> Response:
        try:
            response = await answer
        except Exception as error:  # noqa: BLE001  (as above)
            response = self.error_response(error, request)
        self.responses[response.head.status // 100] += 1
        return response

    def _look_up(self, request: Request, site: Site, branch: Branch) -> Answer:
        """Steps 4 to 7 of rules.md's order."""
        raw_path, query = split_query(request.target)
        path = decode_path(raw_path)
        found = find_asset(branch, path, self.clock.epoch)
        if found is None:
            return self._missing(request, site, branch, path)
        if isinstance(found, str):
            return self._redirect(request, found, query)
        if not branch.answers_before(self.clock.epoch):
            self.snapshot.remember(site, raw_path, path, found)
        return self.files.serve(request, site, branch, found)

    def _missing(self, request: Request, site: Site, branch: Branch, path: str) -> Answer:
        if branch.active is None:
            return self._page(request, 404, pages.NOT_DEPLOYED)
        hashed = is_fingerprinted(path)
        if hashed and branch.retained is not None:
            return self._retained(request, site, branch, path)
        return self._not_found(request, site, branch, path, hashed=hashed)

    def _retained(self, request: Request, site: Site, branch: Branch, path: str) -> Answer:
        """A fingerprinted name that the active deployment lost, for tabs opened before it."""
        retained = branch.retained
        assert retained is not None, "asked only for branches that keep some"
        if retained.files is None:
            return self._load_retained(request, site, branch, path)
        asset = retained.find(path[1:], self.clock.epoch)
        if asset is not None:
            return self.files.serve(request, site, branch, asset)
        return self._not_found(request, site, branch, path, hashed=True)

    async def _load_retained(
        self, request: Request, site: Site, branch: Branch, path: str
    ) -> Response:
        await self.trees.load_retained(branch)
        await self.trees.load_branch(branch, self.clock.epoch)  # they may have gone meanwhile
        return await settle(self._retained(request, site, branch, path))

    def _not_found(
        self, request: Request, site: Site, branch: Branch, path: str, *, hashed: bool
    ) -> Answer:
        """The nearest 404 page; a missing fingerprinted name must not be remembered by anyone."""
        if hashed:
            return self._page(request, 404, pages.NOT_FOUND)
        asset = find_not_found(branch, path)
        if asset is None:
            lifetime = min(branch.lifetime, MAX_LIFETIME)
            shared = b"public, max-age=0, s-maxage=%d" % lifetime
            return self._page(request, 404, pages.NOT_FOUND, cache_control=shared)
        return self.files.serve(request, site, branch, asset, status=404)

    # Answers of the node itself

    def _redirect(self, request: Request, path: str, query: bytes | None) -> Response:
        """301 to the canonical form of a path, query kept (rules.md step 5)."""
        location = encode_path(path) + (b"" if query is None else b"?" + query)
        if not is_field_value(location):
            location = encode_path(path)
        return self._page(
            request,
            301,
            pages.render("Moved", "The page is at " + location.decode("latin-1")),
            (b"Location", location),
            cache_control=b"public, max-age=0, s-maxage=600",
        )

    def _other_method(self, request: Request) -> Response:
        if request.method == b"OPTIONS":
            head = finish_head(204, (ALLOW, (b"Server", b"edge")))
            return Response(head, self._block(), None)
        sentence = "This address answers GET, HEAD and OPTIONS."
        return self._page(request, 405, pages.render("Method not allowed", sentence), ALLOW)

    def _unknown_host(self, request: Request) -> Response:
        if request.target == b"*":
            return self._other_method(request)
        host = request.authority.decode("utf-8", "replace")
        return self._page(request, 404, pages.unknown_host(host))

    def _page(
        self,
        request: Request,
        status: int,
        content: bytes,
        *fields: tuple[bytes, bytes],
        cache_control: bytes = b"no-store",
    ) -> Response:
        head = pages.page_head(status, content, *fields, cache_control=cache_control)
        return Response(head, self._block(), None if request.method == b"HEAD" else content)

    def _block(self) -> bytes:
        return self.clock.date + b"\r\n"

    def error_response(self, error: BaseException, request: Request | None = None) -> Response:
        """
        The response for any error; the one place that makes them.

        Errors of the client say what was wrong. Anything else is logged with a short id, and the
        id is all that the client sees.
        """
        if isinstance(error, RequestError):
            content = pages.render(REASONS[error.status].decode(), f"{error}.")
            return self._error_page(request, error.status, content)
        reference = secrets.token_hex(4)
        target = request.target if request is not None else b""
        log.error("%s: %r failed", reference, target, exc_info=error)
        content = pages.render(
            "Something broke here", f"The node's log says more under {reference}."
        )
        status = 503 if isinstance(error, StoreError) else 500
        return self._error_page(request, status, content)

    def _error_page(self, request: Request | None, status: int, content: bytes) -> Response:
        """Without a request the connection could not be understood, and ends."""
        body = None if request is not None and request.method == b"HEAD" else content
        head = pages.page_head(status, content)
        return Response(head, self._block(), body, closes=request is None)


async def settle(answer: Answer) -> Response:
    """The response of an answer that may have to be waited for."""
    return answer if type(answer) is Response else await cast(Awaitable[Response], answer)
