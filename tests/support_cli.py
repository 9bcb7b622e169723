"""What tests of the command line share: commands run in this process, with a node and without."""

from __future__ import annotations

import json
import logging
import re

import pytest

from edge import cli
from tests.support import free_port, running, write_tree

SITE = {"index.html": "<h1>hello</h1>", "a/style.css": "a{}"}


class Shell:
    """Runs commands in this process, in a folder."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys

    def __call__(self, *arguments, code=0):
        """(stdout, stderr) of a command that ends with `code`."""
        self.capsys.readouterr()
        found = cli.main([str(each) for each in arguments])
        captured = self.capsys.readouterr()
        assert found == code, captured.err
        assert "Traceback" not in captured.err
        return captured.out, captured.err

    def json(self, *arguments, code=0):
        """The document of a command, on stdout; of what is refused there is a line on stderr."""
        out, err = self(*arguments, "--json", code=code)
        assert err.count("\n") == (code != 0 and arguments[0] != "check")
        return json.loads(out)

    def deploy(self, files=SITE, app="shop", branch="main", **more):
        """Deploy a folder; the document."""
        source = write_tree(self.folder / "site", files)
        options = [f"--{name}={value}" for name, value in more.items()]
        return self.json("deploy", source, "--app", app, "--branch", branch, *options)


@pytest.fixture
def quiet():
    """What a command does to this process's logging ends with the test."""
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def offline(tmp_path, monkeypatch, capsys, quiet):
    """A folder where no node runs, with an address of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "edge.yml").write_text(f'listen: {{admin: "127.0.0.1:{free_port()}"}}\n')
    return Shell(tmp_path, capsys)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node that runs for all tests of this module."""
    with running(tmp_path_factory.mktemp("node"), workers=1) as found:
        yield found


@pytest.fixture
def online(node, monkeypatch, capsys, quiet, request):
    """Its folder; every test has an app of its own name."""
    monkeypatch.chdir(node.folder)
    return Shell(node.folder, capsys)


@pytest.fixture(params=["offline", "online"])
def shell(request):
    """With and without a node: the same commands have the same answers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def app(request):
    """A name that no other test uses."""
    return "a" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")


def active(shell, app, branch="main"):
    """The deployment that serves."""
    document = shell.json("deployments", "--app", app, "--branch", branch)
    return next(each["id"] for each in document["deployments"] if each["active"])
