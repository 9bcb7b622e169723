"""What an operator can write or call is in the README, and the other way round."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.cli import parser
from edge.control.exposition import expose
from edge.control.metrics import Metrics
from edge.control.signals import WAITED
from edge.control.totals import Totals
from edge.node.counters import REASONS
from edge.site.documents import App, decode_app
from edge.site.limits import Limits
from edge.site.settings import AccessLog, Settings
from tests.node.test_accesslog import KEYS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command by its name."""
    actions = parser()._actions
    return next(dict(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def keys(kind: Any, prefix: str = "") -> list[str]:
    """Dotted keys of a document."""
    found = []
    for field in msgspec.structs.fields(kind):
        name = prefix + field.encode_name
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        if nested and field.type not in (Limits, AccessLog):
            found += keys(field.type, name + ".")
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_is_in_the_readme(name):
    """With its name as people type it."""
    assert f"`edge {name}" in README


@pytest.mark.parametrize("name", commands())
def test_every_option_has_a_help_text(name):
    """`--help` explains each of them."""
    lacking = [
        action.dest
        for action in commands()[name]._actions
        if not action.help and action.dest not in ("app", "branch", "all", "apps")
    ]

    assert lacking == []


@pytest.mark.parametrize("name", commands())
def test_every_help_ends_in_an_example(name):
    """One that can be typed: the grammar takes it for this command."""
    example = re.search(r"example:\n  edge (.+?)(?: [<>] .*)?$", commands()[name].epilog or "")

    assert example is not None
    arguments = shlex.split(example[1])
    assert arguments[0] == name
    assert parser().parse_args(arguments).command is not None


@pytest.mark.parametrize("key", keys(Settings))
def test_every_key_of_edge_yml_is_in_the_readme(key):
    """In the settings table; limits and the access log have their own."""
    assert f"`{key}`" in README


def test_every_path_of_the_admin_api_is_in_the_readme():
    """As far as the paths are fixed."""
    source = (ROOT / "edge" / "control" / "admin.py").read_text()
    paths = set(re.findall(r'"(/(?:v1/)?[a-z]+)[/"]', source))

    assert "/v1/explain" in paths
    assert [path for path in paths if path not in README] == []


@pytest.mark.parametrize("field", msgspec.structs.fields(Limits), ids=lambda f: f.name)
def test_every_limit_is_in_the_readme(field):
    """In the table of limits."""
    assert re.search(rf"^\| `{field.encode_name}` \| ", README, re.MULTILINE)


@pytest.mark.parametrize("field", msgspec.structs.fields(AccessLog), ids=lambda f: f.name)
def test_every_key_of_the_access_log_is_in_the_readme(field):
    """In its own table."""
    assert re.search(rf"^\| `{field.encode_name}` \| ", README, re.MULTILINE)


def test_every_metric_is_in_the_readme():
    """By its name, in the table of metrics."""
    families = [*text_string_to_metric_families(expose(Totals()) + Metrics().encode().decode())]
    names = [each.name for each in families]
    lacking = [
        name for name in names if not re.search(rf"^\| .*`{name}(_total)?`", README, re.MULTILINE)
    ]

    assert len(families) > 12
    assert lacking == []


@pytest.mark.parametrize("number", sorted(WAITED - {signal.SIGCHLD}))
def test_every_signal_is_in_the_readme(number):
    """By its name, in the table of signals; that of a terminal by its key."""
    name = {signal.SIGINT: "Ctrl-C"}.get(number, number.name)

    assert re.search(rf"^\| [^|]*\b{name}\b[^|]* \|", README, re.MULTILINE)


@pytest.mark.parametrize("key", [*KEYS])
def test_every_key_of_the_log_is_in_the_readme(key):
    """In the table of a line's keys."""
    assert re.search(rf"^\| .*`{key}`", README, re.MULTILINE)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_refusal_is_in_the_readme(reason):
    """With the sentence that the code has for it."""
    assert f"| `{reason}` | {REASONS[reason]} |" in README


@pytest.mark.parametrize("key", ["production_branch", *keys(App)])
def test_every_key_of_app_yml_is_in_the_readme(key):
    """In the app's table; below `domains` and `branches` by their inner names."""
    inner = {"domains": "domains.NAME.subdomains", "branches": "branches.PATTERN.performance_mode"}

    assert f"`{inner.get(key, key)}`" in README


def test_the_readmes_examples_are_valid():
    """The yaml that people paste decodes without a mistake."""
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    app, errors = decode_app(blocks[0], "app.yml")

    assert errors == []
    assert app.domains["example.com"].auto_subdomains == ("pr-*",)


CHECKLIST = (ROOT / "tests" / "conformance" / "CHECKLIST.md").read_text()


def test_every_class_of_failure_is_in_the_checklist():
    """All 32, with tests that exist."""
    rows = re.findall(r"^\| (\d+) \| .+? \| (`.+?) \| .*\|$", CHECKLIST, re.MULTILINE)
    files = re.findall(r"`((?:tests|bench)/[^`]+\.py)`", CHECKLIST)

    assert [int(number) for number, _ in rows] == [*range(1, 33)]
    assert [number for number, tests in rows if "`tests/" not in tests] == []
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_every_anchor_is_in_the_checklist():
    """All eleven, with what measures them."""
    rows = re.findall(r"^\| A(\d+) \| .+? \| (.+?) \| (.+?) \|", CHECKLIST, re.MULTILINE)

    assert [int(number) for number, *_ in rows] == [*range(1, 12)]
    assert [number for number, how, figure in rows if "`" not in how or not figure.strip()] == []


def test_variables_of_the_checklist_are_read():
    """By the tests that they make as large as their class deserves."""
    named = set(re.findall(r"`(EDGE_[A-Z_]+)=", CHECKLIST))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))

    assert len(named) > 3
    assert {name for name in named if f'environ.get("{name}"' not in sources} == set()
