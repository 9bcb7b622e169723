"""What the control process keeps of deployments that are over."""

from __future__ import annotations

import random
from pathlib import Path

from edge.node.memory import PAGE
from tests.support import Node, running, write_tree

MIB = 1 << 20
SIZE = 200_000
"""Bytes of a file; those over 64 KiB take each thread that codes them 20 MiB."""


def own_memory(pid: int) -> int:
    """Bytes of a process that are no file's."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE


def deploy(node: Node, version: int) -> None:
    """Files of which none was there before."""
    chance = random.Random(version)
    words = ["".join(chance.choices("abcdefgh", k=5)) for _ in range(2000)]
    texts = {f"{each}.js": " ".join(chance.choices(words, k=SIZE // 6)) for each in range(4)}
    node.deploy(write_tree(node.folder / f"v{version}", texts))


def test_what_encoders_took_is_given_back(tmp_path: Path) -> None:
    """The first deploy teaches control its types; the others leave nothing behind."""
    with running(tmp_path, 1) as node:
        [control] = node.pids("control")
        node.deploy(write_tree(tmp_path / "small", {"index.html": "x" * 1000}))
        before = own_memory(control)
        for version in range(3):
            deploy(node, version)

        assert own_memory(control) - before < 8 * MIB
