"""From one parent to the next: what is passed on, and what came of it."""

from __future__ import annotations

import json
import os
import sys

import pytest

from edge.control import handover
from edge.control.durable import try_lock
from edge.control.handover import Successor
from edge.control.sockets import bind
from edge.site.places import Places
from tests.support import eventually

TAKES = """
import os, sys
from edge.control import handover
print("before", file=sys.stderr, flush=True)
heir = handover.inherited()
print("after", file=sys.stderr, flush=True)
[(slot, name, listener)] = heir.entries
said = (slot, name, listener.getsockname()[1], os.get_inheritable(heir.lock), sys.argv[1:])
handover.sign(heir.lock)
heir.tell(f"failed: {said} {handover.inherited()}")
heir.close()
"""


@pytest.fixture
def places(tmp_path):
    """A state folder with its `run`."""
    found = Places(tmp_path)
    found.run.mkdir()
    return found


@pytest.fixture
def succeed(places, tmp_path):
    """Start the next parent, which does what a program says; nothing is left of it."""
    lock = try_lock(places.lock)
    made = []

    def start(program, interpreter=sys.executable, **request):
        python = tmp_path / "python"
        python.write_text(f"#!{interpreter}\n{program}\n")
        python.chmod(0o755)
        successor = Successor(places, {"python": str(python)} | request)
        with bind("127.0.0.1:0") as listener:
            successor.start(["serve", "-c", "x"], lock, [(1, "http a", listener)])
        made.append(successor)
        return successor

    yield start
    for each in made:
        os.waitpid(each.pid, 0)
        each.close()
    os.close(lock)


def word_of(successor):
    """What became of it."""
    return eventually(lambda: [word for word in [successor.poll()] if word is not None])[0]


def test_the_next_parent_gets_sockets_lock_and_words(succeed, places, capfd):
    """None of them goes on to its children; its messages go where they always went."""
    successor = succeed(TAKES)

    word = word_of(successor)

    assert word.startswith("(1, 'http a', ")
    assert word.endswith(", False, ['-P', '-m', 'edge', 'serve', '-c', 'x']) None")
    assert handover.signed(places) == successor.pid
    assert "after" in capfd.readouterr().err
    assert (places.run / handover.SAID).read_text() == "before\n"


def test_one_that_serves_says_so(succeed):
    """And nothing else is to be heard of it."""
    ready = "import os, json\n"
    ready += "os.write(json.loads(os.environ['EDGE_HANDOVER'])['word'], b'ready\\n')"

    assert word_of(succeed(ready)) == ""


@pytest.mark.parametrize(
    ("program", "interpreter", "reason"),
    [
        ("echo no module >&2", "/bin/sh", "no module"),
        ("exit 3", "/bin/sh", "it ended without a word"),
        ("kill -9 $$", "/bin/sh", "it ended without a word"),
        ("", "/nowhere/python", "cannot be run: No such file or directory"),
    ],
)
def test_one_that_cannot_serve_is_told_of(succeed, program, interpreter, reason):
    """By its last words."""
    assert word_of(succeed(program, interpreter)).endswith(reason)


def test_one_that_takes_too_long_is_ended(succeed, monkeypatch):
    """By SIGKILL, where it does not mind SIGTERM."""
    monkeypatch.setattr(handover, "PATIENCE_S", 0.0)
    monkeypatch.setattr(handover, "GRACE_S", 0.1)

    successor = succeed("trap '' TERM; while :; do sleep 0.01; done", "/bin/sh")

    assert word_of(successor) == "it ended without a word"


def test_who_is_not_heard_goes_on(succeed, places):
    """The parent before has died, which `Predecessor` tells: the next one serves all the same."""
    program = TAKES.replace("handover.sign(heir.lock)", "sys.stdin.readline()").replace(
        "heir.close()", "open(os.environ['TOLD'], 'w').write('said')"
    )
    told = places.run / "told"
    ours, theirs = os.pipe()
    stdin = os.dup(0)
    os.environ["TOLD"] = str(told)
    os.dup2(ours, 0)
    try:
        successor = succeed(program)
    finally:
        os.dup2(stdin, 0)
        del os.environ["TOLD"]
        for number in (stdin, ours):
            os.close(number)
    os.close(successor._word)
    os.write(theirs, b"\n")
    os.close(theirs)

    assert eventually(lambda: told.exists() and told.read_text()) == "said"
    successor._word = os.open(os.devnull, os.O_RDONLY)


def test_who_asked_is_told(places):
    """By the mark of the request; who only sent a signal reads the log."""
    Successor(places, {"id": "m"}).report("why not")
    assert json.loads((places.run / handover.RESULT).read_text())["reason"] == "why not"

    (places.run / handover.RESULT).unlink()
    Successor(places, {}).report("why not")
    assert not (places.run / handover.RESULT).exists()


def test_a_request_counts_once(places):
    """What is no request is none."""
    assert handover.requested(places) == {}
    handover.write(places.run / handover.REQUEST, {"id": "m"})
    assert handover.requested(places) == {"id": "m"}
    assert handover.requested(places) == {}
    for text in ("[]", "{", ""):
        (places.run / handover.REQUEST).write_text(text)
        assert handover.requested(places) == {}


def test_the_lock_says_who_holds_it(places):
    """The last one; nobody where it says nothing."""
    assert handover.signed(places) == 0
    lock = try_lock(places.lock)
    assert handover.signed(places) == 0
    os.write(lock, b"123456789 and more")
    assert handover.signed(places) == 0
    handover.sign(lock)
    assert handover.signed(places) == os.getpid()
    os.close(lock)


def test_nothing_is_inherited_as_a_rule(monkeypatch):
    """By a node that is started anew."""
    monkeypatch.delenv(handover.ENVIRONMENT, raising=False)

    assert handover.inherited() is None
