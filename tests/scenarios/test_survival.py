"""kill -9 of anything, at any point: the last activated deployment serves on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading

import pytest

from edge.control.orphans import status_of
from tests.support import EDGE, Node, eventually, running, write_tree


@pytest.fixture
def node(tmp_path):
    """A node with two workers that serves version 1 of a site."""
    with running(tmp_path / "node") as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
        yield node


def content(node: Node) -> bytes:
    """What the site's front page says."""
    return node.get("/")[2]


def new_pids(node: Node, kind: str, old: list[int]) -> list[int]:
    """Processes of a kind, when all are others than `old` and as many."""
    pids = node.pids(kind)
    return pids if len(pids) == len(old) and not set(pids) & set(old) else []


def test_a_dead_worker_is_replaced(node):
    """Connections that come meanwhile wait in the socket that the parent holds."""
    for _ in range(5):
        victims = node.pids("worker")
        os.kill(victims[0], signal.SIGKILL)

        assert [content(node) for _ in range(20)] == [b"version 1"] * 20

        eventually(lambda old=victims: len(set(node.pids("worker")) - {old[0]}) == 2)


def test_what_killed_workers_leave_goes_with_the_next_start(node):
    """The sockets where their siblings asked them; those of the living stay."""
    run = node.folder / "var" / "run"
    left = set(run.glob("store-*.sock"))
    assert len(left) == 2
    node.kill_all()
    node.start()

    assert content(node) == b"version 1"
    eventually(lambda: len(set(run.glob("store-*.sock")) - left) == 2)
    assert not any(path.exists() for path in left)


def test_dead_control_is_replaced(node):
    """Workers serve on without it; deploys go on when it is back."""
    victims = node.pids("control")
    os.kill(victims[0], signal.SIGKILL)

    assert content(node) == b"version 1"

    eventually(lambda: new_pids(node, "control", victims))
    eventually(node.is_ready)
    node.deploy(write_tree(node.folder / "v2", {"index.html": "version 2"}))
    assert content(node) == b"version 2"


def test_workers_outlive_their_parent_and_hand_over(node):
    """The next `edge serve` takes the sockets over: not one connection is refused."""
    orphans = node.pids("worker")
    node.process.kill()
    node.process.wait()

    assert content(node) == b"version 1"

    load = Load(node)
    node.start()
    eventually(lambda: not set(orphans) & set(node.pids("worker")))
    load.stop()
    assert load.errors == []
    assert load.count > 0
    node.deploy(write_tree(node.folder / "v2", {"index.html": "version 2"}))
    assert {content(node) for _ in range(20)} == {b"version 2"}


@pytest.fixture
def patient(tmp_path):
    """The same, which waits a minute for the rest of a request."""
    limits = "limits: {header_timeout: 60s, drain: 60s}\n"
    with running(tmp_path / "node", settings=limits) as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "version 1"}))
        yield node


def test_a_second_restart_meets_who_still_drains(patient):
    """A worker that waits for the rest of a request listens no more: it hands nothing over."""
    node = patient
    head = b"GET / HTTP/1.1\r\nHost: main.site.edge.localhost\r\n"
    with socket.create_connection(("127.0.0.1", node.port)) as held:
        held.sendall(head + b"\r\n")
        while not held.recv(4096).endswith(b"version 1"):
            pass
        held.sendall(head)
        first = node.pids("worker")
        for number in (2, 3):
            node.process.kill()
            node.process.wait()
            node.start()
            eventually(lambda n=number: started(node) == n or node.process.poll() is not None)
            eventually(lambda: any(is_draining(node, pid) for pid in first))

        assert started(node) == 3
        assert {content(node) for _ in range(20)} == {b"version 1"}


def started(node: Node) -> int:
    """How often it has said that it serves."""
    return node.log.read_text().count("edge: serving on")


def is_draining(node: Node, pid: int) -> bool:
    """Whether a worker is there, and takes no connections."""
    run = node.folder / "var" / "run"
    return bool(status_of(run / f"worker-{pid}.sock").get("draining"))


class Load:
    """New connections, one after another, in a thread."""

    def __init__(self, node: Node) -> None:
        self.errors: list[str] = []
        self.count = 0
        self._node = node
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            try:
                status, _, _ = self._node.get("/")
            except OSError as error:
                self.errors.append(repr(error))
            else:
                self.count += 1
                if status != 200:
                    self.errors.append(str(status))

    def stop(self) -> None:
        """End the load."""
        self._stopping = True
        self._thread.join()


def test_orphans_follow_what_the_command_line_activates(node):
    """Parent and control dead: `edge deploy` works on the state folder, workers see it."""
    node.process.kill()
    node.process.wait()
    for pid in node.pids("control"):
        os.kill(pid, signal.SIGKILL)

    node.deploy(write_tree(node.folder / "v2", {"index.html": "version 2"}))

    eventually(lambda: {content(node) for _ in range(10)} == {b"version 2"})


