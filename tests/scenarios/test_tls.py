"""HTTPS of a whole node with two workers: real clients, sessions, swaps and deaths."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from edge.node import orders
from tests.support import Node, eventually, running, write_tree
from tests.support_tls import Issuer, der_of

HOST = "main.site.edge.localhost"


@pytest.fixture
def node(tmp_path) -> Iterator[Node]:
    """A node of two workers whose site has a certificate of the node's own authority."""
    with running(tmp_path / "node", is_secure=True) as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
        eventually(lambda: visit(node))
        yield node


def trust(node: Node, *protocols: str) -> ssl.SSLContext:
    """A client that trusts the node's own authority, as strictly as Python 3.13 does."""
    context = ssl.create_default_context(cafile=root(node))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def root(node: Node) -> Path:
    """The authority's root."""
    return node.folder / "var" / "tls" / "internal" / "root.pem"


def connect(
    node: Node, context: ssl.SSLContext, host: str = HOST, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """A connection that has shaken hands."""
    plain = socket.create_connection(("127.0.0.1", node.https_port), timeout=20)
    return context.wrap_socket(plain, server_hostname=host, session=session)


def get(connection: ssl.SSLSocket, host: str = HOST) -> bytes:
    """What the front page says; the connection is over afterwards."""
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head, answer
    return content


def visit(node: Node) -> bytes:
    """The front page over https, or nothing while there is no certificate."""
    try:
        with connect(node, trust(node)) as connection:
            return get(connection)
    except OSError:
        return b""


def handshakes(node: Node) -> list[int]:
    """Handshakes that each worker has shaken."""
    run = node.folder / "var" / "run"
    replies = [orders.ask(path, {"do": "status"}) for path in sorted(run.glob("worker-*.sock"))]
    return [reply["handshakes"]["shaken"] for reply in replies]


def test_curl_and_openssl_trust_the_authority_once_told(node) -> None:
    """Clients that share no code with us; HTTP/2 by ALPN, and http leads there."""
    url = f"https://{HOST}:{node.https_port}/"
    resolve = f"{HOST}:{node.https_port}:127.0.0.1"
    trusted = ["curl", "-sS", "--cacert", root(node), "--resolve", resolve]
    told = subprocess.run(
        [*trusted, url, "-w", " %{http_version}"], capture_output=True, text=True, check=True
    )
    assert told.stdout == "version 1 2"
    untold = subprocess.run(
        ["curl", "-sS", "--resolve", resolve, url], capture_output=True, check=False
    )
    assert untold.returncode == 60, "nobody trusts it by itself"

    address = f"127.0.0.1:{node.https_port}"
    command = ["openssl", "s_client", "-connect", address, "-servername", HOST]
    command += ["-CAfile", root(node), "-verify_return_error", "-x509_strict", "-brief"]
    shown = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert "Verification: OK" in shown.stdout + shown.stderr

    status, fields, _ = node.get("/a?b")
    assert (status, fields["Location"]) == (301, url + "a?b")


def test_a_session_of_one_worker_resumes_on_the_other(node) -> None:
    """The listener's context was made before the fork: its ticket keys are everyone's."""
    context = trust(node)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 has its ticket after the handshake
    with connect(node, context) as first:
        session = first.session
        assert not first.session_reused
        get(first)

    before = handshakes(node)
    resumed = []
    while min(now - then for now, then in zip(handshakes(node), before, strict=True)) < 2:
        with connect(node, context, session=session) as connection:
            resumed.append(connection.session_reused)
            get(connection)
        assert len(resumed) < 200, "one worker gets no connection"

    assert all(resumed)


def test_tls_13_sessions_resume_too(node) -> None:
    """The ticket comes with the first bytes."""
    context = trust(node)
    with connect(node, context) as first:
        get(first)
        session = first.session
    assert session is not None

    resumed = []
    for _ in range(20):
        with connect(node, context, session=session) as connection:
            resumed.append(connection.session_reused)
            get(connection)
            session = connection.session or session
    assert all(resumed)


class Visitors:
    """Clients that shake hands and ask, 80 a second; what failed, and what they were shown."""

    def __init__(self, node: Node, context: ssl.SSLContext, host: str) -> None:
        self.node, self.context, self.host = node, context, host
        self.failures: list[Exception] = []
        self.shown: list[bytes | None] = []
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(4)]

    def _visit(self) -> None:
        while not self._ends.is_set():
            try:
                with connect(self.node, self.context, self.host) as connection:
                    certificate = connection.getpeercert(binary_form=True)
                    assert get(connection, self.host)
                self.shown.append(certificate)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
                self.failures.append(error)
            self._ends.wait(0.05)  # a node looks at its folder every five seconds

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


