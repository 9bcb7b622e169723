"""Which node a command talks to, and with which settings."""

from __future__ import annotations

import argparse
import logging
import socket

import pytest

from edge import nodes
from edge.control.reload import Refused
from tests.support import free_port, write_tree
from tests.support_cli import SITE, active, node, offline, online, quiet
from tests.support_control import places_of

FIXTURES = node, offline, online, quiet


# Settings


def test_limits_of_the_config_bound_the_source(offline):
    """The folder is refused before it is hashed; the limit is named."""
    with (offline.folder / "edge.yml").open("a") as file:
        file.write("limits: {archive_files: 1}\n")
    source = write_tree(offline.folder / "site", SITE)

    _, err = offline("deploy", source, "--app", "shop", "--branch", "main", code=1)

    assert "raise limits.archive_files" in err


def test_a_mistake_in_edge_yml_is_told(offline):
    """By every command, as long as there is nothing to fall back to."""
    (offline.folder / "edge.yml").write_text("nope: 1\n")
    source = write_tree(offline.folder / "site", SITE)

    for arguments in (
        ["deploy", source, "--app", "a", "--branch", "b"],
        ["branches", "--app", "a"],
        ["status"],
        ["serve"],
    ):
        out, err = offline(*arguments, code=1)
        assert (out, err.splitlines()[-1].startswith("edge.yml:1:1: unknown key 'nope'")) == (
            "",
            True,
        )
    assert offline.json("status", code=1)["errors"][0]["file"] == "edge.yml"


def test_with_a_last_good_generation_work_goes_on(offline, caplog):
    """Its settings are used, the mistake is told; also with a state folder of another name."""
    text = (offline.folder / "edge.yml").read_text() + "state: elsewhere\n"
    (offline.folder / "edge.yml").write_text(text)
    first = offline.deploy()
    (offline.folder / "edge.yml").write_text(text + "nope: 1\n")
    logging.disable(logging.NOTSET)

    offline("branches", "--app", "shop")

    assert "unknown key 'nope'" in caplog.text
    assert "the settings of the last good generation are used" in caplog.text
    assert active(offline, "shop") == first["id"]
    assert not (offline.folder / "var").exists()


def test_a_config_that_is_not_there_is_told(offline):
    """The name as it was given."""
    _, err = offline("status", "-c", "nope.yml", code=1)

    assert err.startswith("nope.yml:1:1: there is no such file")


def test_a_mistyped_config_is_no_other_node(offline):
    """Though a generation lies beside that name, nothing is done to it."""
    first = offline.deploy()
    with (offline.folder / "edge.yml").open("a") as file:
        file.write("state: var\n")

    for arguments in (
        ["deploy", "site", "--app", "shop", "--branch", "typo"],
        ["status"],
        ["replay", "log"],
    ):
        _, err = offline(*arguments, "-c", "edgee.yml", code=1)
        assert "edgee.yml:1:1: there is no such file" in err
    branches = offline.json("branches", "--app", "shop")["branches"]
    assert [each["deployment"] for each in branches] == [first["id"]]


def test_who_starts_a_node_lets_its_config_be_gone(offline, caplog):
    """It serves what it served."""
    offline.deploy()
    named = argparse.Namespace(config=offline.folder / "gone.yml")
    logging.disable(logging.NOTSET)
    _, config, places = nodes.find_settings(named, may_be_gone=True)

    assert (config, places.current.exists()) == (offline.folder / "gone.yml", True)
    assert "the settings of the last good generation are used" in caplog.text
    with pytest.raises(Refused):
        nodes.find_settings(named)


def test_status_makes_no_node(offline):
    """Where none ever was."""
    _, err = offline("status", code=1)

    assert err.startswith("edge: there is no node here: ")
    assert not (offline.folder / "var").exists()


def test_paths_are_relative_to_the_config(offline, monkeypatch):
    """Not to where the command runs."""
    other = offline.folder / "other"
    write_tree(other, {"edge.yml": (offline.folder / "edge.yml").read_text(), "rules/x": ""})
    write_tree(offline.folder / "site", SITE)

    document = offline.json(
        "deploy", "site", "--app", "shop", "--branch", "main", "-c", "other/edge.yml"
    )

    assert (other / "rules" / "shop" / "app.yml").exists()
    assert places_of(other).manifest("shop", "main", document["id"]).exists()
    assert not (offline.folder / "var").exists()


def test_without_a_config_there_are_the_defaults(offline):
    """`rules` and `var` beside where the command runs."""
    (offline.folder / "edge.yml").unlink()

    settings, config, places = nodes.find_settings(argparse.Namespace(config=None))

    assert (settings.state, config, places.state) == ("var", None, offline.folder / "var")


def test_serve_needs_settings(offline):
    """A node without any is refused with the mistakes."""
    (offline.folder / "edge.yml").write_text("nope: 1\n")

    with pytest.raises(Refused):
        nodes.find_settings(argparse.Namespace(config=None))


# The node


def test_a_node_elsewhere_takes_a_token(online, node, tmp_path, monkeypatch):
    """`--node` with `--token-file`, from any folder."""
    monkeypatch.chdir(tmp_path)
    address = ["--node", f"http://127.0.0.1:{node.admin_port}"]
    token = ["--token-file", node.folder / "var" / "admin.token"]

    assert online.json("status", *address, *token)["generation"] > 0
    _, err = online("status", *address, code=1)
    assert err == "edge: --node takes a token: --token-file FILE, or the variable EDGE_TOKEN\n"


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (b"wrong\n", "send the token of admin.token_file"),
        (b"", "holds no token"),
        (b"a b", "holds no token"),
        (b"\xff\xfe", "holds no token"),
        (None, "No such file"),
    ],
    ids=["wrong", "empty", "two words", "binary", "missing"],
)
def test_a_bad_token_is_told(online, node, tmp_path, token, text):
    """One line, without the token."""
    file = tmp_path / "token"
    if token is not None:
        file.write_bytes(token)
    arguments = ["status", "--node", f"127.0.0.1:{node.admin_port}", "--token-file", file]

    out, err = online(*arguments, code=1)

    assert (out, err.count("\n"), text in err) == ("", 1, True)
    assert "wrong" not in err
    assert text in online.json(*arguments, code=1)["error"]


@pytest.mark.parametrize("address", ["ftp://x", "http://a:b"])
def test_what_is_no_node_is_told(offline, address):
    """With an example."""
    (offline.folder / "token").write_text("t")

    _, err = offline("status", "--node", address, "--token-file", "token", code=1)

    assert err == f"edge: '{address}' is no node; write https://node.example:9901\n"


def test_a_node_that_is_down_is_told(offline):
    """With its address."""
    (offline.folder / "token").write_text("t")
    address = f"127.0.0.1:{free_port()}"

    _, err = offline("status", "--node", address, "--token-file", "token", code=1)

    assert err.startswith(f"edge: the node at {address} does not answer: ")


def test_a_node_that_cannot_be_asked_is_not_gone_behind(offline):
    """Control lives and its API is elsewhere: working on its folder would not be noticed by it."""
    offline.deploy()
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(offline.folder / "var" / "run" / "control-1.sock"))
        control.listen()
        _, err = offline("status", code=1)

    assert "a node runs on" in err
    assert "was `listen` changed since it started?" in err
