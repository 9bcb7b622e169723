"""
Which of a parent's children still answer: a question to each, once a second, over its own socket.

Laws: one thread, and nothing of control imported. Nothing here waits: what was asked is looked at
with the next look. Patience is counted in looks and not in seconds, so that a node which was
stopped as a whole (a frozen container, a suspended machine) kills nobody when it goes on.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PATIENCE: Final = 20
"""
Looks that a question may stay unanswered. Control replaces a worker after 10 s (`counting`): this
is for control itself, and for workers that control does not ask, for it hangs too.
"""

QUESTION: Final = json.dumps({"do": "status"}).encode() + b"\n"
MOST: Final = 65_536
"""Bytes of an answer that are read; that there is one is enough."""


class Pulse:
    """The questions that a parent's children have not answered yet."""

    def __init__(self, run: Path, patience: int | None = None) -> None:
        self._run = run
        self._patience = PATIENCE if patience is None else patience
        self._asked: dict[int, socket.socket] = {}
        self._looks: dict[int, int] = {}
        """For how many looks each of them has been silent."""

    def silent(self, children: Mapping[int, str]) -> list[int]:
        """
        One look at all children, their names by pid: who has just been silent for too long.

        Whoever does not listen yet is being born and is waited for.
        """
        for pid in self._looks.keys() - children.keys():
            self._forget(pid)
        for pid, name in children.items():
            is_silent = self._is_silent(pid, self._run / f"{name}-{pid}.sock")
            self._looks[pid] = self._looks.get(pid, 0) + 1 if is_silent else 0
        return [pid for pid, looks in self._looks.items() if looks == self._patience]

    def close(self) -> None:
        """Ask nobody any more."""
        for pid in list(self._looks):
            self._forget(pid)

    def _is_silent(self, pid: int, path: Path) -> bool:
        """Whether it owes an answer; one that owes none is asked for the next look."""
        if pid not in self._asked:
            return not self._ask(pid, path)
        try:
            self._asked[pid].recv(MOST)
        except BlockingIOError:
            return True
        except OSError:  # it hung up: it ends, and will be reaped
            pass
        self._asked.pop(pid).close()
        return False

    def _ask(self, pid: int, path: Path) -> bool:
        """Whether there is nothing to complain about: it is asked, or does not listen yet."""
        question = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        question.setblocking(False)  # noqa: FBT003  (the socket's own)
        try:
            question.connect(os.fspath(path))
            question.send(QUESTION)
        except OSError as error:
            question.close()
            return not isinstance(error, BlockingIOError)  # a full queue: nobody empties it
        self._asked[pid] = question
        return True

    def _forget(self, pid: int) -> None:
        del self._looks[pid]
        if pid in self._asked:
            self._asked.pop(pid).close()
