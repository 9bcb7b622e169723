"""Pages of others in the browser of somebody who is logged in: they change and learn nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from tests.scenarios.test_demo import CHROMIUM, browser
from tests.support import Node, eventually, running, write_tree
from tests.support_logs import entries_of
from tests.support_page import Tab, tab
from tests.support_rebinding import Names, listening, show_page

FLAGS = [
    # Newer browsers ask before a page may reach this machine. Older ones, and whoever says yes, do
    # not: here it is the node that refuses.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades",
]
EVIL = "evil.example"
FORM = "application/x-www-form-urlencoded"

FETCHES = [
    ("POST", "/logout", {"mode": "no-cors", "body": "", "headers": {"Content-Type": FORM}}),
    ("POST", "/login", {"mode": "no-cors", "body": "token=x", "headers": {"Content-Type": FORM}}),
    ("POST", "/v1/reload", {"mode": "no-cors"}),
    ("POST", "/v1/purge", {"mode": "no-cors", "body": '{"all": true}'}),
    ("POST", "/v1/purge", {"body": "{}", "headers": {"Content-Type": "application/json"}}),
    ("DELETE", "/v1/apps/shop/branches/main", {}),
    ("GET", "/v1/apps", {}),
    ("GET", "/v1/status", {"headers": {"Authorization": "Bearer guess"}}),
    ("GET", "/", {}),
    ("GET", "/", {"mode": "no-cors"}),
    ("GET", "/metrics", {}),
]
FORMS = [
    ("POST", "/logout", FORM),
    ("POST", "/explain", FORM),
    ("POST", "/v1/purge", "text/plain"),
    ("GET", "/", FORM),
]
"""Sent into a frame of the page, as old forgeries were."""

INPUT = {"name": '{"all": true, "x', "value": '"}'}
"""As text/plain it is JSON."""

SCRIPT = """(async () => {
    const told = []
    for (const [method, path, options] of FETCHES) {
        const sent = fetch(BASE + path, {method, credentials: 'include', ...options})
        told.push(await sent.then(async r => [r.status, await r.text()], () => [0, '']))
    }
    for (const [method, action, enctype] of FORMS) {
        const frame = document.createElement('iframe')
        const form = document.createElement('form')
        frame.name = form.target = 'frame' + told.length
        document.body.append(frame, form)
        Object.assign(form, {method, action: BASE + action, enctype})
        const loaded = new Promise(resolve => frame.addEventListener('load', resolve))
        form.append(Object.assign(document.createElement('input'), INPUT))
        form.submit()
        await loaded
        told.push([0, frame.contentDocument?.body?.innerText ?? ''])
    }
    return told
})()"""


def arriving(*, is_foreign: bool) -> Counter[tuple[str, str]]:
    """What of it all reaches the node: for a page of another origin a browser asks first."""
    needs_asking = ("application/json", "DELETE", "Authorization")
    found: Counter[tuple[str, str]] = Counter()
    for method, path, options in FETCHES:
        asks = is_foreign and any(word in method + json.dumps(options) for word in needs_asking)
        found["OPTIONS" if asks else method, path] += 1
    for method, path, _ in FORMS:
        found[method, path] += 1
    del found["GET", "/metrics"]  # an open path, which leaves no line
    return found


def noted(node: Node, count: int = 0) -> list[dict]:
    """The lines of those who were not let in, behind the first `count`."""
    lines = entries_of(node.folder / "var" / "log" / "audit.jsonl")
    return [line for line in lines if line["who"] == "anybody"][count:]


async def log_in(page: Tab, node: Node) -> None:
    """The operator opens the status page."""
    token = (node.folder / "var" / "admin.token").read_text().strip()
    await page.call("Page.navigate", url=f"http://localhost:{node.admin_port}/")
    await page.until("document.querySelector('#token')")
    await page.evaluate(f"document.querySelector('#token').value = '{token}'")
    await page.evaluate("document.querySelector('form button').click()")
    await page.until("document.querySelector('#workers')")


async def visit(page: Tab, url: str, base: str) -> list[list]:
    """What a hostile page learns by all that it tries against `base`."""
    await open_evil(page, url)
    return await attempt(page, base)


async def open_evil(page: Tab, url: str) -> None:
    """Go to a hostile page, and wait until it is there."""
    await page.call("Page.navigate", url=url)
    await page.until(f"document.title == 'evil' && location.href == '{url}'")


async def attempt(page: Tab, base: str) -> list[list]:
    """What the page that is open learns by all that it tries."""
    script = SCRIPT.replace("BASE", json.dumps(base))
    script = script.replace("FETCHES", json.dumps(FETCHES)).replace("FORMS", json.dumps(FORMS))
    script = script.replace("INPUT", json.dumps(INPUT))
    return await page.run(script)


async def check_refused(node: Node, before: int, status: int, arrived: Counter) -> None:
    """Every attempt arrived, was refused with this status, and stands in the audit log."""
    await asyncio.to_thread(eventually, lambda: len(noted(node, before)) >= arrived.total())
    lines = noted(node, before)
    assert Counter((line["method"], line["path"]) for line in lines) == arrived
    assert {line["status"] for line in lines} == {status}


async def visit_rebound(page: Tab, names: Names, node: Node) -> list[list]:
    """The same by a page whose own name leads to the admin API as soon as it is there."""
    own = f"http://{EVIL}:{node.admin_port}"
    await open_evil(page, own + "/")
    names.lead(EVIL, node.admin_port)
    return await attempt(page, own)


def cookies_sent(page: Tab, referrer: int) -> list[str]:
    """Names of the cookies that the browser sent along for the page at a port."""
    return [
        cookie["cookie"]["name"]
        for each in page.told("Network.requestWillBeSentExtraInfo")
        if f"localhost:{referrer}" in each["headers"].get("Origin", "")
        for cookie in each["associatedCookies"]
        if not cookie["blockedReasons"]
    ]


async def check_foreign(page: Tab, node: Node, url: str) -> None:
    """A page of another origin sends all of it, and is refused and told nothing."""
    before = len(noted(node))
    told = await visit(page, url, f"http://localhost:{node.admin_port}")
    assert told == [[0, ""]] * (len(FETCHES) + len(FORMS))
    await check_refused(node, before, 403, arriving(is_foreign=True))


async def check_rebound(page: Tab, names: Names, node: Node) -> None:
    """The page reads what it is answered, and that is a refusal each time."""
    before = len(noted(node))
    told = await visit_rebound(page, names, node)
    assert {status for status, _ in told} == {421, 0}
    assert "shop" not in str(told)
    once = arriving(is_foreign=False)  # RFC 9110 §15.5.20: a browser tries 421 once more
    await check_refused(node, before, 421, once + once)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages installs it)")
async def test_pages_of_others_change_and_learn_nothing(tmp_path):
    """Of another site, of another port of this very host, and of a name that was rebound."""
    names = Names()
    async with AsyncExitStack() as stack:
        node = stack.enter_context(running(tmp_path / "node", workers=1))
        node.deploy(write_tree(tmp_path / "site", {"index.html": "hello"}), app="shop")
        evil = await stack.enter_async_context(listening(show_page))
        proxy = await stack.enter_async_context(listening(names.serve))
        flags = [*FLAGS, f"--proxy-server=socks5://127.0.0.1:{proxy}"]
        endpoint = await stack.enter_async_context(browser(tmp_path, *flags))
        page = await stack.enter_async_context(tab(endpoint))
        generation = node.admin("GET", "/v1/status")[1]["generation"]
        await log_in(page, node)

        names.lead(EVIL, evil)
        await check_foreign(page, node, f"http://{EVIL}:{evil}/")
        await check_foreign(page, node, f"http://localhost:{evil}/")
        assert f"edge-session-{node.admin_port}" in cookies_sent(page, evil)
        await check_rebound(page, names, node)

        await page.call("Page.navigate", url=f"http://localhost:{node.admin_port}/")
        await page.until("document.querySelector('#workers')")  # nobody was logged out
        assert node.admin("GET", "/v1/status")[1]["generation"] == generation
