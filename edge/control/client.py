"""
A running node from outside: the admin API with the same calls as `operations`.

Laws: speaks to the address that the config names, or to `--node`. A refusal of the node becomes
the `EdgeError` that says what the node said.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from edge.control.announcements import check_names
from edge.control.operations import Document
from edge.errors import ConfigError, EdgeError, StoreError
from edge.node.roots import checking_context
from edge.site.hosts import is_loopback

TIMEOUT = 600.0
"""Seconds for one call: an activation may have thousands of files to code."""


PATIENCE = 5.0
"""Seconds to find out whether there is a node at all."""

KEEP_ALIVE = 15.0
"""Seconds after which a silent connection is not used again: a node closes it after 75."""

CHUNK = 256 * 1024


class Unreachable(EdgeError):
    """Nobody listens there."""


class Refusal(StoreError):
    """The node refused; `document` is its problem document."""

    def __init__(self, document: Document) -> None:
        super().__init__(document.get("detail", "the node refused without a reason"))
        self.document = document

    def mistakes(self) -> list[ConfigError]:
        """The located mistakes of a refused reload."""
        names = ("file", "line", "column", "message", "hint")
        return [
            ConfigError(*(error.get(name, "") for name in names))
            for error in self.document.get("errors", [])
        ]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One node's admin API. Connections are kept, one a thread."""

    def __init__(self, address: str, token: str, roots: Sequence[Path] = ()) -> None:
        """`roots` are trusted for its certificate, besides the system's."""
        self._address = address
        self._tls = trusting(roots)
        self._token = token
        self._connections: list[http.client.HTTPConnection] = []
        self._local = threading.local()
        """Of each thread: its connection, and when it was used last."""

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()

    def is_reachable(self) -> bool:
        """Whether a node answers there."""
        connection = connect(self._address, PATIENCE, self._tls)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except ssl.SSLCertVerificationError as error:
            raise untrusted(self._address, error) from error
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def begin(self, app: str, branch: str, files: Document, message: str = "") -> Document:
        """Announce a deployment."""
        document = {"files": files, "message": message}
        return self._call("POST", f"{branch_path(app, branch)}/deployments", document)

    def put_blob(self, sha256: str, file: BinaryIO) -> None:
        """
        Send one blob from an open binary file.

        Raises:
            StoreError: the node refused it, or the file was cut short meanwhile.
        """
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._exchange("PUT", f"/v1/blobs/{sha256}", exactly(size, file), headers)

    def complete(self, identifier: str) -> Document:
        """Keep a deployment that is not to serve yet."""
        return self._call("POST", f"/v1/deployments/{quote(identifier, safe='')}/complete")

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

    def domains(self, app: str | None = None) -> Document:
        """The DNS records that hostnames need, and what resolves now."""
        query = "" if app is None else f"?app={quote(app, safe='')}"
        return self._call("GET", f"/v1/domains{query}")

    def certificates(self) -> Document:
        """Each name, its certificate, what comes next and what was."""
        return self._call("GET", "/v1/certificates")

    def renew(self, name: str) -> Document:
        """Have a new certificate of a name as soon as may be."""
        return self._call("POST", f"/v1/certificates/{quote(name, safe='')}/renew")

    def delete_branch(self, app: str, branch: str) -> Document:
        """Forget a branch."""
        return self._call("DELETE", branch_path(app, branch))

    def reload(self, *, dry_run: bool = False, atomic: bool = False) -> Document:
        """Serve the operator's files as they are now, or say what that would do."""
        asked = {"dry_run": dry_run, "atomic": atomic}
        query = "&".join(f"{name}=1" for name, is_asked in asked.items() if is_asked)
        return self._call("POST", f"/v1/reload?{query}".rstrip("?"))

    def purge(self, selection: Document) -> Document:
        """Forget stored responses."""
        return self._call("POST", "/v1/purge", selection)

    def status(self) -> Document:
        """What the node is doing."""
        return self._call("GET", "/v1/status")

    def explain(self, question: Document) -> Document:
        """Why a request is answered as it is."""
        return self._call("POST", "/v1/explain", question)

    def create_token(self, wish: Document) -> Document:
        """Make a token: what it is for, and its text, this once."""
        return self._call("POST", "/v1/tokens", wish)

    def list_tokens(self) -> Document:
        """The tokens that there are, without their texts."""
        return self._call("GET", "/v1/tokens")

    def revoke_token(self, identifier: str) -> Document:
        """Let a token open nothing any more."""
        return self._call("DELETE", f"/v1/tokens/{quote(identifier, safe='')}")

    def _call(self, method: str, path: str, document: Document | None = None) -> Document:
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        content = self._exchange(method, path, body, headers)
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise Unreachable(f"what answers at {self._address} is no edge node") from error
        return dict(answer)

    def _exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
        connection = self._connection()
        headers = {**headers, "Authorization": f"Bearer {self._token}"}
        try:
            response, content = ask(connection, (method, path, body, headers))
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise untrusted(self._address, error) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = str(error) or type(error).__name__
            raise Unreachable(f"the node at {self._address} does not answer: {reason}") from error
        except BaseException:
            connection.close()
            raise
        self._local.used = time.monotonic()
        if response.status >= 400:
            connection.close()  # the node may not have read what was sent
            raise Refusal(parse_problem(response.status, content))
        return content

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._address, tls=self._tls)
            self._connections.append(connection)
            self._local.used = time.monotonic()
        elif time.monotonic() - self._local.used > KEEP_ALIVE or was_ended(connection):
            connection.close()  # opens again by itself
        return connection


