"""Too much of everything at a real node: it refuses what is new, and what is there goes on."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import time

from tests.support import Node, eventually, running, write_tree
from tests.support_abuse import (
    crowd,
    descriptors_of,
    processor_seconds,
    refused,
    resident,
    rest_of,
)

HOST = "main.site.edge.localhost"
MIB = 1 << 20
ASK = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@contextlib.contextmanager
def serving(tmp_path, settings: str, workers: int = 1):
    """A node with a site, and what a test has to say about it."""
    with running(tmp_path / "node", workers, settings) as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "hello"}))
        yield node


def is_answered(node: Node) -> bool:
    """Whether a new connection gets the page."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return node.get("/")[0] == 200
    return False


# Clients


def test_connections_of_one_client_are_bounded(tmp_path):
    """The next one is told so; one that ends makes room."""
    settings = "limits: {client_connections: 3}\n"
    with serving(tmp_path, settings) as node, crowd(node.port, 3, ASK) as mine:
        for each in mine:
            assert each.recv(1000).startswith(b"HTTP/1.1 200 ")
        with crowd(node.port, 1) as others:
            answer = rest_of(others[0])
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: " in answer
        assert refused(node) == {"client_connections": 1}
        mine[0].close()
        eventually(lambda: is_answered(node))
        mine[1].sendall(ASK)
        assert mine[1].recv(1000).startswith(b"HTTP/1.1 200 ")


def test_requests_of_one_client_are_bounded(tmp_path):
    """However many connections they come by; the admin API is not concerned."""
    with serving(tmp_path, "limits: {client_requests: 2}\n") as node:
        statuses = [node.get("/")[0] for _ in range(40)]
        assert statuses[:20] == [200] * 20
        assert 429 in statuses[20:]
        assert refused(node) == {"client_requests": statuses.count(429)}
        assert node.admin("GET", "/readyz")[0] == 200
        eventually(lambda: is_answered(node))


# Memory


def test_memory_that_runs_out_sheds_what_is_new(tmp_path):
    """
    Uploads to an origin that takes nothing fill a worker: 503 until that is gone, and they with it.

    That their clients have gone, nobody can see: what these have sent waits before their end.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as origin:
        port = origin.getsockname()[1]
        rule = f'[{{"source": "/o", "target": "http://127.0.0.1:{port}/", "status": "200"}}]'
        settings = f'proxy: {{allow: ["127.0.0.1:{port}"]}}\nlimits: {{idle_timeout: 10m}}\n'
        with serving(tmp_path, settings) as node:
            write_tree(node.folder / "rules" / "site", {"redirects.json": rule})
            (pid,) = node.pids("worker")
            most = resident(pid) // MIB + 24
            edge_yml = node.folder / "edge.yml"
            edge_yml.write_text(edge_yml.read_text().replace("10m", f"10m, memory: {most}MiB"))
            node.edge("reload")
            assert is_answered(node)
            head = f"POST /o HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9999999\r\n\r\n".encode()
            with crowd(node.port, 200, head) as uploads:
                for each in uploads:
                    each.settimeout(0)
                fill(uploads, node)
                answer = node.get("/")
                assert (answer[0], answer[1]["Retry-After"]) == (503, "5")
                assert node.admin("GET", "/healthz")[0] == 200
                assert node.admin("GET", "/readyz")[0] == 200
                assert refused(node)["memory"] >= 1
                # each of the uploads may hold two reads of 256 KiB, one of them on its way
                assert resident(pid) < (most + 150) * MIB
            origin.close()
            eventually(lambda: is_answered(node))
            log = node.log.read_text()
            assert log.count("new work is refused") == log.count("there is enough again") == 1


def fill(uploads: list[socket.socket], node: Node) -> None:
    """Send until the node takes no more work."""

    def sheds() -> bool:
        for each in uploads:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                each.send(bytes(MIB))
        return not is_answered(node)

    eventually(sheds, 30)


# Descriptors


def test_descriptors_that_run_out_stop_nothing(tmp_path):
    """
    The listener survives, the processor is not spun on, and who waits is served afterwards.

    There are fewer than are open, so that libuv's spare one helps it no more.
    """
    with serving(tmp_path, "") as node:
        (pid,) = node.pids("worker")
        with crowd(node.port, 30, ASK) as mine:
            for each in mine:
                assert each.recv(1000).startswith(b"HTTP/1.1 200 ")
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors_of(pid) - 20, limits[1]))
            eventually(lambda: "no descriptors are left" in node.log.read_text())
            with crowd(node.port, 50, ASK) as waiting:
                before, began = processor_seconds(pid), time.monotonic()
                mine[0].sendall(ASK)
                assert mine[0].recv(1000).startswith(b"HTTP/1.1 200 ")
                eventually(lambda: time.monotonic() - began > 2)
                assert processor_seconds(pid) - before < 1
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
                for each in waiting:
                    each.settimeout(20)
                    assert each.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert is_answered(node)
        assert node.pids("worker") == [pid]


def test_connections_leave_descriptors_for_files(tmp_path):
    """Where few may be opened, fewer connections are taken: it is said, and files are read on."""
    with serving(tmp_path, "") as node:
        node.deploy(write_tree(tmp_path / "v2", {"index.html": "hello", "a.bin": bytes(9 * MIB)}))
        (pid,) = node.pids("worker")
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == hard
        assert node.process is not None
        resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (256, 256))
        os.kill(pid, signal.SIGKILL)
        (pid,) = eventually(lambda: [p for p in node.pids("worker") if p != pid])
        eventually(lambda: is_answered(node))
        assert "more than there are descriptors for: 192" in node.log.read_text()
        with crowd(node.port, 192, ASK) as mine:
            for each in mine:
                assert each.recv(1000).startswith(b"HTTP/1.1 200 ")
            with crowd(node.port, 1) as others:
                assert rest_of(others[0]).startswith(b"HTTP/1.1 503 ")
            mine[0].sendall(ASK.replace(b"/", b"/a.bin", 1))
            read = http.client.HTTPResponse(mine[0])
            read.begin()
            assert (read.status, len(read.read())) == (200, 9 * MIB)
            read.close()
        assert refused(node) == {"connections": 1}
