"""
The modules that every request passes, as machine code: `EDGE_COMPILED=1 pip install .`

mypyc compiles what mypy has checked: the source stays what it is, and nothing is compiled unless
that is wished for. It takes a C compiler and a minute, and gives a tenth (bench/README.md).
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup

HOT = (
    *("http/manner", "node/accesslog", "node/cache", "node/clock", "node/connection"),
    *("node/crossing", "node/later", "node/ledger", "node/origin", "node/origins"),
    *("node/passing", "node/recalls", "node/responses", "node/sending", "node/streams"),
    *("node/recurring", "node/transport"),
)

TOOLS = ["mypy==2.4.1", "msgspec>=0.19", "zttp==0.0.35"]
"""mypy, and what it has to know the types of."""

OPTIONS = ("--config-file=", "--ignore-missing-imports", "--allow-subclassing-any")
"""Where pip builds, little of what Edge imports is there: `make check` has looked at it all."""


def extensions() -> list[Extension]:
    """What is to be built."""
    from mypyc.build import mypycify  # noqa: PLC0415  (only there where it is wished for)

    return mypycify([*OPTIONS, *(f"edge/{name}.py" for name in HOT)])


def main() -> None:
    """As pip asks for it."""
    is_wished = os.environ.get("EDGE_COMPILED", "0") != "0"
    asks_for_tools = sys.argv[1:2] == ["egg_info"]  # before they are there (PEP 517)
    setup(
        setup_requires=TOOLS if is_wished else [],
        ext_modules=extensions() if is_wished and not asks_for_tools else [],
    )


if __name__ == "__main__":
    main()