Asked = tuple[str, str, Any, dict[str, str]]
"""Method, path, content and fields of a request."""


def ask(
    connection: http.client.HTTPConnection, asked: Asked
) -> tuple[http.client.HTTPResponse, bytes]:
    """
    The answer and its content.

    A GET is asked once more where its connection ended just then: `was_ended` cannot know
    everything (RFC 9110 §9.2.2).
    """
    was_open = connection.sock is not None
    try:
        return ask_once(connection, asked)
    except ConnectionError:
        if asked[0] != "GET" or not was_open:
            raise
        connection.close()
        return ask_once(connection, asked)


def ask_once(
    connection: http.client.HTTPConnection, asked: Asked
) -> tuple[http.client.HTTPResponse, bytes]:
    """The same, whatever becomes of the connection."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may say why
        connection.request(*asked)
    response = connection.getresponse()
    return response, response.read()


def was_ended(connection: http.client.HTTPConnection) -> bool:
    """
    Whether the node has ended a connection that waits: another version has taken over, perhaps.

    Over TLS there may be a ticket to read instead; then it is opened anew for nothing.
    """
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def exactly(size: int, file: BinaryIO) -> Iterator[bytes]:
    """
    The content of a file in chunks.

    Raises:
        StoreError: it no longer has `size` bytes.
    """
    left = size
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            raise StoreError("changed while it was sent; run the deploy again")
        left -= len(chunk)
        yield chunk


def connect(
    address: str, timeout_s: float = TIMEOUT, tls: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """
    A connection to `http(s)://host:port`, `unix:PATH` or `host:port`.

    Without a scheme it is TLS, but to this machine itself.

    Raises:
        EdgeError: it is no address, or one that a token must not travel to in clear text.
    """
    if address.startswith("unix:"):
        return UnixConnection(address[5:], timeout_s)
    try:
        url = urlsplit(address if "://" in address else f"//{address}")
        host, port = url.hostname, url.port
    except ValueError:  # a port that is none, a bracket that is not closed
        host = None
    if not host or url.scheme not in ("", "http", "https"):
        raise EdgeError(f"{address!r} is no node; write https://node.example:9901")
    if is_loopback(host) and url.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    if url.scheme == "http":
        raise EdgeError(f"{address}: a token does not travel in clear text; write https://…")
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)


def trusting(roots: Sequence[Path]) -> ssl.SSLContext:
    """
    What a node's certificate is checked by: the system's roots, and those of files.

    Raises:
        EdgeError: a file has none.
    """
    context = checking_context()
    for file in roots:
        try:
            context.load_verify_locations(cafile=file)
        except ssl.SSLError as error:
            raise EdgeError(f"{file} holds no root: `edge certs --root` prints one") from error
        except OSError as error:  # it names no file
            raise EdgeError(f"{file}: {error.strerror}") from error
    return context


def untrusted(address: str, error: ssl.SSLCertVerificationError) -> EdgeError:
    """What to do about a certificate of the node's own authority."""
    return EdgeError(
        f"the certificate of the node at {address} is not trusted ({error.verify_message}); "
        f"have its root printed there by `edge certs --root`, and name the file by --ca-file"
    )


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
    """
    The API's path of a branch; names are percent-encoded.

    Raises:
        StoreError: names that would make another path.
    """
    check_names(app, branch)
    return f"/v1/apps/{quote(app, safe='')}/branches/{quote(branch, safe='')}"
