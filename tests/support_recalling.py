"""What tests of recalled answers over a socket share: raw bytes, and who looked at them."""

from __future__ import annotations

import re

from edge.http.message import Request
from edge.node.handler import Answer
from tests.support_ledger import Entered
from tests.support_serving import HOST
from tests.support_wire import Client

FIELDS = f"Host: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n".encode()
IDENTIFIER = re.compile(rb"X-Request-Id: ([0-9a-f]+)\r\n")


def head_of(target: str, *lines: str) -> bytes:
    """A GET with the usual field lines, and more before them."""
    more = "".join(f"{line}\r\n" for line in lines)
    return f"GET {target} HTTP/1.1\r\n{more}".encode() + FIELDS


GET = head_of("/a.txt")


class Raw:
    """A connection whose answers are compared byte by byte."""

    def __init__(self, node: Entered, client: Client) -> None:
        self.node = node
        self.client = client

    async def ask(self, data: bytes = GET) -> tuple[bytes, bytes, bytes]:
        """What is answered: the head without its identifier, that, the content."""
        self.client.send(data)
        head = await self.client.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        content = await self.client.reader.readexactly(int(length[1]) if length else 0)
        (identifier,) = IDENTIFIER.findall(head)
        return IDENTIFIER.sub(b"", head), identifier, content

    async def warm(self, data: bytes = GET) -> tuple[bytes, bytes, bytes]:
        """Ask until nothing of it is new: read, stored, remembered, recalled."""
        for _ in range(3):
            answer = await self.ask(data)
        return answer

    @property
    def parsed(self) -> int:
        """How many requests the handler looked at, which who is recalled does not need."""
        return self.node.parsed


async def raw_of(node: Entered) -> Raw:
    """A connection to a node that counts what its handler looks at from now on."""
    respond = node.site.worker._handler.respond

    def count(request: Request) -> Answer:
        node.parsed += 1
        return respond(request)

    node.site.worker._service.respond = count
    return Raw(node, await node.client())
