"""Origins that nobody here wrote behind a node of two workers: Debian's nginx, a Next.js app."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support import Node, eventually, free_port, running, write_tree
from tests.support_wire import KIB, MIB

HOST = "main.site.edge.localhost"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
TEXT = "All work and no play makes Jack a dull boy.\n" * 999
LARGE = hashlib.sha256(b"large").digest() * (2 * MIB)

NGINX_CONF = """
daemon off;
master_process off;
pid {name}.pid;
error_log {name}.log;
events {{}}
http {{
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    gzip on;
    gzip_proxied any;
    gzip_types text/plain;
    keepalive_requests 50;
    server {{
        listen 127.0.0.1:{port};
        root files;
        location = /old {{ return 301 /dir/; }}
        location = /pid {{ return 200 $pid; }}
        location /put {{ client_max_body_size 1m; return 201 $content_length; }}
    }}
}}
"""


def is_there(port: int, _: int) -> bool:
    """Whether something speaks HTTP on a port of this machine."""
    with contextlib.suppress(httpx.TransportError):
        return bool(httpx.get(f"http://127.0.0.1:{port}/").status_code)
    return False


def is_nginx(port: int, pid: int) -> bool:
    """Whether this process answers: nginx tries for seconds to get a port that a stranger has."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/pid").text == str(pid)
    return False


@contextlib.contextmanager
def process(folder: Path, port: int, *command: str, is_ready=is_there, **environment: str):
    """A server that answers on its port; it ends with the block."""
    with (folder / "output.log").open("wb") as log:
        running = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=os.environ | environment
        )
        try:
            eventually(
                lambda: running.poll() is not None or is_ready(port, running.pid), timeout_s=60
            )
            assert running.poll() is None, (folder / "output.log").read_text()
            yield running
        finally:
            running.terminate()
            running.wait(20)


@contextlib.contextmanager
def before(folder: Path, port: int):
    """A node whose fallback is the origin at a port."""
    rule = {"source": "/<*>", "target": f"http://127.0.0.1:{port}/<*>", "status": "fallback"}
    write_tree(folder / "rules/site", {"app.yml": "", "redirects.json": json.dumps([rule])})
    with running(folder, settings=f'proxy: {{allow: ["127.0.0.1:{port}"]}}\n') as node:
        node.deploy(write_tree(folder / "files", {"of-the-edge.txt": "a file of the edge"}))
        yield node


# nginx


