"""
What stands before every call of the admin API, and behind it: admission, permits, the audit log.

Laws: nobody reaches a handler whom `admission` did not let in and `permits` did not let pass. Every
call leaves one line in the audit log, but for the open paths; of strangers who are refused at the
door only so many a minute do, or they would write the log full. An answer to a change waits for
its line, a second at most. What goes wrong is told as a problem document.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec
from aiohttp import web

from edge.control import audit, durable, permits
from edge.control.admission import (
    ANYBODY,
    OPEN_PATHS,
    PAGES,
    Admission,
    Caller,
    Problem,
    problem,
)
from edge.control.announcements import Malformed
from edge.control.audit import Audit
from edge.control.configuration import as_json
from edge.control.deployments import Missing, NoSuch
from edge.control.operations import Document, refused_document
from edge.control.permits import Call
from edge.control.reload import Refused
from edge.errors import Forbidden, Mistaken, StoreError
from edge.site.decoding import decode_json
from edge.site.scopes import Scope

log = logging.getLogger("edge.admin")

MAX_STRANGERS: Final = 60
"""Lines a minute of those who were not let in."""

MINUTE: Final = 60.0

CALLER: Final = web.RequestKey("edge.caller", Caller)
"""Who makes a request."""

ABOUT: Final = web.RequestKey("edge.about", dict[str, str | None])
"""What it is about, as far as its path does not say."""

FAULT: Final = web.RequestKey("edge.fault", str)
"""Why a page says no, which it does in its own words."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Named(msgspec.Struct):
    """What of a body the audit log has."""

    app: str | None = None
    branch: str | None = None


class Guard:
    """The middleware of one listener."""

    def __init__(
        self, admission: Admission, log_file: Audit, hosts: Callable[[], Collection[str]]
    ) -> None:
        self._admission = admission
        self._audit = log_file
        self._hosts = hosts
        self._strangers = 0
        self._minute = 0.0

    @web.middleware
    async def check(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        """Let a call pass or refuse it; note what came of it."""
        begun = time.monotonic()
        request[CALLER], request[ABOUT] = ANYBODY, {}
        resource = request.match_info.route.resource
        call = permits.call_of(request.method, None if resource is None else resource.canonical)
        error: str | None = None
        answer: web.StreamResponse
        try:
            caller = request[CALLER] = self._admission.check(request, self._hosts())
            if caller.scope is not None:
                permits.permit(call, caller.scope, request.match_info)
            answer = await handler(request)
            error = request.get(FAULT)
        except Exception as raised:  # noqa: BLE001 - told, and logged where it is our fault
            answer, error = tell(request, raised)
        is_open = request.path in OPEN_PATHS or (request.path in PAGES and error is None)
        if not (is_open and request[CALLER] is ANYBODY):
            await self._note(request, call, answer.status, error, begun)
        answer.headers["Server"] = "edge"
        return answer

    async def _note(
        self, request: web.Request, call: Call, status: int, error: str | None, begun: float
    ) -> None:
        """Write the line of a call."""
        caller: Caller = request[CALLER]
        if caller is ANYBODY:
            error = self._judge_stranger(error, begun)
            if error is None:
                return
        found = request.match_info
        names = {"id": found.get("id") or found.get("sha256") or found.get("name")}
        said: dict[str, str | None] = request[ABOUT]
        about = {**found, **names, **said}
        entry = audit.entry_of(caller.who, call.action, about, request.remote)
        entry |= {
            "method": request.method,
            "path": audit.shorten(request.rel_url.raw_path),
            "status": status,
            "error": audit.shorten(error),
            "seconds": round(time.monotonic() - begun, 6),
        }
        written = asyncio.wrap_future(self._audit.note(entry))
        if request.method not in {"GET", "HEAD"} and call.action != "blob":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(written), audit.PATIENCE)

    def _judge_stranger(self, error: str | None, now: float) -> str | None:
        """What is noted of one who was not let in; None where that were too much."""
        if now - self._minute > MINUTE:
            self._minute, self._strangers = now, 0
        self._strangers += 1
        if self._strangers == MAX_STRANGERS:
            return f"{error} (others of this minute are not noted)"
        return (error or "") if self._strangers < MAX_STRANGERS else None


def scope_of(request: web.Request) -> Scope | None:
    """What its caller may; None is everything."""
    caller: Caller = request[CALLER]
    return caller.scope


def told(request: web.Request, document: Document, status: int = 200) -> web.Response:
    """An answer whose document says what the call was about."""
    names = {name: document.get(name) for name in ("app", "branch", "id")}
    request[ABOUT].update({name: each for name, each in names.items() if isinstance(each, str)})
    if document.get("dry_run"):  # what looks like a change and is none
        request[ABOUT].update({"id": "dry run"})
    return web.json_response(document, status=status)


async def body_of(request: web.Request) -> bytes:
    """A body, of which the app and the branch that it names are noted."""
    body = await request.read()
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        named = decode_json(body, Named)
        request[ABOUT].update({"app": named.app, "branch": named.branch})
    return body


def tell(request: web.Request, error: Exception) -> tuple[web.Response, str]:
    """The problem document of an error, and its text."""
    if isinstance(error, web.HTTPException):
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(error.status, error.reason, allow), error.reason
    answer = refusal(error)
    if answer is None:
        log.error("%s %s failed", request.method, request.rel_url.raw_path, exc_info=error)
        answer = problem(500, "something broke; the node's log says more")
    return answer, str(error) or type(error).__name__


def refusal(error: Exception) -> web.Response | None:
    """The problem document of an error that somebody outside can act on."""
    match error:
        case Problem():
            return problem(error.status, str(error), error.headers)
        case Missing():
            return problem(409, str(error), missing=error.hashes)
        case Refused():
            return problem(422, str(error), **refused_document(error))
        case Mistaken():
            return problem(422, str(error), errors=[as_json(each) for each in error.errors])
        case StoreError():
            return problem(status_of(error), str(error))
        case web.RequestPayloadError() | ConnectionError():
            return problem(400, "the request ended before its body did")
        case OSError() if (advice := durable.trouble(error)) is not None:
            return problem(507, f"on the node, {advice}")
    return None


def status_of(error: StoreError) -> int:
    """The status of a refusal that has nothing but its text."""
    statuses = {Forbidden: 403, NoSuch: 404, Malformed: 400}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 422)
