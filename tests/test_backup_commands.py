"""Backup and restore by the command line, beside a real node and after it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess

import pytest

from tests.support import EDGE, Node, eventually, write_tree
from tests.support_cli import offline, quiet

FIXTURES = offline, quiet
HOST = "main.site.edge.localhost"
CODINGS = ("br", "zstd", "gzip", "identity")


def secure(node: Node, coding: str = "identity") -> tuple[bytes, str, bytes]:
    """(certificate, ETag, content) of one request by TLS."""
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", node.https_port), 10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        connection = http.client.HTTPConnection(HOST)
        connection.sock = tls
        connection.request("GET", "/", headers={"Accept-Encoding": coding})
        response = connection.getresponse()
        return tls.getpeercert(binary_form=True), response.headers["ETag"], response.read()


@pytest.fixture
def two(tmp_path):
    """A node that serves by TLS, and another folder with the same config."""
    nodes = [Node(tmp_path / name, workers=1, is_secure=True) for name in ("one", "two")]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.kill_all()


def test_a_restored_node_serves_the_same(two, tmp_path):
    """Contents in every coding, certificates, tokens, a rollback; saved while it ran."""
    one, other = two
    one.start()
    for number in range(2):
        one.deploy(write_tree(tmp_path / f"v{number}", {"index.html": f"<p>{number}" * 500}))
    token = one.admin("POST", "/v1/tokens", {"app": "site"})[1]["token"]
    eventually(lambda: quietly(one))
    before = [secure(one, coding) for coding in CODINGS]
    root = (one.folder / "var" / "tls" / "internal" / "root.pem").read_bytes()

    saved = one.edge("backup", tmp_path / "saved", "--json")
    assert json.loads(saved.stdout)["format"] == 1
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o600
    assert one.edge("restore", tmp_path / "saved", ok=False).stderr.startswith("edge: a node runs")
    one.stop()
    restored = other.edge("restore", tmp_path / "saved")
    assert restored.stdout.startswith("restored generation")
    other.start()

    assert [secure(other, coding) for coding in CODINGS] == before
    assert len(set(before)) == 4
    assert (other.folder / "var" / "tls" / "internal" / "root.pem").read_bytes() == root
    assert other.admin("GET", "/v1/apps/site/branches", token=token)[0] == 200
    assert other.admin("POST", "/v1/apps/site/branches/main/rollback")[0] == 200
    assert secure(other)[2] == b"<p>0" * 500
    actions = [
        json.loads(line)["action"]
        for line in (other.folder / "var" / "log" / "audit.jsonl").read_text().splitlines()
    ]
    assert actions[0] == "restore"


def quietly(node):
    """What it serves by TLS, or nothing yet."""
    try:
        return secure(node)
    except (OSError, ssl.SSLError):
        return None


def test_through_a_pipe(offline, tmp_path):
    """From stdout to stdin: what is told goes to stderr."""
    offline.deploy()
    piped = subprocess.run(
        f"{EDGE} backup - | (mkdir -p {tmp_path}/there && cd {tmp_path}/there && {EDGE} restore -)",
        shell=True,
        cwd=offline.folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert piped.stdout.startswith("restored generation")
    assert "edge: saved generation" in piped.stderr
    assert (tmp_path / "there" / "var" / "current").is_symlink()


def test_kill_9_in_the_middle_leaves_no_file(offline, tmp_path):
    """It has no name before it is whole; what was there stays."""
    offline.deploy({"index.html": "x", "big.bin": os.urandom(32 << 20)})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "saved").write_text("of yesterday")
    with subprocess.Popen(
        [EDGE, "backup", tmp_path / "out" / "saved"], cwd=offline.folder, stderr=subprocess.DEVNULL
    ) as process:
        eventually((offline.folder / "var" / "backup").exists)
        process.send_signal(signal.SIGKILL)

    assert (tmp_path / "out" / "saved").read_text() == "of yesterday"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["saved"]
    out, _ = offline("backup", tmp_path / "out" / "saved")
    assert out.startswith("saved generation 2: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["backup", "out", "--node", "http://127.0.0.1:1"], "run it on the node's machine"),
        (["backup", "out"], "nothing was ever served"),
        (["restore", "nowhere"], "nowhere: No such file"),
        (["restore", "edge.yml"], "this is no backup of edge"),
        (["backup", "no/folder"], "No such file"),
    ],
)
def test_refusals(offline, arguments, problem):
    """One line, and nothing is left."""
    if arguments[-1] == "no/folder":
        offline.deploy()
    _, err = offline(*arguments, code=1)

    assert problem in err.splitlines()[-1]
    assert not (offline.folder / "out").exists()


def test_a_restore_asks_before_it_moves_anything(offline, tmp_path):
    """And says where it went."""
    first = offline.deploy()
    offline("backup", "saved")
    second = offline.deploy({"index.html": "newer"})
    assert "--force" in offline("restore", "saved", code=1)[1]
    listed = offline.json("deployments", "--app", "shop", "--branch", "main")["deployments"]
    assert [each["id"] for each in listed] == [second["id"], first["id"]]

    out, _ = offline("restore", "saved", "--force")

    assert "what was there is in " in out
    (entry,) = offline.json("deployments", "--app", "shop", "--branch", "main")["deployments"]
    assert entry["id"] == first["id"]
