"""Who is told what of a whole node: real processes, a real receiver, a real mail server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

from aiohttp import web

from edge.control.alarms import Alarms
from edge.control.changes import Changes
from edge.control.counting import Counting
from edge.control.metrics import Metrics
from edge.site.places import Places
from tests.support import Node, eventually, running, write_tree
from tests.support_alarms import at, mail_server, receiving
from tests.support_wire import until

PAGES = {"index.html": "<h1>hello</h1>"}


def settings(hook: str, port: int) -> str:
    """Everybody is told of everything."""
    return (
        f'notifications: [{{notify: ["{hook}", "mailto:ops@example.com"]}}]\n'
        f"alarms: [{{app: site, metric: errors_5xx, above: 10, notify: ['{hook}']}}]\n"
        f"smtp: {{host: 127.0.0.1, port: {port}, from: edge@example.com}}\n"
    )


async def test_deployments_are_told_by_webhook_and_mail(tmp_path):
    """Those that serve and those that are refused; status shows what became of the letters."""
    async with receiving() as receiver:
        with mail_server() as mails:
            text = settings(receiver.url(), mails.port)
            with running(tmp_path, workers=1, settings=text) as node:
                await asyncio.to_thread(deploy_both, node)
                first, second = await receiver.has(2)
                await until(lambda: len(mails.mails) == 2)
                shown = await asyncio.to_thread(status_when_sent, node)
                _, scraped = await asyncio.to_thread(node.admin, "GET", "/metrics")

    told = [first[key] for key in ("result", "app", "branch")]
    assert told == ["deploy_succeeded", "site", "main"]
    assert first["url"] == f"http://main.site.edge.localhost:{node.port}"
    assert second["result"] == "deploy_failed"
    assert "redirects.json:1:" in second["reason"]
    assert [each["Subject"].split()[-1] for each in mails.mails] == ["serves", "failed"]
    assert 'edge_notifications_total{result="sent"} 4.0' in scraped
    assert "/hook/secret" not in shown
    assert "sent" in shown
    assert "site: errors_5xx above 10 for 1m" in shown


def deploy_both(node: Node) -> None:
    """One deployment that serves, one that is refused."""
    good = write_tree(node.folder / "good", PAGES)
    bad = write_tree(node.folder / "bad", PAGES | {"redirects.json": "[{]"})
    node.deploy(good)
    refused = node.edge("deploy", bad, "--app", "site", "--branch", "main", ok=False)
    assert refused.returncode == 1


def status_when_sent(node: Node) -> str:
    """What `edge status` prints once nothing waits."""
    eventually(lambda: node.admin("GET", "/v1/status")[1]["notifications"]["sent"] == 4)
    return node.edge("status").stdout


async def test_a_letter_survives_control(tmp_path):
    """Killed while a receiver refuses, it delivers what waited when it is back, with its id."""
    async with receiving() as receiver:
        text = f'notifications: [{{notify: ["{receiver.url()}"]}}]\n'
        with running(tmp_path, workers=1, settings=text) as node:
            receiver.answers.append(None)
            await asyncio.to_thread(node.deploy, write_tree(tmp_path / "good", PAGES))
            (first,) = await receiver.has(1)
            await asyncio.to_thread(kill_control, node)
            _, again = await receiver.has(2)

    assert first == again
    assert first["result"] == "deploy_succeeded"


def kill_control(node: Node) -> None:
    """`kill -9`; the parent starts another."""
    (pid,) = node.pids("control")
    os.kill(pid, signal.SIGKILL)


class Origin:
    """A server behind the node, which breaks."""

    def __init__(self) -> None:
        self.status = 200

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Whatever is asked."""
        del request
        return web.Response(status=self.status, headers={"Cache-Control": "no-store"})


class Watch:
    """A watch over the workers of a node, whose minutes are a test's."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.now = at(0)
        places = Places(node.folder / "var")
        changes = Changes(places, node.folder / "edge.yml")
        self.counting = Counting(places, Metrics(), lambda: 1, lambda: self.now)
        places.alarms = node.folder / "watched.json"
        self.alarms = Alarms(places, changes, self.counting)

    async def spend_minute(self, requests: int) -> None:
        """A minute with so many requests, looked at when it is over."""
        await asyncio.to_thread(self._ask, requests)
        self.now += 60
        await asyncio.to_thread(self.counting.collect)
        await self.alarms.look()

    def _ask(self, requests: int) -> None:
        self.counting.collect()
        for _ in range(requests):
            self.node.get("/api/cart")
        self.counting.collect()


async def test_an_origin_breaks_and_is_mended(tmp_path):
    """What clients got in these minutes fires an alarm and ends it, once each."""
    origin = Origin()
    server = web.ServerRunner(web.Server(origin))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    port = server.addresses[0][1]
    rules = [{"source": "/api/<*>", "target": f"http://127.0.0.1:{port}/<*>", "status": "200"}]
    write_tree(tmp_path / "rules/site", {"app.yml": "", "redirects.json": json.dumps(rules)})
    async with receiving() as receiver:
        alarm = "app: site, metric: errors_5xx_percent, above: 20, for: 2m"
        text = (
            f'alarms: [{{{alarm}, notify: ["{receiver.url()}"]}}]\n'
            f'proxy: {{allow: ["127.0.0.1:{port}"]}}\n'
        )
        with running(tmp_path, workers=2, settings=text) as node:
            await asyncio.to_thread(node.deploy, write_tree(tmp_path / "good", PAGES))
            watch = Watch(node)
            await watch.alarms.open()
            for status, requests in ((200, 4), (200, 4), (500, 4), (500, 0), (500, 4), (200, 4)):
                origin.status = status
                await watch.spend_minute(requests)
            fired, over = await receiver.has(2)
            watch.alarms.close()
    await server.cleanup()

    assert (fired["state"], fired["value"], fired["since"]) == ("firing", 100, stamp(2))
    assert (over["state"], over["value"], over["at"]) == ("ok", 0, stamp(6))
    assert fired["url"] == f"http://main.site.edge.localhost:{node.port}"
    assert len(receiver.taken) == 2


def stamp(number: int) -> str:
    """The beginning of a minute by its number."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at(number)))
