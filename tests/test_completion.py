"""What the Tab key offers: asked of real shells, with the scripts that `edge completion` prints."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

from edge import cli, completion

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
complete -p edge > /dev/null && { _edge; printf '%s\\n' "${COMPREPLY[@]}"; }
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Every shell's script in a file."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in completion.SHELLS:
        (folder / shell).write_text(completion.script(cli.parser(), shell))
    return folder


def needs(shell):
    """Tests of a shell need it."""
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def in_bash(scripts: Path, *line: str) -> set[str]:
    """What bash offers for the last word."""
    done = subprocess.run(
        ["bash", "-c", BASH, "bash", scripts / "bash", *line],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def in_fish(scripts: Path, *line: str) -> set[str]:
    """What fish offers for the last word."""
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {scripts}/fish; complete -C '{' '.join(line)}'"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return {each.split("\t")[0] for each in done.stdout.splitlines()}


CASES = [
    (["edge", "dep"], {"deploy", "deployments"}),
    (["edge", "completion", ""], {"bash", "zsh", "fish"}),
    (["edge", "import", "net"], {"netlify"}),
    (["edge", "deploy", "--json", "--ap"], {"--app"}),
    (["edge", "purge", "--app", "deploy", "--so"], {"--soft"}),
    (["edge", "token", ""], {"create", "list", "revoke"}),
    (["edge", "token", "create", "--may", ""], set()),
    (["edge", "rollback", "--app", ""], set()),
    (["edge", "nonsense", "--ap"], set()),
]


def named(value: list[str] | set[str]) -> str:
    """The same in every process that collects tests: sets have no order."""
    return " ".join(value if isinstance(value, list) else sorted(value))


@pytest.mark.parametrize(("line", "offered"), CASES, ids=named)
def test_what_bash_offers(scripts, line, offered):
    """Commands, options of the command, words to choose from; no names that only a node knows."""
    assert in_bash(scripts, *line) >= offered
    assert {each for each in in_bash(scripts, *line) if each[:1] != "-"} <= offered


@needs("fish")
@pytest.mark.parametrize(("line", "offered"), CASES, ids=named)
def test_what_fish_offers(scripts, line, offered):
    """The same."""
    assert in_fish(scripts, *line) >= offered
    assert {each for each in in_fish(scripts, *line) if each[:1] != "-"} <= offered


@needs("fish")
@pytest.mark.parametrize("option", ["--config", "--token-file"])
def test_names_of_files(scripts, tmp_path, monkeypatch, option):
    """An option that takes a file is completed with files, in bash by the shell itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some-file").touch()

    assert in_fish(scripts, "edge", "serve", option, "some") == {"some-file"}
    assert in_bash(scripts, "edge", "serve", option, "some") == set()
    assert "-o default" in (scripts / "bash").read_text()


@needs("zsh")
def test_what_zsh_completes(scripts):
    """Typed at a terminal: Tab writes the rest of the command and of its option."""
    with Terminal(["zsh", "-f", "-i"]) as zsh:
        zsh.type(f"PS1='> '; autoload -U compinit; compinit -D -u; source {scripts}/zsh\r")
        zsh.type("echo rea''dy\r")
        zsh.until("ready")

        zsh.type("edge rollb\t--bran\t")
        zsh.until("rollback")
        zsh.until("--branch")


class Terminal:
    """A program that believes to be typed at."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(theirs)
        self._seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._ours, text.encode())

    def until(self, text: str) -> None:
        """Read until it is on the screen."""
        deadline = time.monotonic() + 20
        while text not in self._seen:
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"never shown; but: {self._seen}"
            self._seen += os.read(self._ours, 4096).decode(errors="replace")


def test_commands_of_commands():
    """`edge token create` is a place of its own; its options are not those of `edge token`."""
    parser = argparse.ArgumentParser(prog="edge")
    token = parser.add_subparsers().add_parser("token", help="it's: all \\ about tokens")
    create = token.add_subparsers().add_parser("create")
    create.add_argument("--expires", help="90d")

    places = list(completion.places(parser))
    scripts = [completion.script(parser, shell) for shell in completion.SHELLS]

    assert [place.path for place in places] == ["", "/token", "/token/create"]
    assert completion.words(places[1]) == ["create", "-h", "--help"]
    assert all("/token/create" in script for script in scripts)
    assert "'it\\'s: all \\\\ about tokens'" in scripts[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_the_script(capsys, shell):
    """To stdout, and nothing else."""
    assert cli.main(["completion", shell]) == 0

    assert capsys.readouterr().out == completion.script(cli.parser(), shell)
