"""A real node that tests speak HTTP/2 to, in the clear and over TLS, and an origin behind it."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.support import Node, eventually, running, write_tree
from tests.support_http2 import Exchange, StrictClient, contents
from tests.support_origin import Origin, echo, originating

HOST = "main.site.edge.localhost"
AUTHORITY = HOST.encode()
FILES = {
    "/small.txt": b"small",
    "/other.txt": b"another one",
    "/changed.txt": b"before",
    "/page.html": random.Random(1).randbytes(10_000),
    "/large.bin": random.Random(2).randbytes(1_048_576),
}


SMALL = FILES["/small.txt"]
MANY = 40


class Target(msgspec.Struct):
    """What clients of these tests talk to."""

    node: Node
    origin: Origin
    context: ssl.SSLContext

    def connect(self, way: str) -> socket.socket:
        """A connection in the clear (`h2c`), or over TLS with `h2` agreed on (`tls`)."""
        if way == "h2c":
            return socket.create_connection(("127.0.0.1", self.node.port), timeout=20)
        plain = socket.create_connection(("127.0.0.1", self.node.https_port), timeout=20)
        secure = self.context.wrap_socket(plain, server_hostname=HOST)
        assert secure.selected_alpn_protocol() == "h2"
        return secure

    @contextlib.contextmanager
    def client(self, way: str, settings: dict[int, int] | None = None) -> Iterator[StrictClient]:
        """A strict client."""
        with self.connect(way) as connection:
            yield StrictClient(connection, AUTHORITY, settings)


@contextlib.contextmanager
def targeted(folder: Path, settings: str = "") -> Iterator[Target]:
    """A node of one worker with FILES, and an origin that echoes what comes below `/o/`."""
    with originating() as origin:
        allow = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
        edge_yml = f"{allow}tls: {{redirect_http: false}}\n{settings}"
        with running(folder / "node", 1, edge_yml, is_secure=True) as node:
            target = f"http://127.0.0.1:{origin.port}/<*>"
            rule = {"source": "/o/<*>", "target": target, "status": "200"}
            write_tree(node.folder / "rules" / "site", {"redirects.json": json.dumps([rule])})
            files = {name.lstrip("/"): content for name, content in FILES.items()}
            node.deploy(write_tree(folder / "v1", files))
            origin.on("/echo", echo)
            root = node.folder / "var" / "tls" / "internal" / "root.pem"
            eventually(root.exists)
            found = Target(node, origin, ssl.create_default_context(cafile=root))
            found.context.set_alpn_protocols(["h2"])
            eventually(lambda: has_certificate(found))
            yield found


def has_certificate(target: Target) -> bool:
    """Whether the host is served over TLS already."""
    try:
        target.connect("tls").close()
    except OSError:
        return False
    return True


def get(client: StrictClient, times: int, path: bytes = b"/small.txt") -> list[Exchange]:
    """Put by the same request so many times."""
    return [client.request(path) for _ in range(times)]


def check(exchanges: list[Exchange], content: bytes = SMALL) -> None:
    """Each was answered with the whole content, as a request of its own."""
    assert contents(exchanges) == [(200, content)] * len(exchanges)
    identifiers = {found.fields[b"x-request-id"] for found in exchanges}
    assert len(identifiers) == len(exchanges)
