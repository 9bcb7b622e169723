"""
Name servers for tests: BIND with zones that take updates, and a tiny one that misbehaves.

Both answer on loopback addresses and one port, as the servers of a zone do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import pytest

from edge.control.resolver import Resolver
from tests.support import PORTS, eventually, own_ports

KEY_NAME = "edge-key"
SECRET = base64.b64encode(b"a secret of thirty-two octets...").decode()

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "TXT": 16, "AAAA": 28, "CAA": 257}
NAMES = {number: name for name, number in TYPES.items()}

CONFIG = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file "{folder}/named.pid";
    session-keyfile "{folder}/session.key";
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
    notify no;
}};
controls {{ }};
key "{key}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "test" {{ type primary; file "test.zone"; }};
zone "example.test" {{ type primary; file "example.zone"; allow-update {{ key "{key}"; }}; }};
zone "delegated.test" {{ type primary; file "delegated.zone"; allow-update {{ key "{key}"; }}; }};
zone "fixed.test" {{ type primary; file "fixed.zone"; }};
"""

HEAD = """\
$TTL 60
@ SOA ns1.example.test. hostmaster.example.test. 1 1h 1h 1h 60
"""

ZONES = {
    "test": HEAD + "@ NS ns1.example.test.\nns1.example A 127.0.0.1\n",
    "example": HEAD
    + """\
@ NS ns1
@ NS ns2
ns1 A 127.0.0.1
ns2 A 127.0.0.2
@ A 192.0.2.1
web A 192.0.2.7
web A 192.0.2.8
web AAAA 2001:db8::7
www CNAME web
far CNAME web.delegated.test.
dangling CNAME nowhere.delegated.test.
loop CNAME pool
pool CNAME loop
text TXT "one " "piece" "of text"
long TXT "{long}" "{long}" "{long}" "{long}" "{long}" "{long}"
_acme-challenge.shop CNAME shop.delegated.test.
_acme-challenge.lost CNAME lost.nobody.invalid.
guarded CAA 0 issue "ca.test; accounturi=https://ca.test/acct/1"
guarded CAA 0 issuewild ";"
guarded CAA 0 ISSUE "other.test"
deep.guarded A 192.0.2.9
alias.guarded CNAME web.delegated.test.
""".format(long="x" * 250),
    "delegated": HEAD
    + """\
@ NS ns1.example.test.
@ CAA 0 issue "delegated-ca.test"
web A 192.0.2.20
web CAA 128 issue "web-ca.test"
""",
    "fixed": HEAD + "@ NS ns1.example.test.\n",
}


class Bind:
    """Debian's BIND, authoritative for the zones above."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = shared_port()
        self.log = folder / "named.log"
        self.process: subprocess.Popen[bytes]

    def start(self) -> Self:
        """Returns when it answers."""
        for name, text in ZONES.items():
            (self.folder / f"{name}.zone").write_text(text)
        config = self.folder / "named.conf"
        text = CONFIG.format(folder=self.folder, port=self.port, key=KEY_NAME, secret=SECRET)
        config.write_text(text)
        command = [shutil.which("named", path="/usr/sbin:/usr/bin") or "named", "-g", "-n", "1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "-c", config], stdout=log, stderr=log)
        eventually(self.is_ready)
        return self

    def is_ready(self) -> bool:
        """Whether it answers; one that ended fails the test with its log."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(dns.exception.DNSException, OSError):
            question = dns.message.make_query("delegated.test", "SOA")
            return bool(dns.query.tcp(question, self.host, 0.2, self.port).answer)
        return False

    def stop(self) -> None:
        """End it; nothing is left."""
        self.process.kill()
        self.process.wait()

    def resolver(self, **more: float) -> Resolver:
        """Asks this server for everything, as if it were the system's."""
        return Resolver([(self.host, self.port)], authority_port=self.port, **more)

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, by BIND's own client."""
        command = ["dig", "+short", "+tcp", "-p", str(self.port), f"@{self.host}", name, "TXT"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return sorted(line.strip('"') for line in done.stdout.splitlines())


def shared_port() -> int:
    """A port that is free on both servers' addresses, for TCP and UDP, and no other test gets."""
    kinds = socket.SOCK_STREAM, socket.SOCK_DGRAM
    for port in itertools.islice(own_ports(), PORTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for host, kind in itertools.product((Bind.host, MiniDns.host), kinds):
                stack.enter_context(socket.socket(type=kind)).bind((host, port))
            return port
    raise AssertionError("none of this process's ports is free for name servers")


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """One BIND for all tests of a module."""
    server = Bind(tmp_path_factory.mktemp("bind"))
    try:
        yield server.start()
    finally:
        server.stop()


class MiniDns(asyncio.DatagramProtocol):
    """A name server in this loop that fails, is silent or lags as a test says."""

    host = "127.0.0.2"

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        """(name, type) → values."""
        self.servfail: set[str] = set()
        self.silent: set[str] = set()
        self.missing: set[str] = set()
        """Names that do not exist."""
        self.lag: dict[str, int] = {}
        """How many questions about a name are answered as if it had nothing."""
        self.lost = 0
        """How many questions get no answer at all, as if datagrams were lost."""
        self.asked: list[tuple[str, str]] = []
        self.port = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, port: int = 0):
        """A server on `host`, until the end of the block."""
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(cls, local_addr=(cls.host, port))
        server.port = transport.get_extra_info("sockname")[1]
        try:
            yield server
        finally:
            transport.close()

    def resolver(self, **more: float) -> Resolver:
        """Asks this server for everything."""
        return Resolver([(self.host, self.port)], **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to answer by."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Answer a question, or not."""
        end = data.index(b"\0", 12) + 5
        name, kind = (
            decode_name(data[12:]),
            NAMES.get(*struct.unpack("!H", data[end - 4 : end - 2]), ""),
        )
        self.asked.append((name, kind))
        if self.lost or name in self.silent:
            self.lost = max(0, self.lost - 1)
            return
        code = 2 if name in self.servfail else 3 if name in self.missing else 0
        answers = [] if code else self._answers(name, kind)
        head = data[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(answers), 0, 0)
        self._transport.sendto(head + data[12:end] + b"".join(answers), address)

    def _answers(self, name: str, kind: str) -> list[bytes]:
        if self.lag.get(name, 0) > 0:
            self.lag[name] -= 1
            return []
        for each in ("CNAME", kind):
            if values := self.records.get((name, each)):
                return [encode_record(name, each, value) for value in values]
        return []


def decode_name(data: bytes) -> str:
    """The name at the beginning of some bytes."""
    labels = []
    while data[0]:
        labels.append(data[1 : 1 + data[0]].decode())
        data = data[1 + data[0] :]
    return ".".join(labels).lower()


def encode_name(name: str) -> bytes:
    """A name as it is sent."""
    return b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0"


def encode_record(name: str, kind: str, value: str) -> bytes:
    """A record as it is sent; a CAA value is `flags tag value`."""
    if kind == "CAA":
        flags, tag, content = value.split(" ", 2)
        data = bytes([int(flags), len(tag)]) + tag.encode() + content.encode()
    elif kind in ("CNAME", "NS"):
        data = encode_name(value)
    elif kind == "SOA":
        data = encode_name(value) * 2 + struct.pack("!5I", 1, 60, 60, 60, 60)
    elif kind == "TXT":
        data = bytes([len(value)]) + value.encode()
    else:
        data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, 0, len(data)) + data
