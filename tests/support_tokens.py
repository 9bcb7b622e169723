"""What tests of tokens share: an API with two apps, and calls by a token of one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support_control import serving_admin, sha256

MAIN = "/v1/apps/shop/branches/main"
OTHER = "/v1/apps/blog/branches/main"


class Api:
    """Calls of the admin API, by the operator's token or another."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, token: str) -> None:
        self.session = session
        self.folder = folder
        self.admin = token
        self.token = token

    async def __call__(
        self, method: str, path: str, document: Any = None, data: bytes | None = None
    ) -> tuple[int, Any]:
        """(status, document)"""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(
            method, path, json=document, data=data, headers=headers
        ) as response:
            return response.status, await response.json(content_type=None)

    def by(self, token: str) -> Api:
        """The same API with another token."""
        other = Api(self.session, self.folder, self.admin)
        other.token = token
        return other

    async def make(self, **wish: Any) -> Api:
        """The API with a new token."""
        status, made = await self("POST", "/v1/tokens", {"app": "shop"} | wish)
        assert status == 201, made
        return self.by(made["token"])

    async def begin(self, files: dict[str, bytes], path: str = MAIN) -> tuple[int, Any]:
        """Announce files."""
        announced = {
            name: {"sha256": sha256(content), "size": len(content)}
            for name, content in files.items()
        }
        return await self("POST", f"{path}/deployments", {"files": announced})

    async def put(self, content: bytes) -> tuple[int, Any]:
        """Send a blob."""
        return await self("PUT", f"/v1/blobs/{sha256(content)}", data=content)

    async def activate(self, identifier: str) -> tuple[int, Any]:
        """Serve a deployment."""
        return await self("POST", f"/v1/deployments/{identifier}/activate")

    async def deploy(self, files: dict[str, bytes], path: str = MAIN) -> str:
        """Announce, send what is missing, activate; the id."""
        status, begun = await self.begin(files, path)
        assert status == 201, begun
        for content in files.values():
            if sha256(content) in begun["missing"]:
                assert (await self.put(content))[0] == 204
        status, served = await self.activate(begun["id"])
        assert status == 200, served
        return begun["id"]


@asynccontextmanager
async def two_apps(folder: Path, settings: str = "") -> AsyncIterator[Api]:
    """An API where the apps shop and blog serve."""
    async with (
        serving_admin(folder, settings) as (_, address),
        aiohttp.ClientSession(f"http://{address}") as session,
    ):
        token = (folder / "var" / "admin.token").read_text().strip()
        api = Api(session, folder, token)
        await api.deploy({"index.html": b"shop"})
        await api.deploy({"index.html": b"blog", "secret.js": b"of blog alone"}, OTHER)
        yield api
