"""
Wrong tokens: how many tries a client has.

Laws: who was wrong often is not listened to for the rest of a minute, right or wrong. On the
machine itself a right token always opens, or any local user could lock the operator out. What is
remembered is bounded; of IPv6 clients it is their network (/64).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from cachetools import LRUCache

TRIES: Final = 20
"""Wrong tokens of one client in one window."""

WINDOW: Final = 60.0
"""Seconds from a client's first wrong token to his next chance."""

MAX_CLIENTS: Final = 10_000
"""Clients that are remembered; the one who was quiet longest is forgotten: 2 MiB."""


class Attempts:
    """Who was wrong lately, and how often."""

    def __init__(self) -> None:
        self._wrong: LRUCache[str, tuple[float, int]] = LRUCache(MAX_CLIENTS)
        """Client → (when his window ends, how often he was wrong in it)."""

    def wait_of(self, client: str, now: float) -> float:
        """Seconds that a client has to wait before he is listened to; 0 is none."""
        ends, count = self._wrong.get(_network(client), (0.0, 0))
        return max(0.0, ends - now) if count >= TRIES else 0.0

    def fail(self, client: str, now: float) -> None:
        """He was wrong once more."""
        key = _network(client)
        ends, count = self._wrong.get(key, (0.0, 0))
        self._wrong[key] = (now + WINDOW, 1) if ends <= now else (ends, count + 1)


def is_local(client: str) -> bool:
    """Whether a client is on this machine: a loopback address, or a Unix socket's nobody."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return client == ""


def _network(client: str) -> str:
    """What one client cannot change at will."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address.packed, 64), strict=False))
