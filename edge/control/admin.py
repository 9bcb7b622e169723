"""
The admin API: `operations` over HTTP, on its own listener, for those who have the token.

Laws: a request is checked before anything else: its Host against DNS rebinding, its Origin and
content type against forged requests, its token in constant time. Every refusal is a problem
document (RFC 9457). Work on the disk runs in threads; the loop stays free for health checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from edge.control import configuration
from edge.control.changes import Changes, Refused
from edge.control.deployments import SHA256, Missing
from edge.control.operations import Document, Operations, reloaded
from edge.errors import StoreError
from edge.node import orders
from edge.node.orders import Listeners, Reply
from edge.node.tasks import spawn
from edge.site.places import Places

log = logging.getLogger("edge.admin")

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered without a token: they say nothing but yes or no."""

MAX_JSON = 64 * 1024 * 1024
"""Bytes of a JSON body; 100,000 files of a deployment take about 20 MiB."""

COLLECT_EVERY = 3600.0
"""Seconds between two collections of what nothing names."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The control process: serves the API, reloads, collects."""

    def __init__(self, places: Places, config: Path | None, listeners: Listeners) -> None:
        self._places = places
        self._listeners = listeners
        self._changes = Changes(places, config)
        self._operations = Operations(places, self._changes)
        self._config = config
        self._token = b""
        self._hosts: frozenset[str] = frozenset()
        self._max_blob = 0
        self._ready = False
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._done.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: spawn(self._reload_and_log(), "reload"))
        await asyncio.to_thread(self._changes.open)
        self._configure()
        path = orders.socket_path(self._places.run, "control")
        server = await orders.listen(path, self._obey, self._listeners)
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False)
        await runner.setup()
        for _, listener in self._listeners.entries:
            await web.SockSite(runner, listener.dup()).start()
        await self._reload_and_log()
        collecting = spawn(self._collect_forever(), "collect")
        await self._done.wait()
        collecting.cancel()
        server.close()
        self._listeners.close()
        await runner.cleanup()
        path.unlink(missing_ok=True)

    def _configure(self) -> None:
        """Token, hosts and limits: of `edge.yml`, or of the last good one if it has mistakes."""
        settings, _ = configuration.read_settings(self._config)
        generation = self._changes.generations.current()
        if settings is None and generation is not None:
            settings = generation.settings
        assert settings is not None, "the parent starts nothing without settings"
        root = configuration.config_root(self._config)
        self._token = open_token(root / settings.admin.token_file)
        self._max_blob = settings.limits.blob_bytes
        host, _, port = settings.listen.admin.rpartition(":")
        names = {host, "localhost", "127.0.0.1", "[::1]", *settings.admin.hosts}
        self._hosts = frozenset(names | {f"{name}:{port}" for name in names})

    async def _obey(self, order: Reply) -> Reply:
        if order["do"] == "drain":
            self._done.set()
        return {"pid": os.getpid()}

    async def _reload_and_log(self) -> None:
        try:
            await asyncio.to_thread(self._changes.reload)
        except Refused as refused:
            for error in refused.errors:
                log.error("%s", error)
            kept = ", ".join(refused.kept)
            log.error("kept as they were: %s", kept or "everything")
        except StoreError as error:
            log.error("the configuration is not loaded: %s", error)
        self._ready = True

    async def _collect_forever(self) -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY)
            try:
                blobs, size = await asyncio.to_thread(self._changes.collect)
                log.info("collected %s blobs, %s bytes", blobs, size)
            except (StoreError, OSError) as error:
                log.warning("nothing was collected: %s", error)

    # The API

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_JSON)
        branch = "/v1/apps/{app}/branches/{branch}"
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/v1/status", self._call(lambda _: self._operations.status())),
                web.post("/v1/reload", self._call(lambda _: self._operations.reload())),
                web.get("/v1/apps", self._call(lambda _: self._operations.apps())),
                web.get("/v1/apps/{app}/branches", self._call(self._branches)),
                web.get(f"{branch}/deployments", self._call(self._deployments)),
                web.post(f"{branch}/deployments", self._begin),
                web.post(f"{branch}/rollback", self._call(self._rollback)),
                web.delete(branch, self._call(self._delete_branch)),
                web.put("/v1/blobs/{sha256}", self._put_blob),
                web.post("/v1/deployments/{id}/activate", self._call(self._activate)),
                web.post("/v1/purge", self._call(lambda _: self._operations.purge())),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        try:
            self._check(request)
            return await handler(request)
        except Problem as error:
            return problem(error.status, str(error), **error.members)
        except Missing as error:
            return problem(409, str(error), missing=error.hashes)
        except Refused as error:
            return problem(
                422,
                str(error),
                errors=[configuration.as_json(each) for each in error.errors],
                kept=error.kept,
                **reloaded(error.reloaded),
            )
        except StoreError as error:
            return problem(422, str(error))
        except web.HTTPException as error:
            return problem(error.status, error.reason)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return problem(500, "something broke; the node's log says more")

    def _check(self, request: web.Request) -> None:
        """Who asks, and whether a page in somebody's browser asks for them."""
        if request.path in OPEN_PATHS:
            return
        unix = self._listeners.entries[0][0].startswith("admin unix:")
        if not unix and request.headers.get("Host", "") not in self._hosts:
            raise Problem(421, "this Host is not the admin API's; add it to admin.hosts")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] not in self._hosts:
            raise Problem(403, "requests from pages of another origin are refused")
        kind = request.content_type
        if request.can_read_body and request.method == "POST" and kind != "application/json":
            raise Problem(415, "send JSON, with Content-Type: application/json")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(given.encode(), self._token):
            raise Problem(401, "send the token of admin.token_file as Authorization: Bearer …")

    def _call(self, operation: Callable[[web.Request], Document]) -> Handle:
        """A handler that runs `operation` in a thread and answers with its document."""

        async def handle(request: web.Request) -> web.Response:
            return web.json_response(await asyncio.to_thread(operation, request))

        return handle

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """200 when every worker serves a generation."""
        workers = await asyncio.to_thread(self._changes.fleet.status)
        serving = [worker for worker in workers if worker["generation"]]
        ready = self._ready and serving and len(serving) == len(workers)
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not yet\n")

    def _branches(self, request: web.Request) -> Document:
        return self._operations.branches(request.match_info["app"])

    def _deployments(self, request: web.Request) -> Document:
        return self._operations.deployments(*named(request))

    def _rollback(self, request: web.Request) -> Document:
        return self._operations.rollback(*named(request))

    def _delete_branch(self, request: web.Request) -> Document:
        return self._operations.delete_branch(*named(request))

    def _activate(self, request: web.Request) -> Document:
        return self._operations.activate(request.match_info["id"])

    async def _begin(self, request: web.Request) -> web.Response:
        try:
            body: Any = await request.json()
            files, message = body["files"], str(body.get("message", ""))[:1000]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Problem(400, 'send {"files": {path: {sha256, size}}}') from error
        app, branch = named(request)
        begun = await asyncio.to_thread(self._operations.begin, app, branch, files, message)
        return web.json_response(begun, status=201)

    async def _put_blob(self, request: web.Request) -> web.Response:
        """Take a blob; sent again it is taken again, which is no harm."""
        sha256 = request.match_info["sha256"]
        if not SHA256.fullmatch(sha256):
            raise Problem(400, "a blob is named by its sha256: 64 hex digits, lower case")
        writer = self._operations.blob_writer(sha256)
        try:
            async for chunk in request.content.iter_chunked(256 * 1024):
                writer.write(chunk)
                if writer.size > self._max_blob:
                    raise Problem(413, f"a file may have {self._max_blob} bytes (blob_bytes)")
            writer.finish()
        finally:
            writer.close()
        return web.Response(status=204)


class Problem(Exception):
    """A refusal of the API."""

    def __init__(self, status: int, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.members = members


def problem(status: int, detail: str, **members: Any) -> web.Response:
    """A problem document (RFC 9457)."""
    title = web.Response(status=status).reason
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response(
        document | members, status=status, headers=headers, content_type="application/problem+json"
    )


def named(request: web.Request) -> tuple[str, str]:
    """(app, branch) of a path; branch names are percent-encoded there."""
    return request.match_info["app"], request.match_info["branch"]


def open_token(path: Path) -> bytes:
    """The admin token; the first start makes one that only the owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip().encode()


def run(places: Places, config: Path | None, listeners: Listeners) -> None:
    """The whole life of the control process."""
    uvloop.run(Admin(places, config, listeners).run())
