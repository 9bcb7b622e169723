"""
From one parent to the next, while the old one serves: what is passed on, and what came of it.

Laws: nothing of control imported. The next parent is another program, perhaps of another version:
it gets descriptors and a line of JSON in its environment, and says one line when it serves or
cannot. Until it says so, it accepts nothing, and whatever becomes of it, the old one serves on.
The lock passes by its descriptor: there is no instant at which nobody holds it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from edge.control import signals
from edge.control.sockets import Entry
from edge.site.places import Places

log = logging.getLogger("edge.parent")

ENVIRONMENT: Final = "EDGE_HANDOVER"

PATIENCE_S: Final = 60.0
"""Seconds that the next parent may take from its start to its word."""

GRACE_S: Final = 5.0
"""Seconds from SIGTERM to SIGKILL for one that takes longer."""

MAX_REASON: Final = 2_000
"""Characters of what it said last."""

REQUEST: Final = "upgrade.json"
RESULT: Final = "upgraded.json"
SAID: Final = "upgrade.log"
"""Files in `run`: what is asked for, what came of it, what the next parent said until then."""


class Inheritance:
    """What a parent has from the one before, which still serves."""

    def __init__(self, passed: dict[str, Any]) -> None:
        self.lock: int = passed["lock"]
        self.entries: list[Entry] = [
            (slot, name, socket.socket(fileno=number)) for slot, name, number in passed["sockets"]
        ]
        self._word: int = passed["word"]
        os.dup2(passed["stderr"], sys.stderr.fileno())  # until now it was read by who waits
        os.close(passed["stderr"])
        for number in (self.lock, self._word, *(each.fileno() for _, _, each in self.entries)):
            os.set_inheritable(number, False)  # noqa: FBT003  (the os module's own)

    def tell(self, word: str) -> None:
        """Say what came of it, once; whether anybody hears is not known (`Predecessor`)."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._word, word.encode()[:MAX_REASON] + b"\n")
        self.close()

    def close(self) -> None:
        """Say nothing from here: in a child, which must not keep the parent's word open."""
        if self._word >= 0:
            os.close(self._word)
        self._word = -1


def inherited() -> Inheritance | None:
    """What this process was started to take over, if it was."""
    passed = os.environ.pop(ENVIRONMENT, None)
    return None if passed is None else Inheritance(json.loads(passed))


class Predecessor:
    """The parent before this one: it ends by itself, unless it is killed before it heard."""

    def __init__(self) -> None:
        self._descriptor = os.pidfd_open(os.getppid())

    def has_ended(self) -> bool:
        """Whether it has; asked until it has, or until `close`."""
        ended, _, _ = select.select([self._descriptor], [], [], 0)
        return bool(ended)

    def close(self) -> None:
        """Ask no more."""
        os.close(self._descriptor)


class Successor:
    """The next parent, until it has said its word."""

    def __init__(self, places: Places, request: dict[str, str]) -> None:
        self.pid = 0
        self._run = places.run
        self._request = request
        self._since = time.monotonic()
        self._heard = b""
        self._word = -1
        self._ended = False
        self._killed_at = 0.0

    def start(self, arguments: list[str], lock: int, entries: Iterable[Entry]) -> None:
        """Run the new program beside this one."""
        self._word, word = os.pipe()
        os.set_blocking(self._word, False)
        sockets = [(slot, name, listener.fileno()) for slot, name, listener in entries]
        said = os.open(self._run / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        errors = os.dup(sys.stderr.fileno())
        passed = {"lock": lock, "word": word, "stderr": errors, "sockets": sockets}
        python = self._request.get("python") or sys.executable
        command = [python, "-P", "-m", "edge", *arguments]
        numbers = [lock, word, errors, *(number for _, _, number in sockets)]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, passed, numbers, said)
        for number in (word, said, errors):
            os.close(number)

    def poll(self) -> str | None:
        """None while nothing is known, empty when it serves, else why it does not."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._word, 4096):
                self._heard += chunk
            self._ended = True  # nobody can say anything any more
        line, end, _ = self._heard.partition(b"\n")
        if end:
            word = line.decode(errors="replace")
            return "" if word == "ready" else word.removeprefix("failed: ")
        if self._ended:
            return self._last_words()
        return self._hurry()

    def _hurry(self) -> str | None:
        """End it when it takes too long; its end is its word."""
        late = time.monotonic() - self._since - PATIENCE_S
        if late > 0:
            number = signal.SIGKILL if late > GRACE_S else signal.SIGTERM
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
        return None

    def _last_words(self) -> str:
        text = ""
        with contextlib.suppress(OSError):
            text = (self._run / SAID).read_text(errors="replace")[-MAX_REASON:].strip()
        return text or "it ended without a word"

    def close(self) -> None:
        """Forget it."""
        os.close(self._word)
        (self._run / SAID).unlink(missing_ok=True)

    def report(self, reason: str) -> None:
        """Tell whoever asked for it what came of it."""
        if "id" in self._request:
            document = {"id": self._request["id"], "pid": self.pid, "reason": reason}
            write(self._run / RESULT, document)


def _become(command: list[str], passed: dict[str, Any], numbers: list[int], said: int) -> None:
    """In the child: another program, with the descriptors it is to have."""
    try:
        for number in numbers:
            os.set_inheritable(number, True)  # noqa: FBT003  (the os module's own)
        os.dup2(said, 2)
        environment = os.environ | {ENVIRONMENT: json.dumps(passed)}
        if "WATCHDOG_PID" in environment:
            environment["WATCHDOG_PID"] = str(os.getpid())
        signals.unblock()
        os.execve(command[0], command, environment)  # noqa: S606  (no shell, the operator's path)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(127)


# What is asked for


def requested(places: Places) -> dict[str, str]:
    """The request that comes with a signal; empty where somebody only sent the signal."""
    path = places.run / REQUEST
    try:
        request = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    path.unlink(missing_ok=True)
    return request if isinstance(request, dict) else {}


def write(path: Path, document: dict[str, Any]) -> None:
    """A small document whole; nobody needs it after a power cut."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document))
    temporary.chmod(0o644)  # root may ask a node that runs as somebody else; the folder is 0700
    temporary.replace(path)


# Who holds the lock


def sign(lock: int) -> None:
    """Write into the lock who holds it: in one call, so that nobody reads half of a number."""
    os.pwrite(lock, f"{os.getpid():<12}\n".encode(), 0)
    os.ftruncate(lock, 13)  # what was longer was no number


def signed(places: Places) -> int:
    """Who held the lock last; 0 where nobody did."""
    try:
        return int(places.lock.read_text().strip() or 0)
    except (OSError, ValueError):
        return 0
