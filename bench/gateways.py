"""
The same programs as reverse proxies, each in front of an origin of its own.

As in `servers.py` a peer is a function `(site, work) -> Server`. The origin is an nginx with the
files of `site`, on the generator's core: `Server.behind`, which ends with its proxy. Whether its
answers may be stored is told by the scenario's name, see `ORIGIN`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import processes
import servers
from processes import GENERATOR_CORE, SERVER_CORE, NotStarted, Server
from rulesets import mixed_rules
from scenarios import CONNECTIONS
from servers import ENDLESS, FEW_RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The origin

ORIGIN = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {site};
        access_log off;
        sendfile off;
        tcp_nopush off;
        add_header Cache-Control no-store;
        location = /proxy-1mb.bin {{ sendfile on; }}
        location = /proxy-hit.bin {{ add_header Cache-Control "public, max-age=600"; }}
        location = /requests {{ stub_status; }}
    }}
"""
"""
It counts what it is asked. Without sendfile a small file is two
system calls instead of four, which leaves more of the core to the generator.
"""


def start_origin(site: Path, work: Path) -> Server:
    """
    An nginx beside the generator.

    Raises:
        NotStarted: Also where there is no nginx.
    """
    if processes.missing_tools("nginx"):
        raise NotStarted("the origin is an nginx, which is not installed")
    folder = work / "origin"
    folder.mkdir()
    port = processes.free_port()
    origin = servers.run_nginx(ORIGIN.format(port=port, site=site), folder, port, GENERATOR_CORE)
    origin.name = "origin"
    return origin


def requests_of(server: Server) -> int:
    """How many requests the origin behind `server` has had; 0 where there is none that counts."""
    if server.behind is None:
        return 0
    answer = processes.fetch(server.behind.port, "/requests")
    counts = re.search(rb"^ \d+ \d+ (\d+) $", answer.content, re.MULTILINE)
    return int(counts[1]) if answer.status == 200 and counts else 0


# The node itself


def serve_edge(
    origin_port: int,
    work: Path,
    workers: int,
    core: int | None = SERVER_CORE,
    limits: str = "",
    *,
    rules: int = 0,
    more: str = "",
) -> Server:
    """A node that forwards to 127.0.0.1:`origin_port` what no other of its rules is about."""
    write_rule(work / "rules/bench", origin_port, rules)
    server = servers.serve_edge(work, workers, core, edge_settings(origin_port, limits) + more)
    site = work / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>bench</title>\n")
    return servers.deployed(server, site, work)


def edge_settings(origin_port: int, limits: str) -> str:
    """What such a node has in `edge.yml` beside the usual."""
    return f'proxy: {{allow: ["127.0.0.1:{origin_port}"]}}\nlimits: {{{limits}}}\n'


def write_rule(folder: Path, origin_port: int, others: int = 0) -> None:
    """An app whose last rule leads to the origin; the others are of every kind."""
    rule = {"source": "/<*>", "target": f"http://127.0.0.1:{origin_port}/<*>", "status": "200"}
    folder.mkdir(parents=True)
    (folder / "app.yml").write_text("production_branch: main\n")
    (folder / "redirects.json").write_text(json.dumps([*mixed_rules(others), rule]))


def start_edge(site: Path, work: Path) -> Server:
    """One worker, with the usual rules before the one that leads to the origin."""
    return processes.in_front(
        start_origin(site, work),
        lambda origin: serve_edge(origin.port, work, 1, limits=ENDLESS, rules=FEW_RULES),
    )


# The peers

NGINX = """
    proxy_cache_path {work}/stored levels=1:2 keys_zone=bench:10m use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{origin_port}; keepalive {connections}; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_max_temp_file_size 0;
        location / {{ proxy_pass http://origin; }}
        location = /proxy-hit.bin {{
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
    """One worker."""

    def start(origin: Server) -> Server:
        port = processes.free_port()
        inside = NGINX.format(
            work=work, port=port, origin_port=origin.port, connections=CONNECTIONS
        )
        return servers.run_nginx(inside, work, port)

    return processes.in_front(start_origin(site, work), start)


def start_caddy(site: Path, work: Path) -> Server:
    """As for files, but that it asks."""

    def start(origin: Server) -> Server:
        inside = CADDY.format(origin_port=origin.port, connections=CONNECTIONS)
        return servers.run_caddy(inside, work)

    return processes.in_front(start_origin(site, work), start)


def start_varnish(site: Path, work: Path) -> Server:
    """As for files."""
    return processes.in_front(
        start_origin(site, work), lambda origin: servers.run_varnish(origin.port, work)
    )


NGINX_TUNNELS = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        access_log off;
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
    port = processes.free_port()
    return servers.run_nginx(NGINX_TUNNELS.format(port=port, origin_port=origin_port), work, port)


GATEWAYS: dict[str, Callable[[Path, Path], Server]] = {
    "edge": start_edge,
    "nginx": start_nginx,
    "caddy": start_caddy,
    "varnish": start_varnish,
}
"""name → how to start it; the programs are those of `servers.PROGRAMS`."""