def test_a_deploy_killed_at_any_point_leaves_the_old_one(node):
    """Twenty deploys killed after a random time: old or new serves, and the next one works."""
    chance = random.Random(7)
    for number in range(2, 22):
        folder = write_tree(
            node.folder / f"v{number}",
            {"index.html": f"version {number}", "a.txt": f"a {number}" * 1000},
        )
        deploy = subprocess.Popen(
            [EDGE, "deploy", folder, "--app", "site", "--branch", "main"],
            cwd=node.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deploy.wait(chance.uniform(0.1, 0.6))
        except subprocess.TimeoutExpired:
            deploy.kill()
        deploy.wait()
        for _ in range(2):  # the node may still make the change: a reload waits for it
            assert node.admin("POST", "/v1/reload", {})[0] == 200
        page = content(node).decode()
        served = int(page.removeprefix("version "))
        assert served <= number
        if served > 1:
            assert node.get("/a.txt")[2].decode() == f"a {served}" * 1000

    node.deploy(write_tree(node.folder / "last", {"index.html": "version last"}))
    assert content(node) == b"version last"


@pytest.mark.parametrize("victim", ["parent", "control", "worker", "everything"])
def test_a_kill_at_random_points_of_deploys(node, victim):
    """Whatever dies while deployments go on, a restart serves the last acknowledged or a later."""
    chance = random.Random(victim)
    acknowledged = 1
    for number in range(2, 6):
        folder = write_tree(node.folder / f"v{number}", {"index.html": f"version {number}"})
        deploy = subprocess.Popen(
            [EDGE, "deploy", folder, "--app", "site", "--branch", "main"],
            cwd=node.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            deploy.wait(chance.uniform(0.2, 0.5))
        kill(node, victim)
        if deploy.wait() == 0:
            acknowledged = number
        if victim != "everything":
            served = int(content(node).decode().removeprefix("version "))
            assert served >= acknowledged
        if node.process.poll() is not None:
            node.start()
        eventually(node.is_ready)
        served = int(content(node).decode().removeprefix("version "))
        assert acknowledged <= served <= number
        acknowledged = served


def kill(node: Node, victim: str) -> None:
    """kill -9 of the parent, of control, of a worker or of all."""
    if victim in ("parent", "everything"):
        node.process.kill()
        node.process.wait()
    pids = {
        "parent": [],
        "control": node.pids("control"),
        "worker": node.pids("worker")[:1],
        "everything": node.pids("control") + node.pids("worker"),
    }[victim]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_refused_configuration_is_not_loaded_by_a_restart(node):
    """The mistake is reported, the app serves its last good configuration, restart or not."""
    app = node.folder / "rules" / "site" / "app.yml"
    app.write_text("trailing_slash: sometimes\n")

    refused = node.edge("reload", ok=False)

    assert refused.returncode == 1
    assert "rules/site/app.yml:1:17" in refused.stderr
    assert content(node) == b"version 1"
    assert node.stop() == 0
    node.start()
    assert content(node) == b"version 1"
    assert "rules/site/app.yml:1:17" in node.log.read_text()


def test_a_broken_edge_yml_does_not_stop_a_restart(node):
    """The settings of the last good generation are used, and the mistake is reported."""
    config = node.folder / "edge.yml"
    config.write_text(config.read_text() + "wrkers: 3\n")

    node.stop()
    node.start()

    assert content(node) == b"version 1"
    assert "did you mean" in node.log.read_text()


def test_a_second_node_on_the_state_folder_is_refused(node):
    """One line says why and what to do."""
    second = node.edge("serve", ok=False)

    assert second.returncode == 1
    assert "a node already runs on" in second.stderr
    assert content(node) == b"version 1"


def test_an_address_of_somebody_else_is_refused(node, tmp_path):
    """SO_REUSEPORT must not let two nodes share a port by accident."""
    other = Node(tmp_path / "other")
    config = (node.folder / "edge.yml").read_text()
    (other.folder / "edge.yml").write_text(config)

    refused = other.edge("serve", ok=False)

    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{node.port}" in refused.stderr


def test_sigterm_drains(node):
    """Requests under way finish; the node ends with 0 and leaves no process."""
    pids = node.pids("worker") + node.pids("control")

    assert node.stop() == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_sighup_reloads(node):
    """What `edge reload` does, for those who have only a signal."""
    rules = node.folder / "rules" / "site" / "app.yml"
    rules.write_text('domains:\n  example.com:\n    subdomains: {"": main}\n')
    assert node.get("/", host="example.com")[0] == 404

    node.process.send_signal(signal.SIGHUP)

    eventually(lambda: node.get("/", host="example.com")[2] == b"version 1")
