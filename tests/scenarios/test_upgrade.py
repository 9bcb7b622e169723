"""Another version in the place of one that serves: nothing is refused, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from edge.control.changes import Changes
from edge.control.upgrade import upgrade
from edge.node.connection import QUIET_SECONDS
from edge.site.places import Places
from tests.support import EDGE, Node, eventually, write_tree
from tests.support_control import publish
from tests.support_origin import originating

REQUESTS = int(os.environ.get("EDGE_UPGRADE_REQUESTS", "2000"))
"""Answered at least while two upgrades happen; by hand 100,000."""

PACE = 0.01 if REQUESTS < 10_000 else 0.0
"""Seconds that each client rests, so that the load leaves something of the machine."""

HOST = "main.site.edge.localhost"


@pytest.fixture
def node(tmp_path):
    """A node with two workers that serves a site."""
    node = deployed(tmp_path)
    try:
        node.start()
        eventually(lambda: is_whole(node))
        yield node
    finally:
        node.kill_all()


def deployed(folder):
    """A node that does not run yet, and has its site."""
    node = Node(folder / "node", settings="limits: {drain: 30s}\n")
    changes = Changes(Places(node.folder / "var"), node.folder / "edge.yml")
    changes.open()
    publish(changes, "site", "main", {"index.html": "version 1"})
    return node


def upgraded(node):
    """Another process is the node now; `edge upgrade`, without a command."""
    before = main_of(node)
    upgrade(Places(node.folder / "var"), Path(sys.executable))
    eventually(lambda: is_upgraded(node, before))


class Load:
    """Clients that keep their connections and clients that do not, and one of the admin API."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.errors: list[str] = []
        self.counts = [0] * 7
        self._stopping = False
        doing = [self._keeping] * 3 + [self._anew] * 3 + [self._asking]
        self._threads = [
            threading.Thread(target=self._run, args=(number, what))
            for number, what in enumerate(doing)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _run(self, number, what):
        while not self._stopping:
            try:
                for status in what():
                    self.counts[number] += 1
                    if status != 200:
                        self.errors.append(f"{what.__name__}: {status}")
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{what.__name__}: {error!r}")

    def _keeping(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
        answered = math.inf
        with contextlib.closing(connection):
            while not self._stopping:
                try:
                    connection.request("GET", "/", headers={"Host": HOST})
                    response = connection.getresponse()
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    if time.monotonic() - answered < QUIET_SECONDS / 2:
                        raise
                    return  # it was quiet, and ended so: every client opens another
                assert response.read() == b"version 1"
                answered = time.monotonic()
                yield response.status
                time.sleep(PACE)
                if response.will_close:
                    return

    def _anew(self):
        status, _, content = self.node.get("/", Connection="close")
        assert content == b"version 1"
        yield status
        time.sleep(PACE)

    def _asking(self):
        yield self.node.admin("GET", "/healthz")[0]
        time.sleep(0.01)  # one client of that API is enough

    def more(self, count: int = 200) -> None:
        """Wait until so many more were answered, by each kind of client."""
        before = list(self.counts)
        eventually(lambda: sum(self.counts) >= sum(before) + count, 60)
        eventually(lambda: all(new > old for new, old in zip(self.counts, before, strict=True)), 60)


def main_of(node):
    """The process that is the node."""
    return int((node.folder / "var" / "lock").read_text())


def parent_of(pid):
    """Who started a process, or adopted it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(node, pid):
    """Living workers and control of a parent."""
    found = []
    for each in node.pids("worker") + node.pids("control"):
        with contextlib.suppress(OSError):
            if parent_of(each) == pid:
                found.append(each)
    return found


def is_upgraded(node, before):
    """Whether only processes of another parent are left."""
    now = main_of(node)
    every = {*node.pids("worker"), *node.pids("control")}
    return now != before and len(every) == 3 and every == set(children_of(node, now))


def test_upgrades_under_load_refuse_nothing(node):
    """Keep-alive and new connections, the admin API: no error at all; then it ends as ever."""
    with Load(node) as load:
        before = main_of(node)
        load.more()
        assert "serves; the one before ends" in node.edge("upgrade").stdout
        eventually(lambda: is_upgraded(node, before))
        load.more()
        upgraded(node)
        eventually(lambda: sum(load.counts) >= REQUESTS, 300)
        load.more()

    assert load.errors == []
    assert node.process.poll() is None
    pids = [main_of(node), *children_of(node, main_of(node))]
    assert node.stop() == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_is_under_way_ends_where_it_began(tmp_path):
    """A request and an upload that the old workers have; a tunnel until `limits.drain` is over."""
    with originating() as origin:
        folder = tmp_path / "node"
        target = f"http://127.0.0.1:{origin.port}/<*>"
        rules = [{"source": "/o/<*>", "target": target, "status": "200"}]
        write_tree(folder, {"rules/site/redirects.json": json.dumps(rules)})
        settings = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\nlimits: {{drain: 15s}}\n'
        origin.on("/slow", lambda talk: (talk.read(), talk.wait(), talk.answer(b"done")))
        origin.on("/take", lambda talk: talk.answer(str(len(talk.read())).encode()))
        origin.on("/tunnel", tunnel)
        with waiting(folder, settings) as node:
            node.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
            slow, upload, through = (begin(node, path) for path in ("/slow", "/take", "/tunnel"))
            with slow, upload, through:
                slow.sendall(b"Content-Length: 0\r\n\r\n")
                upload.sendall(b"Content-Length: 10\r\n\r\n12345")
                through.sendall(b"Connection: upgrade\r\nUpgrade: x\r\n\r\n")
                assert b" 101 " in through.recv(1000)
                eventually(lambda: len(origin.talks) == 3)
                before = main_of(node)
                upgrade(Places(node.folder / "var"), Path(sys.executable))
                assert main_of(node) != before
                through.sendall(b"ping")
                assert through.recv(10) == b"ping"
                origin.of("/slow")[0].go.set()
                upload.sendall(b"67890")
                assert slow.recv(4000).endswith(b"done")
                assert upload.recv(4000).endswith(b"10")
                assert through.recv(10) == b""
                eventually(lambda: is_upgraded(node, before))
                told = node.admin("GET", "/metrics")[1]
                assert 'edge_refused_total{reason="drain"} 1' in told.splitlines()


WAITING = """
import sys
from edge.node import worker
worker.LAST_WORDS_SECONDS = 60.0
from edge.cli import main
sys.exit(main(["serve"]))
"""
"""`edge serve` whose workers wait for control's last question as long as their parent lets them."""


class Waiting(Node):
    """A node whose numbers get through, however slow the machine."""

    def command(self):
        """The same program, but for what its workers wait."""
        return [sys.executable, "-c", WAITING]


@contextlib.contextmanager
def waiting(folder, settings):
    """Such a node, until the end of the block."""
    node = Waiting(folder, settings=settings)
    try:
        yield node.start()
    finally:
        node.kill_all()


def begin(node, path):
    """A connection with the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", node.port), 60)
    connection.sendall(f"POST /o{path} HTTP/1.1\r\nHost: {HOST}\r\n".encode())
    return connection


def tunnel(talk):
    """Switch protocols, and say everything again."""
    talk.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    with contextlib.suppress(OSError):
        while piece := talk.connection.recv(100):
            talk.send(piece)


def test_a_signal_is_enough_and_reaches_who_serves(node):
    """SIGUSR2 upgrades, SIGHUP reloads: both to the process that was started."""
    before = main_of(node)
    node.process.send_signal(signal.SIGUSR2)
    eventually(lambda: is_upgraded(node, before))
    second = main_of(node)

    node.process.send_signal(signal.SIGUSR2)
    eventually(lambda: is_upgraded(node, second))
    eventually(node.is_ready)
    rules = node.folder / "rules" / "site" / "app.yml"
    rules.write_text('domains:\n  example.com:\n    subdomains: {"": main}\n')
    node.process.send_signal(signal.SIGHUP)

    eventually(lambda: node.get("/", host="example.com")[2] == b"version 1")


BROKEN = """#!{python}
import sys
sys.argv = sys.argv[3:]
{fault}
from edge.__main__ import main
sys.exit(main())
"""
DYING = """
from edge.node import worker
worker.run = lambda *_: 1 / 0
"""


@pytest.fixture
def broken(tmp_path):
    """The interpreter of a version that has a fault."""

    def make(fault):
        path = tmp_path / "python"
        path.write_text(BROKEN.format(python=sys.executable, fault=fault))
        path.chmod(0o755)
        return path

    return make


def test_a_version_that_fails_leaves_the_old_one(node, broken):
    """At import, by its processes, by a mistake in edge.yml: told with the reason, no error."""
    old = [main_of(node), *node.pids("worker"), *node.pids("control")]
    config = node.folder / "edge.yml"
    written = config.read_text()
    with Load(node) as load:
        for fault, reason in (
            ("raise ImportError('no such thing')", "no such thing"),
            (DYING, "keep dying"),
            (None, "unknown key 'nope'"),
        ):
            if fault is None:
                config.write_text(written + "nope: 1\n")
            python = sys.executable if fault is None else broken(fault)
            refused = node.edge("upgrade", "--python", python, ok=False)
            config.write_text(written)
            assert (refused.returncode, reason in refused.stderr) == (1, True), refused.stderr
            assert "the old version serves on" in refused.stderr
            load.more(50)

    assert load.errors == []
    eventually(lambda: [main_of(node), *node.pids("worker"), *node.pids("control")] == old)


def begun(node):
    """Who asks for an upgrade, and the new parent and a worker of its, once there is one."""
    old = {*node.pids("worker")}
    command = ThreadPoolExecutor(1).submit(
        upgrade, Places(node.folder / "var"), Path(sys.executable)
    )
    new = eventually(lambda: {*node.pids("worker")} - old)
    return command, parent_of(min(new)), min(new)


@pytest.mark.parametrize("victim", ["parent", "control", "new parent", "new worker"])
def test_kill_9_in_the_middle_of_an_upgrade(node, victim):
    """No error whoever dies; afterwards one parent has two workers, the old one's or the new."""
    with Load(node) as load:
        load.more(50)
        old, (control,) = main_of(node), node.pids("control")
        command, heir, worker = begun(node)
        pid = {"parent": old, "control": control, "new parent": heir, "new worker": worker}[victim]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if victim == "parent":
            node.process.wait()
        failure = command.exception(60)
        assert failure is None or victim == "new parent"
        eventually(lambda: is_whole(node))
        load.more(50)

    # a client of the admin API that spoke with control when that was killed sees it
    assert [each for each in load.errors if victim != "control" or "_asking" not in each] == []
    assert main_of(node) == (old if failure else heir)


def test_kill_9_of_a_parent_that_was_told_and_has_not_heard(node):
    """The new one's word lies in a pipe: nobody else drains what the old one has left."""
    with Load(node) as load:
        load.more(50)
        old = main_of(node)
        command, heir, _ = begun(node)
        os.kill(old, signal.SIGSTOP)
        eventually(lambda: main_of(node) == heir)
        load.more(50)
        os.kill(old, signal.SIGKILL)
        node.process.wait()
        assert command.exception(60) is None
        eventually(lambda: is_whole(node))
        load.more(50)

    assert load.errors == []
    assert main_of(node) == heir


def is_whole(node):
    """Whether one parent has all the processes that there are."""
    every = {*node.pids("worker"), *node.pids("control")}
    return len(every) == 3 and every == set(children_of(node, main_of(node)))


def test_kill_9_of_a_worker_that_drains(node):
    """Its own connections end with it; nobody is refused."""
    with Load(node) as load:
        old = node.pids("worker")
        upgrade(Places(node.folder / "var"), Path(sys.executable))
        with contextlib.suppress(ProcessLookupError):
            os.kill(old[0], signal.SIGKILL)
        eventually(lambda: is_whole(node))
        load.more(50)

    assert [each for each in load.errors if "Refused" in each or "50" in each] == []


def test_the_node_that_took_over_dies(node):
    """Its workers serve on, who waits ends, and the next start takes the sockets."""
    upgraded(node)

    os.kill(main_of(node), signal.SIGKILL)

    assert node.process.wait(15) == 128 + signal.SIGKILL
    assert node.get("/")[2] == b"version 1"
    node.start()
    assert node.get("/")[2] == b"version 1"


# systemd


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """What it hears, line by line; it listens all the time, as systemd does."""
    path = tmp_path / "notify"
    heard = queue.Queue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")

        def listen():
            while word := listening.recv(4096).decode():
                heard.put(word.splitlines()[0])

        def hear(wanted):
            """All words until one that begins so, which is the last."""
            words = []
            while not words or not words[-1].startswith(wanted):
                words.append(heard.get(timeout=30))
            return words

        ear = threading.Thread(target=listen)
        ear.start()
        yield hear
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(path))
        ear.join()


def test_the_manager_is_told_what_becomes_of_it(manager, tmp_path):
    """Ready, alive, reloading, another main process, stopping; nobody waits in the foreground."""
    node = deployed(tmp_path)
    try:
        node.start()
        assert manager("READY=1")[-1] == "READY=1"
        manager("WATCHDOG=1")
        node.process.send_signal(signal.SIGHUP)
        manager("RELOADING=1")
        manager("READY=1")
        upgrade(Places(node.folder / "var"), Path(sys.executable))
        main = int(manager("MAINPID=")[-1].partition("=")[2])
        assert main == main_of(node)
        assert node.process.wait(15) == 0
        manager("WATCHDOG=1")
        os.kill(main, signal.SIGTERM)
        manager("STOPPING=1")
        eventually(lambda: not node.pids("worker"))
    finally:
        node.kill_all()


def test_a_manager_that_hears_nothing_stops_nothing(tmp_path, monkeypatch):
    """The node hears signals all the same."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    node = deployed(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        try:
            node.start()
            eventually(lambda: takes_no_more(path))
            node.process.terminate()
            assert node.process.wait(30) == 0
        finally:
            node.kill_all()


def takes_no_more(path):
    """Whether the kernel keeps nothing more for whoever listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.1)
        try:
            sender.sendto(b"WATCHDOG=1", str(path))
        except TimeoutError:
            return True
    return False


def test_sockets_that_systemd_gives(tmp_path):
    """By the real program: sites and admin, both workers, and the next version has them too."""
    node = deployed(tmp_path)
    command = ["systemd-socket-activate", "--fdname=http:admin"]
    command += ["-l", f"127.0.0.1:{node.port}", "-l", f"127.0.0.1:{node.admin_port}"]
    with node.log.open("ab") as log:
        node.process = subprocess.Popen(
            [*command, "-E", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", EDGE, "serve"],
            cwd=node.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    node.groups.append(node.process.pid)
    try:
        eventually(node.is_ready)
        with Load(node) as load:
            load.more(50)
            upgraded(node)
            load.more(50)
        assert load.errors == []
        assert "Address already in use" not in node.log.read_text()
        assert node.stop() == 0
    finally:
        node.kill_all()
