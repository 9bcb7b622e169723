"""Tokens by the command line, with a node and without; and a CI that has nothing else."""

from __future__ import annotations

import json

import pytest

from tests.support import write_tree
from tests.support_cli import Shell, app, node, offline, online, quiet, shell

FIXTURES = app, node, offline, online, quiet, shell


def test_a_token_is_made_listed_and_revoked(shell, app):
    """The same with a node and without."""
    out, err = shell("token", "create", "--app", app, "--branch", "pr-*", "--name", "CI")
    assert out.startswith("edge_")
    assert "may deploy, purge, read of" in err
    identifier = out.split("_")[1]

    listed, _ = shell("token", "list")
    (row,) = [line for line in listed.splitlines() if line.startswith(identifier)]
    assert row.split()[1] == "CI"
    (document,) = [t for t in shell.json("token", "list")["tokens"] if t["id"] == identifier]
    assert (document["branch"], document["expired"]) == ("pr-*", False)
    assert round(document["expires"] - document["created"]) == 90 * 86400
    assert shell("token", "revoke", identifier)[0].startswith(f"token {identifier} opens nothing")
    assert "edge token list" in shell("token", "revoke", identifier, code=1)[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--may", "all"], "--may: 'all' is nothing that a token may"),
        (["--expires", "soon"], "--expires: 'soon' is not a duration"),
        (["--expires", "0"], "a token expires in some seconds"),
        (["--branch", "a[b"], "opens a '['"),
    ],
)
def test_what_cannot_be_is_refused(offline, arguments, problem):
    """One line."""
    out, err = offline("token", "create", "--app", "shop", *arguments, code=1)

    assert out == ""
    assert problem in err


def test_a_token_may_last_for_ever(offline):
    """If somebody says so."""
    made = offline.json("token", "create", "--app", "shop", "--expires", "never", "--may", "read")

    assert (made["expires"], made["may"]) == (None, ["read"])


@pytest.fixture
def ci(node, tmp_path, monkeypatch, capsys, quiet):
    """A machine elsewhere: no config, no state, a node's address and a token for app shop."""
    made = node.edge("token", "create", "--app", "shop", "--json")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(json.loads(made.stdout)["token"] + "\n")
    shell = Shell(tmp_path, capsys)
    shell.url = f"http://127.0.0.1:{node.admin_port}"
    shell.options = ["--node", shell.url, "--token-file", "token"]
    return shell


def test_ci_deploys_lists_rolls_back_and_purges(ci, node):
    """End to end, by nothing but the token."""
    for number in (1, 2):
        site = write_tree(ci.folder / "site", {"index.html": f"version {number}", "same": "same"})
        ci("deploy", site, "--app", "shop", "--branch", "main", *ci.options)
        assert node.get("/", "main.shop.edge.localhost")[2] == b"version %d" % number

    listed, _ = ci("deployments", "--app", "shop", "--branch", "main", *ci.options)
    assert len(listed.splitlines()) == 3
    ci("rollback", "--app", "shop", "--branch", "main", *ci.options)
    assert node.get("/", "main.shop.edge.localhost")[2] == b"version 1"
    assert "stored response" in ci("purge", "--app", "shop", *ci.options)[0]
    assert "main" in ci("status", *ci.options)[0]
    assert "main" in ci("branches", "--app", "shop", *ci.options)[0]

    site = ci.folder / "site"
    _, err = ci("deploy", site, "--app", "blog", "--branch", "main", *ci.options, code=1)
    assert err.splitlines()[-1] == (
        "edge: this token may deploy, purge and read app shop, and nothing else"
    )


def test_the_token_may_be_in_the_environment(ci, monkeypatch):
    """As CI keeps secrets; a file that is named comes first."""
    _, err = ci("status", "--node", ci.url, code=1)
    assert "EDGE_TOKEN" in err
    monkeypatch.setenv("EDGE_TOKEN", (ci.folder / "token").read_text())
    assert ci("status", "--node", ci.url)
    monkeypatch.setenv("EDGE_TOKEN", "wrong")
    assert ci("status", *ci.options)
    assert "send the token" in ci("status", "--node", ci.url, code=1)[1]
    monkeypatch.setenv("EDGE_TOKEN", "two words")
    assert "EDGE_TOKEN holds no token" in ci("status", "--node", ci.url, code=1)[1]