def test_certificates_are_swapped_under_load(tmp_path) -> None:
    """Renewed again and again by hand: no handshake fails, and none shows another certificate."""
    issuer, folder = Issuer(), tmp_path / "node"
    with running(folder, settings="tls: {mode: files}", is_secure=True) as node:
        write_tree(
            folder / "rules" / "site", {"app.yml": "domains: {a.test: {subdomains: {'': main}}}"}
        )
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
        pems = [issuer.pem("a.test", days=10 + number) for number in range(6)]
        write_own(folder, pems[0])
        eventually(lambda: shows(node, issuer, pems[0]))
        assert node.admin("POST", "/v1/reload", {})[0] == 200  # by then every worker shows it
        with Visitors(node, issuer.client(), "a.test") as visitors:
            for pem in pems[1:]:
                write_own(folder, pem)
                eventually(lambda pem=pem: visitors.shown.count(der_of(pem)) > 10, 30)

    assert visitors.failures == []
    assert set(visitors.shown) == {der_of(pem) for pem in pems}


def write_own(folder: Path, pem: str) -> None:
    """Put a certificate into the operator's folder, as a careful operator does."""
    folder = folder / "certs"
    folder.mkdir(exist_ok=True)
    written = folder / "a.test.new"
    written.touch(0o600)
    written.write_text(pem)
    written.replace(folder / "a.test.pem")


def shows(node: Node, issuer: Issuer, pem: str) -> bool:
    """Whether a visitor is shown this certificate."""
    try:
        with connect(node, issuer.client(), "a.test") as connection:
            return connection.getpeercert(binary_form=True) == der_of(pem)
    except OSError:
        return False


def test_a_branch_that_is_gone_is_refused_or_unknown(node, tmp_path) -> None:
    """The wildcard covers its name; nothing is behind it."""
    node.deploy(write_tree(tmp_path / "pr", {"index.html": "preview"}), branch="pr-7")
    host = "pr-7.site.edge.localhost"
    with connect(node, trust(node), host) as connection:
        assert get(connection, host) == b"preview"

    node.edge("delete-branch", "--app", "site", "--branch", "pr-7")

    with connect(node, trust(node), host) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")


def test_a_dead_worker_is_replaced_and_resumes(node) -> None:
    """Handshakes that come meanwhile wait in the socket that the parent holds."""
    context = trust(node)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(node, context) as first:
        session = first.session
        get(first)
    victims = node.pids("worker")
    os.kill(victims[0], signal.SIGKILL)

    for _ in range(20):
        with connect(node, context, session=session) as connection:
            assert connection.session_reused
            assert get(connection) == b"version 1"
    eventually(lambda: len(set(node.pids("worker")) - {victims[0]}) == 2)


def test_certificates_serve_without_control_and_parent(node) -> None:
    """What workers need is on the disk and in their memory."""
    [control] = node.pids("control")
    os.kill(node.process.pid, signal.SIGKILL)
    os.kill(control, signal.SIGKILL)
    node.process.wait()

    assert [visit(node) for _ in range(10)] == [b"version 1"] * 10


def test_the_next_parent_takes_the_https_sockets(node) -> None:
    """Nobody is refused while a node takes over from one that was killed."""
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    with Visitors(node, trust(node), HOST) as visitors:
        eventually(lambda: len(visitors.shown) > 20)
        node.start()
        count = len(visitors.shown)
        eventually(lambda: len(visitors.shown) > count + 20)

    assert visitors.failures == []


def test_tls_files_are_the_operators_alone(node) -> None:
    """Whatever has a key is 0600, in a folder of 0700."""
    folder = node.folder / "var" / "tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    keys = [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) == 2
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
