"""
Processes of another parent: those of one that died, or of one that is to be replaced.

Laws: nothing of control imported. They are asked, never forced, but for who does not answer. Who
they are is asked of their sockets in `run`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from edge.control.sockets import Entry
from edge.node import orders

log = logging.getLogger("edge.parent")


def found(run: Path, own: Collection[int] = ()) -> list[tuple[int, Path]]:
    """Pid and socket of the living workers and control processes that are not one's own."""
    kinds = ("worker", "control")
    return [each for kind in kinds for each in orders.peers(run, kind) if each[0] not in own]


def sockets_of(run: Path, workers: list[tuple[int, Path]]) -> Iterator[Entry]:
    """The sockets of workers and control that outlived their parent; control ends with that."""
    for pid, path in orders.peers(run, "control"):
        with contextlib.suppress(OSError):
            for name, listener in orders.take_listeners(path).entries:
                yield 0, name, listener
            orders.ask(path, {"do": "drain"})
        wait_for_end(pid)
    for slot, (pid, path) in enumerate(workers):
        try:
            for name, listener in orders.take_listeners(path).entries:
                yield slot, name, listener
        except OSError as error:
            text = "worker %s of the node before hands over no sockets, and is ended: %s"
            log.warning(text, pid, error)
            wait_for_end(pid, timeout_s=0.0)


def dismiss(others: Iterable[tuple[int, Path]]) -> None:
    """Have them finish what is under way, then end."""
    for _, path in others:
        with contextlib.suppress(OSError):
            orders.ask(path, {"do": "drain"})


def status_of(path: Path) -> orders.Reply:
    """What a process says of itself; nothing where it does not."""
    try:
        return orders.ask(path, {"do": "status"}, 1.0)
    except OSError:
        return {}


def wait_for_end(pid: int, timeout_s: float = 5.0) -> None:
    """Wait for another parent's child to end; kill it, and no other, after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
