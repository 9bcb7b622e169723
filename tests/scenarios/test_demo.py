"""The demo as a newcomer sees it: deployed, served, opened in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import eventually, running

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]


async def browse(endpoint: str, url: str, until: str) -> list[dict[str, Any]]:
    """Open `url` and collect the browser's events until the expression `until` is true."""
    events: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(endpoint) as socket:
        identifier = 0

        async def call(method: str, **params: Any) -> Any:
            nonlocal identifier
            identifier += 1
            await socket.send_json({"id": identifier, "method": method, "params": params})
            while True:
                message = json.loads((await socket.receive()).data)
                if message.get("id") == identifier:
                    return message["result"]
                events.append(message)

        for domain in ("Network", "Runtime", "Log", "Page"):
            await call(f"{domain}.enable")
        await call("Page.navigate", url=url)
        async with asyncio.timeout(60):
            while True:
                result = await call("Runtime.evaluate", expression=until)
                if result["result"].get("value"):
                    return events


@contextlib.asynccontextmanager
async def browser(home: Path, *flags: str) -> AsyncIterator[str]:
    """A browser of its own, with what `home` trusts; the debugging address of its page."""
    profile = home / "profile"
    started = subprocess.Popen(  # noqa: ASYNC220  (nothing else runs on this loop)
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(home)},
    )
    try:
        port_file = profile / "DevToolsActivePort"
        port = eventually(lambda: port_file.exists() and port_file.read_text()).split()[0]
        yield await page_endpoint(int(port))
    finally:
        started.kill()
        started.wait()


def trust(home: Path, root: Path) -> None:
    """Have a browser with this home trust a root, as a person would who adds it."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "edge", "-i", root]):
        command = ["certutil", "-d", f"sql:{store}", *arguments]
        subprocess.run(command, check=True, capture_output=True)


async def load_demo(home: Path, url: str) -> list[dict[str, Any]]:
    """Load the demo; nothing of it may fail. What arrived."""
    shown = "document.body && document.body.innerText.includes('edge; ')"
    async with browser(home) as endpoint:
        events = await browse(endpoint, url, shown)
    failed = [e["params"] for e in events if e["method"] == "Network.loadingFailed"]
    # a HEAD that nobody reads further is canceled by the browser itself when the page moves on
    assert [each for each in failed if not (each.get("canceled") and each["type"] == "Fetch")] == []
    assert [e for e in events if e["method"] == "Runtime.exceptionThrown"] == []
    assert [e for e in events if e["method"] == "Log.entryAdded"] == []
    found = [e["params"]["response"] for e in events if e["method"] == "Network.responseReceived"]
    assert {"text/html", "text/css", "text/javascript"} <= {each["mimeType"] for each in found}
    assert [each["url"] for each in found if each["status"] >= 400] == []
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages installs it)")
async def test_the_demo_loads_in_a_browser(tmp_path):
    """Page, css and js arrive, the panel shows real response fields, nothing is logged as error."""
    with running(tmp_path / "node") as node:
        node.deploy(ROOT / "rules" / "demo" / "site", app="demo")
        found = await load_demo(tmp_path, f"http://main.demo.edge.localhost:{node.port}/")

    assert {each["protocol"] for each in found} == {"http/1.1"}


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages installs it)")
async def test_the_demo_loads_over_https(tmp_path):
    """The root of the node's own authority is trusted, and http leads to HTTP/2 over TLS."""
    with running(tmp_path / "node", is_secure=True) as node:
        node.deploy(ROOT / "rules" / "demo" / "site", app="demo")
        eventually(lambda: node.get("/", "main.demo.edge.localhost")[0] == 301)
        trust(tmp_path, node.folder / "var" / "tls" / "internal" / "root.pem")
        found = await load_demo(tmp_path, f"http://main.demo.edge.localhost:{node.port}/")

    assert {each["protocol"] for each in found} == {"h2"}
    assert {each["securityState"] for each in found} == {"secure"}
    assert {each["securityDetails"]["protocol"] for each in found} == {"TLS 1.3"}


async def page_endpoint(port: int) -> str:
    """The debugging address of the browser's first page, once it has one."""
    url = f"http://127.0.0.1:{port}/json"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                pages = [each for each in await response.json() if each["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]


def test_the_readme_shows_the_demo_command():
    """A newcomer finds the two commands in the README."""
    readme = (ROOT / "README.md").read_text()

    assert re.search(r"^make demo$", readme, re.MULTILINE)
