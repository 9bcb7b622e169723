"""`edge doctor`, as an operator runs it: beside a node, before there is one, when it is broken."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess

import pytest

from tests.support import EDGE, free_port, running
from tests.support_cli import Shell, offline, quiet

FIXTURES = offline, quiet


@pytest.fixture
def well(offline):
    """A configuration of which nothing is wrong on any machine."""
    addresses = f'http: ["127.0.0.1:{free_port()}"], admin: "unix:{offline.folder}/edge.sock"'
    (offline.folder / "edge.yml").write_text(
        f"listen: {{{addresses}}}\n"
        "cache: {memory: 1MiB}\n"
        "workers: 1\n"
        "access_log: {max_total: 1MiB}\n"
        "limits: {connections: 100}\n"
    )
    return offline


def test_before_the_first_start(well):
    """Free ports, an empty disk: exit code 0, each line with its mark."""
    out, err = well("doctor")

    assert err == ""
    assert re.search(r"^✓  ports          127.0.0.1:\d+ is free$", out, re.MULTILINE)
    assert "✓  processes      no node runs on this configuration\n" in out


def test_a_broken_edge_yml_is_told_with_all_the_rest(well):
    """Exit code 1; the mistake's place and remedy come first, the machine is looked at as well."""
    (well.folder / "edge.yml").write_text("workerz: 3\n")

    out, _ = well("doctor", code=1)

    assert "✗  configuration  edge.yml:1:1: " in out.replace(f"{well.folder}/", "")
    assert "                  → " in out
    assert "disk" in out


def test_machines_get_a_document(well):
    """Each finding with its check, level, text and remedy; numbers of what is not well."""
    (well.folder / "var").mkdir(mode=0o700)
    token = well.folder / "var" / "admin.token"
    token.write_text("x")
    token.chmod(0o644)

    document = json.loads(well("doctor", "--json", code=1)[0])

    (bad,) = [each for each in document["findings"] if each["check"] == "permissions"]
    assert bad == {
        "check": "permissions",
        "level": "wrong",
        "text": f"{token} is 0644: others may read it",
        "remedy": f"chmod 600 {token}",
    }
    assert document["wrong"] >= 1
    assert document["warnings"] == sum(e["level"] == "warning" for e in document["findings"])


def test_warnings_fail_if_one_likes(well):
    """With `--strict`."""
    (well.folder / "var").mkdir()
    (well.folder / "var").chmod(0o755)

    well("doctor")
    well("doctor", "--strict", code=1)


def test_it_looks_at_this_machine(offline):
    """Not at one behind `--node`."""
    _, err = offline("doctor", "--node", "http://127.0.0.1:1", code=1)

    assert err == "edge: doctor looks at the machine that it runs on: run it on the node's\n"


def test_beside_a_node(tmp_path, monkeypatch, capsys, quiet):
    """Its own ports are well; a stranger's is not; asking changes nothing."""
    with running(tmp_path, workers=1) as node, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = f"127.0.0.1:{stranger.getsockname()[1]}"
        monkeypatch.chdir(tmp_path)
        shell = Shell(tmp_path, capsys)

        def ports(code):
            document = json.loads(shell("doctor", "--json", code=code)[0])
            found = {each["check"]: each for each in document["findings"]}
            assert found["processes"]["text"].endswith(", 1 workers"), found["processes"]
            return [each for each in document["findings"] if each["check"] == "ports"]

        texts = [each["text"] for each in ports(0)]
        assert texts == [
            f"127.0.0.1:{node.port} is this node's",
            f"127.0.0.1:{node.admin_port} is this node's",
        ]
        config = tmp_path / "edge.yml"
        config.write_text(config.read_text().replace(f"127.0.0.1:{node.port}", taken))
        assert ports(1)[0]["text"].endswith(f"(pid {os.getpid()})")
        assert node.get("/", host="nobody.example")[0] == 404


def test_a_terminal_of_plain_letters(well):
    """Marks that it has."""
    done = subprocess.run(
        [EDGE, "doctor"],
        cwd=well.folder,
        env=os.environ | {"PYTHONIOENCODING": "ascii:backslashreplace"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "ok processes" in done.stdout
    assert done.stderr == ""
