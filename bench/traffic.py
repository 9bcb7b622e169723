"""
Everything that clients do to a node, each kind by a thread that does it again and again.

A visit is a connection, or a few, of one kind. Whatever is not as it has to be is a fault: a status
that was not expected, content of nobody, a connection that ended by itself. Files tell which
version they are of (`tests/support_atomicity.py`): content is right or wrong during deploys too.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import random
import re
import socket
import ssl
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.site.manifest import is_fingerprinted
from tests.support_atomicity import HOST, PAGE, PATHS, answer_of, files_of
from tests.support_http2 import StrictClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support import Node

LOCAL = "127.0.0.1"
PATIENCE_S = 30.0
RESET = struct.pack("ii", 1, 0)
STORED = 2_000
"""URLs of the origin that are stored: more than there is room for."""

TAGS = 10
HEAD = f"Host: {HOST}\r\n\r\n"
UPGRADE = (
    f"GET /o/tunnel HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{HEAD}"
).encode()
MESSAGE = b"\x81\x85\0\0\0\0hello"
"""A frame of text (RFC 6455 §5.2), masked with zeros."""


class Wrong(Exception):
    """An answer that must not be; the text is the kind of fault."""


@dataclass(slots=True)
class Scene:
    """What visits need."""

    node: Node
    context: ssl.SSLContext
    """Trusts the node; HTTP/1.1."""
    context_h2: ssl.SSLContext
    chance: random.Random = field(default_factory=random.Random)

    def plain(self) -> socket.socket:
        """A connection in the clear."""
        return socket.create_connection((LOCAL, self.node.port), PATIENCE_S)

    def secure(self, context: ssl.SSLContext, name: str = HOST) -> ssl.SSLSocket:
        """A connection over TLS."""
        raw = socket.create_connection((LOCAL, self.node.https_port), PATIENCE_S)
        with contextlib.ExitStack() as stack:
            stack.enter_context(raw)
            secure = context.wrap_socket(raw, server_hostname=name)
            stack.pop_all()
        return secure


class Crowd:
    """One thread for each kind of visit, until it is told to stop."""

    def __init__(self, scene: Scene, pause_s: float) -> None:
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._scene, self._pause_s = scene, pause_s
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in VISITS]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the visits that are under way; one that has ended before is a fault."""
        alive = [thread.is_alive() for thread in self._threads]
        self._stopping.set()
        for visit, thread, was_alive in zip(VISITS, self._threads, alive, strict=True):
            thread.join()
            self.faults[f"{visit.__name__} ended by itself"] += not was_alive
        self.faults += Counter()  # without zeros

    def _run(self, visit: Callable[[Scene], int]) -> None:
        name = visit.__name__
        while not self._stopping.wait(self._pause_s):
            try:
                self.requests[name] += visit(self._scene)
            except (Wrong, AssertionError) as error:
                self.faults[f"{name}: {error}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.faults[f"{name}: {type(error).__name__} {error}"] += 1


# What has to hold


def check(path: str, status: int, content: bytes, expected: int = 200) -> None:
    """
    An answer has its status, and a file the bytes of one version.

    Raises:
        Wrong: it has not.
    """
    if status != expected:
        raise Wrong(f"{path.partition('?')[0]} answers {status}")
    if path.startswith("/o/") or status != 200:
        return
    found = re.search(rb"version (\d+)", content)
    if found is None or content.decode() not in files_of(int(found[1])).values():
        raise Wrong(f"{path} has content of no version")


def stored_content(number: str) -> bytes:
    """What the origin says at `/stored?n=NUMBER`."""
    return f"answer {number}; ".encode() * 256


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request on a connection that may be kept."""
    connection.request(method, path, body, {"Host": HOST})
    response = connection.getresponse()
    return response, response.read()


@contextlib.contextmanager
def kept(scene: Scene) -> Iterator[http.client.HTTPConnection]:
    """A connection in the clear; it opens anew where the node has said that it closes."""
    connection = http.client.HTTPConnection(LOCAL, scene.node.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        yield connection


def load_page(connection: http.client.HTTPConnection) -> int:
    """A page, the asset that it names, a validation and something that is not there."""
    response, page = ask(connection, "/")
    check("/", response.status, page)
    found = PAGE.search(page)
    asset = found[2].decode() if found else "/no-asset"
    answer = ask(connection, asset)
    if is_fingerprinted(asset):  # not a name of digits alone: that goes with its deployment
        check(asset, *status_of(answer))
    etag = response.headers["ETag"]
    connection.request("GET", "/", headers={"Host": HOST, "If-None-Match": etag})
    again = connection.getresponse()
    content = again.read()
    check("/", again.status, content, 304 if again.headers["ETag"] == etag else 200)
    check("/nothing", *status_of(ask(connection, "/nothing")), expected=404)
    return 4


def status_of(answer: tuple[http.client.HTTPResponse, bytes]) -> tuple[int, bytes]:
    """Status and content."""
    return answer[0].status, answer[1]


# Files


def pages(scene: Scene) -> int:
    """Pages on a connection that is kept."""
    with kept(scene) as connection:
        return sum(load_page(connection) for _ in range(100))


def pipelined(scene: Scene) -> int:
    """Requests that are sent at once."""
    paths = [*PATHS] * 10
    with scene.plain() as connection, connection.makefile("rb") as reader:
        connection.sendall("".join(f"GET {path} HTTP/1.1\r\n{HEAD}" for path in paths).encode())
        for path in paths:
            head, content = answer_of(reader)
            check(path, int(head.split(b" ", 2)[1]), content)
    return len(paths)


def http2(scene: Scene) -> int:
    """Streams in the clear, and one that is given up."""
    with scene.plain() as connection:
        return load_streams(StrictClient(connection, HOST.encode()))


def secure_http2(scene: Scene) -> int:
    """The same over TLS, after a handshake."""
    with scene.secure(scene.context_h2) as connection:
        return load_streams(StrictClient(connection, HOST.encode()))


def load_streams(client: StrictClient) -> int:
    """Four rounds of ten streams, an upload, and a large answer and an upload that are given up."""
    for _ in range(4):
        paths = [PATHS[number % len(PATHS)] for number in range(10)]
        found = [client.request(path.encode()) for path in paths]
        client.read(*found)
        for path, each in zip(paths, found, strict=True):
            check(path, each.status, each.content)
    load_uploads(client)
    abandoned = client.request(b"/o/large")
    client.until(lambda: abandoned.status)
    client.give_up(abandoned)
    client.settle()
    return 43


def load_uploads(client: StrictClient) -> None:
    """One that is whole, one that is not."""
    whole, given_up = (client.request(b"/o/upload", b"POST", ends=False) for _ in range(2))
    client.upload(given_up, bytes(1_000), ends=False)
    client.upload(whole, bytes(100_000))
    client.read(whole)
    compare("/o/upload", (whole.status, whole.content), digest_of(bytes(100_000)))
    client.give_up(given_up)


def secure(scene: Scene) -> int:
    """Pages over TLS, HTTP/1.1."""
    connection = http.client.HTTPConnection(LOCAL, scene.node.https_port)
    with contextlib.closing(connection):
        connection.sock = scene.secure(scene.context)
        return sum(load_page(connection) for _ in range(5))


def new_connections(scene: Scene) -> int:
    """A connection for each request."""
    for path in PATHS:
        status, _, content = scene.node.get(path, HOST, Connection="close")
        check(path, status, content)
    return len(PATHS)


# The origin


def stored(scene: Scene) -> int:
    """Answers that are stored, or are to be."""
    with kept(scene) as connection:
        for number in scene.chance.choices(range(STORED), k=50):
            path = f"/o/stored?n={number}"
            answer = status_of(ask(connection, path))
            compare(path, answer, stored_content(str(number)))
    return 50


def passed(scene: Scene) -> int:
    """Answers that nobody may store, with content that goes up."""
    with kept(scene) as connection:
        for _ in range(10):
            body = scene.chance.randbytes(100_000)
            answer = status_of(ask(connection, "/o/upload", "POST", body))
            compare("/o/upload", answer, digest_of(body))
    return 10


def digest_of(body: bytes) -> bytes:
    """What the origin says of an upload."""
    return hashlib.sha256(body).hexdigest().encode()


def compare(path: str, answer: tuple[int, bytes], expected: bytes) -> None:
    """
    It is the answer of the origin.

    Raises:
        Wrong: it is another.
    """
    status, content = answer
    check(path, status, content)
    if content != expected:
        raise Wrong(f"{path.partition('?')[0]} has other content")


def websockets(scene: Scene) -> int:
    """A tunnel to an echo, which ends well or not."""
    with scene.plain() as connection, connection.makefile("rb") as reader:
        connection.sendall(UPGRADE)
        while (line := reader.readline()) not in (b"\r\n", b""):
            if line.startswith(b"HTTP/") and not line.startswith(b"HTTP/1.1 101 "):
                raise Wrong(f"/o/tunnel answers {line[9:12].decode()}")
        for _ in range(20):
            connection.sendall(MESSAGE)
            if reader.read(len(MESSAGE)) != MESSAGE:
                raise Wrong("/o/tunnel says something else")
        if scene.chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return 1


def failing(scene: Scene) -> int:
    """Origins that say nothing, or break off."""
    with kept(scene) as connection:
        check("/o/broken", *status_of(ask(connection, "/o/broken")), expected=502)
        with contextlib.suppress(http.client.IncompleteRead):
            ask(connection, "/o/cut")
            raise Wrong("/o/cut is whole")
    return 2


# Clients that leave

BEGINNINGS = (
    b"",
    b"GET / HTTP/1.1\r\nHo",
    f"GET / HTTP/1.1\r\n{HEAD}".encode(),
    f"GET /o/large HTTP/1.1\r\n{HEAD}".encode(),
    f"POST /o/upload HTTP/1.1\r\nContent-Length: 100000\r\n{HEAD}".encode() + bytes(50_000),
    UPGRADE,
)


def aborted(scene: Scene) -> int:
    """Requests of which a part is sent, or the answer is not read: the connection is reset."""
    for beginning in BEGINNINGS:
        with scene.plain() as connection:
            connection.sendall(beginning)
            if beginning.startswith(b"GET /o/"):
                connection.recv(1_000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return len(BEGINNINGS)


def unshaken(scene: Scene) -> int:
    """Handshakes that are none, or that nobody goes on with; and a name that nobody has."""
    for beginning in (b"", b"GET / HTTP/1.1\r\n", hello(scene)[:50], hello(scene)):
        with socket.create_connection((LOCAL, scene.node.https_port), PATIENCE_S) as connection:
            connection.sendall(beginning)
            if scene.chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(ssl.SSLError):
        scene.secure(scene.context, "nobody.test").close()
        raise Wrong("a name that nobody has is answered")
    return 5


def hello(scene: Scene) -> bytes:
    """How a client begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        scene.context.wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


VISITS = (
    pages,
    pipelined,
    http2,
    secure,
    secure_http2,
    new_connections,
    stored,
    passed,
    websockets,
    failing,
    aborted,
    unshaken,
)
