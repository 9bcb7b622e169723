"""
The same programs as servers of files over TLS, all of them with one certificate.

As in `servers.py`, but for the certificate: a peer is a function `(site, work, certificate) ->
Server`, and returns when a handshake for `HOST` has shown that very certificate. None ends a
connection by itself, so that there are handshakes where they are measured and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import processes
import servers
from processes import HOST, SERVER_CORE, NotStarted, Server
from rulesets import write_rules
from servers import ENDLESS, FEW_RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The certificate


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate of `HOST` and its key, both PEM."""

    chain: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """What trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(folder: Path) -> Certificate:
    """
    A new one on P-256.

    Raises:
        NotStarted: There is no openssl, or it does not.
    """
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "30", "-subj", "/CN=Edge benchmark",
        "-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE",
        "-out", str(made.chain), "-keyout", str(made.key),
    ]  # fmt: skip
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as missing:
        raise NotStarted("the certificate is made by openssl, which is not installed") from missing
    except subprocess.CalledProcessError as failed:
        raise NotStarted(f"openssl made no certificate: {failed.stderr}") from failed
    return made


# Readiness


def fetch(server: Server, path: str, certificate: Certificate) -> processes.Answer:
    """The answer to one GET over TLS, with `HOST` as the server name."""
    connection = http.client.HTTPConnection(HOST, server.tls_port)
    plain = socket.create_connection(("127.0.0.1", server.tls_port), timeout=10.0)
    try:
        connection.sock = certificate.client().wrap_socket(plain, server_hostname=HOST)
        connection.request("GET", path)
        return processes.read_answer(connection)
    finally:
        connection.close()
        plain.close()


def wait_until_secure(server: Server, certificate: Certificate, patience_s: float = 30.0) -> Server:
    """
    `server` itself, once it answers anything with the certificate: Edge looks every 5 s.

    Raises:
        NotStarted: It does not in time, and is stopped.
    """
    began, problem = time.monotonic(), "nothing was tried"
    while time.monotonic() - began < patience_s and server.process.poll() is None:
        try:
            fetch(server, "/", certificate)
        except (OSError, http.client.HTTPException) as error:
            problem = str(error)
            time.sleep(0.05)
        else:
            return server
    said = server.log.read_text(errors="replace")[-2000:]
    server.stop()
    raise NotStarted(f"{server.name} does not speak TLS as {HOST}: {problem}\n{said}")


# The node itself


def serve_edge(
    work: Path, certificate: Certificate, core: int | None = SERVER_CORE, limits: str = ENDLESS
) -> Server:
    """A node of one worker with the certificate in its folder `certs`, as an operator has it."""
    folder = work / "certs"
    folder.mkdir()
    pem = folder / f"{HOST}.pem"
    pem.touch(0o600)
    pem.write_text(certificate.key.read_text() + certificate.chain.read_text())
    more = f"tls: {{mode: files}}\nlimits: {{{limits}}}\n"
    server = servers.serve_edge(work, 1, core, more, has_https=True)
    return wait_until_secure(server, certificate)


def start_edge(site: Path, work: Path, certificate: Certificate) -> Server:
    """One worker, with the usual rules. It cannot be told to send no tickets."""
    write_rules(work / "rules", "bench", FEW_RULES)
    return servers.deployed(serve_edge(work, certificate), site, work)


# The peers

NGINX = """
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_prefer_server_ciphers on;
    map $ssl_session_reused $is_resumed {{ r 1; default 0; }}
    log_format resumed $ssl_session_reused;
    root {site};
    server {{ listen 127.0.0.1:{port}; }}
    server {{
        listen 127.0.0.1:{tls_port} ssl http2 backlog=1024;
        access_log {work}/resumed.log resumed if=$is_resumed;
        access_log {work}/access.log combined buffer=64k flush=1s;
    }}
    server {{
        listen 127.0.0.1:{handshake_port} ssl http2 backlog=1024;
        ssl_session_tickets off;
    }}
"""
"""
The ciphers and whose preference counts are Edge's. The first log gets a line for each request on a
session that was resumed, which no other request pays for.
"""

CADDY = """\
https://{host}:{tls_port} {{
    bind 127.0.0.1
    log
    tls {chain} {key}
    root * {site}
    file_server
}}
"""


def start_nginx(site: Path, work: Path, certificate: Certificate) -> Server:
    """One worker, with a port of its own for handshakes."""
    port, tls_port, handshake_port = (processes.free_port() for _ in range(3))
    inside = NGINX.format(
        site=site, work=work, port=port, tls_port=tls_port, handshake_port=handshake_port,
        chain=certificate.chain, key=certificate.key,
    )  # fmt: skip
    server = servers.run_nginx(inside, work, port)
    server.tls_port, server.handshake_port = tls_port, handshake_port
    return wait_until_secure(server, certificate)


def resumptions(server: Server) -> int:
    """Requests on resumed sessions that nginx has seen; the others do not tell, and have none."""
    log = server.log.parent / "resumed.log"
    with contextlib.suppress(FileNotFoundError):
        return len(log.read_text().splitlines())
    return 0


def start_caddy(site: Path, work: Path, certificate: Certificate) -> Server:
    """Go has its own order of ciphers for TLS 1.3: AES-128 before AES-256."""
    tls_port = processes.free_port()
    more = CADDY.format(
        host=HOST, tls_port=tls_port, site=site, chain=certificate.chain, key=certificate.key,
    )  # fmt: skip
    server = servers.run_caddy(servers.CADDY_FILES.format(site=site), work, more)
    server.tls_port = server.handshake_port = tls_port
    return wait_until_secure(server, certificate)


SECURE: dict[str, Callable[[Path, Path, Certificate], Server]] = {
    "edge": start_edge,
    "nginx": start_nginx,
    "caddy": start_caddy,
}
"""name → how to start it; the programs are those of `servers.PROGRAMS`."""
