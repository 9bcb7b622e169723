"""Every coroutine test runs on the loop that workers run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop alone: its transports are what `node` is written against."""
    return {"uvloop": uvloop.new_event_loop}
