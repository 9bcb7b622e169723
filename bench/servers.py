"""
Start Edge and its peers as servers of the same files, each on one core.

A peer is a function `(site, work) -> Server`: it writes its configuration into `work`, starts the
program and returns when the program answers. All write an access log but Varnish, and none ends a
connection by itself.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from processes import (
    GENERATOR_CORE,
    SERVER_CORE,
    NotStarted,
    Server,
    free_port,
    in_front,
    start,
    wait_until,
)
from rulesets import write_rules

if TYPE_CHECKING:
    from collections.abc import Callable

EDGE = Path(sys.executable).with_name("edge")
"""The command of the environment that runs this script."""

# The node itself

ENDLESS = "requests_per_connection: 1000000000, h2_streams_per_connection: 1000000000"
"""Limits of a node that ends no connection."""

FEW_RULES, MANY_RULES = 100, 5_000
"""What the app has everywhere, and as the peer `edge-rules`."""

EDGE_LOG = "var/log/access.jsonl"
"""Where the access log is that nobody has configured."""


def write_edge_config(
    work: Path, workers: int, port: int, admin_port: int, more: str = "", *, tls_port: int = 0
) -> Path:
    """
    An `edge.yml` with everything under `work`, and `more` at its end; https where there is a port.

    The access log and the metrics are as they come, which is on.
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
    server.access_log = work / EDGE_LOG
    wait_until(server, admin_port, "/readyz")
    return server


def start_edge(site: Path, work: Path, rules: int = FEW_RULES) -> Server:
    """One worker, rules of every kind of which none is about the files, and `site` deployed."""
    write_rules(work / "rules", "bench", rules)
    return deployed(serve_edge(work, 1, more=f"limits: {{{ENDLESS}}}\n"), site, work)


def deployed(server: Server, site: Path, work: Path) -> Server:
    """The node itself, once it serves `site` as `HOST`; a node that refuses it is stopped."""
    try:
        arguments = ("deploy", str(site), "--app", "bench", "--branch", "main")
        edge_command(*arguments, config=work / "edge.yml")
    except NotStarted:
        server.stop()
        raise
    return server


def start_edge_with_rules(site: Path, work: Path) -> Server:
    """The same with `MANY_RULES`."""
    server = start_edge(site, work, MANY_RULES)
    server.name = "edge-rules"
    return server


# nginx

BROTLI = Path("/usr/lib/nginx/modules/ngx_http_brotli_static_module.so")
"""Debian: libnginx-mod-http-brotli-static."""

NGINX = """\
{modules}
daemon off;
user {user};
worker_processes {workers};
pid {work}/nginx.pid;
error_log {work}/nginx.error.log;
events {{ worker_connections 20000; }}
http {{
    access_log {work}/access.log combined buffer=64k flush=1s;
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=20000 inactive=60s;
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
        listen 127.0.0.1:{port} backlog=1024 {each};
        listen 127.0.0.1:{h2_port} http2 backlog=1024 {each};
        root {site};
        location /text/ {{
            types {{ text/html html; }}
            gzip_static on;
            gzip_vary on;
            {brotli}
        }}
    }}
"""
"""Codings are looked for where there are any: elsewhere that would cost, and find nothing."""


def has_brotli() -> bool:
    """Whether nginx can send files that are there as br."""
    return BROTLI.exists()


def start_nginx(site: Path, work: Path, core: int | None = SERVER_CORE, workers: int = 1) -> Server:
    """
    nginx with the files; Debian's 1.22 needs a port of its own for HTTP/2 in the clear.

    More workers have a listener each, as Edge's have.
    """
    port, h2_port = free_port(), free_port()
    brotli = "brotli_static on;" if has_brotli() else ""
    each = "reuseport" if workers > 1 else ""
    inside = NGINX_FILES.format(site=site, port=port, h2_port=h2_port, brotli=brotli, each=each)
    server = run_nginx(inside, work, port, core, workers)
    server.h2_port = h2_port
    return server


def run_nginx(
    inside: str, work: Path, port: int, core: int | None = SERVER_CORE, workers: int = 1
) -> Server:
    """An nginx that does what `inside` says; it answers on `port`."""
    config = work / "nginx.conf"
    modules = f"load_module {BROTLI};" if has_brotli() else ""
    # Files in a temporary folder belong to whoever runs this, and nobody else may enter it.
    user = getpass.getuser()
    config.write_text(
        NGINX.format(work=work, inside=inside, user=user, modules=modules, workers=workers)
    )
    early_log = str(work / "nginx.error.log")
    server = start("nginx", ["nginx", "-e", early_log, "-c", str(config)], work, core)
    server.port = server.h2_port = port
    server.access_log = work / "access.log"
    wait_until(server, port, "/1kb.bin")
    return server


# Caddy

CADDY = """\
{{
    admin off
    auto_https off
    storage file_system {work}/storage
    log default {{
        exclude http.log.access
    }}
    log access {{
        include http.log.access
        output file {work}/access.log {{
            roll_disabled
        }}
    }}
    servers {{
        protocols h1 h2 h2c
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    log
    {inside}
}}
{more}
"""

"""
The access log is JSON, a write a line: Caddy has no buffer for it. One logger has it all: those of
a site are found by the name and port in Host, and what has no port there would go to stderr.
"""

CADDY_FILES = """\
root * {site}
    file_server {{
        precompressed br gzip
    }}
"""


def start_caddy(site: Path, work: Path) -> Server:
    """The files themselves."""
    return run_caddy(CADDY_FILES.format(site=site), work)


def run_caddy(inside: str, work: Path, more: str = "") -> Server:
    """In the clear what `inside` says, and the sites of `more`; Go sees the one core by itself."""
    port = free_port()
    config = work / "Caddyfile"
    config.write_text(CADDY.format(port=port, inside=inside, work=work, more=more))
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    server = start("caddy", command, work)
    server.port = server.h2_port = port
    server.access_log = work / "access.log"
    wait_until(server, port, "/1kb.bin")
    return server


# Varnish


def start_varnish(site: Path, work: Path) -> Server:
    """In front of an nginx on the generator's core, which is asked once for each file."""
    origin = start_nginx(site, work, core=GENERATOR_CORE)
    return in_front(origin, lambda origin: run_varnish(origin.port, work))


def run_varnish(origin_port: int, work: Path) -> Server:
    """In front of 127.0.0.1:`origin_port`; its log is in shared memory, and nobody reads it."""
    port = free_port()
    command = [
        "varnishd", "-F", "-n", str(work / "varnish"), "-a", f"127.0.0.1:{port}",
        "-b", f"127.0.0.1:{origin_port}", "-s", "malloc,512m", "-t", "3600", "-p", "feature=+http2",
    ]  # fmt: skip
    server = start("varnish", command, work)
    server.port = server.h2_port = port
    wait_until(server, port, "/1kb.bin")
    return server


# All of them

PEERS: dict[str, Callable[[Path, Path], Server]] = {
    "edge": start_edge,
    "edge-rules": start_edge_with_rules,
    "nginx": start_nginx,
    "caddy": start_caddy,
    "varnish": start_varnish,
}
"""name → how to start it."""

PROGRAMS = {
    "edge": str(EDGE),
    "edge-rules": str(EDGE),
    "nginx": "nginx",
    "caddy": "caddy",
    "varnish": "varnishd",
}
"""name → the program to look for."""


def is_installed(name: str) -> bool:
    """Whether a peer's program is on this machine."""
    return shutil.which(PROGRAMS[name]) is not None