def run_nginx(folder: Path, port: int, name: str):
    """It, with `NAME.conf` and `NAME.log` of the folder, as a process of this test's own."""
    assert NGINX is not None, "nginx is not installed (.ci/packages installs it)"
    (folder / f"{name}.conf").write_text(NGINX_CONF.format(port=port, name=name))
    command = (NGINX, "-p", str(folder), "-e", f"{name}.log", "-c", f"{name}.conf")
    return process(folder, port, *command, is_ready=is_nginx)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """Debian's nginx; its folder and port."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    files = {"files/a.txt": TEXT, "files/dir/index.html": "a folder", "files/large.bin": LARGE}
    write_tree(folder, files)
    with run_nginx(folder, port, "first"):
        yield folder, port


@pytest.fixture(scope="module")
def node(tmp_path_factory, nginx):
    """A node in front of it."""
    with before(tmp_path_factory.mktemp("node"), nginx[1]) as found:
        yield found


def test_nginx_serves_what_the_edge_has_not(node):
    """Files of the edge come first; then nginx, its 404 included."""
    assert node.get("/of-the-edge.txt")[2] == b"a file of the edge"
    status, fields, content = node.get("/a.txt")
    assert (status, content.decode(), fields["Server"]) == (200, TEXT, fields["Server"])
    assert fields["Server"].startswith("nginx")
    assert fields["Via"] == "1.1 edge"
    status, fields, content = node.get("/nothing.txt")
    assert (status, b"nginx" in content) == (404, True)


@pytest.mark.parametrize("path", ["/dir", "/old"])
def test_nginx_redirects_to_itself(node, path):
    """By absolute URLs of its own host and port, which lead the client to the host it asked."""
    for host in (HOST, f"{HOST}:{node.port}"):
        status, fields, _ = node.get(path, host=host)
        assert (status, fields["Location"]) == (301, f"http://{host}/dir/")
        assert node.get("/dir/", host=host)[::2] == (200, b"a folder")


def test_nginx_compresses(node):
    """In chunks, for those who take it; the coding is not touched (not its default, behind Via)."""
    status, fields, content = node.get("/a.txt", Accept_Encoding="gzip")

    assert (status, fields["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(content).decode() == TEXT
    assert "Content-Encoding" not in node.get("/a.txt")[1]


def test_nginx_answers_ranges_and_conditions(node):
    """206, 416 and 304, as it does alone."""
    fields = node.get("/large.bin")[1]
    status, part, content = node.get("/large.bin", Range="bytes=100-199")
    assert (status, content) == (206, LARGE[100:200])
    assert part["Content-Range"] == f"bytes 100-199/{len(LARGE)}"
    assert node.get("/large.bin", Range=f"bytes={len(LARGE)}-")[0] == 416
    status, _, content = node.get("/large.bin", Range="bytes=0-1,5-6")
    assert (status, content.count(b"Content-Range")) == (206, 2)
    for name, value in (("If_None_Match", "ETag"), ("If_Modified_Since", "Last-Modified")):
        status, fresh, content = node.get("/large.bin", **{name: fields[value]})
        assert (status, content, fresh["ETag"]) == (304, b"", fields["ETag"])


def test_nginx_sends_much(node):
    """Whole, to the last byte, by HTTP/1.1 and over HTTP/2; HEAD has its length."""
    status, fields, content = node.get("/large.bin")
    assert (status, fields["Content-Length"], content == LARGE) == (200, str(len(LARGE)), True)
    assert node.get("/large.bin", method="HEAD")[1]["Content-Length"] == str(len(LARGE))
    done = subprocess.run(
        ["nghttp", f"http://127.0.0.1:{node.port}/large.bin", "-H", f":authority: {HOST}"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(LARGE).digest()


def test_nginx_takes_content(node):
    """With a length and in chunks, as curl sends it; 405 and 413 are its own."""
    url = f"http://127.0.0.1:{node.port}/put"
    content = bytes(100 * KIB)
    for more, expected in (
        (["-X", "PUT"], "201"),
        (["-X", "PUT", "-H", "Transfer-Encoding: chunked"], "201"),
        (["-X", "POST", "-H", "Expect: 100-continue"], "201"),
    ):
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-"]
        done = subprocess.run(
            [*command, *more, "-H", f"Host: {HOST}", url],
            input=content, capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        assert done.stdout.decode() == expected
    assert node.get("/a.txt", method="POST")[0] == 405


async def test_nginx_ends_its_connections_as_it_likes(node):
    """After so many requests: none of them is lost, whichever connection it comes on."""
    limits = httpx.Limits(max_connections=20)
    url = f"http://127.0.0.1:{node.port}/dir/"
    async with httpx.AsyncClient(headers={"Host": HOST}, limits=limits, timeout=30) as client:
        for method in ("GET", "HEAD"):
            tasks = [client.request(method, url) for _ in range(500)]
            answers = await asyncio.gather(*tasks)
            assert {answer.status_code for answer in answers} == {200}


def test_a_restart_of_nginx_is_told_and_over_with_it(node, nginx, tmp_path):
    """502 while it is away, not one stale connection afterwards."""
    folder, _ = nginx
    port = free_port()
    with before(tmp_path, port) as fresh:
        for _ in range(2):
            with run_nginx(folder, port, "other"):
                assert [fresh.get("/dir/")[0] for _ in range(20)] == [200] * 20
            assert {fresh.get("/dir/", method="POST")[0] for _ in range(2)} == {502}


# Next.js


PACKAGES = {"next": "16.4.6", "react": "19.2.0", "react-dom": "19.2.0"}
APP = {
    "package.json": json.dumps({"name": "shop", "private": True, "dependencies": PACKAGES}),
    "public/robots.txt": "User-agent: *\n",
    "app/layout.js": """
export default function Layout({ children }) {
  return <html lang="en"><body>{children}</body></html>;
}
""",
    "app/page.js": """
import Link from "next/link";
import { Suspense } from "react";
export const dynamic = "force-dynamic";
async function Slow() {
  await new Promise((done) => setTimeout(done, 50));
  return <p>streamed later</p>;
}
export default function Page() {
  return (
    <main>
      <h1>rendered at {new Date().toISOString()}</h1>
      <Link href="/about">about</Link>
      <Suspense fallback={<p>loading</p>}><Slow /></Suspense>
    </main>
  );
}
""",
    "app/about/page.js": "export default function About() { return <h1>about us</h1>; }\n",
    "app/old/page.js": """
