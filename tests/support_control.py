"""What tests of the control side share: a state folder that is written, and workers that obey."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.control import entrance
from edge.control.admin import Admin
from edge.control.announcements import FileDigest
from edge.control.changes import Changes
from edge.control.sockets import bind
from edge.node.orders import Listeners
from edge.site.manifest import Header
from edge.site.places import Places

PAGE = "<p>" + "a page that is worth coding, " * 40
HOUR = 3600.0
DAY = 24 * HOUR


def new_store(folder: Path, settings: str = "") -> Changes:
    """The changes of a new node in `folder`, with an `edge.yml` and an empty `rules/`."""
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    (folder / "edge.yml").write_text(settings)
    return open_store(folder)


def open_store(folder: Path) -> Changes:
    """The changes of a node that is there, as a restarted process sees it."""
    changes = Changes(places_of(folder), folder / "edge.yml")
    changes.open()
    return changes


def places_of(folder: Path) -> Places:
    """The state folder of `new_store`."""
    return Places(folder / "var")


def write_app(folder: Path, app: str, text: str = "") -> None:
    """`rules/<app>/app.yml`."""
    path = folder / "rules" / app / "app.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def sha256(content: str | bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(encoded(content)).hexdigest()


def encoded(content: str | bytes) -> bytes:
    """Text as it is in a file."""
    return content if isinstance(content, bytes) else content.encode()


def digests(files: dict[str, str | bytes]) -> dict[str, FileDigest]:
    """The files as they are announced."""
    return {
        path: FileDigest(sha256(content), len(encoded(content))) for path, content in files.items()
    }


def upload(changes: Changes, app: str, branch: str, files: dict[str, str | bytes]) -> Header:
    """Announce a deployment and send what is missing."""
    header, missing = changes.begin(app, branch, digests(files))
    for content in files.values():
        if sha256(content) in missing:
            changes.blobs.put(sha256(content), io.BytesIO(encoded(content)))
    return header


def publish(changes: Changes, app: str, branch: str, files: dict[str, str | bytes]) -> Header:
    """Deploy and activate."""
    return changes.activate(upload(changes, app, branch, files).id)


def active(changes: Changes, app: str, branch: str = "main") -> str | None:
    """The deployment that a branch serves."""
    state = changes.branch(app, branch)
    return state.active.deployment if state.active is not None else None


def age(path: Path, seconds: float) -> None:
    """Make a file, or every file of a folder, look older."""
    for each in [path, *path.rglob("*")]:
        status = each.lstat()
        times = (status.st_atime - seconds, status.st_mtime - seconds)
        os.utime(each, times, follow_symlinks=False)


LISTENER = """
import os, signal, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(f"{sys.argv[1]}/worker-{os.getpid()}.sock")
listener.listen(8)
with socket.socket(fileno=int(sys.argv[2])) as parent:
    socket.send_fds(parent, [b"x"], [listener.fileno()])
listener.close()
signal.pause()
"""
"""What a fake worker's process does: who listens is who gets killed (SO_PEERCRED)."""


class FakeWorker:
    """
    A process that takes orders as a worker does; `answer` makes its replies.

    None as a reply is silence. The process listens, and the orders are answered here.
    """

    def __init__(self, run: Path, answer: Callable[[dict[str, Any]], dict[str, Any] | None]):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            number = theirs.fileno()
            command = [sys.executable, "-ISc", LISTENER, os.fspath(run), str(number)]
            self.process = subprocess.Popen(command, pass_fds=[number])
            _, passed, _, _ = socket.recv_fds(ours, 1, 1)
        self._listener = socket.socket(fileno=passed[0])
        self.path = run / f"worker-{self.process.pid}.sock"
        self.orders: list[dict[str, Any]] = []
        self._answer = answer
        self._silent: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection.makefile("rb") as file:
                line = file.readline()
            if not line:  # somebody only looked whether we live
                connection.close()
                continue
            order = json.loads(line)
            self.orders.append(order)
            reply = self._answer(order)
            if reply is None:
                self._silent.append(connection)
                continue
            connection.sendall(json.dumps(reply).encode() + b"\n")
            connection.close()

    def hang_up(self) -> None:
        """Listen no more; the process lives on."""
        if self._thread.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self._listener.close()

    def close(self) -> None:
        """End it; nothing is left."""
        self.hang_up()
        for connection in self._silent:
            connection.close()
        self.process.kill()
        self.process.wait()
        self.path.unlink(missing_ok=True)


def obedient(order: dict[str, Any]) -> dict[str, Any]:
    """A worker that does everything."""
    return {"generation": order.get("generation", 1), "purged": 3}


@contextlib.asynccontextmanager
async def serving_admin(
    folder: Path, settings: str = "", address: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[Admin, str]]:
    """
    The control process of a node in `folder`, in this loop: (itself, address of its API).

    It ends at once: whoever was let in has asked by then.
    """
    new_store(folder, settings)
    listeners = Listeners()
    listener = bind(address, shared=False)
    listeners.add(f"admin {address}", listener)
    if not address.startswith("unix:"):
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    admin = Admin(places_of(folder), folder / "edge.yml", listeners)
    running = asyncio.ensure_future(admin.run())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entrance, "LAST_REQUESTS", 0.0)
        try:
            while not admin._ready:
                assert not running.done(), running.exception()
                await asyncio.sleep(0.005)
            yield admin, address
        finally:
            admin._done.set()
            await running
