"""What tests of the page share: values that it shows, hostile ones too, and a tab of a browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import aiohttp

from edge.control.overview import AppRow, BranchRow, DeployRow, Overview, Traffic
from edge.control.series import Minute

NOW = 1_790_000_000.0
HOSTILE = (
    "\"><img src=x onerror=alert(1)><script>alert(2)</script>'&amp;</title></style>\u202e\x00`"
)
"""A value that leaves attributes, elements and the style, if anything lets it."""


def minutes(now: float = NOW, count: int = 60, scale: int = 10) -> list[Minute]:
    """An hour with requests, some of them errors."""
    found = []
    last = int(now) // 60 * 60
    for index in range(count):
        requests = scale * (1 + index % 7)
        broken = scale if index % 20 == 3 else 0
        latency = [0] * 16
        latency[2], latency[6], latency[9] = requests - 2, 1, 1
        found.append(
            Minute(
                at=last - 60 * (count - 1 - index),
                requests=requests,
                bytes_down=requests * 5000,
                classes=[0, 0, requests - 3 - broken, 1, 2, broken],
                latency=latency,
                hits=requests // 2,
            )
        )
    return found


def an_app(name: str, scale: int = 1, *, configured: bool = True) -> AppRow:
    """An app with some requests."""
    traffic = Traffic(minutes(scale=scale), NOW)
    return AppRow(
        name=name, branches=2, configured=configured, traffic=traffic, requests=traffic.requests
    )


def a_certificate(name: str = "www.example.com", **more: Any) -> dict[str, Any]:
    """An entry of `edge certs`."""
    return {
        "name": name,
        "state": "valid",
        "source": "acme",
        "issuer": "Test CA",
        "not_before": int(NOW) - 30 * 86400,
        "not_after": int(NOW) + 60 * 86400,
        "next": {"at": NOW + 30 * 86400, "why": "two thirds of its life are over"},
        "stopped": "",
        "reason": "shop/main answers at it",
    } | more


def an_alarm(
    name: str = "shop: errors_5xx above 10", state: str = "ok", **more: Any
) -> dict[str, Any]:
    """An alarm as `edge status` has it."""
    return {
        "name": name,
        "app": "shop",
        "metric": "errors_5xx",
        "condition": "errors_5xx above 10 for 5m",
        "state": state,
        "value": 3.0,
        "since": int(NOW) - 600,
        "notified": [],
    } | more


def a_worker(pid: int = 4711, generation: int = 7) -> dict[str, Any]:
    """A worker's own status."""
    return {
        "pid": pid,
        "generation": generation,
        "connections": 12,
        "responses": {"1xx": 0, "2xx": 900, "3xx": 20, "4xx": 5, "5xx": 1},
        "cache": {"bytes": 5 << 20, "capacity": 128 << 20},
        "draining": False,
    }


def an_overview(text: str = "shop", **more: Any) -> Overview:
    """A node with one of everything, called by `text` wherever somebody else chooses the name."""
    return Overview(
        **{
            "node": "edge-1",
            "now": NOW,
            "generation": 7,
            "apps": [an_app(text)],
            "app_count": 1,
            "branches": [
                BranchRow(
                    app=text,
                    name=text,
                    label="main",
                    deployment="20260101-000000-aaaaaa",
                    activated=NOW - 3600,
                    url=f"http://main.shop.edge.localhost/{text}",
                )
            ],
            "branch_count": 1,
            "deploys": [
                DeployRow(
                    app=text,
                    branch=text,
                    label="main",
                    id="20260101-000000-aaaaaa",
                    at=NOW - 3600,
                    result="failed",
                    text=text,
                )
            ],
            "traffic": Traffic(minutes(), NOW),
            "alarms": [an_alarm(text, app=text, condition=text)],
            "workers": [a_worker()],
            "certificates": [a_certificate(text, issuer=text)],
            "certificate_count": 1,
        }
        | more
    )


class Read(HTMLParser):
    """What a page says: its elements with their attributes, and its text."""

    VOID = frozenset(("input", "link", "meta"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """An element ends, the last that began."""
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        """Text; of the style there is none for people."""
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


class Tab:
    """A page of a real browser, and everything that it told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> Any:
        """The result of a command."""
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == self._last:
                return message["result"]
            self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def run(self, promise: str) -> Any:
        """What a promise of the page is fulfilled with."""
        async with asyncio.timeout(60):
            result = await self.call(
                "Runtime.evaluate", expression=promise, returnByValue=True, awaitPromise=True
            )
        assert "exceptionDetails" not in result, result
        return result["result"]["value"]

    async def until(self, expression: str) -> None:
        """Wait for a page in which an expression is true."""
        async with asyncio.timeout(60):
            while not await self.evaluate(f"document.readyState == 'complete' && !!({expression})"):
                pass

    async def look(self, width: int, height: int, scheme: str) -> None:
        """Have a window of a size, in light or dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    def told(self, method: str) -> list[dict[str, Any]]:
        """What the browser told of a kind."""
        return [each["params"] for each in self.events if each["method"] == method]


@contextlib.asynccontextmanager
async def tab(endpoint: str) -> AsyncIterator[Tab]:
    """The page of a browser, by its debugging address."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(endpoint, max_msg_size=0) as socket,
    ):
        found = Tab(socket)
        for domain in ("Network", "Runtime", "Log", "Page"):
            await found.call(f"{domain}.enable")
        yield found
