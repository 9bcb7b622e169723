"""What tests share: waiting for a condition, free ports, and a real node in a temporary folder."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from edge import report
from edge.commands import upload
from edge.control.sources import stage
from edge.nodes import find_limits, open_node

EDGE = Path(sys.executable).with_name("edge")
T = TypeVar("T")

PORTS = 500
"""Ports of a process of tests."""


def eventually(condition: Callable[[], T], timeout_s: float = 60.0) -> T:
    """The first true value of `condition`; fails with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"never became true: {value!r}"
        time.sleep(0.01)


@functools.cache
def own_ports() -> Iterator[int]:
    """
    Ports that only this process of tests hands out, round and round; a lock tells others so.

    Kernels give clients, and whoever binds port 0, those from 32,768 on: who is told a free one of
    these and binds it a second later may find it taken.
    """
    for first in range(10_240, 32_768 - PORTS, PORTS):
        path = Path(tempfile.gettempdir(), f"edge-tests-{os.getuid()}-{first}")
        lock = os.open(path, os.O_CREAT, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return itertools.cycle(range(first, first + PORTS))
        os.close(lock)
    raise AssertionError("more processes of tests run than there are ports for")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has now, and no other test gets."""
    for port in itertools.islice(own_ports(), PORTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("none of this process's ports is free")


class Node:
    """A real `edge serve` with its own folder, ports and state."""

    def __init__(
        self, folder: Path, workers: int = 2, settings: str = "", *, is_secure: bool = False
    ) -> None:
        self.folder = folder
        self.workers = workers
        self.port = free_port()
        self.admin_port = free_port()
        self.https_port = free_port()
        """Listened on where the node is to be secure."""
        self.process: subprocess.Popen[bytes] | None = None
        self.groups: list[int] = []
        """Process groups of every start."""
        self.log = folder / "serve.log"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules").mkdir(exist_ok=True)
        (folder / "edge.yml").write_text(
            f"workers: {workers}\n"
            f'listen: {{http: ["127.0.0.1:{self.port}"], admin: "127.0.0.1:{self.admin_port}"'
            f"{self._https() if is_secure else ''}}}\n"
            f"{settings}"
        )

    def _https(self) -> str:
        return f', https: ["127.0.0.1:{self.https_port}"]'

    def command(self) -> list[str]:
        """What is run."""
        return [str(EDGE), "serve"]

    def start(self) -> Node:
        """Run `edge serve`; returns when every worker serves."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.groups.append(self.process.pid)
        eventually(lambda: self.is_ready() and len(self.pids("worker")) >= self.workers)
        return self

    def is_ready(self) -> bool:
        """Whether `/readyz` says so; a node that ended fails the test with its log."""
        assert self.process is not None, "started before"
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.admin("GET", "/readyz")[0] == 200
        return False

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None, "started before"
        self.process.terminate()
        return self.process.wait(40)

    def kill_all(self) -> None:
        """End everything this node ever started, orphans and children just being born too."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def pids(self, kind: str) -> list[int]:
        """Living processes of a kind (`worker`, `control`) that listen for orders."""
        found = []
        for path in (self.folder / "var" / "run").glob(f"{kind}-*.sock"):
            pid = int(path.stem.rpartition("-")[2])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 0)
                found.append(pid)
        return sorted(found)

    def edge(
        self, *arguments: str | Path, ok: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line in the node's folder."""
        done = subprocess.run(
            [EDGE, *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            input=stdin,
        )
        assert not ok or done.returncode == 0, done.stderr
        return done

    def deploy(self, source: Path, app: str = "site", branch: str = "main") -> dict[str, Any]:
        """Deploy a folder as `edge deploy` does, but in this process; what serves then."""
        options = argparse.Namespace(config=self.folder / "edge.yml", node=None, token_file=None)
        options.ca_file = None
        with open_node(options) as node, tempfile.TemporaryDirectory() as workspace:
            tree = stage(str(source), Path(workspace), limits=find_limits(options))
            files = {
                path: {"sha256": each.sha256, "size": each.size} for path, each in tree.items()
            }
            begun = node.begin(app, branch, files, "")
            upload(node, tree, begun["missing"], report.Silence())
            return node.activate(begun["id"])

    def get(
        self, path: str, host: str = "main.site.edge.localhost", method: str = "GET", **fields: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """(status, fields, content) of one request; underscores in field names become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            names = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, headers={"Host": host} | names)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def admin(
        self, method: str, path: str, document: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        """(status, document) of one call of the admin API, with the node's own token."""
        if token is None:
            file = self.folder / "var" / "admin.token"
            token = file.read_text().strip() if file.exists() else ""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            body = None
            if document is not None:
                body = json.dumps(document)
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(content) if is_json else content.decode()
        finally:
            connection.close()


@contextlib.contextmanager
def running(
    folder: Path, workers: int = 2, settings: str = "", *, is_secure: bool = False
) -> Iterator[Node]:
    """A node that serves; nothing of it is left afterwards."""
    node = Node(folder, workers, settings, is_secure=is_secure)
    try:
        yield node.start()
    finally:
        node.kill_all()


def write_tree(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
