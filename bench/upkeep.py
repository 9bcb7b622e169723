"""What operators do to a node while it serves, again and again, and the origin behind it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

import node as bench_node
from processes import NotStarted
from traffic import HOST, STORED, TAGS, stored_content

from tests.support import write_tree
from tests.support_atomicity import files_of

if TYPE_CHECKING:
    from tests.support import Node
    from tests.support_origin import Origin, Talk

BRANCH = "/v1/apps/site/branches/main"
RETAINED = "retain: {deployments: 5, assets: 1m}\n"
"""Of `app.yml`: earlier deployments are deleted, so that neither disk nor memory grows by them."""

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LARGE = bytes(4 << 20)


def settings_of(origin: Origin) -> str:
    """`edge.yml`: little room for answers and lines, so that both are full after a minute."""
    return (
        f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
        "tls: {mode: internal, redirect_http: false}\n"
        "cache: {memory: 4MiB}\n"
        "access_log: {rotate: 1MiB, max_total: 4MiB}\n"
    )


def prepare(origin: Origin) -> None:
    """What the origin says."""
    origin.on("/stored", say_stored)
    origin.on("/upload", say_digest)
    origin.on("/large", lambda talk: talk.answer(LARGE, 200, "Cache-Control: no-store"))
    origin.on("/tunnel", echo)
    origin.on("/broken", lambda talk: talk.close())
    origin.on("/cut", cut)


def say_stored(talk: Talk) -> None:
    """Content that belongs to the number asked for, and may be stored for a minute."""
    number = talk.target.rpartition("=")[2]
    tag = f"Cache-Tag: t{int(number) % TAGS}"
    talk.answer(stored_content(number), 200, "Cache-Control: public, max-age=60", tag)


def cut(talk: Talk) -> None:
    """An answer that breaks off."""
    talk.send(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\nCache-Control: no-store\r\n\r\nhalf")
    talk.close()


def say_digest(talk: Talk) -> None:
    """The digest of what came."""
    digest = hashlib.sha256(talk.read()).hexdigest()
    talk.answer(digest.encode(), 200, "Cache-Control: no-store")


def echo(talk: Talk) -> None:
    """A WebSocket that says what it hears, frames unread."""
    key = talk.fields["sec-websocket-key"] + GUID
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    lines = ["HTTP/1.1 101 X", "Connection: Upgrade", "Upgrade: websocket"]
    talk.send("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
    while piece := talk.file.read1(65_536):  # type: ignore[attr-defined]
        talk.send(piece)
    talk.close()


class Upkeep:
    """A thread that makes one change after another until it is told to stop."""

    def __init__(self, node: Node, origin: Origin, pause_s: float) -> None:
        self.changes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._node, self._origin, self._pause_s = node, origin, pause_s
        self._admin = bench_node.Admin(node)
        self._chance = random.Random()
        self._versions = self._reloads = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        write_tree(node.folder / "rules" / "site", {"app.yml": RETAINED})
        self.reload()
        self.deploy()

    def start(self) -> None:
        """Begin, once there is something to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End after the change that is under way; to have ended before is a fault."""
        if not self._thread.is_alive():
            self.faults["changes ended by themselves"] += 1
        self._stopping.set()
        self._thread.join()
        self._admin.connection.close()

    def _run(self) -> None:
        changes = [self.deploy, self.purge_tag, self.reload, self.purge_url]
        changes += [self.deploy, self.roll_back]
        number = 0
        while not self._stopping.wait(self._pause_s):
            change = changes[number % len(changes)]
            number += 1
            self._origin.talks.clear()
            try:
                change()
                self.changes[change.__name__] += 1
            except (OSError, http.client.HTTPException, NotStarted) as error:
                self.faults[f"{change.__name__}: {type(error).__name__} {error}"] += 1
                self._admin.connection.close()  # what it was waiting for may still come

    def deploy(self) -> None:
        """A version that was never there."""
        self._versions += 1
        files = {name: text.encode() for name, text in files_of(self._versions).items()}
        self._admin.deploy("site", "main", files)

    def roll_back(self) -> None:
        """What served before."""
        self._admin.post(f"{BRANCH}/rollback")

    def reload(self) -> None:
        """Rules of which one leads elsewhere."""
        self._reloads += 1
        target = f"http://127.0.0.1:{self._origin.port}/<*>"
        rules = [
            {"source": "/o/<*>", "target": target, "status": "200"},
            {"source": "/r", "target": f"/to-{self._reloads}", "status": "302"},
        ]
        folder = self._node.folder / "rules" / "site"
        write_tree(folder, {"redirects.new": json.dumps(rules)})
        (folder / "redirects.new").replace(folder / "redirects.json")
        self._admin.post("/v1/reload")

    def purge_tag(self) -> None:
        """Every tenth of what is stored."""
        self._admin.post("/v1/purge", {"tags": [f"t{self._chance.randrange(TAGS)}"]})

    def purge_url(self) -> None:
        """One answer."""
        number = self._chance.randrange(STORED)
        self._admin.post("/v1/purge", {"urls": [f"http://{HOST}/o/stored?n={number}"]})
