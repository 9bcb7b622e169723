"""
Who may use the admin API, and how a refusal is told.

Laws: a request is checked before anything else: its Host against DNS rebinding, its Origin and
content type against forged requests, its token in constant time. Every refusal is a problem
document (RFC 9457), and none of them repeats what the request carried. The operator's own token
opens everything; a scoped one what it is for (`permits`).
"""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web

from edge.control import durable
from edge.control.attempts import Attempts, is_local
from edge.control.sessions import Sessions, cookie_name
from edge.control.tokens import Tokens
from edge.node.orders import Listeners
from edge.site.scopes import Scope

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Answered without a token: yes or no, and figures, by the names of apps and hosts."""

HEALTH = OPEN_PATHS - {"/metrics"}
"""Answered whatever name they are asked by: it is a load balancer's word, and tells nothing."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Hosts of this machine, as browsers write them."""

BLOBS = "/v1/blobs/"
"""Where bodies are content, not JSON."""

PAGES = frozenset({"/", "/login", "/logout", "/explain"})
"""What browsers open: by a session, never by a token; bodies are forms."""

FORM = "application/x-www-form-urlencoded"


class Problem(Exception):
    """A refusal of the API."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Caller(NamedTuple):
    """Who makes a call."""

    who: str
    """As the audit log has it."""
    scope: Scope | None = None
    """None is everything."""
    token: str | None = None
    """The id of a scoped token."""


ANYBODY: Final = Caller("anybody")
"""Who asks for an open path, or was not let in."""


class Admission:
    """The checks of one listener."""

    def __init__(self, listeners: Listeners, token: bytes, tokens: Tokens) -> None:
        self._token = token
        self._tokens = tokens
        self._attempts = Attempts()
        self._own = own_hosts(listeners)
        self.sessions = Sessions(tokens)

    def check(self, request: web.Request, hosts: Collection[str]) -> Caller:
        """
        Let a request pass, and say whose it is. `hosts` are names besides the listener's own.

        Raises:
            Problem: it may not.
        """
        if request.path in HEALTH:
            return ANYBODY
        hosts = {*hosts, address_of(request)}
        host = request.headers.get("Host", "")
        is_open = request.path in OPEN_PATHS
        if not self._is_ours(host, hosts) and not (is_open and is_unbindable(host)):
            raise Problem(421, "this Host is not the admin API's; add it to admin.hosts")
        if is_open:
            return ANYBODY
        if self._is_foreign(request, hosts):
            raise Problem(403, "requests from pages of another origin are refused")
        if request.path in PAGES:
            return self._visitor(request)
        is_json = request.content_type == "application/json"
        if request.can_read_body and not is_json and not request.path.startswith(BLOBS):
            raise Problem(415, "send JSON, with Content-Type: application/json")
        return self._identify(request.headers.get("Authorization", ""), request.remote or "")

    def _is_ours(self, authority: str, hosts: Collection[str]) -> bool:
        if self._own is None:
            return True
        authority = authority.lower()
        return authority in self._own or split_port(authority) in hosts

    def _visitor(self, request: web.Request) -> Caller:
        """Who is logged in, by the cookie; anybody where nobody is."""
        if request.can_read_body and request.content_type != FORM:
            raise Problem(415, f"send a form, with Content-Type: {FORM}")
        session = self.sessions.find(session_of(request), time.time())
        if session is None:
            return ANYBODY
        return Caller(session.who, session.scope, session.token)

    def _is_foreign(self, request: web.Request, hosts: Collection[str]) -> bool:
        """Whether a page of another origin made a browser send this."""
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            return not is_link(request)
        origin = request.headers.get("Origin")
        if origin is None:
            return False
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in {"http", "https"}:
            return True
        if self._own is None:  # `ssh -L 9901:/run/edge.sock`: a page of this machine, and the same
            is_same = authority == request.headers.get("Host", "").lower()
            return not is_same or split_port(authority) not in {*LOOPBACK, *hosts}
        return not self._is_ours(authority, hosts)

    def _identify(self, credentials: str, client: str) -> Caller:
        """Whose token a header has."""
        scheme, _, given = credentials.partition(" ")
        return self.recognize(given.strip() if scheme.lower() == "bearer" else "", client)

    def recognize(self, given: str, client: str) -> Caller:
        """
        Whose token this is; who was wrong too often is not listened to.

        Raises:
            Problem: it is nobody's, has expired, or is not listened to.
        """
        now = time.time()
        wait = self._attempts.wait_of(client, now)
        if wait and not is_local(client):
            raise barred(wait)
        if given and (caller := self._caller(given, now)):
            return caller
        self._attempts.fail(client, now)
        raise barred(wait) if wait else Problem(401, UNKNOWN)

    def _caller(self, given: str, now: float) -> Caller | None:
        """
        Whose token this is, if anybody's.

        Raises:
            Problem: it has expired.
        """
        if hmac.compare_digest(given.encode(errors="surrogateescape"), self._token):
            return Caller("admin")
        token, is_expired = self._tokens.find(given, now)
        if token is None:
            return None
        if is_expired:
            raise Problem(401, "this token has expired; make another one: edge token create")
        self._tokens.touch(token.id, now)
        who = f"token:{token.id}" + (f" {token.name}" if token.name else "")
        return Caller(who, token.scope, token.id)


UNKNOWN: Final = (
    "send the token of admin.token_file, or one that `edge token create` made, "
    "as Authorization: Bearer …"
)


def session_of(request: web.Request) -> str:
    """The id of the session that a request says to be of; empty where it says nothing."""
    name = cookie_name(request.headers.get("Host", ""), is_secure=request.secure)
    return request.cookies.get(name, "")


def is_link(request: web.Request) -> bool:
    """Whether somebody follows a link to the page from elsewhere: it shows, and changes nothing."""
    is_whole = request.headers.get("Sec-Fetch-Dest") == "document"  # neither a frame nor an image
    is_moving = request.headers.get("Sec-Fetch-Mode") == "navigate"
    return request.path == "/" and request.method == "GET" and is_whole and is_moving


def barred(wait: float) -> Problem:
    """The refusal of who was wrong too often."""
    seconds = math.ceil(wait)
    text = f"too many wrong tokens came from this address; try again in {seconds} s"
    return Problem(429, text, {"Retry-After": str(seconds)})


def own_hosts(listeners: Listeners) -> frozenset[str] | None:
    """What a Host may say by the sockets themselves; None, which is anything, on a Unix socket."""
    found = set()
    for name, listener in listeners.entries:
        address = name.removeprefix("admin ")
        if address.startswith("unix:"):
            return None
        port = listener.getsockname()[1]
        for host in (address.rpartition(":")[0], *LOOPBACK):
            found.add(f"{host}:{port}")
            if port in {80, 443}:
                found.add(host)
    return frozenset(found)


def address_of(request: web.Request) -> str:
    """The address that a client reached, as a Host has it: a page has it only from there."""
    name = request.get_extra_info("sockname")
    host = str(name[0]) if isinstance(name, tuple) else ""
    return f"[{host}]" if ":" in host else host


def is_unbindable(authority: str) -> bool:
    """Whether no DNS of a stranger leads a browser here by it: an address, a name of one label."""
    host = split_port(authority).strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return "." not in host
    return True


def split_port(authority: str) -> str:
    """The host of an authority."""
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdecimal() else authority


def open_token(path: Path) -> bytes:
    """The admin token; the first start makes one that only the owner can read."""
    token = _read_token(path)
    if not token:  # an empty file, too: an empty token would let everybody in
        durable.write(path, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
        token = _read_token(path)
    return token


def _read_token(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return b""


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> web.Response:
    """
    A problem document.

    Source: RFC 9457 §3; RFC 6750 §3 for the challenge of a 401.
    """
    title = web.Response(status=status).reason
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    fields = {"WWW-Authenticate": "Bearer"} if status == 401 else dict(headers or {})
    return web.json_response(
        document | members, status=status, headers=fields, content_type="application/problem+json"
    )
