"""The status page of a real node in a real browser: nothing is refused, nothing goes elsewhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.scenarios.test_demo import CHROMIUM, browser
from tests.support import running
from tests.support_page import tab

SIZES = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (390, 844, "light")}
SHOTS = os.environ.get("EDGE_SHOTS")
"""A folder for pictures of the page, for who wants to look at them."""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages installs it)")
async def test_the_page_in_a_browser(tmp_path):
    """Log in, look, ask, log out: no message of the console, no violation, no other address."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>hello")
    with running(tmp_path / "node", workers=1) as node:
        node.deploy(site, app="shop", branch="feature/<b>&")
        for number in range(20):
            node.get("/" if number % 5 else "/nope", "feature-b.shop.edge.localhost")
        token = (node.folder / "var" / "admin.token").read_text().strip()
        origin = f"http://localhost:{node.admin_port}/"
        async with browser(tmp_path) as endpoint, tab(endpoint) as page:
            await page.call("Page.navigate", url=origin)
            await page.until("document.querySelector('#token')")
            await page.evaluate(f"document.querySelector('#token').value = '{token}'")
            await page.evaluate("document.querySelector('form button').click()")
            await page.until("document.querySelector('#workers')")
            seen = await page.evaluate("document.body.innerText")
            widths = [await look(page, name) for name in SIZES]
            await page.evaluate("document.querySelector('#url').value = 'main.shop.edge.localhost'")
            await page.evaluate("document.querySelector('.ask button').click()")
            await page.until("document.querySelector('#steps')")
            cookies = (await page.call("Network.getCookies"))["cookies"]
            script = await page.evaluate("document.cookie")
            await page.evaluate("document.querySelector('header button').click()")
            await page.until("document.querySelector('#token')")
            left = (await page.call("Network.getCookies"))["cookies"]

    assert "feature/<b>&" in seen
    assert "all is well: 1 worker serves" in seen
    assert [width <= most for width, (most, *_) in zip(widths, SIZES.values(), strict=True)] == [
        True
    ] * 3
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
    assert (script, left) == ("", [])
    serious = [e["entry"] for e in page.told("Log.entryAdded") if e["entry"]["level"] != "verbose"]
    assert serious == page.told("Runtime.exceptionThrown") == page.told("Network.loadingFailed")
    assert serious == page.told("Runtime.consoleAPICalled") == []
    asked = {each["request"]["url"] for each in page.told("Network.requestWillBeSent")}
    assert [url for url in asked if not url.startswith((origin, "data:image/svg"))] == []


async def look(page, name):
    """How wide the page is in a window of a size."""
    width, height, scheme = SIZES[name]
    await page.look(width, height, scheme)
    if SHOTS:
        shot = await page.call("Page.captureScreenshot", captureBeyondViewport=True)
        (Path(SHOTS) / f"page-{name}.png").write_bytes(base64.b64decode(shot["data"]))
    return await page.evaluate("document.documentElement.scrollWidth")
