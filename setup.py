"""
The modules that every request passes, as machine code, wherever pip makes a wheel of Edge.

mypyc compiles what mypy has checked: the source stays what it is. It takes a C compiler, Python's
headers and a minute, and gives a tenth (bench/README.md). Without these the same modules are
installed as they are; `EDGE_COMPILED=0` wishes for that, `EDGE_COMPILED=1` insists.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence

from setuptools import Extension, setup

HOT = (
    *("http/manner", "node/accesslog", "node/cache", "node/clock", "node/connection"),
    *("node/crossing", "node/later", "node/ledger", "node/look", "node/origin", "node/origins"),
    *("node/passing", "node/recalls", "node/responses", "node/sending", "node/streams"),
    *("node/recurring", "node/secure", "node/transport"),
)

TOOLS = ["mypy==2.4.1", "msgspec>=0.19", "zttp==0.0.35"]
"""mypy, and what it has to know the types of."""

OPTIONS = ("--config-file=", "--ignore-missing-imports", "--allow-subclassing-any")
"""Where pip builds, little of what Edge imports is there: `make check` has looked at it all."""


def extensions() -> list[Extension]:
    """What is to be built."""
    from mypyc.build import mypycify  # noqa: PLC0415  (only there where it is wished for)

    return mypycify([*OPTIONS, *(f"edge/{name}.py" for name in HOT)])


BUILDS = {"bdist_wheel", "build", "build_ext", "editable_wheel"}
"""Commands that make something; before and beside these pip only asks."""


def missing() -> str:
    """What compiling needs and this machine has not, found by trying; nothing, if it has it."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "") or ["cc"]
    include = sysconfig.get_path("include")
    command = [*compiler, "-fsyntax-only", f"-I{include}", "-x", "c", "-"]
    try:
        tried = subprocess.run(  # noqa: S603  (the compiler that would build Python's own)
            command, input=b"#include <Python.h>\n", capture_output=True, check=False
        )
    except OSError:
        return f"a C compiler ({compiler[0]})"
    return f"what <Python.h> takes ({include})" if tried.returncode else ""


def is_wished(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """
    Whether machine code is to be made, of what pip asks for and of EDGE_COMPILED.

    Who says nothing gets it where it can be made, but not among the sources (`pip install -e`):
    who edits those would wonder.
    """
    said = environment.get("EDGE_COMPILED", "")
    if said:
        return said != "0"
    return "editable_wheel" not in arguments and not missing()


def build(modules: list[Extension], tools: list[str]) -> None:
    """In a folder of its own: what was left in `build` would be installed, too."""
    with tempfile.TemporaryDirectory(prefix="edge-build-") as folder:
        setup(setup_requires=tools, ext_modules=modules, options={"build": {"build_base": folder}})


def main() -> None:
    """As pip asks for it: first for the tools, then for what is built."""
    insists = os.environ.get("EDGE_COMPILED", "") not in ("", "0")
    if insists and (lack := missing()):
        sys.exit(
            f"edge: EDGE_COMPILED={os.environ['EDGE_COMPILED']}, and {lack} is not there: "
            f"apt-get install gcc libc6-dev python3-dev, or EDGE_COMPILED=0 for a node that is a "
            f"tenth slower"
        )
    compiles = is_wished(sys.argv, os.environ)
    if not compiles or not BUILDS & set(sys.argv):
        build([], TOOLS if compiles else [])
        return
    try:
        build(extensions(), TOOLS)
    except (ImportError, SystemExit) as trouble:
        if insists:
            raise
        sys.stderr.write(
            f"edge: goes on without machine code: {trouble}; what failed stands above\n"
        )
        build([], [])


if __name__ == "__main__":
    main()
