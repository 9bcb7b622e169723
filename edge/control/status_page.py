"""
The page over HTTP: login, status, explain, logout.

Laws: whoever has no session gets the login form and nothing else. A token is taken by a form alone,
never by an address; wrong ones are counted as those of the API are. The page changes nothing, and
what is heavy is made in a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from edge.control import page, page_explain, permits
from edge.control.admission import ANYBODY, Admission, Caller, Problem, session_of
from edge.control.gathering import Gathering
from edge.control.guard import CALLER, FAULT, Handle, refusal
from edge.control.page_style import FIELDS
from edge.control.sessions import LIFETIME, cookie_name
from edge.errors import Forbidden, Mistaken, StoreError

MAX_FORM: Final = 16 * 1024
"""Bytes of a form."""

MAX_QUERY: Final = 63
"""Characters of an app's name."""


class StatusPage:
    """The handlers of one listener."""

    def __init__(self, admission: Admission, gathering: Gathering) -> None:
        self._admission = admission
        self._gathering = gathering

    def routes(self) -> list[web.RouteDef]:
        """Everything that browsers open."""
        return [
            web.get("/", self._show),
            web.post("/login", self._log_in),
            web.post("/logout", self._log_out),
            web.post("/explain", self._logged_in(self._explain)),
        ]

    def _logged_in(self, handle: Handle) -> Handle:
        """A handler that sends whoever is not logged in to the form."""

        async def handle_or_send(request: web.Request) -> web.StreamResponse:
            return to_start() if request[CALLER] is ANYBODY else await handle(request)

        return handle_or_send

    async def _show(self, request: web.Request) -> web.StreamResponse:
        caller: Caller = request[CALLER]
        if caller is ANYBODY:
            return html(page.login())
        alarms = self._gathering.alarms() if caller.scope is None else {}
        query = request.query.get("app", "")[:MAX_QUERY]
        is_refreshing = request.query.get("refresh") == "1"

        def make() -> str:
            overview = self._gathering.gather(caller.scope, query, time.time(), alarms)
            return page.status(overview, is_refreshing=is_refreshing)

        return html(await asyncio.to_thread(make))

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        given = (await form_of(request)).get("token", "").strip()
        try:
            caller = self._admission.recognize(given, request.remote or "")
            if caller.scope is not None:
                permits.permit(permits.call_of("POST", "/login"), caller.scope, {})
        except Problem as problem:
            return self._refuse(request, problem.status, TOLD.get(problem.status, str(problem)))
        except Forbidden as forbidden:
            return self._refuse(request, 403, str(forbidden))
        request[CALLER] = caller
        self._admission.sessions.end(session_of(request))
        begun = self._admission.sessions.begin(caller.who, caller.scope, caller.token, time.time())
        answer = to_start()
        set_cookie(request, answer, begun, LIFETIME)
        return answer

    def _refuse(self, request: web.Request, status: int, text: str) -> web.StreamResponse:
        request[FAULT] = text
        return html(page.login(text), status)

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        self._admission.sessions.end(session_of(request))
        answer = to_start()
        set_cookie(request, answer, "", 0)
        return answer

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        asked = {name: form.get(name, "").strip() for name in ("url", "method", "country")}
        asked["method"] = asked["method"] or "GET"
        question = {**asked, "country": asked["country"] or None}
        body = msgspec.json.encode({"request": question})
        scope = request[CALLER].scope
        operations = self._gathering.of(scope)
        trail: dict[str, Any] | None = None
        status, told = 200, ""
        try:
            trail = await asyncio.to_thread(operations.ask, body)
        except (StoreError, Mistaken) as error:
            answer = refusal(error)
            status, told = answer.status if answer is not None else 422, str(error)
            request[FAULT] = told
        made = page_explain.explained(self._gathering.node(scope), asked, trail, told)
        return html(made, status)


TOLD: Final = {401: "This token opens nothing here."}
"""What the form says of a refusal, where the API's words are for programs."""


async def form_of(request: web.Request) -> dict[str, str]:
    """
    A form, of which the first value of each field counts.

    Raises:
        Problem: it is too large, or none.
    """
    length = request.content_length
    if length is None or length > MAX_FORM:
        raise Problem(413, f"a form has {MAX_FORM} bytes at most, and says how many")
    try:
        text = (await request.read()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise Problem(400, "this is no form") from error
    return dict(reversed(pairs))


def html(text: str, status: int = 200) -> web.Response:
    """A page, with the policy that it needs."""
    body = text.encode()
    return web.Response(
        body=body, status=status, headers=FIELDS, content_type="text/html", charset="utf-8"
    )


def to_start() -> web.Response:
    """Lead to the page."""
    return web.Response(status=303, headers={**FIELDS, "Location": "/"})


def set_cookie(request: web.Request, answer: web.Response, value: str, lifetime: int) -> None:
    """Have a browser keep the id of a session; none of its scripts sees it."""
    is_secure = request.secure
    answer.set_cookie(
        cookie_name(request.headers.get("Host", ""), is_secure=is_secure),
        value,
        max_age=lifetime,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=is_secure,
    )
