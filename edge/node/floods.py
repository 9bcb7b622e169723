"""
What one HTTP/2 client may send in a minute that costs and brings nothing (RFC 9113 §10.5).

Laws: frames are counted by `http.frames`, streams that break off here, whoever's doing it was: a
client can have us break them off (CVE-2023-44487, CVE-2025-8671). Nothing is compared while only
requests and content come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge.http.http2 import Http2
    from edge.site.limits import Limits

MINUTE: Final = 60.0

UPDATES_A_REQUEST: Final = 64
BYTES_AN_UPDATE: Final = 512
"""
WINDOW_UPDATEs of honest clients: Go's opens a window again for every 4 KiB it has read, others for
every frame, both windows each. The 32 KiB that go out at once are a request's.
"""


class Floods:
    """The minute of one connection."""

    __slots__ = ("_sent", "_since", "_wire", "resets")

    def __init__(self, wire: Http2, now: float) -> None:
        self._wire = wire
        self._since = now
        self._sent = 0
        """Bytes of answers that had waited, before this minute."""
        self.resets = 0

    def sweep(self, now: float) -> None:
        """Once a second: a new minute perhaps."""
        if now - self._since > MINUTE:
            self._since = now
            self.resets = 0
            self._sent = self._wire.sent
            self._wire.tally.clear()

    def count_reset(self) -> None:
        """One more stream that broke off."""
        self.resets += 1
        self._wire.tally.is_noisy = True

    def excess(self, limits: Limits, cut: int) -> str:
        """
        The limit that this minute has passed; empty where there is none.

        `cut` streams were reset by us: what the client says of those is no offense.
        """
        wire, tally = self._wire, self._wire.tally
        if not tally.is_noisy:
            return ""
        tally.is_noisy = False
        honest = UPDATES_A_REQUEST * tally.requests + (wire.sent - self._sent) // BYTES_AN_UPDATE
        for reason, count, most in (
            ("h2_resets", max(self.resets, tally.resets - cut), limits.h2_resets),
            ("h2_settings", tally.settings, limits.h2_settings),
            ("h2_pings", tally.pings, limits.h2_pings),
            ("h2_priorities", tally.priorities - tally.requests, limits.h2_priorities),
            ("h2_empty", tally.empty, limits.h2_empty),
            ("h2_updates", tally.updates - honest, limits.h2_updates),
        ):
            if count > most:
                return reason
        return ""
