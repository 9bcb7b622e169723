"""
A certificate authority to test against: Debian's pebble, and what it asks for its proofs.

Everything runs in threads or processes, so it serves tests of any loop, and nodes in processes of
their own. Pebble 2.4 has no ARI, no profiles, no `replaces`, no limits: `Proxy` adds them, breaks
what a test wants broken, and remembers each signed request. It leaves Host as it is, from which
pebble derives every URL, so the whole protocol runs through it.

    with serving(NameServer()) as names, serving(HttpAnswers()) as web:
        with pebble(folder, names, web.port, tls_port) as authority:
            with serving(Proxy(authority)) as between:
                Client(between.directory, folder / "account", ca_file=authority.ca_file)
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography import x509

from edge.control.acme_errors import PREFIX
from edge.control.dns_records import record_name
from edge.control.issuance import Challenge, alpn_host
from tests.support import eventually, free_port
from tests.support_origin import RESET, Authority

PEBBLE = shutil.which("pebble")
EAB_KEYS = {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
DAY_S = 86_400

Server = TypeVar("Server", bound=socketserver.BaseServer)


# The authority


def client_of(ca_file: Path) -> ssl.SSLContext:
    """Trusts an `Authority`, which is as most that are made by hand: without a key usage."""
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Pebble(msgspec.Struct):
    """One that runs."""

    url: str
    """Without a path."""
    management: str
    ca_file: Path
    """What its own TLS is checked by."""
    api: ssl.SSLContext
    """Its own certificate, for whoever stands between."""

    @property
    def directory(self) -> str:
        """Where clients begin."""
        return f"{self.url}/dir"

    def get(self, url: str) -> bytes:
        """What one of its URLs answers."""
        context = client_of(self.ca_file)
        with urllib.request.urlopen(url, context=context, timeout=10) as response:
            return response.read()

    def root(self) -> str:
        """What its certificates are checked by, in PEM."""
        return self.get(f"{self.management}/roots/0").decode()

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """What it knows of one of its certificates."""
        serial = f"{certificate.serial_number:x}"
        status = json.loads(self.get(f"{self.management}/cert-status-by-serial/{serial}"))
        return status["Status"] == "Revoked"

    def is_up(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return bool(self.get(self.directory))
        return False


@contextlib.contextmanager
def pebble(
    folder: Path,
    names: NameServer,
    http_port: int,
    tls_port: int,
    *,
    nonce_rejects: int = 30,
    blocked: Collection[str] = (),
    asks_binding: bool = False,
    reuses: int = 0,
    validity_s: int = 90 * DAY_S,
) -> Iterator[Pebble]:
    """
    A new authority, which forgets everything at its end.

    `nonce_rejects` and `reuses` (valid authorizations in new orders) are percentages, of which
    pebble adds one to the latter: a test that needs none orders other names, or has an account of
    its own. `http_port` and `tls_port` are where it looks for http-01 and tls-alpn-01.

    Pebble 2.4 never frees a lock where an authorization is given up while it looks at a challenge
    (an order that is cancelled after its answers): no order that comes after is answered.
    A test that does so has an authority of its own.
    """
    assert PEBBLE is not None, "pebble is not installed (.ci/packages installs it)"
    own = Authority(folder / "api")
    context = own.context("localhost", "127.0.0.1")
    port, management = free_port(), free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(own.folder / "chain.pem"),
        "privateKey": str(own.folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": asks_binding,
        "externalAccountMACKeys": EAB_KEYS if asks_binding else {},
        "certificateValidityPeriod": validity_s,
        "domainBlocklist": list(blocked),
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    environment = {
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": str(nonce_rejects),
        "PEBBLE_AUTHZREUSE": str(reuses),
    }
    found = Pebble(
        f"https://127.0.0.1:{port}", f"https://127.0.0.1:{management}", own.root, context
    )
    with (folder / "pebble.log").open("wb") as log:
        command = [PEBBLE, "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{names.port}"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=os.environ | environment
        )
    try:
        eventually(lambda: process.poll() is not None or found.is_up(), timeout_s=30)
        assert process.poll() is None, (folder / "pebble.log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(20)


# Names


A, CNAME, TXT = 1, 5, 16


class NameServer(socketserver.ThreadingUDPServer):
    """Answers for every name there is: 127.0.0.1, no IPv6 (pebble would prefer it)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Question)
        self.port: int = self.server_address[1]
        self.texts: dict[str, list[str]] = {}
        """TXT records by name; several at one name are normal."""
        self.aliases: dict[str, str] = {}
        """CNAME records; an answer has the target's records too."""
        self.missing: set[str] = set()
        """NXDOMAIN."""
        self.failing: set[str] = set()
        """SERVFAIL."""
        self.asked: list[tuple[str, int]] = []
        """Names and types, as they came."""

    def records(self, name: str, kind: int) -> list[bytes]:
        """What answers a question."""
        found = []
        if name in self.aliases and kind != CNAME:
            target = self.aliases[name]
            found = [record(name, CNAME, encoded(target)), *self.records(target, kind)]
        elif kind == TXT:
            texts = [text.encode() for text in self.texts.get(name, [])]
            found = [record(name, TXT, bytes([len(text)]) + text) for text in texts]
        elif kind == A:
            found = [record(name, A, socket.inet_aton("127.0.0.1"))]
        return found


