"""
Start and stop the programs that are measured, each on one core, each with the same files.

A peer is a function `(site, work) -> Server`: it writes its configuration into `work`, starts the
program and returns when the program answers. Nothing is left running: `Server.stop` ends the
whole session that was started, and nothing else.
"""

from __future__ import annotations

import contextlib
import getpass
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rulesets import write_rules

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "main.bench.edge.localhost"
"""The branch `main` of the app `bench` under Edge's default domain; the others take any name."""

SERVER_CORE, GENERATOR_CORE = 0, 1

EDGE = Path(sys.executable).with_name("edge")
"""The command of the environment that runs this script."""


class NotStarted(Exception):
    """A program that did not come up; the text ends with what it said."""


@dataclass(slots=True)
class Server:
    """A running program and where it listens (127.0.0.1)."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    """HTTP/1.1."""
    h2_port: int
    """HTTP/2 in the clear, by prior knowledge; often the same."""
    tls_port: int = 0
    """HTTP/1.1 and HTTP/2 over TLS; 0 where there is none."""
    handshake_port: int = 0
    """The same without session tickets, where they can be turned off."""
    admin_port: int = 0
    """Edge's alone."""
    behind: Server | None = None
    """The origin of a proxy."""

    def stop(self, patience_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL to the session's processes that outlive `patience_s`."""
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        while pids := session_of(self.process.pid):  # who is killed takes a moment to die
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.behind:
            self.behind.stop()


# Processes


def start(name: str, command: list[str], work: Path, core: int | None = SERVER_CORE) -> Server:
    """`command` in a session of its own, on `core` alone; the ports are still to be filled in."""
    log = work / f"{name}.log"
    pinned = ["taskset", "-c", str(core), *command] if core is not None else command
    with log.open("ab") as output:
        process = subprocess.Popen(
            pinned, cwd=work, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    return Server(name, process, log, 0, 0)


def session_of(leader: int) -> list[int]:
    """The processes of the session that `leader` began, while any of them lives."""
    found = []
    for entry in Path("/proc").iterdir():
        fields = stat_fields(entry.name) if entry.name.isdigit() else None
        if fields is not None and int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.name))
    return sorted(found)


def cpu_seconds(leader: int) -> float:
    """What the processes of a session have used of the processor so far, user and system."""
    ticks = 0
    for pid in session_of(leader):
        fields = stat_fields(str(pid))
        if fields is not None:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def stat_fields(pid: str) -> list[str] | None:
    """`/proc/PID/stat` from the state on: state, ppid, pgrp, session, … None once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


# Readiness


def free_port() -> int:
    """A port on 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, path: str, host: str = HOST, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """Status and content of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_until(server: Server, port: int, path: str, patience_s: float = 30.0) -> float:
    """
    Seconds until a GET of `path` is answered with 200.

    Raises:
        NotStarted: The program ended, or did not answer in time.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < patience_s:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fetch(port, path, host=f"127.0.0.1:{port}")[0] == 200:
                return time.monotonic() - began
        time.sleep(0.01)
    said = server.log.read_text(errors="replace")[-2000:]
    server.stop()
    raise NotStarted(
        f"{server.name} did not answer {path} on port {port} in {waited:.0f} s\n{said}"
    )


# The node itself


def write_edge_config(
    work: Path, workers: int, port: int, admin_port: int, more: str = "", *, tls_port: int = 0
) -> Path:
    """
    An `edge.yml` with everything under `work`, and `more` at its end; https where there is a port.

    There is no access log to turn off yet. When there is, it is turned off here: the peers write
    none either.
    """
    config = work / "edge.yml"
    (work / "rules").mkdir(exist_ok=True)
    https = f'  https: ["127.0.0.1:{tls_port}"]\n' if tls_port else ""
    config.write_text(
        f"state: {work}/var\n"
        f"apps: {work}/rules\n"
        f"certs: {work}/certs\n"
        f"workers: {workers}\n"
        "listen:\n"
        f'  http: ["127.0.0.1:{port}"]\n'
        f"{https}"
        f'  admin: "127.0.0.1:{admin_port}"\n'
        f"admin: {{token_file: {work}/var/admin.token}}\n"
        f"{more}"
    )
    return config


