"""Changes of a running node by its admin API: what `edge` does, without a process for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from edge.control.client import Client
from tests.support import Node, write_tree


def open_client(node: Node) -> Client:
    """A node's admin API, with its own token."""
    token = (node.folder / "var" / "admin.token").read_text().strip()
    return Client(f"127.0.0.1:{node.admin_port}", token)


def deploy(client: Client, node: Node, name: str, files: Mapping[str, str | bytes]) -> Any:
    """The activation of a deployment of `site`; its files are left in a folder of that name."""
    folder = write_tree(node.folder / name, dict(files))
    contents = {path: (folder / path).read_bytes() for path in files}
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    announced = {
        path: {"sha256": digests[path], "size": len(content)} for path, content in contents.items()
    }
    begun = client.begin("site", "main", announced)
    for path in files:
        if digests[path] in begun["missing"]:
            with (folder / path).open("rb") as file:
                client.put_blob(digests[path], file)
    return client.activate(begun["id"])
