"""The unit and its socket: systemd has nothing to say, and the node bears what they forbid."""

from __future__ import annotations

import configparser
import json
import socket
import ssl
import subprocess
import sys

import pytest

from edge.node.descriptors import for_connections
from edge.site.documents import decode_settings
from edge.site.settings import Limits
from tests.support import EDGE, Node, eventually, write_tree
from tests.support_packaging import PACKAGING, needs

EXPOSURE = 15
"""Tenths, of 100: what is left is the network, low ports, and its own sockets."""

CONFINED = """
import ctypes, os, sys
libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
REFUSE, ALLOW, NO_NEW_PRIVILEGES, MDWE = 0x00050001, 0x7FFF0000, 38, 65
if libc.prctl(MDWE, 1, 0, 0, 0) != 0:
    sys.exit(77)
libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
rules = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
for name in sys.argv[1].split():
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        seccomp.seccomp_rule_add(rules, ALLOW, number, 0)
assert seccomp.seccomp_load(rules) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a program as `MemoryDenyWriteExecute` and `SystemCallFilter` do; 77: no such kernel."""


@pytest.fixture(scope="module")
def service():
    """`[Service]` of the unit; of a key that stands twice, all its values."""
    parser = configparser.RawConfigParser(strict=False, dict_type=Repeated, interpolation=None)
    parser.optionxform = str
    parser.read(PACKAGING / "edge.service")
    return {key: value.split("\n") for key, value in parser["Service"].items()}


class Repeated(dict):
    """Keeps every value of a key, where `configparser` would keep the last."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)


@needs("systemd-analyze")
def test_systemd_has_nothing_to_say(tmp_path):
    """Every key is one of its own, in the version that Debian has."""
    for name in ("edge.service", "edge.socket"):
        text = (PACKAGING / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/edge/bin/edge", str(EDGE)))

    done = subprocess.run(
        ["systemd-analyze", "verify", *tmp_path.glob("edge.*")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("systemd-analyze")
def test_the_unit_is_hardened():
    """As systemd itself judges."""
    options = ["--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]
    done = subprocess.run(
        ["systemd-analyze", "security", *options, PACKAGING / "edge.service"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-200:]


def test_the_unit_fits_the_node(service):
    """Who is killed, how long a stop may take, how many descriptors there are."""
    limits = Limits()

    assert service["KillMode"] == ["process"]  # workers outlive their parent
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert service["OOMPolicy"] == ["continue"]  # a worker that is gone is replaced
    assert int(service["TimeoutStopSec"][0]) > limits.drain + 5
    assert for_connections(int(service["LimitNOFILE"][0])) >= limits.connections
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged"]


def test_the_socket_has_the_addresses_of_the_example():
    """And the example is a configuration without a mistake."""
    settings, errors = decode_settings((PACKAGING / "edge.yml").read_text(), "edge.yml")
    lines = (PACKAGING / "edge.socket").read_text().splitlines()
    given = [line.partition("=")[2] for line in lines if line.startswith("ListenStream=")]

    assert errors == []
    assert given == [*settings.listen.http, *settings.listen.https]
    assert settings.state == "/var/lib/edge"  # StateDirectory=edge
    assert settings.access_log.path.startswith(settings.state)
    assert settings.admin.token_file.startswith(settings.state)


def allowed_calls() -> str:
    """The system calls of the unit's filter, as systemd has them."""
    groups: dict[str, list[str]] = {}
    group = ""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            group = line.split()[0]
        elif line.strip() and not line.strip().startswith("#"):
            groups.setdefault(group, []).append(line.strip())

    def expand(name: str) -> set[str]:
        members = groups[name]
        return set().union(*(expand(each) if each[0] == "@" else {each} for each in members))

    return " ".join(sorted(expand("@system-service") - expand("@privileged")))


class Confined(Node):
    """A node that may do what the unit lets it."""

    def command(self) -> list[str]:
        """`edge serve`, behind the same filter."""
        return [sys.executable, "-c", CONFINED, allowed_calls(), str(EDGE), "serve"]


@needs("systemd-analyze")
def test_the_node_bears_what_the_unit_forbids(tmp_path):
    """
    No memory that is written and executed, no call but those of a service: for regular
    expressions, slow hashes, certificates, codings, a reload, an upgrade and a stop.
    """
    probe = [sys.executable, "-c", CONFINED, allowed_calls(), "/bin/true"]
    if subprocess.run(probe, check=False).returncode == 77:
        pytest.skip("this kernel cannot deny executable memory (PR_SET_MDWE)")
    settings = "tls: {mode: internal, redirect_http: false}\nlimits: {drain: 1s}\n"
    node = Confined(tmp_path, 1, settings, is_secure=True)
    write_tree(
        tmp_path / "rules" / "site",
        {
            "app.yml": "branches: {closed: {access: {users: {a: " + HASH + "}}}}\n",
            "redirects.json": json.dumps([RULE]),
        },
    )
    source = write_tree(tmp_path / "site", {"index.html": "<p>hello</p>" * 100})
    try:
        node.start()
        for branch in ("main", "closed"):
            node.deploy(source, branch=branch)
        answers = [
            node.get("/")[0],
            node.get("/very-old")[0],
            node.get("/", "closed.site.edge.localhost", Authorization="Basic YTpi")[0],
        ]
        spoken = eventually(lambda: version_spoken(node.https_port))
        reloaded = node.admin("POST", "/v1/reload", {})[0]
        node.edge("upgrade")
        answers.append(node.get("/")[0])
        stopped = node.stop()
    finally:
        node.kill_all()

    assert (answers, spoken) == ([200, 301, 401, 200], "TLSv1.3")
    assert (reloaded, stopped) == (200, 0)
    assert "Operation not permitted" not in node.log.read_text()


def version_spoken(port: int) -> str | None:
    """What a handshake agrees on; None while there is no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="main.site.edge.localhost") as secured,
        ):
            return secured.version()
    except ssl.SSLError:
        return None


RULE = {"source": "</^\\/(?!x).*old$/>", "target": "/", "status": "301"}
HASH = (
    '"$argon2id$v=19$m=19456,t=2,p=1$SX4zsY+j4E3dmMZz3BvFOg'
    '$0lW4V/J/qU9B7tN5rXDpxPAB+Er8My9xCDYHz47XbRk"'
)
"""Nobody's: what is asked for has to be hashed all the same."""
