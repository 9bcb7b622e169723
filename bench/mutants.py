"""
How many small mistakes do the tests notice? `python bench/mutants.py --each 40 --seed 1`.

One place of a module is changed at a time (a comparison, a number, `and` for `or`, a `not` that is
gone), in a copy of the repository, and the tests of that module have to fail. Those that do not are
printed with their line: a test that is missing, or a change that makes no difference.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MATCHER = ("tests/site/test_plan.py", "tests/site/test_pattern.py", "tests/properties/test_plan.py")
PATHS = ("tests/site/test_subject.py", "tests/site/test_paths.py", "tests/http/test_target.py")
TARGETS: dict[str, tuple[str, ...]] = {
    "edge/site/plan.py": MATCHER,
    "edge/site/pattern.py": MATCHER,
    "edge/site/globs.py": ("tests/site/test_globs.py", "tests/properties/test_headers.py"),
    "edge/site/subject.py": (*PATHS, "tests/properties/test_canonical.py"),
    "edge/site/paths.py": PATHS,
    "edge/site/keys.py": ("tests/site/test_keys.py", "tests/node/test_forward.py"),
    "edge/http/target.py": (*PATHS, "tests/http/test_http1.py"),
    "edge/http/http1.py": (
        "tests/http/test_http1.py",
        "tests/properties/test_wire.py",
        "tests/conformance/test_http1.py",
    ),
    "edge/http/hops.py": ("tests/http/test_hops.py", "tests/http/test_forwarding.py"),
}
"""Rule matcher, paths, cache key, framing; the tests that are to notice."""

PATIENCE = 120
"""Seconds; what takes longer loops, and is noticed."""

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def changed(node: ast.AST) -> ast.AST | None:
    """A node with one small mistake; None where there is none to make."""
    other = copy.deepcopy(node)
    match other:
        case ast.Compare(ops=[operator, *rest]):
            other.ops = [COMPARED[type(operator)](), *rest]
        case ast.BoolOp():
            other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            other.op = ast.Sub() if isinstance(other.op, ast.Add) else ast.Add()
        case ast.UnaryOp(op=ast.Not()):
            return other.operand
        case ast.Constant(value=bool()):
            other.value = not other.value
        case ast.Constant(value=int() | bytes()):
            other.value = other.value + (1 if isinstance(other.value, int) else b"x")
        case _:
            return None
    return other


SKIPPED = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)
"""Words for people, what cannot happen."""


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Where a change can be made: parent, field, index in it, and what would stand there."""
    for field, value in ast.iter_fields(tree):
        if field in {"annotation", "returns", "decorator_list"} or is_declaration(tree, field):
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or isinstance(node, SKIPPED):
                continue
            mistake = changed(node)
            if mistake is not None:
                yield tree, field, index if isinstance(value, list) else None, mistake
            yield from places(node)


def is_declaration(tree: ast.AST, field: str) -> bool:
    """Whether it says what a class is made like: `frozen`, `gc`."""
    return isinstance(tree, ast.ClassDef) and field == "keywords"


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """The line, what stands there now, and the whole module: one for each place."""
    tree = ast.parse(source)
    for parent, field, index, mistake in list(places(tree)):
        value = getattr(parent, field)
        before = value if index is None else value[index]
        put(parent, field, index, mistake)
        yield before.lineno, ast.unparse(mistake), ast.unparse(tree)
        put(parent, field, index, before)


def put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    """Have a node stand there."""
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def is_noticed(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether a test fails, or none ends."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def judge(folder: Path, module: str, options: argparse.Namespace) -> tuple[int, int]:
    """How many mutants of a module were noticed, of how many; the others are printed."""
    file = folder / module
    source = file.read_text()
    every = list(mutants(source))
    chosen = random.Random(options.seed).sample(every, min(options.each, len(every)))
    noticed = 0
    for line, text, mutant in sorted(chosen):
        file.write_text(mutant)
        if is_noticed(folder, TARGETS[module]):
            noticed += 1
        else:
            print(f"  {module}:{line}: {text}", flush=True)
    file.write_text(source)
    print(f"{module}: {noticed} of {len(chosen)} ({len(every)} places)", flush=True)
    return noticed, len(chosen)


def main() -> None:
    """Each module in turn, and all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", choices=TARGETS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("edge", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        modules = options.module or TARGETS
        assert all(not is_noticed(folder, TARGETS[module]) for module in modules), "tests fail"
        scores = [judge(folder, module, options) for module in modules]
    noticed, count = map(sum, zip(*scores, strict=True))
    print(f"all: {noticed} of {count}, {100 * noticed / count:.1f} %")


if __name__ == "__main__":
    main()
