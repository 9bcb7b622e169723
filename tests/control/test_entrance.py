"""Where the admin API is listened to: by TLS for all others than this machine."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import warnings

import pytest

from edge.control.client import Client
from edge.control.domains import outgoing
from edge.control.entrance import Entrance
from edge.errors import EdgeError
from tests.support import Node, write_tree
from tests.support_cli import Shell, quiet
from tests.support_control import serving_admin

FIXTURES = (quiet,)
OWN = outgoing(4)
"""An address of this machine that others reach."""

pytestmark = pytest.mark.skipif(not OWN, reason="this machine has no address but loopback")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node whose admin API listens to all addresses."""
    node = Node(tmp_path_factory.mktemp("node"), workers=1)
    config = node.folder / "edge.yml"
    text = config.read_text().replace('admin: "127.0.0.1', 'admin: "0.0.0.0')
    config.write_text(text + "admin: {hosts: [edge.example]}\n")

    def is_ready():
        assert node.process.poll() is None, node.log.read_text()
        return node.edge("status", ok=False).returncode == 0

    node.is_ready = is_ready
    try:
        yield node.start()
    finally:
        node.kill_all()


@pytest.fixture(scope="module")
def given(node):
    """The node's root and a token, as they are printed."""
    root = node.edge("certs", "--root").stdout
    return root, node.edge("token", "create", "--app", "shop").stdout


@pytest.fixture
def ci(given, tmp_path, monkeypatch, capsys, quiet):
    """A machine elsewhere that has these."""
    monkeypatch.chdir(tmp_path)
    for name, text in zip(("root.pem", "token"), given, strict=True):
        (tmp_path / name).write_text(text)
    return Shell(tmp_path, capsys)


def test_in_clear_text_nothing_is_answered(node):
    """Neither off loopback nor on it."""
    for host in (OWN, "127.0.0.1"):
        connection = http.client.HTTPConnection(host, node.admin_port, timeout=10)
        connection.request("GET", "/healthz")
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.getresponse()
        connection.close()


def test_old_tls_is_refused(node):
    """1.2 is the least."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((OWN, node.admin_port), 10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)


def test_a_command_elsewhere_verifies_the_node(ci, node, monkeypatch):
    """By the root that the node prints, given by an option or a variable; else it sends nothing."""
    url = f"https://{OWN}:{node.admin_port}"
    call = ["token", "list", "--node", url, "--token-file", "token"]
    _, err = ci(*call, code=1)
    assert "is not trusted" in err
    assert "--ca-file" in err

    root = ["--ca-file", "root.pem"]
    assert "this token may deploy" in ci(*call, *root, code=1)[1]
    monkeypatch.setenv("EDGE_CA_FILE", "root.pem")
    assert "this token may deploy" in ci(*call, code=1)[1]
    monkeypatch.setenv("EDGE_CA_FILE", "token")
    assert "holds no root" in ci(*call, code=1)[1]
    monkeypatch.setenv("EDGE_CA_FILE", "nowhere")
    assert "nowhere: No such file" in ci(*call, code=1)[1]


def test_ci_deploys_by_tls(ci, node):
    """Blobs on several connections, each verified."""
    site = write_tree(ci.folder / "site", {f"{n}.html": f"page {n}" for n in range(8)})
    options = ["--node", f"https://{OWN}:{node.admin_port}", "--token-file", "token"]
    options += ["--ca-file", "root.pem"]

    ci("deploy", site, "--app", "shop", "--branch", "main", *options)

    assert node.get("/7", "main.shop.edge.localhost")[2] == b"page 7"


def test_a_token_does_not_travel_in_clear_text(ci, node):
    """Even if somebody asks for it."""
    url = f"http://{OWN}:{node.admin_port}"

    assert "clear text" in ci("status", "--node", url, "--token-file", "token", code=1)[1]


def test_the_host_is_looked_at_all_the_same(node, given):
    """The address that was dialed, and `admin.hosts`; no other name."""
    context = ssl.create_default_context(cadata=given[0])
    token = (node.folder / "var" / "admin.token").read_text().strip()
    seen = {}
    for name, host in (
        (OWN, f"{OWN}:{node.admin_port}"), ("edge.example", "edge.example"), (OWN, "evil.example"),
    ):  # fmt: skip
        plain = socket.create_connection((OWN, node.admin_port), 10)
        connection = http.client.HTTPConnection(OWN)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        headers = {"Host": host, "Authorization": f"Bearer {token}"}
        connection.request("GET", "/v1/apps", headers=headers)
        seen[host.partition(":")[0]] = connection.getresponse().status
        connection.close()

    assert seen == {OWN: 200, "edge.example": 200, "evil.example": 421}


def test_commands_on_the_machine_find_it_by_the_config(node):
    """They know the root."""
    assert "generation" in node.edge("status").stdout
    assert "edge: admin API on 0.0.0.0" in node.log.read_text()


async def test_without_a_certificate_nothing_is_listened_to(tmp_path, monkeypatch, caplog):
    """Until there is one; control goes on meanwhile."""
    entrances = []
    real = Entrance.open

    async def open_and_keep(self, listeners):
        entrances.append(self)
        monkeypatch.setattr(self._tls, "look", refuse)
        await real(self, listeners)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Entrance, "open", open_and_keep)
    async with serving_admin(tmp_path, address=f"{OWN}:0") as (admin, _):
        ((_, listener),) = admin._listeners.entries
        port = listener.getsockname()[1]
        (entrance,) = entrances
        assert "is not listened to without one" in caplog.text
        assert len(entrance._waiting) == 1

        monkeypatch.undo()
        await entrance.look()
        assert entrance._waiting == []
        with pytest.raises(EdgeError, match="not trusted"):
            await admin_is_reachable(OWN, port)


async def admin_is_reachable(host, port):
    """Asked by a client without the root."""
    client = Client(f"https://{host}:{port}", "x")
    return await asyncio.to_thread(client.is_reachable)


def test_the_page_logs_in_by_tls(node):
    """Its cookie is the host's own, and never goes in clear text."""
    context = ssl.create_default_context(cadata=node.edge("certs", "--root").stdout)
    token = (node.folder / "var" / "admin.token").read_text().strip()
    connection = http.client.HTTPSConnection(OWN, node.admin_port, timeout=10, context=context)
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", f"token={token}", fields)
    response = connection.getresponse()
    connection.close()
    cookie = response.headers["Set-Cookie"]

    assert response.status == 303
    assert cookie.startswith(f"__Host-edge-session-{node.admin_port}=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
