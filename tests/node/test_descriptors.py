"""How many files and sockets there may be, and whether any are left."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edge.node import descriptors


@pytest.mark.parametrize(
    ("limit", "connections"),
    [(64, 1), (256, 192), (1024, 768), (4096, 3072), (20_000, 18_976), (1_048_576, 1_047_552)],
)
def test_connections_never_take_the_last_ones(limit, connections):
    """A quarter is left, and no more than anybody needs."""
    assert descriptors.for_connections(limit) == connections


ALL_TAKEN = """
import os, resource
from edge.node import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
assert descriptors.raise_limit() == 128 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
assert not descriptors.are_short()
taken = []
while True:
    try:
        taken.append(os.dup(0))
    except OSError:
        break
assert descriptors.are_short()
for each in taken[: descriptors.SPARE - 1]:
    os.close(each)
assert descriptors.are_short()
os.close(taken[-1])
assert not descriptors.are_short()
"""


def test_a_process_knows_when_it_has_none_left():
    """In one of its own, with a lowered limit, which it raises to what it may have."""
    subprocess.run([sys.executable, "-c", ALL_TAKEN], check=True, timeout=30)


def opened() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_to_look_takes_nothing():
    """What was opened is closed."""
    before = opened()
    assert not descriptors.are_short()
    assert opened() == before
    assert descriptors.raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
