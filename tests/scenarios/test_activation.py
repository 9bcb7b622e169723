"""A hundred deployments under load: nothing fails, nothing mixes two versions."""

from __future__ import annotations

import asyncio
import hashlib

import httpx

from edge.node.tasks import spawn
from tests.support import running, write_tree

FILES = ("index.html", "a.txt", "b/c.css", "large.bin")
LARGE = 9 * 1024 * 1024
"""Bytes of the one file that is streamed from the disk (over `max_object`)."""


def version(number: int) -> dict[str, bytes]:
    """The files of a version: every line of every file carries its number."""
    line = f"version {number:04d}\n".encode()
    files = {name: f"{name} ".encode() + line for name in FILES[:-1]}
    return files | {"large.bin": line * (LARGE // len(line))}


async def fetch(port: int, results: list[tuple[str, str, bytes]], stop: asyncio.Event) -> None:
    """Ask for one file after another on one connection, until told to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while not stop.is_set():
        name = FILES[count % len(FILES)]
        count += 1
        writer.write(f"GET /{name} HTTP/1.1\r\nHost: main.site.edge.localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        assert head.startswith("HTTP/1.1 200 "), head
        content = await reader.readexactly(int(fields["Content-Length"]))
        results.append((fields["X-Edge-Deployment"], name, hashlib.sha256(content).digest()))
        if "Connection" in fields:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def fetch_http2(
    port: int, results: list[tuple[str, str, bytes]], stop: asyncio.Event
) -> None:
    """The same over HTTP/2, several streams at a time."""
    url = f"http://127.0.0.1:{port}"
    fields = {"Host": "main.site.edge.localhost"}
    while not stop.is_set():
        async with httpx.AsyncClient(
            http1=False, http2=True, base_url=url, headers=fields, timeout=60
        ) as client:
            for _ in range(50):
                answers = await asyncio.gather(*(client.get(f"/{name}") for name in FILES[:-1]))
                for name, answer in zip(FILES[:-1], answers, strict=True):
                    assert answer.status_code == 200
                    identifier = answer.headers["X-Edge-Deployment"]
                    results.append((identifier, name, hashlib.sha256(answer.content).digest()))


async def test_a_hundred_activations_under_load(tmp_path):
    """Every response is whole, and of the version that its X-Edge-Deployment names."""
    with running(tmp_path / "node") as node:
        versions = [version(0), version(1)]
        announced = []
        for number, files in enumerate(versions):
            node.deploy(write_tree(tmp_path / f"v{number}", files))
            announced.append(
                {
                    name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
                    for name, data in files.items()
                }
            )
        numbers: dict[str, int] = {}
        listed = node.admin("GET", "/v1/apps/site/branches/main/deployments")[1]["deployments"]
        numbers.update({listed[0]["id"]: 1, listed[1]["id"]: 0})
        results: list[tuple[str, str, bytes]] = []
        stop = asyncio.Event()
        loads = [spawn(fetch(node.port, results, stop), "load") for _ in range(12)]
        loads += [spawn(fetch_http2(node.port, results, stop), "load") for _ in range(2)]
        for count in range(100):
            begun = await asyncio.to_thread(
                node.admin,
                "POST",
                "/v1/apps/site/branches/main/deployments",
                {"files": announced[count % 2]},
            )
            assert begun[1]["missing"] == []
            numbers[begun[1]["id"]] = count % 2
            path = f"/v1/deployments/{begun[1]['id']}/activate"
            assert (await asyncio.to_thread(node.admin, "POST", path))[0] == 200
        stop.set()
        await asyncio.gather(*loads)

    expected = {
        (number, name): hashlib.sha256(data).digest()
        for number, files in enumerate(versions)
        for name, data in files.items()
    }
    assert [r for r in results if expected[numbers[r[0]], r[1]] != r[2]] == []
    assert len({identifier for identifier, _, _ in results}) > 20, "the load saw many deployments"
