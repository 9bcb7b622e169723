"""Who is told what of a whole node: real processes, a real receiver, a real mail server."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.support import Node, eventually, running, write_tree
from tests.support_alarms import mail_server, receiving
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

    told = [first[key] for key in ("result", "app", "branch")]
    assert told == ["deploy_succeeded", "site", "main"]
    assert first["url"] == f"http://main.site.edge.localhost:{node.port}"
    assert second["result"] == "deploy_failed"
    assert "redirects.json:1:" in second["reason"]
    assert [each["Subject"].split()[-1] for each in mails.mails] == ["serves", "failed"]
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
