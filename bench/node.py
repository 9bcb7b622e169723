"""
A running node from outside: its memory, its workers, its admin API.

Only what `scale.py` and `proxy.py` ask of it. Memory comes from /proc, so this is Linux.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import processes
from processes import NotStarted

if TYPE_CHECKING:
    from processes import Server

# Memory


def memory_of(pid: int) -> tuple[int, int]:
    """PSS and RSS in bytes; zeros for a process that has gone."""
    sizes = {"Pss:": 0, "Rss:": 0}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, *rest = line.split()
            if name in sizes:
                sizes[name] = int(rest[0]) * 1024
    return sizes["Pss:"], sizes["Rss:"]


def forget_peak(pid: int) -> None:
    """Let `peak_of` begin anew with what the process has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int) -> int:
    """The highest RSS in bytes since the process began, or since `forget_peak`."""
    text = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def listens_on(pid: int, port: int) -> bool:
    """Whether a process holds a listening TCP socket of `port`."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in inodes:
                    return True
    return False


def workers_of(server: Server) -> list[int]:
    """
    The processes that serve: all that hold the listener, but for the parent that gave it to them.

    One process alone is its own worker.
    """
    holders = [
        pid for pid in processes.session_of(server.process.pid) if listens_on(pid, server.port)
    ]
    children = [pid for pid in holders if pid != server.process.pid]
    return children or holders


# The admin API


class Admin:
    """A connection to a node's admin API, kept open."""

    def __init__(self, server: Server) -> None:
        token = (server.log.parent / "var/admin.token").read_text().strip()
        self.fields = {"Authorization": f"Bearer {token}"}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=60)

    def call(self, method: str, path: str, content: bytes, media_type: str) -> Any:
        """
        The decoded answer.

        Raises:
            NotStarted: Any status but 2xx, with the problem document.
        """
        fields = {**self.fields, "Content-Type": media_type}
        self.connection.request(method, path, body=content, headers=fields)
        response = self.connection.getresponse()
        answer = response.read()
        if not 200 <= response.status < 300:
            said = answer[:500].decode(errors="replace")
            raise NotStarted(f"{method} {path}: {response.status} {said}")
        return json.loads(answer) if answer.strip() else None

    def get(self, path: str) -> Any:
        """One GET."""
        return self.call("GET", path, b"", "application/json")

    def post(self, path: str, document: object = None) -> Any:
        """One POST of a JSON document."""
        body = json.dumps({} if document is None else document).encode()
        return self.call("POST", path, body, "application/json")

    def put_blob(self, content: bytes) -> None:
        """One blob, by its hash."""
        digest = hashlib.sha256(content).hexdigest()
        self.call("PUT", f"/v1/blobs/{digest}", content, "application/octet-stream")

    def deploy(self, app: str, branch: str, files: dict[str, bytes]) -> str:
        """The id of a deployment that is active when this returns."""
        by_hash = {hashlib.sha256(content).hexdigest(): content for content in files.values()}
        listing = {
            path: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for path, content in files.items()
        }
        begun = self.post(
            f"/v1/apps/{app}/branches/{quote(branch, safe='')}/deployments",
            {"files": listing, "message": "bench"},
        )
        for digest in begun["missing"]:
            self.put_blob(by_hash[digest])
        self.post(f"/v1/deployments/{begun['id']}/activate")
        return str(begun["id"])
