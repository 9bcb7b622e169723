"""
The same programs as reverse proxies, each in front of an origin of its own.

As in `servers.py` a peer is a function `(site, work) -> Server`. The origin is an nginx with the
files of `site`, on the generator's core: `Server.behind`, which ends with its proxy. Whether its
answers may be stored is told by the scenario's name, see `ORIGIN`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import servers
from scenarios import CONNECTIONS
from servers import GENERATOR_CORE, SERVER_CORE, NotStarted, Server

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = Path("/dev/shm")


def memory_backed() -> Path | None:
    """A folder whose files are memory, so that no stored answer and no log waits for a disk."""
    return MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None


# The origin

ORIGIN = """
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {site};
        sendfile off;
        tcp_nopush off;
        add_header Cache-Control no-store;
        location = /proxy-1mb.bin {{ sendfile on; }}
        location = /proxy-hit.bin {{ add_header Cache-Control "public, max-age=600"; }}
        location = /requests {{ stub_status; }}
    }}
"""
"""
It ends no connection by itself, and counts what it is asked. Without sendfile a small file is two
system calls instead of four, which leaves more of the core to the generator.
"""


def start_origin(site: Path, work: Path) -> Server:
    """
    An nginx beside the generator.

    Raises:
        NotStarted: Also where there is no nginx.
    """
    if servers.missing_tools("nginx"):
        raise NotStarted("the origin is an nginx, which is not installed")
    folder = work / "origin"
    folder.mkdir()
    port = servers.free_port()
    origin = servers.run_nginx(ORIGIN.format(port=port, site=site), folder, port, GENERATOR_CORE)
    origin.name = "origin"
    return origin


def requests_of(server: Server) -> int:
    """How many requests the origin behind `server` has had; 0 where there is none that counts."""
    if server.behind is None:
        return 0
    status, content = servers.fetch(server.behind.port, "/requests")
    counts = re.search(rb"^ \d+ \d+ (\d+) $", content, re.MULTILINE)
    return int(counts[1]) if status == 200 and counts else 0


# The node itself


def serve_edge(
    origin_port: int, work: Path, workers: int, core: int | None = SERVER_CORE, limits: str = ""
) -> Server:
    """A node that forwards every path of `HOST` to 127.0.0.1:`origin_port`."""
    write_rule(work / "rules/bench", origin_port)
    server = servers.serve_edge(work, workers, core, edge_settings(origin_port, limits))
    site = work / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>bench</title>\n")
    return servers.deployed(server, site, work)


def edge_settings(origin_port: int, limits: str) -> str:
    """What such a node has in `edge.yml` beside the usual."""
    return f'proxy: {{allow: ["127.0.0.1:{origin_port}"]}}\nlimits: {{{limits}}}\n'


def write_rule(folder: Path, origin_port: int) -> None:
    """An app whose one rule leads to the origin."""
    rule = {"source": "/<*>", "target": f"http://127.0.0.1:{origin_port}/<*>", "status": "200"}
    folder.mkdir(parents=True)
    (folder / "app.yml").write_text("production_branch: main\n")
    (folder / "redirects.json").write_text(json.dumps([rule]))


def start_edge(site: Path, work: Path) -> Server:
    """One worker."""
    return servers.in_front(
        start_origin(site, work), lambda origin: serve_edge(origin.port, work, 1)
    )


# The peers

NGINX = """
    proxy_cache_path {work}/stored levels=1:2 keys_zone=bench:10m use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{origin_port}; keepalive {connections}; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        access_log {work}/access.log combined buffer=64k flush=1s;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_max_temp_file_size 0;
        location / {{ proxy_pass http://origin; }}
        location = /proxy-hit.bin {{
            access_log off;
            proxy_cache bench;
            proxy_pass http://origin;
        }}
    }}
"""
"""The usual for speed: connections kept, nothing written to temporary files."""

CADDY = """\
reverse_proxy 127.0.0.1:{origin_port} {{
        transport http {{
            keepalive_idle_conns_per_host {connections}
        }}
    }}
"""
"""It keeps 32 connections by itself, and would open the others again and again."""


def start_nginx(site: Path, work: Path) -> Server:
    """One worker, with a buffered access log but for hits."""

    def start(origin: Server) -> Server:
        port = servers.free_port()
        inside = NGINX.format(
            work=work, port=port, origin_port=origin.port, connections=CONNECTIONS
        )
        return servers.run_nginx(inside, work, port)

    return servers.in_front(start_origin(site, work), start)


def start_caddy(site: Path, work: Path) -> Server:
    """Without a log."""

    def start(origin: Server) -> Server:
        inside = CADDY.format(origin_port=origin.port, connections=CONNECTIONS)
        return servers.run_caddy(inside, work)

    return servers.in_front(start_origin(site, work), start)


def start_varnish(site: Path, work: Path) -> Server:
    """As for files."""
    return servers.in_front(
        start_origin(site, work), lambda origin: servers.run_varnish(origin.port, work)
    )


NGINX_TUNNELS = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://127.0.0.1:{origin_port};
        }}
        location = /1kb.bin {{ return 200; }}
    }}
"""


def serve_nginx_tunnels(origin_port: int, work: Path) -> Server:
    """One worker that takes WebSockets to 127.0.0.1:`origin_port`."""
    port = servers.free_port()
    return servers.run_nginx(NGINX_TUNNELS.format(port=port, origin_port=origin_port), work, port)


GATEWAYS: dict[str, Callable[[Path, Path], Server]] = {
    "edge": start_edge,
    "nginx": start_nginx,
    "caddy": start_caddy,
    "varnish": start_varnish,
}
"""name → how to start it; the programs are those of `servers.PEERS`."""
