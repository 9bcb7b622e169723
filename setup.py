"""
The modules that every request passes, as machine code, wherever pip makes a wheel of Edge.

mypyc compiles what mypy has checked: the source stays what it is. It takes a C compiler, Python's
headers and a minute, and gives a tenth (bench/README.md). Without these the same modules are
installed as they are; `EDGE_COMPILED=0` wishes for that, `EDGE_COMPILED=1` insists.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from setuptools import Extension, setup

HOT = (
    *("http/manner", "node/accesslog", "node/cache", "node/clock", "node/connection"),
    *("node/crossing", "node/later", "node/ledger", "node/origin", "node/origins"),
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


def missing() -> str:
    """What compiling needs and this machine has not; nothing, if it has it."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return "" if header.exists() else f"Python's headers ({header})"


def is_wished(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """
    Whether machine code is to be made, of what pip asks for and of EDGE_COMPILED.

    Who says nothing gets it where it can be made, but not among the sources (`pip install -e`):
    who edits those would wonder.
    """
    said = environment.get("EDGE_COMPILED", "")
    if said:
        return said != "0"
    return arguments[1:2] != ["editable_wheel"] and not missing()


def main() -> None:
    """As pip asks for it: first for the tools (egg_info), then without building, then with it."""
    compiles = is_wished(sys.argv, os.environ)
    if compiles and (lack := missing()):
        sys.exit(
            f"edge: EDGE_COMPILED={os.environ['EDGE_COMPILED']}, and {lack} is not there; "
            f"apt-get install gcc python3-dev, or EDGE_COMPILED=0 for a node that is a tenth slower"
        )
    builds = compiles and sys.argv[1:2] not in (["egg_info"], ["dist_info"])
    setup(
        setup_requires=TOOLS if compiles else [],
        ext_modules=extensions() if builds else [],
    )


if __name__ == "__main__":
    main()
