"""
A running node from outside: the admin API with the same calls as `operations`.

Laws: speaks to the address that the config names, or to `--node`. A refusal of the node becomes
the `EdgeError` that says what the node said.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from typing import Any
from urllib.parse import quote, urlsplit

from edge.control.operations import Document
from edge.errors import ConfigError, EdgeError, StoreError

TIMEOUT = 600.0
"""Seconds for one call: an activation may have thousands of files to code."""


class Unreachable(EdgeError):
    """Nobody listens there."""


class Refusal(StoreError):
    """The node refused; `document` is its problem document."""

    def __init__(self, document: Document) -> None:
        super().__init__(document.get("detail", "the node refused without a reason"))
        self.document = document

    def mistakes(self) -> list[ConfigError]:
        """The located mistakes of a refused reload."""
        return [ConfigError(**error) for error in self.document.get("errors", [])]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One node's admin API. Connections are kept, one a thread."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token
        self._local = threading.local()

    def is_reachable(self) -> bool:
        """Whether somebody answers there."""
        try:
            self._exchange("GET", "/healthz", None, {})
        except Unreachable:
            return False
        return True

    def begin(self, app: str, branch: str, files: Document, message: str = "") -> Document:
        """Announce a deployment."""
        document = {"files": files, "message": message}
        return self._call("POST", f"{branch_path(app, branch)}/deployments", document)

    def put_blob(self, sha256: str, file: Any) -> None:
        """Send one blob from an open binary file."""
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._exchange("PUT", f"/v1/blobs/{sha256}", file, headers)

    def activate(self, identifier: str) -> Document:
        """Serve a deployment."""
        return self._call("POST", f"/v1/deployments/{quote(identifier, safe='')}/activate")

    def rollback(self, app: str, branch: str) -> Document:
        """Serve what a branch served before."""
        return self._call("POST", f"{branch_path(app, branch)}/rollback")

    def deployments(self, app: str, branch: str) -> Document:
        """The deployments of a branch, newest first."""
        return self._call("GET", f"{branch_path(app, branch)}/deployments")

    def branches(self, app: str) -> Document:
        """The branches of an app."""
        return self._call("GET", f"/v1/apps/{quote(app, safe='')}/branches")

    def delete_branch(self, app: str, branch: str) -> Document:
        """Forget a branch."""
        return self._call("DELETE", branch_path(app, branch))

    def reload(self) -> Document:
        """Serve the operator's files as they are now."""
        return self._call("POST", "/v1/reload")

    def purge(self) -> Document:
        """Forget stored responses."""
        return self._call("POST", "/v1/purge")

    def status(self) -> Document:
        """What the node is doing."""
        return self._call("GET", "/v1/status")

    def _call(self, method: str, path: str, document: Document | None = None) -> Document:
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer: Document = json.loads(self._exchange(method, path, body, headers))
        return answer

    def _exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
        connection = self._connection()
        authorization = {"Authorization": f"Bearer {self._token}"}
        try:
            connection.request(method, path, body, headers | authorization)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(
                f"the node at {self._address} does not answer: {error or type(error).__name__}"
            ) from error
        if response.status >= 400:
            raise Refusal(parse_problem(response.status, content))
        return content

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._address)
        return connection


def connect(address: str) -> http.client.HTTPConnection:
    """
    A connection to `http(s)://host:port`, `unix:PATH` or `host:port`.

    Raises:
        EdgeError: it is no address.
    """
    if address.startswith("unix:"):
        return UnixConnection(address[5:])
    url = urlsplit(address if "://" in address else f"http://{address}")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise EdgeError(f"{address!r} is no node; write https://node.example:9901")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.hostname, url.port, timeout=TIMEOUT)


def parse_problem(status: int, content: bytes) -> Document:
    """The problem document of a refusal, or one made of its status."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"status": status, "detail": f"the node answered {status}"}


def branch_path(app: str, branch: str) -> str:
    """The API's path of a branch; names are percent-encoded."""
    return f"/v1/apps/{quote(app, safe='')}/branches/{quote(branch, safe='')}"
