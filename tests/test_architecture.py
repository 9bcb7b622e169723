"""The house rules that a program can check: import order, purity, sizes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EDGE = ROOT / "edge"
MODULES = sorted(EDGE.rglob("*.py"))
ORDER = ["errors", "http", "site", "node", "control", "cli"]
"""Rooms, lowest first: a module imports from its own room and those before it."""

TOP = [path.stem for path in EDGE.glob("*.py") if path.stem not in ("__init__", "errors")]
ROOM_OF = dict.fromkeys(TOP, "cli") | {"__init__": "errors"}
ROOMS = (EDGE / "README.md").read_text().partition("## Rooms")[2].partition("## The life")[0]
IMPURE = {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "time"}
IMPURE_CALLS = {"open", "print", "input"}


def room(module: str) -> str:
    """The room of a dotted module name below `edge`."""
    first = module.split(".", maxsplit=1)[0]
    return ROOM_OF.get(first, first)


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth of it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def shown(path: Path) -> str:
    """A file's name below the top."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_no_module_imports_a_higher_room(path):
    """Lower rooms know nothing of higher ones."""
    own = ORDER.index(room(".".join(path.relative_to(EDGE).with_suffix("").parts)))
    upward = {
        name
        for name in imports(path)
        if name.startswith("edge.") and ORDER.index(room(name.removeprefix("edge."))) > own
    }

    assert upward == set()


PURE = [path for path in MODULES if path.relative_to(EDGE).parts[0] in ("http", "site")]


@pytest.mark.parametrize("path", PURE, ids=shown)
def test_pure_rooms_do_no_io_and_ask_no_time(path):
    """`http/` and `site/` are values in, values out."""
    tree = ast.parse(path.read_text())
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]

    assert {name.split(".")[0] for name in imports(path)} & IMPURE == set()
    assert calls & IMPURE_CALLS == set()
    assert waits == []


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_modules_and_functions_stay_readable(path):
    """400 lines a file, 60 a function at the very most, and a docstring on top."""
    text = path.read_text()
    tree = ast.parse(text)
    long = {
        node.name: node.end_lineno - node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno > 60
    }

    assert text.count("\n") <= 400
    assert long == {}
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_no_cache_is_without_a_bound(path):
    """A process runs for years: what is remembered by an argument is as much as there ever was."""
    unbounded = {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.args.args or node.args.kwonlyargs)
        and any(ast.unparse(each) in ("cache", "functools.cache") for each in node.decorator_list)
    }

    assert unbounded == set()


PARENT = (
    *("children", "durable", "handover", "orphans", "parent"),
    *("pulse", "signals", "sockets", "systemd", "waiter"),
)


@pytest.mark.parametrize("name", PARENT)
def test_the_parent_imports_nothing_of_control_but_its_own_parts(name):
    """It has to outlive every mistake of the rest; only its child becomes `admin`."""
    path = EDGE / "control" / f"{name}.py"
    found = {each.split(".")[2] for each in imports(path) if each.startswith("edge.control.")}

    assert found - {*PARENT} == ({"admin"} if name == "parent" else set())


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_every_module_has_its_place_in_the_readme(path):
    """In the tables of rooms, so that a reader finds what is where."""
    assert path.name in ("__init__.py", "__main__.py") or f"`{path.stem}`" in ROOMS


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_every_module_has_its_tests(path):
    """tests/ mirrors edge/."""
    if path.name in ("__init__.py", "__main__.py"):
        return
    parts = path.relative_to(EDGE).parts
    mirror = ROOT.joinpath("tests", *parts[:-1], f"test_{parts[-1]}")

    assert mirror.exists()
