"""
Requests while a real node changes deployments, and whether any of them sees two at once.

Every file says which version it belongs to, and the fields of its answer which deployment. A page
names a fingerprinted asset, which has to answer for as long as a page that was loaded may ask for
it. Requests are pipelined on connections that stay: a client's cost must not hide the node's.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections import Counter
from typing import BinaryIO, Final

from tests.support import Node
from tests.support_client import deploy, open_client

HOST: Final = "main.site.edge.localhost"
DEPTH: Final = 32
"""Requests that are sent at once."""

PATHS: Final = ("/", "/a.txt", "/b.txt")
PAGE: Final = re.compile(rb"version (\d+) asset (/assets/app\.[0-9a-f]{8}\.js)")


def files_of(version: int) -> dict[str, str]:
    """A deployment: three files and a fingerprinted asset, all of which tell their version."""
    asset = asset_of(version)
    return {
        "index.html": f"<!doctype html>version {version} asset {asset}",
        "a.txt": f"version {version} " * 20,
        "b.txt": f"version {version} " * 30,
        asset[1:]: f"version {version};",
    }


def asset_of(version: int) -> str:
    """The name that a version's page has for its asset; a digest, as bundlers make them."""
    return f"/assets/app.{(version + 1) * 2654435761 % 2**32:08x}.js"


class Visitor:
    """A client of one connection that loads pages until it is told to stop."""

    def __init__(self, node: Node) -> None:
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.deployments: dict[bytes, int] = {}
        """Which version each deployment has: it may be one only."""
        self._node = node
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._node.port), 30) as connection:
                    self._load_pages(connection)
            except (OSError, http.client.HTTPException) as error:
                self.faults[f"connection: {error!r}"] += 1

    def _load_pages(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        with reader:
            while not self._stopping.is_set():
                paths = [PATHS[number % len(PATHS)] for number in range(DEPTH)]
                assets = self._ask(connection, reader, paths)
                if assets is None or self._ask(connection, reader, sorted(assets)) is None:
                    return

    def _ask(
        self, connection: socket.socket, reader: BinaryIO, paths: list[str]
    ) -> set[str] | None:
        """
        Send requests at once, judge their answers; the assets that they name.

        None where the node has said with one of them that it closes (RFC 9112 §9.6): what was sent
        after that is no request that was cut off.
        """
        request = "GET {} HTTP/1.1\r\nHost: " + HOST + "\r\n\r\n"
        connection.sendall("".join(request.format(path) for path in paths).encode())
        assets: set[str] = set()
        for path in paths:
            head, content = answer_of(reader)
            self._judge(path, head, content, assets)
            if b"\r\nconnection: close\r\n" in head.lower():
                return None
        return assets

    def _judge(self, path: str, head: bytes, content: bytes, assets: set[str]) -> None:
        self.requests += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            self.faults[f"{path}: {head[:12].decode()}"] += 1
            return
        version = int(content.partition(b"version ")[2].split()[0].rstrip(b";"))
        if content.decode() not in files_of(version).values():
            self.faults["content of two deployments"] += 1
        if path.startswith("/assets/"):
            if asset_of(version) != path:
                self.faults["an asset of another page"] += 1
            return  # it may be an earlier deployment's that is retained
        named = head.partition(b"X-Edge-Deployment: ")[2].partition(b"\r\n")[0]
        if self.deployments.setdefault(named, version) != version:
            self.faults["a deployment that answers with two versions"] += 1
        if path == "/":
            found = PAGE.search(content)
            assets.add(found[2].decode() if found else "/no-asset")


def answer_of(reader: BinaryIO) -> tuple[bytes, bytes]:
    """
    Head and content of the next answer.

    Raises:
        ConnectionError: the connection ended before it did.
    """
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            raise ConnectionError("it ended before its answers did")
        head += line
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    content = reader.read(size)
    if len(content) != size:
        raise ConnectionError("it ended within an answer")
    return head, content


class Outcome:
    """What all visitors saw, and how many changes there were."""

    def __init__(self, visitors: list[Visitor], changes: int) -> None:
        self.changes = changes
        self.requests = sum(each.requests for each in visitors)
        self.deployments = len({name for each in visitors for name in each.deployments})
        self.faults = sum((each.faults for each in visitors), Counter())
        self.disputed = disputed(visitors)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} × {what}" for what, count in self.faults.items()) or "none"
        return (
            f"{self.requests:,} requests over {self.changes:,} activations and rollbacks, "
            f"{self.deployments} deployments seen; faults: {faults}; disputed: {self.disputed}"
        )


def disputed(visitors: list[Visitor]) -> int:
    """Deployments that are another version to another visitor."""
    seen: dict[bytes, set[int]] = {}
    for visitor in visitors:
        for name, version in visitor.deployments.items():
            seen.setdefault(name, set()).add(version)
    return sum(len(versions) > 1 for versions in seen.values())


def change_under_load(node: Node, requests: int, changes: int, visitors: int = 2) -> Outcome:
    """Activate and roll back while visitors load pages, until both numbers are reached."""
    client = open_client(node)
    made = [deploy(client, node, f"v{each}", files_of(each))["id"] for each in range(4)]
    crowd = [Visitor(node) for _ in range(visitors)]
    done = 0
    try:
        while done < changes or sum(each.requests for each in crowd) < requests:
            if done % 5 == 4:
                client.rollback("site", "main")
            else:
                client.activate(made[done % 4])
            done += 1
    finally:
        for each in crowd:
            each.stop()
        client.close()
    return Outcome(crowd, done)
