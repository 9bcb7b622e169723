"""The command line: its grammar, its exit codes, and what becomes of a refusal."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest

from edge import cli, nodes
from tests.support import EDGE
from tests.support_cli import offline, quiet

FIXTURES = offline, quiet
COMMANDS = [
    "serve",
    "deploy",
    "deployments",
    "activate",
    "rollback",
    "branches",
    "delete-branch",
    "reload",
    "purge",
    "status",
    "check",
    "explain",
    "replay",
    "import",
    "hash-password",
]


# The grammar


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys, command):
    """What it does and what it takes."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])

    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"usage: edge {command}")
    assert len(text.split("\n\n")[1]) > 15
    assert "--config FILE" in text


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("edge.cli", {"aiohttp", "rich.console", "dns", "acme", "duckdb", "publicsuffixlist"}),
        ("edge.control.admin", {"dns", "acme", "publicsuffixlist"}),
    ],
)
def test_nothing_waits_for_what_few_need(module, heavy):
    """A download, a bar, public names: importing what they take costs as much as all the rest."""
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_help_names_every_command(capsys):
    """With a line for each, and examples."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s+\w", text, re.MULTILINE), command
    assert "edge deploy ./dist --app shop --branch main" in text


@pytest.mark.parametrize("command", ["check", "explain", "replay", "import", "hash-password"])
def test_examples_in_the_help_can_be_typed(capsys, command):
    """What ends a command's help is a command that is understood."""
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])

    (example,) = re.findall(r"example:\n  edge (.+?)(?: <.*)?\n", capsys.readouterr().out)
    assert cli.parser().parse_args(shlex.split(example)).command.__module__ == "edge.rule_commands"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["deploy"],
        ["deploy", "site", "--app", "shop"],
        ["activate"],
        ["rollback", "--app", "shop"],
        ["branches"],
        ["purge"],
        ["check", "--nope"],
        ["explain"],
        ["explain", "x.example", "--header"],
        ["replay"],
        ["import", "vercel", "site"],
        ["import", "netlify"],
        ["hash-password", "secret"],
    ],
    ids=" ".join,
)
def test_what_is_no_command_is_usage(capsys, arguments):
    """Exit code 2, on stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert captured.err.startswith("usage: edge")


def test_the_version(capsys):
    """That of the package."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert (ended.value.code, capsys.readouterr().out) == (0, f"edge {version('edge')}\n")


# Refusals


def test_a_permission_is_told_without_a_traceback(offline, monkeypatch):
    """The file and the reason."""

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied", "/state/current")

    monkeypatch.setattr(nodes, "find_node", refuse)
    _, err = offline("branches", "--app", "shop", code=1)
    assert err == "edge: /state/current: Permission denied\n"

    def time_out(*_arguments, **_options):
        raise TimeoutError

    monkeypatch.setattr(nodes, "find_node", time_out)
    assert offline("branches", "--app", "shop", code=1)[1] == "edge: the system: TimeoutError\n"


def test_an_interruption_is_a_failure(offline, monkeypatch):
    """Without a traceback."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(nodes, "find_node", interrupt)

    assert offline("branches", "--app", "shop", code=1) == ("", "")


def test_a_reader_that_has_seen_enough_is_no_error(offline):
    """`edge … | head -1` says nothing on stderr."""
    offline.deploy()
    script = f"{EDGE} deployments --app shop --branch main | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=offline.folder, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
