"""
Fronts and backs that do not disagree about where a request ends: us, nginx, aiohttp.

Every case of the tables that goes to an origin, with a smuggled request behind it. The back's own
account of what it saw is held against what the front answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections import Counter

from aiohttp import web

from tests.conformance.test_http1 import CASES, FORWARDED, path_of, serving
from tests.support import eventually, free_port
from tests.support_cases import AT_ONCE, Case, Reply, connected, labelled, trailed
from tests.support_logs import entries_of
from tests.support_recorder import recording

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
SENT = dict(labelled({name: CASES[name] for name in FORWARDED}))

COMMON = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {{}}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_header_timeout 1s;
    client_body_timeout 1s;
    lingering_timeout 1s;
    log_format seen escape=json '{{"path": "$request_uri", "status": "$status",'
                                ' "back": "$upstream_status", "length": "$http_content_length"}}';
    proxy_http_version 1.1;
    proxy_next_upstream off;
    {servers}
}}
"""
BACK = """
    server {{
        listen 127.0.0.1:{port};
        access_log off;
        location / {{ proxy_pass http://127.0.0.1:{inner}; }}
    }}
    server {{
        listen 127.0.0.1:{inner};
        access_log seen.log seen;
        location / {{ return 200 $http_content_length; }}
    }}
"""
"""What counts is behind nginx's own reading of the content: only whole requests come that far."""

FRONT = """
    upstream edge {{ server 127.0.0.1:{node}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        access_log seen.log seen;
        location / {{
            proxy_pass http://edge;
            proxy_set_header Host a.test;
            proxy_set_header Connection "";
            proxy_request_buffering off;
        }}
    }}
"""


@contextlib.contextmanager
def nginx(folder, servers: str, port: int):
    """Debian's nginx; when the block ends it has written down all that it saw."""
    assert NGINX is not None, "nginx is not installed (.ci/packages installs it)"
    (folder / "nginx.conf").write_text(COMMON.format(servers=servers))
    command = [NGINX, "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
    with (folder / "output.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        eventually(lambda: answers(port) or running.poll() is not None)
        assert running.poll() is None, (folder / "output.log").read_text()
        yield
    finally:
        running.send_signal(signal.SIGQUIT)
        running.wait(20)


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def seen(folder) -> list[dict[str, str]]:
    """What nginx wrote down."""
    text = (folder / "seen.log").read_text(errors="replace")
    return [json.loads(line) for line in text.splitlines()]


async def answers_to(port: int, case: Case) -> list[Reply]:
    """The final answers to a case and what is behind it, until the connection ends."""
    async with connected(port) as wire:
        await trailed(wire, case)
        await wire.read_to_end()
        return wire.finals()


async def send_all(port: int) -> dict[str, list[Reply]]:
    """The answers to every case."""
    limit = asyncio.Semaphore(AT_ONCE)
    found: dict[str, list[Reply]] = {}

    async def one(name: str, case: Case) -> None:
        async with limit:
            found[name] = await answers_to(port, case)

    await asyncio.gather(*(one(name, case) for name, case in SENT.items()))
    return found


def served_of(found: dict[str, list[Reply]]) -> Counter[str]:
    """How many requests of each path at the origin were answered as served."""
    counted: Counter[str] = Counter()
    for name, replies in found.items():
        path = path_of(SENT[name]).decode()
        counted[path] += sum(r.status == 200 and r.content != b"behind" for r in replies[:1])
    return +counted


def test_nginx_behind_us_sees_what_we_answered(tmp_path):
    """One request for each that was served, with the length of its content; none of the others."""
    port, inner = free_port(), free_port()
    back = nginx(tmp_path, BACK.format(port=port, inner=inner), port)
    with back, serving(tmp_path / "node", port) as node:
        found = asyncio.run(send_all(node.port))
    lines = seen(tmp_path)
    assert Counter(line["path"] for line in lines) == served_of(found)
    lengths = {path_of(case).decode(): len(case.content or b"") for case in SENT.values()}
    assert [each for each in lines if int(each["length"] or 0) != lengths[each["path"]]] == []
    assert "invalid" not in (tmp_path / "error.log").read_text()


async def test_aiohttp_behind_us_sees_what_we_answered(tmp_path):
    """The same, and the content itself."""
    contents: list[tuple[str, bytes]] = []

    async def note(request: web.Request) -> web.Response:
        content = await request.read()
        contents.append((request.path, content))
        return web.Response(body=content)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", note)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    with contextlib.ExitStack() as stack:
        node = await asyncio.to_thread(stack.enter_context, serving(tmp_path / "node", port))
        found = await send_all(node.port)
    await runner.cleanup()
    assert Counter(path for path, _ in contents) == served_of(found)
    expected = {path_of(case).decode(): case.content for case in SENT.values()}
    assert [each for each in contents if each[1] != expected[each[0]]] == []


async def test_nginx_in_front_of_us_asked_what_we_answered(tmp_path):
    """nginx passes on what it takes: as many requests as we note, with the same statuses."""
    port = free_port()
    async with recording() as recorder:
        with contextlib.ExitStack() as stack:
            folder = tmp_path / "node"
            serve = serving(folder, recorder.port)
            node = await asyncio.to_thread(stack.enter_context, serve)
            servers = FRONT.format(port=port, node=node.port)
            await asyncio.to_thread(stack.enter_context, nginx(tmp_path, servers, port))
            await send_all(port)
        ours = entries_of(folder / "var/log/access.jsonl")
    theirs = Counter((e["path"], e["back"]) for e in seen(tmp_path) if e["back"] not in {"", "-"})
    assert Counter((entry["path"], str(entry["status"])) for entry in ours) == theirs
    assert sum(theirs.values()) > 100, "nginx passed on too little to say anything"
    assert recorder.anomalies == []
    whole = Counter(record.target.decode() for record in recorder.records if record.is_whole)
    assert whole == Counter(
        {
            path: n
            for (path, status), n in theirs.items()
            if status == "200" and path.startswith("/o/")
        }
    )
