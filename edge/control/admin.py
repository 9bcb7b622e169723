"""
The admin API: `operations` over HTTP, on its own listener, for those who have the token.

Laws: `admission` lets a request pass before anything else happens. Work on the disk runs in
threads, changes in one of their own: those that wait for their turn hold up no question.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from edge.control import configuration, metrics
from edge.control.admission import BLOBS, Admission, Problem, open_token
from edge.control.alarms import Alarms
from edge.control.announcements import SHA256
from edge.control.audit import Audit, entry_of, shorten
from edge.control.changes import Changes
from edge.control.counting import PATIENCE, Counting
from edge.control.entrance import Entrance
from edge.control.fleet import Fleet
from edge.control.gathering import Gathering
from edge.control.guard import Guard, Handle, body_of, scope_of, told
from edge.control.keeper import Keeper
from edge.control.operations import Document, Operations
from edge.control.reload import Refused
from edge.control.scoped import Scoped
from edge.control.status_page import StatusPage
from edge.errors import StoreError
from edge.node import orders
from edge.node.memory import keep_together
from edge.node.orders import Listeners, Reply
from edge.node.tasks import spawn
from edge.site.places import Places
from edge.site.settings import Settings

log = logging.getLogger("edge.admin")

MAX_JSON = 64 * 1024 * 1024
"""Bytes of a JSON body; 100,000 files of a deployment take about 20 MiB."""

IN_PLACE = 256 * 1024
"""Bytes of a blob up to which it is written on the loop: handing it to a thread costs more."""

COUNT_EVERY = 60.0
"""Seconds between two questions which rules were hit; a worker that dies loses as much."""

COLLECT_EVERY = 3600.0
"""Seconds between two collections of what nothing names."""

WAIT_EVERY = 0.02
"""Seconds between two looks whether anything may be accepted yet."""

T = TypeVar("T")


class Admin:
    """The control process: serves the API, reloads, collects."""

    def __init__(
        self,
        places: Places,
        config: Path | None,
        listeners: Listeners,
        waits_for: int | None = None,
    ) -> None:
        """`waits_for`: the parent without whose word nothing is accepted: another node serves."""
        self._places = places
        self._listeners = listeners
        self._changes = Changes(places, config)
        self._operations = Operations(places, self._changes)
        self._keeper = Keeper(places, self._changes)
        self._counting = Counting(places, self._keeper.metrics, self._generation)
        self._alarms = Alarms(places, self._changes, self._counting)
        self._alarms.courier.on_end = self._keeper.metrics.count_notification
        workers = Fleet(places.run, PATIENCE).status
        told = workers, self._keeper.describe, self._alarms.describe
        self._gathering = Gathering(self._operations, self._counting, *told)
        self._audit = Audit(places.audit)
        self._config = config
        self._changing = ThreadPoolExecutor(1, "change")
        """One: changes take turns in any case, and would wait in threads that others need."""
        self._preparing = ThreadPoolExecutor(2, "prepare")
        """A first deploy of 10,000 pages codes for seconds; nobody's rollback waits for that."""
        self._ready = False
        self._reloads = 0
        """How many were made, or refused."""
        self._waits_for = waits_for
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._done.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: spawn(self._reload_by_signal(), "reload"))
        await asyncio.to_thread(self._changes.open)
        written, _ = configuration.read_settings(self._config)
        file = (written or self._settings()).admin.token_file
        token = open_token(configuration.config_root(self._config) / file)
        path = orders.socket_path(self._places.run, "control")
        server = await orders.listen(path, self._obey, self._listeners)
        await self._wait_for_word()
        running = [spawn(self._alarms.run(), "watch alarms")]
        runner = web.AppRunner(self.application(token), access_log=None, handle_signals=False)
        await runner.setup()
        entrance = Entrance(runner, self._keeper.inventory, self._settings)
        await entrance.open(self._listeners)
        await self._reload_and_log()
        running += [
            spawn(entrance.keep(), "keep the admin API's certificate"),
            spawn(self._collect_forever(), "collect"),
            spawn(self._count_forever(), "count"),
            spawn(self._counting.run(), "count requests"),
            spawn(self._keeper.run(), "keep certificates"),
        ]
        await self._done.wait()
        for task in running:
            task.cancel()
        server.close()
        self._listeners.close()
        await entrance.close()
        await runner.cleanup()
        self._audit.close()
        path.unlink(missing_ok=True)

    def _generation(self) -> int:
        """The number of what serves; 0 before the first."""
        generation = self._changes.generations.current()
        return 0 if generation is None else generation.number

    async def _wait_for_word(self) -> None:
        """Until the order to listen, or the end of who would give it."""
        while self._waits_for is not None and not self._done.is_set():
            if os.getppid() != self._waits_for:
                self._done.set()
            await asyncio.sleep(WAIT_EVERY)

    def _settings(self) -> Settings:
        """Those that serve; before the first generation those of `edge.yml`."""
        generation = self._changes.generations.current()
        settings = generation.settings if generation is not None else None
        if settings is None:
            settings, _ = configuration.read_settings(self._config)
        assert settings is not None, "the parent starts nothing without settings"
        return settings

    async def _change(self, change: Callable[..., T], *arguments: Any) -> T:
        """The result of a change, made when it is its turn."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._changing, change, *arguments)
        finally:
            self._keeper.nudge()

    async def _obey(self, order: Reply) -> Reply:
        match order["do"]:
            case "drain":
                self._done.set()
            case "listen":
                self._waits_for = None
        tasks = len(asyncio.all_tasks())
        return {"pid": os.getpid(), "reloads": self._reloads, "tasks": tasks}

    async def _reload_by_signal(self) -> None:
        error = await self._reload_and_log()
        self._audit.note(entry_of("local:signal", "reload", {}) | {"error": shorten(error)})

    async def _reload_and_log(self) -> str | None:
        """Reload; what went wrong, if anything did."""
        error: str | None = None
        try:
            for warning in (await self._change(self._changes.reload)).warnings:
                log.warning("%s", warning)
        except Refused as refused:
            for mistake in refused.errors:
                log.error("%s", mistake)
            error = f"kept as they were: {', '.join(refused.kept) or 'everything'}"
            log.error("%s", error)
        except StoreError as refused:
            error = f"the configuration is not loaded: {refused}"
            log.error("%s", error)
        self._ready = True
        self._reloads += 1
        return error

    async def _collect_forever(self) -> None:
        while True:
            await asyncio.sleep(COLLECT_EVERY)
            try:
                blobs, size = await self._change(self._changes.collect)
                log.info("collected %s blobs, %s bytes", blobs, size)
            except (StoreError, OSError) as error:
                log.warning("nothing was collected: %s", error)

    async def _count_forever(self) -> None:
        while True:
            await asyncio.sleep(COUNT_EVERY)
            await asyncio.to_thread(self._changes.count_hits)

    # The API

    def application(self, token: bytes) -> web.Application:
        """The routes, behind the checks of `guard`."""
        admission = Admission(self._listeners, token, self._operations.tokens)
        guard = Guard(admission, self._audit, lambda: self._settings().admin.hosts)
        application = web.Application(middlewares=[guard.check], client_max_size=MAX_JSON)
        branch = "/v1/apps/{app}/branches/{branch:[^/]+}"  # aiohttp's own pattern refuses braces
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/v1/status", self._status),
                web.get("/v1/apps", self._answer(lambda request: self._of(request).apps())),
                web.get("/metrics", self._metrics),
                web.get("/v1/certificates", self._certificates),
                web.post("/v1/certificates/{name}/renew", self._renew),
                web.get("/v1/domains", self._answer(self._domains)),
                web.get("/v1/apps/{app}/branches", self._answer(self._branches)),
                web.get(f"{branch}/deployments", self._answer(self._deployments)),
                web.put(BLOBS + "{sha256}", self._put_blob),
                web.post(f"{branch}/deployments", self._begin),
                web.post("/v1/reload", self._reload),
                web.post(f"{branch}/rollback", self._call(self._rollback)),
                web.delete(branch, self._call(self._delete_branch)),
                web.post("/v1/deployments/{id}/activate", self._activate),
                web.post("/v1/deployments/{id}/complete", self._activate),
                web.post("/v1/explain", self._explain),
                web.post("/v1/purge", self._purge),
                web.get("/v1/tokens", self._answer(lambda _: self._operations.list_tokens())),
                web.post("/v1/tokens", self._create_token),
                web.delete("/v1/tokens/{id}", self._call(self._revoke_token)),
                *StatusPage(admission, self._gathering).routes(),
            ]
        )
        return application

    def _of(self, request: web.Request) -> Operations:
        """The operations as a caller may see them."""
        scope = scope_of(request)
        return self._operations if scope is None else Scoped(self._operations, scope)

    def _answer(self, question: Callable[[web.Request], Document]) -> Handle:
        """A handler that asks `question` in a thread and answers with its document."""

        async def handle(request: web.Request) -> web.Response:
            return told(request, await asyncio.to_thread(question, request))

        return handle

    def _call(self, operation: Callable[[web.Request], Document]) -> Handle:
        """A handler that makes a change when it is its turn and answers with its document."""

        async def handle(request: web.Request) -> web.Response:
            return told(request, await self._change(operation, request))

        return handle

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """200 when every worker serves a generation."""
        workers = await asyncio.to_thread(self._changes.fleet.status)
        serving = [worker for worker in workers if worker["generation"]]
        ready = self._ready and serving and len(serving) == len(workers)
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not yet\n")

    async def _status(self, request: web.Request) -> web.Response:
        status = await asyncio.to_thread(self._of(request).status)
        alarms = self._alarms.describe() if scope_of(request) is None else {}
        return told(request, status | alarms)

    async def _metrics(self, _: web.Request) -> web.Response:
        text = await asyncio.to_thread(self._counting.encode)
        return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _certificates(self, _: web.Request) -> web.Response:
        return web.json_response(self._keeper.describe())

    async def _renew(self, request: web.Request) -> web.Response:
        begun = await self._keeper.renew(request.match_info["name"])
        return web.json_response(begun, status=202)

    def _branches(self, request: web.Request) -> Document:
        return self._of(request).branches(request.match_info["app"])

    def _domains(self, request: web.Request) -> Document:
        return self._operations.domains(request.query.get("app"))

    def _deployments(self, request: web.Request) -> Document:
        return self._of(request).deployments(*named(request))

    def _rollback(self, request: web.Request) -> Document:
        return self._of(request).rollback(*named(request))

    def _delete_branch(self, request: web.Request) -> Document:
        return self._of(request).delete_branch(*named(request))

    async def _activate(self, request: web.Request) -> web.Response:
        identifier, operations = request.match_info["id"], self._of(request)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._preparing, operations.prepare, identifier)
        is_last = request.path.endswith("/activate")
        change = operations.activate if is_last else operations.complete
        return told(request, await self._change(change, identifier))

    async def _begin(self, request: web.Request) -> web.Response:
        app, branch = named(request)
        body = await request.read()
        operations = self._of(request)
        begun = await self._change(operations.announce, app, branch, body)
        return told(request, begun, 201)

    async def _purge(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        return told(request, await self._change(self._of(request).forget, body))

    async def _create_token(self, request: web.Request) -> web.Response:
        made = await self._change(self._operations.make_token, await body_of(request))
        return told(request, made, 201)

    def _revoke_token(self, request: web.Request) -> Document:
        return self._operations.revoke_token(request.match_info["id"])

    async def _explain(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(await asyncio.to_thread(self._of(request).ask, body))

    async def _reload(self, request: web.Request) -> web.Response:
        """A dry run takes its turn as well: a reload under way would be told half."""
        if strange := request.query.keys() - {"dry_run", "atomic"}:
            raise Problem(400, f"{', '.join(sorted(strange))}: a reload takes dry_run and atomic")
        asked = {name: is_asked(request, name) for name in ("dry_run", "atomic")}
        document = await self._change(partial(self._operations.reload, **asked))
        return told(request, document)

    async def _put_blob(self, request: web.Request) -> web.Response:
        """Take a blob; sent again it is taken again, which is no harm."""
        sha256 = request.match_info["sha256"]
        if not SHA256.fullmatch(sha256):
            raise Problem(400, "a blob is named by its sha256: 64 hex digits, lower case")
        limit = self._settings().limits.blob_bytes
        length = request.content_length
        if length is not None and length > limit:
            raise Problem(413, too_large(limit))
        writer = self._of(request).blob_writer(sha256)
        try:
            async for chunk in request.content.iter_chunked(IN_PLACE):
                if length is not None and length <= IN_PLACE:
                    writer.write(chunk)
                else:
                    await asyncio.to_thread(writer.write, chunk)
                if writer.size > limit:
                    raise Problem(413, too_large(limit))
            writer.finish()
        finally:
            writer.close()
        return web.Response(status=204)


def too_large(limit: int) -> str:
    """Why a blob is refused."""
    return f"a file may have {limit} bytes (limits.blob_bytes)"


def is_asked(request: web.Request, name: str) -> bool:
    """
    Whether the query has a switch on: `1` or `0`, off without it.

    Raises:
        Problem: it says something else. A dry run must not be taken for a real one.
    """
    value = request.query.get(name, "0")
    if value not in ("0", "1"):
        raise Problem(400, f"{name}={value!r} is neither 1 nor 0")
    return value == "1"


def named(request: web.Request) -> tuple[str, str]:
    """(app, branch) of a path; branch names are percent-encoded there."""
    return request.match_info["app"], request.match_info["branch"]


def run(
    places: Places, config: Path | None, listeners: Listeners, waits_for: int | None = None
) -> None:
    """The whole life of the control process."""
    keep_together()
    uvloop.run(Admin(places, config, listeners, waits_for).run())
