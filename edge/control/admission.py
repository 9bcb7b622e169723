"""
Who may use the admin API, and how a refusal is told.

Laws: a request is checked before anything else: its Host against DNS rebinding, its Origin and
content type against forged requests, its token in constant time. Every refusal is a problem
document (RFC 9457), and none of them repeats what the request carried.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from edge.control import durable
from edge.node.orders import Listeners

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Answered without a token: yes or no, and figures by names that the world knows anyway."""

BLOBS = "/v1/blobs/"
"""Where bodies are content, not JSON."""


class Problem(Exception):
    """A refusal of the API."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Admission:
    """The checks of one listener."""

    def __init__(self, listeners: Listeners, token: bytes) -> None:
        self._token = token
        self._own = own_hosts(listeners)

    def check(self, request: web.Request, hosts: Collection[str]) -> None:
        """
        Let a request pass. `hosts` are names besides the listener's own, with any port.

        Raises:
            Problem: it may not.
        """
        if request.path in OPEN_PATHS:
            return
        if not self._is_ours(request.headers.get("Host", ""), hosts):
            raise Problem(421, "this Host is not the admin API's; add it to admin.hosts")
        if self._is_foreign(request, hosts):
            raise Problem(403, "requests from pages of another origin are refused")
        is_json = request.content_type == "application/json"
        if request.can_read_body and not is_json and not request.path.startswith(BLOBS):
            raise Problem(415, "send JSON, with Content-Type: application/json")
        if not self._has_token(request.headers.get("Authorization", "")):
            raise Problem(401, "send the token of admin.token_file as Authorization: Bearer …")

    def _is_ours(self, authority: str, hosts: Collection[str]) -> bool:
        if self._own is None:
            return True
        authority = authority.lower()
        return authority in self._own or split_port(authority) in hosts

    def _is_foreign(self, request: web.Request, hosts: Collection[str]) -> bool:
        """Whether a page of another origin made a browser send this."""
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            return True
        origin = request.headers.get("Origin")
        if origin is None:
            return False
        scheme, _, authority = origin.partition("://")
        is_unix = self._own is None  # no page was ever loaded from there
        return is_unix or scheme not in {"http", "https"} or not self._is_ours(authority, hosts)

    def _has_token(self, credentials: str) -> bool:
        scheme, _, given = credentials.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), self._token
        )


def own_hosts(listeners: Listeners) -> frozenset[str] | None:
    """What a Host may say by the sockets themselves; None, which is anything, on a Unix socket."""
    found = set()
    for name, listener in listeners.entries:
        address = name.removeprefix("admin ")
        if address.startswith("unix:"):
            return None
        port = listener.getsockname()[1]
        for host in (address.rpartition(":")[0], "localhost", "127.0.0.1", "[::1]"):
            found.add(f"{host}:{port}")
            if port in {80, 443}:
                found.add(host)
    return frozenset(found)


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