import { redirect } from "next/navigation";
export const dynamic = "force-dynamic";
export default function Old() { redirect("/about"); }
""",
    "app/api/hello/route.js": """
export async function GET(request) {
  const of = (name) => request.headers.get(name);
  return Response.json({
    host: of("x-forwarded-host"), from: of("x-forwarded-for"), cookie: of("cookie"),
    search: new URL(request.url).search,
  });
}
export async function POST(request) {
  return Response.json({ got: (await request.text()).length }, { status: 201 });
}
""",
    "app/api/events/route.js": """
export const dynamic = "force-dynamic";
let go = () => {};
export async function POST() { go(); return new Response(null, { status: 204 }); }
export async function GET() {
  const encoder = new TextEncoder();
  const stream = new ReadableStream({
    async start(controller) {
      for (let number = 0; number < 5; number++) {
        const said = new Promise((done) => { go = done; });
        controller.enqueue(encoder.encode(`data: ${number}\\n\\n`));
        await said;
      }
      controller.close();
    },
  });
  const headers = { "content-type": "text/event-stream", "cache-control": "no-cache" };
  return new Response(stream, { headers });
}
""",
}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The app, installed from the npm registry and built: half a minute."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = write_tree(tmp_path_factory.mktemp("next"), APP)
    for command in ([npm, "install", "--no-audit", "--no-fund"], ["npx", "next", "build"]):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=600, check=False,
            env=os.environ | {"NEXT_TELEMETRY_DISABLED": "1", "CI": "1"},
        )  # fmt: skip
        if command[0] == npm and done.returncode:
            pytest.skip(f"npm cannot install: {done.stderr[-500:]}")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory, built):
    """A node in front of the app."""
    port = free_port()
    command = ["node", "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1"]
    with (
        process(built, port, *command, "-p", str(port), NEXT_TELEMETRY_DISABLED="1"),
        before(tmp_path_factory.mktemp("shop"), port) as node,
    ):
        yield node


def test_next_renders_pages(shop):
    """Streamed as they are made, anew for each request; others are prerendered."""
    status, fields, content = shop.get("/")
    assert (status, fields["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"streamed later" in content
    assert content != shop.get("/")[2]
    assert b"about us" in shop.get("/about")[2]


def test_next_serves_its_assets(shop):
    """Whatever a page links to, of /_next/ and of its public folder."""
    page = shop.get("/")[2].decode()
    assets = set(re.findall(r'(?:src|href)="(/_next/static/[^"]+)"', page))
    assert len(assets) >= 2
    for asset in assets:
        status, fields, content = shop.get(asset, Accept_Encoding="gzip")
        assert (status, bool(content)) == (200, True)
        assert "immutable" in fields["Cache-Control"]
    assert shop.get("/robots.txt")[2] == b"User-agent: *\n"


def test_next_answers_what_it_does_not_have(shop):
    """Its 404 is its own page, and its redirects lead to the client's host."""
    status, fields, content = shop.get("/nowhere/at/all")
    assert (status, b"This page could not be found" in content) == (404, True)
    assert fields["Via"] == "1.1 edge"
    status, fields, _ = shop.get("/old")
    assert (status, fields["Location"]) == (307, "/about")


def test_next_answers_api_calls(shop):
    """With the query, cookies and content of the client, whom it knows."""
    answer = json.loads(shop.get("/api/hello?a=b", Cookie="c=d")[2])
    assert answer == {"host": HOST, "from": "127.0.0.1", "cookie": "c=d", "search": "?a=b"}
    url = f"http://127.0.0.1:{shop.port}/api/hello"
    for content in (b"x" * MIB, iter([b"x" * KIB] * 1024)):
        answer = httpx.post(url, content=content, headers={"Host": HOST}, timeout=30)
        assert (answer.status_code, answer.json()) == (201, {"got": MIB})


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_next_streams_events(shop, http2):
    """Each is here before the next is made."""
    url = f"http://127.0.0.1:{shop.port}/api/events"
    options = {"http1": not http2, "http2": http2, "headers": {"Host": HOST}, "timeout": 20}
    async with httpx.AsyncClient(**options) as client, client.stream("GET", url) as answer:
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        lines = answer.aiter_lines()
        for number in range(5):
            assert [await anext(lines), await anext(lines)] == [f"data: {number}", ""]
            assert (await client.post(url)).status_code == 204
        assert [line async for line in lines] == []


def test_files_of_the_edge_come_before_next(shop: Node):
    """What was deployed is served from here."""
    assert shop.get("/of-the-edge.txt")[2] == b"a file of the edge"
