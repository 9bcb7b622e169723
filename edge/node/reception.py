"""
Who comes with TLS and has not shaken hands yet: bounded in number and in time.

Laws: beyond the number, the one that has taken longest goes: an honest client takes two round
trips. What becomes of one arrival is `secure`'s.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.node.secure import Secured
    from edge.node.tls import Contexts
    from edge.node.transport import Service
    from edge.site.limits import Limits


class Reception:
    """What the TLS listeners of a worker share."""

    def __init__(self, service: Service, contexts: Contexts, context: ssl.SSLContext) -> None:
        self.service = service
        self.contexts = contexts
        self.context = context
        """The listeners' own: made by the parent, so that workers share its ticket keys."""
        self.max_handshakes = 500
        self.handshake_timeout = 10.0
        self.waiting: dict[Secured, None] = {}
        """Who has not shaken hands, in the order of arrival."""
        self.shaken = 0
        self.broken = 0
        """Handshakes that failed, took too long, or were given up by the client."""
        self.strangers = 0
        """Connections for names that have no certificate."""

    def configure(self, limits: Limits) -> None:
        """Bound handshakes as the operator says."""
        self.max_handshakes = limits.handshakes
        self.handshake_timeout = limits.handshake_timeout

    def status(self) -> dict[str, int]:
        """What became of those who came."""
        return {"shaken": self.shaken, "broken": self.broken, "strangers": self.strangers}

    def has_room(self, peer: str = "") -> bool:
        """Whether one more connection may be; else it is refused."""
        reason = self.service.bars(peer)
        if not reason:
            return True
        self.service.accepted += 1
        self.service.counters.refuse(reason)
        return False

    def admit(self, arrival: Secured, peer: str = "") -> bool:
        """Let one begin, if there is room."""
        if not self.has_room(peer):
            return False
        if self.service.seats is not None:
            self.service.seats.take(arrival, peer)
        if len(self.waiting) >= self.max_handshakes:
            self.service.counters.refuse("handshakes")
            next(iter(self.waiting)).drop()
        self.waiting[arrival] = None
        return True

    def sweep(self, now: float) -> None:
        """Drop whoever takes too long; once a second."""
        for arrival in list(self.waiting):
            if now - arrival.since <= self.handshake_timeout:
                return
            self.service.counters.refuse("handshake_timeout")
            arrival.drop()

    def close(self) -> None:
        """Nobody is received any more."""
        for arrival in list(self.waiting):
            arrival.drop()