def edge_command(*arguments: str, config: Path) -> subprocess.CompletedProcess[str]:
    """
    One `edge` command, run to its end.

    Raises:
        NotStarted: It failed, with what it wrote.
    """
    if not EDGE.exists():
        raise NotStarted(f"{EDGE} is missing: install the project first (pip install -e .)")
    command = [str(EDGE), *arguments, "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=config.parent)
    if done.returncode:
        raise NotStarted(f"edge {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done


def serve_edge(
    work: Path,
    workers: int,
    core: int | None = SERVER_CORE,
    more: str = "",
    *,
    has_https: bool = False,
) -> Server:
    """A node with its state in `work`, ready but perhaps without a deployment or a certificate."""
    if not EDGE.exists():
        raise NotStarted(f"{EDGE} is missing: install the project first (pip install -e .)")
    port, admin_port = free_port(), free_port()
    tls_port = free_port() if has_https else 0
    config = write_edge_config(work, workers, port, admin_port, more, tls_port=tls_port)
    server = start("edge", [str(EDGE), "serve", "-c", str(config)], work, core)
    server.port = server.h2_port = port
    server.tls_port = server.handshake_port = tls_port
    server.admin_port = admin_port
    wait_until(server, admin_port, "/readyz")
    return server


def start_edge(site: Path, work: Path) -> Server:
    """One worker, and `site` deployed through the running node."""
    return deployed(serve_edge(work, workers=1), site, work)


def deployed(server: Server, site: Path, work: Path) -> Server:
    """The node itself, once it serves `site` as `HOST`; a node that refuses it is stopped."""
    try:
        arguments = ("deploy", str(site), "--app", "bench", "--branch", "main")
        edge_command(*arguments, config=work / "edge.yml")
    except NotStarted:
        server.stop()
        raise
    return server


RULES = 5_000


def start_edge_with_rules(site: Path, work: Path) -> Server:
    """The same with `RULES` rules of every kind, none of them about the files."""
    write_rules(work / "rules", "bench", RULES)
    server = start_edge(site, work)
    server.name = "edge-rules"
    return server


# The peers

NGINX = """\
daemon off;
user {user};
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=1000 inactive=60s;
    default_type application/octet-stream;
    client_body_temp_path {work}/nginx.body;
    proxy_temp_path {work}/nginx.proxy;
    fastcgi_temp_path {work}/nginx.fastcgi;
    uwsgi_temp_path {work}/nginx.uwsgi;
    scgi_temp_path {work}/nginx.scgi;
    {inside}
}}
"""

NGINX_FILES = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{h2_port} http2 backlog=1024;
        root {site};
    }}
"""


def start_nginx(site: Path, work: Path, core: int = SERVER_CORE) -> Server:
    """One worker; Debian's nginx 1.22 needs a port of its own for HTTP/2 in the clear."""
    port, h2_port = free_port(), free_port()
    server = run_nginx(NGINX_FILES.format(site=site, port=port, h2_port=h2_port), work, port, core)
    server.h2_port = h2_port
    return server


def run_nginx(inside: str, work: Path, port: int, core: int = SERVER_CORE) -> Server:
    """One worker that does what `inside` says; it answers on `port`."""
    config = work / "nginx.conf"
    # Files in a temporary folder belong to whoever runs this, and nobody else may enter it.
    config.write_text(NGINX.format(work=work, inside=inside, user=getpass.getuser()))
    early_log = str(work / "nginx.error.log")
    server = start("nginx", ["nginx", "-e", early_log, "-c", str(config)], work, core)
    server.port = server.h2_port = port
    wait_until(server, port, "/1kb.bin")
    return server


CADDY = """\
{{
    admin off
    auto_https off
    storage file_system {work}/storage
    servers {{
        protocols h1 h2 h2c
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    {inside}
}}
{more}
"""


def start_caddy(site: Path, work: Path) -> Server:
    """The files themselves."""
    return run_caddy(f"root * {site}\n    file_server", work)


def run_caddy(inside: str, work: Path, more: str = "") -> Server:
    """In the clear what `inside` says, and the sites of `more`; Go sees the one core by itself."""
    port = free_port()
    config = work / "Caddyfile"
    config.write_text(CADDY.format(port=port, inside=inside, work=work, more=more))
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    server = start("caddy", command, work)
    server.port = server.h2_port = port
    wait_until(server, port, "/1kb.bin")
    return server


def start_varnish(site: Path, work: Path) -> Server:
    """In front of an nginx on the generator's core, which is asked once for each file."""
    origin = start_nginx(site, work, core=GENERATOR_CORE)
    return in_front(origin, lambda origin: run_varnish(origin.port, work))


def run_varnish(origin_port: int, work: Path) -> Server:
    """In front of 127.0.0.1:`origin_port`."""
    port = free_port()
    command = [
        "varnishd", "-F", "-n", str(work / "varnish"), "-a", f"127.0.0.1:{port}",
        "-b", f"127.0.0.1:{origin_port}", "-s", "malloc,512m", "-t", "3600", "-p", "feature=+http2",
    ]  # fmt: skip
    server = start("varnish", command, work)
    server.port = server.h2_port = port
    wait_until(server, port, "/1kb.bin")
    return server


def in_front(origin: Server, start: Callable[[Server], Server]) -> Server:
    """What `start` makes of the origin, which ends with it, or at once when it does not start."""
    try:
        server = start(origin)
    except NotStarted:
        origin.stop()
        raise
    server.behind = origin
    return server


PEERS: dict[str, tuple[str, Callable[[Path, Path], Server]]] = {
    "edge": (str(EDGE), start_edge),
    "edge-rules": (str(EDGE), start_edge_with_rules),
    "nginx": ("nginx", start_nginx),
    "caddy": ("caddy", start_caddy),
    "varnish": ("varnishd", start_varnish),
}
"""name → (the program to look for, how to start it)."""

USUAL = ("edge", "nginx", "caddy", "varnish")
"""What is compared unless something else is asked for."""


def is_installed(name: str) -> bool:
    """Whether a peer's program is on this machine."""
    return shutil.which(PEERS[name][0]) is not None


def missing_tools(*names: str) -> list[str]:
    """Which of these programs are not installed."""
    return [name for name in names if shutil.which(name) is None]