class _Question(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, connection = self.request
        name, end = decoded(data, 12)
        (kind,) = struct.unpack_from("!H", data, end)
        self.server.asked.append((name, kind))
        code = 3 if name in self.server.missing else 2 if name in self.server.failing else 0
        answers = [] if code else self.server.records(name, kind)
        head = struct.pack("!2sHHHHH", data[:2], 0x8580 | code, 1, len(answers), 0, 0)
        reply = head + data[12 : end + 4] + b"".join(answers)
        connection.sendto(reply, self.client_address)


def encoded(name: str) -> bytes:
    """A name in DNS's way, uncompressed."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def decoded(data: bytes, start: int) -> tuple[str, int]:
    """A name in lower case, and where it ends."""
    labels = []
    while size := data[start]:
        labels.append(data[start + 1 : start + 1 + size].decode().lower())
        start += 1 + size
    return ".".join(labels), start + 1


def record(name: str, kind: int, data: bytes) -> bytes:
    """One record, not to be remembered."""
    return encoded(name) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


# Answers to challenges: each is an `issuance.Answerer`


class DnsAnswers:
    """dns-01, in a name server of ours."""

    def __init__(self, names: NameServer) -> None:
        self.names = names

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Add the record."""
        texts = self.names.texts.setdefault(record_name(identifier), [])
        texts.append(challenge.dns_value)

    async def cleanup(self, identifier: str, challenge: Challenge) -> None:
        """Remove it."""
        self.names.texts[record_name(identifier)].remove(challenge.dns_value)


class HttpAnswers(http.server.ThreadingHTTPServer):
    """http-01, by a server on a port of its own."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Token)
        self.port: int = self.server_address[1]
        self.answers: dict[tuple[str, str], str] = {}
        """Key authorizations by host and token."""

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Answer the token from now on."""
        self.answers[identifier, challenge.token] = challenge.key_authorization

    async def cleanup(self, identifier: str, challenge: Challenge) -> None:
        """Answer it no more."""
        del self.answers[identifier, challenge.token]


class _Token(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host = self.headers["Host"].partition(":")[0].lower()
        answer = self.server.answers.get((host, self.path.rpartition("/")[2]))
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write((answer or "").encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


class AlpnAnswers(socketserver.ThreadingTCPServer):
    """tls-alpn-01, by a TLS server on a port of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handshake)
        self.port: int = self.server_address[1]
        self.folder = folder
        self.contexts: dict[str, ssl.SSLContext] = {}
        """By server name."""
        self.front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.front.set_alpn_protocols(["acme-tls/1"])
        self.front.sni_callback = self.choose

    def choose(self, connection: ssl.SSLObject, name: str | None, _: object) -> int | None:
        """The context of a name, else an alert."""
        if (found := self.contexts.get((name or "").lower())) is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = found
        return None

    async def present(self, identifier: str, challenge: Challenge) -> None:
        """Show the certificate of a challenge from now on."""
        file = self.folder / f"{challenge.token}.pem"
        file.write_text(challenge.alpn_pem(identifier))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["acme-tls/1"])
        self.contexts[alpn_host(identifier)] = context

    async def cleanup(self, identifier: str, _: Challenge) -> None:
        """Show it no more."""
        del self.contexts[alpn_host(identifier)]


class _Handshake(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.server.front.wrap_socket(self.request, server_side=True).close()


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """It, answering in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Between client and authority


KINDS = {
    "/dir": "directory",
    "/nonce-plz": "newNonce",
    "/sign-me-up": "newAccount",
    "/order-plz": "newOrder",
    "/my-order/": "order",
    "/finalize-order/": "finalize",
    "/authZ/": "authorization",
    "/chalZ/": "challenge",
    "/certZ/": "certificate",
    "/revoke-cert": "revokeCert",
    "/renewal-info/": "renewalInfo",
}
"""By the beginning of pebble's paths."""


class Fault(msgspec.Struct, kw_only=True):
    """What becomes of the next requests of a kind."""

    kind: str
    times: int = 1
    status: int = 500
    type: str = "serverInternal"
    detail: str = "broken by a test"
    subproblems: list[dict[str, Any]] | None = None
    retry_after: str | None = None
    content: bytes | None = None
    """Instead of a problem."""
    drops: Literal["request", "answer"] | None = None
    """The connection is reset before the authority hears of it, or after."""
    until: threading.Event | None = None
    """What a good answer waits for, instead of all this."""
    when: Callable[[], object] | None = None
    """Until this is true, nothing becomes of them."""


class Seen(msgspec.Struct):
    """One request."""

    kind: str
    payload: Any
    """Of its JWS; None where there is none."""
    protected: dict[str, Any]
    fields: dict[str, str]
    status: int | None = None
    """What was answered."""


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before a pebble."""

    daemon_threads = True

    def __init__(self, authority: Pebble) -> None:
        super().__init__(("127.0.0.1", 0), _Between)
        self.authority = authority
        """May be changed: then accounts and orders are lost."""
        self.directory = f"https://127.0.0.1:{self.server_address[1]}/dir"
        self.heard = threading.Condition()
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.profiles: Mapping[str, str] | None = None
        self.windows: dict[str, tuple[int, bytes, Mapping[str, str]]] = {}
        """Status, content and fields that ARI answers, by the certificate's id."""
        self.has_ari = True
        self.replaced: set[str] = set()
        """Ids; a second order that replaces one of them is refused."""
        self.added: dict[str, dict[str, str]] = {}
        """Fields that are added to answers, by kind."""

    def fail(self, kind: str, **fault: Any) -> Fault:
        """Break the next requests of a kind."""
        self.faults.append(Fault(kind=kind, **fault))
        return self.faults[-1]

    def of(self, kind: str) -> list[Seen]:
        """The requests of a kind so far."""
        return [each for each in self.seen if each.kind == kind]

    def forget(self) -> None:
        """As it was at first, for the next test; the account stays."""
        self.faults, self.seen, self.windows, self.added = [], [], {}, {}
        self.profiles, self.has_ari, self.replaced = None, True, set()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that a request does."""
        with self.heard:
            assert self.heard.wait_for(condition, 20), "it never happened"

    def window(self, certificate: str, start: str, end: str, **fields: str) -> None:
        """What ARI says; underscores in the names of fields become dashes."""
        document = {"suggestedWindow": {"start": start, "end": end}}
        document["explanationURL"] = fields.pop("explanation", None)
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        self.windows[certificate] = (200, json.dumps(document).encode(), named)


class _Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.request = self.server.authority.api.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the server closes what it was before TLS

    def do_GET(self) -> None:
        """Every method."""
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind = kind_of(self.path)
        seen = Seen(kind, *opened(content), dict(self.headers))
        with self.server.heard:
            self.server.seen.append(seen)
            self.server.heard.notify_all()
            fault = self._fault(kind)
        if fault is not None and fault.drops == "request":
            return self._reset()
        status, fields, answer = self._answer(seen, fault, content)
        if fault is not None and fault.drops == "answer":
            return self._reset()
        with self.server.heard:
            seen.status = status
            self.server.heard.notify_all()
        if fault is not None and fault.until is not None and status < 300:
            fault.until.wait(20)
        return self._send(status, fields | self.server.added.get(kind, {}), answer)

    do_POST = do_HEAD = do_GET  # noqa: N815 - how http.server finds them

    def _fault(self, kind: str) -> Fault | None:
        for fault in self.server.faults:
            if fault.kind == kind and fault.times and (fault.when is None or fault.when()):
                fault.times -= 1
                return fault
        return None

    def _reset(self) -> None:
        self.close_connection = True
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        os.close(self.request.detach())

    def _answer(self, seen: Seen, fault: Fault | None, content: bytes):
        if fault is not None and fault.drops is None and fault.until is None:
            return self._broken(fault)
        if seen.kind == "renewalInfo":
            missing = (404, problem("malformed", "no such certificate"), {})
            status, answer, fields = self.server.windows.get(self.path.rpartition("/")[2], missing)
            return status, dict(fields), answer
        replaces = (seen.payload or {}).get("replaces")
        if seen.kind == "newOrder" and replaces in self.server.replaced:
            return self._broken(
                Fault(kind="", status=409, type="alreadyReplaced", detail="it was replaced")
            )
        status, fields, answer = self._pass_on(content)
        if seen.kind == "newOrder" and replaces and status == 201:
            self.server.replaced.add(replaces)
        if seen.kind == "directory" and status == 200:
            answer = self._enriched(answer)
        return status, fields, answer

    def _broken(self, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        """As authorities do, with a nonce (RFC 8555 §6.5)."""
        _, fields, _ = self._pass_on(b"", "HEAD", "/nonce-plz")
        named = {"Replay-Nonce": fields["Replay-Nonce"]}
        if fault.retry_after is not None:
            named["Retry-After"] = fault.retry_after
        content = fault.content
        if content is None:
            content = problem(fault.type, fault.detail, fault.subproblems)
        return fault.status, named, content

    def _enriched(self, directory: bytes) -> bytes:
        document = json.loads(directory)
        if self.server.has_ari:
            document["renewalInfo"] = self.server.directory.replace("/dir", "/renewal-info")
        if self.server.profiles is not None:
            document["meta"]["profiles"] = dict(self.server.profiles)
        return json.dumps(document).encode()

    def _pass_on(
        self, content: bytes, method: str = "", path: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        authority = self.server.authority
        context = client_of(authority.ca_file)
        connection = http.client.HTTPSConnection(
            urlsplit(authority.url).netloc, context=context, timeout=20
        )
        names = ("Host", "Content-Type", "User-Agent")
        fields = {name: self.headers[name] for name in names if name in self.headers}
        with contextlib.closing(connection):
            connection.request(method or self.command, path or self.path, content, fields)
            response = connection.getresponse()
            kept = {
                name: value
                for name, value in response.getheaders()
                if name not in ("Content-Length", "Transfer-Encoding", "Connection", "Date")
            }
            return response.status, kept, response.read()

    def _send(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def kind_of(path: str) -> str:
    """What a path of pebble's is for."""
    return next((kind for start, kind in KINDS.items() if path.startswith(start)), "other")


def opened(content: bytes) -> tuple[Any, dict[str, Any]]:
    """Payload and protected header of a JWS."""
    if not content:
        return None, {}
    jws = json.loads(content)
    payload, protected = (
        base64.urlsafe_b64decode(jws[name] + "==") for name in ("payload", "protected")
    )
    return json.loads(payload or b"null"), json.loads(protected)


def problem(kind: str, detail: str, subproblems: list[dict[str, Any]] | None = None) -> bytes:
    """A problem document."""
    document: dict[str, Any] = {"type": PREFIX + kind, "detail": detail}
    if subproblems is not None:
        document["subproblems"] = subproblems
    return json.dumps(document).encode()
