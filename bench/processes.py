"""
The programs that are measured, as processes: started, waited for, counted and stopped.

Each has a session of its own and a core. Nothing is left running: `Server.stop` ends the whole
session that was started, and nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "main.bench.edge.localhost"
"""The branch `main` of the app `bench` under Edge's default domain; the others take any name."""

SERVER_CORE, GENERATOR_CORE = 0, 1

MEMORY = Path("/dev/shm")


def memory_backed() -> Path | None:
    """A folder whose files are memory, so that no log and no stored answer waits for a disk."""
    return MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None


class NotStarted(Exception):
    """A program that did not come up; the text ends with what it said."""


@dataclass(slots=True)
class Server:
    """A running program and where it listens (127.0.0.1)."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    """HTTP/1.1."""
    h2_port: int
    """HTTP/2 in the clear, by prior knowledge; often the same."""
    tls_port: int = 0
    """HTTP/1.1 and HTTP/2 over TLS; 0 where there is none."""
    handshake_port: int = 0
    """The same without session tickets, where they can be turned off."""
    admin_port: int = 0
    """Edge's alone."""
    access_log: Path | None = None
    """Where it writes a line for each request; None where it writes none."""
    behind: Server | None = None
    """The origin of a proxy."""

    def stop(self, patience_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL to the session's processes that outlive `patience_s`."""
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        while pids := session_of(self.process.pid):  # who is killed takes a moment to die
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.behind:
            self.behind.stop()


# Processes


def start(name: str, command: list[str], work: Path, core: int | None = SERVER_CORE) -> Server:
    """`command` in a session of its own, on `core` alone; the ports are still to be filled in."""
    log = work / f"{name}.log"
    pinned = ["taskset", "-c", str(core), *command] if core is not None else command
    with log.open("ab") as output:
        process = subprocess.Popen(
            pinned, cwd=work, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    return Server(name, process, log, 0, 0)


def session_of(leader: int) -> list[int]:
    """The processes of the session that `leader` began, while any of them lives."""
    found = []
    for entry in Path("/proc").iterdir():
        fields = stat_fields(entry.name) if entry.name.isdigit() else None
        if fields is not None and int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.name))
    return sorted(found)


def cpu_seconds(leader: int) -> float:
    """What the processes of a session have used of the processor so far, user and system."""
    return cpu_seconds_of(session_of(leader))


def cpu_seconds_of(pids: list[int]) -> float:
    """What these processes have used of the processor so far; those that are gone, nothing."""
    ticks = 0
    for pid in pids:
        fields = stat_fields(str(pid))
        if fields is not None:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def stat_fields(pid: str) -> list[str] | None:
    """`/proc/PID/stat` from the state on: state, ppid, pgrp, session, … None once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


# Readiness


def free_port() -> int:
    """
    A port on 127.0.0.1 that nobody has at the moment.

    Of those below 32,768, which the kernel gives no client: until it is bound, one may come.
    """
    for port in random.sample(range(10_240, 32_768), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotStarted("a hundred ports in a row are taken")


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; the coding of its content, and its entity-tag, are "" without such a field."""

    status: int
    content: bytes
    coding: str
    etag: str


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    """What was answered to the request that was sent."""
    response = connection.getresponse()
    coding, etag = (response.getheader(name, "") for name in ("Content-Encoding", "ETag"))
    return Answer(response.status, response.read(), coding, etag)


def fetch(
    port: int, path: str, fields: dict[str, str] | None = None, timeout_s: float = 10.0
) -> Answer:
    """The answer to one GET for `HOST`, unless `fields` name another one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Host": HOST} | (fields or {}))
        return read_answer(connection)
    finally:
        connection.close()


def wait_until(server: Server, port: int, path: str, patience_s: float = 30.0) -> float:
    """
    Seconds until a GET of `path` is answered with 200.

    Raises:
        NotStarted: The program ended, or did not answer in time.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < patience_s:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fetch(port, path, {"Host": f"127.0.0.1:{port}"}).status == 200:
                return time.monotonic() - began
        time.sleep(0.01)
    said = server.log.read_text(errors="replace")[-2000:]
    server.stop()
    raise NotStarted(
        f"{server.name} did not answer {path} on port {port} in {waited:.0f} s\n{said}"
    )


# Together


def in_front(origin: Server, start: Callable[[Server], Server]) -> Server:
    """What `start` makes of the origin, which ends with it, or at once when it does not start."""
    try:
        server = start(origin)
    except NotStarted:
        origin.stop()
        raise
    server.behind = origin
    return server


def missing_tools(*names: str) -> list[str]:
    """Which of these programs are not installed."""
    return [name for name in names if shutil.which(name) is None]
