"""
The image, as far as it can be tried without Docker.

What it copies is enough to install, its user is not root, and what it asks for its health is
answered by a real node.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import Node
from tests.support_packaging import PACKAGING, ROOT

TEXT = re.sub(r"\\\n", " ", (PACKAGING / "Dockerfile").read_text())
STEPS = [
    tuple(line.split(None, 1))
    for line in TEXT.splitlines()
    if line.strip() and not line.startswith("#")
]
STAGES = [index for index, (word, _) in enumerate(STEPS) if word == "FROM"]
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="tests")
"""Its names; nothing is built."""
LAST = STEPS[STAGES[-1] :]
"""The stage that becomes the image."""


def said(word: str, steps=LAST) -> list[str]:
    """What stands behind a word, each time."""
    return [rest for each, rest in steps if each == word]


def copied() -> list[tuple[list[str], str]]:
    """(sources, destination) of what comes from this repository."""
    lines = [
        rest.split() for word, rest in STEPS if word == "COPY" and not rest.startswith("--from")
    ]
    return [(words[:-1], words[-1]) for words in lines]


def is_ignored(name: str) -> bool:
    """Whether the build does not see a file; the last line that fits decides."""
    ignored = False
    for line in (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line[:1] != "#" and (fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/")):
            ignored = not line.startswith("!")
    return ignored


def test_what_is_copied_is_there():
    """And is not kept from the build."""
    sources = [source for sources, _ in copied() for source in sources]

    assert set(sources) == {
        *("pyproject.toml", "setup.py", "README.md", "LICENSE", "edge", "packaging/edge.yml")
    }
    assert [each for each in sources if not (ROOT / each).exists() or is_ignored(each)] == []


def test_what_is_not_needed_is_kept_out():
    """State with keys, above all."""
    for name in ("var/tls/internal/root.key", "certs/shop.pem", ".git/config", ".venv/bin/edge"):
        assert is_ignored(name), name


def test_every_base_is_pinned_by_its_tag():
    """The same in both stages: what one builds, the other runs."""
    bases = {rest.split()[0] for rest in said("FROM", STEPS)}

    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", bases.pop())


def test_it_is_not_root_that_runs():
    """By number, so that Kubernetes can see it (runAsNonRoot)."""
    assert said("USER") == ["10001:10001"]
    assert json.loads(said("ENTRYPOINT")[0]) == ["edge"]
    assert json.loads(said("CMD")[0]) == ["serve", "-c", "/etc/edge/edge.yml"]
    assert said("VOLUME") == ["/var/lib/edge"]


def test_what_is_asked_for_its_health(tmp_path):
    """A node that serves is well, one that has ended is not."""
    (check,) = said("HEALTHCHECK")
    command = json.loads(re.search(r"CMD (\[.*\])", check)[1])
    node = Node(tmp_path, workers=1)
    assert command[0] == "python"
    asked = command[2].replace("127.0.0.1:9901", f"127.0.0.1:{node.admin_port}")
    assert asked != command[2]

    def ask() -> int:
        done = subprocess.run([sys.executable, "-c", asked], check=False, capture_output=True)
        return done.returncode

    try:
        node.start()
        assert ask() == 0
        node.stop()
        assert ask() == 1
    finally:
        node.kill_all()


def test_what_is_copied_can_be_installed(tmp_path):
    """The build's own step, compiled as it is; what Edge needs at run time is here already."""
    if lack := SETUP["missing"]():
        pytest.skip(f"{lack} is not there")
    source = tmp_path / "src"
    for sources, destination in copied():
        if destination not in ("./", "./edge"):
            continue
        for each in sources:
            target = source / each
            if (ROOT / each).is_dir():
                shutil.copytree(ROOT / each, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / each, target)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"),
            *("--target", tmp_path / "site", source),
        ],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | dict(each.split("=") for each in said("ARG", STEPS)),
    )
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("no package index is reached")
    assert done.returncode == 0, done.stderr

    site = tmp_path / "site"
    installed = {path.relative_to(site) for path in site.rglob("*.py")}
    ours = {path.relative_to(ROOT) for path in (ROOT / "edge").rglob("*.py")}
    assert {each for each in installed if each.parts[0] == "edge"} == ours
    assert compiled_below(site) == {Path(name) for name in SETUP["HOT"]}


def compiled_below(site):
    """The modules that are machine code."""
    found = (path.relative_to(site / "edge") for path in (site / "edge").rglob("*.so"))
    return {path.with_name(path.name.partition(".")[0]) for path in found}


def test_compose_runs_it_closed():
    """A read-only root, no capabilities, time for a stop; every volume that is named is there."""
    document = yaml.safe_load((PACKAGING / "compose.yml").read_text())
    service = document["services"]["edge"]
    named = {each.partition(":")[0] for each in service["volumes"]}

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert named == set(document["volumes"])
    assert (PACKAGING / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == (
        PACKAGING / "Dockerfile"
    )
    assert {Path(each.split(":")[1]) for each in service["volumes"]} >= {
        Path(each) for each in said("VOLUME")
    }
