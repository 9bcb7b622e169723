"""The one place where tasks begin: each has a name and somebody who holds it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from edge.errors import EdgeError

log = logging.getLogger("edge.tasks")

_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """
    Start `coroutine`; the loop holds tasks weakly, so a reference is kept until it ends.

    One that breaks is logged at once, not when the collector comes by. An `EdgeError` is left to
    whoever awaits the task: it is no defect.
    """
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, EdgeError):
        log.error("the task %r failed", task.get_name(), exc_info=error)
