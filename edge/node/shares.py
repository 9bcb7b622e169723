"""
What one client may have of a worker: so many connections, so many requests a second.

Laws: off by default, and then not there: nobody asks. A client is an IPv4 address or an IPv6 /64,
which is what one customer has. Trusted proxies are none: behind them are many. Memory is bounded
by what is open, and by `MOST_CLIENTS`; whoever has that many addresses cannot be told apart anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Final

from edge.node.clients import parse_address

BURST_SECONDS: Final = 10.0
"""The rate is an average over so long: a page with all its files comes at once."""

ROUNDING: Final = 1e-6

MOST_CLIENTS: Final = 50_000
"""Clients whose requests are counted at a time: 8 MiB."""


def client_of(address: str) -> str:
    """What counts as one client. Cost: 0.1 µs, 4 for IPv6."""
    if ":" not in address:
        return address
    parsed = parse_address(address)
    return f"{int(parsed) >> 64:x}::/64" if isinstance(parsed, IPv6Address) else address


class Seats:
    """Connections by client."""

    def __init__(self, most: int, is_trusted: Callable[[str], bool]) -> None:
        self.most = most
        self.is_trusted = is_trusted
        self._holders: dict[object, str] = {}
        self._taken: dict[str, int] = {}

    def has_room(self, peer: str) -> bool:
        """Whether a client may have one more; who has no address is one of our own."""
        if not peer or self._taken.get(client_of(peer), 0) < self.most:
            return True
        return self.is_trusted(peer)

    def take(self, holder: object, peer: str) -> None:
        """Another connection is open."""
        if peer:
            client = self._holders[holder] = client_of(peer)
            self._taken[client] = self._taken.get(client, 0) + 1

    def leave(self, holder: object) -> None:
        """It ended; harmless for one that never had a seat."""
        client = self._holders.pop(holder, None)
        if client is None:
            return
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]


class Rates:
    """Requests by client: each has its turn later (the generic cell rate algorithm)."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._turns: dict[str, float] = {}
        """When a client's requests so far would be over, one after the other."""

    def wait(self, client: str, now: float) -> int:
        """Seconds that a client has to wait before its request is answered; mostly 0."""
        turn = max(now, self._turns.get(client, now))
        over = turn + 1 / self.per_second - now - BURST_SECONDS
        if over > ROUNDING:
            return 1 + int(over)
        if len(self._turns) >= MOST_CLIENTS and client not in self._turns:
            self._forget(now)
        self._turns[client] = turn + 1 / self.per_second
        return 0

    def _forget(self, now: float) -> None:
        """Those that are quiet; all, where most are not: that is cheap for each request."""
        self._turns = {client: turn for client, turn in self._turns.items() if turn > now}
        if len(self._turns) > MOST_CLIENTS // 2:
            self._turns.clear()
