"""A machine's clock jumps, forth and back, under a node that serves: its epoch time is another."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.support import Node, eventually, write_tree
from tests.support_origin import originating, saying

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
DAY = 86_400


class Clock:
    """The time of a node's processes, as a shift of the machine's."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.shift(0)

    def shift(self, seconds: int) -> None:
        """Jump."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self.file)

    def environment(self) -> dict[str, str]:
        """What has processes follow it; monotonic time never jumps."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """The clock that a node is to be started under."""
    found = Clock(tmp_path / "shift")
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def origin():
    """An origin whose answers are fresh for an hour."""
    with originating() as found:
        found.on("/x", saying(b"hello", 200, "Cache-Control: max-age=3600"))
        yield found


@pytest.fixture
def node(tmp_path, clock, origin):
    """A node with a file and a rule, under that clock; what looks at it is not."""
    settings = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
    node = Node(tmp_path / "node", 2, settings)
    folder = node.folder / "rules" / "site"
    folder.mkdir(parents=True)
    rule = {"source": "/o/<*>", "target": f"http://127.0.0.1:{origin.port}/<*>", "status": "200"}
    (folder / "redirects.json").write_text(json.dumps([rule]))
    try:
        node.start()
        for name in clock.environment():
            os.environ.pop(name)
        node.deploy(write_tree(tmp_path / "dist", {"index.html": "file"}))
        yield node
    finally:
        node.kill_all()


def told(node: Node) -> tuple[str, datetime]:
    """A worker, and what it takes for the time."""
    fields = node.get("/")[1]
    return fields["X-Request-Id"][:12], parsedate_to_datetime(fields["Date"])


def follow(node: Node, seconds: int) -> None:
    """Wait until both workers know of a shift."""
    knowing: set[str] = set()

    def are_both() -> bool:
        name, time = told(node)
        expected = datetime.now(UTC) + timedelta(seconds=seconds)
        if abs((time - expected).total_seconds()) < 5:
            knowing.add(name)
        return len(knowing) == 2

    eventually(are_both)


@pytest.mark.parametrize("shift", [DAY, -DAY])
def test_a_jump_changes_what_is_said_and_fails_nothing(node, clock, origin, tmp_path, shift):
    """
    Files and stored answers are served on; no age is negative, none is of another time.

    A deploy serves at once on both workers, and its requests are logged at their time.
    """
    for _ in range(8):
        assert node.get("/o/x")[2] == b"hello"
    clock.shift(shift)
    follow(node, shift)
    answers = [node.get(path) for path in ("/", "/o/x") for _ in range(8)]

    assert {(status, content) for status, _, content in answers} == {
        (200, b"file"),
        (200, b"hello"),
    }
    assert all(0 <= int(fields["Age"]) < 3600 for _, fields, _ in answers if "Age" in fields)
    asked = len(origin.of("/x"))
    assert asked == (2 if shift > 0 else 1), "what a day has passed for is asked for again"

    node.deploy(write_tree(tmp_path / "new", {"index.html": "new"}))
    assert {node.get("/?new")[2] for _ in range(8)} == {b"new"}
    folder = node.folder / "var" / "log"

    def entries() -> list[dict]:
        lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
        return [each for each in map(json.loads, lines) if each.get("query") == "new"]

    eventually(lambda: len(entries()) == 8)
    expected = datetime.now(UTC) + timedelta(seconds=shift)
    for each in entries():
        assert abs((datetime.fromisoformat(each["time"]) - expected).total_seconds()) < 60
