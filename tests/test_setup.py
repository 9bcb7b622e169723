"""What can be compiled: `setup.py` names modules that machine code does the same as."""

from __future__ import annotations

import ast
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup():
    """Its names; nothing is built."""
    return runpy.run_path(str(ROOT / "setup.py"), run_name="tests")


@pytest.fixture(scope="module")
def hot(setup):
    """The modules that are compiled."""
    return {ROOT / "edge" / f"{name}.py" for name in setup["HOT"]}


def classes_of(path):
    """Its classes."""
    tree = ast.parse(path.read_text())
    return [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]


def bases_of(path):
    """What its classes stand on, by their last names."""
    bases = [base for each in classes_of(path) for base in each.bases]
    return {ast.unparse(base).rpartition(".")[2].partition("[")[0] for base in bases}


def test_no_compiled_class_is_a_struct(hot):
    """Of its fields' types, which are imported for type checkers alone, nothing would be left."""
    assert [path.name for path in hot if bases_of(path) & {"Struct", "NamedTuple"}] == []


def test_what_stands_on_a_compiled_class_is_compiled(hot):
    """Python refuses to make one of any other."""
    compiled = {each.name for path in hot for each in classes_of(path)}
    others = set((ROOT / "edge").rglob("*.py")) - hot

    assert {path.name: found for path in others if (found := bases_of(path) & compiled)} == {}


def test_it_is_compiled_by_what_has_checked_it(setup):
    """One version of mypy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    named = {*project["dependencies"], *project["optional-dependencies"]["dev"]}
    assert set(setup["TOOLS"]) <= named


@pytest.mark.parametrize(
    ("command", "said", "is_wished"),
    [
        ("bdist_wheel", None, True),
        ("bdist_wheel", "1", True),
        ("bdist_wheel", "", True),
        ("bdist_wheel", "0", False),
        ("editable_wheel", None, False),
        ("editable_wheel", "1", True),
    ],
)
def test_a_wheel_is_compiled_where_it_can_be(setup, monkeypatch, command, said, is_wished):
    """Unless it is wished for or not."""
    environment = {} if said is None else {"EDGE_COMPILED": said}
    with_compiler(setup, monkeypatch)

    assert setup["is_wished"](["setup.py", command], environment) is is_wished


def test_a_word_before_the_command_changes_nothing(setup, monkeypatch):
    """pip -C verbose=1."""
    with_compiler(setup, monkeypatch)

    assert setup["is_wished"](["setup.py", "-v", "bdist_wheel"], {}) is True
    assert setup["is_wished"](["setup.py", "-v", "editable_wheel"], {}) is False


def test_without_a_compiler_it_is_installed_as_it_is(setup, monkeypatch):
    """Whoever insists is told what to install, before anything is built."""
    with_compiler(setup, monkeypatch)
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert setup["is_wished"](["setup.py", "bdist_wheel"], {}) is False

    monkeypatch.setenv("EDGE_COMPILED", "1")
    monkeypatch.setattr("sys.argv", ["setup.py", "bdist_wheel"])
    with pytest.raises(
        SystemExit, match=r"a C compiler \(no-such-compiler\) is not there: apt-get"
    ):
        setup["main"]()


@pytest.mark.parametrize("trouble", [SystemExit("mypyc says no"), ModuleNotFoundError("mypyc")])
def test_what_cannot_be_compiled_is_installed_as_it_is(setup, monkeypatch, capsys, trouble):
    """And said so; who insists gets the error instead."""
    with_compiler(setup, monkeypatch)
    built = []

    def extensions():
        raise trouble

    monkeypatch.setitem(setup["main"].__globals__, "extensions", extensions)
    monkeypatch.setitem(setup["main"].__globals__, "build", lambda *what: built.append(what))
    monkeypatch.setattr("sys.argv", ["setup.py", "bdist_wheel"])
    setup["main"]()

    assert built == [([], [])]
    assert f"goes on without machine code: {trouble}" in capsys.readouterr().err
    monkeypatch.setenv("EDGE_COMPILED", "1")
    with pytest.raises(type(trouble)):
        setup["main"]()


def test_pip_asks_before_it_builds(setup, monkeypatch):
    """For the tools alone: mypyc is not there yet."""
    with_compiler(setup, monkeypatch)
    built = []
    monkeypatch.setitem(setup["main"].__globals__, "build", lambda *what: built.append(what))
    monkeypatch.setattr("sys.argv", ["setup.py", "-v", "egg_info"])
    setup["main"]()

    assert built == [([], setup["TOOLS"])]


def test_without_headers_too(setup, monkeypatch, tmp_path):
    """Debian's are a package of their own."""
    with_compiler(setup, monkeypatch)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))

    assert setup["missing"]() == f"what <Python.h> takes ({tmp_path})"


def with_compiler(setup, monkeypatch):
    """A machine that has all it takes, or the test is of no use."""
    monkeypatch.delenv("EDGE_COMPILED", raising=False)
    if setup["missing"]():
        pytest.skip(f"{setup['missing']()} is not there")


def test_nothing_compiled_waits_in_an_async_with(hot):
    """With an exception on its way mypyc's ends the process; a time limit waits for nothing."""
    found = {
        (path.name, ast.unparse(each.items[0].context_expr).partition("(")[0])
        for path in hot
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.AsyncWith)
    }

    assert found == {("origins.py", "asyncio.timeout")}
