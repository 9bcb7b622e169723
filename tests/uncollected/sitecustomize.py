"""
What only the collector of cycles would find in a process of a node, told to whoever asks.

For `scenarios/test_letting_go.py`, whose node has this folder on its path: Python imports a module
of this name before all others. In each child of the parent nothing is collected or frozen, until
the test writes into a pipe; then a file has what was left by then, as JSON: types and how many. Of
the node's own and uvloop's: what a library leaves once, at its first use, is no growth.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from collections import Counter
from pathlib import Path

FOLDER = os.environ.get("EDGE_TESTS_UNCOLLECTED")
WATCHED = ("edge.", "uvloop.")


def begin() -> None:
    """Keep the collector away, and wait to be asked."""
    collect = gc.collect
    gc.disable()
    gc.enable = gc.freeze = lambda: None
    gc.collect = lambda _=2: 0
    threading.Thread(target=answer, args=(collect,), daemon=True).start()


def answer(collect: object) -> None:
    """Collect when the test says so."""
    asked, told = (Path(FOLDER) / f"{os.getpid()}.{name}" for name in ("asked", "told"))
    os.mkfifo(asked)
    asked.read_text()
    gc.set_debug(gc.DEBUG_SAVEALL)
    collect()
    gc.set_debug(0)
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    whole = told.with_suffix(".begun")
    whole.write_text(json.dumps(Counter(name for name in names if name.startswith(WATCHED))))
    whole.rename(told)


if FOLDER:
    os.register_at_fork(after_in_child=begin)
