"""What tests of serving share: a real state folder and a worker on it, without sockets."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.control.announcements import FileDigest
from edge.control.changes import Changes
from edge.http.fields import FieldList, format_http_date
from edge.http.message import Request, Response, parse_lines
from edge.node.clock import Clock
from edge.node.machine import Team
from edge.node.orders import Listeners
from edge.node.worker import Worker
from edge.site.places import Places

HOST = "main.site.edge.localhost"
Files = Mapping[str, str | bytes]


class Answer:
    """A whole response, read to its end."""

    def __init__(self, response: Response, content: bytes) -> None:
        self.status = response.head.status
        lines = response.head.lines
        assert response.block.endswith(b"\r\n"), "the empty line ends every head"
        pairs = parse_lines(lines[lines.index(b"\r\n") + 2 :] + response.block[:-2])
        self.fields = {name.decode(): value.decode("latin-1") for name, value in pairs}
        assert len(self.fields) == len(pairs), f"a field appears twice: {pairs}"
        self.content = content
        self.streamed = not isinstance(response.content, bytes | None)
        if response.opening:
            assert response.opening == lines + response.block[:-2] + b"X-Request-Id: "


class Site:
    """A state folder, what changes it, and workers that serve it."""

    def __init__(self, folder: Path, app_yml: str = "", edge_yml: str = "") -> None:
        self.folder = folder
        self.app_yml = app_yml
        self.edge_yml = edge_yml
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "edge.yml").write_text(edge_yml)
        self.configure(app_yml)
        self.places = Places(folder / "var")
        self.changes = Changes(self.places, folder / "edge.yml")
        self.changes.open()
        self.worker: Worker = None  # type: ignore[assignment]  # `start` makes it

    def copy_to(self, folder: Path) -> Site:
        """The same site in another folder, for a test to do with as it likes."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Site(folder, self.app_yml, self.edge_yml)

    def configure(self, app_yml: str, app: str = "site") -> None:
        """Write an app's `app.yml`; `changes.reload()` makes it count."""
        path = self.folder / "rules" / app / "app.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(app_yml)

    def write(self, name: str, text: str, app: str = "site") -> None:
        """Write another file of an app's folder; `changes.reload()` makes it count."""
        path = self.folder / "rules" / app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write_rules(self, *rules: tuple[str, ...] | dict[str, Any], app: str = "site") -> None:
        """`redirects.json`, of (source, target, status, condition) or whole rules."""
        keys = ("source", "target", "status", "condition")
        whole = [r if isinstance(r, dict) else dict(zip(keys, r, strict=False)) for r in rules]
        self.write("redirects.json", json.dumps(whole), app)

    def upload(self, files: Files, branch: str = "main", app: str = "site") -> str:
        """A deployment that is not active; its id."""
        contents = {
            path: content if isinstance(content, bytes) else content.encode()
            for path, content in files.items()
        }
        digests = {
            path: FileDigest(hashlib.sha256(content).hexdigest(), len(content))
            for path, content in contents.items()
        }
        header, missing = self.changes.begin(app, branch, digests)
        for path, digest in digests.items():
            if digest.sha256 in missing:
                self.changes.blobs.put(digest.sha256, [contents[path]])
        return header.id

    def deploy(self, files: Files, branch: str = "main", app: str = "site") -> str:
        """Upload and activate; the deployment's id."""
        identifier = self.upload(files, branch, app)
        self.changes.activate(identifier)
        return identifier

    def new_worker(self, workers: int = 1, slot: int = 0) -> Worker:
        """Another worker on this state folder, without anything loaded."""
        return Worker(self.places, Listeners(), Team(workers, slot))

    async def start(self, worker: Worker | None = None) -> Site:
        """Have a worker serve what `current` names."""
        self.worker = worker or self.new_worker()
        await self.follow()
        return self

    async def follow(self) -> None:
        """What the worker does once a second."""
        await self.worker._follow_current()
        assert self.worker._handler.snapshot.number == self.worker._loader.current()

    async def follow_quietly(self) -> None:
        """Follow `current`, whether it moved or not."""
        await self.worker._follow_current()

    async def sibling(self) -> Site:
        """The same state folder, served by another worker that knows nothing yet."""
        other = copy.copy(self)
        return await other.start(self.new_worker())

    async def redeploy(self, files: Files, branch: str = "main") -> str:
        """Deploy, and have the worker serve it."""
        identifier = self.deploy(files, branch)
        await self.follow()
        return identifier

    @property
    def clock(self) -> Clock:
        """The worker's clock."""
        return self.worker._clock

    def pass_time(self, seconds: float) -> None:
        """Let the worker's clock move on."""
        set_epoch(self.clock, int(self.clock.epoch + seconds))

    async def ask(self, target: str | bytes = "/", **options: Any) -> Answer:
        """One request to the worker, its answer read to the end."""
        return await ask(self.worker, target, **options)

    def request(self, target: str | bytes = "/", **options: Any) -> Request:
        """A request that a test changes before it is answered."""
        return request(target, **options)

    async def answer(self, asked: Request) -> Answer:
        """The answer to a request, read to the end."""
        return await answer(self.worker, asked)


def set_epoch(clock: Clock, epoch: int) -> None:
    """Set a worker's clock."""
    clock.epoch = epoch
    clock.date = b"Date: %b\r\n" % format_http_date(epoch)


def request(
    target: str | bytes = "/", method: str = "GET", host: str | bytes = HOST, **fields: str | bytes
) -> Request:
    """A request as a connection makes it; underscores in field names become dashes."""
    peer = str(fields.pop("peer", "192.0.2.1"))
    lines = [
        (
            name.replace("_", "-").lower().encode(),
            value if isinstance(value, bytes) else value.encode(),
        )
        for name, value in fields.items()
    ]
    return Request(
        method=method.encode(),
        target=target if isinstance(target, bytes) else target.encode(),
        authority=host if isinstance(host, bytes) else host.encode(),
        fields=FieldList(lines),
        version=b"1.1",
        stream=0,
        ends=True,
        expects=False,
        peer=peer,
    )


async def ask(worker: Worker, target: str | bytes = "/", **options: Any) -> Answer:
    """One request to a worker, its answer read to the end."""
    return await answer(worker, request(target, **options))


async def answer(worker: Worker, asked: Request) -> Answer:
    """The answer to a request, read to the end."""
    response = worker._handler.respond(asked)
    if not isinstance(response, Response):
        response = await response
    content = response.content
    if content is None:
        return Answer(response, b"")
    if not isinstance(content, bytes):
        content = b"".join([chunk async for chunk in content])
    return Answer(response, content)
